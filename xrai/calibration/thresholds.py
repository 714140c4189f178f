"""Decision threshold of two classes: chosen for a goal, and its effect as sensitivity, predictive values and counts."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from math import ceil, floor
from statistics import NormalDist
from typing import Annotated, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import AfterValidator, Field, model_validator

from xrai.core.language import Message, join_messages, say
from xrai.core.records import OpenShare, Record, Share
from xrai.metrics import Curve, clustered_proportion, downsample
from xrai.metrics.checks import Bools, Floats, Interval, Ints, check_labels, check_ranking
from xrai.metrics.resampling import draw_patients, encode_groups

GoalKind = Literal["max_fnr", "max_fpr", "argmax", "fixed"]

ARGMAX_THRESHOLD = 0.5
"""The threshold above which the positive class is the likelier one."""

_CHUNK = 1 << 18  # weights held at once while resampling: 2 MB, small enough for a processor's cache
_ROUNDING = 1e-9  # of scans: 0.29 · 100 is a little less than 29


def _check_order(interval: tuple[float, float]) -> tuple[float, float]:
    if interval[0] > interval[1]:
        raise ValueError("An interval has a lower and an upper end.")
    return interval


_ShareInterval = Annotated[tuple[Share, Share], AfterValidator(_check_order)]
_PositiveCount = Annotated[int, Field(strict=True, gt=0)]
_CountPair = tuple[_PositiveCount, _PositiveCount]


class ThresholdGoal(Record):
    """What a threshold is chosen for.

    Attributes:
        kind: "max_fnr": limits the false negative rate; "max_fpr": limits the false positive rate; "argmax": predicts
            the likelier class; "fixed": predicts the positive class from a given probability on.
        limit: that rate or probability; None for "argmax".
    """

    kind: GoalKind
    limit: OpenShare | None = None

    @model_validator(mode="after")
    def _check_limit(self) -> Self:
        if (self.limit is None) != (self.kind == "argmax"):
            raise ValueError(f"A threshold cannot be chosen for {self.kind!r} with the limit {self.limit}.")
        return self

    @property
    def is_error_limit(self) -> bool:
        """Whether it limits an error rate, so that the threshold depends on the scans it is chosen on."""
        return self.kind in ("max_fnr", "max_fpr")

    def describe(self, classes: tuple[str, str]) -> Message:
        """The goal in words, to follow "to"."""
        if self.limit is None:
            return say("call whichever class is likelier")
        count = say("{count:.3g}", count=100 * self.limit)
        if self.kind == "fixed":
            return say("call {positive} from a probability of {count} % on", positive=classes[1], count=count)
        if self.kind == "max_fnr":
            return say("miss at most {count} in 100 scans of {positive}", count=count, positive=classes[1])
        return say(
            "take at most {count} in 100 scans of {negative} for {positive}",
            count=count,
            negative=classes[0],
            positive=classes[1],
        )


class Threshold(Record):
    """A threshold, how it was chosen, and its effect on the scans it was chosen on.

    Attributes:
        value: the positive class is predicted where its probability is at least this.
        goal: what it was chosen for.
        is_reached: whether it keeps to the goal's limit on these scans.
        has_enough_patients: whether so few patients can show at all that the limit holds; see `patients_needed`.
        interval: 95 % interval of the value over samples of patients; None where it does not depend on them.
        sensitivity, specificity: with 95 % intervals by patient.
        n_scans, n_patients: of the negative and the positive class.
    """

    value: Share
    goal: ThresholdGoal
    is_reached: bool
    has_enough_patients: bool
    interval: _ShareInterval | None
    sensitivity: Share
    sensitivity_interval: _ShareInterval
    specificity: Share
    specificity_interval: _ShareInterval
    n_scans: _CountPair
    n_patients: _CountPair

    def sentence(self, classes: tuple[str, str]) -> Message:
        """How it was chosen and what it did, in words."""
        negative, positive = classes
        values = {
            "scans": sum(self.n_scans),
            "goal": self.goal.describe(classes),
            "missed": _errors_in_hundred(self.sensitivity, self.sensitivity_interval, positive),
            "alarmed": _errors_in_hundred(self.specificity, self.specificity_interval, negative),
            "second": positive,
        }
        sentences = [
            say(
                "Chosen on {scans:,} scans that the model did not learn from, to {goal}: there it misses {missed}, "
                "and takes {alarmed} for {second}.",
                **values,
            )
            if self.goal.is_error_limit
            else say(
                "Set beforehand, and tried on {scans:,} scans that the model did not learn from, to {goal}: there it "
                "misses {missed}, and takes {alarmed} for {second}.",
                **values,
            )
        ]
        return join_messages([*sentences, *self._caveats(classes)])

    def _caveats(self, classes: tuple[str, str]) -> list[Message]:
        caveats = []
        if self.interval:
            low, high = (100 * share for share in self.interval)
            caveats.append(
                say(
                    "On other patients it might have come out between {low:.1f} % and {high:.1f} %.", low=low, high=high
                )
            )
        if not self.is_reached:
            caveats.append(say("No threshold keeps to that limit."))
        if self.goal.limit is not None and not self.has_enough_patients:
            limited = int(self.goal.kind == "max_fnr")
            caveats.append(
                say(
                    "The {few} patients with {name} are too few to show that it holds: at least {needed} are needed.",
                    few=self.n_patients[limited],
                    name=classes[limited],
                    needed=patients_needed(self.goal.limit),
                )
            )
        return caveats


class NaturalFrequencies(NamedTuple):
    """The outcome of 1,000 people; the counts have the sum 1,000."""

    true_positives: int
    false_negatives: int
    false_positives: int
    true_negatives: int


def choose_threshold(
    scores: ArrayLike,
    labels: ArrayLike,
    patients: Iterable[Hashable],
    goal: ThresholdGoal,
    *,
    n_rounds: int = 1000,
    seed: int = 0,
) -> Threshold | None:
    """Choose the threshold that keeps to a goal's limit on these scans with the fewest errors of the other kind.

    "max_fnr" gives the highest threshold within its limit, "max_fpr" the lowest, midway between the adjacent scores.
    Its interval is the bootstrap's, with patients drawn with replacement (percentiles).

    Keeping to a limit here does not prove that it holds elsewhere: about every second such threshold exceeds it on new
    scans, if by little. `sensitivity_interval` and `specificity_interval` say by how much.

    Args:
        scores: probability of the positive class, 0 to 1, (N,).
        labels: 0 or 1, (N,).
        patients: keys (N,), equal for scans of one patient.
        goal: what it is chosen for.
        n_rounds: of the bootstrap.
        seed: of the draws.

    Returns:
        None where one of the classes has no scans.
    """
    table = _ScoreTable.from_scores(scores, labels)
    patient_codes = encode_groups(patients, len(table.scores))[0]
    value, is_reached, interval = goal.limit or ARGMAX_THRESHOLD, True, None
    if goal.is_error_limit:
        (index,), (is_reached,) = table.choose_index(np.ones((len(table.scores), 1)), goal)
        value = float(table.thresholds[index])
    is_called, options = table.scores >= value, {"n_rounds": n_rounds, "seed": seed}
    sensitivity = clustered_proportion(is_called, patient_codes, table.is_positive, **options)
    specificity = clustered_proportion(~is_called, patient_codes, ~table.is_positive, **options)
    if sensitivity is None or specificity is None:
        return None
    if goal.is_error_limit:
        interval = _threshold_interval(table, patient_codes, goal, n_rounds, seed)
    masks = (~table.is_positive, table.is_positive)
    n_patients = [len(np.unique(patient_codes[mask])) for mask in masks]
    return Threshold(
        value=value,
        goal=goal,
        is_reached=bool(is_reached),
        has_enough_patients=_has_enough_patients(goal, n_patients),
        interval=interval,
        sensitivity=sensitivity[0],
        sensitivity_interval=sensitivity[1],
        specificity=specificity[0],
        specificity_interval=specificity[1],
        n_scans=(int(masks[0].sum()), int(masks[1].sum())),
        n_patients=(n_patients[0], n_patients[1]),
    )


def threshold_points(scores: ArrayLike, labels: ArrayLike, n: int = 500) -> dict[str, list[float]] | None:
    """The effect of every threshold: `threshold`, rising, `sensitivity` and `specificity`, lists of one length.

    The thresholds lie midway between adjacent scores; at most `n` are returned, evenly along the ROC curve. None where
    one of the classes has no scans.
    """
    table = _ScoreTable.from_scores(scores, labels)
    if not table.has_both:
        return None
    misses, false_alarms = (counts[:, 0] for counts in table.count_errors(np.ones((len(table.is_positive), 1))))
    x, y = false_alarms / (~table.is_positive).sum(), 1 - misses / table.is_positive.sum()
    curve = downsample(Curve(x[::-1], y[::-1], table.thresholds[::-1]), n)  # the strictest first, as curves have it
    columns = {"threshold": curve.thresholds, "sensitivity": curve.y, "specificity": 1 - curve.x}
    return {name: values[::-1].tolist() for name, values in columns.items()}


def patients_needed(limit: float, level: float = 0.95) -> int:
    """The number of patients without a single error that shows an error rate of at most `limit`.

    The smallest n for which the upper end of Wilson's interval of 0 in n, z² / (n + z²), is at most the limit.
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    return ceil(z**2 * (1 - limit) / limit)


def compute_natural_frequencies(sensitivity: float, specificity: float, prevalence: float) -> NaturalFrequencies:
    """The outcome of 1,000 people of whom a share `prevalence` has the positive class; all shares 0 to 1."""
    _check_shares(sensitivity, specificity, prevalence)
    n_sick = _round_half_up(1000 * prevalence)
    true_positives, true_negatives = _round_half_up(n_sick * sensitivity), _round_half_up((1000 - n_sick) * specificity)
    return NaturalFrequencies(true_positives, n_sick - true_positives, 1000 - n_sick - true_negatives, true_negatives)


def predictive_values(sensitivity: float, specificity: float, prevalence: float) -> tuple[float | None, float | None]:
    """Positive and negative predictive value (Bayes), 0 to 1; None where nobody is predicted so."""
    _check_shares(sensitivity, specificity, prevalence)
    true_positives, true_negatives = prevalence * sensitivity, (1 - prevalence) * specificity
    positives = true_positives + (1 - prevalence) * (1 - specificity)
    negatives = true_negatives + prevalence * (1 - sensitivity)
    return true_positives / positives if positives else None, true_negatives / negatives if negatives else None


@dataclass(frozen=True, eq=False)
class _ScoreTable:
    """Scans sorted by score, and the M thresholds that separate them."""

    scores: Floats  # (N,) as given
    is_positive: Bools  # (N,) as given
    order: Ints  # (N,) lowest score first
    thresholds: Floats  # (M,) rising
    below: Ints  # (M,) how many scans each leaves below it

    @classmethod
    def from_scores(cls, scores: ArrayLike, labels: ArrayLike) -> _ScoreTable:
        s, is_positive = check_ranking(scores, check_labels(labels, 2) == 1)
        if len(s) and not 0 <= s.min() <= s.max() <= 1:
            raise ValueError("Probabilities must lie between 0 and 1.")
        values, counts = np.unique(s, return_counts=True)
        thresholds = _midpoints(np.array([0.0, *values]), np.array([*values, 1.0]))
        n_kept = len(values) + int(not len(values) or values[-1] < 1)  # no threshold clears a scan with a score of 1
        return cls(s, is_positive, np.argsort(s), thresholds[:n_kept], np.array([0, *counts.cumsum()])[:n_kept])

    @property
    def has_both(self) -> bool:
        """Whether both classes have scans."""
        return bool(self.is_positive.any() and not self.is_positive.all())

    def count_errors(self, weights: Floats) -> tuple[Floats, Floats]:
        """False negatives and false positives of each threshold, (M, r), with weights (N, r) of the scans."""
        misses, true_negatives = (self._below(weights * of[:, None]) for of in (self.is_positive, ~self.is_positive))
        return misses, (weights * ~self.is_positive[:, None]).sum(axis=0) - true_negatives

    def choose_index(self, weights: Floats, goal: ThresholdGoal) -> tuple[Ints, Bools]:
        """The index of the chosen threshold for each column of weights (N, r), and whether it keeps to the limit.

        Both (r,). Without a scan to which the limit applies, that is the highest or the lowest threshold.
        """
        assert goal.limit is not None
        misses, false_alarms = self.count_errors(weights)
        if goal.kind == "max_fnr":
            max_errors = goal.limit * (weights * self.is_positive[:, None]).sum(axis=0) + _ROUNDING
            return (misses <= max_errors).sum(axis=0) - 1, np.ones(weights.shape[1], dtype=bool)
        max_errors = goal.limit * (weights * ~self.is_positive[:, None]).sum(axis=0) + _ROUNDING
        first = (false_alarms > max_errors).sum(axis=0)
        return np.minimum(first, len(self.thresholds) - 1), first < len(self.thresholds)

    def _below(self, weights: Floats) -> Floats:
        sums = np.zeros((len(weights) + 1, weights.shape[1]))
        np.cumsum(weights[self.order], axis=0, out=sums[1:])
        return sums[self.below]


def _threshold_interval(
    table: _ScoreTable, patient_codes: Ints, goal: ThresholdGoal, n_rounds: int, seed: int
) -> Interval:
    """Percentiles of the thresholds chosen in the rounds that have scans to which the limit applies."""
    is_limited = table.is_positive if goal.kind == "max_fnr" else ~table.is_positive
    chosen_indices = []
    for draw_counts in draw_patients(
        int(patient_codes.max()) + 1, n_rounds, max(1, _CHUNK // len(patient_codes)), seed
    ):
        weights = draw_counts[patient_codes]
        chosen_indices.append(table.choose_index(weights, goal)[0][(weights * is_limited[:, None]).any(axis=0)])
    thresholds = table.thresholds[np.concatenate(chosen_indices)]
    if not len(thresholds):  # a patient among many, never drawn
        return 0.0, 1.0
    low, high = np.quantile(thresholds, [0.025, 0.975])
    return float(low), float(high)


def _midpoints(low: Floats, high: Floats) -> Floats:
    """The middle of neighbours, above the lower one even where no number lies between them."""
    middle = (low + high) / 2
    return np.where(middle > low, middle, high)


def _errors_in_hundred(right: float, interval: Interval, name: str) -> Message:
    wrong, low, high = (100 * (1 - share) for share in (right, interval[1], interval[0]))
    return say(
        "{wrong:.1f} in 100 scans of {name} (95 % interval {low:.1f} to {high:.1f})",
        wrong=wrong,
        name=name,
        low=low,
        high=high,
    )


def _has_enough_patients(goal: ThresholdGoal, n_patients: list[int]) -> bool:
    if goal.limit is None or not goal.is_error_limit:
        return True
    return n_patients[goal.kind == "max_fnr"] >= patients_needed(goal.limit)


def _round_half_up(count: float) -> int:
    return floor(count + 0.5)


def _check_shares(*shares: float) -> None:
    if not all(0 <= share <= 1 for share in shares):
        raise ValueError("Sensitivity, specificity and prevalence must lie between 0 and 1.")
