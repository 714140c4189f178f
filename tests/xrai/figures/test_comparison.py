"""Tests of `xrai.figures.comparison`."""

import json

import pytest

from xrai.figures import interval_dots, overlaid_curves, parallel_settings
from xrai.figures.style import SERIES


def epoch(number, loss=0.5, *, best=False, auc=0.9):
    measured = {"loss": loss, "accuracy": 0.8, "auc": auc}
    return {"kind": "epoch", "epoch": number, "best": best, "train": measured | {"loss": loss / 2}, "val": measured}


RUN = [{"kind": "start"}, {"kind": "step", "loss": 0.9}, epoch(1, 0.6), epoch(2, 0.4, best=True), epoch(3, 0.5)]


def curve(figure, name):
    return next(item for item in figure.data if item.name == name)


class TestOverlaidCurves:
    def test_each_run_has_its_colour_and_its_validation_curve(self):
        figure = overlaid_curves({"a": RUN, "b": [epoch(1, 0.7)]}, "loss")
        assert [item.name for item in figure.data] == ["a", "b"]
        assert tuple(curve(figure, "a").x) == (1, 2, 3)
        assert tuple(curve(figure, "a").y) == (0.6, 0.4, 0.5)
        assert [item.line.color for item in figure.data] == list(SERIES[:2])
        assert figure.layout.title.text == "Validation loss"

    def test_the_epoch_that_was_kept_stands_out(self):
        sizes = curve(overlaid_curves({"a": RUN}, "auc"), "a").marker.size
        assert sizes[1] > sizes[0] == sizes[2]

    def test_training_is_thin_dotted_and_in_the_same_colour(self):
        figure = overlaid_curves({"a": RUN}, "loss", with_training=True)
        training, validation = curve(figure, "a, training"), curve(figure, "a")
        assert tuple(training.y) == (0.3, 0.2, 0.25)
        assert (training.line.dash, training.line.color) == ("dot", validation.line.color)
        assert training.line.width < validation.line.width
        assert training.showlegend is False

    def test_an_undefined_auc_leaves_a_gap_instead_of_an_error(self):
        figure = overlaid_curves({"a": [epoch(1), epoch(2, auc=None), epoch(3)]}, "auc")
        assert tuple(figure.data[0].x) == (1, 3)

    def test_epochs_that_lack_something_are_left_out(self):
        figure = overlaid_curves({"a": [{"kind": "epoch", "epoch": 1}, epoch(2)]}, "loss", with_training=True)
        assert [tuple(item.x) for item in figure.data] == [(2,), (2,)]

    @pytest.mark.parametrize("measure", ["loss", "accuracy", "auc"])
    def test_no_runs_and_no_records_make_empty_charts(self, measure):
        assert json.loads(overlaid_curves({}, measure).to_json())["data"] == []
        assert not overlaid_curves({"a": []}, measure).data[0].x

    def test_a_name_is_no_formatting_and_a_long_one_is_cut(self):
        figure = overlaid_curves({"<b>a</b>": RUN, "n" * 80: RUN}, "loss")
        assert figure.data[0].name == "&lt;b&gt;a&lt;/b&gt;"
        assert figure.data[1].name.endswith("n…")

    def test_many_names_get_room_in_the_legend(self):
        few, many = ({f"a run called {number}": RUN for number in range(n)} for n in (2, 8))
        assert overlaid_curves(many, "loss").layout.height > overlaid_curves(few, "loss").layout.height


class TestIntervalDots:
    def test_each_run_has_its_value_and_its_interval_in_its_colour(self):
        figure = interval_dots([("a", 0.8, (0.7, 0.85)), ("b", 0.6, (0.4, 0.7))], "AUC")
        assert [item.x[0] for item in figure.data] == [0.8, 0.6]
        assert figure.data[0].error_x.array[0] == pytest.approx(0.05)
        assert figure.data[0].error_x.arrayminus[0] == pytest.approx(0.1)
        assert [item.marker.color for item in figure.data] == list(SERIES[:2])
        assert tuple(figure.layout.yaxis.ticktext) == ("a", "b")

    def test_what_is_not_known_is_blank_and_keeps_its_row(self):
        figure = interval_dots([("a", None, None), ("b", 0.6, None)], "AUC")
        assert figure.data[0].x[0] is None
        assert figure.data[1].x[0] == 0.6
        assert figure.data[1].error_x.array[0] == 0
        assert tuple(figure.layout.yaxis.ticktext) == ("a", "b")

    def test_nothing_makes_an_empty_chart(self):
        assert not interval_dots([], "AUC").data


def row(name, auc, **settings):
    return {"name": name, "auc": auc, "settings": settings}


def axes(figure):
    return {item.label.replace("<br>", " "): item for item in figure.data[0].dimensions}


def places(axis):
    """Of each run, in the middle of its strands."""
    return [pytest.approx(value) for value in axis["values"][1::3]]


class TestParallelSettings:
    ROWS = (row("a", 0.7, network="resnet18", learning_rate=0.001), row("b", 0.9, network="convnet", learning_rate=0.1))
    LABELS = {"network": "Network", "learning_rate": "Learning rate"}  # noqa: RUF012 -- never changed

    def test_the_axes_are_the_runs_the_settings_and_the_auc(self):
        found = axes(parallel_settings(self.ROWS, self.LABELS))
        assert list(found) == ["Run", "Network", "Learning rate", "Validation AUC"]
        assert places(found["Validation AUC"]) == [0.7, 0.9]
        assert tuple(found["Validation AUC"].ticktext) == ("0.700", "0.900")

    def test_lines_are_coloured_by_auc(self):
        line = parallel_settings(self.ROWS, self.LABELS).data[0].line
        assert set(line.color) == {0.7, 0.9}
        assert len(line.color) == len(parallel_settings(self.ROWS, self.LABELS).data[0].dimensions[0]["values"])

    def test_categories_are_ticks_in_words(self):
        found = axes(parallel_settings(self.ROWS, self.LABELS, lambda _, value: f"<{value}>"))["Network"]
        assert dict(zip(found.tickvals, found.ticktext, strict=True)) == {0: "&lt;convnet&gt;", 1: "&lt;resnet18&gt;"}
        assert places(found) == [1, 0]

    def test_a_wide_span_is_logarithmic_and_a_narrow_one_is_not(self):
        found = axes(parallel_settings(self.ROWS, self.LABELS))["Learning rate"]
        assert places(found) == [-3, -1]
        assert tuple(found.ticktext) == ("0.001", "0.1")
        near = [row("a", 0.7, epochs=4), row("b", 0.8, epochs=8)]
        assert places(axes(parallel_settings(near, {"epochs": "Epochs"}))["Epochs"]) == [4, 8]

    def test_a_zero_is_never_put_on_a_log_scale(self):
        rows = [row("a", 0.7, weight_decay=0.0), row("b", 0.8, weight_decay=0.5)]
        assert places(axes(parallel_settings(rows, {"weight_decay": "Decay"}))["Decay"]) == [0, 0.5]

    def test_yes_and_no_are_two_places(self):
        rows = [row("a", 0.7, flip=True), row("b", 0.8, flip=False)]
        assert places(axes(parallel_settings(rows, {"flip": "Mirror"}))["Mirror"]) == [1, 0]

    def test_a_missing_value_lies_below_the_others_and_says_so(self):
        rows = [row("a", 0.7, blocks=4), row("b", 0.8, blocks=6), row("c", 0.8), row("d", 0.8, blocks=None)]
        found = axes(parallel_settings(rows, {"blocks": "Blocks"}))["Blocks"]
        assert places(found)[2] == places(found)[3]
        assert places(found)[2].expected < 4
        assert "none" in found.ticktext
        assert found.range[0] <= min(found["values"]) < max(found["values"]) <= found.range[1]

    def test_runs_without_an_auc_are_left_out(self):
        found = axes(parallel_settings([*self.ROWS, row("c", None, network="convnet")], self.LABELS))
        assert len(places(found["Run"])) == 2

    def test_ticks_that_would_touch_are_left_out_but_not_the_ends(self):
        rows = [row(f"{number}", 0.5 + number / 1000, seed=number) for number in range(100)]
        found = axes(parallel_settings(rows, {"seed": "Seed"}))
        assert "Run" not in found
        assert len(found["Seed"].ticktext) < 20
        assert (found["Seed"].ticktext[0], found["Seed"].ticktext[-1]) == ("0", "99")

    def test_equal_values_make_an_axis_all_the_same(self):
        found = axes(parallel_settings([row("a", 0.7, epochs=4), row("b", 0.7, epochs=4)], {"epochs": "Epochs"}))
        for axis in found.values():
            assert axis.range[0] < axis.range[1]

    def test_nothing_at_all_makes_an_empty_chart(self):
        assert json.loads(parallel_settings([], {}).to_json())["data"]
        assert list(axes(parallel_settings([row("a", 0.7)] * 20, {}))) == ["Validation AUC"]

    def test_names_are_no_formatting_and_long_labels_are_broken(self):
        rows = [row("<b>a</b>", 0.7, x=1), row("n" * 80, 0.8, x=2)]
        figure = parallel_settings(rows, {"x": "Filters of the first block"})
        assert figure.data[0].dimensions[0].ticktext[0].startswith("&lt;b&gt;")
        assert all(len(text) < 40 for text in figure.data[0].dimensions[0].ticktext)
        assert "<br>" in figure.data[0].dimensions[1].label
