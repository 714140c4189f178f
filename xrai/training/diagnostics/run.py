"""Input of the diagnostics: history, settings, class counts and status of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from xrai.core.jobs import ACTIVE_STATUSES
from xrai.training.config import TrainConfig
from xrai.training.diagnostics.history import History, Metric, Split, nan_median

Counts = Mapping[str, Mapping[str, int]]
"""{class: {split: scans}}."""

MIN_EPOCHS = 4
"""With fewer, no order of the values is significant at 5 %; see `history.mann_kendall_z`."""

TYPICAL_LEARNING_RATES = {"adamw": 1e-3, "adam": 1e-3, "sgd": 5e-2}
"""Adam: Kingma & Ba 2015; SGD with momentum: between the 0.1 and 0.01 of He et al. 2016."""

FAR_FACTOR = 10
"""A learning rate is far from the typical one beyond this factor: rates are tried in tens (Smith 2018,
arXiv:1803.09820)."""


@dataclass(frozen=True, eq=False)
class RunCurves:
    """A run as the rules see it.

    Attributes:
        config: None if unknown.
        counts: {class: {"train" | "val": scans}}; may be empty.
        status: as in `jobs.Job.status`.
    """

    history: History
    config: TrainConfig | None
    counts: Counts
    status: str

    @property
    def is_active(self) -> bool:
        """Whether epochs may still come."""
        return self.status in ACTIVE_STATUSES

    @property
    def has_diverged(self) -> bool:
        """Whether the run failed since its loss was not finite."""
        return self.history.end_reason == "diverged"

    @property
    def is_half_done(self) -> bool:
        """Whether half of the epochs are over: a one-cycle learning rate has passed its peak."""
        return 2 * self.history.last_epoch >= self.history.planned_epochs

    @property
    def chance_loss(self) -> float:
        """Loss of equal probabilities for all classes: ln of their number; of 10 if unknown."""
        return math.log(max(len(self.counts), 2) if self.counts else 10)

    @property
    def learning_rate(self) -> float | None:
        """The peak learning rate of the whole network; None if unknown."""
        if self.config is None:
            return None
        return self.config.learning_rate * (self.config.finetune_lr_scale if self.history.freeze_epochs else 1)

    @property
    def typical_rate(self) -> float:
        """The typical learning rate of the optimizer."""
        return TYPICAL_LEARNING_RATES[self.config.optimizer if self.config else "adamw"]

    @property
    def tail_length(self) -> int:
        """How many epochs count as the end of the run: three, or a fifth of a long one."""
        return max(3, len(self.history) // 5)

    def final_median(self, split: Split, metric: Metric) -> float:
        """The median of a metric over the end of the run; NaN if undefined."""
        return nan_median(self.history.values[split][metric][-self.tail_length :])

    @property
    def is_poor(self) -> bool:
        """Whether AUC is below 0.8 on training and validation scans alike.

        0.7 to 0.8 counts as acceptable, 0.8 to 0.9 as excellent (Hosmer, Lemeshow, Sturdivant 2013, ch. 5).
        """
        areas = [self.final_median("train", "auc"), self.final_median("val", "auc")]
        return any(area < 0.8 for area in areas) and not any(area >= 0.8 for area in areas)

    def suggest_lower_rate(self) -> dict[str, float]:
        """A tenth of the learning rate, and no more than the typical one."""
        if self.config is None:
            return {}
        return {"learning_rate": _round_significant(min(self.config.learning_rate / FAR_FACTOR, self.typical_rate))}

    def suggest_higher_rate(self) -> dict[str, float]:
        """Ten times the learning rate, or the typical one if that is still far above."""
        if self.config is None:
            return {}
        higher = self.config.learning_rate * FAR_FACTOR
        is_still_far = higher * FAR_FACTOR <= self.typical_rate
        return {"learning_rate": _round_significant(self.typical_rate if is_still_far else higher)}


def _round_significant(value: float) -> float:
    return float(f"{value:.2g}")
