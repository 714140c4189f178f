"""Measures of a whole set of scans, one number each or one a class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from xrai.metrics.checks import (
    Bools,
    Floats,
    Ints,
    check_calibrated_predictions,
    check_labels,
    check_predictions,
    check_probabilities,
)

IMBALANCE_RATIO = 5
"""Times as many scans of the largest class as of the smallest: accuracy then says little."""


def predict(probabilities: ArrayLike, threshold: float | None = None) -> Ints:
    """Turn each row into the class it speaks for, (N,).

    Of two classes with a threshold: class 1 where its probability is at least the threshold. Otherwise the likeliest
    class, the first of equals.
    """
    p = check_probabilities(probabilities)
    if threshold is None or p.shape[1] != 2:
        return p.argmax(axis=1).astype(np.int64)
    return (p[:, 1] >= threshold).astype(np.int64)


def auc(probabilities: ArrayLike, labels: ArrayLike) -> float | None:
    """Area under the ROC curve, 0 to 1: the chance that a scan of the class outranks one that is not of it.

    This is the Mann–Whitney statistic, a tie counting one half (Hanley and McNeil, Radiology 1982;143:29–36). Of two
    classes it is that of class 1; of more, the plain mean of every class against the rest over the classes present.
    None where fewer than two classes are present.
    """
    p, y = check_predictions(probabilities, labels)
    aucs = [unweighted_auc(p[:, k], y == k) for k in auc_classes(p, y)]
    return float(np.mean(aucs)) if aucs else None


def class_aucs(probabilities: ArrayLike, labels: ArrayLike) -> list[float | None]:
    """The `auc` of every class against the rest, in the classes' order; of two classes both are given.

    None where no scan is of the class, or every one is.
    """
    p, y = check_predictions(probabilities, labels)
    aucs = [unweighted_auc(p[:, k], y == k) for k in range(p.shape[1])]
    return [None if np.isnan(value) else value for value in aucs]


def confusion_matrix(predicted: ArrayLike, labels: ArrayLike, n_classes: int) -> Ints:
    """Count the scans of each true class (a row) that were taken for each class (a column), (C, C)."""
    predictions, true_labels = check_labels(predicted, n_classes), check_labels(labels, n_classes)
    if len(predictions) != len(true_labels):
        raise ValueError(f"{len(predictions)} predictions do not go with {len(true_labels)} labels.")
    cells = np.bincount(true_labels * n_classes + predictions, minlength=n_classes**2)
    return cells.reshape(n_classes, n_classes).astype(np.int64)


def per_class_report(matrix: ArrayLike, classes: Sequence[str]) -> dict[str, dict[str, float | int]]:
    """For each class its precision, recall and F1, 0 to 1, and its support, the number of its scans.

    `matrix` is that of `confusion_matrix`. A ratio with nothing below the line (a class never predicted, or with no
    scans) is 0.
    """
    counts = np.asarray(matrix)
    if counts.shape != (len(classes), len(classes)):
        raise ValueError(f"A matrix of shape {counts.shape} does not go with {len(classes)} classes.")
    true_positives, support, predicted_positives = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    precision, recall, f1 = precision_recall_f1(true_positives, support, predicted_positives, undefined=0.0)
    return {
        name: {
            "precision": float(precision[k]),
            "recall": float(recall[k]),
            "f1": float(f1[k]),
            "support": int(support[k]),
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
    bins, residuals = confidence_bins(probabilities, labels, n_bins)
    return float(np.abs(np.bincount(bins, weights=residuals)).sum() / len(bins))


def brier_score(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Half the mean squared distance of the probabilities from the truth, 0 (certain and right) to 1.

    Brier's score (Mon Weather Rev 1950;78:1–3) runs to 2; the half of it is, for two classes, the usual mean of
    (p − y)², and is comparable whatever the number of classes.

    Raises:
        ValueError: also when there are no scans, or a probability lies outside 0 to 1.
    """
    p, y = check_calibrated_predictions(probabilities, labels)
    one_hot = np.eye(p.shape[1])[y]
    return float(((p - one_hot) ** 2).sum(axis=1).mean() / 2)


# --- what measures and their intervals share --------------------------------------------------------------------------


def confidence_bins(probabilities: ArrayLike, labels: ArrayLike, n_bins: int) -> tuple[Ints, Floats]:
    """Give each scan's bin of its likeliest class's probability, and how far being right or wrong exceeds that."""
    p, y = check_calibrated_predictions(probabilities, labels)
    if n_bins < 1:
        raise ValueError(f"Calibration needs at least one bin, not {n_bins}.")
    confidence = p.max(axis=1)
    bins = np.clip(np.ceil(confidence * n_bins).astype(np.int64) - 1, 0, n_bins - 1)
    return bins, (p.argmax(axis=1) == y) - confidence


def safe_divide(numerator: ArrayLike, denominator: ArrayLike, undefined: float = 0.0) -> Floats:
    """Divide numbers of one shape, giving `undefined` where nothing is below the line."""
    numerator, denominator = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    return np.divide(numerator, denominator, out=np.full(numerator.shape, undefined), where=denominator > 0)


def precision_recall_f1(
    true_positives: ArrayLike, support: ArrayLike, predicted_positives: ArrayLike, undefined: float
) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F1 from the scans of a class read right, those of it and those taken for it."""
    f1_denominator = np.asarray(support) + np.asarray(predicted_positives)
    return (
        safe_divide(true_positives, predicted_positives, undefined),
        safe_divide(true_positives, support, undefined),
        safe_divide(2 * np.asarray(true_positives), f1_denominator, undefined),
    )


def auc_classes(p: Floats, y: Ints) -> list[int]:
    """List the classes to take the AUC of: the last of two, those present of more; none where it is undefined."""
    present_classes = [int(k) for k in np.unique(y)]
    if len(present_classes) < 2:
        return []
    return [1] if p.shape[1] == 2 else present_classes


def unweighted_auc(scores: Floats, positive: Bools) -> float:
    """AUC that counts every scan once; NaN without a positive or without a negative scan."""
    return float(weighted_auc(scores, positive, np.ones((len(scores), 1)))[0])


def weighted_auc(scores: Floats, positive: Bools, weights: Floats) -> Floats:
    """AUC (r,) under each column of weights (N, r); NaN where a column leaves no positive or no negative scan."""
    order = np.argsort(scores)
    positive_order, negative_order = order[positive[order]], order[~positive[order]]
    negative_weight = np.zeros((len(negative_order) + 1, weights.shape[1]))  # of the negatives up to each rank
    np.cumsum(weights[negative_order], axis=0, out=negative_weight[1:])
    outranked_weight = negative_weight[np.searchsorted(scores[negative_order], scores[positive_order], side="left")]
    outranked_weight += negative_weight[
        np.searchsorted(scores[negative_order], scores[positive_order], side="right")
    ]  # a tie is beaten by half
    positives = weights[positive_order]
    wins = np.einsum("ir,ir->r", positives, outranked_weight) / 2
    return safe_divide(wins, positives.sum(axis=0) * negative_weight[-1], undefined=np.nan)
