"""Fixtures of the command-line tests: the call itself and models trained by it."""

import io
import json
import shutil
from collections import namedtuple

import pytest

from tests.conftest import fit_quickly
from tests.xrai.cli.support import TINY
from xrai import cli
from xrai.core.json_files import write_json
from xrai.models.checkpoint import CONFIG


@pytest.fixture
def call(capsys):
    """Calls the command line in this process; gives its exit status and what it printed."""
    Printed = namedtuple("Printed", "status out err")

    def run(*arguments):
        capsys.readouterr()
        try:
            status = cli.main([str(item) for item in arguments])
        except SystemExit as leaving:
            status = leaving.code
        return Printed(status, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def trained(practice, tmp_path_factory):
    """The folder of a model trained by the command line."""
    home = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XRAI_HOME", str(home))
        fit_quickly(patch)
        assert cli.main(["train", str(practice), "--name", "m", *TINY]) == 0
    return home / "checkpoints" / "m"


@pytest.fixture
def model(home, trained):
    folder = home / "checkpoints" / "m"
    shutil.copytree(trained, folder)
    return folder


@pytest.fixture
def second(model):
    """A second model, `n`, of other settings than `m`."""
    folder = model.parent / "n"
    shutil.copytree(model, folder)
    config = json.loads((folder / CONFIG).read_text())
    write_json(folder / CONFIG, config | {"train": config["train"] | {"seed": 7, "hflip": True}})
    return folder


@pytest.fixture
def answer(monkeypatch):
    """Types a line at whatever asks for one."""
    return lambda line: monkeypatch.setattr("sys.stdin", io.StringIO(line))


@pytest.fixture
def scans(drawings):
    return sorted(drawings.rglob("*.png"))


@pytest.fixture
def doubled(home, drawings, tmp_path):
    """A dataset in which one file stands twice; gives its path."""
    source, out = tmp_path / "doubled", home / "data" / "doubled.hdf5"
    shutil.copytree(drawings, source)
    first = min((source / "CLEAR").iterdir())
    shutil.copy(first, first.with_name("again.png"))
    assert cli.main(["build", str(source), str(out), "--size", "64"]) == 0
    return out
