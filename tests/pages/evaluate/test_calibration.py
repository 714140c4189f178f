"""Calibration and abstention on the page Evaluate."""

from dataclasses import replace

import numpy as np
import pytest

from pages.lab.evaluate import calibration_view as trust_view
from tests.pages.evaluate.page import (
    CLASSES,
    change_report,
    drop_later,
    effects,
    is_on,
    opened,
    shown_figures,
    texts,
    warned,
)
from xrai.evaluation.report import classification_report
from xrai.evaluation.store import evaluation_folder, load_evaluation, save_evaluation


@pytest.mark.usefixtures("no_cells")
class TestTrust:
    def test_the_probabilities_are_compared_with_what_came_true_and_with_chance(self, ready, measured_ready):
        app, report = opened(), load_evaluation(measured_ready).report
        assert shown_figures(app)["Calibration error (ECE)"] == f"{100 * report['expected_calibration_error']:.1f} %"
        assert is_on(app, f"would show {100 * report['expected_calibration_error_by_chance']:.1f} % by chance with")
        assert is_on(app, "Mean predicted probability of Opacity:")
        assert is_on(app, "calibrated for a prevalence of 50 % Opacity. The prevalence here is 65 %")

    @pytest.mark.parametrize(
        ("error", "interval", "chance", "words"),
        [
            (0.04, [0.03, 0.06], 0.01, "The error is larger"),
            (0.02, [0.005, 0.03], 0.01, "well calibrated"),
            (0.08, [0.04, 0.12], 0.07, "too few scans to tell"),
        ],
    )
    def test_what_is_off_is_weighed_against_chance(self, measured, error, interval, chance, words):
        change_report(
            measured,
            expected_calibration_error=error,
            expected_calibration_error_interval=interval,
            expected_calibration_error_by_chance=chance,
        )
        assert is_on(opened(), words)

    @pytest.mark.parametrize(
        ("p", "words"),
        [(0.9, "wrong more often than its probabilities say"), (0.6, "correct more often than its probabilities say")],
    )
    def test_in_which_direction_they_are_off_is_said(self, model, dataset_here, measurement, p, words):
        """Of ten scans about seven are called right, at whatever probability."""
        n = len(measurement.predictions.rows)
        labels = np.arange(n) % 2
        called = np.where(np.arange(n) % 10 < 7, labels, 1 - labels)
        shares = np.where(called[:, None] == [0, 1], p, 1 - p)
        found = classification_report(shares, labels, measurement.predictions.patients, CLASSES, 0.5)
        found |= {"expected_calibration_error_interval": [0.09, 0.3], "expected_calibration_error_by_chance": 0.01}
        predictions = replace(measurement.predictions, labels=labels, predicted=called, probabilities=shares)
        changed = replace(measurement, report=measurement.report | found, predictions=predictions)
        save_evaluation(evaluation_folder(model, dataset_here, "test"), changed)
        assert is_on(opened(), words)

    @pytest.mark.parametrize(
        ("share", "interval", "is_told"),
        [(0.4, [0.2, 0.6], True), (0.4, [0.2, 0.8], False), (0.68, [0.66, 0.69], False)],
    )
    def test_where_it_is_farthest_off_is_told_if_it_is_more_than_chance(self, measured, share, interval, is_told):
        point = {"low": 0.6, "high": 0.8, "mean": 0.7, "share": share, "n": 30, "interval": interval}
        change_report(measured, reliability={name: [point] for name in CLASSES})
        app = opened()
        assert (
            is_on(app, f"at a predicted probability of about 70.0 % the observed frequency is {100 * share:.1f} %")
            == is_told
        )

    @pytest.mark.parametrize(
        ("wrong", "interval", "kind", "words"),
        [
            (0.2, [0.15, 0.3], "error", "The error target is missed on these scans"),
            (0.2, [0.01, 0.3], "warning", "Slightly above the error target"),
            (0.02, [0.0, 0.3], "success", "The error target is met on these scans"),
            (None, None, "success", "The error target is met on these scans"),
        ],
    )
    def test_whether_the_promise_held_is_said_plainly(self, ready, measured_ready, wrong, interval, kind, words):
        report = load_evaluation(measured_ready).report
        per_class = [{"answered": 0.9, "answered_interval": [0.8, 1.0], "wrong": wrong, "wrong_interval": interval}]
        per_class += [per_class[0] | {"wrong": 0.0, "wrong_interval": [0.0, 0.1]}]
        change_report(measured_ready, answered=report["answered"] | {"per_class": per_class})
        app = opened()
        assert words in "".join(item.value for item in app.get(kind))
        assert report["doubt"]["alpha"] == pytest.approx(0.03)

    def test_more_than_half_left_to_a_radiologist_is_said(self, ready, measured_ready):
        report = load_evaluation(measured_ready).report
        answered = report["answered"] | {"answered": 0.4}
        change_report(measured_ready, answered=answered)
        assert "More than half of these scans" in warned(opened())

    def test_without_a_doubt_every_answer_is_firm(self, measured):
        assert is_on(opened(), "had no “uncertain” answer")

    def test_a_measurement_of_an_earlier_version_gets_its_figures_where_its_probabilities_are_the_models(
        self, measured
    ):
        drop_later(measured)
        app = opened()
        assert not app.exception
        assert "Calibration error (ECE)" in shown_figures(app)
        assert not is_on(app, trust_view.MEASURE_AGAIN)

    def test_else_it_still_opens_and_asks_to_be_made_again(self, ready, measured_ready):
        drop_later(measured_ready)
        app = opened()
        assert not app.exception
        assert "calibrated anew since this was measured" in warned(app)
        assert texts(app).count(trust_view.MEASURE_AGAIN) == 2
        assert "Accuracy" in shown_figures(app)
        assert len(effects(app).columns) == 2, "no effect on scans with other probabilities"
