"""Background jobs: start, watch and stop a subprocess, tracked by a file lock.

A job is a folder. Its process outlives the browser tab and the server, and holds the lock, so that a process that died
never looks alive:

    job.json        `JobNote`: status, title, details, error
    job.lock        held by the process as long as it lives
    stop            asks the process to stop
    history.jsonl   the records that the process emits
    log.txt         the output of the process
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from xrai.core.errors import JobError, XraiError, system_reason
from xrai.core.json_files import (
    HISTORY_FILE,
    JOB_FILE,
    append_record,
    flush,
    is_file,
    list_folder,
    read_records,
    write_json,
)
from xrai.core.language import say
from xrai.core.language.field import MessageField
from xrai.core.paths import PROJECT_DIR, home_dir
from xrai.core.records import Record

Status = Literal["none", "starting", "running", "done", "stopped", "failed", "interrupted"]

LOCK_FILE, STOP_FILE, LOG_FILE = "job.lock", "stop", "log.txt"
_WINDOWS_FLAGS = 0x0000_0200 | 0x0800_0000 | 0x0000_4000
"""CREATE_NEW_PROCESS_GROUP, CREATE_NO_WINDOW, BELOW_NORMAL_PRIORITY_CLASS: `subprocess` names them on Windows only."""

NICENESS = 10
"""Jobs run at a lower priority than the dashboard, so that readings stay quick during a training."""

ACTIVE_STATUSES: tuple[Status, ...] = ("starting", "running")
"""A process works on the job, or is starting."""

START_SECONDS = 60
"""A process that has not taken the lock after this time counts as dead."""


class JobDetails(Record):
    """What a job works on, for pages.

    Attributes:
        arguments: of the command line, which start it again.
        reads: file of the dataset that it reads, if that must not be deleted meanwhile.
        writes: file that it makes; a process that is killed leaves a `.partial` of it behind.
        sweep: name of the sweep that it belongs to.
    """

    arguments: tuple[str, ...] = ()
    reads: str = ""
    writes: str = ""
    sweep: str = ""


class JobNote(Record):
    """The contents of `job.json`.

    Attributes:
        status: when the note was written.
        title: for people.
        details: what the job works on.
        error: the sentence of a failed job, else "".
        time: when the job was started, in seconds since 1970.
        pid: of its process.
    """

    status: Status = "none"
    title: MessageField = ""
    details: JobDetails = JobDetails()
    error: MessageField = ""
    time: float = 0
    pid: int | None = None

    @property
    def may_start(self) -> bool:
        """Whether the process is starting and may still take the lock; not where the clock went back since."""
        return self.status == "starting" and abs(time.time() - self.time) < START_SECONDS


@dataclass(frozen=True)
class Job:
    """Handle of the job in a folder, for other processes."""

    folder: Path

    @property
    def status(self) -> Status:
        """The current status, from the lock and the note."""
        if self._is_locked():
            return "running"
        note = self._read_note()
        if note.status == "running":
            if self._is_locked():  # it started between the two checks
                return "running"
            note = self._read_note()  # or it ended
        if note.status == "starting":
            return "starting" if note.may_start else "interrupted"
        return "interrupted" if note.status == "running" else note.status

    @property
    def is_active(self) -> bool:
        """Whether a process works on it or is starting."""
        return self.status in ACTIVE_STATUSES

    @property
    def error(self) -> str:
        """The sentence of a failed job, else ""."""
        return self._read_note().error

    @property
    def title(self) -> str:
        """For people."""
        return self._read_note().title or self.folder.name

    @property
    def details(self) -> JobDetails:
        """What it works on."""
        return self._read_note().details

    @property
    def is_stopping(self) -> bool:
        """Whether it was asked to stop and still runs."""
        return is_file(self.folder / STOP_FILE) and self.is_active

    def records(self) -> list[dict[str, Any]]:
        """The records that it emitted, oldest first; each has a `kind`."""
        return [record for record in read_records(self.folder / HISTORY_FILE) if isinstance(record.get("kind"), str)]

    def log(self, n_lines: int = 200) -> str:
        """The last lines of its output."""
        file = self.folder / LOG_FILE
        with suppress(OSError):
            return "\n".join(file.read_text(encoding="utf-8", errors="replace").splitlines()[-n_lines:])
        return ""

    def stop(self) -> None:
        """Ask it to stop; returns at once.

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

    def _read_note(self) -> JobNote:
        """The note; an empty one where it is missing or damaged."""
        try:
            return JobNote.from_dict(json.loads((self.folder / JOB_FILE).read_text(encoding="utf-8")))
        except (OSError, ValueError, RecursionError):
            return JobNote()

    def _write_note(self, note: JobNote) -> None:
        write_json(self.folder / JOB_FILE, note.to_dict())

    def _is_locked(self) -> bool:
        """Several attempts, since another watcher may hold the lock while it polls."""
        if not is_file(self.folder / LOCK_FILE):
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


def start(arguments: Sequence[str], folder: Path, *, title: str, details: JobDetails | None = None) -> Job:
    """Run `python -m xrai ARGUMENTS` as a process of its own, with the job in `folder`.

    Raises:
        JobError: a job runs there already, or the process cannot be started.
    """
    job = Job(folder)
    details = (details or JobDetails()).model_copy(update={"arguments": tuple(map(str, arguments))})
    note = JobNote(status="starting", time=time.time(), title=title, details=details)
    _prepare_folder(job, note)
    try:
        process = _spawn_process(arguments, folder)
    except OSError as error:
        sentence = say(
            "The work could not be started ({strerror}): close other programs and try again.",
            strerror=system_reason(error),
        )
        with suppress(OSError):
            job._write_note(note.model_copy(update={"status": "failed", "error": sentence}))
        raise JobError(sentence) from error
    threading.Thread(target=_reap_process, args=(process, job, note), daemon=True).start()
    return job


def discard(job: Job) -> None:
    """Delete the folder of a job that has ended, and the partial file that a killed process left behind.

    Raises:
        JobError: it is running.
    """
    if job.is_active:
        raise _already_running_error(job.title)
    if output := job.details.writes:
        with suppress(OSError):
            Path(f"{output}.partial").unlink(missing_ok=True)
    shutil.rmtree(job.folder, ignore_errors=True)


def list_active(folder: Path) -> list[Job]:
    """The active jobs in the folders directly below `folder`."""
    return [job for job in map(Job, list_folder(folder)) if is_file(job.folder / JOB_FILE) and job.is_active]


class JobContext:
    """The job of a folder, for the process that works on it.

    Attributes:
        has_signal: whether SIGINT or SIGTERM asked for a stop.
        has_stop_request: whether the work has been asked to stop.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.has_signal = False
        self.has_stop_request = False

    def emit(self, record: Mapping[str, Any]) -> None:
        """Add a record to the job's history."""
        append_record(self.folder / HISTORY_FILE, record)

    def emitter(self, show: Callable[[Any], None]) -> Callable[[Any], None]:
        """A callback that stores a record and then shows it, such as on the terminal, which may be gone."""

        def emit(record: Any) -> None:
            self.emit(record)
            with suppress(OSError):
                show(record)

        return emit

    def should_stop(self) -> bool:
        """Whether the work shall stop."""
        self.has_stop_request = self.has_stop_request or self.has_signal or (self.folder / STOP_FILE).exists()
        return self.has_stop_request


@contextmanager
def run_job(folder: Path, *, title: str, fresh: bool = False) -> Iterator[JobContext]:
    """Hold the lock of a folder's job within the block, and note how it ended.

    The job is done when the block returns, or stopped if that was requested; an exception makes it failed. SIGINT and
    SIGTERM request a stop; a second SIGINT raises KeyboardInterrupt.

    Args:
        folder: of the job.
        title: for people.
        fresh: delete the history of an earlier run.

    Raises:
        JobError: another process works on it, or the folder cannot be written to.
    """
    lock = _acquire_lock(folder, title)
    job = JobContext(folder)
    note = Job(folder)._read_note()
    try:
        if note.status != "starting":  # a stop request of an earlier process that died
            (folder / STOP_FILE).unlink(missing_ok=True)
        if fresh:
            (folder / HISTORY_FILE).unlink(missing_ok=True)
        note = note.model_copy(update={"title": title, "pid": os.getpid(), "time": time.time(), "error": ""})
        with _note_outcome(job, note), _stop_on_signals(job):
            yield job
    finally:
        with suppress(OSError):
            (folder / STOP_FILE).unlink(missing_ok=True)
        lock.release()


def _acquire_lock(folder: Path, title: str) -> FileLock:
    lock = FileLock(folder / LOCK_FILE, timeout=2)  # watchers hold it for a moment while they poll
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise _already_running_error(title) from error
    except OSError as error:
        raise _write_error(say("“{title}” could not be started", title=title), folder, error) from error
    return lock


@contextmanager
def _note_outcome(job: JobContext, note: JobNote) -> Iterator[None]:
    def write_status(status: Status, error: str = "") -> None:
        with suppress(OSError):  # the note that it is done must not outlive what it is about
            flush(job.folder / HISTORY_FILE)
        with suppress(OSError):  # on a full disk the note stays “running”, which without the lock means interrupted
            Job(job.folder)._write_note(note.model_copy(update={"status": status, "error": error}))

    try:
        write_status("running")
        yield
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


@contextmanager
def _stop_on_signals(job: JobContext) -> Iterator[None]:
    """Let SIGINT and SIGTERM request a stop, where this is the main thread and no other handler is set."""

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


def _prepare_folder(job: Job, note: JobNote) -> None:
    """Write the note of a job that is about to start; of two that start at once, the second is refused."""
    folder = job.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / LOCK_FILE, timeout=1):
            if job._read_note().may_start:
                raise _already_running_error(job.title)
            (folder / STOP_FILE).unlink(missing_ok=True)
            job._write_note(note)
    except Timeout as error:
        raise _already_running_error(job.title) from error
    except OSError as error:
        raise _write_error(say("“{title}” could not be started", title=note.title), folder, error) from error


def _spawn_process(arguments: Sequence[str], folder: Path) -> subprocess.Popen[Any]:
    options: dict[str, Any] = (
        {"creationflags": _WINDOWS_FLAGS} if sys.platform == "win32" else {"start_new_session": True}
    )
    with (folder / LOG_FILE).open("wb") as log:  # truncated: its last line must not be that of an earlier run
        process = subprocess.Popen(
            [sys.executable, "-m", "xrai", *arguments],
            cwd=PROJECT_DIR,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", "XRAI_HOME": str(home_dir())},
            **options,
        )
    _lower_priority(process)
    return process


def _lower_priority(process: subprocess.Popen[Any]) -> None:
    """Set `NICENESS` where the system has it; the jobs that a job starts get the same, not more."""
    if sys.platform != "win32":
        with suppress(OSError):  # the process may have ended
            os.setpriority(os.PRIO_PROCESS, process.pid, max(os.getpriority(os.PRIO_PROCESS, 0), NICENESS))


def _already_running_error(title: str) -> JobError:
    return JobError("“{title}” is already running: wait until it is done, or stop it first.", title=title)


def _write_error(what: str, folder: Path, error: OSError) -> JobError:
    return JobError(
        "{what} because the folder {folder} cannot be written to ({strerror}): "
        "free some disk space, or check its permissions.",
        what=what,
        folder=folder,
        strerror=system_reason(error),
    )


def _reap_process(process: subprocess.Popen[Any], job: Job, note: JobNote) -> None:
    """Wait for the process; one that died before it took the lock is noted as failed."""
    if not process.wait():
        return
    with suppress(OSError), FileLock(job.folder / LOCK_FILE, timeout=1):
        if job._read_note() == note:  # and not the note of a later process
            last_line = job.log(1).strip().removeprefix("error: ")
            error = last_line or say("The work could not be started.")
            job._write_note(note.model_copy(update={"status": "failed", "error": error}))
