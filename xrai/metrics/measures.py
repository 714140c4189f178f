"""Measures of a whole set of scans, one number each or one a class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from xrai.metrics.checks import Bools, Floats, Ints, checked, checked_labels, checked_probabilities, checked_shares

UNEVEN = 5
"""Times as many scans of the largest class as of the smallest: accuracy then says little."""


def predict(probabilities: ArrayLike, threshold: float | None = None) -> Ints:
    """Turn each row into the class it speaks for, (N,).

    Of two classes with a threshold: class 1 where its probability is at least the threshold. Otherwise the likeliest
    class, the first of equals.
    """
    p = checked_probabilities(probabilities)
    if threshold is None or p.shape[1] != 2:
        return p.argmax(axis=1).astype(np.int64)
    return (p[:, 1] >= threshold).astype(np.int64)


def auc(probabilities: ArrayLike, labels: ArrayLike) -> float | None:
    """Area under the ROC curve, 0 to 1: the chance that a scan of the class outranks one that is not of it.

    This is the Mann–Whitney statistic, a tie counting one half (Hanley and McNeil, Radiology 1982;143:29–36). Of two
    classes it is that of class 1; of more, the plain mean of every class against the rest over the classes present.
    None where fewer than two classes are present.
    """
    p, y = checked(probabilities, labels)
    areas = [plain_auc(p[:, k], y == k) for k in ranked_classes(p, y)]
    return float(np.mean(areas)) if areas else None


def class_aucs(probabilities: ArrayLike, labels: ArrayLike) -> list[float | None]:
    """The `auc` of every class against the rest, in the classes' order; of two classes both are given.

    None where no scan is of the class, or every one is.
    """
    p, y = checked(probabilities, labels)
    areas = [plain_auc(p[:, k], y == k) for k in range(p.shape[1])]
    return [None if np.isnan(area) else area for area in areas]


def confusion_matrix(predicted: ArrayLike, labels: ArrayLike, n_classes: int) -> Ints:
    """Count the scans of each true class (a row) that were taken for each class (a column), (C, C)."""
    guess, truth = checked_labels(predicted, n_classes), checked_labels(labels, n_classes)
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
    precision, recall, f1 = precision_recall_f1(hits, truths, guesses, undefined=0.0)
    return {
        name: {
            "precision": float(precision[k]),
            "recall": float(recall[k]),
            "f1": float(f1[k]),
            "support": int(truths[k]),
        }
        for k, name in enumerate(classes)
    }


def expected_calibration_error(probabilities: ArrayLike, labels: ArrayLike, n_bins: int = 15) -> float:
    """How far stated confidence is from the share that is right, 0 (in step) to 1.

    Scans fall into `n_bins` equal bins (low, high] of the likeliest class's probability; the gaps |accuracy −
    confidence| are averaged, weighted by the bins' scans (Guo et al., ICML 2017, after Naeini et al., AAAI 2015).

    Raises:
        ValueError: also when there are no scans, or a probability lies outside 0 to 1.
    """
    bins, surplus = confidence_bins(probabilities, labels, n_bins)
    return float(np.abs(np.bincount(bins, weights=surplus)).sum() / len(bins))


def brier(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Half the mean squared distance of the probabilities from the truth, 0 (certain and right) to 1.

    Brier's score (Mon Weather Rev 1950;78:1–3) runs to 2; the half of it is, for two classes, the usual mean of
    (p − y)², and is comparable whatever the number of classes.

    Raises:
        ValueError: also when there are no scans, or a probability lies outside 0 to 1.
    """
    p, y = checked_shares(probabilities, labels)
    truth = np.eye(p.shape[1])[y]
    return float(((p - truth) ** 2).sum(axis=1).mean() / 2)


# --- what measures and their intervals share --------------------------------------------------------------------------


def confidence_bins(probabilities: ArrayLike, labels: ArrayLike, n_bins: int) -> tuple[Ints, Floats]:
    """Give each scan's bin of its likeliest class's probability, and how far being right or wrong exceeds that."""
    p, y = checked_shares(probabilities, labels)
    if n_bins < 1:
        raise ValueError(f"Calibration needs at least one bin, not {n_bins}.")
    confidence = p.max(axis=1)
    bins = np.clip(np.ceil(confidence * n_bins).astype(np.int64) - 1, 0, n_bins - 1)
    return bins, (p.argmax(axis=1) == y) - confidence


def ratio(above: ArrayLike, below: ArrayLike, undefined: float = 0.0) -> Floats:
    """Divide numbers of one shape, giving `undefined` where nothing is below the line."""
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    return np.divide(above, below, out=np.full(above.shape, undefined), where=below > 0)


def precision_recall_f1(
    hits: ArrayLike, truths: ArrayLike, guesses: ArrayLike, undefined: float
) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F1 from the scans of a class read right, those of it and those taken for it."""
    both = np.asarray(truths) + np.asarray(guesses)
    return (
        ratio(hits, guesses, undefined),
        ratio(hits, truths, undefined),
        ratio(2 * np.asarray(hits), both, undefined),
    )


def ranked_classes(p: Floats, y: Ints) -> list[int]:
    """List the classes to take the AUC of: the last of two, those present of more; none where it is undefined."""
    present = [int(k) for k in np.unique(y)]
    if len(present) < 2:
        return []
    return [1] if p.shape[1] == 2 else present


def plain_auc(scores: Floats, positive: Bools) -> float:
    """AUC that counts every scan once; NaN without a positive or without a negative scan."""
    return float(weighted_auc(scores, positive, np.ones((len(scores), 1)))[0])


def weighted_auc(scores: Floats, positive: Bools, weights: Floats) -> Floats:
    """AUC (r,) under each column of weights (N, r); NaN where a column leaves no positive or no negative scan."""
    order = np.argsort(scores)
    above, below = order[positive[order]], order[~positive[order]]
    mass = np.zeros((len(below) + 1, weights.shape[1]))  # of the negatives up to each rank
    np.cumsum(weights[below], axis=0, out=mass[1:])
    beaten = mass[np.searchsorted(scores[below], scores[above], side="left")]
    beaten += mass[np.searchsorted(scores[below], scores[above], side="right")]  # a tie is beaten by half
    positives = weights[above]
    wins = np.einsum("ir,ir->r", positives, beaten) / 2
    return ratio(wins, positives.sum(axis=0) * mass[-1], undefined=np.nan)
