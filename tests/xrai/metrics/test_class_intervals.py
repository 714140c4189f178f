"""Confidence intervals of each class."""

import json
from statistics import NormalDist

import numpy as np
import pytest

from tests.xrai.metrics.scores import (
    CLASS_MEASURES,
    binary,
    class_values,
    several,
    two_columns,
    width,
    wilson_by_its_equation,
)
from xrai.metrics import bootstrap_intervals, class_intervals
from xrai.metrics.formulas import newcombe_auc_interval
from xrai.metrics.intervals import _bootstrap_class_metrics, _class_analytic_intervals
from xrai.metrics.resampling import draw_patients, make_sample


class TestClassIntervals:
    @pytest.mark.parametrize("n_classes", [2, 3])
    def test_hold_the_measured_values(self, n_classes):
        p, y = binary() if n_classes == 2 else several()
        found = class_intervals(p, y, np.arange(len(y)), n_rounds=200)
        assert len(found) == n_classes
        for row, values in zip(found, class_values(p, y).T, strict=True):
            assert list(row) == CLASS_MEASURES
            for (low, high), value in zip(row.values(), values, strict=True):
                assert 0 <= low < value < high <= 1
                assert type(low) is type(high) is float

    @pytest.mark.parametrize("n_classes", [2, 3])
    def test_the_rounds_are_those_of_scans_repeated_as_their_patients_were_drawn(self, n_classes):
        p, y = binary(n=60, decimals=1) if n_classes == 2 else several(n=60)
        patient = np.arange(60) // 3
        (drawn,) = draw_patients(20, 30, 30, seed=0)
        found = _bootstrap_class_metrics(make_sample(p, y, patient, None), drawn)
        assert found.shape == (4, n_classes, 30)
        for r in range(30):
            scans = np.repeat(np.arange(60), drawn[patient, r].astype(int))
            assert found[:, :, r] == pytest.approx(class_values(p[scans], y[scans]))

    def test_the_patients_drawn_are_those_of_the_intervals_of_the_whole(self):
        p, y = binary(decimals=9)
        patient = np.arange(200) // 3
        whole = bootstrap_intervals(p, y, patient, n_rounds=99, seed=7)
        by_class = class_intervals(p, y, patient, n_rounds=99, seed=7)
        assert by_class[1]["auc"] == whole["auc"]
        assert by_class != class_intervals(p, y, patient, n_rounds=99, seed=8)

    def test_small_pieces_and_one_large_piece_agree(self, monkeypatch):
        p, y = several()
        whole = class_intervals(p, y, np.arange(200), n_rounds=50)
        monkeypatch.setattr("xrai.metrics.resampling._CHUNK", 1400)
        for pieces, row in zip(class_intervals(p, y, np.arange(200), n_rounds=50), whole, strict=True):
            assert all(pieces[name] == pytest.approx(row[name]) for name in CLASS_MEASURES)

    def test_more_patients_narrower(self):
        few, many = (class_intervals(*binary(n=n), range(n), n_rounds=300) for n in (100, 1600))
        for k, name in ((k, name) for k in (0, 1) for name in CLASS_MEASURES):
            assert width(many[k][name]) == pytest.approx(width(few[k][name]) / 4, rel=0.35)

    def test_scans_of_few_patients_wider_than_as_many_patients(self):
        p, y = binary(n=100)
        p, y, patient = (np.repeat(x, 5, axis=0) for x in (p, y, np.arange(100)))
        by_patient, by_scan = (class_intervals(p, y, g, n_rounds=300) for g in (patient, range(500)))
        for k, name in ((k, name) for k in (0, 1) for name in CLASS_MEASURES):
            assert width(by_patient[k][name]) > 1.7 * width(by_scan[k][name])

    def test_higher_level_wider(self):
        p, y = several()
        narrow, wide = (class_intervals(p, y, range(200), n_rounds=300, level=level) for level in (0.8, 0.99))
        for k, name in ((k, name) for k in range(3) for name in CLASS_MEASURES):
            assert width(wide[k][name]) > 1.5 * width(narrow[k][name])

    def test_threshold_moves_recall_but_not_auc(self):
        p, y = binary()
        usual, strict = (class_intervals(p, y, range(200), threshold=t, n_rounds=99) for t in (None, 0.8))
        assert strict[1]["auc"] == usual[1]["auc"]
        assert strict[1]["recall"][1] < usual[1]["recall"][0]
        assert strict[0]["recall"][0] > usual[0]["recall"][1]

    def test_five_of_five_right_is_not_certain(self):
        y = np.array([1] * 5 + [0] * 100)
        rare, common = class_intervals(two_columns(np.where(y, 0.9, 0.1)), y, range(105))[::-1]
        assert rare["precision"] == rare["recall"] == pytest.approx((0.5655, 1.0), abs=1e-4)  # Wilson, 5 of 5
        assert rare["f1"] == pytest.approx((2 * 0.5655 / 1.5655, 1.0), abs=1e-4)
        assert rare["auc"][0] < 0.95
        assert rare["auc"][1] == 1.0
        assert common["recall"] == pytest.approx((0.9630, 1.0), abs=1e-4)  # 100 of 100

    def test_all_wrong_is_the_mirror_image_of_all_right(self):
        y = np.arange(30) % 2
        wrong = class_intervals(two_columns(np.where(y, 0.1, 0.9)), y, range(30))[1]
        assert wrong["precision"] == wrong["recall"] == pytest.approx((0.0, 1 - 0.7961), abs=1e-4)  # 0 of 15
        assert wrong["f1"] == pytest.approx((0.0, 1 - 0.7961), abs=1e-4)  # of J, 0 of 30
        assert wrong["auc"][0] == 0.0

    def test_patients_are_counted_where_they_have_scans_taken_for_the_class_or_of_it(self):
        # Class 1: three scans of patient A are right, one of B is missed, one each of C and D is false.
        y, guess = np.array([1, 1, 1, 1, 0, 0, 0]), np.array([1, 1, 1, 0, 1, 1, 0])
        found = _class_analytic_intervals(make_sample(two_columns(guess), y, "AAABCDE", None), 1, z=1.96)
        assert found["precision"] == pytest.approx(wilson_by_its_equation(3 / 5, n=3))  # A, C and D
        assert found["recall"] == pytest.approx(wilson_by_its_equation(3 / 4, n=2))  # A and B
        jaccard = np.array(wilson_by_its_equation(3 / 6, n=4))
        assert found["f1"] == pytest.approx(2 * jaccard / (1 + jaccard))
        assert found["auc"] == newcombe_auc_interval(guess.astype(float), y == 1, np.array([0, 0, 0, 1, 2, 3, 4]), 1.96)

    def test_cover_the_truth_about_as_often_as_they_say(self):
        """Sensitivity 0.85 and specificity 0.8 at even shares; three like scans a patient."""
        rng, rounds = np.random.default_rng(0), 150
        recall, precision = 0.85, 0.85 / (0.85 + 0.2)
        truth = {
            "precision": precision,
            "recall": recall,
            "f1": 2 * precision * recall / (precision + recall),
            "auc": NormalDist().cdf((NormalDist().inv_cdf(0.85) + NormalDist().inv_cdf(0.8)) / np.sqrt(2)),
        }
        covered = {name: [0, 0] for name in truth}
        for _ in range(rounds):
            y = rng.integers(0, 2, 60)
            scores = np.where(y, NormalDist().inv_cdf(0.85), -NormalDist().inv_cdf(0.8)) + rng.normal(size=60)
            p = two_columns(1 / (1 + np.exp(-scores)))
            p, y, patient = (np.repeat(x, 3, axis=0) for x in (p, y, np.arange(60)))
            for side, groups in enumerate((patient, range(180))):
                found = class_intervals(p, y, groups, n_rounds=60)[1]
                for name, value in truth.items():
                    covered[name][side] += found[name][0] <= value <= found[name][1]
        for by_patient, by_scan in covered.values():
            assert by_patient / rounds >= 0.92
            assert by_scan / rounds < 0.85

    def test_is_json(self):
        p, y = several()
        found = class_intervals(p, y, range(200), n_rounds=9)
        assert [{name: tuple(pair) for name, pair in row.items()} for row in json.loads(json.dumps(found))] == found


class TestClassIntervalsUndefined:
    def test_a_class_never_predicted_has_no_precision_but_an_f1(self):
        found = class_intervals(two_columns([0.1, 0.2, 0.3, 0.1]), [0, 1, 1, 0], range(4))[1]
        assert found["precision"] is None
        assert found["recall"][0] == found["f1"][0] == 0.0
        assert found["f1"][1] < 1
        assert found["auc"] is not None

    def test_a_class_without_scans_has_no_recall_and_no_auc(self):
        p = [[0.1, 0.8, 0.1], [0.6, 0.4, 0.0], [0.1, 0.2, 0.7]]
        absent, foreseen = (class_intervals(q, [0, 1, 1], range(3), n_rounds=50)[2] for q in (np.eye(3)[[0, 1, 0]], p))
        assert absent == dict.fromkeys(CLASS_MEASURES)
        assert foreseen["recall"] is foreseen["auc"] is None
        assert foreseen["precision"][0] == foreseen["f1"][0] == 0.0

    def test_every_scan_of_one_class(self):
        first, second = class_intervals(two_columns([0.2, 0.6]), [1, 1], range(2))
        assert first["auc"] is second["auc"] is first["recall"] is None
        assert second["precision"][1] == 1.0

    def test_no_scans(self):
        assert class_intervals(np.zeros((0, 3)), [], []) == [dict.fromkeys(CLASS_MEASURES)] * 3

    def test_a_class_with_a_single_patient_goes_missing_in_rounds(self):
        p, y = binary(n=12)
        y[:] = 0
        y[3] = 1
        for row in class_intervals(p, y, range(12)):
            assert all(np.isfinite(interval).all() for interval in row.values())
