"""The epochs of a run as arrays, and how medians, noise and trends of such short, rough series are taken."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MEASURES = ("loss", "accuracy", "auc")
SPLITS = ("train", "val")

Floats = np.ndarray


@dataclass(frozen=True, eq=False)
class History:
    """The E epochs of a run that are over, in which the whole network learned.

    Attributes:
        epochs: their numbers, from 1, int64 (E,).
        values: {"train" | "val": {"loss" | "accuracy" | "auc": float64 (E,)}}, NaN where a measure is not defined.
        intervals: {"accuracy" | "auc": float64 (E, 2)} of validation, NaN where not defined.
        best: whether each was the best one when it ended, bool (E,).
        n_val: validation scans, 0 where nobody knows.
        planned: epochs that were asked for, with those of the last layer alone; 0 where nobody knows.
        head: epochs at first in which only the last layer learned: they are left out, but for `best`.
        reason: why it ended, as `training` says it ("finished", "early", "stopped", "failed"); "" while it has not.
    """

    epochs: np.ndarray
    values: dict[str, dict[str, Floats]]
    intervals: dict[str, Floats]
    best: np.ndarray
    n_val: int
    planned: int
    head: int
    reason: str

    @classmethod
    def of(cls, records: Sequence[Mapping[str, Any]]) -> History:
        """The history that a run's records tell; what is damaged or foreign among them is left out."""
        plans = [record for record in records if record.get("kind") in ("start", "resume")]
        plan = plans[-1] if plans else {}
        told = [record for record in records if record.get("kind") == "epoch" and _is_whole(record)]
        head = _count(plan.get("head_epochs"))
        whole = [record for record in told if record["epoch"] > head]
        ends = [record for record in records if record.get("kind") in ("start", "resume", "end")]
        return cls(
            epochs=np.array([record["epoch"] for record in whole], np.int64),
            values={
                split: {name: _column(record[split].get(name) for record in whole) for name in MEASURES}
                for split in SPLITS
            },
            intervals={
                name: _pairs(record["val"].get(f"{name}_interval") for record in whole) for name in MEASURES[1:]
            },
            best=np.array([record.get("best") is True for record in whole], bool),
            n_val=_count(told[-1]["val"].get("n")) if told else _count(plan.get("val")),
            planned=_count(plan.get("epochs")),
            head=head,
            reason=str(ends[-1].get("reason", "")) if ends and ends[-1]["kind"] == "end" else "",
        )

    def __len__(self) -> int:
        return len(self.epochs)

    @property
    def train_loss(self) -> Floats:
        """Of each epoch, float64 (E,)."""
        return self.values["train"]["loss"]

    @property
    def val_loss(self) -> Floats:
        """Of each epoch, float64 (E,)."""
        return self.values["val"]["loss"]

    @property
    def kept(self) -> int | None:
        """The position of the epoch whose weights are kept; None where it is none of these."""
        found = np.flatnonzero(self.best)
        return int(found[-1]) if len(found) else None


def smooth(values: Floats) -> Floats:
    """The running median of each value and its neighbours, two each side of a long series, one of a short one.

    A median follows a step and ignores a single wild epoch (Tukey, Exploratory Data Analysis, 1977, chapter 7).
    """
    arm = 2 if len(values) >= 10 else 1
    return np.array([np.median(values[max(i - arm, 0) : i + arm + 1]) for i in range(len(values))])


def noise(values: Floats) -> float:
    """How far chance throws a single epoch off the course of a series, as a standard deviation.

    From the distance of each value to the mean of its two neighbours, which a slow trend does not change (Gasser,
    Sroka, Jennen-Steinmetz, Biometrika 1986;73:625–633), by the median, so that a single jump counts for little.
    0 where there are fewer than three.
    """
    if len(values) < 3:
        return 0.0
    off = values[1:-1] - (values[:-2] + values[2:]) / 2
    return float(1.4826 * np.median(np.abs(off)) * math.sqrt(2 / 3))


def trend(values: Floats) -> float:
    """How surely a series falls (below 0) or rises (above 0), in standard deviations of chance.

    Mann's test (Econometrica 1945;13:245–259): the pairs that rise less those that fall, by what that spreads in a
    series without order. It asks nothing of the shape, and one wild value counts for little. Beyond ±1.96, chance
    gives that once in twenty series.
    """
    n = len(values)
    if n < 3:
        return 0.0
    pairs = np.sign(values[None, :] - values[:, None])[np.triu_indices(n, 1)]
    return float(pairs.sum() / math.sqrt(n * (n - 1) * (2 * n + 5) / 18))


def level(values: Floats) -> float:
    """The median of what is defined; NaN of nothing."""
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else math.nan


def _is_whole(record: Mapping[str, Any]) -> bool:
    """Whether an epoch's record holds what a curve is drawn of; a loss that is no number is kept, and found."""
    parts = [record.get(split) for split in SPLITS]
    known = all(isinstance(part, dict) and isinstance(part.get("loss"), float | int) for part in parts)
    return known and type(record.get("epoch")) is int and record["epoch"] > 0


def _count(value: Any) -> int:
    return value if type(value) is int and value > 0 else 0


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _column(values: Iterable[Any]) -> Floats:
    return np.array([_number(value) for value in values], np.float64)


def _pairs(values: Iterable[Any]) -> Floats:
    known = [
        tuple(map(_number, value)) if isinstance(value, list | tuple) and len(value) == 2 else (math.nan,) * 2
        for value in values
    ]
    return np.array(known, np.float64).reshape(-1, 2)
