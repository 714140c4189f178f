"""Writing a dataset file: under another name until it is whole, with checksums, and safe on a full disk."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from xrai.core.errors import DatasetError, system_reason
from xrai.core.json_files import replace_file
from xrai.core.language import Message, dump_json, say

_MOST_RECORDS = 60_000
"""Bytes of the records of messages: HDF5 keeps attributes of up to 64 KB."""

PROGRESS_SECONDS = 0.5


class Disk(io.FileIO):
    """The file below HDF5. When a write fails, it keeps the failure to itself until it is asked.

    A write that fails inside the HDF5 library leaves it in a state in which it brings the whole process down, as
    Python ends at the latest. So the library is told that all is well, and the builder asks after each step.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+b")
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise what went wrong, if anything did."""
        if self._error:
            raise self._error

    def write(self, data: Any) -> int:
        """Write everything, or remember why not."""
        view, n_written = memoryview(data).cast("B"), 0
        try:
            while n_written < len(view) and not self._error:
                n_written += super().write(view[n_written:]) or 0
        except OSError as error:
            self._error = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Set the length, or remember why not."""
        try:
            return size or 0 if self._error else super().truncate(size)
        except OSError as error:
            self._error = error
            return size or 0


def refuse_existing(out: Path) -> None:
    """Never write over a dataset.

    Raises:
        DatasetError: `out` exists.
    """
    if out.exists():
        raise DatasetError("There is already a dataset {name}: choose another name, or delete it first.", name=out.name)


def write_atomically(out: Path, required_bytes: int, fill: Callable[[h5py.File, Disk], bool]) -> bool:
    """Let `fill` write a dataset; it gets its name `out` only when it is whole.

    Args:
        out: the file to make; must not exist.
        required_bytes: size of the images.
        fill: writes everything, asking the disk after each step; False where it was stopped.

    Returns:
        What `fill` gave.

    Raises:
        DatasetError: `out` exists, the disk is full or cannot be written to; nothing is left behind.
    """
    refuse_existing(out)
    partial = out.with_name(out.name + ".partial")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _check_space(out.parent, required_bytes)
        with Disk(partial) as disk:
            # 1.10's layout, unlike the one before, has a checksum in each of its parts
            with h5py.File(disk, "w", libver=("v110", "v110")) as file:
                is_complete = fill(file, disk)
            disk.check()
            os.fsync(disk.fileno())  # some disks say only now that they are full
        if is_complete:
            replace_file(partial, out)
        return is_complete
    except OSError as error:
        raise DatasetError(_write_error_message(out, error)) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def create_images(file: h5py.File, side: int) -> h5py.Dataset:
    """The place for the scans, uint8 (0, side, side), to be made longer; a chunk a scan."""
    return file.create_dataset(
        "images", (0, side, side), np.uint8, chunks=(1, side, side), maxshape=(None, side, side), fletcher32=True
    )


def write_columns(file: h5py.File, disk: Disk, columns: Mapping[str, np.ndarray]) -> None:
    """Write what belongs to each scan, compressed and with a checksum."""
    for name, column in columns.items():
        options: dict[str, Any] = {"compression": "gzip", "fletcher32": True} if len(column) else {}
        file.create_dataset(name, data=column, **options)
        disk.check()


def write_attributes(file: h5py.File, attributes: Mapping[str, Any]) -> None:
    """Write what belongs to the whole: texts and numbers as they are, lists and objects as JSON."""
    for name, value in attributes.items():
        encoded = json.dumps(value, ensure_ascii=False) if isinstance(value, list | tuple | dict) else value
        file.attrs[name] = encode_texts([encoded]).reshape(()) if isinstance(encoded, str) else encoded


def records_of(messages: Iterable[str]) -> str:
    """JSON of the records of messages, each once; what would not fit into an attribute is left out.

    The file also holds the English sentences: a reader finds the record by them (`Dataset.notes`).
    """
    records: list[str] = []
    length = 2
    for message in dict.fromkeys(item for item in messages if isinstance(item, Message)):
        record = dump_json(message)
        length += len(record.encode("utf-8", "backslashreplace")) + 2
        if length > _MOST_RECORDS:
            break
        records.append(record)
    return f"[{', '.join(records)}]"


def encode_texts(values: Iterable[str]) -> np.ndarray:
    """Texts as UTF-8 of one length, bytes (N,): HDF5 keeps texts of any length where no checksum guards them.

    File names may hold bytes that are no characters, and those are written as escapes.
    """
    encoded = [value.replace("\0", "").encode("utf-8", "backslashreplace") for value in values]
    length = max(map(len, encoded), default=0) or 1
    return np.array(encoded, dtype=h5py.string_dtype("utf-8", length))


class ProgressEmitter:
    """Emits a progress record every `PROGRESS_SECONDS`, and the last one."""

    def __init__(self, total: int, emit: Callable[[dict[str, Any]], None]) -> None:
        self.total, self.emit = total, emit
        self.start_time = time.monotonic()
        self.last_emit = float("-inf")

    def update(self, done: int, skipped: int) -> None:
        """Tell that `done` scans were seen, `skipped` of them not taken."""
        now = time.monotonic()
        if now - self.last_emit < PROGRESS_SECONDS and done < self.total:
            return
        self.last_emit = now
        rate = done / max(now - self.start_time, 1e-6)
        self.emit(
            {
                "kind": "progress",
                "done": done,
                "total": self.total,
                "skipped": skipped,
                "images_per_second": round(rate, 1),
                "seconds_left": round((self.total - done) / max(rate, 1e-6), 1),
            }
        )


def _check_space(folder: Path, required_bytes: int) -> None:
    if shutil.disk_usage(folder).free < required_bytes:
        raise OSError(errno.ENOSPC, say("No space left on device"))


def _write_error_message(out: Path, error: OSError) -> str:
    is_full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
    reason = (
        say("the disk is full")
        if is_full
        else say("it cannot be written to {parent} ({strerror})", parent=out.parent, strerror=system_reason(error))
    )
    return say(
        "The dataset {name} was not built because {reason}: "
        "free some space or choose another folder; nothing was left behind.",
        name=out.name,
        reason=reason,
    )
