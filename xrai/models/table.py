"""The table of all runs and models: what each is, how it stands, how good it was found to be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from xrai.core.errors import CheckpointError
from xrai.core.jobs import ACTIVE_STATUSES, Job, Status
from xrai.core.json_files import HISTORY_FILE
from xrai.models.checkpoint import CARD, CONFIG, WEIGHTS, Checkpoint, list_checkpoints
from xrai.models.default import default_model
from xrai.models.notes import read_note
from xrai.models.soundness import is_count, is_number, iter_valid_records

Interval = tuple[float, float]
T = TypeVar("T")


@dataclass(frozen=True)
class Summary:
    """A run or model as the table of all of them shows it.

    Attributes:
        name: the folder's.
        status: how its job stands.
        is_model: whether scans can be read with it.
        is_default: whether they are, as long as nobody chooses another.
        note: what people wrote about it.
        dataset: path, as it was asked for, or name.
        classes: in the order of the network's outputs; None where there is no card.
        config: training settings; {} where they cannot be read.
        accuracy, accuracy_interval, auc, auc_interval, n_validation: of the best epoch on validation.
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
    card, card_problem = _read_or_problem(checkpoint.read_card, (checkpoint.folder / CARD).exists())
    is_config_expected = (checkpoint.folder / CONFIG).exists() or not (
        card or card_problem or status in ACTIVE_STATUSES
    )
    run_config, config_problem = _read_or_problem(checkpoint.read_config, is_config_expected)
    records = [] if card else [record for record, _ in iter_valid_records(checkpoint.folder / HISTORY_FILE)]
    metrics = card.validation if card else _best_epoch(records)
    return Summary(
        name=checkpoint.name,
        status=status,
        is_model=checkpoint.is_model,
        is_default=is_default,
        note=read_note(checkpoint),
        dataset=run_config["dataset"] if run_config else str(card.dataset.get("name", "")) if card else "",
        classes=card.classes if card else None,
        config=run_config["train"] if run_config else card.training.get("settings", {}) if card else {},
        accuracy=metrics.get("accuracy"),
        accuracy_interval=_to_interval(metrics.get("accuracy_interval")),
        auc=metrics.get("auc"),
        auc_interval=_to_interval(metrics.get("auc_interval")),
        n_validation=metrics.get("n"),
        epochs_run=_value_if(is_count, card.training.get("epochs_run")) if card else _epochs_run(records),
        seconds=_value_if(is_number, card.training.get("seconds")) if card else _seconds(records),
        size_bytes=_size(checkpoint.folder / WEIGHTS),
        created=_valid_iso_time(card.created) if card else _start_time(records),
        problem=card_problem or config_problem,
    )


def _read_or_problem(read: Callable[[], T], is_expected: bool) -> tuple[T | None, str]:
    """What was read, or None, and the sentence of why it could not be."""
    try:
        return (read() if is_expected else None), ""
    except CheckpointError as error:
        return None, error.message


def _epochs(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record for record in records if record["kind"] == "epoch"]


def _best_epoch(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return next((record["val"] for record in reversed(_epochs(records)) if record["best"]), {})


def _epochs_run(records: Sequence[dict[str, Any]]) -> int | None:
    return max((record["epoch"] for record in _epochs(records)), default=None)


def _seconds(records: Sequence[dict[str, Any]]) -> float | None:
    if records and records[-1]["kind"] == "end":
        return records[-1]["seconds"]
    return sum(record["seconds"] for record in _epochs(records)) or None


def _start_time(records: Sequence[dict[str, Any]]) -> str | None:
    timestamp = next((record["time"] for record in records if record["kind"] == "start"), None)
    with suppress(OverflowError, OSError, ValueError):
        return None if timestamp is None else datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="seconds")
    return None


def _valid_iso_time(text: str) -> str | None:
    with suppress(ValueError):
        datetime.fromisoformat(text)
        return text
    return None


def _to_interval(values: Sequence[float] | None) -> Interval | None:
    return (values[0], values[1]) if values else None


def _value_if(is_valid: Callable[[object], bool], value: Any) -> Any:
    return value if is_valid(value) else None


def _size(file: Path) -> int | None:
    with suppress(OSError):
        return file.stat().st_size
    return None
