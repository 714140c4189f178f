"""The metrics against scikit-learn, and what an honest interval must do."""

import json
from statistics import NormalDist

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, classification_report, precision_recall_fscore_support, roc_auc_score
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix

from xrai import metrics
from xrai.metrics import (
    auc,
    bootstrap_intervals,
    brier_score,
    class_aucs,
    class_intervals,
    confusion_matrix,
    expected_calibration_error,
    per_class_report,
    predict,
)
from xrai.metrics.formulas import newcombe_auc_interval, newcombe_lower_limit
from xrai.metrics.intervals import _bootstrap_class_metrics, _bootstrap_metrics, _class_analytic_intervals
from xrai.metrics.measures import weighted_auc
from xrai.metrics.resampling import draw_patients, make_sample


def two_columns(scores):
    return np.stack([1 - np.asarray(scores), scores], axis=1)


def binary(n=200, *, separation=1.0, decimals=2, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    scores = 1 / (1 + np.exp(-rng.normal(separation * (labels - 0.5), 1)))
    return two_columns(scores.round(decimals)), labels


def several(n=200, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(n_classes), size=n).round(2), rng.integers(0, n_classes, size=n)


def width(interval):
    return interval[1] - interval[0]


def test_everything_named_is_there():
    assert all(hasattr(metrics, name) for name in metrics.__all__)


class TestPredict:
    def test_threshold_decides_between_two_classes_and_counts_as_reached(self):
        p = two_columns([0.2, 0.3, 0.6])
        assert predict(p, 0.3).tolist() == [0, 1, 1]
        assert predict(p, None).tolist() == [0, 0, 1]

    def test_of_three_classes_the_likeliest_wins_whatever_the_threshold(self):
        assert predict([[0.2, 0.5, 0.3], [0.4, 0.3, 0.3]], 0.9).tolist() == [1, 0]

    def test_a_float32_score_reaches_itself_as_threshold(self):
        scores = np.random.default_rng(0).random(50, dtype=np.float32)
        for score in scores:
            assert predict(two_columns(scores), float(score)).sum() == (scores >= score).sum()


class TestAuc:
    @pytest.mark.parametrize("decimals", [1, 2, 9])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_binary_as_sklearn_with_many_and_few_ties(self, decimals, dtype):
        p, y = binary(decimals=decimals)
        assert auc(p.astype(dtype), y) == pytest.approx(roc_auc_score(y, p[:, 1].astype(dtype)), abs=1e-12)

    @pytest.mark.parametrize("n_classes", [3, 5])
    def test_several_classes_as_sklearn_one_against_the_rest(self, n_classes):
        p, y = several(n_classes=n_classes)
        expected = np.mean([roc_auc_score(y == k, p[:, k]) for k in range(n_classes)])
        assert auc(p, y) == pytest.approx(expected, abs=1e-12)

    def test_an_absent_class_is_left_out_of_the_mean(self):
        p, y = several(n_classes=4)
        y[y == 2] = 0
        expected = np.mean([roc_auc_score(y == k, p[:, k]) for k in (0, 1, 3)])
        assert auc(p, y) == pytest.approx(expected, abs=1e-12)

    @pytest.mark.parametrize("labels", [[0], [1, 1, 1], []])
    @pytest.mark.parametrize("n_classes", [2, 3])
    def test_is_none_where_there_is_nothing_to_rank_against(self, labels, n_classes):
        assert auc(np.full((len(labels), n_classes), 1 / n_classes), labels) is None

    def test_perfect_reversed_and_constant(self):
        y = [0, 0, 1, 1]
        assert auc(two_columns([0.1, 0.2, 0.8, 0.9]), y) == 1.0
        assert auc(two_columns([0.9, 0.8, 0.2, 0.1]), y) == 0.0
        assert auc(two_columns([0.5] * 4), y) == 0.5


class TestClassAucs:
    @pytest.mark.parametrize("decimals", [1, 9])
    @pytest.mark.parametrize("n_classes", [2, 3])
    def test_as_sklearn_one_against_the_rest(self, n_classes, decimals):
        p, y = binary(decimals=decimals) if n_classes == 2 else several()
        assert class_aucs(p, y) == pytest.approx([roc_auc_score(y == k, p[:, k]) for k in range(n_classes)], abs=1e-12)

    def test_their_mean_is_sklearns_macro_average(self):
        p, y = several(n=400)
        p /= p.sum(axis=1, keepdims=True)  # rounding took them away from 1, which scikit-learn insists on
        expected = roc_auc_score(y, p, multi_class="ovr", average="macro")
        assert np.mean(class_aucs(p, y)) == pytest.approx(expected, abs=1e-12)
        assert auc(p, y) == pytest.approx(expected, abs=1e-12)

    def test_of_two_classes_both_are_given_and_the_second_is_the_auc(self):
        p, y = binary()
        assert class_aucs(p, y) == pytest.approx([auc(p, y)] * 2)
        assert class_aucs([[0.9, 0.2], [0.8, 0.4], [0.3, 0.1]], [0, 1, 0]) == [0.5, 1.0]

    def test_none_where_no_scan_or_every_scan_is_of_the_class(self):
        p = [[0.2, 0.8, 0.0], [0.6, 0.4, 0.0]]
        assert class_aucs(p, [1, 0]) == [1.0, 1.0, None]
        assert class_aucs(p, [1, 1]) == [None, None, None]
        assert class_aucs(np.zeros((0, 2)), []) == [None, None]


class TestMatrixAndReport:
    @pytest.mark.parametrize("n_classes", [2, 3])
    def test_as_sklearn(self, n_classes):
        rng = np.random.default_rng(1)
        predicted, labels = rng.integers(0, n_classes, (2, 120))
        matrix = confusion_matrix(predicted, labels, n_classes)
        assert matrix.dtype == np.int64
        assert (matrix == sklearn_confusion_matrix(labels, predicted)).all()
        names = [f"class {k}" for k in range(n_classes)]
        expected = classification_report(labels, predicted, target_names=names, output_dict=True)
        for name, row in per_class_report(matrix, names).items():
            assert row == pytest.approx({k.replace("f1-score", "f1"): v for k, v in expected[name].items()})

    def test_classes_never_seen_or_never_predicted_are_zero_not_nan(self):
        labels, predicted = [0, 0, 1], [0, 0, 0]
        report = per_class_report(confusion_matrix(predicted, labels, 3), ["A", "B", "C"])
        assert report["B"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1}
        assert report["C"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
        assert report["A"]["precision"] == pytest.approx(2 / 3)

    def test_no_scans_make_a_matrix_of_zeros(self):
        assert confusion_matrix([], [], 2).tolist() == [[0, 0], [0, 0]]

    def test_is_json(self):
        report = per_class_report(confusion_matrix([0, 1], [0, 1], 2), ["A", "B"])
        assert json.loads(json.dumps(report)) == report
        assert type(report["A"]["support"]) is int


class TestCalibration:
    def test_brier_as_sklearn(self):
        p, y = binary()
        assert brier_score(p, y) == pytest.approx(brier_score_loss(y, p[:, 1]))
        p, y = several()
        p /= p.sum(axis=1, keepdims=True)
        assert brier_score(p, y) == pytest.approx(brier_score_loss(y, p, scale_by_half=True))

    def test_brier_runs_from_certain_and_right_to_certain_and_wrong(self):
        assert brier_score([[1, 0, 0]], [0]) == 0.0
        assert brier_score([[1, 0, 0]], [1]) == 1.0

    def test_calibration_error_by_hand(self):
        p = two_columns([0.95, 0.95, 0.95, 0.95, 0.65, 0.35])
        labels = [1, 1, 1, 0, 1, 1]
        # Four scans at 0.95 of which three are right, two at 0.65 of which one is.
        assert expected_calibration_error(p, labels) == pytest.approx((4 * 0.2 + 2 * 0.15) / 6)

    def test_calibration_error_of_certainty(self):
        assert expected_calibration_error([[1.0, 0.0]], [0]) == 0.0
        assert expected_calibration_error([[1.0, 0.0]], [1]) == 1.0

    def test_calibrated_scores_have_little_error(self):
        rng = np.random.default_rng(0)
        scores = rng.random(20_000)
        p, y = two_columns(scores), (rng.random(20_000) < scores).astype(int)
        assert expected_calibration_error(p, y) < 0.02
        assert expected_calibration_error(two_columns(scores**3), y) > 0.1


class TestWeightedAuc:
    """What every bootstrap round computes: a patient drawn twice counts twice."""

    @pytest.mark.parametrize("decimals", [1, 9])
    def test_as_sklearn_with_sample_weight(self, decimals):
        p, y = binary(n=80, decimals=decimals)
        weights = np.random.default_rng(2).integers(0, 4, size=(80, 25)).astype(float)
        found = weighted_auc(p[:, 1], y == 1, weights)
        expected = [roc_auc_score(y, p[:, 1], sample_weight=column) for column in weights.T]
        assert found == pytest.approx(expected, abs=1e-12)

    def test_is_nan_where_a_round_lost_a_class(self):
        found = weighted_auc(np.array([0.2, 0.8]), np.array([False, True]), np.array([[1.0, 2.0], [1.0, 0.0]]))
        assert found[0] == 1.0
        assert np.isnan(found[1])


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


CLASS_MEASURES = ["precision", "recall", "f1", "auc"]


def class_values(p, y):
    """What `class_intervals` must hold, by scikit-learn, (4, C)."""
    classes = range(p.shape[1])
    shares = precision_recall_fscore_support(y, predict(p), labels=classes, zero_division=np.nan)[:3]
    return np.array([*shares, [roc_auc_score(y == k, p[:, k]) for k in classes]])


def wilson_by_its_equation(share, n, z=1.96):
    """The shares θ of which the one seen is z of their own standard errors away: n (share − θ)² = z² θ (1 − θ)."""
    return sorted(np.roots([n + z**2, -(2 * n * share + z**2), n * share**2]))


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


class TestRefusals:
    @pytest.mark.parametrize("measure", [auc, class_aucs, brier_score, expected_calibration_error])
    @pytest.mark.parametrize(
        ("probabilities", "labels"),
        [
            ([0.2, 0.8], [0, 1]),
            ([[0.2], [0.8]], [0, 1]),
            ([[0.2, 0.8]], [0, 1]),
            ([[0.2, 0.8]], [2]),
            ([[0.2, 0.8]], [-1]),
            ([[0.2, 0.8]], [0.5]),
            ([[np.nan, 0.8]], [1]),
        ],
    )
    def test_input_that_does_not_fit(self, measure, probabilities, labels):
        with pytest.raises(ValueError, match=r"must|not"):
            measure(probabilities, labels)

    @pytest.mark.parametrize("measure", [brier_score, expected_calibration_error])
    def test_calibration_needs_scans_and_shares(self, measure):
        with pytest.raises(ValueError, match="without scans"):
            measure(np.zeros((0, 2)), [])
        with pytest.raises(ValueError, match="between 0 and 1"):
            measure([[-3.0, 4.0]], [1])

    def test_settings_that_make_no_sense(self):
        p, y = binary(n=4)
        for options in ({"n_rounds": 0}, {"level": 1.0}, {"level": 0.0}):
            with pytest.raises(ValueError, match="between 0 and 1"):
                bootstrap_intervals(p, y, range(4), **options)
        with pytest.raises(ValueError, match="names do not go"):
            bootstrap_intervals(p, y, range(3))
        for options in ({"n_rounds": 0}, {"level": 1.0}):
            with pytest.raises(ValueError, match="between 0 and 1"):
                class_intervals(p, y, range(4), **options)
        with pytest.raises(ValueError, match="names do not go"):
            class_intervals(p, y, range(3))
        with pytest.raises(ValueError, match="do not go with"):
            class_intervals(p, y[:3], range(3))
        with pytest.raises(ValueError, match="at least one bin"):
            expected_calibration_error(p, y, n_bins=0)
        with pytest.raises(ValueError, match="does not go with"):
            per_class_report(np.eye(3), ["A", "B"])
        with pytest.raises(ValueError, match="do not go with"):
            confusion_matrix([0, 1], [0], 2)
