"""What a reading needs beside the weights: the gate, similar cases, and the answers to the validation scans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xrai.explain.similar_cases import NeighbourIndex
from xrai.input_check import InputCheck
from xrai.models.checkpoint import Card, Checkpoint

ARTIFACTS_FILE = "kit.safetensors"
_WEIGHTS_KEY = "weights"


@dataclass(frozen=True, eq=False)
class ValidationOutputs:
    """What a network answered to the validation scans: what calibration, threshold and doubt are fitted on.

    Attributes:
        logits: float32 (N, C).
        perturbed_logits: of scans changed in several ways (`xrai.training.perturbations`), float32 (V, N, C); V may be 0.
        labels: int64 (N,), in the model's order.
        patients: a number a patient, int64 (N,).
    """

    logits: np.ndarray
    perturbed_logits: np.ndarray
    labels: np.ndarray
    patients: np.ndarray

    def to_tensors(self) -> dict[str, np.ndarray]:
        """What is kept of it."""
        return {
            "logits": self.logits.astype(np.float32),
            "shifted": self.perturbed_logits.astype(np.float32),
            "labels": self.labels.astype(np.int32),
            "patients": self.patients.astype(np.int32),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], n_classes: int) -> ValidationOutputs:
        """What was kept, read back.

        Raises:
            LookupError, ValueError: it is foreign or damaged.
        """
        logits, perturbed_logits = (np.asarray(tensors[name], np.float32) for name in ("logits", "shifted"))
        labels, patients = (np.asarray(tensors[name], np.int64) for name in ("labels", "patients"))
        n = len(labels)
        if (
            not n
            or logits.shape != (n, n_classes)
            or perturbed_logits.shape[1:] != logits.shape
            or patients.shape != (n,)
        ):
            raise ValueError("shapes")
        if (
            labels.min() < 0
            or labels.max() >= n_classes
            or not (np.isfinite(logits).all() and np.isfinite(perturbed_logits).all())
        ):
            raise ValueError("values")
        return cls(logits, perturbed_logits, labels, patients)


@dataclass(frozen=True, eq=False)
class Artifacts:
    """All three; None of what a model lacks.

    Attributes:
        input_check: tells whether a picture is such a scan at all.
        neighbour_index: the training scans as the network sees them.
        validation: the answers to the validation scans.
    """

    input_check: InputCheck | None = None
    neighbour_index: NeighbourIndex | None = None
    validation: ValidationOutputs | None = None


def save_artifacts(checkpoint: Checkpoint, artifacts: Artifacts, sha256: str) -> None:
    """Keep a kit beside the weights that it was made with.

    Args:
        checkpoint: the model.
        kit: to keep.
        mark: of these weights, as `Checkpoint.weights_sha256` gave it before the kit was made.

    Raises:
        OSError: the disk is full.
    """
    parts = {"gate": artifacts.input_check, "neighbours": artifacts.neighbour_index, "validation": artifacts.validation}
    tensors = {
        f"{name}.{key}": value for name, part in parts.items() if part for key, value in part.to_tensors().items()
    }
    checkpoint.save_tensors(ARTIFACTS_FILE, tensors, {_WEIGHTS_KEY: sha256})


def load_artifacts(checkpoint: Checkpoint, card: Card, n_vectors: int | None = None) -> Artifacts:
    """The kit of a model; an empty one where there is none, or only one of weights that are no more.

    Args:
        checkpoint: of the model.
        card: of the model.
        n_vectors: size of the network's feature vectors, which those of the similar cases must have; None for any.

    Raises:
        CheckpointError: the file is damaged.
    """
    stored, n_classes = checkpoint.load_tensors(ARTIFACTS_FILE), len(card.classes)
    if stored is None or stored[1].get(_WEIGHTS_KEY) != checkpoint.weights_sha256():
        return Artifacts()
    parts: dict[str, dict[str, np.ndarray]] = {}
    for name, value in stored[0].items():
        part, _, key = name.partition(".")
        parts.setdefault(part, {})[key] = value
    with checkpoint.convert_read_errors(ARTIFACTS_FILE):
        neighbours = NeighbourIndex.from_tensors(parts["neighbours"], n_classes) if "neighbours" in parts else None
        if neighbours and n_vectors is not None and neighbours.mean.shape != (n_vectors,):
            raise ValueError("features")
        return Artifacts(
            InputCheck.from_tensors(parts["gate"]) if "gate" in parts else None,
            neighbours,
            ValidationOutputs.from_tensors(parts["validation"], n_classes) if "validation" in parts else None,
        )
