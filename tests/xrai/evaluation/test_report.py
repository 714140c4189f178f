"""The classification report."""

import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, roc_auc_score
from sklearn.metrics import classification_report as sklearn_report

from tests.xrai.evaluation.models import predictions
from xrai.evaluation.evaluate import classification_report


@pytest.mark.parametrize(("n_classes", "threshold"), [(2, 0.5), (2, 0.3), (2, None), (3, None)])
def test_report_agrees_with_scikit_learn(n_classes, threshold):
    classes = ("a", "b", "c")[:n_classes]
    shares, labels, patients = predictions(200, n_classes)
    found = classification_report(shares, labels, patients, classes, threshold)
    called = (shares[:, 1] >= threshold).astype(int) if threshold else shares.argmax(axis=1)
    expected = sklearn_report(labels, called, target_names=classes, output_dict=True)
    for name in classes:
        row, theirs = found["per_class"][name], expected[name]
        assert row["support"] == theirs["support"]
        for ours, other in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            assert row[ours] == pytest.approx(theirs[other])
    assert found["confusion_matrix"] == confusion_matrix(labels, called).tolist()
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, called))
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, called))
    scores = shares[:, 1] if n_classes == 2 else shares
    assert found["auc"] == pytest.approx(roc_auc_score(labels, scores, multi_class="ovr"))
    assert (found["n"], found["n_patients"]) == (200, 100)
    for name in ("accuracy", "balanced_accuracy", "auc"):
        low, high = found[f"{name}_interval"]
        assert low < found[name] < high
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_report_agrees_with_scikit_learn_on_what_is_hard(n_classes, seed):
    """Classes of very different size, answers that tie, and a class that is never called."""
    rng = np.random.default_rng(seed)
    classes = tuple("abcde"[:n_classes])
    weights = 4.0 ** -np.arange(n_classes)
    labels = rng.choice(n_classes, size=150, p=weights / weights.sum())
    labels[:n_classes] = range(n_classes)
    scores = rng.integers(0, 5, (150, n_classes)) + 2 * np.eye(n_classes)[labels]
    scores[:, -1] = rng.integers(0, 2, 150)
    scores[:, 0] += 3
    shares = scores / scores.sum(axis=1, keepdims=True)
    found = classification_report(shares, labels, np.arange(150), classes, None)
    called = shares.argmax(axis=1)
    assert n_classes - 1 not in called
    expected = sklearn_report(labels, called, target_names=classes, output_dict=True, zero_division=0)
    for name in classes:
        theirs = [expected[name][measure] for measure in ("precision", "recall", "f1-score", "support")]
        assert [found["per_class"][name][key] for key in ("precision", "recall", "f1", "support")] == pytest.approx(
            theirs
        )
    assert found["accuracy"] == pytest.approx(expected["accuracy"])
    assert found["balanced_accuracy"] == pytest.approx(expected["macro avg"]["recall"])
    assert found["confusion_matrix"] == confusion_matrix(labels, called).tolist()
    column = shares[:, 1] if n_classes == 2 else shares
    assert found["auc"] == pytest.approx(roc_auc_score(labels, column, multi_class="ovr", average="macro"))
    assert found["n"] == sum(row["support"] for row in found["per_class"].values()) == 150


def test_report_of_a_split_that_lacks_a_class():
    shares, labels, patients = predictions(40, 2)
    found = classification_report(shares, np.zeros_like(labels), patients, ("a", "b"), 0.5)
    assert (found["auc"], found["auc_interval"]) == (None, None)
    assert found["balanced_accuracy"] == found["per_class"]["a"]["recall"]
    assert found["per_class"]["b"]["support"] == 0
