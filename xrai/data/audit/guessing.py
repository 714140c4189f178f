"""How well a tiny model guesses something from a few features, cross-validated by patient."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from xrai.core.language import say
from xrai.data.audit.looking import Tell, told
from xrai.metrics import auc, bootstrap_intervals

MOST = 3000
"""Scans that a guess learns from at most, drawn with a fixed seed: a tiny model needs no more."""

_FOLDS = 5
_COMPONENTS = 40
_ROUNDS = 500


@dataclass(frozen=True)
class Guess:
    """How well the guess came out on patients that it had not learned from.

    Attributes:
        auc: 0.5 is chance, 1 certain; of more than two classes the mean of each against the rest.
        low, high: its 95 % interval.
        n, patients: scans and patients.
    """

    auc: float
    low: float
    high: float
    n: int
    patients: int

    def to_dict(self) -> dict[str, Any]:
        """The figures, JSON-able."""
        return {"auc": self.auc, "interval": [self.low, self.high], "n": self.n, "patients": self.patients}

    def __str__(self) -> str:
        return say("AUC {auc:.2f}, 95 % interval {low:.2f} to {high:.2f}", auc=self.auc, low=self.low, high=self.high)


def some(rows: np.ndarray) -> np.ndarray:
    """At most `MOST` of the rows, always the same ones, ascending."""
    if len(rows) <= MOST:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, MOST, replace=False))


def guess(features: np.ndarray, labels: np.ndarray, patients: np.ndarray, tell: Tell) -> Guess | None:
    """Guess labels (N,) from features (N, D) by logistic regression, five times on four fifths of the patients.

    More than `_COMPONENTS` features are first brought down to so many principal components. None where fewer than two
    classes are present or one has a single patient, for nothing can be held out then.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    found, labels = np.unique(labels, return_inverse=True)
    n_folds = min(_FOLDS, *(len(set(patients[labels == label])) for label in range(len(found))), len(features))
    if len(found) < 2 or n_folds < 2:
        return None
    shares = np.zeros((len(labels), len(found)))
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class with few scans, a fit cut short: neither matters to so rough a guess
        for learned, held_out in told(list(folds.split(features, labels, patients)), tell):
            if len(held_out):
                shares[held_out] = predicted(features[learned], labels[learned], features[held_out], len(found))
    value, interval = auc(shares, labels), bootstrap_intervals(shares, labels, patients, n_rounds=_ROUNDS)["auc"]
    if value is None or interval is None:
        return None
    return Guess(value, *interval, len(labels), len(set(patients)))


def predicted(features: np.ndarray, labels: np.ndarray, new: np.ndarray, n_classes: int) -> np.ndarray:
    """Probabilities (n, C) for `new`; 0 for a class that `labels` lack."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    shares = np.zeros((len(new), n_classes))
    if len(present := np.unique(labels)) < 2:
        shares[:, present] = 1
        return shares
    steps: list[Any] = [StandardScaler(), LogisticRegression(C=0.1, max_iter=200)]
    if features.shape[1] > _COMPONENTS:
        n_components = min(_COMPONENTS, len(features) - 1)
        steps.insert(0, PCA(n_components, svd_solver="randomized", random_state=0))
    with np.errstate(all="ignore"):
        shares[:, present] = make_pipeline(*steps).fit(features, labels).predict_proba(new)
    return shares
