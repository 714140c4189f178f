"""Metrics and the classification report."""

import json

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, classification_report, roc_auc_score
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix

from tests.xrai.metrics.scores import binary, several, two_columns
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
from xrai.metrics.measures import weighted_auc


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
