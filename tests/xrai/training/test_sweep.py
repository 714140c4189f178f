import json
import os
import time

import pytest

from tests.xrai.training.sweeps import TINY, assert_one_sentence, write_json_in
from xrai.core import jobs
from xrai.core.errors import CheckpointError, DatasetError, SettingsError
from xrai.core.jobs import HISTORY_FILE, JOB_FILE
from xrai.core.json_files import append_record
from xrai.data.description import DatasetDescription
from xrai.models.card import Card, TrainingRecord
from xrai.models.checkpoint import WEIGHTS, Checkpoint, open_checkpoint
from xrai.scans.preprocessing import Preprocessing
from xrai.training import sweep
from xrai.training.config import TrainConfig, default_settings, format_value
from xrai.training.jobs import active_sweeps
from xrai.training.sweep import SWEEP, PlannedRun, expand_grid

# --- planning ---------------------------------------------------------------------------------------------------------


def test_every_combination_in_the_given_order():
    configs = expand_grid({"network": "convnet", "epochs": 3}, {"learning_rate": [0.01, 0.001], "hflip": [True, False]})
    assert [(item.learning_rate, item.hflip) for item in configs] == [
        (0.01, True),
        (0.01, False),
        (0.001, True),
        (0.001, False),
    ]
    assert all(item.network == "convnet" and item.epochs == 3 for item in configs)


def test_a_value_that_comes_twice_counts_once():
    assert [item.dropout for item in expand_grid({}, {"dropout": [0, 0.5, 0.0, 0.5]})] == [0.0, 0.5]


def test_what_is_varied_is_not_taken_from_the_base():
    assert [item.epochs for item in expand_grid({"epochs": 0}, {"epochs": [4]})] == [4]


@pytest.mark.parametrize(
    ("base", "grid", "words"),
    [
        ({}, {}, ["no setting"]),
        ({}, {"dropout": []}, ["no value", "“Dropout”"]),
        ({}, {"learning_speed": [1]}, ["“learning_speed”", "learning_rate"]),
        ({"learning_speed": 1}, {"dropout": [0.1]}, ["“learning_speed”"]),
        ({}, {"dropout": [0.1, 0.95]}, ["“dropout 0.95”", "between 0.0 and 0.9"]),
        ({}, {"epochs": [1.5]}, ["“epochs 1.5”", "whole number"]),
        (
            {"network": "convnet"},
            {"image_size": [64, 32], "blocks": [5], "hflip": [True]},
            ["“image size 32, blocks 5, hflip yes”", "halve 32 pixels"],
        ),
        ({}, {"dropout": [float("nan")]}, ["nan"]),
    ],
)
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
        ("hflip", "yes, No", [True, False]),
    ],
)
def test_values_that_are_typed(name, text, values):
    found = sweep.parse_values(name, text)
    assert found == values
    assert list(map(type, found)) == list(map(type, values))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("learning_rate", "0.1, abc", ["“abc” is no number for the setting “Learning rate”", "0.0003"]),
        ("learning_rate", "0,001; 0,0003", ["“0,001”", "0.001", "“0, 001”"]),
        ("mixup_alpha", "0,1", ["“0,1”", "write 0.1", "“0, 1”"]),
        ("dropout", "nan", ["“nan”"]),
        ("dropout", "inf", ["“inf”"]),
        ("dropout", "1_0", ["“1_0”"]),
        ("dropout", "٣", ["“٣”"]),
        ("dropout", "0.1 0.2", ["“0.1 0.2”"]),
        ("epochs", "8, 16.5", ["“16.5” is no whole number for the setting “Epochs”"]),
        ("seed", "1,000", ["“000” is no whole number"]),
        ("seed", "٣", ["“٣”"]),
        ("seed", "9" * 5000, ["is no whole number"]),
        ("hflip", "perhaps", ["“perhaps” is neither yes nor no for the setting “Horizontal flip”"]),
        ("dropout", "", ["no value", "“Dropout”"]),
        ("network", " , ;\n", ["no value", "“Network architecture”"]),
        ("learning_speed", "1", ["“learning_speed”"]),
    ],
)
def test_what_cannot_be_read(name, text, words):
    with pytest.raises(SettingsError) as error:
        sweep.parse_values(name, text)
    assert_one_sentence(error, *words)


@pytest.mark.parametrize(("name", "value"), default_settings().items())
def test_every_setting_can_be_typed(name, value):
    assert sweep.parse_values(name, format_value(value)) == [value]


# --- the folder -------------------------------------------------------------------------------------------------------


def test_a_sweep_comes_back_as_it_was_made(home, practice, planned_sweep):
    assert sweep.open_sweep("Äpfel 1") == planned_sweep
    assert (planned_sweep.name, planned_sweep.job.status, planned_sweep.dataset) == (
        "Äpfel 1",
        "none",
        practice.resolve(),
    )
    assert planned_sweep.folder == home / "checkpoints" / ".sweeps" / "Äpfel 1"
    assert (planned_sweep.base, planned_sweep.grid) == (TINY, {"seed": [1, 2, 3]})
    assert planned_sweep.runs == tuple(
        PlannedRun(name=f"Äpfel 1-{number}", settings={"seed": number}) for number in (1, 2, 3)
    )
    assert planned_sweep.configs() == [TrainConfig(**TINY, seed=number) for number in (1, 2, 3)]
    assert json.loads((planned_sweep.folder / SWEEP).read_text(encoding="utf-8"))["runs"][0] == {
        "name": "Äpfel 1-1",
        "settings": {"seed": 1},
    }


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


def test_a_name_that_is_taken(home, practice, planned_sweep):
    with pytest.raises(CheckpointError) as error:
        sweep.create_sweep("Äpfel 1", practice, TINY, {"seed": [1]})
    assert_one_sentence(error, "already a sweep “Äpfel 1”")
    assert sweep.open_sweep("Äpfel 1") == planned_sweep


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
    card = Card(
        name=name,
        created="",
        classes=("A", "B"),
        network=config.network_config,
        preprocessing=steps,
        dataset=DatasetDescription(),
        threshold=None,
        training=TrainingRecord(),
        validation=None,
        heatmap_scale={},
        versions={},
    )
    checkpoint.write_card(card)
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
        ({"blocks": 3}, ["“Convolution blocks” is 3", "with 2:"]),
        ({"image_size": 48}, ["“Image size” is 48", "with 32:"]),
        ({"network": "resnet18"}, ["“Network architecture” is resnet18", "with convnet:"]),
        ({"activation": "gelu"}, ["“Activation function” is gelu", "with relu:"]),
    ],
)
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


def test_sweeps_that_a_process_works_on(planned_sweep):
    assert active_sweeps() == []
    with jobs.run_job(planned_sweep.folder, title="the sweep"):
        assert [job.title for job in active_sweeps()] == ["the sweep"]


def changed(**changes):
    return lambda values: values | changes


@pytest.mark.parametrize(
    "damage",
    [
        lambda values: None,
        lambda values: [],
        lambda values: {},
        changed(dataset=None),
        changed(base=None),
        changed(base={"learning_speed": 1}),
        changed(base={"epochs": 0}),
        changed(grid=[]),
        changed(grid={}),
        changed(grid={"seed": 3}),
        changed(grid={"seed": [[1], 2, 3]}),
        changed(grid={"seed": list(range(10**5)), "patience": list(range(900))}),
        changed(runs=[]),
        changed(runs=None),
        changed(runs=[1, 2, 3]),
        lambda values: values | {"runs": values["runs"][:2]},
        lambda values: values | {"runs": [item | {"name": "../../x"} for item in values["runs"]]},
        lambda values: values | {"runs": [item | {"name": 3} for item in values["runs"]]},
        lambda values: values | {"runs": [item | {"settings": {}} for item in values["runs"]]},
        lambda values: values | {"runs": values["runs"][::-1]},
    ],
)
def test_a_damaged_sweep_is_one_sentence(practice, planned_sweep, damage):
    sweep.create_sweep("whole", practice, TINY, {"seed": [1]})
    file = planned_sweep.folder / SWEEP
    file.write_text(json.dumps(damage(json.loads(file.read_text(encoding="utf-8")))), encoding="utf-8")
    assert_damaged()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_sweep_that_is_no_json(practice, planned_sweep, content):
    sweep.create_sweep("whole", practice, TINY, {"seed": [1]})
    (planned_sweep.folder / SWEEP).write_bytes(content)
    assert_damaged()


def assert_damaged():
    with pytest.raises(CheckpointError) as error:
        sweep.open_sweep("Äpfel 1")
    assert_one_sentence(error, SWEEP, "“Äpfel 1”", "damaged")
    assert [item.name for item in sweep.list_sweeps()] == ["whole"]
