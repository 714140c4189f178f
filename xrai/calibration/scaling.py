"""Calibration of logits by temperature or Platt scaling, and adjustment of probabilities to another prevalence."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Annotated, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, model_validator

from xrai.core.records import Record
from xrai.metrics.checks import Floats, Ints, check_labels, check_probabilities
from xrai.metrics.resampling import encode_groups

_FOLDS = 5
_MIN_SLOPE = 1e-3  # slope × spread of the logits, so that uninformative logits give nearly equal probabilities


class Calibration(Record):
    """Probabilities as softmax(slope · logits + offsets).

    Attributes:
        slope: 1 / temperature.
        offsets: one per class, with the sum 0.
        prevalence: the class shares for which the probabilities hold; None where they are unknown.
    """

    slope: Annotated[float, Field(gt=0)]
    offsets: tuple[float, ...] = Field(min_length=2)
    prevalence: tuple[float, ...] | None = None

    @model_validator(mode="after")
    def _check_sums(self) -> Self:
        if abs(sum(self.offsets)) > 1e-6:
            raise ValueError("The offsets of a calibration must have the sum 0.")
        if self.prevalence is not None:
            _check_prevalence(self.prevalence, len(self.offsets))
        return self

    def __call__(self, logits: ArrayLike) -> Floats:
        """Probabilities of logits (N, C), float64 (N, C), each row with the sum 1."""
        z = check_probabilities(logits)
        if z.shape[1] != len(self.offsets):
            raise ValueError(f"Logits of {z.shape[1]} classes do not fit a calibration of {len(self.offsets)}.")
        return np.exp(_log_softmax(self.slope * z + np.array(self.offsets)))


def fit_calibration(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    with_offsets: bool,
    weights: ArrayLike | None = None,
    prevalence: Sequence[float] | None = None,
) -> Calibration:
    """Fit the slope and, if asked for, offsets by maximum likelihood with Platt's smoothed targets.

    Without offsets this is temperature scaling (Guo et al., ICML 2017), with them Platt scaling for any number of
    classes. Plain maximum likelihood diverges where the classes are separable. Therefore a scan of class k has the
    target (n + 1) / (n + C) for it and 1 / (n + C) for every other class (Platt, Advances in Large Margin Classifiers
    1999:61–74), where n is the number of scans of class k, or of weighted scans the effective number (Kish: squared sum
    of the weights over the sum of their squares). The likelihood is then concave with a finite maximum. Uninformative
    or inverted logits end at a slope just above 0.

    Args:
        logits: finite, (N, C).
        labels: true classes, (N,).
        with_offsets: whether to fit offsets.
        weights: of the scans, 0 or more, (N,); 1 / scans of the patient counts patients instead of scans.
        prevalence: class shares for which the probabilities are to hold, by weighting the classes; None for those of
            the (weighted) scans.

    Raises:
        ValueError: shapes or values do not fit, there are no scans, or a class has a prevalence but no scans.
    """
    z = check_probabilities(logits)
    y = check_labels(labels, z.shape[1])
    w = _check_weights(weights, len(y))
    if len(z) != len(y) or not w.sum() > 0:
        raise ValueError(f"A calibration needs scans that count and a label of each, not {len(z)} and {len(y)}.")
    n_classes = z.shape[1]
    targets = _platt_targets(y, w, n_classes)
    observed_prevalence = np.bincount(y, weights=w, minlength=n_classes) / w.sum()
    target_prevalence = observed_prevalence if prevalence is None else _check_prevalence(prevalence, n_classes)
    if (target_prevalence > 0)[observed_prevalence == 0].any():
        raise ValueError("A class without scans cannot be given a share: leave its prevalence at 0, or add scans.")
    w = w * (target_prevalence / np.where(observed_prevalence > 0, observed_prevalence, 1))[y]
    slope, offset_values = _maximize_likelihood(z, targets, w / w.sum(), with_offsets)
    offsets, shares = tuple(offset_values.tolist()), tuple(target_prevalence.tolist())
    return Calibration(slope=slope, offsets=offsets, prevalence=shares)


def fit_cross_validated_calibration(
    logits: ArrayLike, labels: ArrayLike, patients: Iterable[Hashable], *, prevalence: Sequence[float]
) -> Calibration:
    """Temperature scaling, kept only where it improves the cross-validated log-likelihood; else the slope is 1.

    A slope from few scans is too small on average, and may make good probabilities worse. The folds are split by
    patient.

    Args:
        logits: finite, (N, C).
        labels: true classes, (N,); every class has scans.
        patients: keys (N,), equal for scans of one patient.
        prevalence: class shares for which the probabilities are to hold.
    """
    z, y = check_probabilities(logits), check_labels(labels, len(prevalence))
    n_classes = z.shape[1]
    identity = Calibration(slope=1.0, offsets=(0.0,) * n_classes, prevalence=tuple(prevalence))
    fold = _patient_folds(y, encode_groups(patients, len(y))[0])
    weights = (np.asarray(prevalence) / np.bincount(y, minlength=n_classes))[y]
    gain = 0.0
    for number in np.unique(fold):
        test = fold == number
        if len(np.unique(y[~test])) < n_classes:
            return identity  # too few to tell
        fitted = fit_calibration(z[~test], y[~test], with_offsets=False, prevalence=prevalence)
        targets = (np.arange(test.sum()), y[test])
        log_ratio = np.log(fitted(z[test])[targets]) - np.log(identity(z[test])[targets])
        gain += float((weights[test] * log_ratio).sum())
    return fit_calibration(z, y, with_offsets=False, prevalence=prevalence) if gain > 0 else identity


def _patient_folds(y: Ints, patient_codes: Ints) -> Ints:
    """The fold of each scan, (N,): patients are dealt in turn, within the class of their first scan."""
    first_labels = y[np.unique(patient_codes, return_index=True)[1]]
    rank = [(first_labels[:code] == label).sum() for code, label in enumerate(first_labels)]
    return (np.array(rank) % _FOLDS)[patient_codes]


def adjust_prevalence(
    probabilities: ArrayLike, source_prevalence: Sequence[float], target_prevalence: Sequence[float]
) -> Floats:
    """Adjust probabilities to another prevalence: p'ₖ ∝ pₖ · targetₖ / sourceₖ.

    This is Bayes' rule for a prior shift, where the scans of a class look alike at both places and only the class
    shares differ (Saerens, Latinne and Decaestecker, Neural Comput 2002;14:21–41, eq. 2.4).

    Args:
        probabilities: float (N, C).
        source_prevalence: shares of the C classes for which they hold, all above 0, with the sum 1.
        target_prevalence: likewise, those wanted.

    Returns:
        float64 (N, C), each row with the sum 1.
    """
    p = check_probabilities(probabilities)
    source, target = _check_prevalence(source_prevalence, p.shape[1]), _check_prevalence(target_prevalence, p.shape[1])
    if not (source.all() and target.all()):
        raise ValueError("Every class must have a share above 0, before and now.")
    unnormalized = p * (target / source)
    return unnormalized / unnormalized.sum(axis=1, keepdims=True)


def _maximize_likelihood(z: Floats, targets: Floats, w: Floats, with_offsets: bool) -> tuple[float, Floats]:
    """Slope and offsets (C,) of the maximum likelihood with weights (N,) of the sum 1."""
    from scipy.optimize import minimize

    z = z - z.mean(axis=1, keepdims=True)
    spread = float(np.sqrt(w @ (z**2).mean(axis=1))) or 1.0
    z, n_classes = z / spread, z.shape[1]

    def loss(values: Floats) -> tuple[float, Floats]:
        log_probabilities = _log_softmax(values[0] * z + values[1:])
        residuals = w[:, None] * (np.exp(log_probabilities) - targets)  # (N, C)
        offset_gradient = residuals.sum(axis=0) if with_offsets else np.zeros(n_classes)
        return -float(w @ (targets * log_probabilities).sum(axis=1)), np.array(
            [(residuals * z).sum(), *offset_gradient]
        )

    start = np.array([max(spread, _MIN_SLOPE), *np.zeros(n_classes)])
    bounds = [(_MIN_SLOPE, None), *[(None, None)] * n_classes]
    options = {"ftol": 1e-14, "gtol": 1e-9, "maxiter": 1000}
    solution = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    return float(solution[0] / spread), solution[1:] - solution[1:].mean()


def _platt_targets(y: Ints, w: Floats, n_classes: int) -> Floats:
    """Platt's smoothed targets, (N, C), rows with the sum 1."""
    total, squares = (np.bincount(y, weights=of, minlength=n_classes) for of in (w, w**2))
    n = np.divide(total**2, squares, out=np.zeros(n_classes), where=squares > 0)[y, None]  # (N, 1)
    return (1 + n * np.eye(n_classes)[y]) / (n + n_classes)


def _check_weights(weights: ArrayLike | None, n: int) -> Floats:
    w = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    if w.shape != (n,) or not np.isfinite(w).all() or (w < 0).any():
        raise ValueError(f"Weights must be {n} numbers of 0 or more.")
    return w


def _check_prevalence(values: Sequence[float], n_classes: int) -> Floats:
    shares = np.asarray(values, dtype=np.float64)
    if shares.shape != (n_classes,) or not (shares >= 0).all() or not abs(shares.sum() - 1) < 1e-6:
        raise ValueError(f"Class shares must be {n_classes} numbers of 0 or more that sum to 1.")
    return shares


def _log_softmax(z: Floats) -> Floats:
    z = z - z.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))
