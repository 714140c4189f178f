"""A power cut at any moment leaves a state to go on from, and a model that was reported done."""

import os
import shutil
import sys
from pathlib import Path

import pytest
import torch

from xrai.core.json_files import write_json
from xrai.models.checkpoint import STATE
from xrai.training.persistence import TENSORS_FILE, VALUES_FILE, StateValues, load_state, save_state

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="file names of descriptors are read in /proc"
)


class Disk:
    """What would be left after a power cut: a file whose content was not flushed since it was written is empty."""

    def __init__(self, monkeypatch):
        self.flushed = set()
        self.snapshots = []
        fsync, replace, rmtree = os.fsync, Path.replace, shutil.rmtree

        def recorded_fsync(descriptor):
            fsync(descriptor)
            self.flushed.add(Path(f"/proc/self/fd/{descriptor}").readlink())
            self._snapshot()

        def recorded_replace(path, target):
            moved = replace(path, target)
            for file in [item for item in self.flushed if item == path or path in item.parents]:
                self.flushed.discard(file)
                self.flushed.add(Path(target) / file.relative_to(path))
            self._snapshot()
            return moved

        def recorded_rmtree(folder, **options):
            rmtree(folder, **options)
            self.flushed = {item for item in self.flushed if item != Path(folder) and Path(folder) not in item.parents}
            self._snapshot()

        monkeypatch.setattr(os, "fsync", recorded_fsync)
        monkeypatch.setattr(Path, "replace", recorded_replace)
        monkeypatch.setattr(shutil, "rmtree", recorded_rmtree)

    def _snapshot(self):
        self.snapshots.append({file for file in self.flushed if file.is_file()})


def values_of(epoch):
    return StateValues.model_construct(epoch=epoch)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(StateValues, "to_dict", lambda self: {"epoch": self.epoch})
    return tmp_path / STATE


def has_whole_state(files, folder):
    places = (folder, folder.with_name(f"{folder.name}.old"))
    return any({place / TENSORS_FILE, place / VALUES_FILE} <= files for place in places)


def test_after_every_step_of_saving_there_is_a_whole_state(folder, monkeypatch):
    save_state(folder, {"network.a": torch.ones(3)}, values_of(1))
    disk = Disk(monkeypatch)
    for file in (folder / TENSORS_FILE, folder / VALUES_FILE):
        disk.flushed.add(file)
    for epoch in (2, 3):
        save_state(folder, {"network.a": torch.full((3,), epoch)}, values_of(epoch))
    assert len(disk.snapshots) > 8
    assert all(has_whole_state(files, folder) for files in disk.snapshots)


def test_saving_goes_on_from_a_cut_between_its_two_renames(folder, monkeypatch):
    save_state(folder, {"network.a": torch.ones(3)}, values_of(1))
    folder.rename(folder.with_name(f"{folder.name}.old"))
    disk = Disk(monkeypatch)
    disk.flushed |= {folder.with_name(f"{folder.name}.old") / name for name in (TENSORS_FILE, VALUES_FILE)}
    save_state(folder, {"network.a": torch.ones(3)}, values_of(2))
    assert all(has_whole_state(files, folder) for files in disk.snapshots)


def test_a_state_without_its_new_name_is_read_by_its_old_one(folder, monkeypatch):
    save_state(folder, {"network.a": torch.ones(3)}, values_of(1))
    folder.rename(folder.with_name(f"{folder.name}.old"))
    monkeypatch.setattr(StateValues, "model_validate_json", lambda text: text)
    tensors, values = load_state(folder)
    assert tensors["network.a"].tolist() == [1, 1, 1] and b"1" in values


def test_a_document_is_on_the_disk_when_it_gets_its_name(tmp_path, monkeypatch):
    disk = Disk(monkeypatch)
    for number in range(3):
        write_json(tmp_path / "card.json", {"number": number})
        assert tmp_path / "card.json" in disk.snapshots[-1]
    assert all(tmp_path / "card.json" in files for files in disk.snapshots[2:] if files)
