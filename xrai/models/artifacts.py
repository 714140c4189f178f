"""What a reading needs beside the weights: the gate, similar cases, and the answers to the validation scans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xrai.explain.similar_cases import Neighbours
from xrai.input_check import Gate
from xrai.models.checkpoint import Card, Checkpoint

KIT = "kit.safetensors"
_MARK = "weights"


@dataclass(frozen=True, eq=False)
class Validation:
    """What a network answered to the validation scans: what calibration, threshold and doubt are fitted on.

    Attributes:
        logits: float32 (N, C).
        shifted: of scans changed in several ways (`xrai.training.perturbations`), float32 (V, N, C); V may be 0.
        labels: int64 (N,), in the model's order.
        patients: a number a patient, int64 (N,).
    """

    logits: np.ndarray
    shifted: np.ndarray
    labels: np.ndarray
    patients: np.ndarray

    def tensors(self) -> dict[str, np.ndarray]:
        """What is kept of it."""
        return {
            "logits": self.logits.astype(np.float32),
            "shifted": self.shifted.astype(np.float32),
            "labels": self.labels.astype(np.int32),
            "patients": self.patients.astype(np.int32),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], n_classes: int) -> Validation:
        """What was kept, read back.

        Raises:
            LookupError, ValueError: it is foreign or damaged.
        """
        logits, shifted = (np.asarray(tensors[name], np.float32) for name in ("logits", "shifted"))
        labels, patients = (np.asarray(tensors[name], np.int64) for name in ("labels", "patients"))
        n = len(labels)
        if not n or logits.shape != (n, n_classes) or shifted.shape[1:] != logits.shape or patients.shape != (n,):
            raise ValueError("shapes")
        if (
            labels.min() < 0
            or labels.max() >= n_classes
            or not (np.isfinite(logits).all() and np.isfinite(shifted).all())
        ):
            raise ValueError("values")
        return cls(logits, shifted, labels, patients)


@dataclass(frozen=True, eq=False)
class Kit:
    """All three; None of what a model lacks.

    Attributes:
        gate: tells whether a picture is such a scan at all.
        neighbours: the training scans as the network sees them.
        validation: the answers to the validation scans.
    """

    gate: Gate | None = None
    neighbours: Neighbours | None = None
    validation: Validation | None = None


def save_kit(checkpoint: Checkpoint, kit: Kit, mark: str) -> None:
    """Keep a kit beside the weights that it was made with.

    Args:
        checkpoint: the model.
        kit: to keep.
        mark: of these weights, as `Checkpoint.weights_sha256` gave it before the kit was made.

    Raises:
        OSError: the disk is full.
    """
    parts = {"gate": kit.gate, "neighbours": kit.neighbours, "validation": kit.validation}
    tensors = {f"{name}.{key}": value for name, part in parts.items() if part for key, value in part.tensors().items()}
    checkpoint.save_tensors(KIT, tensors, {_MARK: mark})


def load_kit(checkpoint: Checkpoint, card: Card, n_vectors: int | None = None) -> Kit:
    """The kit of a model; an empty one where there is none, or only one of weights that are no more.

    Args:
        checkpoint: of the model.
        card: of the model.
        n_vectors: size of the network's feature vectors, which those of the similar cases must have; None for any.

    Raises:
        CheckpointError: the file is damaged.
    """
    found, n_classes = checkpoint.load_tensors(KIT), len(card.classes)
    if found is None or found[1].get(_MARK) != checkpoint.weights_sha256():
        return Kit()
    parts: dict[str, dict[str, np.ndarray]] = {}
    for name, value in found[0].items():
        part, _, key = name.partition(".")
        parts.setdefault(part, {})[key] = value
    with checkpoint.stating_damage(KIT):
        neighbours = Neighbours.from_tensors(parts["neighbours"], n_classes) if "neighbours" in parts else None
        if neighbours and n_vectors is not None and neighbours.mean.shape != (n_vectors,):
            raise ValueError("features")
        return Kit(
            Gate.from_tensors(parts["gate"]) if "gate" in parts else None,
            neighbours,
            Validation.from_tensors(parts["validation"], n_classes) if "validation" in parts else None,
        )
