"""What measures take and give, and the refusal of what does not fit."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Interval = tuple[float, float]


def check_predictions(probabilities: ArrayLike, labels: ArrayLike) -> tuple[Floats, Ints]:
    """Give probabilities (N, C) and labels (N,) that go together, or raise `ValueError`."""
    p = check_probabilities(probabilities)
    y = check_labels(labels, p.shape[1])
    if len(p) != len(y):
        raise ValueError(f"{len(p)} rows of probabilities do not go with {len(y)} labels.")
    return p, y


def check_calibrated_predictions(probabilities: ArrayLike, labels: ArrayLike) -> tuple[Floats, Ints]:
    """`checked`, of at least one scan, and with probabilities from 0 to 1."""
    p, y = check_predictions(probabilities, labels)
    if not len(p):
        raise ValueError("Calibration cannot be measured without scans.")
    if p.min() < 0 or p.max() > 1 + 1e-6:  # float32 softmax may land a rounding above 1
        raise ValueError("Probabilities must lie between 0 and 1.")
    return p, y


def check_probabilities(probabilities: ArrayLike) -> Floats:
    """Give finite probabilities (N, C), or raise `ValueError`."""
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or p.shape[1] < 2:
        raise ValueError(f"Probabilities must have a row a scan and a column a class, not the shape {p.shape}.")
    if not np.isfinite(p).all():
        raise ValueError("Some probabilities are not numbers: the model has diverged.")
    return p


def check_labels(labels: ArrayLike, n_classes: int) -> Ints:
    """Give whole numbers (N,) from 0 to `n_classes` − 1, or raise `ValueError`."""
    y = np.asarray(labels)
    if y.ndim != 1 or (len(y) and not np.issubdtype(y.dtype, np.integer)):
        raise ValueError(f"Labels must be a row of whole numbers, not {y.dtype} of shape {y.shape}.")
    if len(y) and not 0 <= y.min() <= y.max() < n_classes:
        raise ValueError(f"Labels must lie between 0 and {n_classes - 1}.")
    return y.astype(np.int64)


def check_ranking(scores: ArrayLike, positive: ArrayLike) -> tuple[Floats, Bools]:
    """Give finite scores (N,) and as many truth values, or raise `ValueError`.

    Numbers are refused as truth values, so that labels of three classes cannot be taken for them.
    """
    s, is_positive = np.asarray(scores, dtype=np.float64), np.asarray(positive)
    if s.ndim != 1 or s.shape != is_positive.shape:
        raise ValueError(f"Scores of shape {s.shape} do not go with truth values of shape {is_positive.shape}.")
    if len(is_positive) and is_positive.dtype != np.bool_:
        raise ValueError(f"Which scans are of the class must be said as true or false, not as {is_positive.dtype}.")
    if not np.isfinite(s).all():
        raise ValueError("Some scores are not numbers: the model has diverged.")
    return s, is_positive.astype(np.bool_)
