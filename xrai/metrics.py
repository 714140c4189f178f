"""The numbers that say how good a model is, from its probabilities and the true labels.

Throughout, N is the number of scans, C ≥ 2 the number of classes, `probabilities` is (N, C) with one column a class
in the model's order, and `labels` is (N,) with values 0 … C − 1. Plain numpy; what comes back can go into JSON.
Input of the wrong shape, a label outside the classes or a probability that is not a number raises `ValueError`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Interval = tuple[float, float]

_MEASURES = ("accuracy", "balanced_accuracy", "auc")
_CHUNK = 1 << 18  # weights held at once while resampling: 2 MB, small enough for a processor's cache


def predict(probabilities: ArrayLike, threshold: float | None = None) -> Ints:
    """Turn each row into the class it speaks for, (N,).

    Of two classes with a threshold: class 1 where its probability is at least the threshold. Otherwise the likeliest
    class, the first of equals.
    """
    p = _checked_probabilities(probabilities)
    if threshold is None or p.shape[1] != 2:
        return p.argmax(axis=1).astype(np.int64)
    return (p[:, 1] >= threshold).astype(np.int64)


def auc(probabilities: ArrayLike, labels: ArrayLike) -> float | None:
    """Area under the ROC curve, 0 to 1: the chance that a scan of the class outranks one that is not of it.

    This is the Mann–Whitney statistic, a tie counting one half (Hanley and McNeil, Radiology 1982;143:29–36). Of two
    classes it is that of class 1; of more, the plain mean of every class against the rest over the classes present.
    None where fewer than two classes are present.
    """
    p, y = _checked(probabilities, labels)
    every_scan_once = np.ones((len(y), 1))
    areas = [_weighted_auc(p[:, k], y == k, every_scan_once) for k in _ranked_classes(p, y)]
    return float(np.mean(areas)) if areas else None


def confusion_matrix(predicted: ArrayLike, labels: ArrayLike, n_classes: int) -> Ints:
    """Count the scans of each true class (a row) that were taken for each class (a column), (C, C)."""
    guess, truth = _checked_labels(predicted, n_classes), _checked_labels(labels, n_classes)
    if len(guess) != len(truth):
        raise ValueError(f"{len(guess)} predictions do not go with {len(truth)} labels.")
    cells = np.bincount(truth * n_classes + guess, minlength=n_classes**2)
    return cells.reshape(n_classes, n_classes).astype(np.int64)


def per_class_report(matrix: ArrayLike, classes: Sequence[str]) -> dict[str, dict[str, float | int]]:
    """For each class its precision, recall and F1, 0 to 1, and its support, the number of its scans.

    `matrix` is that of `confusion_matrix`. A ratio with nothing below the line (a class never predicted, or with no
    scans) is 0.
    """
    counts = np.asarray(matrix)
    if counts.shape != (len(classes), len(classes)):
        raise ValueError(f"A matrix of shape {counts.shape} does not go with {len(classes)} classes.")
    hits, truths, guesses = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    precision, recall = _ratio(hits, guesses), _ratio(hits, truths)
    f1 = _ratio(2 * hits, truths + guesses)
    return {
        name: {
            "precision": float(precision[k]),
            "recall": float(recall[k]),
            "f1": float(f1[k]),
            "support": int(truths[k]),
        }
        for k, name in enumerate(classes)
    }


def bootstrap_intervals(
    probabilities: ArrayLike,
    labels: ArrayLike,
    groups: Iterable[Hashable],
    *,
    threshold: float | None = None,
    n_rounds: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Interval | None]:
    """Give the intervals of `accuracy`, `balanced_accuracy` and `auc` at `level`, resampling patients, not scans.

    `groups` (N,) names each scan's patient. Scans of one patient resemble each other, so patients are drawn with
    replacement, each with all its scans, and the percentiles taken (Field and Welsh, J R Stat Soc B 2007;69:369–390).
    Rounds in which a class of the sample went missing leave a measure undefined and are left out of it.

    A bootstrap cannot imagine an error that it never saw: when every scan is right it says [1, 1], for 30 scans as for
    3,000. So each interval is widened to hold also the one that a formula gives for as many *patients*, as if the
    scans of one patient were a single finding; that errs on the side of caution.

    - accuracy: Wilson's score interval (J Am Stat Assoc 1927;22:209–212), the bootstrap's remedy near 0 and 1;
    - balanced accuracy, the mean recall of the classes present: Wilson's for each class, their arms added as errors are
      (MOVER; Zou, Psychol Methods 2007;12:399–413), correlated by the share of patients with scans of both classes;
    - AUC: Newcombe's score interval with Hanley and McNeil's variance (method 5; Stat Med 2006;25:559–573); of more
      than two classes the mean of the limits, which is wide enough however the classes hang together.

    None for a measure that is itself undefined: the AUC of a single class, everything where there are no scans.
    """
    p, y = _checked(probabilities, labels)
    patient = _numbered(groups, len(y))
    if n_rounds < 1 or not 0 < level < 1:
        raise ValueError(f"Intervals need a round and a level between 0 and 1, not {n_rounds} and {level}.")
    if not len(y):
        return dict.fromkeys(_MEASURES)
    sample = _sample(p, y, patient, threshold)
    chunk = max(1, _CHUNK // len(y))
    rounds = [_measures(sample, drawn) for drawn in _drawn_patients(len(sample.hits), n_rounds, chunk, seed)]
    formulas = _formulas(sample, z=NormalDist().inv_cdf((1 + level) / 2))
    replicates = np.concatenate(rounds, axis=1)  # (3, R)
    return {
        name: formula and _widened(formula, measured, level)
        for name, formula, measured in zip(_MEASURES, formulas, replicates, strict=True)
    }


def expected_calibration_error(probabilities: ArrayLike, labels: ArrayLike, n_bins: int = 15) -> float:
    """How far stated confidence is from the share that is right, 0 (in step) to 1.

    Scans fall into `n_bins` equal bins (low, high] of the likeliest class's probability; the gaps |accuracy −
    confidence| are averaged, weighted by the bins' scans (Guo et al., ICML 2017, after Naeini et al., AAAI 2015).

    Raises:
        ValueError: also when there are no scans, or a probability lies outside 0 to 1.
    """
    p, y = _checked_shares(probabilities, labels)
    if n_bins < 1:
        raise ValueError(f"Calibration needs at least one bin, not {n_bins}.")
    confidence = p.max(axis=1)
    surplus = (p.argmax(axis=1) == y) - confidence
    bins = np.clip(np.ceil(confidence * n_bins).astype(np.int64) - 1, 0, n_bins - 1)
    return float(np.abs(np.bincount(bins, weights=surplus)).sum() / len(y))


def brier(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Half the mean squared distance of the probabilities from the truth, 0 (certain and right) to 1.

    Brier's score (Mon Weather Rev 1950;78:1–3) runs to 2; the half of it is, for two classes, the usual mean of
    (p − y)², and is comparable whatever the number of classes.

    Raises:
        ValueError: also when there are no scans, or a probability lies outside 0 to 1.
    """
    p, y = _checked_shares(probabilities, labels)
    truth = np.eye(p.shape[1])[y]
    return float(((p - truth) ** 2).sum(axis=1).mean() / 2)


# --- resampling -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Sample:
    """What resampling needs of the scans: P patients, the K classes that are present."""

    scores: Floats  # (N, C)
    labels: Ints  # (N,)
    patient: Ints  # (N,), 0 … P − 1
    hits: Floats  # (P, K) scans read right
    totals: Floats  # (P, K) scans
    ranked: list[int]  # the classes that the AUC is taken of


def _numbered(groups: Iterable[Hashable], n_scans: int) -> Ints:
    """Give each scan its patient as a number, from 0 in order of appearance."""
    numbers: dict[Hashable, int] = {}
    patient = np.array([numbers.setdefault(group, len(numbers)) for group in groups], dtype=np.int64)
    if len(patient) != n_scans:
        raise ValueError(f"{len(patient)} patients' names do not go with {n_scans} scans.")
    return patient


def _sample(p: Floats, y: Ints, patient: Ints, threshold: float | None) -> _Sample:
    present, k = np.unique(y, return_inverse=True)
    shape = int(patient.max()) + 1, len(present)
    hits, totals = np.zeros(shape), np.zeros(shape)
    np.add.at(hits, (patient, k), predict(p, threshold) == y)
    np.add.at(totals, (patient, k), 1)
    return _Sample(p, y, patient, hits, totals, _ranked_classes(p, y))


def _measures(sample: _Sample, drawn: Floats) -> Floats:
    """Take every measure in every round of `drawn` (P, r): (3, r), NaN where a round leaves it undefined."""
    right, scans = sample.hits.T @ drawn, sample.totals.T @ drawn  # (K, r)
    accuracy = right.sum(axis=0) / scans.sum(axis=0)
    balanced = _ratio(right, scans, undefined=np.nan).mean(axis=0)
    if not sample.ranked:
        return np.stack([accuracy, balanced, np.full_like(accuracy, np.nan)])
    weights = drawn[sample.patient]  # (N, r)
    areas = [_weighted_auc(sample.scores[:, k], sample.labels == k, weights) for k in sample.ranked]
    return np.stack([accuracy, balanced, np.mean(areas, axis=0)])


def _drawn_patients(n_patients: int, n_rounds: int, chunk: int, seed: int) -> Iterator[Floats]:
    """Yield how often each patient is drawn in each round, (P, r), at most `chunk` rounds at a time."""
    rng = np.random.default_rng(seed)
    for start in range(0, n_rounds, chunk):
        r = min(chunk, n_rounds - start)
        draws = rng.integers(n_patients, size=(r, n_patients)) * r + np.arange(r)[:, None]
        yield np.bincount(draws.ravel(), minlength=n_patients * r).reshape(n_patients, r).astype(np.float64)


def _weighted_auc(scores: Floats, positive: NDArray[np.bool_], weights: Floats) -> Floats:
    """AUC (r,) under each column of weights (N, r); NaN where a column leaves no positive or no negative scan."""
    order = np.argsort(scores)
    above, below = order[positive[order]], order[~positive[order]]
    mass = np.zeros((len(below) + 1, weights.shape[1]))  # of the negatives up to each rank
    np.cumsum(weights[below], axis=0, out=mass[1:])
    beaten = mass[np.searchsorted(scores[below], scores[above], side="left")]
    beaten += mass[np.searchsorted(scores[below], scores[above], side="right")]  # a tie is beaten by half
    positives = weights[above]
    wins = np.einsum("ir,ir->r", positives, beaten) / 2
    return _ratio(wins, positives.sum(axis=0) * mass[-1], undefined=np.nan)


def _ranked_classes(p: Floats, y: Ints) -> list[int]:
    """List the classes to take the AUC of: the last of two, those present of more; none where it is undefined."""
    present = [int(k) for k in np.unique(y)]
    if len(present) < 2:
        return []
    return [1] if p.shape[1] == 2 else present


# --- intervals --------------------------------------------------------------------------------------------------------


def _widened(formula: Interval, replicates: Floats, level: float) -> Interval:
    """Widen the formula's interval to hold also the percentiles of the replicates that are defined."""
    defined = replicates[~np.isnan(replicates)]
    if not len(defined):
        return formula
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return min(formula[0], float(low)), max(formula[1], float(high))


def _formulas(sample: _Sample, z: float) -> tuple[Interval, Interval, Interval | None]:
    """Give the intervals that take every patient for one case: of accuracy, balanced accuracy and AUC."""
    accuracy = float(sample.hits.sum() / sample.totals.sum())
    areas = [_newcombe(sample.scores[:, k], sample.labels == k, sample.patient, z) for k in sample.ranked]
    low, high = np.mean(areas, axis=0) if areas else (np.nan, np.nan)
    return (
        _wilson(accuracy, len(sample.hits), z),
        _mean_recall_interval(sample, z),
        (float(low), float(high)) if areas else None,
    )


def _wilson(share: float, n: int, z: float) -> Interval:
    """Wilson's score interval of a share seen in `n` independent cases."""
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    arm = z / (1 + z**2 / n) * sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(0.0, min(share, centre - arm)), min(1.0, max(share, centre + arm))


def _mean_recall_interval(sample: _Sample, z: float) -> Interval:
    """Put the arms of each class's Wilson interval, with its patients as cases, together by MOVER."""
    recalls = sample.hits.sum(axis=0) / sample.totals.sum(axis=0)  # (K,)
    seen = (sample.totals > 0).astype(np.float64)  # (P, K) which patients have scans of which class
    patients = seen.sum(axis=0)
    limits = np.array([_wilson(float(r), int(n), z) for r, n in zip(recalls, patients, strict=True)])  # (K, 2)
    down, up = np.abs(limits - recalls[:, None]).T
    correlation = seen.T @ seen / np.sqrt(np.outer(patients, patients))  # (K, K) at most: one patient, one outcome
    mean, k = float(recalls.mean()), len(recalls)
    low, high = mean - sqrt(down @ correlation @ down) / k, mean + sqrt(up @ correlation @ up) / k
    return max(0.0, low), min(1.0, high)


def _newcombe(scores: Floats, positive: NDArray[np.bool_], patient: Ints, z: float) -> Interval:
    """Newcombe's interval of the AUC, with the patients who have positive and negative scans as the cases."""
    area = float(_weighted_auc(scores, positive, np.ones((len(scores), 1)))[0])
    m, n = len(np.unique(patient[positive])), len(np.unique(patient[~positive]))
    # The variance is the same for θ and 1 − θ, so the upper limit is the lower one seen from the other side.
    return _newcombe_lower(area, m, n, z), 1 - _newcombe_lower(1 - area, m, n, z)


def _newcombe_lower(area: float, m: int, n: int, z: float) -> float:
    """Find by bisection the θ ≤ area whose own standard error puts the area z of them above it."""
    low, high = 0.0, area
    for _ in range(60):
        theta = (low + high) / 2
        spread = 1 + ((m + n) / 2 - 1) * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        if area - theta > z * sqrt(theta * (1 - theta) * spread / (m * n)):
            low = theta
        else:
            high = theta
    return low


# --- what comes in ----------------------------------------------------------------------------------------------------


def _ratio(above: ArrayLike, below: ArrayLike, undefined: float = 0.0) -> Floats:
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    return np.divide(above, below, out=np.full(above.shape, undefined), where=below > 0)


def _checked(probabilities: ArrayLike, labels: ArrayLike) -> tuple[Floats, Ints]:
    p = _checked_probabilities(probabilities)
    y = _checked_labels(labels, p.shape[1])
    if len(p) != len(y):
        raise ValueError(f"{len(p)} rows of probabilities do not go with {len(y)} labels.")
    return p, y


def _checked_shares(probabilities: ArrayLike, labels: ArrayLike) -> tuple[Floats, Ints]:
    p, y = _checked(probabilities, labels)
    if not len(p):
        raise ValueError("Calibration cannot be measured without scans.")
    if p.min() < 0 or p.max() > 1 + 1e-6:  # float32 softmax may land a rounding above 1
        raise ValueError("Probabilities must lie between 0 and 1.")
    return p, y


def _checked_probabilities(probabilities: ArrayLike) -> Floats:
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or p.shape[1] < 2:
        raise ValueError(f"Probabilities must have a row a scan and a column a class, not the shape {p.shape}.")
    if not np.isfinite(p).all():
        raise ValueError("Some probabilities are not numbers: the model has diverged.")
    return p


def _checked_labels(labels: ArrayLike, n_classes: int) -> Ints:
    y = np.asarray(labels)
    if y.ndim != 1 or (len(y) and not np.issubdtype(y.dtype, np.integer)):
        raise ValueError(f"Labels must be a row of whole numbers, not {y.dtype} of shape {y.shape}.")
    if len(y) and not 0 <= y.min() <= y.max() < n_classes:
        raise ValueError(f"Labels must lie between 0 and {n_classes - 1}.")
    return y.astype(np.int64)
