"""Tests of `xrai.calibration`, and of what `xrai.metrics` says of calibration, against references and simulations."""

import json

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV, calibration_curve
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from xrai import calibration
from xrai.calibration import (
    Calibration,
    ConformalAbstention,
    Threshold,
    ThresholdGoal,
    abstention_report,
    adjust_prevalence,
    choose_threshold,
    compute_natural_frequencies,
    describe_natural_frequency,
    fit_abstention,
    fit_calibration,
    fit_cross_validated_calibration,
    patients_needed,
    people_word,
    predictive_values,
    round_to_hundred,
    threshold_points,
)
from xrai.core.labels import condition_phrase
from xrai.metrics import (
    bootstrap_intervals,
    calibration_error_by_chance,
    calibration_error_interval,
    class_intervals,
    clustered_proportion,
    expected_calibration_error,
    reliability,
)

CLASSES = ("NORMAL", "PNEUMONIA")


def softmax(z):
    raised = np.exp(z - z.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def drawn_from(logits, rng):
    """Labels for which the logits are exactly right."""
    return (softmax(logits).cumsum(axis=1) < rng.random((len(logits), 1))).sum(axis=1)


def calibrated(n=12_000, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, n_classes))
    return logits, drawn_from(logits, rng)


def two_classes(n, seed=0, separation=2.0, sick_share=0.6):
    """Scores of the second class, labels, and a patient each."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < sick_share).astype(int)
    return 1 / (1 + np.exp(-rng.normal(separation * (labels - 0.5), 1))), labels, np.arange(n)


def columns(scores):
    return np.stack([1 - scores, scores], axis=1)


class Margin(ClassifierMixin, BaseEstimator):
    """A fitted model whose decision function is its only feature, or its features as they are."""

    def fit(self, x, y):
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, x):
        return x[:, 0] if x.shape[1] == 1 else x

    def predict(self, x):
        raise NotImplementedError


def test_everything_named_is_there():
    assert all(hasattr(calibration, name) for name in calibration.__all__)


class TestCalibration:
    def test_is_a_softmax_of_stretched_and_shifted_logits(self):
        logits = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
        p = Calibration(slope=0.5, offsets=(0.1, 0.2, -0.3))(logits)
        assert p.dtype == np.float64
        assert p == pytest.approx(softmax(0.5 * logits.astype(float) + [0.1, 0.2, -0.3]))

    def test_takes_huge_logits(self):
        assert Calibration(slope=1.0, offsets=(0.0, 0.0))([[1e4, -1e4]]).tolist() == [[1.0, 0.0]]

    def test_survives_json(self):
        for shares in (None, (0.25, 0.75)):
            one = Calibration(slope=0.7, offsets=(0.25, -0.25), prevalence=shares)
            assert Calibration.from_dict(json.loads(json.dumps(one.to_dict()))) == one

    @pytest.mark.parametrize(
        "change",
        [
            {"slope": 0},
            {"slope": -1},
            {"slope": float("nan")},
            {"slope": float("inf")},
            {"offsets": [0.1, 0.1]},
            {"offsets": [0.0]},
            {"offsets": [float("nan"), 0]},
            {"prevalence": [0.5, 0.6]},
            {"prevalence": [1.0]},
            {"prevalence": [1.5, -0.5]},
            {"prevalence": [float("nan"), 1.0]},
            {"slope": "steep"},
        ],
    )
    def test_refuses_what_is_none(self, change):
        with pytest.raises((TypeError, ValueError)):
            Calibration.from_dict({"slope": 1.0, "offsets": [0.0, 0.0], "prevalence": None} | change)

    def test_refuses_other_classes(self):
        with pytest.raises(ValueError, match="3 classes"):
            Calibration(slope=1.0, offsets=(0.0, 0.0))(np.zeros((2, 3)))


class TestFitCalibration:
    @pytest.mark.parametrize("offsets", [True, False])
    @pytest.mark.parametrize("n_classes", [2, 3])
    def test_leaves_what_is_calibrated_as_it_is(self, offsets, n_classes):
        found = fit_calibration(*calibrated(n_classes=n_classes), with_offsets=offsets)
        assert found.slope == pytest.approx(1, abs=0.05)
        assert found.offsets == pytest.approx((0,) * n_classes, abs=0.05)

    def test_undoes_a_stretch_and_a_shift(self):
        logits, labels = calibrated()
        found = fit_calibration((logits - [0.5, 0, -0.5]) * 4, labels, with_offsets=True)
        assert found.slope == pytest.approx(0.25, abs=0.01)
        assert found.offsets == pytest.approx((0.5, 0, -0.5), abs=0.06)
        assert expected_calibration_error(found((logits - [0.5, 0, -0.5]) * 4), labels) < 0.015

    def test_of_two_classes_is_platt_s_as_scikit_learn_has_it(self):
        rng = np.random.default_rng(1)
        margin = rng.normal(size=80) * 3
        labels = (margin + rng.normal(size=80) * 2 > 1).astype(int)
        x = margin[:, None]
        platt = CalibratedClassifierCV(FrozenEstimator(Margin().fit(x, labels)), method="sigmoid", ensemble=False)
        expected = platt.fit(x, labels).predict_proba(x)
        found = fit_calibration(np.stack([np.zeros(80), margin], axis=1), labels, with_offsets=True)
        assert found(np.stack([np.zeros(80), margin], axis=1)) == pytest.approx(expected, abs=1e-4)

    def test_of_many_scans_is_logistic_regression(self):
        logits, labels = calibrated(5000, 2, seed=2)
        margin = logits[:, 1:] - logits[:, :1]
        reference = LogisticRegression(C=np.inf, tol=1e-8).fit(margin, labels)
        found = fit_calibration(logits, labels, with_offsets=True)
        assert found(logits) == pytest.approx(reference.predict_proba(margin), abs=2e-3)

    def test_of_many_scans_is_scikit_learn_s_temperature(self):
        logits, labels = calibrated(5000, 3, seed=3)
        model = CalibratedClassifierCV(FrozenEstimator(Margin().fit(3 * logits, labels)), method="temperature")
        expected = model.fit(3 * logits, labels).predict_proba(3 * logits)
        found = fit_calibration(3 * logits, labels, with_offsets=False)
        assert found.offsets == (0, 0, 0)
        assert found(3 * logits) == pytest.approx(expected, abs=5e-3)

    @pytest.mark.parametrize("offsets", [True, False])
    @pytest.mark.parametrize("scale", [0.01, 1, 100])
    def test_separable_scans_do_not_make_it_certain(self, offsets, scale):
        labels = np.repeat([0, 1], 20)
        logits = scale * np.stack([-(2.0 * labels - 1), 2.0 * labels - 1], axis=1)
        p = fit_calibration(logits, labels, with_offsets=offsets)(logits)
        assert p.max() == pytest.approx(21 / 22, abs=1e-4)  # Laplace's rule of succession, at any scale

    def test_a_class_without_scans_stays_possible(self):
        logits, labels = calibrated(300, seed=4)
        logits, labels = logits[labels < 2], labels[labels < 2]
        found = fit_calibration(logits, labels, with_offsets=True)
        assert found.prevalence[2] == 0
        assert 0 < found(logits)[:, 2].mean() < 0.02

    def test_one_scan_will_do(self):
        assert 0.5 < fit_calibration([[0.0, 1.0]], [1], with_offsets=True)([[0.0, 1.0]])[0, 1] < 0.7

    def test_answers_that_say_nothing_or_the_opposite_become_all_but_equal(self):
        logits, labels = calibrated(2000, 2, seed=5)
        p = fit_calibration(-logits, labels, with_offsets=True)(logits)
        assert np.ptp(p) < 0.03
        constant = fit_calibration(np.zeros((50, 2)), [0] * 10 + [1] * 40, with_offsets=True)
        assert constant([[0.0, 0.0]])[0, 1] == pytest.approx(0.8, abs=0.03)

    def test_of_other_shares_holds_for_those(self):
        rng = np.random.default_rng(6)
        labels = (rng.random(15_000) < 0.9).astype(int)
        x = rng.normal(2.0 * labels - 1, 1)
        logits = np.stack([-x, x], axis=1)  # right where both classes are as frequent
        even = fit_calibration(logits, labels, with_offsets=True, prevalence=(0.5, 0.5))
        assert even.prevalence == (0.5, 0.5)
        assert even(logits) == pytest.approx(softmax(logits), abs=0.03)
        seen = fit_calibration(logits, labels, with_offsets=True)
        assert seen.prevalence == pytest.approx((0.1, 0.9), abs=0.01)
        assert seen(logits) == pytest.approx(adjust_prevalence(softmax(logits), (0.5, 0.5), (0.1, 0.9)), abs=0.03)

    def test_weights_count_as_scans_and_their_unit_does_not_matter(self):
        logits, labels = calibrated(200, 2, seed=7)
        weights = np.where(np.arange(200) < 100, 1.0, 0.0)
        half = fit_calibration(logits[:100], labels[:100], with_offsets=True)
        for unit in (1, 0.01, 1000):
            found = fit_calibration(logits, labels, with_offsets=True, weights=unit * weights)
            assert found(logits) == pytest.approx(half(logits), abs=1e-5)

    @pytest.mark.parametrize(
        ("labels", "options"),
        [
            ([0, 1, 1], {}),
            ([0, 2], {}),
            ([0, 1], {"weights": [1, -1]}),
            ([0, 1], {"weights": [0, 0]}),
            ([0, 1], {"weights": [1]}),
            ([0, 0], {"prevalence": (0.5, 0.5)}),
            ([0, 1], {"prevalence": (0.5, 0.4)}),
        ],
    )
    def test_refuses_what_does_not_fit(self, labels, options):
        with pytest.raises(ValueError):
            fit_calibration([[0.0, 1.0], [1.0, 0.0]], labels, with_offsets=True, **options)

    def test_refuses_no_scans(self):
        with pytest.raises(ValueError, match="needs scans"):
            fit_calibration(np.zeros((0, 2)), [], with_offsets=True)


class TestPrevalence:
    def test_is_bayes_rule(self):
        """Of 1,000 at 10 %: a finding twice as frequent in the sick takes 1 : 9 to 2 : 9."""
        assert adjust_prevalence([[1 / 3, 2 / 3]], (0.5, 0.5), (0.9, 0.1))[0] == pytest.approx([9 / 11, 2 / 11])

    def test_there_and_back_is_where_it_was(self):
        p, shares = softmax(calibrated(50)[0]), ((0.2, 0.3, 0.5), (0.6, 0.3, 0.1))
        moved = adjust_prevalence(p, *shares)
        assert moved.sum(axis=1) == pytest.approx(1)
        assert adjust_prevalence(moved, *shares[::-1]) == pytest.approx(p)
        assert adjust_prevalence(p, shares[0], shares[0]) == pytest.approx(p)

    @pytest.mark.parametrize("shares", [(1.0, 0.0), (0.5, 0.4), (0.2, 0.3, 0.5)])
    def test_refuses_what_are_no_shares(self, shares):
        with pytest.raises(ValueError):
            adjust_prevalence([[0.5, 0.5]], (0.5, 0.5), shares)


def searched(scores, labels, goal):
    """The extreme threshold that keeps to a limit, of all that tell scores of three digits apart."""
    grid = np.array([0, *(np.arange(1000) + 0.5) / 1000])
    sick, healthy = scores[labels == 1], scores[labels == 0]
    if goal.kind == "max_fnr":
        return max(t for t in grid if (sick < t).mean() <= goal.limit + 1e-12)
    return min(t for t in grid if (healthy >= t).mean() <= goal.limit + 1e-12)


class TestChooseThreshold:
    @pytest.mark.parametrize("kind", ["max_fnr", "max_fpr"])
    @pytest.mark.parametrize("limit", [0.01, 0.05, 0.1, 0.29, 0.5])
    @pytest.mark.parametrize("decimals", [1, 3])
    def test_is_what_a_search_finds(self, kind, limit, decimals):
        for seed in range(3):
            scores, labels, patients = two_classes(100, seed)
            scores, goal = np.clip(scores.round(decimals), 0, 0.999), ThresholdGoal(kind=kind, limit=limit)
            found = choose_threshold(scores, labels, patients, goal, n_rounds=20)
            best = searched(scores, labels, goal)
            assert found.is_reached
            assert ((scores >= found.value) == (scores >= best)).all()
            assert found.value not in scores

    def test_lies_midway_between_neighbours(self):
        scores, labels = np.array([0.1, 0.2, 0.4, 0.8]), np.array([0, 0, 1, 1])
        assert choose_threshold(
            scores, labels, range(4), ThresholdGoal(kind="max_fnr", limit=0.05)
        ).value == pytest.approx(0.3)
        assert choose_threshold(
            scores, labels, range(4), ThresholdGoal(kind="max_fpr", limit=0.05)
        ).value == pytest.approx(0.3)
        assert choose_threshold(
            scores, labels, range(4), ThresholdGoal(kind="max_fnr", limit=0.5)
        ).value == pytest.approx(0.6)
        assert choose_threshold(
            scores, labels, range(4), ThresholdGoal(kind="max_fpr", limit=0.5)
        ).value == pytest.approx(0.15)

    def test_the_limit_is_met_exactly_where_it_can_be(self):
        """29 of 100: as a float, 0.29 · 100 is less than 29."""
        scores, labels = np.linspace(0.01, 0.99, 200), np.arange(200) % 2
        found = choose_threshold(scores, labels, range(200), ThresholdGoal(kind="max_fnr", limit=0.29), n_rounds=10)
        assert found.sensitivity == pytest.approx(0.71)

    def test_its_intervals_are_those_of_the_metrics(self):
        scores, labels, patients = two_classes(150, 3)
        found = choose_threshold(scores, labels, patients // 3, ThresholdGoal(kind="max_fnr", limit=0.05))
        healthy, sick = class_intervals(columns(scores), labels, patients // 3, threshold=found.value)
        assert found.sensitivity_interval == pytest.approx(sick["recall"])
        assert found.specificity_interval == pytest.approx(healthy["recall"])
        assert found.interval[0] <= found.value <= found.interval[1]
        assert found.n_scans == (int((labels == 0).sum()), int((labels == 1).sum()))

    def test_more_patients_know_it_better(self):
        def width(n, per_patient):
            scores, labels, patients = two_classes(n, 4)
            low, high = choose_threshold(
                scores, labels, patients // per_patient, ThresholdGoal(kind="max_fnr", limit=0.1)
            ).interval
            return high - low

        assert width(2000, 1) < width(100, 1)

    def test_scans_of_one_patient_count_as_one(self):
        scores, labels, patients = two_classes(100, 5)
        once = choose_threshold(scores, labels, patients, ThresholdGoal(kind="max_fnr", limit=0.1))
        five = choose_threshold(
            *(np.repeat(of, 5) for of in (scores, labels, patients)), ThresholdGoal(kind="max_fnr", limit=0.1)
        )
        assert five.n_patients == once.n_patients
        assert five.interval == pytest.approx(once.interval)
        assert five.sensitivity_interval == pytest.approx(once.sensitivity_interval)

    @pytest.mark.parametrize("kind", ["max_fnr", "max_fpr"])
    def test_equal_scores_cannot_be_told_apart(self, kind):
        found = choose_threshold(np.full(20, 0.4), np.arange(20) % 2, range(20), ThresholdGoal(kind=kind, limit=0.05))
        assert (found.sensitivity, found.specificity) == ((1, 0) if kind == "max_fnr" else (0, 1))
        assert found.is_reached

    def test_certain_alarms_cannot_be_cleared(self):
        found = choose_threshold([1.0, 1.0, 0.2], [0, 1, 0], range(3), ThresholdGoal(kind="max_fpr", limit=0.1))
        assert not found.is_reached
        assert found.value <= 1
        assert "No threshold keeps to that limit" in found.sentence(CLASSES)

    @pytest.mark.parametrize(
        "goal",
        [
            ThresholdGoal(kind="max_fnr", limit=0.1),
            ThresholdGoal(kind="max_fpr", limit=0.1),
            ThresholdGoal(kind="argmax"),
        ],
    )
    @pytest.mark.parametrize("labels", [[], [0], [1], [1, 1]])
    def test_needs_scans_of_both_classes(self, goal, labels):
        scores = np.full(len(labels), 0.5)
        assert choose_threshold(scores, labels, range(len(labels)), goal) is None
        assert threshold_points(scores, labels) is None

    def test_the_likeliest_needs_no_choice(self):
        found = choose_threshold(*two_classes(50, 6), ThresholdGoal(kind="argmax"))
        assert (found.value, found.interval, found.has_enough_patients, found.is_reached) == (0.5, None, True, True)

    def test_says_where_so_few_patients_can_show_nothing(self):
        assert patients_needed(0.05) == 73
        few = choose_threshold(*two_classes(60, 7), ThresholdGoal(kind="max_fnr", limit=0.05), n_rounds=50)
        many = choose_threshold(*two_classes(400, 7), ThresholdGoal(kind="max_fnr", limit=0.05), n_rounds=50)
        assert (few.has_enough_patients, many.has_enough_patients) == (False, True)
        assert f"{few.n_patients[1]} patients with PNEUMONIA are too few" in few.sentence(CLASSES)
        assert "too few" not in many.sentence(CLASSES)

    def test_says_in_words_how_it_was_chosen(self):
        words = choose_threshold(*two_classes(400, 8), ThresholdGoal(kind="max_fnr", limit=0.05), n_rounds=50).sentence(
            CLASSES
        )
        assert words.startswith("Chosen on 400 scans that the model did not learn from, to miss at most 5 in 100 scans")
        assert "scans of PNEUMONIA (95 % interval" in words
        assert (
            ThresholdGoal(kind="max_fpr", limit=0.1).describe(CLASSES)
            == "take at most 10 in 100 scans of NORMAL for PNEUMONIA"
        )

    @pytest.mark.parametrize("goal", [ThresholdGoal(kind="max_fnr", limit=0.05), ThresholdGoal(kind="argmax")])
    def test_survives_json(self, goal):
        found = choose_threshold(*two_classes(60, 9), goal, n_rounds=50)
        assert Threshold.from_dict(json.loads(json.dumps(found.to_dict()))) == found

    @pytest.mark.parametrize(
        "change",
        [
            {"value": 1.5},
            {"value": float("nan")},
            {"interval": [0.6, 0.4]},
            {"sensitivity_interval": [0.1]},
            {"scans": [0, 3]},
            {"goal": {"kind": "luck", "limit": None}},
            {"goal": {"kind": "max_fnr", "limit": None}},
            {"goal": {"kind": "max_fnr", "limit": 1.0}},
            {"goal": {"kind": "argmax", "limit": 0.1}},
        ],
    )
    def test_refuses_what_is_none(self, change):
        stored = choose_threshold(*two_classes(60, 9), ThresholdGoal(kind="max_fnr", limit=0.05), n_rounds=50).to_dict()
        with pytest.raises((TypeError, ValueError)):
            Threshold.from_dict(stored | change)

    @pytest.mark.parametrize("scores", [[0.5, 1.2], [0.5, float("nan")], [0.5]])
    def test_refuses_what_are_no_probabilities(self, scores):
        with pytest.raises(ValueError):
            choose_threshold(scores, [0, 1], range(2), ThresholdGoal(kind="argmax"))


class TestThresholdPoints:
    def test_are_what_is_called_at_each_threshold(self):
        scores, labels, _ = two_classes(80, 10)
        points = threshold_points(scores.round(1).clip(0, 0.9), labels)
        for t, sensitivity, specificity in zip(*points.values(), strict=True):
            called = scores.round(1).clip(0, 0.9) >= t
            assert sensitivity == pytest.approx(called[labels == 1].mean())
            assert specificity == pytest.approx(1 - called[labels == 0].mean())
        assert (points["sensitivity"][0], points["specificity"][-1]) == (1, 1)
        assert points["threshold"] == sorted(points["threshold"])

    def test_are_no_more_than_wanted(self):
        points = threshold_points(*two_classes(3000, 11)[:2], n=100)
        assert len(points["threshold"]) <= 100
        json.dumps(points)


class TestPerThousand:
    def test_counts_people(self):
        assert compute_natural_frequencies(0.95, 0.9, 0.2) == (190, 10, 80, 720)

    @pytest.mark.parametrize("seed", range(20))
    def test_sums_to_a_thousand(self, seed):
        counts = compute_natural_frequencies(*np.random.default_rng(seed).random(3))
        assert sum(counts) == 1000
        assert min(counts) >= 0

    @pytest.mark.parametrize("shares", [(1.1, 0, 0), (0, -0.1, 0), (0, 0, float("nan"))])
    def test_refuses_what_are_no_shares(self, shares):
        for count in (compute_natural_frequencies, predictive_values):
            with pytest.raises(ValueError):
                count(*shares)

    def test_predictive_values_are_bayes_rule(self):
        assert predictive_values(0.95, 0.9, 0.2) == pytest.approx((190 / 270, 720 / 730))
        assert predictive_values(0, 1, 0.2) == (None, 0.8)
        assert predictive_values(1, 0, 0.2) == (0.2, None)


class TestDoubt:
    def test_the_cut_is_the_smallest_score_of_its_rank(self):
        rng = np.random.default_rng(0)
        scores, labels = rng.random(99), np.ones(99, dtype=int)
        doubt = fit_abstention(columns(scores), labels, 0.05, range(99))
        assert doubt.thresholds[1] == np.sort(scores)[4]  # floor(0.05 · 100) = 5
        assert doubt.n_patients == (0, 99)
        assert doubt.thresholds[0] == 0

    @pytest.mark.parametrize(("n", "known"), [(18, False), (19, True)])
    def test_too_few_patients_never_rule_a_class_out(self, n, known):
        scores = np.linspace(0.1, 0.9, n)
        doubt = fit_abstention(columns(scores), np.ones(n, dtype=int), 0.05, range(n))
        assert (doubt.thresholds[1] == pytest.approx(0.1)) == known
        assert doubt.min_alpha[1] == pytest.approx(1 / (n + 1))
        assert ("patients with PNEUMONIA are too few" in doubt.sentence(CLASSES)) != known
        if not known:
            assert not doubt.is_confident(columns(np.zeros(1)), [0]).any()

    def test_scans_of_one_patient_count_as_one(self):
        rng = np.random.default_rng(1)
        p, labels, patients = softmax(rng.normal(size=(90, 3))), rng.integers(0, 3, 90), np.arange(90)
        once = fit_abstention(p, labels, 0.1, patients)
        assert fit_abstention(*(np.repeat(of, 4, axis=0) for of in (p, labels)), 0.1, np.repeat(patients, 4)) == once
        alone = fit_abstention(np.repeat(p, 4, axis=0), np.repeat(labels, 4), 0.1, np.arange(360))
        assert alone.n_patients == tuple(4 * n for n in once.n_patients)

    @pytest.mark.parametrize("alpha", [0.05, 0.2])
    @pytest.mark.parametrize("n_classes", [2, 3])
    def test_errors_in_each_class_stay_below_what_is_promised(self, alpha, n_classes):
        """Of 400 fits on few scans each, whatever the threshold; the mean is the promise, so it may sway a little."""
        rng, wrong = np.random.default_rng(2), []
        for _ in range(400):
            labels = np.concatenate([np.arange(n_classes).repeat(30), rng.integers(0, n_classes, 60)])
            p = softmax(1.5 * np.eye(n_classes)[labels] + rng.normal(size=(len(labels), n_classes)))
            fit, new = slice(0, 30 * n_classes), slice(30 * n_classes, None)
            doubt = fit_abstention(p[fit], labels[fit], alpha, range(30 * n_classes))
            called = (p[new, 1] >= rng.random()).astype(int) if n_classes == 2 else p[new].argmax(axis=1)
            bad = doubt.is_confident(p[new], called) & (called != labels[new])
            wrong.append([bad[labels[new] == k].mean() for k in range(n_classes)])
        assert (np.mean(wrong, axis=0) <= alpha + 0.01).all()
        assert np.mean(wrong) > 0  # there is something to bound

    def test_the_promise_holds_for_new_patients_with_several_scans(self):
        """Easy patients have 10 scans, hard ones 1: counted by scans the promise would break."""
        rng, alpha, by_patient, by_scan = np.random.default_rng(3), 0.1, [], []
        for _ in range(400):
            hard = rng.random(40) < 0.2
            score = np.where(hard, rng.uniform(0, 0.4, 40), rng.uniform(0.3, 1, 40))
            patients = np.repeat(np.arange(40), np.where(hard, 1, 10))
            p, ones = columns(score[patients]), np.ones(len(patients), dtype=int)
            new = np.where(rng.random(200) < 0.2, rng.uniform(0, 0.4, 200), rng.uniform(0.3, 1, 200))
            by_patient.append((new < fit_abstention(p, ones, alpha, patients).thresholds[1]).mean())
            by_scan.append((new < fit_abstention(p, ones, alpha, range(len(patients))).thresholds[1]).mean())
        assert 0.06 < np.mean(by_patient) <= alpha + 0.005
        assert np.mean(by_scan) > alpha + 0.02

    @pytest.mark.parametrize("seed", range(30))
    def test_of_two_classes_doubt_is_a_zone_round_the_threshold(self, seed):
        rng = np.random.default_rng(seed)
        doubt = ConformalAbstention(alpha=0.05, thresholds=tuple(rng.random(2)), n_patients=(50, 50))
        threshold, scores = rng.random(), np.sort(rng.random(500))
        called = (scores >= threshold).astype(int)
        sure, (low, high) = doubt.is_confident(columns(scores), called), doubt.reject_zone(threshold)
        assert low <= threshold <= high
        assert (sure == ((scores < low) | (scores > high) | ((low == high) & (scores == high)))).all()
        assert (called[sure & (scores < low)] == 0).all()
        assert (called[sure & (scores > high)] == 1).all()

    def test_where_every_class_is_ruled_out_the_call_stands(self):
        doubt = ConformalAbstention(alpha=0.05, thresholds=(0.9, 0.9, 0.9), n_patients=(50, 50, 50))
        assert doubt.is_confident([[0.4, 0.3, 0.3]], [0]).all()
        assert ConformalAbstention(alpha=0.05, thresholds=(0.9, 0.9), n_patients=(50, 50)).reject_zone(0.3) == (
            0.3,
            0.3,
        )

    def test_of_three_classes_all_others_must_be_ruled_out(self):
        doubt = ConformalAbstention(alpha=0.05, thresholds=(0.2, 0.2, 0.2), n_patients=(50, 50, 50))
        p = [[0.7, 0.2, 0.1], [0.75, 0.15, 0.1], [0.1, 0.15, 0.75]]
        assert doubt.is_confident(p, [0, 0, 0]).tolist() == [False, True, False]

    def test_survives_json(self):
        doubt = fit_abstention(columns(np.linspace(0, 1, 60)), np.arange(60) % 2, 0.1, range(60))
        assert ConformalAbstention.from_dict(json.loads(json.dumps(doubt.to_dict()))) == doubt

    @pytest.mark.parametrize(
        "change",
        [
            {"alpha": 0},
            {"alpha": 1},
            {"alpha": float("nan")},
            {"cuts": [0.1]},
            {"cuts": [0.1, 1.2]},
            {"cuts": [0.1, float("nan")]},
            {"patients": [1]},
            {"patients": [1, -1]},
        ],
    )
    def test_refuses_what_is_none(self, change):
        with pytest.raises(ValueError):
            ConformalAbstention.from_dict({"alpha": 0.1, "cuts": [0.1, 0.2], "patients": [30, 40]} | change)

    def test_refuses_what_does_not_fit(self):
        doubt = ConformalAbstention(alpha=0.05, thresholds=(0.2, 0.2), n_patients=(50, 50))
        for p, called in (([[0.5, 0.5]], [0, 1]), ([[0.2, 0.3, 0.5]], [0]), ([[0.5, 0.5]], [2])):
            with pytest.raises(ValueError):
                doubt.is_confident(p, called)
        with pytest.raises(ValueError, match="zone"):
            ConformalAbstention(alpha=0.05, thresholds=(0.2,) * 3, n_patients=(50,) * 3).reject_zone(0.5)
        with pytest.raises(ValueError):
            fit_abstention([[0.5, 0.5]], [0], 1.5, ["p"])


class TestAnswerReport:
    def test_tells_what_firm_answers_are_worth(self):
        sure, called, labels = [True, True, True, False], [0, 1, 1, 0], [0, 0, 1, 1]
        told = abstention_report(sure, called, labels, "abcd", 3)
        assert (told.n, told.n_confident, told.coverage) == (4, 3, 0.75)
        assert told.accuracy == pytest.approx(2 / 3)
        assert [item.error_rate for item in told.per_class] == [0.5, 0, None]
        assert [item.coverage for item in told.per_class] == [1, 0.5, None]
        assert told.accuracy_interval[0] < 2 / 3 < told.accuracy_interval[1]
        json.dumps(told.to_dict())

    def test_of_no_answers_none_is_right(self):
        told = abstention_report([False], [0], [0], ["p"], 2)
        assert (told.coverage, told.accuracy, told.accuracy_interval) == (0, None, None)

    def test_refuses_what_does_not_go_together(self):
        with pytest.raises(ValueError):
            abstention_report([True], [0, 1], [0, 1], "ab", 2)


class TestWords:
    @pytest.mark.parametrize(
        ("share", "count"), [(0, 0), (0.0099, 0), (0.01, 1), (0.62, 62), (0.99, 99), (0.9901, 100), (1, 100)]
    )
    def test_never_says_none_or_all(self, share, count):
        assert round_to_hundred(share) == count

    def test_what_is_left_adds_up_to_a_hundred(self):
        assert all(round_to_hundred(k / 1000) + round_to_hundred(1 - k / 1000) == 100 for k in range(1001))

    def test_speaks_of_the_people_whom_the_model_knows(self):
        children = "children of one to five years, one hospital"
        assert (
            describe_natural_frequency(0.62, "PNEUMONIA", children)
            == "Of 100 children like this, about 62 have pneumonia"
        )
        assert describe_natural_frequency(0.001, "COVID") == "Of 100 patients like this, fewer than 1 has COVID"
        assert describe_natural_frequency(0.01, "COVID") == "Of 100 patients like this, about 1 has COVID"
        assert describe_natural_frequency(1.0, "NORMAL") == "Of 100 patients like this, more than 99 have a normal scan"
        assert people_word("adults, and children of one hospital") == "patients"
        assert condition_phrase("viral_pneumonia") == "viral pneumonia"
        assert [condition_phrase(name) for name in ("MASS", "CARDIOMEGALY", "Not normal", "NO_FINDINGS")] == [
            "a mass", "cardiomegaly", "an abnormal scan", "a normal scan",
        ]  # fmt: skip
        assert [condition_phrase(name) for name in ("COPD", "SILICOSIS", "Cystic Fibrosis")] == [
            "COPD", "silicosis", "Cystic Fibrosis",
        ]  # fmt: skip

    @pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
    def test_refuses_what_is_no_share(self, share):
        with pytest.raises(ValueError):
            round_to_hundred(share)


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


def test_a_margin_for_shift_takes_the_lowest_cut_of_all_versions_and_classes():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 200)
    scores = np.clip(rng.normal(np.where(labels == 1, 0.8, 0.1), 0.1), 0.001, 0.999)
    worse = np.clip(scores - 0.2 * (labels == 1), 0.001, 0.999)
    plain, shifted = (np.stack([1 - s, s], axis=1) for s in (scores, worse))
    patients = range(400)
    without = fit_abstention(plain, labels, 0.05, patients)
    with_margin = fit_abstention(plain, labels, 0.05, patients, perturbed_probabilities=[plain, shifted])
    assert (
        with_margin.thresholds[0]
        == with_margin.thresholds[1]
        == min(fit_abstention(shifted, labels, 0.05, patients).thresholds)
    )
    assert with_margin.thresholds[1] < without.thresholds[1] < without.thresholds[0]
    called = (scores >= 0.5).astype(int)
    assert with_margin.is_confident(plain, called).mean() <= without.is_confident(plain, called).mean()


def test_a_threshold_that_is_given_stays_as_it_is():
    labels, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.4, 0.9])
    chosen = choose_threshold(scores, labels, range(4), ThresholdGoal(kind="fixed", limit=0.35))
    assert chosen is not None
    assert (chosen.value, chosen.interval, chosen.is_reached, chosen.has_enough_patients) == (0.35, None, True, True)
    assert (chosen.sensitivity, chosen.specificity) == (1.0, 0.5)
    assert "from a probability of 35 % on" in chosen.sentence(("NORMAL", "PNEUMONIA"))
    assert Threshold.from_dict(chosen.to_dict()) == chosen


def honest(n, seed, times=1.0, n_classes=2):
    """Logits whose softmax is right, made `times` too sure, and labels drawn from them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, n_classes))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return times * logits, np.array([rng.choice(n_classes, p=row) for row in p])


def test_a_slope_is_kept_where_it_foretells_held_out_patients_better():
    logits, labels = honest(600, 0, times=4)
    fitted = fit_cross_validated_calibration(logits, labels, range(600), prevalence=(0.5, 0.5))
    assert fitted.slope == pytest.approx(0.25, rel=0.25)
    assert fitted == fit_calibration(logits, labels, with_offsets=False, prevalence=(0.5, 0.5))


def test_few_scans_of_a_network_that_is_right_leave_it_as_it_is():
    """A fit from few scans is so cautious that it makes good probabilities too mild."""
    labels = np.tile([0, 1, 2], 12)
    logits = 4 * np.eye(3)[labels] + np.random.default_rng(1).normal(0, 0.8, (36, 3))
    shares = (1 / 3, 1 / 3, 1 / 3)
    assert fit_calibration(logits, labels, with_offsets=False, prevalence=shares).slope < 1
    assert fit_cross_validated_calibration(logits, labels, range(36), prevalence=shares) == Calibration(
        slope=1.0, offsets=(0.0,) * 3, prevalence=shares
    )


@pytest.mark.parametrize("n", [2, 3])
def test_a_patient_or_two_a_class_tell_nothing(n):
    labels = np.arange(n) % 2
    found = fit_cross_validated_calibration(np.eye(2)[labels], labels, range(n), prevalence=(0.5, 0.5))
    assert found.slope == 1.0


def test_scans_of_one_patient_are_never_told_apart_by_the_folds():
    logits, labels = honest(200, 2, times=3)
    once = fit_cross_validated_calibration(logits, labels, range(200), prevalence=(0.5, 0.5))
    twice = fit_cross_validated_calibration(
        np.repeat(logits, 2, axis=0), np.repeat(labels, 2), np.repeat(np.arange(200), 2), prevalence=(0.5, 0.5)
    )
    assert once.slope == pytest.approx(twice.slope, rel=0.1)
