"""One folder that this account may not enter, or one dead link, hides itself and nothing else."""

import builtins
import io
import os
import shutil

import pytest

from pages.shared.navigation import DATASET, DIAGNOSE, EVALUATE, MANUAL, MODELS, TRAIN
from tests.apps import opened
from tests.xrai.models.model_folders import make_model
from xrai import models
from xrai.cli import main
from xrai.core.json_files import write_json
from xrai.core.paths import checkpoints_dir, data_dir
from xrai.data.dataset import list_datasets
from xrai.models.checkpoint import list_checkpoints, list_models
from xrai.training.sweep import list_sweeps

PAGES = (DIAGNOSE, DATASET, TRAIN, EVALUATE, MODELS, MANUAL)
READERS = (
    (os, "stat"),
    (os, "lstat"),
    (os, "listdir"),
    (os, "scandir"),
    (os, "open"),
    (io, "open"),
    (builtins, "open"),
)


@pytest.fixture
def close(monkeypatch):
    """Closes a folder to this account, which may be one that the system's own permissions do not hold."""
    closed = []

    def forbidding(real, lists):
        def act(path=".", *arguments, **named):
            text = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
            if any(text.startswith(f"{folder}{os.sep}") or (lists and text == folder) for folder in closed):
                raise PermissionError(13, "Permission denied", text)
            return real(path, *arguments, **named)

        return act

    for module, name in READERS:
        monkeypatch.setattr(module, name, forbidding(getattr(module, name), name in ("listdir", "scandir")))
    return lambda folder: closed.append(str(folder))


@pytest.fixture
def full_home(home, practice):
    """A dataset, a model, and a second model that can be closed."""
    shutil.copy(practice, data_dir() / "practice.hdf5")
    make_model("mine")
    return make_model("theirs").folder


def link(name, target):
    try:
        (data_dir() / name).symlink_to(target)
    except OSError:
        pytest.skip("no links here")


def test_a_closed_model_folder_hides_itself_alone(full_home, close, capsys):
    close(full_home)
    assert [item.name for item in list_checkpoints()] == ["mine"]
    assert [item.name for item in list_models()] == ["mine"]
    assert [item.name for item in models.list_summaries()] == ["mine"]
    assert models.default_model().name == "mine"
    assert main(["models"]) == 0
    assert "mine" in capsys.readouterr().out


def test_a_closed_default_model_leaves_the_others(full_home, close):
    models.set_default(models.default_model())
    write_json(checkpoints_dir() / "default.json", {"model": "theirs"})
    close(full_home)
    assert models.default_model().name == "mine"


@pytest.mark.parametrize("inner", ["", "s"])
def test_closed_sweeps_hide_themselves_alone(full_home, close, inner):
    folder = checkpoints_dir() / ".sweeps" / "s"
    folder.mkdir(parents=True)
    write_json(folder / "sweep.json", {})
    close(folder.parent / inner if inner else folder.parent)
    assert list_sweeps() == []
    assert {item.name for item in list_models()} == {"theirs", "mine"}


@pytest.mark.parametrize("target", ["gone/usb.hdf5", "usb.hdf5"], ids=["nowhere", "to itself"])
def test_a_dead_link_among_the_datasets_hides_itself_alone(full_home, target):
    link("usb.hdf5", data_dir() / target)
    assert [item.name for item in list_datasets()] == ["practice.hdf5"]


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_beside_closed_folders_and_dead_links(full_home, close, page):
    link("usb.hdf5", data_dir() / "usb.hdf5")
    for name in (checkpoints_dir() / ".sweeps", data_dir() / ".jobs"):
        name.mkdir(exist_ok=True)
        close(name)
    close(full_home)
    app = opened(page)
    assert not app.error
