"""Logits turned into probabilities that mean what they say, for patients among whom the classes have given shares."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from xrai.metrics.checks import Floats, Ints, checked_labels, checked_probabilities
from xrai.metrics.resampling import numbered

_FOLDS = 5
_FLATTEST = 1e-3  # slope × spread of the logits: answers that say nothing, or the opposite, become all but equal


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
            _shares(self.prevalence, len(self.offsets))

    def __call__(self, logits: ArrayLike) -> Floats:
        """Turn logits (N, C) into probabilities, float64 (N, C), each row summing to 1."""
        z = checked_probabilities(logits)
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
    offsets: bool,
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
    z = checked_probabilities(logits)
    y = checked_labels(labels, z.shape[1])
    w = _weights(weights, len(y))
    if len(z) != len(y) or not w.sum() > 0:
        raise ValueError(f"A calibration needs scans that count and a label of each, not {len(z)} and {len(y)}.")
    targets, n_classes = _targets(y, w, z.shape[1]), z.shape[1]
    now = np.bincount(y, weights=w, minlength=n_classes) / w.sum()
    wanted = now if prevalence is None else _shares(prevalence, n_classes)
    if (wanted > 0)[now == 0].any():
        raise ValueError("A class without scans cannot be given a share: leave its prevalence at 0, or add scans.")
    w = w * (wanted / np.where(now > 0, now, 1))[y]
    slope, shifts = _most_likely(z, targets, w / w.sum(), offsets)
    return Calibration(slope, tuple(shifts.tolist()), tuple(wanted.tolist()))


def fit_where_it_helps(
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
    z, y = checked_probabilities(logits), checked_labels(labels, len(prevalence))
    patient, n_patients = numbered(patients, len(y))
    plain = Calibration(1.0, (0.0,) * z.shape[1], tuple(prevalence))
    first = np.array([y[patient == one][0] for one in range(n_patients)])  # a class of each patient, to deal by
    fold = (np.array([(first[:one] == first[one]).sum() for one in range(n_patients)]) % _FOLDS)[patient]
    weights = (np.asarray(prevalence) / np.bincount(y, minlength=z.shape[1]))[y]
    gained = 0.0
    for out in (fold == number for number in np.unique(fold)):
        if len(np.unique(y[~out])) < z.shape[1]:
            return plain  # too few to tell
        fitted = fit_calibration(z[~out], y[~out], offsets=False, prevalence=prevalence)
        right = (np.arange(out.sum()), y[out])
        gained += float((weights[out] * (np.log(fitted(z[out])[right]) - np.log(plain(z[out])[right]))).sum())
    return fit_calibration(z, y, offsets=False, prevalence=prevalence) if gained > 0 else plain


def at_prevalence(probabilities: ArrayLike, before: Sequence[float], now: Sequence[float]) -> Floats:
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
    p = checked_probabilities(probabilities)
    old, new = _shares(before, p.shape[1]), _shares(now, p.shape[1])
    if not (old.all() and new.all()):
        raise ValueError("Every class must have a share above 0, before and now.")
    raised = p * (new / old)
    return raised / raised.sum(axis=1, keepdims=True)


def _most_likely(z: Floats, targets: Floats, w: Floats, offsets: bool) -> tuple[float, Floats]:
    """Slope and offsets (C,) of the greatest likelihood under weights (N,) that sum to 1."""
    from scipy.optimize import minimize

    z = z - z.mean(axis=1, keepdims=True)
    spread = float(np.sqrt(w @ (z**2).mean(axis=1))) or 1.0
    z, n_classes = z / spread, z.shape[1]

    def loss(values: Floats) -> tuple[float, Floats]:
        logs = _log_softmax(values[0] * z + values[1:])
        pull = w[:, None] * (np.exp(logs) - targets)  # (N, C)
        shift = pull.sum(axis=0) if offsets else np.zeros(n_classes)
        return -float(w @ (targets * logs).sum(axis=1)), np.array([(pull * z).sum(), *shift])

    start = np.array([max(spread, _FLATTEST), *np.zeros(n_classes)])
    bounds = [(_FLATTEST, None), *[(None, None)] * n_classes]
    options = {"ftol": 1e-14, "gtol": 1e-9, "maxiter": 1000}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    return float(found[0] / spread), found[1:] - found[1:].mean()


def _targets(y: Ints, w: Floats, n_classes: int) -> Floats:
    """What each scan counts as, (N, C), rows summing to 1."""
    total, squares = (np.bincount(y, weights=of, minlength=n_classes) for of in (w, w**2))
    n = np.divide(total**2, squares, out=np.zeros(n_classes), where=squares > 0)[y, None]  # (N, 1)
    return (1 + n * np.eye(n_classes)[y]) / (n + n_classes)


def _weights(weights: ArrayLike | None, n: int) -> Floats:
    w = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    if w.shape != (n,) or not np.isfinite(w).all() or (w < 0).any():
        raise ValueError(f"Weights must be {n} numbers of 0 or more.")
    return w


def _shares(values: Sequence[float], n_classes: int) -> Floats:
    shares = np.asarray(values, dtype=np.float64)
    if shares.shape != (n_classes,) or not (shares >= 0).all() or not abs(shares.sum() - 1) < 1e-6:
        raise ValueError(f"Class shares must be {n_classes} numbers of 0 or more that sum to 1.")
    return shares


def _log_softmax(z: Floats) -> Floats:
    z = z - z.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))
