"""The share of scans of which something holds, with its interval by patient."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np
from numpy.typing import ArrayLike

from xrai.metrics.checks import Interval
from xrai.metrics.formulas import wilson_patient_interval
from xrai.metrics.intervals import widen_to_percentiles, z_score
from xrai.metrics.measures import safe_divide
from xrai.metrics.resampling import draw_patients, encode_groups


def clustered_proportion(
    successes: ArrayLike,
    groups: Iterable[Hashable],
    mask: ArrayLike | None = None,
    *,
    n_rounds: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, Interval] | None:
    """Give the share of scans of which something holds, 0 to 1, and its interval.

    The interval holds the percentiles of patients drawn with replacement, each with all scans, as well as Wilson's for
    as many patients; see `bootstrap_intervals`, of whose accuracy this is the general case. None where there are no
    scans to look among.

    Args:
        successes: bool (N,).
        groups: each scan's patient, (N,).
        mask: the scans that count, bool (N,); None for all.
        n_rounds: of drawing patients.
        seed: of the draws.
        level: of the interval.
    """
    is_success = np.asarray(successes, dtype=bool)
    is_counted = np.ones_like(is_success) if mask is None else np.asarray(mask, dtype=bool)
    if is_success.ndim != 1 or is_success.shape != is_counted.shape:
        raise ValueError(f"Truth values of shape {is_success.shape} do not go with those of shape {is_counted.shape}.")
    patient_codes, n_patients = encode_groups(groups, len(is_success))
    n_successes, n_scans = (
        np.bincount(patient_codes, of, n_patients).astype(np.float64) for of in (is_success & is_counted, is_counted)
    )
    analytic_interval = wilson_patient_interval(n_successes, n_scans, z_score(n_rounds, level))
    if analytic_interval is None:
        return None
    draw_chunks = draw_patients(n_patients, n_rounds, max(1, (1 << 18) // len(is_success)), seed)
    shares = np.concatenate(
        [safe_divide(n_successes @ rounds, n_scans @ rounds, undefined=np.nan) for rounds in draw_chunks]
    )
    return float(n_successes.sum() / n_scans.sum()), widen_to_percentiles(analytic_interval, shares, level)
