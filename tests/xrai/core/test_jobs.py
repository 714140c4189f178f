import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from xrai.core import jobs
from xrai.core.errors import DatasetError, JobError
from xrai.core.jobs import HISTORY_FILE, JOB_FILE, LOCK_FILE, LOG_FILE, STOP_FILE, Job, JobDetails
from xrai.core.json_files import write_json
from xrai.data.jobs import build_folder, download_folder

PROJECT = jobs.PROJECT_DIR

WORKER = f"""
import os, sys, time
sys.modules.pop("xrai")  # this stand-in for the command line, to make place for the real package
sys.path[0] = {str(PROJECT)!r}
from pathlib import Path
from xrai.core import jobs
from xrai.core.errors import DatasetError

what, folder, *rest = sys.argv[1:]
if what == "die at once":
    print("error: the words of a dying process")
    sys.exit(1)
if what == "die silently":
    sys.exit(1)
try:
    with jobs.run_job(Path(folder), title="the work") as job:
        job.emit({{"kind": "start", "home": os.environ.get("XRAI_HOME"), "rest": rest}})
        print("hello from the work", flush=True)
        if what == "work":
            while not job.should_stop():
                time.sleep(0.01)
        elif what == "be deaf":
            time.sleep(60)
        elif what == "fail":
            raise DatasetError("The disk is full: free some space.")
        elif what == "break":
            raise ZeroDivisionError
        job.emit({{"kind": "end"}})
except DatasetError:
    sys.exit(1)
"""


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """A light stand-in for `python -m xrai`, in a folder with a space and an umlaut, that obeys one word."""
    place = tmp_path / "Ärzte haus"
    (place / "xrai").mkdir(parents=True)
    (place / "xrai" / "__init__.py").touch()
    (place / "xrai" / "__main__.py").write_text(WORKER, encoding="utf-8")
    monkeypatch.setattr(jobs, "PROJECT_DIR", place)
    monkeypatch.setenv("XRAI_HOME", str(tmp_path))
    started = []

    def start(what, folder=None, *rest, **named):
        folder = folder or tmp_path / "jobs" / "Mäuse 1"
        started.append(jobs.start([what, str(folder), *rest], folder, title="the work", **named))
        return started[-1]

    yield start
    for job in started:
        if (pid := noted(job).get("pid")) not in (None, os.getpid()) and is_alive(pid):
            os.kill(pid, signal.SIGKILL)


def noted(job):
    try:
        return json.loads((job.folder / JOB_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(condition, seconds=600):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.01)


def wait_until(job, *statuses):
    wait_for(lambda: job.status in statuses or job.status not in ("starting", "running"))
    assert job.status in statuses, (job.status, job.error, job.log())


# --- from outside -----------------------------------------------------------------------------------------------------


def test_a_folder_without_a_job(tmp_path):
    job = Job(tmp_path / "nothing")
    assert (job.status, job.is_active, job.is_stopping) == ("none", False, False)
    assert (job.error, job.title, job.details, job.records(), job.log()) == ("", "nothing", JobDetails(), [], "")
    job.stop()
    assert not job.folder.exists()


def test_start_watch_stop(worker):
    job = worker("work", details=JobDetails(reads="d"))
    assert job.status in ("starting", "running")
    wait_for(job.records)
    assert (job.status, job.is_active, job.is_stopping) == ("running", True, False)
    assert (job.title, job.details) == ("the work", JobDetails(reads="d", arguments=("work", str(job.folder))))
    job.stop()
    wait_until(job, "stopped")
    assert not (job.folder / STOP_FILE).exists()
    assert [item["kind"] for item in job.records()] == ["start", "end"]
    assert "hello from the work" in job.log()
    assert job.error == ""


def test_a_job_that_is_done(worker):
    job = worker("finish")
    wait_until(job, "done")
    assert not job.is_active
    wait_until(worker("finish"), "done")  # again


def test_a_job_that_fails_leaves_its_sentence(worker):
    job = worker("fail")
    wait_until(job, "failed")
    assert job.error == "The disk is full: free some space."


def test_a_job_that_breaks_says_that_there_is_a_log(worker):
    job = worker("break")
    wait_until(job, "failed")
    assert "see its log" in job.error
    assert "ZeroDivisionError" in job.log()


def test_a_process_that_dies_before_it_comes_to_life(worker):
    job = worker("die at once")
    wait_until(job, "failed")
    assert job.error == "the words of a dying process"


def test_a_new_start_forgets_the_error_before(worker):
    wait_until(worker("fail"), "failed")
    job = worker("finish")
    wait_until(job, "done")
    assert job.error == ""


def test_a_killed_process_is_interrupted(worker):
    job = worker("be deaf")
    wait_for(job.records)
    os.kill(noted(job)["pid"], signal.SIGKILL)
    wait_until(job, "interrupted")
    assert noted(job)["status"] == "running"  # what it wrote last is not believed
    assert not job.is_active
    wait_until(worker("finish"), "done")


def test_what_asked_a_killed_process_to_stop_does_not_stop_the_next(worker, tmp_path):
    job = worker("be deaf")
    wait_for(job.records)
    job.stop()
    assert job.is_stopping
    os.kill(noted(job)["pid"], signal.SIGKILL)
    wait_until(job, "interrupted")
    assert not job.is_stopping
    with jobs.run_job(job.folder, title="by hand") as mine:
        assert not mine.should_stop()
    assert job.status == "done"


def test_stopped_before_it_came_to_life(worker):
    job = worker("work")
    job.stop()
    wait_until(job, "stopped")


@pytest.mark.skipif(os.name == "nt", reason="Windows has priority classes instead")
def test_a_job_gives_way_to_the_dashboard(worker):
    job = worker("work")
    wait_for(job.records)
    assert os.getpriority(os.PRIO_PROCESS, noted(job)["pid"]) == max(os.getpriority(os.PRIO_PROCESS, 0), 10)
    job.stop()
    wait_until(job, "stopped")


@pytest.mark.skipif(os.name == "nt", reason="Windows has priority classes instead")
@pytest.mark.parametrize(("own", "given"), [(0, 10), (10, 10), (15, 15)])
def test_niceness_does_not_add_up_from_job_to_job(worker, monkeypatch, own, given):
    """A sweep's runs gave way to every other program, since the sweep itself gives way already."""
    asked = []
    monkeypatch.setattr(os, "getpriority", lambda which, who: own)
    monkeypatch.setattr(os, "setpriority", lambda which, who, niceness: asked.append(niceness))
    wait_until(worker("pass"), "done")
    assert asked == [given]


def test_starting_twice_is_refused(worker):
    job = worker("work")
    with pytest.raises(JobError, match="“the work” is already running"):
        worker("work")
    wait_for(job.records)
    with pytest.raises(JobError, match="already running"):
        worker("work")
    job.stop()
    wait_until(job, "stopped")
    assert len([item for item in job.records() if item["kind"] == "start"]) == 1


def test_of_many_who_start_at_once_one_succeeds(worker):
    barrier = threading.Barrier(6)

    def start(_):
        barrier.wait()
        try:
            return worker("work")
        except JobError:
            return None

    with ThreadPoolExecutor(6) as pool:
        found = [job for job in pool.map(start, range(6)) if job]
    assert len(found) == 1
    wait_for(found[0].records)
    found[0].stop()
    wait_until(found[0], "stopped")
    assert len([item for item in found[0].records() if item["kind"] == "start"]) == 1


def test_of_two_processes_that_race_for_the_lock_one_works(worker, tmp_path):
    """As two command lines do, which nothing but the lock holds apart."""
    folder = tmp_path / "race"
    command = [sys.executable, "-m", "xrai", "be deaf", str(folder)]
    processes = [
        subprocess.Popen(command, cwd=jobs.PROJECT_DIR, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    wait_for(lambda: any(process.poll() is not None for process in processes))
    loser, winner = sorted(processes, key=lambda process: process.poll() is None)
    assert winner.poll() is None
    assert "JobError: “the work” is already running" in loser.communicate()[1]
    assert Job(folder).status == "running"
    winner.kill()
    winner.communicate()
    assert len(Job(folder).records()) == 1


def test_a_job_outlives_who_started_it(worker, tmp_path):
    """As it must outlive a browser tab and the server."""
    folder = tmp_path / "outlives"
    script = (
        f"import sys; sys.path.insert(0, {str(PROJECT)!r}); from pathlib import Path; from xrai.core import jobs\n"
        f"jobs.PROJECT_DIR = Path({str(jobs.PROJECT_DIR)!r})\n"
        f"jobs.start(['work', {str(folder)!r}], Path({str(folder)!r}), title='t')\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=600)
    job = Job(folder)
    wait_for(job.records)
    assert job.status == "running"
    assert os.getsid(noted(job)["pid"]) != os.getsid(0)  # closing the terminal does not reach it
    job.stop()
    wait_until(job, "stopped")


def test_no_zombie_is_left(worker):
    job = worker("finish")
    wait_until(job, "done")
    pid = noted(job)["pid"]
    wait_for(lambda: not is_alive(pid))  # a zombie would still answer


def test_many_watchers_never_see_it_dead_while_it_lives(worker):
    """Each look takes the lock for a blink, which must not look to another as if the job ran or had ended."""
    job, seen, over = worker("work"), set(), threading.Event()

    def watch():
        while not over.is_set():
            seen.add(Job(job.folder).status)

    watchers = [threading.Thread(target=watch) for _ in range(4)]
    for watcher in watchers:
        watcher.start()
    wait_for(job.records)
    time.sleep(0.3)
    over.set()
    for watcher in watchers:
        watcher.join()
    assert seen <= {"starting", "running"}
    job.stop()
    wait_until(job, "stopped")


@pytest.mark.parametrize(
    ("locked", "notes", "status"),
    [
        ([False, True], ["running"], "running"),  # it came to life between two looks
        ([False, False], ["running", "done"], "done"),  # it ended between two looks
        ([False, False], ["running", "running"], "interrupted"),
    ],
)
def test_a_job_that_changes_while_it_is_looked_at(tmp_path, locked, notes, status):
    class Changing(Job):  # the class itself is being asked by the watchers of jobs that other tests started
        def _is_locked(self):
            return next(locks)

        def _read_note(self):
            return jobs.JobNote(status=next(found))

    locks, found = iter(locked), iter(notes)
    assert Changing(tmp_path).status == status


def test_work_begins_although_others_look(worker):
    over = threading.Event()
    folder = worker("finish").folder
    watcher = threading.Thread(target=lambda: [Job(folder).status for _ in iter(over.is_set, True)])
    watcher.start()
    try:
        wait_until(Job(folder), "done")
        for _ in range(5):
            with jobs.run_job(folder, title="again"):
                pass
    finally:
        over.set()
        watcher.join()


def test_the_home_is_that_of_the_starter_also_where_it_is_named_from_here(worker, tmp_path, monkeypatch):
    """The process works in another folder, where a relative name would mean another home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XRAI_HOME", "my home")
    job = worker("finish", None, "Äpfel & Birnen", "--x=1 2")
    wait_until(job, "done")
    assert job.records()[0]["home"] == str(tmp_path / "my home")
    assert job.records()[0]["rest"] == ["Äpfel & Birnen", "--x=1 2"]


CORRUPT = [
    b"",
    b"{",
    b"[]",
    b"7",
    b'"x"',
    b"\xff\xfe",
    b'{"status": 3}',
    b'{"status": []}',
    b'{"status": "dancing"}',
    b'{"status": "starting"}',
    b'{"status": "starting", "time": "soon"}',
    b'{"status": "starting", "time": null}',
    b'{"details": null, "title": null}',
    b'{"details": [1]}',
    b"[" * 10**5,
    b'{"status": ' + b"[" * 10**5,
]


@pytest.mark.parametrize("content", CORRUPT, ids=lambda content: content[:50])
def test_a_corrupt_note_is_borne(tmp_path, content):
    (tmp_path / JOB_FILE).write_bytes(content)
    job = Job(tmp_path)
    assert job.status in ("none", "interrupted")
    assert not job.is_active
    assert isinstance(job.title, str)
    assert job.details == JobDetails()
    with jobs.run_job(tmp_path, title="t"):
        assert job.status == "running"
    assert job.status == "done"


def test_a_process_that_never_came_to_life_is_given_up(tmp_path):
    write_json(tmp_path / JOB_FILE, {"status": "starting", "time": time.time()})
    assert Job(tmp_path).status == "starting"
    write_json(tmp_path / JOB_FILE, {"status": "starting", "time": time.time() - jobs.START_SECONDS - 1})
    assert Job(tmp_path).status == "interrupted"


def full(*arguments, **named):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("victim", ["xrai.core.jobs.write_json", "pathlib.Path.mkdir", "pathlib.Path.open"])
def test_no_space_to_start(worker, monkeypatch, victim):
    with monkeypatch.context() as patch:
        patch.setattr(victim, full)
        with pytest.raises(JobError, match="No space left on device"):
            worker("finish")
    wait_until(worker("finish"), "done") if victim != "pathlib.Path.open" else None


def test_no_program_to_start(worker, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(JobError, match="could not be started"):
        worker("finish", Path(jobs.PROJECT_DIR) / "j")
    job = Job(Path(jobs.PROJECT_DIR) / "j")
    assert job.status == "failed"
    assert "could not be started" in job.error


def test_a_log_of_many_lines_is_shown_from_its_end(tmp_path):
    (tmp_path / LOG_FILE).write_bytes(b"\n".join(b"line %d" % i for i in range(1000)) + b"\nM\xfcll\n")
    assert Job(tmp_path).log(3).splitlines() == ["line 998", "line 999", "M�ll"]


def test_records_without_a_kind_are_left_out(tmp_path):
    (tmp_path / HISTORY_FILE).write_text('{"kind": "a", "n": 1}\n{"n": 2}\n{"kind": 3}\n[1]\n{"kind": "b"}\n')
    assert [record["kind"] for record in Job(tmp_path).records()] == ["a", "b"]


def test_a_silent_death_is_not_told_in_the_words_of_an_older_run(worker):
    wait_until(worker("die at once"), "failed")
    job = worker("die silently")
    wait_until(job, "failed")
    assert job.error == "The work could not be started."


def test_folders_of_jobs(tmp_path, monkeypatch):
    monkeypatch.setenv("XRAI_HOME", str(tmp_path))
    one, two = (build_folder(tmp_path / "data" / "a.hdf5"), download_folder("kaggle:owner/name"))
    assert one.parent == two.parent == tmp_path / "data" / ".jobs"
    assert jobs.list_active(tmp_path / "nothing") == []
    with jobs.run_job(one, title="building"):
        assert [job.title for job in jobs.list_active(one.parent)] == ["building"]
    assert jobs.list_active(one.parent) == []


# --- from inside ------------------------------------------------------------------------------------------------------


def test_done_stopped_failed(tmp_path):
    job = Job(tmp_path)
    with jobs.run_job(tmp_path, title="t") as mine:
        assert job.status == "running"
        mine.emit({"kind": "step", "café": 1})
        assert job.records() == [{"kind": "step", "café": 1}]
    assert (job.status, job.title) == ("done", "t")

    with jobs.run_job(tmp_path, title="t") as mine:
        job.stop()
        assert mine.should_stop()
    assert job.status == "stopped"

    with pytest.raises(DatasetError), jobs.run_job(tmp_path, title="t"):
        raise DatasetError("A sentence.")
    assert (job.status, job.error) == ("failed", "A sentence.")

    with pytest.raises(MemoryError), jobs.run_job(tmp_path, title="t"):
        raise MemoryError
    assert job.status == "failed"
    assert "memory" in job.error


def test_a_stop_that_came_too_late_does_not_hide_that_it_is_done(tmp_path):
    job = Job(tmp_path)
    with jobs.run_job(tmp_path, title="t") as mine:
        assert not mine.should_stop()
        job.stop()
    assert job.status == "done"
    assert not (tmp_path / STOP_FILE).exists()


def test_a_second_worker_is_refused_and_harms_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "FileLock", lambda file, timeout: _impatient(file))
    with jobs.run_job(tmp_path, title="t"):
        before = (tmp_path / JOB_FILE).read_bytes()
        with pytest.raises(JobError, match="already running"), jobs.run_job(tmp_path, title="t"):
            pytest.fail("two work on one job")
        assert (tmp_path / JOB_FILE).read_bytes() == before


def _impatient(file):
    from filelock import FileLock

    return FileLock(file, timeout=0.05)


def test_ctrl_c_asks_for_a_stop_and_a_second_one_breaks_off(tmp_path, capfd):
    job = Job(tmp_path)
    with jobs.run_job(tmp_path, title="t") as mine:
        os.kill(os.getpid(), signal.SIGINT)
        wait_for(lambda: mine.has_signal)
        assert job.is_stopping  # for whoever watches
        assert mine.should_stop()
    assert job.status == "stopped"
    assert "once more breaks off" in capfd.readouterr().err

    with pytest.raises(KeyboardInterrupt), jobs.run_job(tmp_path, title="t") as mine:
        os.kill(os.getpid(), signal.SIGINT)
        wait_for(lambda: mine.has_signal)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
    assert job.status == "stopped"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.skipif(os.name == "nt", reason="Windows knows only the hard kill")
def test_a_polite_kill_asks_for_a_stop(worker):
    job = worker("work")
    wait_for(job.records)
    os.kill(noted(job)["pid"], signal.SIGTERM)
    wait_until(job, "stopped")


def test_signals_are_left_alone_outside_the_main_thread(tmp_path):
    before = signal.getsignal(signal.SIGINT)

    def work():
        with jobs.run_job(tmp_path, title="t"):
            return signal.getsignal(signal.SIGINT)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(work).result() is before


@pytest.mark.parametrize("moment", ["at the start", "at the end"])
def test_a_full_disk_is_not_what_ends_the_work(tmp_path, monkeypatch, moment):
    """Work that needs no space goes on; what could not be noted reads as interrupted."""
    with monkeypatch.context() as patch:
        if moment == "at the start":
            patch.setattr(jobs, "write_json", full)
        with jobs.run_job(tmp_path, title="t"):
            assert Job(tmp_path).status == "running"
            patch.setattr(jobs, "write_json", full)
    assert Job(tmp_path).status == ("none" if moment == "at the start" else "interrupted")


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(JobError, match="cannot be written to"), jobs.run_job(tmp_path / "file" / "job", title="t"):
        pytest.fail("there is nothing to work in")


def test_lock_is_free_again_after_everything(tmp_path):
    for error in (DatasetError("x."), KeyboardInterrupt(), ValueError()):
        with pytest.raises(type(error)), jobs.run_job(tmp_path, title="t"):
            raise error
    with jobs.run_job(tmp_path, title="t"):
        assert (tmp_path / LOCK_FILE).exists()
    assert not (tmp_path / HISTORY_FILE).exists()


def test_a_job_noted_as_starting_in_the_future_does_not_count_as_running(tmp_path):
    """Such as where the clock went back since."""
    write_json(tmp_path / JOB_FILE, {"status": "starting", "time": time.time() + 1e6})
    assert Job(tmp_path).status == "interrupted"
