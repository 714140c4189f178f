"""Reliability, calibration error, shares by patient."""

import json

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from tests.xrai.calibration.made_up import calibrated, columns, drawn_from, softmax, two_classes
from xrai import calibration
from xrai.metrics import (
    bootstrap_intervals,
    calibration_error_by_chance,
    calibration_error_interval,
    clustered_proportion,
    expected_calibration_error,
    reliability,
)


def test_everything_named_is_there():
    assert all(hasattr(calibration, name) for name in calibration.__all__)


class TestReliability:
    @pytest.mark.parametrize(("equal_mass", "strategy"), [(True, "quantile"), (False, "uniform")])
    def test_is_scikit_learn_s_curve(self, equal_mass, strategy):
        scores, labels, _ = two_classes(500, 12)
        true, told = calibration_curve(labels, scores, n_bins=10, strategy=strategy)
        bins = reliability(scores, labels == 1, equal_mass=equal_mass)
        assert [item["share"] for item in bins] == pytest.approx(true)
        assert [item["mean"] for item in bins] == pytest.approx(told)
        assert sum(item["n"] for item in bins) == 500
        assert all(item["low"] <= item["mean"] <= item["high"] for item in bins)
        assert all(item["interval"][0] <= item["share"] <= item["interval"][1] for item in bins)
        json.dumps(bins)

    def test_equal_scores_make_one_bin(self):
        assert [item["n"] for item in reliability(np.full(20, 0.3), np.arange(20) < 6)] == [20]
        assert reliability([], np.zeros(0, dtype=bool)) == []

    def test_patients_count_once_in_a_bin(self):
        scores, truth = np.repeat(np.linspace(0.05, 0.95, 50), 4), np.repeat(np.arange(50) % 2 == 0, 4)
        alone = reliability(scores, truth, n_bins=2)
        together = reliability(scores, truth, n_bins=2, patients=np.repeat(np.arange(50), 4))
        for one, other in zip(alone, together, strict=True):
            assert np.ptp(one["interval"]) < np.ptp(other["interval"])

    @pytest.mark.parametrize(("scores", "n_bins"), [([0.5, 1.2], 10), ([-0.1, 0.5], 10), ([0.5, 0.5], 0)])
    def test_refuses_what_makes_no_sense(self, scores, n_bins):
        with pytest.raises(ValueError):
            reliability(scores, np.array([True, False]), n_bins=n_bins)


class TestCalibrationError:
    def test_interval_holds_the_error(self):
        for seed in range(5):
            logits, labels = calibrated(300, seed=seed)
            p, patients = softmax(logits), np.arange(300) // 3
            low, high = calibration_error_interval(p, labels, patients, n_rounds=200)
            assert 0 <= low <= expected_calibration_error(p, labels) <= high <= 1

    def test_interval_is_that_of_scans_drawn_one_by_one(self):
        logits, labels = calibrated(200, seed=20)
        p, rng = softmax(2 * logits), np.random.default_rng(0)
        draws = rng.integers(200, size=(1000, 200))
        low, high = np.quantile([expected_calibration_error(p[rows], labels[rows]) for rows in draws], [0.025, 0.975])
        assert calibration_error_interval(p, labels, range(200)) == pytest.approx((low, high), abs=0.01)

    def test_chance_alone_makes_an_error_that_falls_with_more_scans(self):
        few, many = (softmax(calibrated(n, seed=21)[0]) for n in (200, 5000))
        assert calibration_error_by_chance(few) > 3 * calibration_error_by_chance(many)
        rngs = map(np.random.default_rng, range(200))
        measured = [expected_calibration_error(few, drawn_from(np.log(few), rng)) for rng in rngs]
        assert calibration_error_by_chance(few) == pytest.approx(np.mean(measured), abs=0.006)


class TestShareByPatient:
    def test_of_right_answers_is_the_accuracy_s_interval(self):
        scores, labels, patients = two_classes(120, 22)
        right = (scores >= 0.5) == labels
        share, interval = clustered_proportion(right, patients // 2)
        assert share == pytest.approx(right.mean())
        expected = bootstrap_intervals(columns(scores), labels, patients // 2, threshold=0.5)["accuracy"]
        assert interval == pytest.approx(expected)

    def test_of_nothing_is_none(self):
        assert clustered_proportion([], []) is None
        assert clustered_proportion([True], ["p"], [False]) is None

    def test_refuses_what_does_not_go_together(self):
        for holds, groups, among in (([True], ["p"], [True, False]), ([True], ["p", "q"], None)):
            with pytest.raises(ValueError):
                clustered_proportion(holds, groups, among)
