"""A verb running as a process of its own, which outlives the browser tab and the server: start, watch, stop.

A job is a folder. Whoever holds the lock in it is running, so a process that died can never look alive:

    job.json        status, title, arguments, the sentence of an error
    job.lock        held by the process for as long as it lives
    stop            asks the process to stop at the next chance
    history.jsonl   the records that the process emits
    log.txt         what it prints
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from xrai.errors import JobError, XraiError
from xrai.records import append_record, read_records, write_json
from xrai.settings import PROJECT

Status = Literal["none", "starting", "running", "done", "stopped", "failed", "interrupted"]

JOB, LOCK, STOP, HISTORY, LOG = "job.json", "job.lock", "stop", "history.jsonl", "log.txt"
START_SECONDS = 60
"""A process that has not come to life after so long is taken for dead."""


@dataclass(frozen=True)
class Job:
    """The job of a folder, seen from outside."""

    folder: Path

    @property
    def status(self) -> Status:
        """How it stands, from the lock and from what the process wrote last."""
        if self._is_locked():
            return "running"
        noted = self._noted()
        status = noted.get("status", "none")
        if status == "starting":
            return "starting" if time.time() - float(noted.get("time", 0)) < START_SECONDS else "interrupted"
        return "interrupted" if status == "running" else status

    @property
    def is_active(self) -> bool:
        """Whether a process works on it or is about to."""
        return self.status in ("starting", "running")

    @property
    def error(self) -> str:
        """The sentence that a failed job ended with, else nothing."""
        return str(self._noted().get("error", ""))

    @property
    def title(self) -> str:
        """What the job is, for people."""
        return str(self._noted().get("title", self.folder.name))

    @property
    def details(self) -> dict[str, Any]:
        """What whoever started it noted down."""
        return dict(self._noted().get("details", {}))

    @property
    def is_stopping(self) -> bool:
        """Whether it was asked to stop and has not yet."""
        return (self.folder / STOP).exists() and self.is_active

    def records(self) -> list[dict[str, Any]]:
        """Everything that it emitted so far, oldest first."""
        return read_records(self.folder / HISTORY)

    def log(self, n_lines: int = 200) -> str:
        """The end of what it printed."""
        file = self.folder / LOG
        if not file.is_file():
            return ""
        return "\n".join(file.read_text(encoding="utf-8", errors="replace").splitlines()[-n_lines:])

    def stop(self) -> None:
        """Ask it to stop at the next chance; returns at once."""
        if self.is_active:
            (self.folder / STOP).touch()

    def _noted(self) -> dict[str, Any]:
        try:
            noted = json.loads((self.folder / JOB).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return noted if isinstance(noted, dict) else {}

    def _is_locked(self) -> bool:
        """Several looks, since another watcher may hold the lock for the blink of its own look."""
        if not (self.folder / LOCK).exists():
            return False
        for _ in range(3):
            try:
                with FileLock(self.folder / LOCK, timeout=0):
                    return False
            except Timeout:
                time.sleep(0.02)
            except OSError:
                return False  # a folder that cannot be written to runs nothing
        return True


def start(arguments: Sequence[str], folder: Path, *, title: str, details: Mapping[str, Any] | None = None) -> Job:
    """Run `python -m xrai ARGUMENTS` as a process of its own, with the job in `folder`.

    Raises:
        JobError: a job is running there already, or the process cannot be started.
    """
    job = Job(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if job.is_active:
        raise JobError(f"“{job.title}” is already running: wait until it is done, or stop it first.")
    (folder / STOP).unlink(missing_ok=True)
    noted = {"status": "starting", "time": time.time(), "title": title, "details": dict(details or {})}
    write_json(folder / JOB, noted)
    own_group: dict[str, Any] = (
        {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}  # type: ignore[attr-defined]
        if sys.platform == "win32"
        else {"start_new_session": True}
    )
    with (folder / LOG).open("ab") as log:
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "xrai", *arguments],
                cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}, **own_group,
            )  # fmt: skip
        except OSError as error:
            write_json(folder / JOB, noted | {"status": "failed", "error": str(error)})
            raise JobError(f"The work could not be started ({error}): close other programs and try again.") from error
    threading.Thread(target=_watch, args=(process, job), daemon=True).start()
    return job


class Running:
    """The job of a folder, seen from the process that works on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def emit(self, record: Mapping[str, Any]) -> None:
        """Add a record to the job's history."""
        append_record(self.folder / HISTORY, record)

    def should_stop(self) -> bool:
        """Whether somebody asked for a stop."""
        return (self.folder / STOP).exists()


@contextmanager
def running(folder: Path, *, title: str) -> Iterator[Running]:
    """Be the process that works on the folder's job, and leave behind how it ended.

    A body that returns is done, or stopped if a stop was asked for; a stated error makes the job failed with
    its sentence; Ctrl-C is a stop.

    Raises:
        JobError: another process works on it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=5)
    try:
        lock.acquire()
    except Timeout as error:
        raise JobError(f"“{title}” is already running: wait until it is done, or stop it first.") from error
    noted = Job(folder)._noted() | {"title": title, "pid": os.getpid(), "time": time.time(), "error": ""}

    def note(status: Status, error: str = "") -> None:
        with suppress(OSError):  # on a full disk the note stays “running”, which without the lock reads as interrupted
            write_json(folder / JOB, noted | {"status": status, "error": error})

    try:
        note("running")
        yield Running(folder)
        note("stopped" if (folder / STOP).exists() else "done")
    except KeyboardInterrupt:
        note("stopped")
        raise
    except XraiError as error:
        note("failed", str(error))
        raise
    except BaseException:
        note("failed", "The work broke off for a reason that XRAI does not know: see its log, and start it again.")
        raise
    finally:
        (folder / STOP).unlink(missing_ok=True)
        lock.release()


def _watch(process: subprocess.Popen[bytes], job: Job) -> None:
    """Reap the process; one that died before it could say so would else look as if it were starting."""
    code = process.wait()
    noted = job._noted()
    if code and noted.get("status") == "starting":
        lines = job.log(1).strip()
        write_json(job.folder / JOB, noted | {"status": "failed", "error": lines or "The work could not be started."})
