"""Logits turned into probabilities that mean what they say, for patients among whom the classes have given shares."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from xrai.metrics.checks import Floats, Ints, check_labels, check_probabilities
from xrai.metrics.resampling import encode_groups

_FOLDS = 5
_MIN_SLOPE = 1e-3  # slope × spread of the logits: answers that say nothing, or the opposite, become all but equal


@dataclass(frozen=True)
class Calibration:
    """Probabilities as softmax(slope · logits + offsets).

    Attributes:
        slope: above 0; 1 / temperature.
        offsets: one a class; they sum to 0.
        prevalence: the class shares for which the probabilities hold; None where nobody knows.
    """

    slope: float
    offsets: tuple[float, ...]
    prevalence: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not (isfinite(self.slope) and self.slope > 0):
            raise ValueError("The slope of a calibration must be a number above 0.")
        if len(self.offsets) < 2 or not all(map(isfinite, self.offsets)) or abs(sum(self.offsets)) > 1e-6:
            raise ValueError("The offsets of a calibration must be numbers, one a class, that sum to 0.")
        if self.prevalence is not None:
            _check_prevalence(self.prevalence, len(self.offsets))

    def __call__(self, logits: ArrayLike) -> Floats:
        """Turn logits (N, C) into probabilities, float64 (N, C), each row summing to 1."""
        z = check_probabilities(logits)
        if z.shape[1] != len(self.offsets):
            raise ValueError(f"Logits of {z.shape[1]} classes do not go with a calibration of {len(self.offsets)}.")
        return np.exp(_log_softmax(self.slope * z + np.array(self.offsets)))

    def to_dict(self) -> dict[str, Any]:
        """The calibration as plain JSON-able values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """The calibration read back.

        Raises:
            KeyError, TypeError, ValueError: it is not one.
        """
        shares = values["prevalence"]
        prevalence = None if shares is None else tuple(map(float, shares))
        return cls(float(values["slope"]), tuple(map(float, values["offsets"])), prevalence)


def fit_calibration(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    with_offsets: bool,
    weights: ArrayLike | None = None,
    prevalence: Sequence[float] | None = None,
) -> Calibration:
    """Fit slope and, if wanted, offsets by maximum likelihood, against labels that are a little uncertain.

    Without offsets this is temperature scaling (Guo et al., ICML 2017), with them Platt's for any number of classes.
    Plain maximum likelihood runs to infinity where a class is told apart without an error, and then promises that
    errors never happen. So, as Platt (Advances in Large Margin Classifiers 1999:61–74) has it, a scan of class k counts
    as of it by (n + 1) / (n + C) and as of every other by 1 / (n + C), n being the scans of class k, or of weights as
    many as they are worth (Kish: their sum squared by the sum of their squares). That is Laplace's rule of succession:
    from n scans nobody learns of errors rarer than about 1 in n. It needs no setting and vanishes as n grows; with it
    the likelihood is concave with a finite maximum. Answers that say nothing or the opposite end at a slope just
    above 0.

    Args:
        logits: finite, (N, C).
        labels: true classes, (N,).
        offsets: whether classes may be shifted against each other.
        weights: of the scans, 0 or more, (N,); 1 / scans of the patient counts patients instead of scans.
        prevalence: class shares for which the probabilities are to hold; the classes are weighted to have them. None
            for those of the (weighted) scans.

    Raises:
        ValueError: shapes or values do not fit, there are no scans, or a class has a prevalence but no scans.
    """
    z = check_probabilities(logits)
    y = check_labels(labels, z.shape[1])
    w = _check_weights(weights, len(y))
    if len(z) != len(y) or not w.sum() > 0:
        raise ValueError(f"A calibration needs scans that count and a label of each, not {len(z)} and {len(y)}.")
    targets, n_classes = _platt_targets(y, w, z.shape[1]), z.shape[1]
    observed_prevalence = np.bincount(y, weights=w, minlength=n_classes) / w.sum()
    target_prevalence = observed_prevalence if prevalence is None else _check_prevalence(prevalence, n_classes)
    if (target_prevalence > 0)[observed_prevalence == 0].any():
        raise ValueError("A class without scans cannot be given a share: leave its prevalence at 0, or add scans.")
    w = w * (target_prevalence / np.where(observed_prevalence > 0, observed_prevalence, 1))[y]
    slope, offset_values = _maximize_likelihood(z, targets, w / w.sum(), with_offsets)
    return Calibration(slope, tuple(offset_values.tolist()), tuple(target_prevalence.tolist()))


def fit_cross_validated_calibration(
    logits: ArrayLike, labels: ArrayLike, patients: Iterable[Hashable], *, prevalence: Sequence[float]
) -> Calibration:
    """A slope fitted on scans that the network did not learn from, or 1 where that foretells held-out patients better.

    A slope from few scans errs to the side of caution, and may make good probabilities worse. So each fold of the
    patients is foretold with a slope from the others, and the fit is kept where its log-likelihood is higher in all.

    Args:
        logits: finite, (N, C).
        labels: true classes, (N,); every class has scans.
        patients: keys (N,), equal for scans of one patient.
        prevalence: class shares for which the probabilities are to hold.
    """
    z, y = check_probabilities(logits), check_labels(labels, len(prevalence))
    patient_codes, n_patients = encode_groups(patients, len(y))
    identity = Calibration(1.0, (0.0,) * z.shape[1], tuple(prevalence))
    first_labels = np.array(
        [y[patient_codes == code][0] for code in range(n_patients)]
    )  # a class of each patient, to deal by
    fold = (np.array([(first_labels[:code] == first_labels[code]).sum() for code in range(n_patients)]) % _FOLDS)[
        patient_codes
    ]
    weights = (np.asarray(prevalence) / np.bincount(y, minlength=z.shape[1]))[y]
    log_likelihood_gain = 0.0
    for held_out in (fold == number for number in np.unique(fold)):
        if len(np.unique(y[~held_out])) < z.shape[1]:
            return identity  # too few to tell
        fold_calibration = fit_calibration(z[~held_out], y[~held_out], with_offsets=False, prevalence=prevalence)
        true_entries = (np.arange(held_out.sum()), y[held_out])
        log_likelihood_gain += float(
            (
                weights[held_out]
                * (np.log(fold_calibration(z[held_out])[true_entries]) - np.log(identity(z[held_out])[true_entries]))
            ).sum()
        )
    return fit_calibration(z, y, with_offsets=False, prevalence=prevalence) if log_likelihood_gain > 0 else identity


def adjust_prevalence(
    probabilities: ArrayLike, source_prevalence: Sequence[float], target_prevalence: Sequence[float]
) -> Floats:
    """Turn probabilities that hold where the classes have the shares `before` into those where they have `now`.

    p'ₖ ∝ pₖ · nowₖ / beforeₖ (Saerens, Latinne and Decaestecker, Neural Comput 2002;14:21–41, eq. 2.4), which is Bayes'
    rule where scans of a class look alike at both places and only the classes' shares differ.

    Args:
        probabilities: float (N, C).
        before: shares of the C classes, all above 0, summing to 1.
        now: likewise.

    Returns:
        float64 (N, C), each row summing to 1.
    """
    p = check_probabilities(probabilities)
    source, target = _check_prevalence(source_prevalence, p.shape[1]), _check_prevalence(target_prevalence, p.shape[1])
    if not (source.all() and target.all()):
        raise ValueError("Every class must have a share above 0, before and now.")
    unnormalized = p * (target / source)
    return unnormalized / unnormalized.sum(axis=1, keepdims=True)


def _maximize_likelihood(z: Floats, targets: Floats, w: Floats, with_offsets: bool) -> tuple[float, Floats]:
    """Slope and offsets (C,) of the greatest likelihood under weights (N,) that sum to 1."""
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
    """What each scan counts as, (N, C), rows summing to 1."""
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
