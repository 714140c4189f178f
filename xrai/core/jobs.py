"""A verb running as a process of its own, which outlives the browser tab and the server: start, watch, stop.

A job is a folder. Whoever holds the lock in it is running, so a process that died can never look alive:

    job.json        status, title, arguments, the sentence of an error
    job.lock        held by the process for as long as it lives
    stop            asks the process to stop at the next chance
    history.jsonl   the records that the process emits
    log.txt         what it prints
"""

from __future__ import annotations

import os
import signal
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

from xrai.core.errors import JobError, XraiError, system_reason
from xrai.core.json_files import HISTORY_FILE, JOB_FILE, append_record, read_records, write_json
from xrai.core.language import load_json, say
from xrai.core.paths import PROJECT_DIR, home_dir

Status = Literal["none", "starting", "running", "done", "stopped", "failed", "interrupted"]

LOCK_FILE, STOP_FILE, LOG_FILE = "job.lock", "stop", "log.txt"
_WINDOWS_FLAGS = 0x0000_0200 | 0x0800_0000 | 0x0000_4000
"""CREATE_NEW_PROCESS_GROUP, CREATE_NO_WINDOW, BELOW_NORMAL_PRIORITY_CLASS: `subprocess` names them on Windows only."""

NICENESS = 10
"""Jobs that a page starts give way to the dashboard, so that readings stay quick while a training runs."""

ACTIVE_STATUSES: tuple[Status, ...] = ("starting", "running")
"""A process works on it, or is about to."""

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
        state = self._read_state()
        if state.get("status") == "running":
            if self._is_locked():  # it came to life between the two looks
                return "running"
            state = self._read_state()  # or to its end
        if state.get("status") == "starting":
            return "starting" if _is_fresh(state) else "interrupted"
        end_statuses: dict[Any, Status] = {
            "running": "interrupted", "done": "done", "stopped": "stopped", "failed": "failed",
        }  # fmt: skip
        return end_statuses.get(str(state.get("status")), "none")

    @property
    def is_active(self) -> bool:
        """Whether a process works on it or is about to."""
        return self.status in ACTIVE_STATUSES

    @property
    def error(self) -> str:
        """The sentence that a failed job ended with, else nothing."""
        return _text(self._read_state().get("error", ""))

    @property
    def title(self) -> str:
        """What the job is, for people."""
        return _text(self._read_state().get("title", self.folder.name))

    @property
    def details(self) -> dict[str, Any]:
        """What whoever started it noted down."""
        details = self._read_state().get("details")
        return details if isinstance(details, dict) else {}

    @property
    def is_stopping(self) -> bool:
        """Whether it was asked to stop and has not yet."""
        return (self.folder / STOP_FILE).exists() and self.is_active

    def records(self) -> list[dict[str, Any]]:
        """Everything that it emitted so far, oldest first: each has its `kind`."""
        return [record for record in read_records(self.folder / HISTORY_FILE) if isinstance(record.get("kind"), str)]

    def log(self, n_lines: int = 200) -> str:
        """The end of what it printed."""
        file = self.folder / LOG_FILE
        if not file.is_file():
            return ""
        return "\n".join(file.read_text(encoding="utf-8", errors="replace").splitlines()[-n_lines:])

    def stop(self) -> None:
        """Ask it to stop at the next chance; returns at once.

        Raises:
            JobError: the folder cannot be written to.
        """
        if self.is_active:
            try:
                (self.folder / STOP_FILE).touch()
            except OSError as error:
                raise _write_error(
                    say("“{title}” cannot be told to stop", title=self.title), self.folder, error
                ) from error

    def _read_state(self) -> dict[str, Any]:
        try:
            state = load_json((self.folder / JOB_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return state if isinstance(state, dict) else {}

    def _is_locked(self) -> bool:
        """Several looks, since another watcher may hold the lock for the blink of its own look."""
        if not (self.folder / LOCK_FILE).exists():
            return False
        for _ in range(3):
            try:
                with FileLock(self.folder / LOCK_FILE, timeout=0):
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
    state = {"status": "starting", "time": time.time(), "title": title, "details": dict(details or {})}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / LOCK_FILE, timeout=1):  # of two who start at once, the second finds what the first noted
            previous = job._read_state()
            if previous.get("status") == "starting" and _is_fresh(previous):
                raise _already_running_error(job.title)
            (folder / STOP_FILE).unlink(missing_ok=True)
            write_json(folder / JOB_FILE, state)
    except Timeout as error:
        raise _already_running_error(job.title) from error
    except OSError as error:
        raise _write_error(say("“{title}” could not be started", title=title), folder, error) from error
    popen_options: dict[str, Any] = (
        {"creationflags": _WINDOWS_FLAGS} if sys.platform == "win32" else {"start_new_session": True}
    )
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", "XRAI_HOME": str(home_dir())}
    try:
        with (folder / LOG_FILE).open("wb") as log:  # its last line must not be that of an older run
            process = subprocess.Popen(
                [sys.executable, "-m", "xrai", *arguments],
                cwd=PROJECT_DIR, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, **popen_options,
            )  # fmt: skip
        if sys.platform != "win32":
            with suppress(OSError):  # it may be over already
                # what a job starts, such as a sweep its runs, gives way no more than the job itself
                os.setpriority(os.PRIO_PROCESS, process.pid, max(os.getpriority(os.PRIO_PROCESS, 0), NICENESS))
    except OSError as error:
        sentence = say(
            "The work could not be started ({strerror}): close other programs and try again.",
            strerror=system_reason(error),
        )
        with suppress(OSError):
            write_json(folder / JOB_FILE, state | {"status": "failed", "error": sentence})
        raise JobError(sentence) from error
    threading.Thread(target=_reap_process, args=(process, job, state), daemon=True).start()
    return job


def list_active(folder: Path) -> list[Job]:
    """The jobs in the folders below `folder` that a process works on."""
    if not folder.is_dir():
        return []
    return [job for job in map(Job, sorted(folder.iterdir())) if (job.folder / JOB_FILE).is_file() and job.is_active]


class JobContext:
    """The job of a folder, seen from the process that works on it.

    Attributes:
        has_signal: whether Ctrl-C or a polite kill asked for a stop.
        has_stop_request: whether the work was told to stop.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.has_signal = False
        self.has_stop_request = False

    def emit(self, record: Mapping[str, Any]) -> None:
        """Add a record to the job's history."""
        append_record(self.folder / HISTORY_FILE, record)

    def should_stop(self) -> bool:
        """Whether somebody asked for a stop."""
        self.has_stop_request = self.has_stop_request or self.has_signal or (self.folder / STOP_FILE).exists()
        return self.has_stop_request


@contextmanager
def run_job(folder: Path, *, title: str, fresh: bool = False) -> Iterator[JobContext]:
    """Be the process that works on the folder's job, and leave behind how it ended.

    A body that returns is done, or stopped if it was told to; a stated error makes the job failed with its sentence.
    Ctrl-C and a polite kill ask for a stop as the button does; a second Ctrl-C breaks off at once.
    A fresh job starts with an empty history; else its records follow those of earlier processes.

    Raises:
        JobError: another process works on it, or the folder cannot be written to.
    """
    lock = FileLock(folder / LOCK_FILE, timeout=2)  # others may hold it for the blink of a look
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise _already_running_error(title) from error
    except OSError as error:
        raise _write_error(say("“{title}” could not be started", title=title), folder, error) from error
    previous = Job(folder)._read_state()
    state = previous | {"title": title, "pid": os.getpid(), "time": time.time(), "error": ""}

    def write_status(status: Status, error: str = "") -> None:
        with suppress(OSError):  # on a full disk the note stays “running”, which without the lock reads as interrupted
            write_json(folder / JOB_FILE, state | {"status": status, "error": error})

    job = JobContext(folder)
    try:
        if previous.get("status") != "starting":  # what asked an earlier process to stop, which died, is not for us
            (folder / STOP_FILE).unlink(missing_ok=True)
        if fresh:
            (folder / HISTORY_FILE).unlink(missing_ok=True)
        write_status("running")
        with _stop_on_signals(job):
            yield job
        write_status("stopped" if job.has_stop_request else "done")
    except KeyboardInterrupt:
        write_status("stopped")
        raise
    except XraiError as error:
        write_status("failed", error.message)
        raise
    except MemoryError:
        write_status(
            "failed", say("The work does not fit into this machine's memory: close other programs and start it again.")
        )
        raise
    except BaseException:
        write_status(
            "failed", say("The work broke off for a reason that XRAI does not know: see its log, and start it again.")
        )
        raise
    finally:
        with suppress(OSError):
            (folder / STOP_FILE).unlink(missing_ok=True)
        lock.release()


@contextmanager
def _stop_on_signals(job: JobContext) -> Iterator[None]:
    """Let Ctrl-C and a polite kill ask for a stop; only the main thread can, and only what is not handled yet."""

    def request_stop(number: int, frame: object) -> None:
        if job.has_signal:
            raise KeyboardInterrupt
        job.has_signal = True
        with suppress(OSError):
            (job.folder / STOP_FILE).touch()  # for whoever watches
            os.write(2, b"stopping at the next chance; once more breaks off at once\n")  # print may be half way itself

    previous_handlers: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                previous_handlers[number] = signal.signal(number, request_stop)
    try:
        yield
    finally:
        for number, handler in previous_handlers.items():
            signal.signal(number, handler)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _is_fresh(state: Mapping[str, Any]) -> bool:
    """Whether a process that is starting may still come to life."""
    timestamp = state.get("time")
    return isinstance(timestamp, int | float) and time.time() - timestamp < START_SECONDS


def _already_running_error(title: str) -> JobError:
    return JobError("“{title}” is already running: wait until it is done, or stop it first.", title=title)


def _write_error(what: str, folder: Path, error: OSError) -> JobError:
    return JobError(
        "{what} because the folder {folder} cannot be written to ({strerror}): "
        "free some disk space, or check its rights.",
        what=what,
        folder=folder,
        strerror=system_reason(error),
    )


def _reap_process(process: subprocess.Popen[bytes], job: Job, start_state: Mapping[str, Any]) -> None:
    """Reap the process; one that died before it could say so would else look as if it were starting."""
    if not process.wait():
        return
    with suppress(OSError), FileLock(job.folder / LOCK_FILE, timeout=1):
        if job._read_state() == start_state:  # and not what was noted for a process after it
            last_line = job.log(1).strip().removeprefix("error: ")
            failure = {"status": "failed", "error": last_line or say("The work could not be started.")}
            write_json(job.folder / JOB_FILE, {**start_state, **failure})
