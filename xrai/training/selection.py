"""Checkpoint selection: which epoch is the best one, and early stopping (patience)."""

from __future__ import annotations

from dataclasses import dataclass

from xrai.core.records import Count, Number, Record
from xrai.models.history import ValidationMetrics
from xrai.training.config import TrainConfig


class BestEpoch(Record):
    """The epoch whose weights are kept: its number from 1, and its score, of which the greater is better."""

    epoch: Count
    score: tuple[Number, Number]


@dataclass
class BestEpochSelector:
    """Chooses the best epoch by the configured validation metric.

    Attributes:
        best: so far; None before the first epoch is done.
        epochs_since_best: epochs without an improvement; those with frozen features do not count.
    """

    config: TrainConfig
    best: BestEpoch | None = None
    epochs_since_best: int = 0

    @property
    def is_patience_exhausted(self) -> bool:
        """Whether early stopping ends the run."""
        return 0 < self.config.patience <= self.epochs_since_best

    def update(self, epoch: int, validation: ValidationMetrics) -> bool:
        """Take account of epoch number `epoch`, from 1; gives whether it is the best so far."""
        score = self._score(epoch, validation)
        is_best = self.best is None or score > self.best.score
        is_frozen = epoch <= self.config.freeze_epochs
        self.epochs_since_best = 0 if is_best or is_frozen else self.epochs_since_best + 1
        if is_best:
            self.best = BestEpoch(epoch=epoch, score=score)
        return is_best

    def _score(self, epoch: int, validation: ValidationMetrics) -> tuple[float, float]:
        """AUC to three decimals (accuracy where it is undefined), ties broken by loss; or what the setting asks for."""
        if self.config.select_by == "last":
            return float(epoch), 0.0
        if self.config.select_by == "loss":
            return -validation.loss, 0.0
        metric = validation.accuracy if validation.auc is None else validation.auc
        return round(metric, 3), -validation.loss
