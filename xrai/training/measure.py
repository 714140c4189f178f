"""How well a network does while it is trained, over all processes that share the run, with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from xrai.metrics import auc, bootstrap_intervals
from xrai.training.data import BatchLoader
from xrai.training.loop import EpochOutputs, run_epoch
from xrai.training.state import as_tensor


def validate(
    network: nn.Module,
    fabric: Fabric,
    loader: BatchLoader,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    *,
    n_rounds: int,
    amp: bool,
    should_stop: Callable[[], bool],
) -> dict[str, Any] | None:
    """Metrics on the validation split with their intervals from `n_rounds`; None when stopped.

    Raises:
        FloatingPointError: the loss or an answer is no number.
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
    interval_metrics = {f"{name}_interval": intervals[name] for name in ("accuracy", "auc")}
    return round_metrics(compute_metrics(loss, probabilities, labels) | interval_metrics | {"n": len(rows)})


def compute_metrics(loss: float, probabilities: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Loss, accuracy and AUC of predictions (n, C) of the classes (n,)."""
    accuracy = float((probabilities.argmax(axis=1) == labels).mean())
    return {"loss": loss, "accuracy": accuracy, "auc": auc(probabilities, labels)}


def all_reduce_mean(value: float, fabric: Fabric, world_size: int) -> float:
    """The mean over `world` processes; each of them gives as many scans."""
    if world_size == 1:
        return value
    mean_tensor: Any = fabric.all_reduce(torch.tensor(value, device=fabric.device), reduce_op="mean")
    return mean_tensor.item()


def gather_outputs(outputs: EpochOutputs, fabric: Fabric, world_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and labels of all processes, in the order of the rows."""
    probabilities, labels = outputs.arrays()
    if world_size == 1:
        return probabilities, labels
    all_probabilities, all_labels = (
        _gather_interleaved(as_tensor(item).to(fabric.device), world_size) for item in (probabilities, labels)
    )
    return all_probabilities, all_labels


def round_metrics(values: dict[str, Any]) -> dict[str, Any]:
    """Five decimals are more than any of these numbers means."""

    def round_value(value: Any) -> Any:
        if isinstance(value, float):
            return round(value, 5)
        return list(map(round_value, value)) if isinstance(value, tuple) else value  # as it comes back from JSON

    return {name: round_value(value) for name, value in values.items()}


def _gather_interleaved(tensor: Tensor, world_size: int) -> np.ndarray:
    """Every process's rows, (n, …) each, as `Feed` dealt them out: one to each process in turn."""
    parts = [torch.empty_like(tensor) for _ in range(world_size)]
    torch.distributed.all_gather(parts, tensor)
    return torch.stack(parts, dim=1).flatten(0, 1).cpu().numpy()
