"""Tests of `xrai.figures.trust`."""

import json

import numpy as np
import pytest

from xrai.calibration import compute_natural_frequencies, threshold_points
from xrai.figures import icon_array_figure, reliability_figure, threshold_figure
from xrai.figures.evaluation import RIGHT, WRONG
from xrai.metrics import reliability

CLASSES = ("Normal", "<Pneumonia>")


@pytest.fixture(scope="module")
def scored():
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 2
    return 1 / (1 + np.exp(-rng.normal(3.0 * labels - 1.5, 1))), labels


def named(items, name):
    return [item for item in items if item.name == name]


class TestReliability:
    @pytest.fixture
    def drawn(self, scored):
        scores, labels = scored
        bins = reliability(scores, labels == 1)
        return bins, reliability_figure(bins, np.histogram(scores, 20, (0, 1))[0].tolist(), CLASSES[1])

    def test_a_point_a_bin_with_its_interval(self, drawn):
        bins, figure = drawn
        (points,) = named(figure.data, "Observed, with 95 % intervals")
        for k, item in enumerate(bins):
            assert (points.x[k], points.y[k]) == (item["mean"], item["share"])
            ends = points.y[k] - points.error_y.arrayminus[k], points.y[k] + points.error_y.array[k]
            assert ends == pytest.approx(item["interval"])
            assert f"{item['n']:,} scans" in points.text[k]
        (line,) = named(figure.data, "Perfect calibration")
        assert (line.x, line.y) == ((0, 1), (0, 1))

    def test_how_many_stand_below(self, drawn, scored):
        (bars,) = named(drawn[1].data, "Scans")
        assert sum(bars.y) == len(scored[0])
        assert (bars.x[0], bars.x[-1]) == pytest.approx((0.025, 0.975))

    def test_names_are_not_markup(self, drawn):
        assert drawn[1].layout.xaxis2.title.text == "Probability of &lt;Pneumonia&gt;"

    def test_of_no_scans_is_empty(self):
        json.loads(reliability_figure([], [], "Normal").to_json())


class TestThreshold:
    def test_both_classes_over_the_threshold(self, scored):
        points = threshold_points(*scored)
        figure = threshold_figure(points, CLASSES, 0.3)
        found, cleared = figure.data
        assert (found.name, cleared.name) == ("Sensitivity (&lt;Pneumonia&gt;)", "Specificity (Normal)")
        assert list(found.y) == points["sensitivity"]
        assert list(cleared.y) == points["specificity"]
        assert found.line.dash != cleared.line.dash  # told apart without their colours

    def test_the_chosen_one_its_interval_and_where_the_answer_is_not_sure(self, scored):
        figure = threshold_figure(threshold_points(*scored), CLASSES, 0.3, zone=(0.2, 0.6), interval=(0.25, 0.4))
        (line,), (zone,), (interval,) = (named(figure.layout.shapes, name) for name in ("chosen", "zone", "interval"))
        assert (line.x0, line.x1) == (0.3, 0.3)
        assert (zone.x0, zone.x1) == (0.2, 0.6)
        assert (interval.x0, interval.x1) == (0.25, 0.4)
        assert {note.text for note in figure.layout.annotations} == {"threshold 30.0 % (25.0 % to 40.0 %)", "uncertain"}

    def test_a_small_threshold_is_not_told_as_none(self, scored):
        """Where a disease is rare it may be far below 1 %, and was once told as 0.00."""
        (note,) = threshold_figure(threshold_points(*scored), CLASSES, 0.004).layout.annotations
        assert note.text == "threshold 0.4 %"

    @pytest.mark.parametrize(("chosen", "anchor"), [(0.01, "left"), (0.5, "center"), (0.99, "right")])
    def test_its_name_stays_within_the_figure(self, scored, chosen, anchor):
        (note,) = threshold_figure(threshold_points(*scored), CLASSES, chosen).layout.annotations
        assert note.xanchor == anchor

    def test_no_doubt_no_zone(self, scored):
        figure = threshold_figure(threshold_points(*scored), CLASSES, 0.3, zone=(0.3, 0.3))
        assert [shape.name for shape in figure.layout.shapes] == ["chosen"]


class TestThousand:
    def test_a_dot_a_person_each_in_a_place_of_its_own(self):
        figure = icon_array_figure(compute_natural_frequencies(0.95, 0.9, 0.2), "pneumonia", "children")
        places = [place for dots in figure.data for place in zip(dots.x, dots.y, strict=True)]
        assert len(places) == len(set(places)) == 1000
        assert [len(dots.x) for dots in figure.data] == [190, 10, 80, 720]
        assert figure.layout.title.text == "Of 1,000 children"

    def test_says_who_is_who(self):
        words = [dots.name for dots in icon_array_figure((190, 10, 80, 720), "pneumonia").data]
        assert words[0] == "found: 190 of 200 with pneumonia"
        assert words[1:3] == ["missed: 10 of 200", "false alarms: 80 of 800 without"]
        assert words[3] == "cleared: 720 of 800"

    def test_colour_tells_errors_and_shape_the_sick(self):
        found, missed, alarms, cleared = (dots.marker for dots in icon_array_figure((190, 10, 80, 720), "x").data)
        assert found.color == cleared.color == RIGHT
        assert missed.color == alarms.color == WRONG
        assert found.symbol == missed.symbol == "square"
        assert (alarms.symbol, cleared.symbol) == ("circle", "circle-open")

    def test_nobody_missed_is_still_said(self):
        assert icon_array_figure((200, 0, 0, 800), "x").data[1].showlegend

    @pytest.mark.parametrize("counts", [(1, 2, 3, 4), (1000, 0, 0), (1001, -1, 0, 0)])
    def test_refuses_other_than_a_thousand(self, counts):
        with pytest.raises(ValueError, match="sum to 1,000"):
            icon_array_figure(counts, "x")
