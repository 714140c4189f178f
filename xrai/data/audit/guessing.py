"""How well a tiny model guesses something from a few features, cross-validated by patient."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from xrai.core.language import say
from xrai.data.audit.looking import ProgressCallback, iterate_with_progress
from xrai.metrics import auc, bootstrap_intervals

MAX_SCANS = 3000
"""Scans that a guess learns from at most, drawn with a fixed seed: a tiny model needs no more."""

_N_FOLDS = 5
_N_COMPONENTS = 40
_BOOTSTRAP_ROUNDS = 500


@dataclass(frozen=True)
class LinearProbeResult:
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


def sample_rows(rows: np.ndarray) -> np.ndarray:
    """At most `MOST` of the rows, always the same ones, ascending."""
    if len(rows) <= MAX_SCANS:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, MAX_SCANS, replace=False))


def run_linear_probe(
    features: np.ndarray, labels: np.ndarray, patients: np.ndarray, progress: ProgressCallback
) -> LinearProbeResult | None:
    """Guess labels (N,) from features (N, D) by logistic regression, five times on four fifths of the patients.

    More than `_COMPONENTS` features are first brought down to so many principal components. None where fewer than two
    classes are present or one has a single patient, for nothing can be held out then.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    classes, labels = np.unique(labels, return_inverse=True)
    n_folds = min(_N_FOLDS, *(len(set(patients[labels == label])) for label in range(len(classes))), len(features))
    if len(classes) < 2 or n_folds < 2:
        return None
    probabilities = np.zeros((len(labels), len(classes)))
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class with few scans, a fit cut short: neither matters to so rough a guess
        for train_rows, test_rows in iterate_with_progress(list(folds.split(features, labels, patients)), progress):
            if len(test_rows):
                probabilities[test_rows] = fit_and_predict(
                    features[train_rows], labels[train_rows], features[test_rows], len(classes)
                )
    value, interval = (
        auc(probabilities, labels),
        bootstrap_intervals(probabilities, labels, patients, n_rounds=_BOOTSTRAP_ROUNDS)["auc"],
    )
    if value is None or interval is None:
        return None
    return LinearProbeResult(value, *interval, len(labels), len(set(patients)))


def fit_and_predict(features: np.ndarray, labels: np.ndarray, new_features: np.ndarray, n_classes: int) -> np.ndarray:
    """Probabilities (n, C) for `new`; 0 for a class that `labels` lack."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probabilities = np.zeros((len(new_features), n_classes))
    if len(present := np.unique(labels)) < 2:
        probabilities[:, present] = 1
        return probabilities
    steps: list[Any] = [StandardScaler(), LogisticRegression(C=0.1, max_iter=200)]
    if features.shape[1] > _N_COMPONENTS:
        n_components = min(_N_COMPONENTS, len(features) - 1)
        steps.insert(0, PCA(n_components, svd_solver="randomized", random_state=0))
    with np.errstate(all="ignore"):
        probabilities[:, present] = make_pipeline(*steps).fit(features, labels).predict_proba(new_features)
    return probabilities
