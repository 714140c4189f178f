"""What one class's scores would do at every threshold: the ROC and the precision–recall curve.

Throughout, `scores` (N,) are a class's probabilities, higher where a scan is likelier of it, and `positive` (N,) says
as true or false which scans are. A scan is called at a threshold when its score is at least that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from xrai.metrics.checks import Floats, check_ranking


@dataclass(frozen=True, eq=False)
class Curve:
    """Points from the strictest threshold, at which no scan is called, to the laxest, at which every one is.

    Attributes:
        x: 0 to 1, rising, (M,).
        y: 0 to 1, (M,).
        thresholds: the threshold of each point, falling, (M,); the first is infinite.
    """

    x: Floats
    y: Floats
    thresholds: Floats

    def point_at(self, threshold: float) -> tuple[float, float]:
        """Give the point of what is called at a threshold; of a thinned curve, the nearest kept one before it."""
        index = int(np.searchsorted(-self.thresholds, -threshold, side="right")) - 1
        return float(self.x[index]), float(self.y[index])

    def to_lists(self) -> dict[str, list[float | None]]:
        """Give `x`, `y` and `thresholds` for JSON, which knows no infinity: the first threshold is None."""
        return {"x": self.x.tolist(), "y": self.y.tolist(), "thresholds": [None, *self.thresholds[1:].tolist()]}


def roc_curve(scores: ArrayLike, positive: ArrayLike) -> Curve | None:
    """Sensitivity (y) over 1 − specificity (x), from (0, 0) to (1, 1), with a point for every score that occurs.

    Scans of one score are called together, a single straight step, so that the area below the points joined by lines
    is the `auc` (Fawcett, Pattern Recognit Lett 2006;27:861–874). None without a positive or without a negative scan.
    """
    counts = _count_positives(scores, positive)
    if counts is None:
        return None
    thresholds, true_positives, false_positives = counts
    return Curve(false_positives / false_positives[-1], true_positives / true_positives[-1], thresholds)


def precision_recall_curve(scores: ArrayLike, positive: ArrayLike) -> Curve | None:
    """Precision (y) over recall (x), from recall 0 to 1, with a point for every score that occurs.

    Where no scan is called there is no precision; as in scikit-learn the curve starts at (0, 1). Between points it is
    to be drawn as steps, as a straight line would promise too much (Davis and Goadrich, ICML 2006). None without a
    positive or without a negative scan.
    """
    counts = _count_positives(scores, positive)
    if counts is None:
        return None
    thresholds, true_positives, false_positives = counts
    precision = np.ones_like(true_positives)
    precision[1:] = true_positives[1:] / (true_positives + false_positives)[1:]
    return Curve(true_positives / true_positives[-1], precision, thresholds)


def average_precision(scores: ArrayLike, positive: ArrayLike) -> float | None:
    """Mean of the precision over the steps of the recall, 0 to 1: Σ (recallₙ − recallₙ₋₁) · precisionₙ.

    This is the area below the steps of `precision_recall_curve`, as scikit-learn has it. Scores that say nothing have
    about the share of positive scans. None without a positive or without a negative scan.
    """
    curve = precision_recall_curve(scores, positive)
    return None if curve is None else float(np.diff(curve.x) @ curve.y[1:])


def downsample(curve: Curve, max_points: int = 500) -> Curve:
    """Keep at most `n` ≥ 2 points of a curve, among them both ends.

    They are spaced evenly along the way that the curve takes (|Δx| + |Δy|) rather than by scans, so that the few scans
    of a rare class are not skipped.
    """
    if max_points < 2:
        raise ValueError(f"A curve needs at least its two ends, not {max_points} points.")
    if len(curve.x) <= max_points:
        return curve
    arc_length = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(curve.x)) + np.abs(np.diff(curve.y)))])
    indices = np.searchsorted(arc_length, np.linspace(0, arc_length[-1], max_points))
    indices[-1] = len(arc_length) - 1
    indices = np.unique(indices)
    return Curve(curve.x[indices], curve.y[indices], curve.thresholds[indices])


def _count_positives(scores: ArrayLike, positive: ArrayLike) -> tuple[Floats, Floats, Floats] | None:
    """Count what is called at each threshold, the strictest first: thresholds, positive scans, negative scans, (M,)."""
    s, is_positive = check_ranking(scores, positive)
    if is_positive.all() or not is_positive.any():
        return None
    values, rank = np.unique(-s, return_inverse=True)
    true_positives, false_positives = (
        np.bincount(rank[group], minlength=len(values)).cumsum() for group in (is_positive, ~is_positive)
    )
    return _prepend(np.inf, -values), _prepend(0, true_positives), _prepend(0, false_positives)


def _prepend(first: float, rest: ArrayLike) -> Floats:
    return np.concatenate([[first], np.asarray(rest, dtype=np.float64)])
