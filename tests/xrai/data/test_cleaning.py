import errno
import shutil
from collections import namedtuple

import h5py
import numpy as np
import pytest

from xrai.core.errors import DatasetError
from xrai.data.dataset import copy_without, describe_removal, find_rows_by_name, open_dataset, writing
from xrai.data.sources import SPLITS


def test_a_copy_has_everything_but_what_was_taken_out(dataset, tmp_path):
    out, heard = tmp_path / "new" / "clean.hdf5", []
    rows = [3, 0, 3, 41]
    assert copy_without(dataset, out, rows, note="Three were taken out.", emit=heard.append)
    kept = np.setdiff1d(np.arange(len(dataset)), rows)
    with open_dataset(out) as copy:
        assert len(copy) == len(dataset) - 3
        for name in ("labels", "splits", "patients", "files", "hashes"):
            assert (getattr(copy, name) == getattr(dataset, name)[kept]).all()
        for name, column in copy.file_metadata().items():
            assert (column == dataset.file_metadata()[name][kept]).all()
        assert (copy.images(range(len(copy))) == dataset.images(kept)).all()
        for name in ("classes", "size", "source", "population", "licence", "is_phantom", "seed", "versions", "skipped"):
            assert getattr(copy, name) == getattr(dataset, name)
        assert copy.notes == (*dataset.notes, "Three were taken out.")
        assert copy.fingerprint != dataset.fingerprint
    assert heard[-1]["done"] == len(kept)
    assert list(out.parent.iterdir()) == [out]


def test_a_copy_has_the_columns_and_checksums_of_a_built_dataset(dataset, tmp_path):
    out = tmp_path / "clean.hdf5"
    copy_without(dataset, out, [0], note="")
    with h5py.File(dataset.path, locking=False) as before, h5py.File(out) as after:
        assert set(before) == set(after)
        assert set(before.attrs) == set(after.attrs)
        for name in ("images", "label", "file"):
            assert after[name].fletcher32
            assert after[name].dtype.kind == before[name].dtype.kind


def test_notes_that_count_scans_are_counted_again(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "xrai.data.dataset.cleaning.describe_split_problems",
        lambda classes, labels, *rest: [f"There are {len(labels)} scans."],
    )
    dataset.notes = ("Of a source.", f"There are {len(dataset)} scans.")
    out = tmp_path / "clean.hdf5"
    copy_without(dataset, out, [0, 1], note="Two were taken out.")
    with open_dataset(out) as copy:
        assert copy.notes == ("Of a source.", f"There are {len(dataset) - 2} scans.", "Two were taken out.")


def test_it_never_writes_over_a_dataset(dataset, tmp_path):
    out = tmp_path / "clean.hdf5"
    out.write_bytes(b"mine")
    with pytest.raises(DatasetError, match="already a dataset"):
        copy_without(dataset, out, [0], note="")
    assert out.read_bytes() == b"mine"


def test_it_stops_and_leaves_nothing(dataset, tmp_path):
    left = iter([False] * 5)
    assert not copy_without(dataset, tmp_path / "c.hdf5", [0], note="", should_stop=lambda: next(left, True))
    assert not list(tmp_path.iterdir())


def test_no_class_and_no_training_may_be_lost(dataset, tmp_path):
    with pytest.raises(DatasetError, match="Nothing of the class “OPACITY” would be left"):
        copy_without(dataset, tmp_path / "c.hdf5", np.flatnonzero(dataset.labels == 1).tolist(), note="")
    with pytest.raises(DatasetError, match="Nothing would be left to train on"):
        copy_without(dataset, tmp_path / "c.hdf5", dataset.rows("train").tolist(), note="")
    with pytest.raises(DatasetError, match="nothing to take out"):
        copy_without(dataset, tmp_path / "c.hdf5", [], note="")
    with pytest.raises(DatasetError, match="are not in"):
        copy_without(dataset, tmp_path / "c.hdf5", [len(dataset)], note="")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_nothing(dataset, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**9, 10**9 - 1000, 1000))
    with pytest.raises(DatasetError, match="the disk is full"):
        copy_without(dataset, tmp_path / "c.hdf5", [0], note="")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("room", [0, 10_000, 100_000])
def test_a_disk_that_fills_up_half_way_leaves_nothing(dataset, tmp_path, monkeypatch, room):
    real, written = writing.Disk.write, [0]

    def write(disk, data):
        written[0] += memoryview(data).nbytes
        if written[0] > room and not disk._error:
            disk._error = OSError(errno.ENOSPC, "No space left on device")
        return real(disk, data)

    monkeypatch.setattr(writing.Disk, "write", write)
    with pytest.raises(DatasetError, match="the disk is full"):
        copy_without(dataset, tmp_path / "c.hdf5", [0], note="")
    assert not list(tmp_path.iterdir())


def test_the_note_says_what_was_taken_out_of_what(dataset):
    rows = [*dataset.rows("train")[:2].tolist(), int(dataset.rows("test")[0])]
    note = describe_removal(dataset, rows, "they are copies")
    assert note == f"3 of {len(dataset)} scans of practice were taken out (train 2, test 1): they are copies."
    assert {"train", "test"} < set(SPLITS)


def test_rows_are_named_by_path_or_last_part(dataset):
    whole = dataset.files[5]
    assert find_rows_by_name(dataset, [whole, whole.rsplit("/", 1)[-1], dataset.files[2]]) == [2, 5]
    with pytest.raises(DatasetError, match="is not in the dataset"):
        find_rows_by_name(dataset, ["nobody.png"])
