"""Summary table of all runs and models: status, settings, validation metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from xrai.core.errors import CheckpointError
from xrai.core.jobs import ACTIVE_STATUSES, Job, Status
from xrai.core.json_files import HISTORY_FILE, is_file
from xrai.core.records import Interval
from xrai.models.checkpoint import CARD, CONFIG, WEIGHTS, Checkpoint, list_checkpoints
from xrai.models.default import default_model
from xrai.models.history import EndRecord, EpochRecord, HistoryRecord, StartRecord, best_epoch, read_history, records_of
from xrai.models.notes import read_note

T = TypeVar("T")


@dataclass(frozen=True)
class Summary:
    """A run or model in the summary table.

    Attributes:
        name: of the folder.
        status: of its job.
        is_model: whether scans can be read with it.
        is_default: whether it is the default model.
        note: of the users.
        dataset: path, as it was given, or name.
        classes: in the order of the network's outputs; None where there is no card.
        config: training settings; {} where they cannot be read.
        accuracy, accuracy_interval, auc, auc_interval, n_validation: of the best epoch on the validation split.
        epochs_run, seconds: of the training.
        size_bytes: of the weights.
        created: ISO time of the card, else of the run's start.
        problem: the sentence of why its card or config cannot be read, else "".
    """

    name: str
    status: Status
    is_model: bool
    is_default: bool
    note: str
    dataset: str
    classes: tuple[str, ...] | None
    config: dict[str, Any]
    accuracy: float | None
    accuracy_interval: Interval | None
    auc: float | None
    auc_interval: Interval | None
    n_validation: int | None
    epochs_run: int | None
    seconds: float | None
    size_bytes: int | None
    created: str | None
    problem: str


def list_summaries() -> list[Summary]:
    """Every run and model, newest first; a broken one says so in its `problem`."""
    default = default_model()
    return [_summarize(item, is_default=item == default) for item in list_checkpoints()]


def _summarize(checkpoint: Checkpoint, *, is_default: bool) -> Summary:
    status = Job(checkpoint.folder).status
    card, card_problem = _read_or_problem(checkpoint.read_card, is_file(checkpoint.folder / CARD))
    is_config_expected = is_file(checkpoint.folder / CONFIG) or not (card or card_problem or status in ACTIVE_STATUSES)
    run_config, config_problem = _read_or_problem(checkpoint.read_config, is_config_expected)
    history = [] if card else read_history(checkpoint.folder / HISTORY_FILE)
    best = best_epoch(history)
    metrics = card.validation if card else best.val if best else None
    return Summary(
        name=checkpoint.name,
        status=status,
        is_model=checkpoint.is_model,
        is_default=is_default,
        note=read_note(checkpoint),
        dataset=run_config["dataset"] if run_config else card.dataset.name if card else "",
        classes=card.classes if card else None,
        config=run_config["train"] if run_config else card.training.settings if card else {},
        accuracy=metrics.accuracy if metrics else None,
        accuracy_interval=metrics.accuracy_interval if metrics else None,
        auc=metrics.auc if metrics else None,
        auc_interval=metrics.auc_interval if metrics else None,
        n_validation=metrics.n if metrics else None,
        epochs_run=card.training.epochs_run if card else _epochs_run(history),
        seconds=card.training.seconds if card else _seconds(history),
        size_bytes=_size(checkpoint.folder / WEIGHTS),
        created=_valid_iso_time(card.created) if card else _start_time(history),
        problem=card_problem or config_problem,
    )


def _read_or_problem(read: Callable[[], T], is_expected: bool) -> tuple[T | None, str]:
    """What was read, or None, and the sentence that says why it could not be."""
    try:
        return (read() if is_expected else None), ""
    except CheckpointError as error:
        return None, error.message


def _epochs_run(history: Sequence[HistoryRecord]) -> int | None:
    return max((record.epoch for record in records_of(EpochRecord, history)), default=None)


def _seconds(history: Sequence[HistoryRecord]) -> float | None:
    if history and isinstance(history[-1], EndRecord):
        return history[-1].seconds
    return sum(record.seconds for record in records_of(EpochRecord, history)) or None


def _start_time(history: Sequence[HistoryRecord]) -> str | None:
    starts = [record for record in records_of(StartRecord, history) if record.kind == "start"]
    with suppress(OverflowError, OSError, ValueError):
        return datetime.fromtimestamp(starts[0].time, UTC).isoformat(timespec="seconds") if starts else None
    return None


def _valid_iso_time(text: str) -> str | None:
    with suppress(ValueError):
        datetime.fromisoformat(text)
        return text
    return None


def _size(file: Path) -> int | None:
    with suppress(OSError):
        return file.stat().st_size
    return None
