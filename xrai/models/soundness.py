"""Which records of a run's history can be relied on, wherever the file comes from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

_MAX_BRACKETS = 100
"""A record with more of them may be nested deeper than a reader can follow."""


def is_valid_record(record: object) -> bool:
    """Whether a record of a run's history has what `docs/checkpoint-format.md` promises whoever reads it."""
    if not isinstance(record, dict) or not isinstance(kind := record.get("kind"), str):
        return False
    return kind not in _RECORD_FIELDS or _has_fields(
        _OPTIONAL_FIELDS | record, {"time": is_number} | _RECORD_FIELDS[kind]
    )


def iter_valid_records(file: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """The records of a history that a reader can use, each with its line; nothing of a file that cannot be read."""
    with suppress(OSError), file.open(encoding="utf-8", errors="replace", newline="\n") as lines:
        for line in lines:
            if line.count("[") + line.count("{") > _MAX_BRACKETS:
                continue
            with suppress(ValueError):
                if is_valid_record(record := json.loads(line)):
                    yield record, line.rstrip("\n") + "\n"


def _has_fields(values: object, fields: Mapping[str, Callable[[Any], bool]]) -> bool:
    return isinstance(values, dict) and all(
        name in values and is_valid(values[name]) for name, is_valid in fields.items()
    )


def is_number(value: object) -> bool:
    """A number that can be counted with, so neither nan nor one too large for a float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e300 < value < 1e300


def is_count(value: object) -> bool:
    """A whole number that counts something."""
    return type(value) is int and 0 <= value < 2**53


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_number_or_none(value: object) -> bool:
    return value is None or is_number(value)


def _is_interval(value: object) -> bool:
    return value is None or (isinstance(value, list) and len(value) == 2 and all(map(is_number, value)))


def _is_train_metrics(values: object) -> bool:
    return _has_fields(values, {"loss": is_number, "accuracy": is_number, "auc": _is_number_or_none})


def _is_validation_metrics(values: object) -> bool:
    intervals = {"accuracy_interval": _is_interval, "auc_interval": _is_interval}
    return _is_train_metrics(values) and _has_fields(values, intervals | {"n": is_count})


_OPTIONAL_FIELDS = {"freeze_epochs": 0}
"""What runs of earlier versions did not write down."""

_START_FIELDS: dict[str, Callable[[Any], bool]] = {
    "epochs": is_count, "freeze_epochs": is_count, "batches": is_count, "parameters": is_count, "device": _is_text,
    "precision": _is_text, "train": is_count, "val": is_count,
}  # fmt: skip

_RECORD_FIELDS: dict[str, dict[str, Callable[[Any], bool]]] = {
    "start": _START_FIELDS,
    "resume": _START_FIELDS,
    "step": {
        "progress": is_number, "epoch": is_count, "loss": is_number, "accuracy": is_number,
        "images_per_second": is_number, "seconds_left": is_number,
    },
    "epoch": {
        "epoch": is_count, "train": _is_train_metrics, "val": _is_validation_metrics, "learning_rate": is_number, "seconds": is_number,
        "best": _is_bool,
    },
    "end": {"reason": _is_text, "seconds": is_number},
}  # fmt: skip
"""What a record of each known kind must hold; other kinds may hold anything, since nobody looks into them."""
