import shutil
from contextlib import contextmanager

import pytest

from tests.conftest import fit_quickly
from tests.xrai.training.runs import DEMANDING, FINE, build_easy, run
from tests.xrai.training.sweeps import TINY
from xrai.models.checkpoint import open_checkpoint
from xrai.scans.preprocessing import Preprocessing
from xrai.training import sweep


@pytest.fixture(scope="session")
def easy(tmp_path_factory):
    return build_easy(tmp_path_factory.mktemp("easy") / "easy", ("CLEAR", "OPACITY"))


@pytest.fixture(scope="session")
def three(tmp_path_factory):
    return build_easy(tmp_path_factory.mktemp("three") / "three", ("COVID", "Normal", "Viral"), n=25)


@contextmanager
def separate_home(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XRAI_HOME", str(folder))
        fit_quickly(patch)
        yield folder / "checkpoints"


@pytest.fixture(scope="session")
def trained_whole(easy, tmp_path_factory):
    with separate_home(tmp_path_factory.mktemp("trained_whole")) as checkpoints:
        run(easy, "whole", **DEMANDING)
        return checkpoints


@pytest.fixture(scope="session")
def trained_origin(easy, tmp_path_factory):
    with separate_home(tmp_path_factory.mktemp("trained_origin")) as checkpoints:
        run(easy, "origin", epochs=4)
        return checkpoints


@pytest.fixture(scope="session")
def trained_fine(easy, trained_origin, tmp_path_factory):
    with separate_home(tmp_path_factory.mktemp("trained_fine")) as checkpoints:
        shutil.copytree(trained_origin, checkpoints)
        origin = open_checkpoint("origin")
        origin.write_card(origin.read_card().replace(preprocessing=Preprocessing(64, 32, 0.3, 0.25)))
        run(easy, "fine", **FINE)
        return checkpoints


@pytest.fixture
def whole(home, trained_whole):
    """The run that others are compared with, from start to end without a break."""
    shutil.copytree(trained_whole, home / "checkpoints", dirs_exist_ok=True)
    return open_checkpoint("whole")


@pytest.fixture
def origin(home, trained_origin):
    """A model that others start from."""
    shutil.copytree(trained_origin, home / "checkpoints", dirs_exist_ok=True)
    return open_checkpoint("origin")


@pytest.fixture
def fine(home, origin, trained_fine):
    """A run from that model with frozen features at first, from start to end without a break.

    The model's preprocessing differs from that of a run that starts from random weights on this dataset.
    """
    shutil.copytree(trained_fine, home / "checkpoints", dirs_exist_ok=True)
    return open_checkpoint("fine")


@pytest.fixture
def planned_sweep(home, practice):
    """A sweep of three runs, none of which has begun."""
    return sweep.create_sweep("Äpfel 1", practice, TINY | {"seed": 5}, {"seed": [1, 2, 2, 3]})
