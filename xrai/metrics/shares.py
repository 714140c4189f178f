"""The share of scans of which something holds, with its interval by patient."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np
from numpy.typing import ArrayLike

from xrai.metrics.checks import Interval
from xrai.metrics.formulas import share_interval
from xrai.metrics.intervals import deviations, holding
from xrai.metrics.measures import ratio
from xrai.metrics.resampling import drawn_patients, numbered


def share_by_patient(
    holds: ArrayLike,
    groups: Iterable[Hashable],
    among: ArrayLike | None = None,
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
        holds: bool (N,).
        groups: each scan's patient, (N,).
        among: the scans that count, bool (N,); None for all.
        n_rounds: of drawing patients.
        seed: of the draws.
        level: of the interval.
    """
    hit = np.asarray(holds, dtype=bool)
    counted = np.ones_like(hit) if among is None else np.asarray(among, dtype=bool)
    if hit.ndim != 1 or hit.shape != counted.shape:
        raise ValueError(f"Truth values of shape {hit.shape} do not go with those of shape {counted.shape}.")
    patient, n_patients = numbered(groups, len(hit))
    hits, scans = (np.bincount(patient, of, n_patients).astype(np.float64) for of in (hit & counted, counted))
    formula = share_interval(hits, scans, deviations(n_rounds, level))
    if formula is None:
        return None
    drawn = drawn_patients(n_patients, n_rounds, max(1, (1 << 18) // len(hit)), seed)
    shares = np.concatenate([ratio(hits @ rounds, scans @ rounds, undefined=np.nan) for rounds in drawn])
    return float(hits.sum() / scans.sum()), holding(formula, shares, level)
