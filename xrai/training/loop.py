"""One pass over batches, for training and validation alike, and the optimisation step that training adds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from xrai.training.config import TrainConfig
from xrai.training.data import Batch

WARMUP_FRACTION = 0.3
"""The share of a one-cycle run in which the learning rate rises (Smith & Topin 2018, as in torch's OneCycleLR)."""


@dataclass
class EpochOutputs:
    """What a pass over batches gave so far.

    Attributes:
        loss_sum: sum of the losses over scans.
        probabilities: softmax outputs, one float32 array (n, C) a batch.
        labels: true classes, one int64 array (n,) a batch.
        is_complete: whether the pass went through to its end.
    """

    loss_sum: float
    probabilities: list[np.ndarray]
    labels: list[np.ndarray]
    is_complete: bool = False

    @classmethod
    def empty(cls) -> EpochOutputs:
        """Nothing seen yet."""
        return cls(0.0, [], [])

    def add(self, loss: float, logits: Tensor, labels: Tensor) -> None:
        """Count in one batch: its mean loss, logits (n, C) and labels (n,)."""
        self.loss_sum += loss * len(labels)
        self.probabilities.append(torch.softmax(logits.float(), dim=1).cpu().numpy())
        self.labels.append(labels.cpu().numpy())

    @property
    def n(self) -> int:
        """Scans seen."""
        return sum(map(len, self.labels))

    @property
    def loss(self) -> float:
        """Mean loss a scan; nan when nothing was seen."""
        return self.loss_sum / self.n if self.n else math.nan

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """All probabilities float32 (N, C) and labels int64 (N,)."""
        if not self.labels:
            return np.empty((0, 0), np.float32), np.empty(0, np.int64)
        return np.concatenate(self.probabilities), np.concatenate(self.labels)


def run_epoch(
    network: nn.Module,
    batches: Iterable[Batch],
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    outputs: EpochOutputs,
    *,
    step: Callable[[Tensor], None] | None = None,
    on_batch: Callable[[EpochOutputs], bool] = lambda outputs: True,
) -> EpochOutputs:
    """Send batches through a network, and count what comes out into `outputs`.

    Args:
        network: called with the batch's inputs.
        batches: of one epoch.
        loss_fn: from logits (n, C) and target probabilities (n, C) to the mean loss.
        outputs: counted into; one that is not empty goes on where it stands.
        step: improves the network by the loss; None only measures, without gradients.
        on_batch: told after every batch; False breaks the pass off, and `outputs.whole` stays False.
    """
    network.train(step is not None)
    with torch.set_grad_enabled(step is not None):
        for batch in batches:
            logits = network(batch.inputs)
            loss = loss_fn(logits.float(), batch.targets)
            if step is not None:
                step(loss)
            output_logits = logits.detach()
            if output_logits.ndim == 3:  # what counts is the answer that members give together, as in validation
                output_logits = output_logits.mean(dim=1)
                loss = loss_fn(output_logits.float(), batch.targets)
            outputs.add(loss.item(), output_logits, batch.labels)
            if not on_batch(outputs):
                return outputs
    outputs.is_complete = True
    return outputs


def make_loss(
    config: TrainConfig, class_counts: np.ndarray, device: torch.device
) -> Callable[[Tensor, Tensor], Tensor]:
    """Cross-entropy with the configured smoothing, and with rarer classes counted more where that is asked for.

    It takes logits (N, C), or of members (N, members, C), each of which learns for itself: the sum of their losses.
    """
    weight = None
    if config.class_balance == "loss":
        weight = torch.tensor(
            class_counts.sum() / (len(class_counts) * class_counts.clip(1)), dtype=torch.float32, device=device
        )

    def loss_fn(logits: Tensor, targets: Tensor) -> Tensor:
        if logits.ndim == 3:
            return torch.stack([loss_fn(member_logits, targets) for member_logits in logits.unbind(dim=1)]).sum()
        return functional.cross_entropy(logits, targets, weight=weight, label_smoothing=config.label_smoothing)

    return loss_fn


def make_optimizer(config: TrainConfig, network: nn.Module) -> torch.optim.Optimizer:
    """The configured optimizer; weight decay pulls filters and dense weights, not biases and normalisation.

    Each group's learning rate is the run's times the group's `factor`, which is not 1 for the last layer of several
    members alone: it holds each one's weights divided by their number, and is to move as theirs would.
    """
    ensemble_size, decay = config.ensemble_size, config.weight_decay
    head_weight = network.get_parameter("head.weight") if ensemble_size > 1 else None
    decay_params = [item for item in network.parameters() if item.ndim > 1 and item is not head_weight]
    no_decay_params = [item for item in network.parameters() if item.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": decay_params, "weight_decay": decay, "factor": 1.0},
        {"params": no_decay_params, "weight_decay": 0.0, "factor": 1.0},
    ]
    if head_weight is not None:
        factor = 1 / ensemble_size**2 if config.optimizer == "sgd" else 1 / ensemble_size
        head_decay = decay * (ensemble_size if config.optimizer == "adamw" else ensemble_size**2)
        groups.append({"params": [head_weight], "weight_decay": head_decay, "factor": factor})
    for group in groups:
        group["lr"] = config.learning_rate * group["factor"]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=0.9, nesterov=True)
    optimizer_class = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return optimizer_class(groups, lr=config.learning_rate)


class WarmupEma:
    """Exponential moving average that follows quickly at first, when there is little to average yet."""

    def __init__(self, decay: float) -> None:
        self.decay = decay

    @torch.no_grad()
    def __call__(self, averaged: list[Tensor], current: list[Tensor], n_averaged: Tensor | int) -> None:
        """Move the averages, in place, towards the current weights after `n_averaged` updates."""
        n = int(n_averaged)
        decay = min(self.decay, (1 + n) / (10 + n))
        for mean, value in zip(averaged, current, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)


def learning_rate_at(config: TrainConfig, progress: float) -> float:
    """The learning rate at a share of the run between 0 and 1.

    one-cycle: cosine from 1/25 of the peak up to it in the first 30 %, then down to 1/10,000 of the start;
    cosine: from the peak to zero; constant: the peak throughout. Where only the head learns at first, each of the two
    phases goes through its schedule once, the second one with `finetune_lr_scale` times the peak.
    """
    epoch, freeze_epochs = (
        round(progress * config.epochs, 9),
        config.freeze_epochs,
    )  # 3 may come out as 2.9999999999999996
    if epoch < freeze_epochs:
        return _apply_schedule(config.schedule, config.learning_rate, epoch / freeze_epochs)
    peak = config.learning_rate * (config.finetune_lr_scale if freeze_epochs else 1)
    return _apply_schedule(config.schedule, peak, (epoch - freeze_epochs) / (config.epochs - freeze_epochs))


def _apply_schedule(schedule: str, peak: float, progress: float) -> float:
    if schedule == "constant":
        return peak
    if schedule == "cosine":
        return _cosine_anneal(peak, 0.0, progress)
    low = peak / 25
    if progress < WARMUP_FRACTION:
        return _cosine_anneal(low, peak, progress / WARMUP_FRACTION)
    return _cosine_anneal(peak, low / 1e4, (progress - WARMUP_FRACTION) / (1 - WARMUP_FRACTION))


def _cosine_anneal(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0))) / 2
