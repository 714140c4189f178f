"""Exporting a model as a zip."""

import io
import os
import shlex
import zipfile

import pytest

from tests.xrai.models.model_folders import TINY, be_active, everything, make_run, no_space, refused
from xrai import models
from xrai.core.json_files import HISTORY_FILE, JOB_FILE, write_json
from xrai.models.checkpoint import CARD, CONFIG, WEIGHTS, open_checkpoint


class TestExport:
    def test_holds_what_the_model_needs_and_nothing_that_names_scans(self, model, tmp_path):
        for private in ("state/values.json", "evaluations/d.json", "log.txt", "job.lock"):
            (model.folder / private).parent.mkdir(exist_ok=True)
            (model.folder / private).write_text("scan-of-mrs-x.png")
        write_json(model.folder / JOB_FILE, {"status": "done"})
        models.set_note(model, "mine")
        models.export_model(model, tmp_path / "out.zip")
        with zipfile.ZipFile(tmp_path / "out.zip") as archive:
            packing = {info.filename: info.compress_type for info in archive.infolist()}
            assert archive.testzip() is None
        texts = dict.fromkeys(["m/config.json", "m/card.json", "m/history.jsonl", "m/note.txt"], zipfile.ZIP_DEFLATED)
        assert packing == texts | {"m/model.safetensors": zipfile.ZIP_STORED}
        assert [item.name for item in tmp_path.iterdir() if item.is_file()] == ["out.zip"]

    def test_into_an_open_file(self, model):
        out = io.BytesIO()
        models.export_model(model, out)
        assert models.import_model(out).name == "m-2"

    def test_files_older_than_zips_are_borne(self, model):
        os.utime(model.folder / CONFIG, (0, 0))
        models.export_model(model, io.BytesIO())

    def test_only_of_a_finished_model(self, model, tmp_path):
        with refused("“run” is no finished model"):
            models.export_model(make_run("run"), tmp_path / "out.zip")
        with refused("no model or run “gone”"):
            models.export_model(open_checkpoint("gone"), tmp_path / "out.zip")
        (model.folder / CARD).write_text("{}")
        with refused("card.json"):
            models.export_model(model, tmp_path / "out.zip")
        assert not (tmp_path / "out.zip").exists()

    def test_not_while_its_weights_change(self, model, tmp_path):
        be_active(model)
        with refused("is being trained now"):
            models.export_model(model, tmp_path / "out.zip")

    def test_a_full_disk_keeps_the_older_export(self, model, exported, monkeypatch):
        before = exported.read_bytes()
        monkeypatch.setattr(zipfile.ZipFile, "write", no_space)
        with refused("“m” cannot be exported", "No space left"):
            models.export_model(model, exported)
        assert exported.read_bytes() == before
        assert not list(exported.parent.glob("*.partial"))

    def test_into_a_folder_that_is_not_there(self, model, tmp_path):
        with refused("“m” cannot be exported", "folder"):
            models.export_model(model, tmp_path / "none" / "out.zip")


@pytest.mark.parametrize(
    "path", ["/mnt/mrs x/d.hdf5", "D:\\mrs x\\d.hdf5", "D:/mrs x/d.hdf5", "\\\\host\\mrs x\\d.hdf5", "data/d.hdf5"]
)
def test_an_export_does_not_tell_where_the_dataset_lies(model, path):
    """The way to it may name people and machines."""
    command = shlex.join(["python", "-m", "xrai", "train", path, "--name", "Röntgen 2", "--weights", "my model"])
    model.write_card(model.read_card().replace(training={"command": command, "seconds": 1.5}))
    write_json(model.folder / CONFIG, {"dataset": path, "train": TINY.to_dict()})
    before, out = everything(), io.BytesIO()
    models.export_model(model, out)
    assert everything() == before
    with zipfile.ZipFile(out) as archive:
        assert not any(b"mrs x" in archive.read(name) for name in archive.namelist())
    imported = models.import_model(out, "theirs")
    shorter = path if path.startswith("data") else "d.hdf5"
    assert imported.read_config() == {"dataset": shorter, "train": TINY.to_dict()}
    words = shlex.split(imported.read_card().training.command)
    assert words == ["python", "-m", "xrai", "train", shorter, "--name", "Röntgen 2", "--weights", "my model"]
    assert imported.read_card().replace(name="m", training={}) == model.read_card().replace(training={})


@pytest.mark.parametrize("command", ["train '/mnt/mrs x/d.hdf5", ""])
def test_what_cannot_be_read_for_paths_is_not_exported(model, command):
    model.write_card(model.read_card().replace(training={"command": command}))
    (model.folder / CONFIG).write_text('{"dataset": "/mnt/mrs x')
    out = io.BytesIO()
    models.export_model(model, out)
    with zipfile.ZipFile(out) as archive:
        assert sorted(archive.namelist()) == [f"m/{name}" for name in sorted((CARD, HISTORY_FILE, WEIGHTS))]
        assert not any(b"mrs x" in archive.read(name) for name in archive.namelist())
    assert not models.import_model(out).read_card().training.command
