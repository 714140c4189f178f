"""Training history as arrays; running median, noise and Mann–Kendall trend of short, noisy series."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from xrai.models.history import EndRecord, EpochRecord, HistoryRecord, StartRecord, last_start, records_of

Split = Literal["train", "val"]
Metric = Literal["loss", "accuracy", "auc"]
Floats = np.ndarray


@dataclass(frozen=True, eq=False)
class History:
    """The E finished epochs of a run in which the whole network learned.

    Attributes:
        epochs: their numbers, from 1, int64 (E,).
        values: {split: {metric: float64 (E,)}}, NaN where a metric is undefined.
        intervals: {"accuracy" | "auc": float64 (E, 2)} of validation, NaN where undefined.
        best: whether each was the best so far, bool (E,).
        n_val: validation scans, 0 if unknown.
        planned_epochs: configured number of epochs with the freeze epochs; 0 if unknown.
        freeze_epochs: first epochs with frozen features, which are left out here.
        end_reason: as in `EndRecord`; "" while the run is not over.
    """

    epochs: np.ndarray
    values: dict[Split, dict[Metric, Floats]]
    intervals: dict[Metric, Floats]
    best: np.ndarray
    n_val: int
    planned_epochs: int
    freeze_epochs: int
    end_reason: str

    @classmethod
    def from_records(cls, records: Sequence[HistoryRecord]) -> History:
        """The history of a run from its records, oldest first."""
        start = last_start(records)
        freeze_epochs = start.freeze_epochs if start else 0
        all_epochs = records_of(EpochRecord, records)
        epochs = [record for record in all_epochs if record.epoch > freeze_epochs]
        train = [record.train for record in epochs]
        val = [record.val for record in epochs]
        boundaries = [record for record in records if isinstance(record, StartRecord | EndRecord)]
        end = boundaries[-1] if boundaries else None
        return cls(
            epochs=np.array([record.epoch for record in epochs], np.int64),
            values={
                "train": {name: _column(train, name) for name in ("loss", "accuracy", "auc")},
                "val": {name: _column(val, name) for name in ("loss", "accuracy", "auc")},
            },
            intervals={name: _interval_column(val, name) for name in ("accuracy", "auc")},
            best=np.array([record.best for record in epochs], bool),
            n_val=all_epochs[-1].val.n if all_epochs else start.val if start else 0,
            planned_epochs=start.epochs if start else 0,
            freeze_epochs=freeze_epochs,
            end_reason=end.reason if isinstance(end, EndRecord) else "",
        )

    def __len__(self) -> int:
        return len(self.epochs)

    @property
    def train_loss(self) -> Floats:
        """Training loss of each epoch, float64 (E,)."""
        return self.values["train"]["loss"]

    @property
    def val_loss(self) -> Floats:
        """Validation loss of each epoch, float64 (E,)."""
        return self.values["val"]["loss"]

    @property
    def first_epoch(self) -> int:
        """Number of the first epoch."""
        return int(self.epochs[0])

    @property
    def last_epoch(self) -> int:
        """Number of the last epoch; 0 if there is none."""
        return int(self.epochs[-1]) if len(self) else 0

    @property
    def selected_index(self) -> int | None:
        """Index of the epoch whose weights are kept; None if it is none of these."""
        best_indices = np.flatnonzero(self.best)
        return int(best_indices[-1]) if len(best_indices) else None

    @property
    def reported_index(self) -> int:
        """Index of the epoch to report on: the selected one, or else the last."""
        return len(self) - 1 if self.selected_index is None else self.selected_index

    def point(self, index: int, split: Split, metric: Metric = "loss") -> tuple[int, float]:
        """Number of an epoch, and its value of a metric."""
        return int(self.epochs[index]), float(self.values[split][metric][index])


def running_median(values: Floats) -> Floats:
    """The median of each value and its neighbours: two on each side in a series of ten or more, else one.

    A median follows a step and ignores a single outlier (Tukey, Exploratory Data Analysis, 1977, chapter 7).
    """
    half_width = 2 if len(values) >= 10 else 1
    return np.array([np.median(values[max(i - half_width, 0) : i + half_width + 1]) for i in range(len(values))])


def estimate_noise(values: Floats) -> float:
    """Standard deviation of the noise of single epochs around the trend; 0 for fewer than three.

    From the distance of each value to the mean of its two neighbours, which a slow trend does not change (Gasser,
    Sroka, Jennen-Steinmetz, Biometrika 1986;73:625–633), by the median, which a single jump hardly changes.
    """
    if len(values) < 3:
        return 0.0
    residuals = values[1:-1] - (values[:-2] + values[2:]) / 2
    return float(1.4826 * np.median(np.abs(residuals)) * math.sqrt(2 / 3))


def mann_kendall_z(values: Floats) -> float:
    """Mann–Kendall trend statistic: below 0 falling, above 0 rising, in standard deviations without a trend.

    Mann, Econometrica 1945;13:245–259: rising pairs less falling pairs. It assumes no shape, and an outlier counts
    for little. A series without a trend exceeds ±1.96 once in twenty times.
    """
    n = len(values)
    if n < 3:
        return 0.0
    pairs = np.sign(values[None, :] - values[:, None])[np.triu_indices(n, 1)]
    return float(pairs.sum() / math.sqrt(n * (n - 1) * (2 * n + 5) / 18))


def nan_median(values: Floats) -> float:
    """The median of the defined values; NaN if there are none."""
    finite_values = values[~np.isnan(values)]
    return float(np.median(finite_values)) if len(finite_values) else math.nan


def _column(metrics: Sequence[object], name: Metric) -> Floats:
    return np.array([getattr(item, name) for item in metrics], np.float64)  # None becomes NaN


def _interval_column(metrics: Sequence[object], name: Metric) -> Floats:
    intervals = [getattr(item, f"{name}_interval") or (math.nan, math.nan) for item in metrics]
    return np.array(intervals, np.float64).reshape(-1, 2)
