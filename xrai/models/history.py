"""Training history (`history.jsonl`): one typed record a line for start, steps, epochs and end of a run."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import ConfigDict, Field, StrictBool, TypeAdapter, ValidationError

from xrai.core.language.field import MessageField
from xrai.core.records import Count, Number, Record

NumberPair = tuple[Number, Number]
"""The lower and upper limit of a 95 % confidence interval."""


class HistoryEvent(Record):
    """What all records of a history share; fields that other versions add are ignored.

    Attributes:
        time: when it was recorded, in seconds since 1970.
    """

    model_config = ConfigDict(extra="ignore")

    time: Number = Field(default_factory=lambda: round(time.time(), 1))


class TrainMetrics(Record):
    """Metrics on the training scans of an epoch; `auc` is None where it is not defined."""

    loss: Number
    accuracy: Number
    auc: Number | None = None


class ValidationMetrics(Record):
    """Metrics on the `n` validation scans, with 95 % confidence intervals by patient; None where one is not defined."""

    model_config = ConfigDict(extra="ignore")

    n: Count
    loss: Number
    accuracy: Number
    accuracy_interval: NumberPair | None = None
    auc: Number | None = None
    auc_interval: NumberPair | None = None


class StartRecord(HistoryEvent):
    """A run starts or resumes.

    Attributes:
        epochs: planned in all.
        freeze_epochs: first epochs in which only the classification head learns.
        batches: per epoch.
        parameters: of the network.
        train, val: scans of each split.
    """

    kind: Literal["start", "resume"]
    epochs: Count
    freeze_epochs: Count = 0
    batches: Count
    parameters: Count
    device: str
    precision: str
    train: Count
    val: Count


class StepRecord(HistoryEvent):
    """Progress within an epoch.

    Attributes:
        progress: epochs done, with a fraction.
        epoch: the present one, from 1.
        loss, accuracy: since the step record before.
        seconds_left: estimated for the rest of the run.
    """

    kind: Literal["step"] = "step"
    progress: Number
    epoch: Count
    loss: Number
    accuracy: Number
    images_per_second: Number
    seconds_left: Number


class EpochRecord(HistoryEvent):
    """A finished epoch.

    Attributes:
        epoch: its number, from 1.
        learning_rate: of its last batch.
        seconds: it took.
        best: whether its weights were the best so far, and so were saved.
    """

    kind: Literal["epoch"] = "epoch"
    epoch: Count
    train: TrainMetrics
    val: ValidationMetrics
    learning_rate: Number
    seconds: Number
    best: StrictBool


class FinalizeRecord(HistoryEvent):
    """Progress of the post-training fitting: `n_done` of `n_total` scans of a stage."""

    kind: Literal["finalize"] = "finalize"
    stage: MessageField
    done: Count
    total: Count


class EndRecord(HistoryEvent):
    """A run ends: all epochs done, by early stopping, stopped by a person, or failed.

    Attributes:
        seconds: of training so far, resumed parts together.
    """

    kind: Literal["end"] = "end"
    reason: str
    seconds: Number


HistoryRecord = Annotated[
    StartRecord | StepRecord | EpochRecord | FinalizeRecord | EndRecord, Field(discriminator="kind")
]
_adapter: TypeAdapter[HistoryRecord] = TypeAdapter(HistoryRecord)
_Kind = TypeVar("_Kind", bound=HistoryEvent)


def read_history(file: Path) -> list[HistoryRecord]:
    """The records of a run, oldest first; none of a file that cannot be read."""
    return [record for record, _ in iter_history(file)]


def iter_history(file: Path) -> Iterator[tuple[HistoryRecord, str]]:
    """The records of a history, each with its line; damaged and unknown ones are skipped."""
    with suppress(OSError), file.open(encoding="utf-8", errors="replace", newline="\n") as lines:
        for line in lines:
            with suppress(ValidationError):
                yield _adapter.validate_json(line), line.rstrip("\n") + "\n"


def parse_history(records: Iterable[Any]) -> list[HistoryRecord]:
    """The records of a history from JSON-able values; damaged and unknown ones are skipped."""
    history = []
    for values in records:
        with suppress(ValidationError):
            history.append(_adapter.validate_python(values))
    return history


def records_of(kind: type[_Kind], history: Iterable[HistoryEvent]) -> list[_Kind]:
    """The records of one class, in their order: `records_of(EpochRecord, history)`."""
    return [record for record in history if isinstance(record, kind)]


def last_start(history: Iterable[HistoryEvent]) -> StartRecord | None:
    """What the run planned when it was started or last resumed."""
    return next(iter(records_of(StartRecord, history)[::-1]), None)


def best_epoch(history: Iterable[HistoryEvent]) -> EpochRecord | None:
    """The epoch whose weights were saved."""
    return next((record for record in records_of(EpochRecord, history)[::-1] if record.best), None)
