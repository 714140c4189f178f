"""Intervals by formula, which take every patient for one case; the sources stand with `bootstrap_intervals`."""

from __future__ import annotations

from math import sqrt

import numpy as np

from xrai.metrics.checks import Bools, Floats, Interval, Ints
from xrai.metrics.measures import unweighted_auc


def wilson_patient_interval(true_positives: Floats, totals: Floats, z: float) -> Interval | None:
    """Wilson's interval of all hits (P,) among all scans (P,), the patients with such scans as cases.

    None where there are no such scans.
    """
    patients = int((totals > 0).sum())
    return wilson_interval(float(true_positives.sum() / totals.sum()), patients, z) if patients else None


def f1_interval(true_positives: Floats, support: Floats, predicted_positives: Floats, z: float) -> Interval | None:
    """Wilson's interval of the scans read right among those of the class or taken for it, turned into F1; all (P,)."""
    jaccard = wilson_patient_interval(true_positives, support + predicted_positives - true_positives, z)
    return jaccard and (_f1_from_jaccard(jaccard[0]), _f1_from_jaccard(jaccard[1]))


def mean_recall_interval(true_positives: Floats, support: Floats, z: float) -> Interval:
    """Put the arms of each class's Wilson interval, with its patients as cases, together by MOVER.

    Args:
        true_positives: scans read right, (P, K), of K classes that all have scans.
        support: scans, (P, K).
        z: standard deviations of a normal distribution that the level stands for.
    """
    recalls = true_positives.sum(axis=0) / support.sum(axis=0)  # (K,)
    has_class = (support > 0).astype(np.float64)  # (P, K) which patients have scans of which class
    patients = has_class.sum(axis=0)
    limits = np.array([wilson_interval(float(r), int(n), z) for r, n in zip(recalls, patients, strict=True)])  # (K, 2)
    lower_arms, upper_arms = np.abs(limits - recalls[:, None]).T
    correlation = (
        has_class.T @ has_class / np.sqrt(np.outer(patients, patients))
    )  # (K, K) at most: one patient, one outcome
    mean, k = float(recalls.mean()), len(recalls)
    low, high = (
        mean - sqrt(lower_arms @ correlation @ lower_arms) / k,
        mean + sqrt(upper_arms @ correlation @ upper_arms) / k,
    )
    return max(0.0, low), min(1.0, high)


def wilson_interval(share: float, n: int, z: float) -> Interval:
    """Wilson's score interval of a share seen in `n` independent cases."""
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half_width = z / (1 + z**2 / n) * sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(0.0, min(share, centre - half_width)), min(1.0, max(share, centre + half_width))


def newcombe_auc_interval(scores: Floats, positive: Bools, patient_codes: Ints, z: float) -> Interval | None:
    """Newcombe's interval of the AUC, with the patients who have positive and negative scans as the cases.

    None without a positive or without a negative scan.
    """
    m, n = len(np.unique(patient_codes[positive])), len(np.unique(patient_codes[~positive]))
    if not m or not n:
        return None
    area = unweighted_auc(scores, positive)
    # The variance is the same for θ and 1 − θ, so the upper limit is the lower one seen from the other side.
    return newcombe_lower_limit(area, m, n, z), 1 - newcombe_lower_limit(1 - area, m, n, z)


def newcombe_lower_limit(area: float, m: int, n: int, z: float) -> float:
    """Find by bisection the θ ≤ area whose own standard error puts the area z of them above it."""
    low, high = 0.0, area
    for _ in range(60):
        theta = (low + high) / 2
        variance_factor = 1 + ((m + n) / 2 - 1) * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        if area - theta > z * sqrt(theta * (1 - theta) * variance_factor / (m * n)):
            low = theta
        else:
            high = theta
    return low


def _f1_from_jaccard(jaccard: float) -> float:
    return 2 * jaccard / (1 + jaccard)
