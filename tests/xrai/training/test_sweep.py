import itertools
import json
import os
import threading
import time

import pytest

from xrai.core import jobs
from xrai.core.errors import CheckpointError, DatasetError, JobError, SettingsError, TrainingError
from xrai.core.jobs import HISTORY_FILE, JOB_FILE, Job
from xrai.core.json_files import append_record, read_records, write_json
from xrai.core.paths import display_path
from xrai.models.checkpoint import CARD, CONFIG, WEIGHTS, Card, Checkpoint, open_checkpoint
from xrai.scans.preprocessing import Preprocessing
from xrai.training import sweep
from xrai.training.config import TrainConfig, default_settings, format_value
from xrai.training.sweep import SWEEP, PlannedRun, expand_grid

TINY = {"network": "convnet", "image_size": 32, "blocks": 2, "filters": 2, "dense_units": 4, "epochs": 1,
        "batch_size": 16}  # fmt: skip
VAL = {"n": 9, "loss": 0.4, "accuracy": 0.8, "accuracy_interval": [0.7, 0.9], "auc": 0.9, "auc_interval": [0.8, 1.0]}
BEST = {"epoch": 2, "accuracy": 0.8, "accuracy_interval": [0.7, 0.9], "auc": 0.9, "auc_interval": [0.8, 1.0]}
EPOCH = {"kind": "epoch", "epoch": 2, "best": True, "val": VAL}


def assert_one_sentence(error, *words):
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert text.count(". ") == 0
    for word in words:
        assert word in text


# --- planning ---------------------------------------------------------------------------------------------------------


def test_every_combination_in_the_given_order():
    configs = expand_grid({"network": "convnet", "epochs": 3}, {"learning_rate": [0.01, 0.001], "flip": [True, False]})
    assert [(item.learning_rate, item.flip) for item in configs] == [
        (0.01, True), (0.01, False), (0.001, True), (0.001, False),
    ]  # fmt: skip
    assert all(item.network == "convnet" and item.epochs == 3 for item in configs)


def test_a_value_that_comes_twice_counts_once():
    assert [item.dropout for item in expand_grid({}, {"dropout": [0, 0.5, 0.0, 0.5]})] == [0.0, 0.5]


def test_what_is_varied_is_not_taken_from_the_base():
    assert [item.epochs for item in expand_grid({"epochs": 0}, {"epochs": [4]})] == [4]


@pytest.mark.parametrize(
    ("base", "grid", "words"),
    [
        ({}, {}, ["no setting"]),
        ({}, {"dropout": []}, ["no value", "“dropout”"]),
        ({}, {"learning_speed": [1]}, ["“learning_speed”", "learning_rate"]),
        ({"learning_speed": 1}, {"dropout": [0.1]}, ["“learning_speed”"]),
        ({}, {"dropout": [0.1, 0.95]}, ["“dropout 0.95”", "between 0.0 and 0.9"]),
        ({}, {"epochs": [1.5]}, ["“epochs 1.5”", "whole number"]),
        ({"network": "convnet"}, {"image_size": [64, 32], "blocks": [5], "flip": [True]},
         ["“image size 32, blocks 5, flip yes”", "halve 32 pixels"]),
        ({}, {"dropout": [float("nan")]}, ["nan"]),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_trained(base, grid, words):
    with pytest.raises(SettingsError) as error:
        expand_grid(base, grid)
    assert_one_sentence(error, *words)


@pytest.mark.parametrize(
    ("sizes", "told"), [((101,), "101 runs"), ((100, 100), "10,000 runs"), ((10_000,) * 3, "1,000,000,000,000 runs")]
)
def test_too_many_runs_are_counted_not_made(sizes, told):
    with pytest.raises(SettingsError) as error:
        expand_grid({}, {name: range(n) for name, n in zip(("seed", "patience", "epochs"), sizes, strict=False)})
    assert_one_sentence(error, told, "100", "fewer")


def test_as_many_runs_as_there_can_be():
    assert len(expand_grid({}, {"seed": range(sweep.MAX_RUNS)})) == 100


# --- what people type -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        ("learning_rate", "0.001, 0.0003", [0.001, 0.0003]),
        ("learning_rate", "1e-3;3E-4\n.5\r\n1.", [0.001, 0.0003, 0.5, 1.0]),
        ("learning_rate", "0.001,0.0003,1", [0.001, 0.0003, 1.0]),
        ("learning_rate", "0, 1", [0.0, 1.0]),
        ("epochs", "8,16 ; 32,", [8, 16, 32]),
        ("network", "resnet18, convnet", ["resnet18", "convnet"]),
        ("weights", "scratch\nMein Modell 2", ["scratch", "Mein Modell 2"]),
        ("flip", "yes, No", [True, False]),
    ],
)
def test_values_that_are_typed(name, text, values):
    found = sweep.parse_values(name, text)
    assert found == values
    assert list(map(type, found)) == list(map(type, values))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("learning_rate", "0.1, abc", ["“abc” is no number for the setting “learning rate”", "0.0003"]),
        ("learning_rate", "0,001; 0,0003", ["“0,001”", "0.001", "“0, 001”"]),
        ("mixup", "0,1", ["“0,1”", "write 0.1", "“0, 1”"]),
        ("dropout", "nan", ["“nan”"]), ("dropout", "inf", ["“inf”"]), ("dropout", "1_0", ["“1_0”"]),
        ("dropout", "٣", ["“٣”"]), ("dropout", "0.1 0.2", ["“0.1 0.2”"]),
        ("epochs", "8, 16.5", ["“16.5” is no whole number for the setting “epochs”"]),
        ("seed", "1,000", ["“000” is no whole number"]), ("seed", "٣", ["“٣”"]),
        ("seed", "9" * 5000, ["is no whole number"]),
        ("flip", "perhaps", ["“perhaps” is neither yes nor no for the setting “flip”"]),
        ("dropout", "", ["no value", "“dropout”"]), ("network", " , ;\n", ["no value", "“network”"]),
        ("learning_speed", "1", ["“learning_speed”"]),
    ],
)  # fmt: skip
def test_what_cannot_be_read(name, text, words):
    with pytest.raises(SettingsError) as error:
        sweep.parse_values(name, text)
    assert_one_sentence(error, *words)


@pytest.mark.parametrize(("name", "value"), default_settings().items())
def test_every_setting_can_be_typed(name, value):
    assert sweep.parse_values(name, format_value(value)) == [value]


# --- the folder -------------------------------------------------------------------------------------------------------


@pytest.fixture
def three(home, practice):
    """A sweep of three runs, none of which has begun."""
    return sweep.create_sweep("Äpfel 1", practice, TINY | {"seed": 5}, {"seed": [1, 2, 2, 3]})


def test_a_sweep_comes_back_as_it_was_made(home, practice, three):
    assert sweep.open_sweep("Äpfel 1") == three
    assert (three.name, three.job.status, three.dataset) == ("Äpfel 1", "none", practice.resolve())
    assert three.folder == home / "checkpoints" / ".sweeps" / "Äpfel 1"
    assert (three.base, three.grid) == (TINY, {"seed": [1, 2, 3]})
    assert three.runs == tuple(PlannedRun(f"Äpfel 1-{number}", {"seed": number}) for number in (1, 2, 3))
    assert three.configs() == [TrainConfig(**TINY, seed=number) for number in (1, 2, 3)]
    assert json.loads((three.folder / SWEEP).read_text(encoding="utf-8"))["runs"][0] == {
        "name": "Äpfel 1-1", "settings": {"seed": 1},
    }  # fmt: skip


def test_whole_numbers_stand_for_numbers(home, practice):
    made = sweep.create_sweep("s", practice, TINY, {"dropout": [0, 0.5]})
    assert sweep.open_sweep("s") == made
    assert made.configs()[0].dropout == 0.0


def test_a_dataset_below_the_home_folder_may_move_with_it(home, practice):
    (home / "data").mkdir()
    (home / "data" / "d.hdf5").write_bytes(practice.read_bytes())
    made = sweep.create_sweep("s", home / "data" / "d.hdf5", TINY, {"seed": [1]})
    assert json.loads((made.folder / SWEEP).read_text(encoding="utf-8"))["dataset"] == "data/d.hdf5"
    assert made.dataset == home / "data" / "d.hdf5"


def test_names_of_runs_sort(home, practice):
    names = [item.name for item in sweep.create_sweep("s", practice, TINY, {"seed": range(10)}).runs]
    assert (names[0], names[-1]) == ("s-01", "s-10")
    assert names == sorted(names)


@pytest.mark.parametrize("name", ["", ".sweeps", "../x", "con", "a/b", "x" * 81, "x" * 79])
def test_names_that_cannot_be(home, practice, name):
    with pytest.raises(CheckpointError, match="cannot be a model's name"):
        sweep.create_sweep(name, practice, TINY, {"seed": [1]})
    assert sweep.list_sweeps() == []


def test_a_name_that_is_taken(home, practice, three):
    with pytest.raises(CheckpointError) as error:
        sweep.create_sweep("Äpfel 1", practice, TINY, {"seed": [1]})
    assert_one_sentence(error, "already a sweep “Äpfel 1”")
    assert sweep.open_sweep("Äpfel 1") == three


def test_a_run_whose_name_is_taken(home, practice):
    (home / "checkpoints" / "s-3").mkdir(parents=True)
    sweep.create_sweep("s", practice, TINY, {"seed": [1, 2]})
    (home / "checkpoints" / "t-2").mkdir()
    with pytest.raises(CheckpointError) as error:
        sweep.create_sweep("t", practice, TINY, {"seed": [1, 2]})
    assert_one_sentence(error, "“t-2”", "another name")
    assert [item.name for item in sweep.list_sweeps()] == ["s"]


def test_without_a_dataset_nothing_is_made(home):
    with pytest.raises(DatasetError, match="no dataset"):
        sweep.create_sweep("s", home / "nowhere.hdf5", TINY, {"seed": [1]})
    assert sweep.list_sweeps() == []


def a_model(name, **settings):
    """A model as `create` looks at it: a card, and weights."""
    checkpoint = open_checkpoint(name)
    checkpoint.folder.mkdir()
    (checkpoint.folder / WEIGHTS).touch()
    config = TrainConfig(**TINY | settings)
    steps = Preprocessing(config.image_size, config.image_size, 0.5, 0.2)
    measured = {"n": 0, "accuracy": 0.5, "accuracy_interval": None, "auc": None, "auc_interval": None}
    checkpoint.write_card(Card(name, "", ("A", "B"), config.network_config, steps, {}, None, {}, measured, {}, {}))
    return checkpoint


def test_a_model_to_start_from_that_is_missing_is_said_before_any_run(home, practice):
    a_model("there")
    with pytest.raises(CheckpointError, match="no model “nowhere”"):
        sweep.create_sweep("s", practice, TINY, {"weights": ["scratch", "there", "nowhere"]})
    (open_checkpoint("there").folder / WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match="“there” to start from has no weights"):
        sweep.create_sweep("s", practice, TINY | {"weights": "there"}, {"seed": [1]})
    assert sweep.list_sweeps() == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"blocks": 3}, ["“blocks” is 3", "with 2:"]), ({"image_size": 48}, ["“image size” is 48", "with 32:"]),
        ({"network": "resnet18"}, ["“network” is resnet18", "with convnet:"]),
        ({"activation": "gelu"}, ["“activation” is gelu", "with relu:"]),
    ],
)  # fmt: skip
def test_a_model_to_start_from_of_another_shape_is_said_before_any_run(home, practice, settings, words):
    a_model("there")
    (varied, value), *_ = settings.items()
    with pytest.raises(SettingsError) as error:
        sweep.create_sweep("s", practice, TINY | {"weights": "there"}, {varied: [TINY.get(varied, "relu"), value]})
    assert_one_sentence(error, "“there”", *words)
    assert sweep.list_sweeps() == []


def test_models_to_start_from_that_fit_are_opened_once_each(home, practice, monkeypatch):
    a_model("small")
    a_model("deep", network="resnet18", image_size=64)
    opened, real = [], Checkpoint.read_card
    monkeypatch.setattr(Checkpoint, "read_card", lambda self: opened.append(self.name) or real(self))
    sweep.create_sweep("s", practice, TINY | {"weights": "small"}, {"seed": [1, 2, 3]})
    sweep.create_sweep(
        "t", practice, {"network": "resnet18", "weights": "deep"}, {"image_size": [64, 96], "seed": [1, 2]}
    )
    assert opened == ["small", "deep"]


def test_a_job_may_be_there_before_the_sweep(home, practice):
    """As when a page starts the command line that makes the sweep."""
    write_json_in(home / "checkpoints" / ".sweeps" / "s" / JOB_FILE, {"status": "starting", "time": time.time()})
    assert sweep.list_sweeps() == []
    with pytest.raises(CheckpointError, match="no sweep “s”"):
        sweep.open_sweep("s")
    assert sweep.create_sweep("s", practice, TINY, {"seed": [1]}).job.status == "starting"


def write_json_in(file, values):
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, values)


def test_no_such_sweep(home, practice):
    with pytest.raises(CheckpointError) as error:
        sweep.open_sweep("s")
    assert_one_sentence(error, "no sweep “s”", "none yet")
    sweep.create_sweep("t", practice, TINY, {"seed": [1]})
    with pytest.raises(CheckpointError) as error:
        sweep.open_sweep("s")
    assert_one_sentence(error, "are: t.")


def test_sweeps_are_listed_newest_first(home, practice):
    assert sweep.list_sweeps() == []
    for moment, name in enumerate("bca"):
        made = sweep.create_sweep(name, practice, TINY, {"seed": [1]})
        os.utime(made.folder / SWEEP, (moment, moment))
    assert [item.name for item in sweep.list_sweeps()] == ["a", "c", "b"]
    append_record(sweep.open_sweep("b").folder / HISTORY_FILE, {"kind": "start"})
    assert [item.name for item in sweep.list_sweeps()] == ["b", "a", "c"]


def test_sweeps_that_a_process_works_on(three):
    assert sweep.active_sweep_jobs() == []
    with jobs.run_job(three.folder, title="the sweep"):
        assert [job.title for job in sweep.active_sweep_jobs()] == ["the sweep"]


def changed(**changes):
    return lambda values: values | changes


@pytest.mark.parametrize(
    "damage",
    [
        lambda values: None, lambda values: [], lambda values: {},
        changed(dataset=None), changed(base=None), changed(base={"learning_speed": 1}), changed(base={"epochs": 0}),
        changed(grid=[]), changed(grid={}), changed(grid={"seed": 3}), changed(grid={"seed": [[1], 2, 3]}),
        changed(grid={"seed": list(range(10**5)), "patience": list(range(900))}),
        changed(runs=[]), changed(runs=None), changed(runs=[1, 2, 3]),
        lambda values: values | {"runs": values["runs"][:2]},
        lambda values: values | {"runs": [item | {"name": "../../x"} for item in values["runs"]]},
        lambda values: values | {"runs": [item | {"name": 3} for item in values["runs"]]},
        lambda values: values | {"runs": [item | {"settings": {}} for item in values["runs"]]},
        lambda values: values | {"runs": values["runs"][::-1]},
    ],
)  # fmt: skip
def test_a_damaged_sweep_is_one_sentence(practice, three, damage):
    sweep.create_sweep("whole", practice, TINY, {"seed": [1]})
    file = three.folder / SWEEP
    file.write_text(json.dumps(damage(json.loads(file.read_text(encoding="utf-8")))), encoding="utf-8")
    assert_damaged()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_sweep_that_is_no_json(practice, three, content):
    sweep.create_sweep("whole", practice, TINY, {"seed": [1]})
    (three.folder / SWEEP).write_bytes(content)
    assert_damaged()


def assert_damaged():
    with pytest.raises(CheckpointError) as error:
        sweep.open_sweep("Äpfel 1")
    assert_one_sentence(error, SWEEP, "“Äpfel 1”", "damaged")
    assert [item.name for item in sweep.list_sweeps()] == ["whole"]


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


def test_outcomes(three):
    assert [(item.name, item.settings) for item in three.run_summaries()] == [
        ("Äpfel 1-1", {"seed": 1}), ("Äpfel 1-2", {"seed": 2}), ("Äpfel 1-3", {"seed": 3}),
    ]  # fmt: skip
    assert {(item.status, item.val, item.error) for item in three.run_summaries()} == {("waiting", None, "")}
    leave("Äpfel 1-1", "done", EPOCH | {"epoch": 1}, EPOCH, EPOCH | {"epoch": 3, "best": False}, error="old")
    leave("Äpfel 1-2", "failed", error="The disk is full.")
    leave("Äpfel 1-3", "running", EPOCH | {"val": VAL | {"auc": None, "auc_interval": None}})
    done, failed, interrupted = three.run_summaries()
    assert (done.status, done.val, done.error) == ("done", BEST, "")
    assert (failed.status, failed.val, failed.error) == ("failed", None, "The disk is full.")
    assert (interrupted.status, interrupted.val["auc"]) == ("interrupted", None)
    assert "broke off" in interrupted.error
    with jobs.run_job(open_checkpoint("Äpfel 1-3").folder, title="t"):
        assert three.run_summaries()[2].status == "running"


@pytest.mark.parametrize(
    "odd",
    [
        {"val": None}, {"val": {}}, {"val": [1]}, {"epoch": "two"}, {"epoch": None}, {"best": 1},
        {"val": VAL | {"accuracy": None}}, {"val": VAL | {"accuracy": float("nan")}}, {"val": VAL | {"auc": "high"}},
        {"val": VAL | {"auc_interval": [0.5]}}, {"val": VAL | {"auc_interval": 0.5}},
        {"val": VAL | {"auc_interval": ["a", "b"]}}, {"val": VAL | {"accuracy_interval": [0.1, None]}},
    ],
)  # fmt: skip
def test_odd_records_are_passed_over(three, odd):
    leave("Äpfel 1-1", "stopped", EPOCH, {"kind": "epoch"}, EPOCH | {"epoch": 3} | odd, {"best": True})
    assert three.run_summaries()[0].val == BEST


@pytest.mark.parametrize(
    ("ended", "status"), [("finished", "done"), ("early", "done"), ("stopped", "failed"), (None, "failed")]
)
def test_a_card_knows_that_a_training_came_to_its_end(three, monkeypatch, ended, status):
    leave("Äpfel 1-1", "failed", error="Too late.")
    card = type("Card", (), {"training": {"ended": ended}})
    monkeypatch.setattr(Checkpoint, "read_card", lambda self: card)
    assert three.run_summaries()[0].status == status


def test_a_damaged_card_knows_nothing(three):
    leave("Äpfel 1-1", "stopped")
    (open_checkpoint("Äpfel 1-1").folder / CARD).write_text("{")
    assert three.run_summaries()[0].status == "stopped"


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
def test_a_strangers_model_is_not_taken_for_a_run(three, children, strange, status):
    """A model that got a planned name by renaming, importing or training was called done, or trained on."""
    leave("Äpfel 1-2", status, EPOCH)
    strange(open_checkpoint("Äpfel 1-2").folder)
    outcome = three.run_summaries()[1]
    assert (outcome.status, outcome.val) == ("failed", None)
    assert "the name “Äpfel 1-2”" in outcome.error
    assert outcome.error.endswith("rename it and go on with the sweep.")
    records = train(three)
    assert told(records) == [(1, "running"), (1, "done"), (2, "failed"), (3, "running"), (3, "done")]
    assert (records[-1]["reason"], records[-1]["done"]) == ("finished", 2)
    assert [words[3] for words in children.started] == ["Äpfel 1-1", "Äpfel 1-3"]
    folder = open_checkpoint("Äpfel 1-2").folder
    folder.rename(folder.with_name("a model"))
    assert told(train(three)) == [(1, "done"), (2, "running"), (2, "done"), (3, "done")]


def test_a_strangers_training_is_not_waited_for(three, children):
    folder = open_checkpoint("Äpfel 1-1").folder
    folder.mkdir()
    works_until_stopped(folder)
    note_settings(folder, epochs=9)
    assert told(train(three, once_watched(Job(folder).stop)))[:2] == [(1, "failed"), (2, "running")]


def test_a_run_that_comes_to_life_is_no_stranger(three):
    write_json_in(open_checkpoint("Äpfel 1-1").folder / JOB_FILE, {"status": "starting", "time": time.time()})
    assert three.run_summaries()[0].status == "starting"


def test_settings_that_came_with_a_later_version_make_no_stranger(three):
    leave("Äpfel 1-1", "done")
    file = open_checkpoint("Äpfel 1-1").folder / CONFIG
    asked = json.loads(file.read_text(encoding="utf-8"))
    del asked["train"]["patience"]
    write_json(file, asked)
    assert three.run_summaries()[0].status == "done"


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
    assert alive.wait(30)


def train(swept, should_stop=lambda: False):
    records = []
    sweep.run_sweep(swept, emit=records.append, should_stop=should_stop)
    assert all(isinstance(json.loads(json.dumps(item))["time"], float) for item in records)
    return records


def told(records):
    return [(item["number"], item["status"]) for item in records if item["kind"] == "run"]


def test_one_run_after_another(three, children, practice):
    first, *between, last = train(three)
    del first["time"], last["time"]
    assert first == {"kind": "start", "runs": 3}
    assert told(between) == [(1, "running"), (1, "done"), (2, "running"), (2, "done"), (3, "running"), (3, "done")]
    assert last == {"kind": "end", "reason": "finished", "done": 3}
    del between[1]["time"]
    assert between[1] == {
        "kind": "run", "number": 1, "runs": 3, "name": "Äpfel 1-1", "settings": {"seed": 1}, "status": "done",
        "val": BEST, "error": "",
    }  # fmt: skip
    assert children.started[1] == [
        "train", str(practice.resolve()), "--name", "Äpfel 1-2", *TrainConfig(**TINY, seed=2).to_arguments(),
    ]  # fmt: skip


def test_what_is_done_is_not_done_again_and_what_was_begun_goes_on(three, children):
    leave("Äpfel 1-1", "done", EPOCH)
    leave("Äpfel 1-2", "stopped", EPOCH)
    records = train(three)
    assert told(records) == [(1, "done"), (2, "running"), (2, "done"), (3, "running"), (3, "done")]
    assert records[1]["val"] == BEST
    assert children.started[0] == ["train", "--name", "Äpfel 1-2", "--resume"]
    assert [words[3] for words in children.started[1:]] == ["Äpfel 1-3"]


def test_a_run_that_did_not_come_to_life_is_started_anew(three, children):
    write_json_in(open_checkpoint("Äpfel 1-1").folder / JOB_FILE, {"status": "failed", "error": "No dataset."})
    train(three)
    assert "--resume" not in children.started[0]


def test_runs_that_end_badly_do_not_hinder_the_next(three, children):
    children |= {"Äpfel 1-1": ends("failed", "The disk is full."), "Äpfel 1-2": ends("running")}
    records = train(three)
    assert told(records)[1::2] == [(1, "failed"), (2, "interrupted"), (3, "done")]
    assert records[2]["error"] == "The disk is full."
    assert "broke off" in records[4]["error"]
    assert (records[-1]["reason"], records[-1]["done"]) == ("finished", 1)


def test_when_every_run_failed_the_first_reason_is_said(three, children):
    children |= {item.name: ends("failed", f"Reason {item.name[-1]}.") for item in three.runs}
    records = []
    with pytest.raises(TrainingError) as error:
        sweep.run_sweep(three, emit=records.append, should_stop=lambda: False)
    assert_one_sentence(error, "“Äpfel 1”", "“Äpfel 1-1”", "Reason 1.")
    assert (records[-1]["kind"], records[-1]["reason"]) == ("end", "failed")


def test_a_process_that_cannot_be_started_is_a_run_that_failed(three, children, monkeypatch):
    def refuse(*arguments, **named):
        raise JobError("The disk is full.")

    monkeypatch.setattr(jobs, "start", refuse)
    with pytest.raises(TrainingError, match=r"The disk is full\.$"):
        train(three)


def test_a_folder_that_is_deleted_meanwhile(three, children):
    children["Äpfel 1-2"] = lambda folder: None
    assert told(train(three))[3] == (2, "interrupted")


def test_a_stop_stops_the_run_that_trains(three, children):
    children["Äpfel 1-2"] = works_until_stopped
    records = train(three, lambda: len(children.started) == 2)
    assert told(records) == [(1, "running"), (1, "done"), (2, "running"), (2, "stopped")]
    assert (records[-1]["reason"], records[-1]["done"]) == ("stopped", 1)
    del children["Äpfel 1-2"]
    assert told(train(three)) == [(1, "done"), (2, "running"), (2, "done"), (3, "running"), (3, "done")]
    assert children.started[2] == ["train", "--name", "Äpfel 1-2", "--resume"]


def test_a_stop_before_anything_began(three, children):
    records = train(three, lambda: True)
    assert (told(records), records[-1]["reason"], children.started) == ([], "stopped", [])


def test_a_stop_that_comes_too_late_does_not_hide_that_all_is_done(three, children):
    answers = iter([False, False, False])
    assert train(three, lambda: next(answers))[-1]["reason"] == "finished"


def test_a_run_that_is_stopped_alone_does_not_stop_the_sweep(three, children):
    def stopped_by_hand(folder):
        works_until_stopped(folder)
        Job(folder).stop()

    children["Äpfel 1-2"] = stopped_by_hand
    records = train(three)
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


def test_a_run_that_outlived_an_earlier_process_of_the_sweep_is_waited_for(three, children):
    folder = open_checkpoint("Äpfel 1-1").folder
    folder.mkdir()
    works_until_stopped(folder)
    assert told(train(three, once_watched(Job(folder).stop)))[:2] == [(1, "running"), (1, "stopped")]
    assert [words[3] for words in children.started] == ["Äpfel 1-2", "Äpfel 1-3"]


def test_a_run_that_somebody_else_starts_first_is_waited_for(three, children):
    def outrun(folder):
        works_until_stopped(folder)
        raise JobError("“it” is already running.")

    children["Äpfel 1-1"] = outrun
    stop = Job(open_checkpoint("Äpfel 1-1").folder).stop
    assert told(train(three, once_watched(stop)))[:2] == [(1, "running"), (1, "stopped")]


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
        assert (card.config.learning_rate, card.training["ended"]) == (rate, "finished")
        assert outcome.val["epoch"] == card.training["best_epoch"] == 1
        assert outcome.val["accuracy"] == pytest.approx(card.validation["accuracy"], abs=0.1)
        assert jobs.Job(checkpoint.folder).details["sweep"] == "s"
    assert [item["kind"] for item in read_records(made.folder / HISTORY_FILE)] == ["start", "run", "run", "end"]
