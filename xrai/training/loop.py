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

from xrai.networks.config import TrainConfig
from xrai.training.data import Batch

WARM_UP = 0.3
"""The share of a one-cycle run in which the learning rate rises (Smith & Topin 2018, as in torch's OneCycleLR)."""


@dataclass
class Outcome:
    """What a pass over batches gave so far.

    Attributes:
        losses: sum of the losses over scans.
        probabilities: softmax outputs, one float32 array (n, C) a batch.
        labels: true classes, one int64 array (n,) a batch.
        whole: whether the pass went through to its end.
    """

    losses: float
    probabilities: list[np.ndarray]
    labels: list[np.ndarray]
    whole: bool = False

    @classmethod
    def empty(cls) -> Outcome:
        """Nothing seen yet."""
        return cls(0.0, [], [])

    def add(self, loss: float, logits: Tensor, labels: Tensor) -> None:
        """Count in one batch: its mean loss, logits (n, C) and labels (n,)."""
        self.losses += loss * len(labels)
        self.probabilities.append(torch.softmax(logits.float(), dim=1).cpu().numpy())
        self.labels.append(labels.cpu().numpy())

    @property
    def n(self) -> int:
        """Scans seen."""
        return sum(map(len, self.labels))

    @property
    def loss(self) -> float:
        """Mean loss a scan; nan when nothing was seen."""
        return self.losses / self.n if self.n else math.nan

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """All probabilities float32 (N, C) and labels int64 (N,)."""
        if not self.labels:
            return np.empty((0, 0), np.float32), np.empty(0, np.int64)
        return np.concatenate(self.probabilities), np.concatenate(self.labels)


def run_epoch(
    network: nn.Module,
    batches: Iterable[Batch],
    loss_of: Callable[[Tensor, Tensor], Tensor],
    outcome: Outcome,
    *,
    step: Callable[[Tensor], None] | None = None,
    on_batch: Callable[[Outcome], bool] = lambda outcome: True,
) -> Outcome:
    """Send batches through a network, and count what comes out into `outcome`.

    Args:
        network: called with the batch's inputs.
        batches: of one epoch.
        loss_of: from logits (n, C) and target probabilities (n, C) to the mean loss.
        outcome: counted into; one that is not empty goes on where it stands.
        step: improves the network by the loss; None only measures, without gradients.
        on_batch: told after every batch; False breaks the pass off, and `outcome.whole` stays False.
    """
    network.train(step is not None)
    with torch.set_grad_enabled(step is not None):
        for batch in batches:
            logits = network(batch.inputs)
            loss = loss_of(logits.float(), batch.targets)
            if step is not None:
                step(loss)
            said = logits.detach()
            if said.ndim == 3:  # what counts is the answer that members give together, as in validation
                said = said.mean(dim=1)
                loss = loss_of(said.float(), batch.targets)
            outcome.add(loss.item(), said, batch.labels)
            if not on_batch(outcome):
                return outcome
    outcome.whole = True
    return outcome


def make_loss(config: TrainConfig, counts: np.ndarray, device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """Cross-entropy with the configured smoothing, and with rarer classes counted more where that is asked for.

    It takes logits (N, C), or of members (N, members, C), each of which learns for itself: the sum of their losses.
    """
    weight = None
    if config.balance == "loss":
        weight = torch.tensor(counts.sum() / (len(counts) * counts.clip(1)), dtype=torch.float32, device=device)

    def loss_of(logits: Tensor, targets: Tensor) -> Tensor:
        if logits.ndim == 3:
            return torch.stack([loss_of(own, targets) for own in logits.unbind(dim=1)]).sum()
        return functional.cross_entropy(logits, targets, weight=weight, label_smoothing=config.label_smoothing)

    return loss_of


def make_optimizer(config: TrainConfig, network: nn.Module) -> torch.optim.Optimizer:
    """The configured optimizer; weight decay pulls filters and dense weights, not biases and normalisation.

    Each group's learning rate is the run's times the group's `factor`, which is not 1 for the last layer of several
    members alone: it holds each one's weights divided by their number, and is to move as theirs would.
    """
    n, decay = config.members, config.weight_decay
    shared = network.get_parameter("head.weight") if n > 1 else None
    decayed = [item for item in network.parameters() if item.ndim > 1 and item is not shared]
    free = [item for item in network.parameters() if item.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": decay, "factor": 1.0},
        {"params": free, "weight_decay": 0.0, "factor": 1.0},
    ]
    if shared is not None:
        factor = 1 / n**2 if config.optimizer == "sgd" else 1 / n
        pull = decay * (n if config.optimizer == "adamw" else n**2)
        groups.append({"params": [shared], "weight_decay": pull, "factor": factor})
    for group in groups:
        group["lr"] = config.learning_rate * group["factor"]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=0.9, nesterov=True)
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=config.learning_rate)


class Averaging:
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
    phases goes through its schedule once, the second one with `fine_tune` times the peak.
    """
    epoch, first = round(progress * config.epochs, 9), config.head_epochs  # 3 may come out as 2.9999999999999996
    if epoch < first:
        return _scheduled(config.schedule, config.learning_rate, epoch / first)
    peak = config.learning_rate * (config.fine_tune if first else 1)
    return _scheduled(config.schedule, peak, (epoch - first) / (config.epochs - first))


def _scheduled(schedule: str, peak: float, progress: float) -> float:
    if schedule == "constant":
        return peak
    if schedule == "cosine":
        return _cosine(peak, 0.0, progress)
    low = peak / 25
    if progress < WARM_UP:
        return _cosine(low, peak, progress / WARM_UP)
    return _cosine(peak, low / 1e4, (progress - WARM_UP) / (1 - WARM_UP))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(max(share, 0.0), 1.0))) / 2
