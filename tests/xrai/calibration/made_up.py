"""Made-up logits and labels for the tests of calibration."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

CLASSES = ("NORMAL", "PNEUMONIA")


def softmax(z):
    raised = np.exp(z - z.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def drawn_from(logits, rng):
    """Labels for which the logits are exactly right."""
    return (softmax(logits).cumsum(axis=1) < rng.random((len(logits), 1))).sum(axis=1)


def calibrated(n=12_000, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, n_classes))
    return logits, drawn_from(logits, rng)


def two_classes(n, seed=0, separation=2.0, sick_share=0.6):
    """Scores of the second class, labels, and a patient each."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < sick_share).astype(int)
    return 1 / (1 + np.exp(-rng.normal(separation * (labels - 0.5), 1))), labels, np.arange(n)


def columns(scores):
    return np.stack([1 - scores, scores], axis=1)


class Margin(ClassifierMixin, BaseEstimator):
    """A fitted model whose decision function is its only feature, or its features as they are."""

    def fit(self, x, y):
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, x):
        return x[:, 0] if x.shape[1] == 1 else x

    def predict(self, x):
        raise NotImplementedError


def searched(scores, labels, goal):
    """The extreme threshold that keeps to a limit, of all that tell scores of three digits apart."""
    grid = np.array([0, *(np.arange(1000) + 0.5) / 1000])
    sick, healthy = scores[labels == 1], scores[labels == 0]
    if goal.kind == "max_fnr":
        return max(t for t in grid if (sick < t).mean() <= goal.limit + 1e-12)
    return min(t for t in grid if (healthy >= t).mean() <= goal.limit + 1e-12)


def honest(n, seed, times=1.0, n_classes=2):
    """Logits whose softmax is right, made `times` too sure, and labels drawn from them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, n_classes))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return times * logits, np.array([rng.choice(n_classes, p=row) for row in p])
