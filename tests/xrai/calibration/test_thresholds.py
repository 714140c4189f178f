"""Operating points."""

import json

import numpy as np
import pytest

from tests.xrai.calibration.made_up import CLASSES, columns, searched, two_classes
from xrai.calibration import (
    Threshold,
    ThresholdGoal,
    choose_threshold,
    compute_natural_frequencies,
    patients_needed,
    predictive_values,
    threshold_points,
)
from xrai.metrics import class_intervals


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


def test_a_threshold_that_is_given_stays_as_it_is():
    labels, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.4, 0.9])
    chosen = choose_threshold(scores, labels, range(4), ThresholdGoal(kind="fixed", limit=0.35))
    assert chosen is not None
    assert (chosen.value, chosen.interval, chosen.is_reached, chosen.has_enough_patients) == (0.35, None, True, True)
    assert (chosen.sensitivity, chosen.specificity) == (1.0, 0.5)
    assert "from a probability of 35 % on" in chosen.sentence(("NORMAL", "PNEUMONIA"))
    assert Threshold.from_dict(chosen.to_dict()) == chosen
