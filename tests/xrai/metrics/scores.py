"""Made-up probabilities and labels for the tests of metrics."""

import numpy as np
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

from xrai.metrics import predict


def two_columns(scores):
    return np.stack([1 - np.asarray(scores), scores], axis=1)


def binary(n=200, *, separation=1.0, decimals=2, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    scores = 1 / (1 + np.exp(-rng.normal(separation * (labels - 0.5), 1)))
    return two_columns(scores.round(decimals)), labels


def several(n=200, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(n_classes), size=n).round(2), rng.integers(0, n_classes, size=n)


def width(interval):
    return interval[1] - interval[0]


CLASS_MEASURES = ["precision", "recall", "f1", "auc"]


def class_values(p, y):
    """What `class_intervals` must hold, by scikit-learn, (4, C)."""
    classes = range(p.shape[1])
    shares = precision_recall_fscore_support(y, predict(p), labels=classes, zero_division=np.nan)[:3]
    return np.array([*shares, [roc_auc_score(y == k, p[:, k]) for k in classes]])


def wilson_by_its_equation(share, n, z=1.96):
    """The shares θ of which the one seen is z of their own standard errors away: n (share − θ)² = z² θ (1 − θ)."""
    return sorted(np.roots([n + z**2, -(2 * n * share + z**2), n * share**2]))
