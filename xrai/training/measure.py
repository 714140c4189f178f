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
from xrai.training.data import Feed
from xrai.training.loop import Outcome, run_epoch
from xrai.training.state import as_tensor


def validate(
    network: nn.Module,
    fabric: Fabric,
    feed: Feed,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    *,
    n_rounds: int,
    amp: bool,
    should_stop: Callable[[], bool],
) -> dict[str, Any] | None:
    """Metrics on the validation split with their intervals from `n_rounds`; None when stopped.

    Raises:
        FloatingPointError: the loss or an answer is no number.
    """
    rows = feed.dataset.rows("val")
    context: AbstractContextManager[Any] = fabric.autocast() if amp else nullcontext()
    with context:
        outcome = run_epoch(
            network, feed.batches(rows), loss_of, Outcome.empty(), on_batch=lambda outcome: not should_stop()
        )
    if not outcome.whole:
        return None
    probabilities, labels = (item[: len(rows)] for item in gathered(outcome, fabric, feed.world))
    loss = mean(outcome.loss, fabric, feed.world)
    if not (math.isfinite(loss) and np.isfinite(probabilities).all()):
        raise FloatingPointError
    patients = feed.dataset.patients[rows]
    intervals = bootstrap_intervals(probabilities, labels, patients, n_rounds=n_rounds, seed=feed.config.seed)
    named = {f"{name}_interval": intervals[name] for name in ("accuracy", "auc")}
    return rounded(measures(loss, probabilities, labels) | named | {"n": len(rows)})


def measures(loss: float, probabilities: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Loss, accuracy and AUC of predictions (n, C) of the classes (n,)."""
    accuracy = float((probabilities.argmax(axis=1) == labels).mean())
    return {"loss": loss, "accuracy": accuracy, "auc": auc(probabilities, labels)}


def mean(value: float, fabric: Fabric, world: int) -> float:
    """The mean over `world` processes; each of them gives as many scans."""
    if world == 1:
        return value
    reduced: Any = fabric.all_reduce(torch.tensor(value, device=fabric.device), reduce_op="mean")
    return reduced.item()


def gathered(outcome: Outcome, fabric: Fabric, world: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and labels of all processes, in the order of the rows."""
    probabilities, labels = outcome.arrays()
    if world == 1:
        return probabilities, labels
    shares, truths = (_interleaved(as_tensor(item).to(fabric.device), world) for item in (probabilities, labels))
    return shares, truths


def rounded(values: dict[str, Any]) -> dict[str, Any]:
    """Five decimals are more than any of these numbers means."""

    def short(value: Any) -> Any:
        if isinstance(value, float):
            return round(value, 5)
        return list(map(short, value)) if isinstance(value, tuple) else value  # as it comes back from JSON

    return {name: short(value) for name, value in values.items()}


def _interleaved(own: Tensor, world: int) -> np.ndarray:
    """Every process's rows, (n, …) each, as `Feed` dealt them out: one to each process in turn."""
    parts = [torch.empty_like(own) for _ in range(world)]
    torch.distributed.all_gather(parts, own)
    return torch.stack(parts, dim=1).flatten(0, 1).cpu().numpy()
