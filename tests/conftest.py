"""What several test modules share: a home of their own, a small drawn dataset, and the real scans where there are."""

import errno
import os
import signal
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xrai.data.dataset import BuildConfig, build_dataset, open_dataset
from xrai.data.sources import open_source
from xrai.input_check import fit_input_check, fitting
from xrai.scans.phantoms import draw_thorax, write_practice_set

# On pictures as small as these, several threads cost more than they bring: 4 times more on two busy cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job, whose children would ignore it too
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty XRAI_HOME: nothing of the project's own `data/` and `checkpoints/` is read or written."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("XRAI_HOME", str(folder))
    return folder


def fit_quickly(patch):
    """Let trainings learn in a blink what their scans look like."""
    for name, count in {"_N_AUGMENTED": 40, "_N_TRANSFORMED": 60, "_N_SYNTHETIC": 20, "_EPOCHS": 3}.items():
        patch.setattr(fitting, name, count)


@pytest.fixture(autouse=True)
def rough_gates(monkeypatch):
    """In every test but those of gates themselves."""
    fit_quickly(monkeypatch)


@pytest.fixture(scope="session")
def gate():
    """Fitted on thirty drawn films, well enough to tell others from them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, count in {
            "_N_AUGMENTED": 1000,
            "_N_TRANSFORMED": 2000,
            "_N_SYNTHETIC": 300,
            "_MIN_EFFORT": 1,
            "_EPOCHS": 14,
        }.items():
            patch.setattr(fitting, name, count)
        rngs = map(np.random.default_rng, range(30))
        return fit_input_check(
            np.stack([draw_thorax(rng, opacity=bool(i % 2), size=128) for i, rng in enumerate(rngs)]), range(30)
        )


@pytest.fixture(scope="session")
def drawings(tmp_path_factory):
    """A folder of drawn films, 64 pixels wide, in `CLEAR/` and `OPACITY/`: 40 patients, one to three films each."""
    folder = tmp_path_factory.mktemp("drawings")
    write_practice_set(folder, n_patients=40, seed=1, size=64)
    return folder


@pytest.fixture(scope="session")
def practice(drawings, tmp_path_factory):
    """The path of a dataset built of `drawings`, stored at 64 pixels: do not change it, copy it."""
    out = tmp_path_factory.mktemp("practice") / "practice.hdf5"
    with open_source(drawings) as source:
        assert build_dataset(source, out, BuildConfig(size=64))
    return out


@pytest.fixture
def dataset(practice):
    """The practice dataset, open for reading."""
    with open_dataset(practice) as opened:
        yield opened


@pytest.fixture(scope="session")
def real_data():
    """The folder of real scans that XRAI_REAL_DATA names, holding `datasets/` and `samples/`."""
    if not (path := os.environ.get("XRAI_REAL_DATA")):
        pytest.skip("XRAI_REAL_DATA is not set: no real scans to test on")
    folder = Path(path).resolve()
    assert (folder / "datasets").is_dir(), f"XRAI_REAL_DATA is {path}, but holds no datasets/"
    return folder


@pytest.fixture
def no_network(monkeypatch):
    """A machine without internet: no name is found and nothing can be reached."""

    def refuse(*args, **options):
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def write_scan():
    """Writes a small grey picture, 64 pixels wide unless told, that no other seed gives, and returns its path."""

    def write(file, seed=0, *, side=64, **options):
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8)
        Image.fromarray(pixels).save(file, **options)
        return file

    return write
