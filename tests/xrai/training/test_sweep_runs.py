import itertools
import json
import threading
import time
from types import SimpleNamespace

import pytest

from tests.xrai.training.sweeps import BEST, EPOCH, TINY, VAL, assert_one_sentence, write_json_in
from xrai.core import jobs
from xrai.core.errors import JobError, TrainingError
from xrai.core.jobs import HISTORY_FILE, JOB_FILE, Job
from xrai.core.json_files import append_record, read_records, write_json
from xrai.core.paths import display_path
from xrai.models.card import TrainingRecord
from xrai.models.checkpoint import CARD, CONFIG, Checkpoint, open_checkpoint
from xrai.training import sweep
from xrai.training.config import TrainConfig

# --- outcomes ---------------------------------------------------------------------------------------------------------


def leave(name, status, *records, error=""):
    """Let a run look as a process that has ended left it."""
    folder = open_checkpoint(name).folder
    write_json_in(folder / JOB_FILE, {"status": status, "error": error})
    note_settings(folder)
    for record in records:
        append_record(folder / HISTORY_FILE, record)


def note_settings(folder, **others):
    """The config of a run of the sweep `three`, or one with other settings."""
    swept = sweep.open_sweep("Äpfel 1")
    config = next(config for run, config in zip(swept.runs, swept.configs(), strict=True) if run.name == folder.name)
    write_json(folder / CONFIG, {"dataset": display_path(swept.dataset), "train": config.to_dict() | others})


def test_outcomes(planned_sweep):
    assert [(item.name, item.settings) for item in planned_sweep.run_summaries()] == [
        ("Äpfel 1-1", {"seed": 1}),
        ("Äpfel 1-2", {"seed": 2}),
        ("Äpfel 1-3", {"seed": 3}),
    ]
    assert {(item.status, item.val, item.error) for item in planned_sweep.run_summaries()} == {("waiting", None, "")}
    leave("Äpfel 1-1", "done", EPOCH | {"epoch": 1}, EPOCH, EPOCH | {"epoch": 3, "best": False}, error="old")
    leave("Äpfel 1-2", "failed", error="The disk is full.")
    leave("Äpfel 1-3", "running", EPOCH | {"val": VAL | {"auc": None, "auc_interval": None}})
    done, failed, interrupted = planned_sweep.run_summaries()
    assert (done.status, done.val, done.error) == ("done", BEST, "")
    assert (failed.status, failed.val, failed.error) == ("failed", None, "The disk is full.")
    assert (interrupted.status, interrupted.val.auc) == ("interrupted", None)
    assert "broke off" in interrupted.error
    with jobs.run_job(open_checkpoint("Äpfel 1-3").folder, title="t"):
        assert planned_sweep.run_summaries()[2].status == "running"


@pytest.mark.parametrize(
    "odd",
    [
        {"val": None},
        {"val": {}},
        {"val": [1]},
        {"epoch": "two"},
        {"epoch": None},
        {"val": VAL | {"accuracy": None}},
        {"val": VAL | {"accuracy": float("nan")}},
        {"val": VAL | {"auc": "high"}},
        {"val": VAL | {"auc_interval": [0.5]}},
        {"val": VAL | {"auc_interval": 0.5}},
        {"val": VAL | {"auc_interval": ["a", "b"]}},
        {"val": VAL | {"accuracy_interval": [0.1, None]}},
    ],
)
def test_odd_records_are_passed_over(planned_sweep, odd):
    leave("Äpfel 1-1", "stopped", EPOCH, {"kind": "epoch"}, EPOCH | {"epoch": 3} | odd, {"best": True})
    assert planned_sweep.run_summaries()[0].val == BEST


@pytest.mark.parametrize(
    ("ended", "status"), [("finished", "done"), ("early", "done"), ("stopped", "failed"), ("", "failed")]
)
def test_a_card_knows_that_a_training_came_to_its_end(planned_sweep, monkeypatch, ended, status):
    leave("Äpfel 1-1", "failed", error="Too late.")
    card = SimpleNamespace(training=TrainingRecord(end_reason=ended))
    monkeypatch.setattr(Checkpoint, "read_card", lambda self: card)
    assert planned_sweep.run_summaries()[0].status == status


def test_a_damaged_card_knows_nothing(planned_sweep):
    leave("Äpfel 1-1", "stopped")
    (open_checkpoint("Äpfel 1-1").folder / CARD).write_text("{")
    assert planned_sweep.run_summaries()[0].status == "stopped"


STRANGERS = {
    "with other settings": lambda folder: note_settings(folder, seed=77),
    "of another dataset": lambda folder: write_json(
        folder / CONFIG, json.loads((folder / CONFIG).read_text(encoding="utf-8")) | {"dataset": "data/other.hdf5"}
    ),
    "whose settings cannot be read": lambda folder: (folder / CONFIG).write_text("{"),
    "without settings": lambda folder: ((folder / CONFIG).unlink(), (folder / CARD).touch()),
}


@pytest.mark.parametrize("status", ["done", "stopped"])
@pytest.mark.parametrize("strange", STRANGERS.values(), ids=STRANGERS.keys())
def test_a_strangers_model_is_not_taken_for_a_run(planned_sweep, children, strange, status):
    """A model that got a planned name by renaming, importing or training was called done, or trained on."""
    leave("Äpfel 1-2", status, EPOCH)
    strange(open_checkpoint("Äpfel 1-2").folder)
    outcome = planned_sweep.run_summaries()[1]
    assert (outcome.status, outcome.val) == ("failed", None)
    assert "the name “Äpfel 1-2”" in outcome.error
    assert outcome.error.endswith("rename it and go on with the sweep.")
    records = train(planned_sweep)
    assert told(records) == [(1, "running"), (1, "done"), (2, "failed"), (3, "running"), (3, "done")]
    assert (records[-1]["reason"], records[-1]["done"]) == ("finished", 2)
    assert [words[3] for words in children.started] == ["Äpfel 1-1", "Äpfel 1-3"]
    folder = open_checkpoint("Äpfel 1-2").folder
    folder.rename(folder.with_name("a model"))
    assert told(train(planned_sweep)) == [(1, "done"), (2, "running"), (2, "done"), (3, "done")]


def test_a_strangers_training_is_not_waited_for(planned_sweep, children):
    folder = open_checkpoint("Äpfel 1-1").folder
    folder.mkdir()
    works_until_stopped(folder)
    note_settings(folder, epochs=9)
    assert told(train(planned_sweep, once_watched(Job(folder).stop)))[:2] == [(1, "failed"), (2, "running")]


def test_a_run_that_comes_to_life_is_no_stranger(planned_sweep):
    write_json_in(open_checkpoint("Äpfel 1-1").folder / JOB_FILE, {"status": "starting", "time": time.time()})
    assert planned_sweep.run_summaries()[0].status == "starting"


def test_settings_that_came_with_a_later_version_make_no_stranger(planned_sweep):
    leave("Äpfel 1-1", "done")
    file = open_checkpoint("Äpfel 1-1").folder / CONFIG
    asked = json.loads(file.read_text(encoding="utf-8"))
    del asked["train"]["patience"]
    write_json(file, asked)
    assert planned_sweep.run_summaries()[0].status == "done"


# --- training, with stand-ins for the processes -----------------------------------------------------------------------


@pytest.fixture
def children(monkeypatch):
    """Stand-ins for the processes of the runs: {name: what it does}, else it is done at once; notes who started."""
    monkeypatch.setattr(sweep, "POLL_SECONDS", 0.01)

    class Children(dict):
        started = []  # noqa: RUF012 -- a new class each time

    def start(arguments, folder, *, title, details=None):
        Children.started.append(arguments)
        assert title == folder.name
        found.get(folder.name, ends("done"))(folder)
        return Job(folder)

    found = Children()
    monkeypatch.setattr(jobs, "start", start)
    return found


def ends(status, error=""):
    return lambda folder: leave(folder.name, status, EPOCH, error=error)


def works_until_stopped(folder):
    """Train in a thread that holds the job's lock, as a process would."""
    alive = threading.Event()

    def work():
        with jobs.run_job(folder, title=folder.name) as job:
            note_settings(folder)
            alive.set()
            while not job.should_stop():
                time.sleep(0.01)

    threading.Thread(target=work).start()
    assert alive.wait(600)


def train(swept, should_stop=lambda: False):
    records = []
    sweep.run_sweep(swept, emit=records.append, should_stop=should_stop)
    assert all(isinstance(json.loads(json.dumps(item))["time"], float) for item in records)
    return records


def told(records):
    return [(item["number"], item["status"]) for item in records if item["kind"] == "run"]


def test_one_run_after_another(planned_sweep, children, practice):
    first, *between, last = train(planned_sweep)
    del first["time"], last["time"]
    assert first == {"kind": "start", "runs": 3}
    assert told(between) == [(1, "running"), (1, "done"), (2, "running"), (2, "done"), (3, "running"), (3, "done")]
    assert last == {"kind": "end", "reason": "finished", "done": 3}
    del between[1]["time"]
    assert between[1] == {
        "kind": "run",
        "number": 1,
        "runs": 3,
        "name": "Äpfel 1-1",
        "settings": {"seed": 1},
        "status": "done",
        "val": BEST.model_dump(),
        "error": "",
    }
    assert children.started[1] == [
        "train",
        str(practice.resolve()),
        "--name",
        "Äpfel 1-2",
        *TrainConfig(**TINY, seed=2).to_arguments(),
    ]


def test_what_is_done_is_not_done_again_and_what_was_begun_goes_on(planned_sweep, children):
    leave("Äpfel 1-1", "done", EPOCH)
    leave("Äpfel 1-2", "stopped", EPOCH)
    records = train(planned_sweep)
    assert told(records) == [(1, "done"), (2, "running"), (2, "done"), (3, "running"), (3, "done")]
    assert records[1]["val"] == BEST.model_dump()
    assert children.started[0] == ["train", "--name", "Äpfel 1-2", "--resume"]
    assert [words[3] for words in children.started[1:]] == ["Äpfel 1-3"]


def test_a_run_that_did_not_come_to_life_is_started_anew(planned_sweep, children):
    write_json_in(open_checkpoint("Äpfel 1-1").folder / JOB_FILE, {"status": "failed", "error": "No dataset."})
    train(planned_sweep)
    assert "--resume" not in children.started[0]


def test_runs_that_end_badly_do_not_hinder_the_next(planned_sweep, children):
    children |= {"Äpfel 1-1": ends("failed", "The disk is full."), "Äpfel 1-2": ends("running")}
    records = train(planned_sweep)
    assert told(records)[1::2] == [(1, "failed"), (2, "interrupted"), (3, "done")]
    assert records[2]["error"] == "The disk is full."
    assert "broke off" in records[4]["error"]
    assert (records[-1]["reason"], records[-1]["done"]) == ("finished", 1)


def test_when_every_run_failed_the_first_reason_is_said(planned_sweep, children):
    children |= {item.name: ends("failed", f"Reason {item.name[-1]}.") for item in planned_sweep.runs}
    records = []
    with pytest.raises(TrainingError) as error:
        sweep.run_sweep(planned_sweep, emit=records.append, should_stop=lambda: False)
    assert_one_sentence(error, "“Äpfel 1”", "“Äpfel 1-1”", "Reason 1.")
    assert (records[-1]["kind"], records[-1]["reason"]) == ("end", "failed")


def test_a_process_that_cannot_be_started_is_a_run_that_failed(planned_sweep, children, monkeypatch):
    def refuse(*arguments, **named):
        raise JobError("The disk is full.")

    monkeypatch.setattr(jobs, "start", refuse)
    with pytest.raises(TrainingError, match=r"The disk is full\.$"):
        train(planned_sweep)


def test_a_folder_that_is_deleted_meanwhile(planned_sweep, children):
    children["Äpfel 1-2"] = lambda folder: None
    assert told(train(planned_sweep))[3] == (2, "interrupted")


def test_a_stop_stops_the_run_that_trains(planned_sweep, children):
    children["Äpfel 1-2"] = works_until_stopped
    records = train(planned_sweep, lambda: len(children.started) == 2)
    assert told(records) == [(1, "running"), (1, "done"), (2, "running"), (2, "stopped")]
    assert (records[-1]["reason"], records[-1]["done"]) == ("stopped", 1)
    del children["Äpfel 1-2"]
    assert told(train(planned_sweep)) == [(1, "done"), (2, "running"), (2, "done"), (3, "running"), (3, "done")]
    assert children.started[2] == ["train", "--name", "Äpfel 1-2", "--resume"]


def test_a_stop_before_anything_began(planned_sweep, children):
    records = train(planned_sweep, lambda: True)
    assert (told(records), records[-1]["reason"], children.started) == ([], "stopped", [])


def test_a_stop_that_comes_too_late_does_not_hide_that_all_is_done(planned_sweep, children):
    answers = iter([False, False, False])
    assert train(planned_sweep, lambda: next(answers))[-1]["reason"] == "finished"


def test_a_run_that_is_stopped_alone_does_not_stop_the_sweep(planned_sweep, children):
    def stopped_by_hand(folder):
        works_until_stopped(folder)
        Job(folder).stop()

    children["Äpfel 1-2"] = stopped_by_hand
    records = train(planned_sweep)
    assert told(records)[1::2] == [(1, "done"), (2, "stopped"), (3, "done")]
    assert (records[-1]["reason"], records[-1]["done"]) == ("finished", 2)


def once_watched(act):
    """No stop of the sweep, but something that happens while it watches its first run."""
    looks = itertools.count()

    def should_stop():
        if next(looks):  # the first one comes before the run
            act()
        return False

    return should_stop


def test_a_run_that_outlived_an_earlier_process_of_the_sweep_is_waited_for(planned_sweep, children):
    folder = open_checkpoint("Äpfel 1-1").folder
    folder.mkdir()
    works_until_stopped(folder)
    assert told(train(planned_sweep, once_watched(Job(folder).stop)))[:2] == [(1, "running"), (1, "stopped")]
    assert [words[3] for words in children.started] == ["Äpfel 1-2", "Äpfel 1-3"]


def test_a_run_that_somebody_else_starts_first_is_waited_for(planned_sweep, children):
    def outrun(folder):
        works_until_stopped(folder)
        raise JobError("“it” is already running.")

    children["Äpfel 1-1"] = outrun
    stop = Job(open_checkpoint("Äpfel 1-1").folder).stop
    assert told(train(planned_sweep, once_watched(stop)))[:2] == [(1, "running"), (1, "stopped")]


# --- training in earnest ----------------------------------------------------------------------------------------------


def test_two_runs_stopped_between_and_gone_on_with(home, practice):
    made = sweep.create_sweep("s", practice, TINY, {"learning_rate": [0.003, 0.001]})

    def train_as_a_job():
        with jobs.run_job(made.folder, title=made.name) as job:

            def emit(record):
                job.emit(record)
                if record.get("status") == "done" and record["number"] == 1:
                    made.job.stop()

            sweep.run_sweep(made, emit=emit, should_stop=job.should_stop)

    train_as_a_job()
    logs = [jobs.Job(open_checkpoint(item.name).folder).log() for item in made.runs]
    assert [item.status for item in made.run_summaries()] == ["done", "waiting"], logs
    assert made.job.status == "stopped"
    sweep.run_sweep(made, emit=(records := []).append, should_stop=lambda: False)
    assert told(records) == [(1, "done"), (2, "running"), (2, "done")]
    for outcome, rate in zip(made.run_summaries(), (0.003, 0.001), strict=True):
        checkpoint = open_checkpoint(outcome.name)
        card = checkpoint.read_card()
        assert (card.training.settings["learning_rate"], card.training.end_reason) == (rate, "finished")
        assert outcome.val.epoch == card.training.best_epoch == 1
        assert outcome.val.accuracy == pytest.approx(card.validation.accuracy, abs=0.1)
        assert jobs.Job(checkpoint.folder).details.sweep == "s"
    assert [item["kind"] for item in read_records(made.folder / HISTORY_FILE)] == ["start", "run", "run", "end"]
