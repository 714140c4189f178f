"""Whether probabilities mean what they say: shares that came true beside those foretold, and how sure that is."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from xrai.metrics.checks import Bools, Floats, Interval, check_ranking
from xrai.metrics.formulas import wilson_interval
from xrai.metrics.intervals import z_score
from xrai.metrics.measures import confidence_bins, expected_calibration_error
from xrai.metrics.resampling import draw_patients, encode_groups


def reliability(
    scores: ArrayLike,
    positive: ArrayLike,
    *,
    patients: Iterable[Hashable] | None = None,
    n_bins: int = 10,
    equal_mass: bool = True,
    level: float = 0.95,
) -> list[dict[str, Any]]:
    """Sort scans by what was foretold and say what came true: one JSON-able object a bin that has scans, rising.

    low and high (its edges; low is not in it, save of the first), mean (of the scores), share (of positive scans), n
    (scans), interval (Wilson's, of the share). In bins of equal width (as in Niculescu-Mizil and Caruana, ICML 2005)
    a model that is nearly always sure has nearly all its scans in two points, so those of equal mass show more.

    Args:
        scores: probabilities of one class, or of the called one, 0 to 1, (N,).
        positive: whether the scan is of that class, or was called rightly, bool (N,).
        patients: keys (N,); each patient in a bin then counts as one case for the interval.
        n_bins: at most so many.
        equal_mass: as many scans in every bin, as far as equal scores allow; otherwise as wide.
        level: of the intervals.
    """
    s, is_positive = _check_scores(scores, positive)
    if n_bins < 1:
        raise ValueError(f"Calibration needs at least one bin, not {n_bins}.")
    if not len(s):
        return []
    z, patient_codes = z_score(1, level), np.arange(len(s)) if patients is None else encode_groups(patients, len(s))[0]
    inner_edges = np.linspace(0, 1, n_bins + 1)[1:-1]
    edges = np.unique([0.0, *(np.quantile(s, inner_edges) if equal_mass else inner_edges), 1.0])
    bins = np.searchsorted(edges[1:-1], s)
    return [
        {
            "low": float(edges[k]),
            "high": float(edges[k + 1]),
            "mean": float(s[in_bin].mean()),
            "share": float(is_positive[in_bin].mean()),
            "n": int(in_bin.sum()),
            "interval": wilson_interval(float(is_positive[in_bin].mean()), len(np.unique(patient_codes[in_bin])), z),
        }
        for k, in_bin in ((k, bins == k) for k in np.unique(bins))
    ]


def calibration_error_interval(
    probabilities: ArrayLike,
    labels: ArrayLike,
    groups: Iterable[Hashable],
    *,
    n_bins: int = 15,
    n_rounds: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Give the interval of `expected_calibration_error`, resampling patients (`groups`, (N,)), not scans.

    The error is biased upward: even of perfect probabilities few scans leave gaps in the bins, and gaps do not cancel
    out (Kumar, Liang and Ma, NeurIPS 2019). Resampling adds such gaps once more, so that the percentiles lie too high
    and may miss the error itself: the interval is widened down to it. Compare it with `calibration_error_by_chance`.

    Raises:
        ValueError: also when there are no scans, or a probability lies outside 0 to 1.
    """
    z_score(n_rounds, level)
    bins, residuals = confidence_bins(probabilities, labels, n_bins)
    patient_codes, n_patients = encode_groups(groups, len(bins))
    patient_residuals, scans = np.zeros((n_patients, n_bins)), np.bincount(patient_codes, minlength=n_patients)
    np.add.at(patient_residuals, (patient_codes, bins), residuals)
    chunk = max(1, (1 << 18) // len(bins))
    draw_chunks = draw_patients(n_patients, n_rounds, chunk, seed)
    errors = np.concatenate(
        [np.abs(patient_residuals.T @ rounds).sum(axis=0) / (scans @ rounds) for rounds in draw_chunks]
    )
    low, high = np.quantile(errors, [(1 - level) / 2, (1 + level) / 2])
    error = expected_calibration_error(probabilities, labels, n_bins)
    return min(error, float(low)), max(error, float(high))


def calibration_error_by_chance(
    probabilities: ArrayLike, *, n_bins: int = 15, n_rounds: int = 200, seed: int = 0
) -> float:
    """Give the mean `expected_calibration_error` of so many scans if the probabilities (N, C) were exactly right.

    Simulated (consistency resampling; Bröcker and Smith, Weather Forecast 2007;22:651–661), every scan for itself:
    where scans of one patient hang together, chance does more than this.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    bins, _ = confidence_bins(p, np.zeros(len(p), dtype=np.int64), n_bins)
    confidence, rng = p.max(axis=1), np.random.default_rng(seed)
    hits = (rng.random(len(p)) < confidence for _ in range(n_rounds))
    return float(np.mean([np.abs(np.bincount(bins, weights=hit - confidence)).sum() / len(p) for hit in hits]))


def _check_scores(scores: ArrayLike, positive: ArrayLike) -> tuple[Floats, Bools]:
    s, is_positive = check_ranking(scores, positive)
    if len(s) and (s.min() < 0 or s.max() > 1 + 1e-6):  # float32 softmax may land a rounding above 1
        raise ValueError("Probabilities must lie between 0 and 1.")
    return s, is_positive
