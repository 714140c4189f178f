"""Small JSON files: documents that are replaced whole, and logs that grow by a line per record.

Messages in them are stored as their template and values, and read back as messages.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from xrai.core.language import dump_json, load_json

JOB_FILE, HISTORY_FILE = "job.json", "history.jsonl"
"""How a job's folder, and so a run's, names the note of how it stands and the log of its records."""


def write_json(file: Path, values: Mapping[str, Any]) -> None:
    """Write JSON to a temporary name and rename it: a reader sees the old file or the new one, never half.

    Raises:
        OSError: the disk is full.
    """
    with atomic_file(file) as partial:
        partial.write_bytes(_encode_line(dump_json(values, indent=1)))


def append_record(file: Path, record: Mapping[str, Any]) -> None:
    """Add one line to a log, below a line that a killed process cut short.

    Raises:
        OSError: the disk is full.
    """
    with file.open("a+b") as log:
        if end := log.tell():
            log.seek(end - 1)
        begin = b"\n" if end and log.read(1) != b"\n" else b""
        log.write(begin + _encode_line(dump_json(record)))


def read_records(file: Path) -> list[dict[str, Any]]:
    """The records of a log, oldest first, or none; a line that a killed process cut short is left out."""
    if not file.is_file():
        return []
    records = []
    for line in file.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            record = load_json(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            records.append(record)
    return records


def truncate_records(file: Path, n: int) -> None:
    """Cut a log back to its first `n` records."""
    records = read_records(file)[:n]
    with atomic_file(file) as partial:
        partial.write_bytes(b"".join(_encode_line(dump_json(record)) for record in records))


@contextmanager
def atomic_file(file: Path) -> Iterator[Path]:
    """A name to write to, which becomes `file` when all is written.

    It is nobody else's: the sessions of a dashboard are threads of one process, and may save the same file at once.
    """
    partial = file.with_name(f"{file.name}.{secrets.token_hex(8)}.partial")
    try:
        yield partial
        replace_file(partial, file)
    finally:
        with suppress(OSError):
            partial.unlink()


def last_modified(folder: Path, *names: str) -> float:
    """When one of the files of those names was last written, in seconds since 1970; 0 where there is none of them.

    They may be replaced while this looks.
    """
    times = [0.0]
    for name in names:
        with suppress(OSError):
            times.append((folder / name).stat().st_mtime)
    return max(times)


def replace_file(new_file: Path, file: Path) -> None:
    """Rename over `file`; on Windows that waits for a reader who has it open for a moment.

    The content is on the disk before, and the name after it: a file that is renamed first may be empty after a power
    cut. Folders too, where `file` is none yet.

    Raises:
        PermissionError: the reader does not let go, or the folder's permissions forbid it.
        OSError: the disk is full.
    """
    flush(new_file)
    for _ in range(20):
        try:
            new_file.replace(file)
            break
        except PermissionError:
            time.sleep(0.05)
    else:
        new_file.replace(file)
    _flush_one(file.parent)


def flush(path: Path) -> None:
    """Bring a file, or a folder with all that is in it, onto the disk (fsync).

    Raises:
        OSError: the disk is full.
    """
    for item in sorted(path.rglob("*"), reverse=True) if path.is_dir() else ():
        _flush_one(item)
    _flush_one(path)


def _flush_one(path: Path) -> None:
    if path.is_dir() and os.name == "nt":  # Windows has no way to flush a folder, and does it with the file
        return
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR  # Windows flushes only what is open for writing
    try:
        descriptor = os.open(path, flags)
    except PermissionError:  # a file that this account may not write to was not written by it
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _encode_line(line: str) -> bytes:
    """A line in UTF-8; the bytes of file names that are no characters become JSON's own escapes."""
    return (line + "\n").encode("utf-8", "backslashreplace")
