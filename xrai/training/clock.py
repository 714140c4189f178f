"""When a training run tells of its steps and saves its state, and how long it will take."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from xrai.training.loop import EpochOutputs

RECORD_SECONDS = 1.0
"""A step record at least so far apart: often enough to watch, rare enough to keep."""

RECORD_SHARE = 200
"""In a long run, a step record after this part of the time so far, so that the history of days stays small."""

STATE_SECONDS = 120.0
"""What a killed run loses at most, apart from the time of one batch."""


@dataclass
class ProgressTimer:
    """Moments of this process on the monotonic clock.

    Attributes:
        previous_seconds, previous_batches: seconds that the run took, and batches that it did, before this process.
        started_at, last_record_at, last_save_at: when the process began to train, last told of a step, and last saved the state.
        recorded_totals: scans and sum of losses of the epoch when a step was last told of.
    """

    previous_seconds: float = 0.0
    previous_batches: int = 0
    started_at: float = field(default_factory=time.monotonic)
    last_record_at: float = field(default_factory=time.monotonic)
    last_save_at: float = field(default_factory=time.monotonic)
    recorded_totals: tuple[int, float] = (0, 0.0)

    @property
    def seconds(self) -> float:
        """What the run took so far."""
        return self.previous_seconds + time.monotonic() - self.started_at

    @property
    def is_record_due(self) -> bool:
        """Whether the last step record is old enough for another."""
        return time.monotonic() - self.last_record_at >= max(RECORD_SECONDS, self.seconds / RECORD_SHARE)

    @property
    def is_save_due(self) -> bool:
        """Whether more would be lost than a killed run may lose."""
        return time.monotonic() - self.last_save_at >= STATE_SECONDS

    def mark_recorded(self, outputs: EpochOutputs) -> None:
        """What was counted so far has been told of."""
        self.last_record_at, self.recorded_totals = time.monotonic(), (outputs.n, outputs.loss_sum)

    def make_step_record(self, outputs: EpochOutputs, n_done: int, n_total: int, world_size: int) -> dict[str, Any]:
        """What happened since the last record, and how long the rest will take.

        Args:
            outcome: of the epoch so far, in this process.
            done: batches of the whole run so far.
            total: batches of the whole run.
            world: how many processes share each batch.
        """
        now, (n, loss_sum) = time.monotonic(), self.recorded_totals
        probabilities, labels = (item[n:] for item in outputs.arrays())
        record = {
            "loss": round((outputs.loss_sum - loss_sum) / (outputs.n - n), 5),
            "accuracy": round(float((probabilities.argmax(axis=1) == labels).mean()), 4),
            "images_per_second": round((outputs.n - n) * world_size / max(now - self.last_record_at, 1e-6), 1),
            "seconds_left": round(
                (now - self.started_at) * (n_total - n_done) / max(n_done - self.previous_batches, 1), 1
            ),
        }
        self.mark_recorded(outputs)
        return record
