"""Datasets built in a test, and phantoms to build them from."""

import subprocess
import sys
import textwrap
import threading
from typing import Any

import numpy as np
import pytest
from PIL import Image

from xrai.core.errors import DatasetError
from xrai.core.paths import PROJECT_DIR
from xrai.data.dataset import BuildConfig, build_dataset, open_dataset
from xrai.data.dataset.checking import COLUMNS
from xrai.data.sources import find_classes, open_source
from xrai.scans import read_scan
from xrai.scans.preprocessing import to_square

SIZE = 32


def built(folder, out, **options: Any):
    """Build a dataset of a folder; its path."""
    emit, stop = (options.pop(name, None) for name in ("emit", "should_stop"))
    hooks = {name: hook for name, hook in (("emit", emit), ("should_stop", stop)) if hook}
    settings: dict[str, Any] = {"size": SIZE} | options
    with open_source(folder) as source:
        assert build_dataset(source, out, BuildConfig(**settings), **hooks)
    return out


def refused(folder, out, **options):
    """The sentence with which building fails; nothing is left at `out` that was not there."""
    before = sorted(out.parent.iterdir()) if out.parent.is_dir() else None
    with pytest.raises(DatasetError) as error:
        built(folder, out, **options)
    assert before is None or sorted(out.parent.iterdir()) == before
    assert "\n" not in str(error.value)
    return str(error.value)


def contents(path):
    """Everything that the columns of a dataset hold."""
    with open_dataset(path) as dataset:
        columns = {name: dataset._column(name).tolist() for name in COLUMNS}
        return columns | {"images": dataset.images(range(len(dataset))).tolist(), "notes": dataset.notes}


class Drawn:
    """A source of as many files as asked for, whose reading is watched; no disk is needed."""

    def __init__(self, n, tmp_path, *, bad=()):
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)).save(tmp_path / "x.png")
        self.content = (tmp_path / "x.png").read_bytes()
        self._names = [f"{'AB'[i % 2]}/{i:05}.png" for i in range(n)]
        self.bad, self.n_read, self.lock = bad, 0, threading.Lock()

    def names(self):
        return self._names

    def read(self, path):
        with self.lock:
            self.n_read += 1
        return b"no scan" if path in self.bad else self.content + path.encode()  # other bytes, the same picture

    @property
    def source(self):
        return find_classes(self, "drawn")


def run(code):
    """Run some code as a process of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def use(path):
    """Everything that is read of a dataset anywhere."""
    with open_dataset(path) as dataset:
        dataset.images(range(len(dataset)))
        dataset.describe()
        return (dataset.skipped, dataset.file_metadata(), dataset.files, dataset.notes)


def compare_with_whole(folder, tmp_path):
    with open_dataset(built(folder, tmp_path / "x.hdf5", size=224)) as dataset:
        images = dataset.images(range(len(dataset))).astype(float)
        whole = np.stack([to_square(read_scan(folder / name).pixels, 224) for name in dataset.files])
        assert np.abs(images - whole).mean() < 0.4  # of 255
        assert np.abs(images - whole).mean(axis=(1, 2)).max() < 1
