"""How good a model is on a split of a dataset: the classification report, each number with its interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch

from xrai.checkpoint import Card, Checkpoint
from xrai.dataset import Dataset
from xrai.errors import CheckpointError, DatasetError
from xrai.metrics import (
    auc,
    bootstrap_intervals,
    brier,
    confusion_matrix,
    expected_calibration_error,
    per_class_report,
    predict,
)
from xrai.networks import Network

BATCH = 32


def evaluate(
    checkpoint: Checkpoint,
    dataset: Dataset,
    split: str = "test",
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Measure a model on a split, and note the measurement in the model's card.

    The classes are matched by name, in whatever order the dataset has them.

    Returns:
        JSON-able: accuracy, balanced_accuracy, auc and their `…_interval` (95 %, bootstrap by patient), classes,
        confusion_matrix (rows are the truth), per_class (precision, recall, f1, support), threshold,
        brier, expected_calibration_error, n, n_patients, split, dataset, measured_before.

    Raises:
        CheckpointError: the model is damaged or was trained on meanwhile, its classes are not the dataset's, or its
            card cannot be written.
        DatasetError: the split is empty, or the dataset is damaged.
    """
    card = checkpoint.card()
    rows = dataset.rows(split)
    if not len(rows):
        raise DatasetError(f"The dataset {dataset.path.name} has no scans in its {split} split: choose another split.")
    labels = _labels_for(card, dataset, rows)
    probabilities = predict_rows(checkpoint.load_network(card), card, dataset, rows, progress)
    result = report(probabilities, labels, dataset.patients[rows], card.classes, card.threshold_value)
    result |= {"split": split, "dataset": dataset.path.stem, "model": checkpoint.name}
    card = _same_card(checkpoint, card)
    before = [item for item in card.evaluations if (item["fingerprint"], item["split"]) == (dataset.fingerprint, split)]
    kept = {name: result[name] for name in _KEPT} | {
        "fingerprint": dataset.fingerprint,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    try:
        checkpoint.write_card(replace(card, evaluations=[*card.evaluations, kept]))
    except OSError as error:
        raise CheckpointError(
            f"The measurement cannot be noted in the card of the model “{checkpoint.name}” ({error.strerror}): "
            "free some disk space, or check the folder's rights, and measure again."
        ) from error
    return result | {"measured_before": len(before)}


def report(
    probabilities: np.ndarray,
    labels: np.ndarray,
    patients: np.ndarray,
    classes: tuple[str, ...],
    threshold: float | None,
) -> dict[str, Any]:
    """All measures of predictions, JSON-able.

    Args:
        probabilities: float (N, C).
        labels: true classes, int (N,).
        patients: keys (N,), equal for scans of one patient.
        classes: names of the C classes.
        threshold: probability from which the second of two classes is called; None for the likeliest class.
    """
    predicted = predict(probabilities, threshold)
    matrix = confusion_matrix(predicted, labels, len(classes))
    per_class = per_class_report(matrix, classes)
    present = [row["recall"] for row in per_class.values() if row["support"]]
    intervals = bootstrap_intervals(probabilities, labels, patients, threshold=threshold)
    return {
        "accuracy": float((predicted == labels).mean()),
        "accuracy_interval": intervals["accuracy"],
        "balanced_accuracy": float(np.mean(present)),
        "balanced_accuracy_interval": intervals["balanced_accuracy"],
        "auc": auc(probabilities, labels),
        "auc_interval": intervals["auc"],
        "classes": list(classes),
        "confusion_matrix": matrix.tolist(),
        "per_class": per_class,
        "threshold": threshold,
        "brier": brier(probabilities, labels),
        "expected_calibration_error": expected_calibration_error(probabilities, labels),
        "n": len(labels),
        "n_patients": len(set(patients)),
    }


def predict_rows(
    network: Network,
    card: Card,
    dataset: Dataset,
    rows: np.ndarray,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """Probabilities of every class for some rows of a dataset, float32 (n, C)."""
    found = []
    for start in range(0, len(rows), BATCH):
        squares = dataset.images(rows[start : start + BATCH])
        inputs = torch.cat([card.preprocessing(square) for square in squares])  # (n, 1, H, W)
        with torch.inference_mode():
            found.append(torch.softmax(network(inputs), dim=1).numpy())
        progress(min(start + BATCH, len(rows)), len(rows))
    return np.concatenate(found)


_KEPT = ("dataset", "split", "n", "n_patients", "threshold", "accuracy", "accuracy_interval", "auc", "auc_interval",
         "per_class")  # fmt: skip


def _same_card(checkpoint: Checkpoint, measured: Card) -> Card:
    """The card as it is now, with what others noted in it meanwhile; it must still be that of the measured weights."""
    now = checkpoint.card()
    if (now.created, now.training) != (measured.created, measured.training):
        raise CheckpointError(
            f"The model “{checkpoint.name}” was trained on while it was measured, so that the measurement is not of "
            "its weights any more: measure it again."
        )
    return now


def _labels_for(card: Card, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """The rows' labels in the model's class order."""
    if set(card.classes) != set(dataset.classes):
        raise CheckpointError(
            f"The model knows the classes {', '.join(card.classes)}, but the dataset {dataset.path.name} has "
            f"{', '.join(dataset.classes)}: choose a dataset with the same classes."
        )
    order = np.array([card.classes.index(name) for name in dataset.classes])
    return order[dataset.labels[rows]]
