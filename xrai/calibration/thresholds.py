"""The threshold of two classes as a clinical choice, and what a threshold does to a thousand patients."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import asdict, dataclass
from math import ceil, floor
from statistics import NormalDist
from typing import Any, Literal, NamedTuple, TypeVar, get_args

import numpy as np
from numpy.typing import ArrayLike

from xrai.core.language import join_messages, say
from xrai.metrics import Curve, clustered_proportion, downsample
from xrai.metrics.checks import Bools, Floats, Interval, Ints, check_labels, check_ranking
from xrai.metrics.resampling import draw_patients, encode_groups

GoalKind = Literal["misses", "alarms", "likeliest", "given"]
Pair = tuple[int, int]
_T = TypeVar("_T")

ARGMAX_THRESHOLD = 0.5
"""The threshold above which the second class is the likelier one."""

_CHUNK = 1 << 18  # weights held at once while resampling: 2 MB, small enough for a processor's cache
_ROUNDING = 1e-9  # of scans: 0.29 · 100 is a little less than 29


@dataclass(frozen=True)
class ThresholdGoal:
    """What a threshold is to do.

    Attributes:
        kind: "misses": at most so large a share of the second class's scans is missed; "alarms": at most so large a
            share of the first class's scans is called the second; "likeliest": whichever is likelier is called;
            "given": the second is called from a given probability on.
        limit: that share or probability, above 0 and below 1; None for "likeliest".
    """

    kind: GoalKind
    limit: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(GoalKind) or (self.limit is None) != (self.kind == "likeliest"):
            raise ValueError(f"A threshold cannot be chosen for {self.kind!r} with the limit {self.limit}.")
        if self.limit is not None and not 0 < self.limit < 1:
            raise ValueError(f"The limit of a threshold must lie between 0 and 1, not at {self.limit}.")

    @property
    def is_error_limit(self) -> bool:
        """Whether it limits a kind of error, so that the threshold depends on the scans it is chosen on."""
        return self.kind in ("misses", "alarms")

    def describe(self, classes: tuple[str, str]) -> str:
        """What it is to do, as it stands after "to"."""
        if self.limit is None:
            return say("call whichever class is likelier")
        count = say("{count:.3g}", count=100 * self.limit)
        if self.kind == "given":
            return say("call {classes} from a probability of {count} % on", classes=classes[1], count=count)
        if self.kind == "misses":
            return say("miss at most {count} in 100 scans of {classes}", count=count, classes=classes[1])
        return say(
            "take at most {count} in 100 scans of {classes} for {classes2}",
            count=count,
            classes=classes[0],
            classes2=classes[1],
        )


@dataclass(frozen=True)
class Threshold:
    """A threshold, how it was chosen, and what it does to the scans it was chosen on; pairs are first, second class.

    Attributes:
        value: the second class is called where its probability is at least this, 0 to 1.
        goal: what it is to do.
        reached: whether it keeps to the goal's limit on these scans.
        enough: whether so few patients could show at all that the limit holds; see `patients_needed`.
        interval: 95 %, between which other patients would have put it; None where it was not chosen by them.
        sensitivity, specificity: share of the second, of the first class's scans called rightly.
        sensitivity_interval, specificity_interval: 95 %, by patient.
        scans, patients: of each class.
    """

    value: float
    goal: ThresholdGoal
    reached: bool
    enough: bool
    interval: Interval | None
    sensitivity: float
    sensitivity_interval: Interval
    specificity: float
    specificity_interval: Interval
    scans: Pair
    patients: Pair

    def __post_init__(self) -> None:
        shares = [self.value, self.sensitivity, self.specificity, *(self.interval or ())]
        intervals = [self.sensitivity_interval, self.specificity_interval, *([self.interval] if self.interval else [])]
        if not all(0 <= share <= 1 for share in (*shares, *self.sensitivity_interval, *self.specificity_interval)):
            raise ValueError("What a threshold does must be told in shares between 0 and 1.")
        if not all(len(pair) == 2 and pair[0] <= pair[1] for pair in intervals):
            raise ValueError("An interval has a lower and an upper end.")
        if not all(len(pair) == 2 and min(pair) > 0 for pair in (self.scans, self.patients)):
            raise ValueError("A threshold is chosen on scans of both classes.")

    def sentence(self, classes: tuple[str, str]) -> str:
        """How it was chosen and what it did, for people."""
        first, second = classes
        scans, goal = sum(self.scans), self.goal.describe(classes)
        missed = _errors_in_hundred(self.sensitivity, self.sensitivity_interval, second)
        alarmed = _errors_in_hundred(self.specificity, self.specificity_interval, first)
        sentences = [
            say(
                "Chosen on {scans:,} scans that the model did not learn from, to {goal}: there it misses {missed}, "
                "and takes {alarmed} for {second}.",
                scans=scans,
                goal=goal,
                missed=missed,
                alarmed=alarmed,
                second=second,
            )
            if self.goal.is_error_limit
            else say(
                "Set beforehand, and tried on {scans:,} scans that the model did not learn from, to {goal}: there it "
                "misses {missed}, and takes {alarmed} for {second}.",
                scans=scans,
                goal=goal,
                missed=missed,
                alarmed=alarmed,
                second=second,
            )
        ]
        if self.interval:
            low, high = (100 * share for share in self.interval)
            sentences.append(
                say(
                    "On other patients it might have come out between {low:.1f} % and {high:.1f} %.", low=low, high=high
                )
            )
        if not self.reached:
            sentences.append(say("No threshold keeps to that limit."))
        if self.goal.limit is not None and not self.enough:
            few, name = self.patients[self.goal.kind == "misses"], second if self.goal.kind == "misses" else first
            sentences.append(
                say(
                    "The {few} patients with {name} are too few to show that it holds: "
                    "at least {patients_needed} are needed.",
                    few=few,
                    name=name,
                    patients_needed=patients_needed(self.goal.limit),
                )
            )
        return join_messages(sentences)

    def to_dict(self) -> dict[str, Any]:
        """The threshold as it comes back from JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Threshold:
        """The threshold read back.

        Raises:
            KeyError, TypeError, ValueError: it is not one.
        """
        goal, interval = values["goal"], values["interval"]
        return cls(
            value=float(values["value"]),
            goal=ThresholdGoal(goal["kind"], goal["limit"]),
            reached=bool(values["reached"]),
            enough=bool(values["enough"]),
            interval=None if interval is None else _pair(interval, float),
            sensitivity=float(values["sensitivity"]),
            sensitivity_interval=_pair(values["sensitivity_interval"], float),
            specificity=float(values["specificity"]),
            specificity_interval=_pair(values["specificity_interval"], float),
            scans=_pair(values["scans"], int),
            patients=_pair(values["patients"], int),
        )


class NaturalFrequencies(NamedTuple):
    """What becomes of 1,000 people: they sum to 1,000."""

    found: int
    missed: int
    alarms: int
    cleared: int


def choose_threshold(
    scores: ArrayLike,
    labels: ArrayLike,
    patients: Iterable[Hashable],
    goal: ThresholdGoal,
    *,
    n_rounds: int = 1000,
    seed: int = 0,
) -> Threshold | None:
    """Choose the threshold that keeps to a goal's limit on these scans and errs least the other way.

    "misses" gives the highest threshold that keeps to its limit, "alarms" the lowest, each midway between the scores
    next to it. Its interval holds what patients drawn with replacement would have led to (percentiles).

    Keeping to a limit here is no proof that it is kept elsewhere: about every second such threshold misses it on new
    scans, if by little. `sensitivity_interval` and `specificity_interval` say by how much.

    Args:
        scores: probability of the second class, 0 to 1, (N,).
        labels: 0 or 1, (N,).
        patients: keys (N,), equal for scans of one patient.
        goal: what it is to do.
        n_rounds: of drawing patients.
        seed: of the draws.

    Returns:
        None where one of the classes has no scans.
    """
    table, patient_codes = _ScoreTable.from_scores(scores, labels), encode_groups(patients, len(np.asarray(labels)))[0]
    value, reached = (goal.limit or ARGMAX_THRESHOLD), True
    if goal.is_error_limit:
        (index,), (reached,) = table.choose_index(np.ones((len(table.is_positive), 1)), goal)
        value = float(table.thresholds[index])
    is_called = table.scores >= value
    sensitivity = clustered_proportion(is_called, patient_codes, table.is_positive, n_rounds=n_rounds, seed=seed)
    specificity = clustered_proportion(~is_called, patient_codes, ~table.is_positive, n_rounds=n_rounds, seed=seed)
    if sensitivity is None or specificity is None:
        return None
    n_patients = [len(np.unique(patient_codes[of])) for of in (~table.is_positive, table.is_positive)]
    return Threshold(
        value,
        goal,
        bool(reached),
        goal.limit is None
        or not goal.is_error_limit
        or n_patients[goal.kind == "misses"] >= patients_needed(goal.limit),
        _threshold_interval(table, patient_codes, goal, n_rounds, seed) if goal.is_error_limit else None,
        *sensitivity,
        *specificity,
        scans=(int((~table.is_positive).sum()), int(table.is_positive.sum())),
        patients=(n_patients[0], n_patients[1]),
    )


def threshold_points(scores: ArrayLike, labels: ArrayLike, n: int = 500) -> dict[str, list[float]] | None:
    """What every threshold would do: `threshold`, rising, `sensitivity` and `specificity`, lists of one length.

    The thresholds lie midway between scores that follow each other; at most `n` are kept, evenly along the ROC curve.
    None where one of the classes has no scans.
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
    """How many patients without a single error it takes to show that errors are no more than a share `limit`.

    The least n for which the upper end of Wilson's interval of 0 in n, z² / (n + z²), is at most the limit.
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    return ceil(z**2 * (1 - limit) / limit)


def compute_natural_frequencies(sensitivity: float, specificity: float, prevalence: float) -> NaturalFrequencies:
    """What becomes of 1,000 people among whom a share `prevalence` has the second class; all shares 0 to 1."""
    _check_shares(sensitivity, specificity, prevalence)
    n_sick = _round_half_up(1000 * prevalence)
    true_positives, true_negatives = _round_half_up(n_sick * sensitivity), _round_half_up((1000 - n_sick) * specificity)
    return NaturalFrequencies(true_positives, n_sick - true_positives, 1000 - n_sick - true_negatives, true_negatives)


def predictive_values(sensitivity: float, specificity: float, prevalence: float) -> tuple[float | None, float | None]:
    """How many of those called the second class have it, and of those called the first that; shares 0 to 1 (Bayes).

    None where none is called so.
    """
    _check_shares(sensitivity, specificity, prevalence)
    true_positives, true_negatives = prevalence * sensitivity, (1 - prevalence) * specificity
    predicted_positive, predicted_negative = (
        true_positives + (1 - prevalence) * (1 - specificity),
        true_negatives + prevalence * (1 - sensitivity),
    )
    return (
        true_positives / predicted_positive if predicted_positive else None,
        true_negatives / predicted_negative if predicted_negative else None,
    )


@dataclass(frozen=True, eq=False)
class _ScoreTable:
    """Scans in the order of their scores, and the M thresholds that tell them apart."""

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
        """How many sick scans each threshold misses, and for how many healthy ones it raises an alarm, (M, r).

        `weights` (N, r) say how often each scan counts.
        """
        misses, true_negatives = (self._below(weights * of[:, None]) for of in (self.is_positive, ~self.is_positive))
        return misses, (weights * ~self.is_positive[:, None]).sum(axis=0) - true_negatives

    def choose_index(self, weights: Floats, goal: ThresholdGoal) -> tuple[Ints, Bools]:
        """The number of the threshold to choose under each column of weights (N, r), and whether it keeps to the limit.

        Both (r,). Where a column leaves no scan to which the limit applies, that is the highest, or the lowest.
        """
        assert goal.limit is not None
        misses, false_alarms = self.count_errors(weights)
        if goal.kind == "misses":
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
    is_limited = table.is_positive if goal.kind == "misses" else ~table.is_positive
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


def _errors_in_hundred(right: float, interval: Interval, name: str) -> str:
    wrong, low, high = (100 * (1 - share) for share in (right, interval[1], interval[0]))
    return say(
        "{wrong:.1f} in 100 scans of {name} (95 % interval {low:.1f} to {high:.1f})",
        wrong=wrong,
        name=name,
        low=low,
        high=high,
    )


def _pair(values: Any, kind: Callable[[Any], _T]) -> tuple[_T, _T]:
    first, second = values
    return kind(first), kind(second)


def _round_half_up(count: float) -> int:
    return floor(count + 0.5)


def _check_shares(*shares: float) -> None:
    if not all(0 <= share <= 1 for share in shares):
        raise ValueError("Sensitivity, specificity and prevalence must lie between 0 and 1.")
