"""Post-training artifacts: OOD model, retrieval index of similar cases, logits of the validation scans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from xrai.core.json_files import atomic_file
from xrai.explain.similar_cases import NeighbourIndex
from xrai.input_check import InputCheck
from xrai.models.card import Card
from xrai.models.checkpoint import Checkpoint

ARTIFACTS_FILE = "artifacts.safetensors"
_WEIGHTS_KEY = "weights_sha256"


@dataclass(frozen=True, eq=False)
class ValidationOutputs:
    """Logits of the validation scans, on which calibration, threshold and abstention are fitted.

    Attributes:
        logits: float32 (N, C).
        perturbed_logits: under V test-time perturbations (`xrai.training.perturbations`), float32 (V, N, C); V ≥ 0.
        labels: int64 (N,), in the model's order.
        patients: patient codes, int64 (N,).
    """

    logits: np.ndarray
    perturbed_logits: np.ndarray
    labels: np.ndarray
    patients: np.ndarray

    def to_tensors(self) -> dict[str, np.ndarray]:
        """The arrays to store."""
        return {
            "logits": self.logits.astype(np.float32),
            "perturbed_logits": self.perturbed_logits.astype(np.float32),
            "labels": self.labels.astype(np.int32),
            "patients": self.patients.astype(np.int32),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], n_classes: int) -> ValidationOutputs:
        """The stored arrays read back.

        Raises:
            LookupError, ValueError: they are damaged or of another kind.
        """
        logits, perturbed_logits = (np.asarray(tensors[name], np.float32) for name in ("logits", "perturbed_logits"))
        labels, patients = (np.asarray(tensors[name], np.int64) for name in ("labels", "patients"))
        n = len(labels)
        has_shapes = (
            n
            and logits.shape == (n, n_classes)
            and perturbed_logits.shape[1:] == logits.shape
            and patients.shape == (n,)
        )
        if not has_shapes or labels.min() < 0 or labels.max() >= n_classes:
            raise ValueError("shapes or labels")
        if not (np.isfinite(logits).all() and np.isfinite(perturbed_logits).all()):
            raise ValueError("values")
        return cls(logits, perturbed_logits, labels, patients)


@dataclass(frozen=True, eq=False)
class Artifacts:
    """The artifacts of a model; None for each that it lacks.

    Attributes:
        input_check: out-of-distribution and orientation check.
        neighbour_index: features of the training scans, for similar cases.
        validation: logits of the validation scans.
    """

    input_check: InputCheck | None = None
    neighbour_index: NeighbourIndex | None = None
    validation: ValidationOutputs | None = None


def save_artifacts(checkpoint: Checkpoint, artifacts: Artifacts, sha256: str) -> None:
    """Store artifacts beside the weights that they belong to.

    Args:
        checkpoint: the model.
        artifacts: to store.
        sha256: of these weights, as `Checkpoint.weights_sha256` gave it before the artifacts were fitted.

    Raises:
        OSError: the disk is full.
    """
    parts = {
        "input_check": artifacts.input_check,
        "similar_cases": artifacts.neighbour_index,
        "validation": artifacts.validation,
    }
    tensors = {
        f"{name}.{key}": value for name, part in parts.items() if part for key, value in part.to_tensors().items()
    }
    with atomic_file(checkpoint.folder / ARTIFACTS_FILE) as partial:
        partial.write_bytes(
            save({name: np.ascontiguousarray(value) for name, value in tensors.items()}, {_WEIGHTS_KEY: sha256})
        )


def load_artifacts(checkpoint: Checkpoint, card: Card, num_features: int | None = None) -> Artifacts:
    """The artifacts of a model; none where they are missing or belong to other weights.

    Args:
        checkpoint: of the model.
        card: of the model.
        num_features: size of the network's feature vectors, which the similar cases must have; None for any.

    Raises:
        CheckpointError: the file is damaged.
    """
    file, n_classes = checkpoint.folder / ARTIFACTS_FILE, len(card.classes)
    if not file.is_file():
        return Artifacts()
    with checkpoint.convert_read_errors(ARTIFACTS_FILE), safe_open(file, framework="numpy") as stored:
        if (stored.metadata() or {}).get(_WEIGHTS_KEY) != checkpoint.weights_sha256():
            return Artifacts()
        parts: dict[str, dict[str, np.ndarray]] = {}
        for name in stored.keys():  # noqa: SIM118
            part, _, key = name.partition(".")
            parts.setdefault(part, {})[key] = np.array(stored.get_tensor(name))
        neighbours = (
            NeighbourIndex.from_tensors(parts["similar_cases"], n_classes) if "similar_cases" in parts else None
        )
        if neighbours and num_features is not None and neighbours.mean.shape != (num_features,):
            raise ValueError("features")
        return Artifacts(
            InputCheck.from_tensors(parts["input_check"]) if "input_check" in parts else None,
            neighbours,
            ValidationOutputs.from_tensors(parts["validation"], n_classes) if "validation" in parts else None,
        )
