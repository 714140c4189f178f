"""Small JSON files: documents that are replaced whole, and logs that grow by a line per record.

Messages in them are stored as their template and values, and read back as messages.
"""

from __future__ import annotations

import os
import secrets
import sys
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
    """The records of a log, oldest first, without lines cut short by a kill; none of a file that cannot be read."""
    if not is_file(file):
        return []
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:  # closed to this account
        return []
    records = []
    for line in lines:
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
    """A name to write to, which becomes `file` when all is written and on the disk.

    It is nobody else's: the sessions of a dashboard are threads of one process, and may save the same file at once.
    """
    partial = file.with_name(f"{file.name}.{secrets.token_hex(8)}.partial")
    try:
        yield partial
        flush(partial)
        replace_file(partial, file)
    finally:
        with suppress(OSError):
            partial.unlink()


def is_file(path: Path) -> bool:
    """Whether there is a file; no where its folder is closed to this account or a link leads nowhere."""
    with suppress(OSError):
        return path.is_file()
    return False


def list_folder(folder: Path) -> list[Path]:
    """What lies in a folder, by name; nothing where there is none or it is closed to this account."""
    with suppress(OSError):
        return sorted(folder.iterdir())
    return []


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
    """Rename over `file`, durably; on Windows that waits for a reader who has it open for a moment.

    Folders too, where `file` is none yet. What is renamed must be flushed first: see `flush`, `flush_tree`.

    Raises:
        PermissionError: the reader does not let go, or the folder's permissions forbid it.
    """
    _rename(new_file, file)
    for folder in {file.parent, new_file.parent}:
        flush(folder)


def flush(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk (fsync): a power cut keeps it then.

    Windows cannot flush a folder, nor can some network drives: there that does nothing.

    Raises:
        OSError: of a file, the disk is full or broken.
    """
    if path.is_dir():
        if sys.platform != "win32":
            with suppress(OSError):
                _fsync(path, os.O_RDONLY)
    else:
        _fsync(path, os.O_RDWR | getattr(os, "O_BINARY", 0))


def flush_tree(folder: Path) -> None:
    """Flush a folder with all that is in it.

    Raises:
        OSError: the disk is full or broken.
    """
    for path in (*folder.rglob("*"), folder):
        flush(path)


def _fsync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rename(new_file: Path, file: Path) -> None:
    for _ in range(20):
        try:
            new_file.replace(file)
            return
        except PermissionError:
            time.sleep(0.05)
    new_file.replace(file)


def _encode_line(line: str) -> bytes:
    """A line in UTF-8; the bytes of file names that are no characters become JSON's own escapes."""
    return (line + "\n").encode("utf-8", "backslashreplace")
