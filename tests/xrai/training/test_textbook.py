"""Tests of `xrai.training.diagnostics`: made-up histories of each kind, and the findings."""

import json

import numpy as np
import pytest

from tests.xrai.training.curves import LEARNING, said
from xrai.figures import accuracy_curves, loss_curves
from xrai.figures.curves import Annotation, annotate_curves
from xrai.models.history import read_history
from xrai.training.config import TrainConfig
from xrai.training.diagnostics import TEXTBOOK_COUNTS, analyse_curves, count_class_errors, make_textbook_run
from xrai.training.diagnostics.history import estimate_noise, mann_kendall_z, running_median


def dicts(records):
    return [record.to_dict() for record in records]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("well", "learning-well"),
        ("overfits", "overfitting"),
        ("underfits", "underfitting"),
        ("rate-too-high", "rate-too-high"),
    ],
)
def test_textbook_runs_are_read_as_what_they_are(kind, found, seed):
    kinds = {item.kind for item in analyse_curves(make_textbook_run(kind, seed=seed), counts=TEXTBOOK_COUNTS)}
    assert found in kinds
    assert not kinds & (LEARNING - {found, "guessing"})


def test_an_unknown_textbook_run_is_refused():
    with pytest.raises(ValueError, match="no made-up run"):
        make_textbook_run("other")


def test_noise_is_that_of_the_values_and_not_of_their_course():
    rng = np.random.default_rng(0)
    values = np.linspace(5, 0, 400) + rng.normal(0, 0.1, 400)
    assert estimate_noise(values) == pytest.approx(0.1, rel=0.2)
    assert estimate_noise(np.linspace(1, 0, 30)) == pytest.approx(0, abs=1e-12)
    assert estimate_noise(np.array([1.0, 2.0])) == 0


def test_a_trend_is_told_from_chance():
    assert mann_kendall_z(np.arange(10.0)) > 3
    assert mann_kendall_z(-np.arange(4.0)) < -1.96
    sure = [abs(mann_kendall_z(np.random.default_rng(seed).normal(size=12))) > 1.96 for seed in range(1000)]
    assert np.mean(sure) == pytest.approx(0.05, abs=0.02)
    assert mann_kendall_z(np.array([1.0])) == 0


def test_a_running_median_ignores_one_wild_value():
    assert running_median(np.array([1.0, 1, 9, 1, 1])).tolist() == [1, 1, 1, 1, 1]


def test_errors_are_counted_by_class_and_their_intervals_by_patient():
    labels, called = np.array([0] * 10 + [1] * 4), np.array([0] * 9 + [1] + [0, 1, 1, 1])
    patients = [*range(10), *"aabb"]
    first, second = count_class_errors(labels, called, patients, 3)
    assert (first.label, first.n, first.n_wrong, first.top_confusion) == (0, 10, 1, 1)
    assert (second.label, second.n, second.n_wrong, second.top_confusion) == (1, 4, 1, 0)
    assert first.interval[0] <= 0.1 <= first.interval[1]
    assert second.interval[1] - second.interval[0] > 0.6  # two patients, and not four


def test_what_is_pointed_at_stands_in_the_figure_in_room_of_its_own():
    records = dicts(make_textbook_run("overfits"))
    plain, figure = (
        loss_curves(records),
        annotate_curves(
            loss_curves(records),
            [Annotation("Overfitting <b>", span=(12, 30), at=(12, 0.2)), Annotation("kept", at=(11, 0.2))],
        ),
    )
    shape, (first, second) = figure.layout.shapes[0], figure.layout.annotations
    assert (shape.x0, shape.x1) == (11.5, 30.5)
    assert (first.x, first.y, first.text) == (12, 0.2, "Overfitting &lt;b&gt;")
    assert first.ay > second.ay > max(max(trace.y) for trace in plain.data if len(trace.y)) * 0.9
    assert figure.layout.yaxis.range[1] > first.ay


def test_below_curves_that_rise_there_is_room_for_words_and_a_line_to_compare_with():
    records = dicts(make_textbook_run("well"))
    figure = annotate_curves(accuracy_curves(records), [Annotation("Always", at=(10, 0.75), line=0.75)])
    assert figure.layout.shapes[0].y0 == 0.75
    note = figure.layout.annotations[0]
    assert figure.layout.yaxis.range[0] < note.ay < accuracy_curves(records).layout.yaxis.range[0] + 0.1


def test_a_band_without_a_point_has_its_words_amid_it_and_an_empty_figure_takes_marks():
    note = annotate_curves(loss_curves([]), [Annotation("words", span=(2, 4))]).layout.annotations[0]
    assert not note.showarrow
    assert 2 <= note.x <= 4
    assert annotate_curves(loss_curves([]), []).layout.annotations == ()


def test_the_models_in_the_box_are_read(real_data):
    from xrai.core.paths import PROJECT_DIR

    for name, reading in {"pneumonia": "underfitting", "covid19": "learning-well"}.items():
        folder = PROJECT_DIR / "checkpoints" / name
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        found = said(
            read_history(folder / "history.jsonl"),
            TrainConfig.from_dict(card["training"]["settings"]),
            card["dataset"]["counts"],
        )
        assert [kind for kind in ("learning-well", "overfitting", "underfitting") if kind in found] == [reading]
        assert ("small-validation" in found) == (name == "covid19")
