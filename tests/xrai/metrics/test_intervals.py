"""Confidence intervals by patient."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.xrai.metrics.scores import binary, several, two_columns, width
from xrai.metrics import auc, bootstrap_intervals, predict
from xrai.metrics.formulas import newcombe_lower_limit
from xrai.metrics.intervals import _bootstrap_metrics
from xrai.metrics.resampling import draw_patients, make_sample


class TestIntervals:
    @pytest.mark.parametrize("n_classes", [2, 3])
    def test_hold_the_measured_values(self, n_classes):
        p, y = binary() if n_classes == 2 else several()
        found = bootstrap_intervals(p, y, np.arange(len(y)), n_rounds=200)
        accuracy = (predict(p) == y).mean()
        recalls = [(predict(p)[y == k] == k).mean() for k in range(n_classes)]
        for name, value in (("accuracy", accuracy), ("balanced_accuracy", np.mean(recalls)), ("auc", auc(p, y))):
            low, high = found[name]
            assert 0 <= low < value < high <= 1
            assert type(low) is type(high) is float

    def test_the_rounds_are_those_of_scans_repeated_as_their_patients_were_drawn(self):
        p, y = binary(n=60, decimals=1)
        patient = np.arange(60) // 3
        sample = make_sample(p, y, patient, None)
        (drawn,) = draw_patients(20, 30, 30, seed=0)
        assert (drawn.sum(axis=0) == 20).all()
        found = _bootstrap_metrics(sample, drawn)
        for r in range(30):
            scans = np.repeat(np.arange(60), drawn[patient, r].astype(int))
            right = predict(p[scans]) == y[scans]
            balanced = np.mean([right[y[scans] == k].mean() for k in (0, 1)])
            assert found[:, r] == pytest.approx([right.mean(), balanced, roc_auc_score(y[scans], p[scans, 1])])

    def test_small_pieces_and_one_large_piece_agree(self, monkeypatch):
        p, y = binary()
        whole = bootstrap_intervals(p, y, np.arange(200), n_rounds=50)
        monkeypatch.setattr("xrai.metrics.resampling._CHUNK", 1400)
        pieces = bootstrap_intervals(p, y, np.arange(200), n_rounds=50)
        for name, interval in whole.items():
            assert pieces[name] == pytest.approx(interval)

    def test_same_seed_same_interval(self):
        p, y = binary(decimals=9)
        first, second, other = (bootstrap_intervals(p, y, np.arange(200), n_rounds=99, seed=s) for s in (1, 1, 2))
        assert first == second != other

    def test_names_of_patients_may_be_anything(self):
        p, y = binary(n=40)
        numbers = np.arange(40) // 2
        expected = bootstrap_intervals(p, y, numbers, n_rounds=50)
        assert bootstrap_intervals(p, y, [f"patient {n}" for n in numbers], n_rounds=50) == expected
        assert bootstrap_intervals(p, y, [(n, None) for n in numbers], n_rounds=50) == expected

    def test_more_patients_narrower(self):
        few, many = (bootstrap_intervals(*binary(n=n), range(n), n_rounds=300) for n in (100, 1600))
        for name in few:
            assert width(many[name]) == pytest.approx(width(few[name]) / 4, rel=0.35)

    def test_scans_of_few_patients_wider_than_as_many_patients(self):
        p, y = binary(n=100)
        p, y, patient = (np.repeat(x, 5, axis=0) for x in (p, y, np.arange(100)))
        by_patient, by_scan = (bootstrap_intervals(p, y, g, n_rounds=300) for g in (patient, range(500)))
        for name in by_patient:
            assert width(by_patient[name]) > 1.7 * width(by_scan[name])

    def test_higher_level_wider(self):
        p, y = binary()
        narrow, wide = (bootstrap_intervals(p, y, range(200), n_rounds=300, level=level) for level in (0.8, 0.99))
        assert all(width(wide[name]) > 1.5 * width(narrow[name]) for name in wide)

    def test_threshold_moves_accuracy_but_not_auc(self):
        p, y = binary()
        usual, strict = (bootstrap_intervals(p, y, range(200), threshold=t, n_rounds=99) for t in (None, 0.9))
        assert strict["auc"] == usual["auc"]
        assert strict["accuracy"][1] < usual["accuracy"][1]

    def test_cover_the_truth_about_as_often_as_they_say(self):
        rng = np.random.default_rng(0)
        truth, covered = 0.9, 0
        for _ in range(200):
            y = np.arange(60) % 2
            right = np.repeat(rng.random(30) < truth, 2)  # two scans a patient, both right or both wrong
            low, high = bootstrap_intervals(two_columns(np.where(right, y, 1 - y)), y, range(60), n_rounds=99)[
                "accuracy"
            ]
            by_patient = bootstrap_intervals(
                two_columns(np.where(right, y, 1 - y)), y, np.arange(60) // 2, n_rounds=99
            )["accuracy"]
            assert width(by_patient) > high - low
            covered += by_patient[0] <= truth <= by_patient[1]
        assert covered / 200 >= 0.93


class TestIntervalsAtTheEdge:
    """Where the bootstrap sees no error it must not claim that there is none."""

    def test_all_right_is_not_certain(self):
        y = np.arange(30) % 2
        found = bootstrap_intervals(two_columns(np.where(y, 0.9, 0.1)), y, range(30))
        assert found["accuracy"] == pytest.approx((0.8865, 1.0), abs=1e-4)  # Wilson, 30 of 30
        assert found["balanced_accuracy"][0] == pytest.approx(1 - 0.2039 / np.sqrt(2), abs=1e-4)  # twice 15 of 15
        assert 0.75 < found["auc"][0] < 0.95
        assert {high for _, high in found.values()} == {1.0}

    def test_all_wrong_is_the_mirror_image_of_all_right(self):
        y = np.arange(30) % 2
        right, wrong = (bootstrap_intervals(two_columns(np.where(y, a, 1 - a)), y, range(30)) for a in (0.9, 0.1))
        for name, (low, high) in right.items():
            assert wrong[name] == pytest.approx((1 - high, 1 - low))

    def test_many_right_scans_of_few_patients_say_little(self):
        y = np.arange(300) % 2
        p = two_columns(np.where(y, 0.9, 0.1))
        few, many = (bootstrap_intervals(p, y, np.arange(300) // size) for size in (30, 1))
        for name in few:
            assert few[name][0] < 0.82
            assert many[name][0] > 0.95

    def test_balanced_accuracy_of_patients_with_both_classes_is_no_surer_than_accuracy(self):
        y = np.arange(40) % 2
        p = two_columns(np.where(y, 0.9, 0.1))
        shared, apart = (
            bootstrap_intervals(p, y, patient) for patient in (np.arange(40) // 2, y + 2 * (np.arange(40) // 4))
        )
        assert shared["balanced_accuracy"] == pytest.approx(shared["accuracy"])
        assert width(apart["balanced_accuracy"]) > width(apart["accuracy"])

    def test_newcombe_solves_its_own_equation(self):
        z, m, n = 1.959964, 12, 30
        for area in (0.3, 0.85, 1.0):
            low = newcombe_lower_limit(area, m, n, z)
            star = (m + n) / 2 - 1
            variance = low * (1 - low) * (1 + star * (1 - low) / (2 - low) + star * low / (1 + low)) / (m * n)
            assert (area - low) / np.sqrt(variance) == pytest.approx(z, rel=1e-6)

    def test_one_scan(self):
        found = bootstrap_intervals([[0.2, 0.8]], [1], ["only"])
        assert found["accuracy"] == found["balanced_accuracy"] == pytest.approx((0.2065, 1.0), abs=1e-4)
        assert found["auc"] is None

    def test_one_patient_with_both_classes(self):
        found = bootstrap_intervals(two_columns([0.1, 0.9]), [0, 1], ["only", "only"])
        assert all(width(interval) > 0.5 for interval in found.values())

    def test_no_scans(self):
        assert set(bootstrap_intervals(np.zeros((0, 2)), [], []).values()) == {None}

    def test_one_class_missing(self):
        p, _ = binary(n=20)
        found = bootstrap_intervals(p, np.ones(20, dtype=int), range(20))
        assert found["auc"] is None
        assert found["accuracy"] == pytest.approx(found["balanced_accuracy"])

    def test_a_class_of_three_absent(self):
        p, y = several(n=60)
        y[y == 2] = 0
        found = bootstrap_intervals(p, y, range(60), n_rounds=99)
        assert found["auc"][0] < auc(p, y) < found["auc"][1]

    def test_a_class_with_a_single_patient_goes_missing_in_rounds(self):
        p, y = binary(n=12)
        y[:] = 0
        y[3] = 1
        assert all(np.isfinite(interval).all() for interval in bootstrap_intervals(p, y, range(12)).values())
