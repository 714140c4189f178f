"""A confusion matrix in words: of a hundred scans of each class, how many were called something else, and what."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from xrai.metrics import Interval, confusion_matrix, share_by_patient


@dataclass(frozen=True)
class Errors:
    """The errors on the scans of one class.

    Attributes:
        label: of the class, its place among the classes.
        n: its scans.
        wrong: those called something else.
        interval: of their share, 95 %, by patient.
        most: the class that most of them were called, None where none was.
    """

    label: int
    n: int
    wrong: int
    interval: Interval
    most: int | None


def errors_of(labels: np.ndarray, called: np.ndarray, patients: Sequence[Hashable], n_classes: int) -> list[Errors]:
    """The errors on every class that has scans, in order.

    Args:
        labels: true classes, int (N,).
        called: what they were called, int (N,).
        patients: of each scan, N of them: they are what the intervals count.
        n_classes: that there are.
    """
    matrix = confusion_matrix(called, labels, n_classes)
    found = []
    for label in range(n_classes):
        share = share_by_patient(called != label, patients, labels == label)
        if share is None:
            continue
        others = [0 if other == label else int(matrix[label][other]) for other in range(n_classes)]
        most = int(np.argmax(others)) if any(others) else None
        found.append(Errors(label, int(np.sum(matrix[label])), sum(others), share[1], most))
    return found
