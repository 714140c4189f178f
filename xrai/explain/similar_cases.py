"""Similar cases: nearest neighbours among training scans by cosine similarity of PCA features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

N_COMPONENTS = 64
"""Principal components that are kept of the features."""

MAX_EXACT_FEATURES = 4096
"""With more features, as in large ensembles, the components come from a randomised SVD."""


class Neighbour(NamedTuple):
    """A training scan similar to a query.

    Attributes:
        row: row of the training dataset.
        label: its class, in the model's order.
        similarity: cosine similarity, -1 to 1.
    """

    row: int
    label: int
    similarity: float


@dataclass(frozen=True, eq=False)
class NeighbourIndex:
    """A searchable index of the training scans' features.

    Attributes:
        mean: of the features, float32 (K,).
        axes: principal axes, float32 (D, K).
        places: unit-length coordinates of the training scans along the axes, float32 (N, D).
        labels: int64 (N,).
        rows: rows of the dataset, int64 (N,).
        patients: patient codes, int64 (N,).
    """

    mean: np.ndarray
    axes: np.ndarray
    places: np.ndarray
    labels: np.ndarray
    rows: np.ndarray
    patients: np.ndarray

    def find_nearest(self, features: np.ndarray, n: int = 6) -> list[Neighbour]:
        """The `n` most similar training scans, the most similar first, at most one per patient.

        Args:
            features: of the query, float (K,).
            n: largest number of neighbours.
        """
        similarity = self.places @ _normalise_rows((features - self.mean)[None] @ self.axes.T)[0]  # (N,)
        order = np.argsort(-similarity, kind="stable")
        _, firsts = np.unique(self.patients[order], return_index=True)
        indices = order[np.sort(firsts)[:n]]
        return [Neighbour(int(self.rows[i]), int(self.labels[i]), float(similarity[i])) for i in indices]

    def to_tensors(self) -> dict[str, np.ndarray]:
        """The arrays to store, in half precision."""
        halves = {name: getattr(self, name).astype(np.float16) for name in ("mean", "axes", "places")}
        return halves | {name: getattr(self, name).astype(np.int32) for name in ("labels", "rows", "patients")}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], n_classes: int) -> NeighbourIndex:
        """The index read back from stored arrays.

        Raises:
            ValueError, LookupError: the arrays are unknown or damaged.
        """
        mean, axes, places = (np.asarray(tensors[name], np.float32) for name in ("mean", "axes", "places"))
        labels, rows, patients = (np.asarray(tensors[name], np.int64) for name in ("labels", "rows", "patients"))
        n, d = places.shape
        if mean.ndim != 1 or axes.shape != (d, *mean.shape) or n < 1:
            raise ValueError("shapes")
        if any(column.shape != (n,) or column.min() < 0 for column in (labels, rows, patients)):
            raise ValueError("columns")
        if labels.max() >= n_classes or not all(np.isfinite(item).all() for item in (mean, axes, places)):
            raise ValueError("values")
        return cls(mean, axes, places, labels, rows, patients)


def fit_neighbour_index(
    features: np.ndarray, labels: np.ndarray, rows: np.ndarray, patients: Sequence[str] | np.ndarray
) -> NeighbourIndex:
    """Fit the index: a principal component analysis of the training scans' features.

    Args:
        features: inputs of the network's last layer, float (N, K).
        labels: int (N,), in the model's order of classes.
        rows: rows of the dataset, int (N,).
        patients: keys (N,), equal for scans of one patient.
    """
    mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = (features - mean).astype(np.float32)
    axes = _principal_axes(centred)
    _, patient_ids = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    embeddings = _normalise_rows(centred @ axes.T)
    return NeighbourIndex(mean, axes, embeddings, np.asarray(labels, np.int64), np.asarray(rows, np.int64), patient_ids)


def _principal_axes(centred: np.ndarray) -> np.ndarray:
    """The first principal axes of centred vectors (N, K): (at most `N_COMPONENTS`, K)."""
    if centred.shape[1] > MAX_EXACT_FEATURES:
        from sklearn.utils.extmath import randomized_svd

        n = min(N_COMPONENTS, *centred.shape)
        return randomized_svd(centred, n, n_iter=4, random_state=0)[2].astype(np.float32)  # type: ignore[arg-type]
    _, vectors = np.linalg.eigh((centred.T @ centred).astype(np.float64))  # ascending
    return vectors.T[::-1][:N_COMPONENTS].astype(np.float32)


def _normalise_rows(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
