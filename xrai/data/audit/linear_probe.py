"""Linear probe: logistic regression on a few features, cross-validated by patient."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from xrai.core.language import say
from xrai.data.audit.dataset_pass import ProgressCallback, iterate_with_progress
from xrai.data.audit.findings import Numbers
from xrai.metrics import auc, bootstrap_intervals

MAX_SCANS = 3000
"""Maximum number of scans, drawn with a fixed seed: a linear model needs no more."""

_N_FOLDS = 5
_N_COMPONENTS = 40
_BOOTSTRAP_ROUNDS = 500


@dataclass(frozen=True)
class LinearProbeResult:
    """Performance on held-out patients.

    Attributes:
        auc: 0.5 is chance, 1 perfect; of more than two classes the mean of one against the rest.
        low, high: its 95 % interval.
        n: scans.
        patients: patients.
    """

    auc: float
    low: float
    high: float
    n: int
    patients: int

    def numbers(self) -> Numbers:
        """The figures for a finding."""
        return {"auc": self.auc, "interval": (self.low, self.high), "n": self.n, "patients": self.patients}

    def sentence(self) -> str:
        """The AUC with its interval."""
        return say("AUC {auc:.2f}, 95 % interval {low:.2f} to {high:.2f}", auc=self.auc, low=self.low, high=self.high)


def sample_rows(rows: np.ndarray) -> np.ndarray:
    """At most `MAX_SCANS` of the rows, ascending; repeatable."""
    if len(rows) <= MAX_SCANS:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, MAX_SCANS, replace=False))


def run_linear_probe(
    features: np.ndarray, labels: np.ndarray, patients: np.ndarray, progress: ProgressCallback
) -> LinearProbeResult | None:
    """Predict labels (N,) from features (N, D) by logistic regression in five-fold cross-validation by patient.

    More than `_N_COMPONENTS` features are first reduced to as many principal components. None where fewer than two
    classes are present, or one has a single patient.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    classes, labels = np.unique(labels, return_inverse=True)
    n_folds = min(_N_FOLDS, *(len(set(patients[labels == label])) for label in range(len(classes))), len(features))
    if len(classes) < 2 or n_folds < 2:
        return None
    probabilities = np.zeros((len(labels), len(classes)))
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # small classes and unconverged fits do not matter here
        for train_rows, test_rows in iterate_with_progress(list(folds.split(features, labels, patients)), progress):
            if len(test_rows):
                probabilities[test_rows] = fit_and_predict(
                    features[train_rows], labels[train_rows], features[test_rows], len(classes)
                )
    value = auc(probabilities, labels)
    interval = bootstrap_intervals(probabilities, labels, patients, n_rounds=_BOOTSTRAP_ROUNDS)["auc"]
    if value is None or interval is None:
        return None
    return LinearProbeResult(value, *interval, len(labels), len(set(patients)))


def fit_and_predict(features: np.ndarray, labels: np.ndarray, new_features: np.ndarray, n_classes: int) -> np.ndarray:
    """Class probabilities (n, C) of `new_features` (n, D); 0 for a class missing in `labels`."""
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
