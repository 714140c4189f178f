"""The epochs of a run as arrays, and how medians, noise and trends of such short, rough series are taken."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

METRICS = ("loss", "accuracy", "auc")
SPLITS = ("train", "val")
"""Of an epoch's record: what was measured on training scans, and on validation scans."""

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
        planned_epochs: epochs that were asked for, with those of the last layer alone; 0 where nobody knows.
        freeze_epochs: epochs at first in which only the last layer learned: they are left out, but for `best`.
        end_reason: why it ended, as `training` says it ("finished", "early", "stopped", "failed"); "" while it has not.
    """

    epochs: np.ndarray
    values: dict[str, dict[str, Floats]]
    intervals: dict[str, Floats]
    best: np.ndarray
    n_val: int
    planned_epochs: int
    freeze_epochs: int
    end_reason: str

    @classmethod
    def from_records(cls, records: Sequence[Mapping[str, Any]]) -> History:
        """The history that a run's records tell; what is damaged or foreign among them is left out."""
        start_records = [record for record in records if record.get("kind") in ("start", "resume")]
        last_start = start_records[-1] if start_records else {}
        epoch_records = [record for record in clean_records(records) if record["kind"] == "epoch"]
        freeze_epochs = as_count(last_start.get("freeze_epochs"))
        unfrozen_records = [record for record in epoch_records if record["epoch"] > freeze_epochs]
        boundary_records = [record for record in records if record.get("kind") in ("start", "resume", "end")]
        return cls(
            epochs=np.array([record["epoch"] for record in unfrozen_records], np.int64),
            values={
                split: {name: _column(record[split][name] for record in unfrozen_records) for name in METRICS}
                for split in SPLITS
            },
            intervals={
                name: _pairs(record["val"][f"{name}_interval"] for record in unfrozen_records) for name in METRICS[1:]
            },
            best=np.array([record.get("best") is True for record in unfrozen_records], bool),
            n_val=as_count(epoch_records[-1]["val"].get("n")) if epoch_records else as_count(last_start.get("val")),
            planned_epochs=as_count(last_start.get("epochs")),
            freeze_epochs=freeze_epochs,
            end_reason=str(boundary_records[-1].get("reason", ""))
            if boundary_records and boundary_records[-1]["kind"] == "end"
            else "",
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
    def selected_index(self) -> int | None:
        """The position of the epoch whose weights are kept; None where it is none of these."""
        best_indices = np.flatnonzero(self.best)
        return int(best_indices[-1]) if len(best_indices) else None


def clean_records(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The records of a run that its curves can be drawn of; what is damaged or foreign among them is left out.

    Of an epoch without losses nothing is kept; another measure that it lacks, or that is no number, becomes None, as
    does its interval.
    """
    typed_records = [dict(record) for record in records if isinstance(record.get("kind"), str)]
    step_fields = ("progress", "loss", "accuracy")
    valid_records = [
        record
        for record in typed_records
        if record["kind"] not in ("step", "epoch")
        or (record["kind"] == "step" and all(_finite_or_none(record.get(name)) is not None for name in step_fields))
        or (record["kind"] == "epoch" and _is_complete(record))
    ]
    return [_fill_missing(record) if record["kind"] == "epoch" else record for record in valid_records]


def running_median(values: Floats) -> Floats:
    """The running median of each value and its neighbours, two each side of a long series, one of a short one.

    A median follows a step and ignores a single wild epoch (Tukey, Exploratory Data Analysis, 1977, chapter 7).
    """
    half_width = 2 if len(values) >= 10 else 1
    return np.array([np.median(values[max(i - half_width, 0) : i + half_width + 1]) for i in range(len(values))])


def estimate_noise(values: Floats) -> float:
    """How far chance throws a single epoch off the course of a series, as a standard deviation.

    From the distance of each value to the mean of its two neighbours, which a slow trend does not change (Gasser,
    Sroka, Jennen-Steinmetz, Biometrika 1986;73:625–633), by the median, so that a single jump counts for little.
    0 where there are fewer than three.
    """
    if len(values) < 3:
        return 0.0
    residuals = values[1:-1] - (values[:-2] + values[2:]) / 2
    return float(1.4826 * np.median(np.abs(residuals)) * math.sqrt(2 / 3))


def mann_kendall_z(values: Floats) -> float:
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


def nan_median(values: Floats) -> float:
    """The median of what is defined; NaN of nothing."""
    finite_values = values[~np.isnan(values)]
    return float(np.median(finite_values)) if len(finite_values) else math.nan


def as_count(value: Any) -> int:
    """A count as it stands in a record or on a card; 0 where it is none."""
    return value if type(value) is int and value > 0 else 0


def _is_complete(record: Mapping[str, Any]) -> bool:
    """Whether an epoch's record holds what a curve is drawn of; a loss that is no number is kept, and found."""
    parts = [record.get(split) for split in SPLITS]
    has_losses = all(isinstance(split, dict) and isinstance(split.get("loss"), float | int) for split in parts)
    return has_losses and type(record.get("epoch")) is int and record["epoch"] > 0


def _fill_missing(record: dict[str, Any]) -> dict[str, Any]:
    """An epoch's record with every measure: None where it is missing or no number."""
    metrics = {
        split: record[split] | {name: _finite_or_none(record[split].get(name)) for name in METRICS} for split in SPLITS
    }
    intervals = {f"{name}_interval": _clean_interval(record["val"].get(f"{name}_interval")) for name in METRICS[1:]}
    return record | metrics | {"val": metrics["val"] | intervals}


def _clean_interval(value: Any) -> list[float] | None:
    pair = [_finite_or_none(bound) for bound in value] if isinstance(value, list | tuple) else []
    finite_bounds = [bound for bound in pair if bound is not None]
    return finite_bounds if len(pair) == len(finite_bounds) == 2 else None


def _finite_or_none(value: Any) -> float | None:
    number = _as_float(value)
    return number if math.isfinite(number) else None


def _as_float(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _column(values: Iterable[Any]) -> Floats:
    return np.array([_as_float(value) for value in values], np.float64)


def _pairs(values: Iterable[list[float] | None]) -> Floats:
    return np.array([value or (math.nan,) * 2 for value in values], np.float64).reshape(-1, 2)
