"""Intervals by formula, which take every patient for one case; the sources stand with `bootstrap_intervals`."""

from __future__ import annotations

from math import sqrt

import numpy as np

from xrai.metrics.checks import Bools, Floats, Interval, Ints
from xrai.metrics.measures import plain_auc


def share_interval(hits: Floats, scans: Floats, z: float) -> Interval | None:
    """Wilson's interval of all hits (P,) among all scans (P,), the patients with such scans as cases.

    None where there are no such scans.
    """
    patients = int((scans > 0).sum())
    return wilson(float(hits.sum() / scans.sum()), patients, z) if patients else None


def f1_interval(hits: Floats, truths: Floats, guesses: Floats, z: float) -> Interval | None:
    """Wilson's interval of the scans read right among those of the class or taken for it, turned into F1; all (P,)."""
    jaccard = share_interval(hits, truths + guesses - hits, z)
    return jaccard and (_f1_of(jaccard[0]), _f1_of(jaccard[1]))


def mean_recall_interval(hits: Floats, truths: Floats, z: float) -> Interval:
    """Put the arms of each class's Wilson interval, with its patients as cases, together by MOVER.

    Args:
        hits: scans read right, (P, K), of K classes that all have scans.
        truths: scans, (P, K).
        z: standard deviations of a normal distribution that the level stands for.
    """
    recalls = hits.sum(axis=0) / truths.sum(axis=0)  # (K,)
    seen = (truths > 0).astype(np.float64)  # (P, K) which patients have scans of which class
    patients = seen.sum(axis=0)
    limits = np.array([wilson(float(r), int(n), z) for r, n in zip(recalls, patients, strict=True)])  # (K, 2)
    down, up = np.abs(limits - recalls[:, None]).T
    correlation = seen.T @ seen / np.sqrt(np.outer(patients, patients))  # (K, K) at most: one patient, one outcome
    mean, k = float(recalls.mean()), len(recalls)
    low, high = mean - sqrt(down @ correlation @ down) / k, mean + sqrt(up @ correlation @ up) / k
    return max(0.0, low), min(1.0, high)


def wilson(share: float, n: int, z: float) -> Interval:
    """Wilson's score interval of a share seen in `n` independent cases."""
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    arm = z / (1 + z**2 / n) * sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(0.0, min(share, centre - arm)), min(1.0, max(share, centre + arm))


def newcombe(scores: Floats, positive: Bools, patient: Ints, z: float) -> Interval | None:
    """Newcombe's interval of the AUC, with the patients who have positive and negative scans as the cases.

    None without a positive or without a negative scan.
    """
    m, n = len(np.unique(patient[positive])), len(np.unique(patient[~positive]))
    if not m or not n:
        return None
    area = plain_auc(scores, positive)
    # The variance is the same for θ and 1 − θ, so the upper limit is the lower one seen from the other side.
    return newcombe_lower(area, m, n, z), 1 - newcombe_lower(1 - area, m, n, z)


def newcombe_lower(area: float, m: int, n: int, z: float) -> float:
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


def _f1_of(jaccard: float) -> float:
    return 2 * jaccard / (1 + jaccard)
