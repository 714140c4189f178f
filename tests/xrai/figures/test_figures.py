"""Tests of `xrai.figures`."""

import json
import re

from xrai.figures import accuracy_curves, add_caption, auc_curves, class_balance, loss_curves, make_html_page


def epoch(number: int, loss: float = 0.5, interval: tuple[float, float] | None = (0.6, 0.9)) -> dict:
    measured = {"loss": loss, "accuracy": 0.8, "auc": 0.9 if interval else None}
    return {
        "kind": "epoch",
        "epoch": number,
        "train": measured,
        "val": measured | {"accuracy_interval": (0.6, 0.9), "auc_interval": interval, "n": 30},
    }


STEP = {"kind": "step", "progress": 0.3, "loss": 0.7, "accuracy": 0.5}
RECORDS = [{"kind": "start"}, STEP, epoch(1, 0.6), STEP | {"progress": 1.4}, epoch(2, 0.4), {"kind": "end"}]


def trace(figure, name: str):
    return next(item for item in figure.data if item.name == name)


def test_loss_shows_steps_and_the_ends_of_epochs():
    figure = loss_curves(RECORDS)
    assert tuple(trace(figure, "Training, live").x) == (0.3, 1.4)
    assert tuple(trace(figure, "Validation").y) == (0.6, 0.4)
    assert tuple(trace(figure, "Training").x) == (1, 2)


def test_the_first_step_alone_is_visible_as_a_point():
    assert "markers" in trace(loss_curves([STEP]), "Training, live").mode


def test_accuracy_shows_the_interval_as_a_band_within_the_axis():
    figure = accuracy_curves(RECORDS)
    assert tuple(trace(figure, "95 % interval").y) == (0.9, 0.9, 0.6, 0.6)
    assert figure.layout.yaxis.range[0] <= 0.4


def test_the_axis_reaches_down_to_the_lowest_interval():
    figure = auc_curves([epoch(1, interval=(0.1, 0.95))])
    assert figure.layout.yaxis.range[0] < 0.1


def test_an_undefined_auc_leaves_a_gap_instead_of_an_error():
    figure = auc_curves([epoch(1), epoch(2, interval=None), epoch(3)])
    assert tuple(trace(figure, "Validation").x) == (1, 3)
    assert len(trace(figure, "95 % interval").x) == 4


def test_no_records_make_empty_charts():
    for draw in (loss_curves, accuracy_curves, auc_curves):
        assert json.loads(draw([]).to_json())["data"]


def test_class_balance_has_a_bar_for_every_class_and_split():
    figure = class_balance({"Normal": {"train": 10, "test": 2}, "Pneumonia": {"train": 30, "test": 4}})
    assert [item.name for item in figure.data] == ["Training", "Test"]
    assert tuple(figure.data[0].y) == (10, 30)


def test_the_page_of_charts_needs_no_internet():
    html = make_html_page({"loss": loss_curves(RECORDS), "auc": auc_curves(RECORDS)}, "run <1>")
    assert html.count("Plotly.newPlot(") == 2
    assert not re.search(r"<script[^>]+src=", html)
    assert "run &lt;1&gt;" in html
    assert "<p>" not in html


def test_the_page_of_charts_says_first_what_they_are_of():
    html = make_html_page({"loss": loss_curves(RECORDS)}, "run", "20 scans of <b>")
    assert html.index("<h1>run</h1>") < html.index("<p>20 scans of &lt;b&gt;</p>") < html.index("Plotly.newPlot(")


def test_the_page_of_charts_can_be_written_whatever_the_name():
    assert make_html_page({}, "a\udcff").encode()


def test_numbers_beside_an_axis_are_never_cut_off():
    for draw in (loss_curves, accuracy_curves, auc_curves):
        assert draw(RECORDS).layout.yaxis.automargin


def test_a_caption_says_below_the_title_what_a_figure_is_of_and_takes_its_room():
    bare, figure = loss_curves(RECORDS), add_caption(loss_curves(RECORDS), "<b> on d", "long " * 30)
    lines = figure.layout.title.subtitle.text.split("<br>")
    assert lines[0] == "&lt;b&gt; on d"
    assert len(lines) == 4
    assert max(map(len, lines[1:])) < 55
    assert figure.layout.title.text == "Loss"
    more = figure.layout.height - bare.layout.height
    assert more == figure.layout.margin.t - bare.layout.margin.t > 40


def test_the_epochs_of_the_last_layer_alone_are_shaded():
    for curves in (loss_curves, accuracy_curves, auc_curves):
        assert not curves(RECORDS).layout.shapes
        shade = curves([{"kind": "start", "freeze_epochs": 2}, *RECORDS[1:]]).layout.shapes[0]
        assert (shade.x0, shade.x1) == (0, 2)
    assert not loss_curves([{"kind": "start", "freeze_epochs": "2"}]).layout.shapes
