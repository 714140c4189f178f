"""Abstention, and the words for probabilities."""

import json

import numpy as np
import pytest

from tests.xrai.calibration.made_up import CLASSES, columns, softmax
from xrai.calibration import (
    ConformalAbstention,
    abstention_report,
    describe_natural_frequency,
    fit_abstention,
    people_word,
    round_to_hundred,
)
from xrai.core.labels import condition_phrase


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
        assert describe_natural_frequency(0.001, "COVID") == "Of 100 patients like this, fewer than 5 have COVID"
        assert describe_natural_frequency(0.05, "COVID") == "Of 100 patients like this, about 5 have COVID"
        assert describe_natural_frequency(0.95, "COVID") == "Of 100 patients like this, about 95 have COVID"
        assert describe_natural_frequency(1.0, "NORMAL") == "Of 100 patients like this, more than 95 have a normal scan"
        assert people_word("adults, and children of one hospital") == "patients"
        assert condition_phrase("viral_pneumonia") == "viral pneumonia"
        assert [condition_phrase(name) for name in ("MASS", "CARDIOMEGALY", "Not normal", "NO_FINDINGS")] == [
            "a mass",
            "cardiomegaly",
            "an abnormal scan",
            "a normal scan",
        ]
        assert [condition_phrase(name) for name in ("COPD", "SILICOSIS", "Cystic Fibrosis")] == [
            "COPD",
            "silicosis",
            "Cystic Fibrosis",
        ]

    @pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
    def test_refuses_what_is_no_share(self, share):
        with pytest.raises(ValueError):
            round_to_hundred(share)


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
