"""Tests of `xrai.figures.evaluation`."""

import json

import numpy as np
import pytest

from xrai.evaluation.evaluate import classification_report
from xrai.figures import confusion_figure, operating_points, precision_recall_figure, roc_figure
from xrai.figures.evaluation import RIGHT, WRONG
from xrai.metrics import average_precision

MATRIX = [[20, 0, 0], [14, 7, 5], [12, 0, 8]]
CLASSES = ["Normal", "Covid", "Viral Pneumonia"]


def cells(figure, name="cell"):
    return {
        (round((shape.y0 + shape.y1) / 2), round((shape.x0 + shape.x1) / 2)): shape
        for shape in figure.layout.shapes
        if shape.name == name
    }


def words(figure):
    return {(note.y, note.x): note.text for note in figure.layout.annotations}


def trace(figure, start):
    return next(item for item in figure.data if item.name.startswith(start))


@pytest.fixture(scope="module")
def measured():
    rng = np.random.default_rng(4)
    labels = np.repeat([0, 1, 2], [30, 20, 10])
    scores = rng.normal(0, 1, (60, 3)) + 1.5 * np.eye(3)[labels]
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    patients = np.array([f"p{number}" for number in range(60)], dtype=object)
    return shares, labels, classification_report(shares, labels, patients, tuple(CLASSES), None)


def test_right_answers_and_errors_have_different_hues_and_empty_cells_none():
    colours = {place: shape.fillcolor for place, shape in cells(confusion_figure(MATRIX, CLASSES)).items()}
    assert len(colours) == 9
    assert {colours[k, k] for k in range(3)} == {RIGHT}
    assert colours[1, 0] == colours[2, 0] == WRONG
    assert colours[0, 1] not in (RIGHT, WRONG)


def test_a_fuller_cell_is_stronger_and_never_so_strong_that_text_is_lost():
    strength = {place: shape.opacity for place, shape in cells(confusion_figure(MATRIX, CLASSES)).items()}
    assert strength[1, 2] < strength[1, 0] < strength[0, 0] <= 0.6


def test_counts_in_large_and_shares_of_the_true_class_in_small():
    text = words(confusion_figure(MATRIX, CLASSES))
    assert "<b>14</b>" in text[1, 0]
    assert "53.8 %" in text[1, 0]


def test_or_the_other_way_round():
    text = words(confusion_figure(MATRIX, CLASSES, as_rates=True))
    assert "<b>53.8 %</b>" in text[1, 0]
    assert "14 scans" in text[1, 0]
    assert "<b>100 %</b>" in text[0, 0]


def test_a_class_without_scans_has_no_rate():
    figure = confusion_figure([[0, 0], [1, 3]], ["A", "B"], as_rates=True)
    assert "<b>–</b>" in words(figure)[0, 0]
    assert "nan" not in figure.to_json().lower()


def test_a_click_selects_the_cell_by_its_number_row_by_row():
    figure = confusion_figure(MATRIX, CLASSES)
    (points,) = figure.data
    assert [(points.y[k], points.x[k]) for k in range(9)] == [divmod(k, 3) for k in range(9)]
    assert points.text[3].startswith("Covid predicted as Normal:<br>14 scans")
    assert points.unselected.marker.opacity == points.selected.marker.opacity == points.marker.opacity == 0
    assert figure.layout.clickmode == "event+select"
    assert figure.layout.hoverdistance == -1


def test_the_first_class_stands_on_top():
    low, high = confusion_figure(MATRIX, CLASSES).layout.yaxis.range
    assert low > high


def test_the_chosen_cell_has_a_frame():
    assert not cells(confusion_figure(MATRIX, CLASSES), "chosen")
    assert list(cells(confusion_figure(MATRIX, CLASSES, selected_cell=(2, 0)), "chosen")) == [(2, 0)]


def test_names_are_no_markup_and_long_ones_are_broken():
    figure = confusion_figure([[1, 0], [0, 1]], ["<b>x</b>", "Viral pneumonia of both lungs"])
    ticks = figure.layout.xaxis.ticktext
    assert ticks[0] == "&lt;b&gt;x&lt;/b&gt;"
    assert ticks[1].count("<br>") >= 1
    assert figure.data[0].text[0].startswith("&lt;b&gt;")


def test_many_classes_fit():
    figure = confusion_figure(np.eye(12, dtype=int).tolist(), [f"class {k}" for k in range(12)])
    assert len(figure.data[0].x) == 144
    assert figure.layout.annotations[0].font.size < confusion_figure(MATRIX, CLASSES).layout.annotations[0].font.size


def test_operating_points_are_those_of_the_matrix():
    rates, trades = operating_points(MATRIX, CLASSES)
    assert rates["Covid"] == (0, 7 / 26)
    assert rates["Normal"] == (26 / 46, 1)
    assert trades["Normal"] == (1, 20 / 46)
    assert trades["Viral Pneumonia"] == (8 / 20, 8 / 13)


def test_a_class_never_called_has_no_precision_and_one_without_scans_no_point():
    rates, trades = operating_points([[5, 0, 0], [3, 0, 0], [0, 0, 0]], ["a", "b", "c"])
    assert rates == {"a": (1, 1), "b": (0, 0)}
    assert trades == {"a": (1, 5 / 8)}


def test_roc_shows_curves_chance_and_where_the_model_stands(measured):
    _, _, found = measured
    rates, _ = operating_points(found["confusion_matrix"], CLASSES)
    areas = {name: found["per_class"][name]["auc"] for name in CLASSES}
    figure = roc_figure(found["curves"], rates, areas)
    assert tuple(trace(figure, "Chance").x) == (0, 1)
    curve = trace(figure, "Covid, AUC")
    assert curve.name == f"Covid, AUC {areas['Covid']:.3f}"
    assert list(curve.y) == found["curves"]["Covid"]["roc"]["y"]
    point = trace(figure, "Covid, operating point")
    assert (point.x[0], point.y[0]) == rates["Covid"]
    assert point.marker.color == curve.line.color
    assert len({trace(figure, f"{name}, AUC").line.color for name in CLASSES}) == 3


def test_the_area_below_the_precision_steps_is_the_average_precision(measured):
    shares, labels, found = measured
    _, trades = operating_points(found["confusion_matrix"], CLASSES)
    prevalence = {name: found["per_class"][name]["support"] / found["n"] for name in CLASSES}
    figure = precision_recall_figure(found["curves"], trades, prevalence)
    curve = trace(figure, "Viral Pneumonia, average precision")
    assert curve.line.shape == "vh"  # the height over a step is that of its right end
    area = float(np.diff(curve.x) @ np.array(curve.y)[1:])
    assert area == pytest.approx(average_precision(shares[:, 2], labels == 2))
    assert tuple(trace(figure, "Viral Pneumonia, chance").y) == (1 / 6, 1 / 6)


def test_a_class_without_a_curve_is_left_out_and_the_others_keep_their_colours(measured):
    _, _, found = measured
    whole = roc_figure(found["curves"], {}, {})
    part = roc_figure(found["curves"] | {"Normal": None}, {}, {})
    assert len(part.data) == len(whole.data) - 1
    assert trace(part, "Covid").line.color == trace(whole, "Covid").line.color
    assert trace(part, "Covid").name == "Covid, AUC –"


def test_nothing_to_draw_makes_empty_charts():
    for figure in (roc_figure({}, {}, {}), precision_recall_figure({"a": None}, {}, {"a": 0.0})):
        assert json.loads(figure.to_json())["layout"]
