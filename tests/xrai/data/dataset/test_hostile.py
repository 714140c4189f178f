"""Dataset files made to harm, or by something else: refused with one sentence, and nothing outside them is read."""

import json
import shutil

import h5py
import numpy as np
import pytest

from tests.xrai.data.dataset.datasets import use
from xrai.core.errors import DatasetError
from xrai.data.dataset import open_dataset
from xrai.data.dataset.checking import COLUMNS


def replaced(name, values):
    def change(file):
        n = len(file["label"])
        del file[name]
        file[name] = values(n)

    return change


def attribute(name, value):
    return lambda file: file.attrs.__setitem__(name, value)


def external_storage(name, dtype, shape=()):
    def change(file):
        n = len(file["label"])
        del file[name]
        file.create_dataset(name, (n, *shape), dtype, external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])

    return change


def link(name, target):
    def change(file):
        del file[name]
        file[name] = target

    return change


def virtual(file):
    n, size = len(file["label"]), file.attrs["size"]
    del file["images"]
    layout = h5py.VirtualLayout((n, size, size), np.uint8)
    layout[:] = h5py.VirtualSource("other.h5", "images", (n, size, size))
    file.create_virtual_dataset("images", layout)


def declaring(n):
    """Rows that are nowhere stored."""

    def change(file):
        size = int(file.attrs["size"])
        for name in ("images", *COLUMNS):
            dtype, shape = file[name].dtype, (size, size) if name == "images" else ()
            del file[name]
            chunks = (1, *shape) if shape else (1 << 16,)
            file.create_dataset(name, (n, *shape), dtype, chunks=chunks, maxshape=(None, *shape))

    return change


OUTSIDE = {
    "images stored outside": external_storage("images", np.uint8, (64, 64)),
    "file names stored outside": external_storage("file", h5py.string_dtype("utf-8", 16)),
    "external link": link("images", h5py.ExternalLink("other.h5", "/images")),
    "soft link": link("file", h5py.SoftLink("/patient")),
    "soft link to itself": link("images", h5py.SoftLink("/images")),
    "external group": link("skipped", h5py.ExternalLink("other.h5", "/")),
    "virtual": virtual,
}
KINDS = {
    "labels not numbers": replaced("label", lambda n: np.full(n, np.nan)),
    "labels below 0": replaced("label", lambda n: np.full(n, -1)),
    "labels too high": replaced("label", lambda n: np.full(n, 2**64 - 1, np.uint64)),
    "labels complex": replaced("label", lambda n: np.zeros(n, np.complex64)),
    "labels yes or no": replaced("label", lambda n: np.zeros(n, bool)),
    "labels texts": replaced("label", lambda n: ["0"] * n),
    "splits halves": replaced("split", lambda n: np.full(n, 0.5)),
    "splits below 0": replaced("split", lambda n: np.full(n, -5, np.int8)),
    "files numbers": replaced("file", np.arange),
    "patients compound": replaced("patient", lambda n: np.zeros(n, [("a", "i4")])),
    "widths numbers with fractions": replaced("width", lambda n: np.full(n, np.inf)),
    "files of two dimensions": replaced("file", lambda n: [["a"]] * n),
    "classes numbers": attribute("classes", "[1, 2]"),
    "classes lists": attribute("classes", '[["a"], ["b"]]'),
    "classes a text": attribute("classes", '"ab"'),
    "classes a dictionary": attribute("classes", '{"a": 1, "b": 2}'),
    "classes twice": attribute("classes", '["a", "a"]'),
    "classes without a name": attribute("classes", '["", "a"]'),
    "classes with half a character": attribute("classes", json.dumps(["\ud800", "a"])),
    "classes without end": attribute("classes", "[" * 30_000),
    "notes a number": attribute("notes", "5"),
    "notes numbers": attribute("notes", "[1, 2]"),
    "notes with half a character": attribute("notes", json.dumps(["\ud800"])),
    "versions a list": attribute("versions", "[]"),
    "population a number": attribute("population", 5),
    "created a number": attribute("created", 5.0),
    "size below 0": attribute("size", -1),
    "size a text": attribute("size", "abc"),
    "version not a number": attribute("version", np.nan),
}
ROWS = {f"{n:,} rows": declaring(n) for n in (10**8, 10**12)}


@pytest.mark.parametrize("change", [*OUTSIDE.values(), *KINDS.values(), *ROWS.values()], ids=[*OUTSIDE, *KINDS, *ROWS])
def test_it_is_refused_with_one_sentence(practice, tmp_path, change):
    path = shutil.copy(practice, tmp_path / "x.hdf5")
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(DatasetError, match=r"x\.hdf5[^\n]*\.$"):
        open_dataset(path)


def test_one_that_is_right_is_read(practice):
    use(practice)
