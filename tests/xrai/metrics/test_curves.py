"""The curves against scikit-learn's, and what a page that draws them counts on."""

import json

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from xrai.metrics import (
    auc,
    average_precision,
    confusion_matrix,
    downsample,
    per_class_report,
    precision_recall_curve,
    predict,
    roc_curve,
)

CURVES = [roc_curve, precision_recall_curve]


def ranking(n=200, *, decimals=1, share=0.3, seed=0):
    """Scores that say something, with ties where `decimals` are few, and which scans are of the class."""
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < share
    return (1 / (1 + np.exp(-rng.normal(positive, 1)))).round(decimals), positive


def one_against_the_rest(n_classes, seed=0):
    rng = np.random.default_rng(seed)
    p, y = rng.dirichlet(np.ones(n_classes), size=150).round(1), rng.integers(0, n_classes, size=150)
    return [(p[:, k], y == k) for k in range(n_classes)]


CASES = [
    *(ranking(decimals=decimals, seed=seed) for decimals in (1, 2, 9) for seed in (0, 1)),
    *one_against_the_rest(2),
    *one_against_the_rest(3),
    ([0.5, 0.5, 0.5], [True, False, True]),
    ([0.1, 0.9], [True, False]),
    ([0.0, 1.0, 0.0], [False, True, False]),
]


class TestAsSklearn:
    @pytest.mark.parametrize(("scores", "positive"), CASES)
    def test_roc(self, scores, positive):
        found = roc_curve(scores, positive)
        x, y, thresholds = sklearn_metrics.roc_curve(positive, scores, drop_intermediate=False)
        assert found.x == pytest.approx(x, abs=1e-12)
        assert found.y == pytest.approx(y, abs=1e-12)
        assert found.thresholds.tolist() == thresholds.tolist()

    @pytest.mark.parametrize(("scores", "positive"), CASES)
    def test_precision_recall_in_the_order_of_recall(self, scores, positive):
        found = precision_recall_curve(scores, positive)
        precision, recall, thresholds = sklearn_metrics.precision_recall_curve(positive, scores)
        assert found.x == pytest.approx(recall[::-1], abs=1e-12)
        assert found.y == pytest.approx(precision[::-1], abs=1e-12)
        assert found.thresholds.tolist() == [np.inf, *thresholds[::-1]]

    @pytest.mark.parametrize(("scores", "positive"), CASES)
    def test_average_precision(self, scores, positive):
        expected = sklearn_metrics.average_precision_score(positive, scores)
        assert average_precision(scores, positive) == pytest.approx(expected, abs=1e-12)
        assert type(average_precision(scores, positive)) is float

    @pytest.mark.parametrize(("scores", "positive"), CASES)
    def test_area_below_the_roc_is_the_auc(self, scores, positive):
        found = roc_curve(scores, positive)
        p = np.stack([1 - np.asarray(scores), scores], axis=1)
        assert np.trapezoid(found.y, found.x) == pytest.approx(auc(p, np.asarray(positive).astype(int)), abs=1e-12)


class TestShape:
    def test_roc_runs_from_corner_to_corner_and_never_back(self):
        found = roc_curve(*ranking(decimals=2))
        assert (found.x[0], found.y[0], found.x[-1], found.y[-1]) == (0, 0, 1, 1)
        assert (np.diff(found.x) >= 0).all()
        assert (np.diff(found.y) >= 0).all()
        assert (np.diff(found.thresholds) < 0).all()

    def test_scans_of_one_score_are_one_step(self):
        found = roc_curve([0.9, 0.5, 0.5, 0.5, 0.1], [True, True, False, False, False])
        assert found.x == pytest.approx([0, 0, 2 / 3, 1])
        assert found.y == pytest.approx([0, 0.5, 1, 1])
        assert found.thresholds.tolist() == [np.inf, 0.9, 0.5, 0.1]

    def test_precision_recall_starts_at_recall_0_and_ends_with_the_share_of_the_class(self):
        scores, positive = ranking()
        found = precision_recall_curve(scores, positive)
        assert (found.x[0], found.y[0], found.x[-1]) == (0, 1, 1)
        assert found.y[-1] == pytest.approx(positive.mean())

    @pytest.mark.parametrize("threshold", [0.0, 0.3, 0.55, 0.7, 1.0, 2.0])
    def test_the_point_at_a_threshold_is_what_predict_does_there(self, threshold):
        scores, positive = ranking()
        labels = positive.astype(int)
        matrix = confusion_matrix(predict(np.stack([1 - scores, scores], axis=1), threshold), labels, 2)
        row = per_class_report(matrix, ["other", "this"])["this"]
        assert roc_curve(scores, positive).point_at(threshold) == pytest.approx(
            (matrix[0, 1] / matrix[0].sum(), row["recall"])
        )
        recall, precision = precision_recall_curve(scores, positive).point_at(threshold)
        assert recall == pytest.approx(row["recall"])
        assert precision == pytest.approx(row["precision"] if matrix[:, 1].any() else 1.0)

    def test_a_float32_score_reaches_itself_as_threshold(self):
        scores, positive = ranking(decimals=9)
        scores = scores.astype(np.float32)
        found = roc_curve(scores, positive)
        for score in scores[:20]:
            assert found.point_at(float(score))[1] == pytest.approx((scores[positive] >= score).mean())

    @pytest.mark.parametrize("curve", CURVES)
    def test_lists_are_json_without_infinity(self, curve):
        found = curve(*ranking())
        lists = found.to_lists()
        assert json.loads(json.dumps(lists, allow_nan=False)) == lists
        assert lists["thresholds"][0] is None
        assert lists["thresholds"][1:] == found.thresholds[1:].tolist()
        assert {len(values) for values in lists.values()} == {len(found.x)}


class TestThinned:
    @pytest.mark.parametrize("curve", CURVES)
    def test_a_large_curve_stays_small_and_keeps_its_ends_and_its_course(self, curve):
        whole = curve(*ranking(n=20_000, decimals=9))
        few = downsample(whole)
        assert 300 < len(few.x) <= 500 < len(whole.x)
        assert (few.x[0], few.y[0], few.thresholds[0]) == (whole.x[0], whole.y[0], np.inf)
        assert (few.x[-1], few.y[-1], few.thresholds[-1]) == (whole.x[-1], whole.y[-1], whole.thresholds[-1])
        points = set(zip(whole.x, whole.y, whole.thresholds, strict=True))
        assert points.issuperset(zip(few.x, few.y, few.thresholds, strict=True))
        assert np.trapezoid(few.y, few.x) == pytest.approx(np.trapezoid(whole.y, whole.x), abs=0.002)

    def test_the_few_scans_of_a_rare_class_are_not_skipped(self):
        scores, positive = ranking(n=20_000, decimals=9, share=0.001)
        few = downsample(roc_curve(scores, positive), 100)
        assert np.diff(few.y).max() == pytest.approx(1 / positive.sum())

    @pytest.mark.parametrize("curve", CURVES)
    @pytest.mark.parametrize("n", [2, 3, 10])
    def test_keeps_at_most_so_many(self, curve, n):
        few = downsample(curve(*ranking(decimals=9)), n)
        assert 2 <= len(few.x) <= n
        assert (few.x[0], few.x[-1]) == (0, 1)

    def test_a_small_curve_is_left_alone(self):
        whole = roc_curve(*ranking())
        assert downsample(whole) is whole
        assert downsample(whole, len(whole.x)) is whole

    def test_needs_both_ends(self):
        with pytest.raises(ValueError, match="two ends"):
            downsample(roc_curve(*ranking()), 1)


class TestEdges:
    @pytest.mark.parametrize("measure", [*CURVES, average_precision])
    @pytest.mark.parametrize("positive", [[True, True], [False, False], []])
    def test_none_without_positive_or_without_negative_scans(self, measure, positive):
        assert measure([0.5] * len(positive), positive) is None

    @pytest.mark.parametrize("measure", [*CURVES, average_precision])
    @pytest.mark.parametrize(
        ("scores", "positive"),
        [
            ([0.2, 0.8], [True]),
            ([[0.2, 0.8]], [[True, False]]),
            ([0.2, np.nan], [True, False]),
            ([0.2, np.inf], [True, False]),
            ([0.2, 0.8, 0.3], [0, 1, 2]),
            (0.2, True),
        ],
    )
    def test_input_that_does_not_fit(self, measure, scores, positive):
        with pytest.raises(ValueError, match="not"):
            measure(scores, positive)
