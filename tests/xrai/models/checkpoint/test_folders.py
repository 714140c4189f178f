"""Model folders: names, configuration, listing."""

import json
import os

import pytest

from tests.xrai.models.checkpoint.checkpoints import CONFIG_OF, OTHER_VERSION, assert_one_sentence
from xrai.core.errors import CheckpointError
from xrai.models.checkpoint import CARD, CONFIG, HISTORY_FILE, WEIGHTS, list_checkpoints, list_models, open_checkpoint
from xrai.training.config import TrainConfig, read_train_config


def test_no_such_model_names_those_that_there_are(model):
    with pytest.raises(CheckpointError) as error:
        open_checkpoint("other").read_card()
    assert_one_sentence(error, "no model “other”", "are: m.")


def test_no_model_at_all(home):
    with pytest.raises(CheckpointError) as error:
        open_checkpoint("other").read_config()
    assert_one_sentence(error, "none yet")


@pytest.mark.parametrize("name", [CARD, WEIGHTS])
def test_missing_file(model, name):
    card = model.read_card()
    (model.folder / name).unlink()
    assert not model.is_model
    with pytest.raises(CheckpointError) as error:
        model.read_card()
        model.load_network(card)
    assert_one_sentence(error, f"has no {name}")


def test_config_comes_back(model):
    (model.folder / CONFIG).write_text(json.dumps({"dataset": "data/d.hdf5", "train": CONFIG_OF.to_dict()}))
    assert model.read_config() == {"dataset": "data/d.hdf5", "train": CONFIG_OF.to_dict()}


def test_config_that_leaves_out_settings_has_their_defaults(model):
    (model.folder / CONFIG).write_text('{"dataset": "data/d.hdf5", "train": {"epochs": 3}}')
    assert read_train_config(model) == TrainConfig(epochs=3)


@pytest.mark.parametrize(
    ("files", "taken", "resumable"),
    [
        ([], False, False),
        ([CONFIG], False, True),
        ([CARD], True, False),
        ([CONFIG, WEIGHTS], True, False),
        ([CONFIG, "state/values.json"], True, True),
        (["state.old/values.json"], True, True),
        ([CONFIG, CARD, WEIGHTS, "state/values.json"], True, True),
        ([CONFIG, "job.json"], False, True),
    ],
)
def test_a_name_is_taken_and_a_run_can_go_on(home, files, taken, resumable):
    checkpoint = open_checkpoint("m")
    for name in files:
        (checkpoint.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (checkpoint.folder / name).touch()
    assert (checkpoint.is_taken, checkpoint.can_resume) == (taken, resumable)


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b'{"dataset": "d", "train": 3}', OTHER_VERSION, b'{"dataset": "d", "train": {"epochs": 0}}'],
)
def test_foreign_config(model, content):
    (model.folder / CONFIG).write_bytes(content)
    with pytest.raises(CheckpointError) as error:
        read_train_config(model)
    assert_one_sentence(error, CONFIG)


@pytest.mark.parametrize("name", ["scratch", "imagenet", "Scratch", "ImageNet", "IMAGENET"])
def test_names_that_say_where_a_run_starts_are_none_of_a_model(home, name):
    with pytest.raises(CheckpointError) as error:
        open_checkpoint(name)
    assert_one_sentence(error, f"“{name}” cannot be a model's name", "where a run starts", "choose another")
    assert open_checkpoint(f"{name} 2").name == f"{name} 2"


@pytest.mark.parametrize("name", ["pneumonia", "Röntgen 2", "a", "résumé_1.5+x", "2026-11-21", "x" * 80, "console"])
def test_names(home, name):
    checkpoint = open_checkpoint(name)
    assert checkpoint.name == name
    assert checkpoint.folder.parent == home / "checkpoints"
    checkpoint.folder.mkdir()


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        ".",
        "..",
        "../x",
        "a/b",
        "a\\b",
        "/etc",
        "C:\\x",
        "C:",
        ".hidden",
        "-x",
        " x",
        "x ",
        "x.",
        "x\n",
        "x\0",
        "x" * 81,
        "𝔸" * 80,
        "CON",
        "nul",
        "Aux.1",
        "com1",
        "LPT9.txt",
        "a:b",
        "a*",
        "a?",
        "<x>",
        "~",
    ],
)
def test_names_refused(home, name):
    with pytest.raises(CheckpointError, match=r"cannot be a model's name"):
        open_checkpoint(name)
    assert not any((home / "checkpoints").glob("*"))


def test_list_is_newest_first_and_knows_runs_from_models(model):
    base = (model.folder / CARD).stat().st_mtime
    for age, name in enumerate(["run", "older"], start=1):
        folder = open_checkpoint(name).folder
        folder.mkdir()
        (folder / CONFIG).write_text("{}")
        os.utime(folder / CONFIG, (base - age, base - age))
    (open_checkpoint("empty").folder).mkdir()
    assert [item.name for item in list_checkpoints()] == ["m", "run", "older"]
    (open_checkpoint("older").folder / HISTORY_FILE).write_text("")
    os.utime(open_checkpoint("older").folder / HISTORY_FILE, (base + 5, base + 5))
    assert [item.name for item in list_checkpoints()] == ["older", "m", "run"]
    assert [item.name for item in list_models()] == ["m"]


def test_list_bears_files_that_are_just_being_replaced(model):
    """A card's temporary file may be gone between being listed and being looked at."""
    (model.folder / f"{CARD}.123.partial").symlink_to(model.folder / "gone")
    assert [item.name for item in list_checkpoints()] == ["m"]
