"""What the rules look at: a run's history, settings, counts and how it stands."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xrai.core.language import N_
from xrai.training.diagnostics.history import History, nan_median

Counts = Mapping[str, Mapping[str, int]]

MIN_EPOCHS = 4
"""Of fewer, no order of their values is rarer than chance makes it once in twenty times; see `history.trend`."""

TYPICAL_LEARNING_RATES = {"adamw": 1e-3, "adam": 1e-3, "sgd": 5e-2}
"""Adam: its authors' own (Kingma & Ba 2015); SGD with momentum: between the 0.1 and 0.01 of He et al. 2016."""

FAR_FACTOR = 10
"""Times the usual rate, up or down, that is far from it: rates are tried in tens (Smith 2018, arXiv:1803.09820)."""

ACTIVE = ("starting", "running")

NO_NUMBER = N_("no number any more")
"""What training says of a loss that broke down, in the sentence that the run fails with."""


@dataclass(frozen=True, eq=False)
class RunCurves:
    """A run as the rules see it.

    Attributes:
        history: of its epochs.
        config: its settings; may be empty.
        counts: {class: {"train" | "val": scans}}; may be empty.
        status: as `jobs.Job.status` gives it.
        error: the sentence that it failed with, or "".
    """

    history: History
    config: Mapping[str, Any]
    counts: Counts
    status: str
    error: str

    @property
    def is_active(self) -> bool:
        """Whether epochs may still come."""
        return self.status in ACTIVE

    @property
    def has_diverged(self) -> bool:
        """Whether it failed as the loss was no number."""
        return NO_NUMBER in self.error

    @property
    def is_half_done(self) -> bool:
        """Whether it is so far that a rate that first rises, as one-cycle lets it, has had its time."""
        last = int(self.history.epochs[-1]) if len(self.history) else 0
        return 2 * last >= self.history.planned_epochs

    @property
    def chance_loss(self) -> float:
        """What guessing costs that gives every class the same probability: ln of the classes; of 10 where unknown."""
        return math.log(max(len(self.counts), 2) if self.counts else 10)

    @property
    def learning_rate(self) -> float | None:
        """The highest learning rate with which the whole network learned; None where nobody knows."""
        rate = self.config.get("learning_rate")
        if rate is None:
            return None
        return float(rate) * (float(self.config.get("finetune_lr_scale", 1)) if self.history.freeze_epochs else 1)

    @property
    def typical_rate(self) -> float:
        """That of the optimizer."""
        return TYPICAL_LEARNING_RATES.get(str(self.config.get("optimizer")), TYPICAL_LEARNING_RATES["adamw"])

    @property
    def tail_length(self) -> int:
        """How many epochs count as the end of the run: three, or a fifth of a long one."""
        return max(3, len(self.history) // 5)

    def final_median(self, split: str, name: str) -> float:
        """The median of a measure over the end of the run; NaN where it is not defined."""
        return nan_median(self.history.values[split][name][-self.tail_length :])

    @property
    def is_poor(self) -> bool:
        """Whether the network tells even its training scans apart poorly, AUC below 0.8, and no better the new ones.

        0.7 to 0.8 is what textbooks call acceptable, 0.8 to 0.9 excellent (Hosmer, Lemeshow, Sturdivant 2013, ch. 5).
        """
        aucs = [area for split in ("train", "val") if not math.isnan(area := self.final_median(split, "auc"))]
        return bool(aucs) and max(aucs) < 0.8

    def suggest_lower_rate(self) -> dict[str, float]:
        """A learning rate to try where this one is too high: a tenth, and no more than the usual one."""
        rate = self.config.get("learning_rate")
        return (
            {}
            if rate is None
            else {"learning_rate": _round_significant(min(float(rate) / FAR_FACTOR, self.typical_rate))}
        )

    def suggest_higher_rate(self) -> dict[str, float]:
        """One to try where this one is too low: ten times, and the usual one where that is still far away."""
        rate = self.config.get("learning_rate")
        if rate is None:
            return {}
        higher = float(rate) * FAR_FACTOR
        return {
            "learning_rate": _round_significant(
                self.typical_rate if higher * FAR_FACTOR <= self.typical_rate else higher
            )
        }


def _round_significant(value: float) -> float:
    return float(f"{value:.2g}")
