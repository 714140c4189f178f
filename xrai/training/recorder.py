"""Recorder: history records of a run (start, step, epoch, end), throughput, remaining time, and when to save."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from xrai.models.history import (
    EndRecord,
    EpochRecord,
    FinalizeRecord,
    HistoryEvent,
    StartRecord,
    StepRecord,
    ValidationMetrics,
)
from xrai.networks.build import count_parameters
from xrai.training.loop import EpochOutputs, learning_rate_at
from xrai.training.measure import train_metrics
from xrai.training.state import TrainingState

RECORD_SECONDS = 1.0
"""At least so many seconds between two step records."""

RECORD_SHARE = 200
"""In a long run, at least this part of its time between two step records, so that the history stays small."""

STATE_SECONDS = 120.0
"""Seconds of work, and one batch, that a killed run loses at most."""

Emit = Callable[[dict[str, Any]], None]


@dataclass
class ProgressTimer:
    """Moments of this process on the monotonic clock.

    Attributes:
        previous_seconds, previous_batches: of the run before this process.
        started_at, last_record_at, last_save_at: start of this process, its last step record, its last saved state.
        recorded_totals: scans and sum of losses of the epoch at the last step record.
    """

    previous_seconds: float = 0.0
    previous_batches: int = 0
    started_at: float = field(default_factory=time.monotonic)
    last_record_at: float = field(default_factory=time.monotonic)
    last_save_at: float = field(default_factory=time.monotonic)
    recorded_totals: tuple[int, float] = (0, 0.0)

    @property
    def seconds(self) -> float:
        """Seconds of the whole run so far."""
        return self.previous_seconds + time.monotonic() - self.started_at

    @property
    def is_record_due(self) -> bool:
        """Whether it is time for another step record."""
        return time.monotonic() - self.last_record_at >= max(RECORD_SECONDS, self.seconds / RECORD_SHARE)

    @property
    def is_save_due(self) -> bool:
        """Whether it is time to save the state."""
        return time.monotonic() - self.last_save_at >= STATE_SECONDS

    def mark_recorded(self, outputs: EpochOutputs) -> None:
        """Count the next step record from here."""
        self.last_record_at = time.monotonic()
        self.recorded_totals = (outputs.n, outputs.loss_sum)

    def measure_step(self, outputs: EpochOutputs, n_done: int, n_total: int, world_size: int) -> dict[str, Any]:
        """Loss, accuracy and throughput since the last record, and the remaining seconds, as in `StepRecord`.

        Args:
            outputs: of the epoch so far, in this process.
            n_done: batches of the whole run so far.
            n_total: batches of the whole run.
            world_size: processes that share each batch.
        """
        now = time.monotonic()
        n, loss_sum = self.recorded_totals
        probabilities, labels = (item[n:] for item in outputs.arrays())
        seconds_per_batch = (now - self.started_at) / max(n_done - self.previous_batches, 1)
        step = {
            "loss": round((outputs.loss_sum - loss_sum) / (outputs.n - n), 5),
            "accuracy": round(float((probabilities.argmax(axis=1) == labels).mean()), 4),
            "images_per_second": round((outputs.n - n) * world_size / max(now - self.last_record_at, 1e-6), 1),
            "seconds_left": round(seconds_per_batch * (n_total - n_done), 1),
        }
        self.mark_recorded(outputs)
        return step


@dataclass
class Recorder:
    """Emits the records of a run; rank 0 only."""

    state: TrainingState
    emit: Emit
    timer: ProgressTimer = field(default_factory=ProgressTimer)

    def start(self) -> None:
        """Record the plan of the run, and start the clock."""
        state = self.state
        self.timer = ProgressTimer(self.timer.previous_seconds, state.batches_done)
        self.timer.mark_recorded(state.outputs)
        self._emit(
            StartRecord(
                kind="resume" if state.batches_done else "start",
                epochs=state.config.epochs,
                freeze_epochs=state.config.freeze_epochs,
                batches=state.n_batches,
                parameters=count_parameters(state.network),
                device=str(state.fabric.device),
                precision=state.precision,
                train=len(state.dataset.rows("train")),
                val=len(state.dataset.rows("val")),
            )
        )

    def record_step(self) -> None:
        """Record the last steps where it is time; the first batch of a process always."""
        state = self.state
        if not (self.timer.is_record_due or state.batches_done == self.timer.previous_batches + 1):
            return
        n_total = state.config.epochs * state.n_batches
        step = self.timer.measure_step(state.outputs, state.batches_done, n_total, state.fabric.world_size)
        progress = round(state.batches_done / state.n_batches, 4)
        self._emit(StepRecord(progress=progress, epoch=state.epoch + 1, **step))

    def record_epoch(self, validation: ValidationMetrics, seconds: float, *, is_best: bool) -> None:
        """Record the epoch that is done, whose number is `state.epoch` by now."""
        state = self.state
        progress = (state.batches_done - 1) / (state.config.epochs * state.n_batches)
        self._emit(
            EpochRecord(
                epoch=state.epoch,
                train=train_metrics(state.outputs, state.fabric, state.loader.world_size),
                val=validation,
                learning_rate=learning_rate_at(state.config, progress),
                seconds=round(seconds, 2),
                best=is_best,
            )
        )

    def record_finalize(self, stage: str, n_done: int, n_total: int) -> None:
        """Record the progress of the post-training fitting."""
        self._emit(FinalizeRecord(stage=stage, done=n_done, total=n_total))

    def end(self, reason: str) -> None:
        """Record why the run ended: "finished", "early", "stopped", "diverged" or "failed"."""
        self._emit(EndRecord(reason=reason, seconds=round(self.timer.seconds, 1)))

    def _emit(self, record: HistoryEvent) -> None:
        if self.state.is_rank_zero:
            self.emit(record.model_dump())
