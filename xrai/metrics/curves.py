"""What one class's scores would do at every threshold: the ROC and the precision–recall curve.

Throughout, `scores` (N,) are a class's probabilities, higher where a scan is likelier of it, and `positive` (N,) says
as true or false which scans are. A scan is called at a threshold when its score is at least that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from xrai.metrics.checks import Floats, checked_ranking


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

    def at(self, threshold: float) -> tuple[float, float]:
        """Give the point of what is called at a threshold; of a thinned curve, the nearest kept one before it."""
        point = int(np.searchsorted(-self.thresholds, -threshold, side="right")) - 1
        return float(self.x[point]), float(self.y[point])

    def as_lists(self) -> dict[str, list[float | None]]:
        """Give `x`, `y` and `thresholds` for JSON, which knows no infinity: the first threshold is None."""
        return {"x": self.x.tolist(), "y": self.y.tolist(), "thresholds": [None, *self.thresholds[1:].tolist()]}


def roc_curve(scores: ArrayLike, positive: ArrayLike) -> Curve | None:
    """Sensitivity (y) over 1 − specificity (x), from (0, 0) to (1, 1), with a point for every score that occurs.

    Scans of one score are called together, a single straight step, so that the area below the points joined by lines
    is the `auc` (Fawcett, Pattern Recognit Lett 2006;27:861–874). None without a positive or without a negative scan.
    """
    called = _called(scores, positive)
    if called is None:
        return None
    thresholds, right, wrong = called
    return Curve(wrong / wrong[-1], right / right[-1], thresholds)


def precision_recall_curve(scores: ArrayLike, positive: ArrayLike) -> Curve | None:
    """Precision (y) over recall (x), from recall 0 to 1, with a point for every score that occurs.

    Where no scan is called there is no precision; as in scikit-learn the curve starts at (0, 1). Between points it is
    to be drawn as steps, as a straight line would promise too much (Davis and Goadrich, ICML 2006). None without a
    positive or without a negative scan.
    """
    called = _called(scores, positive)
    if called is None:
        return None
    thresholds, right, wrong = called
    precision = np.ones_like(right)
    precision[1:] = right[1:] / (right + wrong)[1:]
    return Curve(right / right[-1], precision, thresholds)


def average_precision(scores: ArrayLike, positive: ArrayLike) -> float | None:
    """Mean of the precision over the steps of the recall, 0 to 1: Σ (recallₙ − recallₙ₋₁) · precisionₙ.

    This is the area below the steps of `precision_recall_curve`, as scikit-learn has it. Scores that say nothing have
    about the share of positive scans. None without a positive or without a negative scan.
    """
    curve = precision_recall_curve(scores, positive)
    return None if curve is None else float(np.diff(curve.x) @ curve.y[1:])


def thinned(curve: Curve, n: int = 500) -> Curve:
    """Keep at most `n` ≥ 2 points of a curve, among them both ends.

    They are spaced evenly along the way that the curve takes (|Δx| + |Δy|) rather than by scans, so that the few scans
    of a rare class are not skipped.
    """
    if n < 2:
        raise ValueError(f"A curve needs at least its two ends, not {n} points.")
    if len(curve.x) <= n:
        return curve
    way = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(curve.x)) + np.abs(np.diff(curve.y)))])
    kept = np.searchsorted(way, np.linspace(0, way[-1], n))
    kept[-1] = len(way) - 1
    kept = np.unique(kept)
    return Curve(curve.x[kept], curve.y[kept], curve.thresholds[kept])


def _called(scores: ArrayLike, positive: ArrayLike) -> tuple[Floats, Floats, Floats] | None:
    """Count what is called at each threshold, the strictest first: thresholds, positive scans, negative scans, (M,)."""
    s, truth = checked_ranking(scores, positive)
    if truth.all() or not truth.any():
        return None
    values, rank = np.unique(-s, return_inverse=True)
    right, wrong = (np.bincount(rank[of], minlength=len(values)).cumsum() for of in (truth, ~truth))
    return _from(np.inf, -values), _from(0, right), _from(0, wrong)


def _from(first: float, rest: ArrayLike) -> Floats:
    return np.concatenate([[first], np.asarray(rest, dtype=np.float64)])
