"""Errors by class: their number and share with clustered interval, and the most frequent confusion."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from xrai.metrics import Interval, clustered_proportion, confusion_matrix


@dataclass(frozen=True)
class ClassErrors:
    """The errors on the scans of one class.

    Attributes:
        label: index of the class.
        n: its scans.
        n_wrong: scans with another predicted class.
        interval: 95 % interval of their share, by patient.
        top_confusion: their most frequent predicted class; None without errors.
    """

    label: int
    n: int
    n_wrong: int
    interval: Interval
    top_confusion: int | None


def count_class_errors(
    labels: np.ndarray, predicted: np.ndarray, patients: Sequence[Hashable], n_classes: int
) -> list[ClassErrors]:
    """The errors on every class that has scans, in the order of the classes.

    Args:
        labels: true classes, int (N,).
        predicted: predicted classes, int (N,).
        patients: of each scan, N of them, which the intervals cluster by.
        n_classes: number of classes.
    """
    matrix = confusion_matrix(predicted, labels, n_classes)
    errors = []
    for label in range(n_classes):
        proportion = clustered_proportion(predicted != label, patients, labels == label)
        if proportion is None:
            continue
        confusions = [0 if other == label else int(matrix[label][other]) for other in range(n_classes)]
        top_confusion = int(np.argmax(confusions)) if any(confusions) else None
        errors.append(ClassErrors(label, int(np.sum(matrix[label])), sum(confusions), proportion[1], top_confusion))
    return errors
