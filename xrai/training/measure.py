"""Validation metrics during training, gathered over all processes, with bootstrap intervals."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from xrai.metrics import Interval, auc, bootstrap_intervals
from xrai.models.history import TrainMetrics, ValidationMetrics
from xrai.training.data import BatchLoader
from xrai.training.loop import EpochOutputs, run_epoch


def validate(
    network: nn.Module,
    fabric: Fabric,
    loader: BatchLoader,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    *,
    n_rounds: int,
    amp: bool,
    should_stop: Callable[[], bool],
) -> ValidationMetrics | None:
    """Metrics on the validation split, intervals from `n_rounds` bootstrap rounds; None when stopped.

    Raises:
        FloatingPointError: the loss or an output is not finite.
    """
    rows = loader.dataset.rows("val")
    context: AbstractContextManager[Any] = fabric.autocast() if amp else nullcontext()
    with context:
        outputs = run_epoch(
            network, loader.batches(rows), loss_fn, EpochOutputs.empty(), on_batch=lambda outputs: not should_stop()
        )
    if not outputs.is_complete:
        return None
    probabilities, labels = (item[: len(rows)] for item in gather_outputs(outputs, fabric, loader.world_size))
    loss = all_reduce_mean(outputs.loss, fabric, loader.world_size)
    if not (math.isfinite(loss) and np.isfinite(probabilities).all()):
        raise FloatingPointError
    patients = loader.dataset.patients[rows]
    intervals = bootstrap_intervals(probabilities, labels, patients, n_rounds=n_rounds, seed=loader.config.seed)
    return ValidationMetrics(
        n=len(rows),
        **compute_metrics(loss, probabilities, labels),
        accuracy_interval=_round_interval(intervals["accuracy"]),
        auc_interval=_round_interval(intervals["auc"]),
    )


def train_metrics(outputs: EpochOutputs, fabric: Fabric, world_size: int) -> TrainMetrics:
    """Metrics of a training epoch over all processes."""
    loss = all_reduce_mean(outputs.loss, fabric, world_size)
    return TrainMetrics(**compute_metrics(loss, *gather_outputs(outputs, fabric, world_size)))


def compute_metrics(loss: float, probabilities: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Loss, accuracy and AUC of predictions (N, C) of the classes (N,), to five decimals."""
    accuracy = float((probabilities.argmax(axis=1) == labels).mean())
    area = auc(probabilities, labels)
    return {"loss": round(loss, 5), "accuracy": round(accuracy, 5), "auc": None if area is None else round(area, 5)}


def all_reduce_mean(value: float, fabric: Fabric, world_size: int) -> float:
    """The mean over `world_size` processes, which have equally many scans each."""
    if world_size == 1:
        return value
    mean_tensor: Any = fabric.all_reduce(torch.tensor(value, device=fabric.device), reduce_op="mean")
    return mean_tensor.item()


def gather_outputs(outputs: EpochOutputs, fabric: Fabric, world_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and labels of all processes, in the order of the rows."""
    probabilities, labels = outputs.arrays()
    if world_size == 1:
        return probabilities, labels
    device = fabric.device
    return _gather_interleaved(probabilities, world_size, device), _gather_interleaved(labels, world_size, device)


def _round_interval(interval: Interval | None) -> tuple[float, float] | None:
    return None if interval is None else (round(interval[0], 5), round(interval[1], 5))


def _gather_interleaved(array: np.ndarray, world_size: int, device: torch.device) -> np.ndarray:
    """The rows (n, …) of every process in dataset order: `BatchLoader` gives one to each process in turn."""
    tensor = torch.from_numpy(array.copy()).to(device)
    parts = [torch.empty_like(tensor) for _ in range(world_size)]
    torch.distributed.all_gather(parts, tensor)
    return torch.stack(parts, dim=1).flatten(0, 1).cpu().numpy()
