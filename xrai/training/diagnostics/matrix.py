"""A confusion matrix in words: of a hundred scans of each class, how many were called something else, and what."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from xrai.metrics import Interval, clustered_proportion, confusion_matrix


@dataclass(frozen=True)
class ClassErrors:
    """The errors on the scans of one class.

    Attributes:
        label: of the class, its place among the classes.
        n: its scans.
        n_wrong: those called something else.
        interval: of their share, 95 %, by patient.
        top_confusion: the class that most of them were called, None where none was.
    """

    label: int
    n: int
    n_wrong: int
    interval: Interval
    top_confusion: int | None


def count_class_errors(
    labels: np.ndarray, predicted: np.ndarray, patients: Sequence[Hashable], n_classes: int
) -> list[ClassErrors]:
    """The errors on every class that has scans, in order.

    Args:
        labels: true classes, int (N,).
        called: what they were called, int (N,).
        patients: of each scan, N of them: they are what the intervals count.
        n_classes: that there are.
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
