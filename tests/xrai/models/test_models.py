"""The models in `checkpoints/`: whatever lies there or comes in a zip, the list stays whole and nothing leaks out."""

import errno
import io
import itertools
import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import torch

from tests.apps import write_run
from xrai import models
from xrai.core.errors import CheckpointError
from xrai.core.json_files import HISTORY_FILE, JOB_FILE, read_records, write_json
from xrai.core.paths import PROJECT_DIR, checkpoints_dir
from xrai.evaluation.store import evaluation_folder
from xrai.models.card import Card
from xrai.models.checkpoint import CARD, CONFIG, WEIGHTS, Checkpoint, list_checkpoints, open_checkpoint
from xrai.networks.build import build_network
from xrai.scans.preprocessing import Preprocessing
from xrai.training.config import TrainConfig, differing_settings, read_train_config

TINY = TrainConfig(network="convnet", blocks=2, filters=2, dense_units=2, image_size=32)
MEASURED = {
    "loss": 0.5,
    "n": 9,
    "accuracy": 0.8,
    "accuracy_interval": [0.7, 0.9],
    "auc": 0.9,
    "auc_interval": [0.8, 1.0],
}
TRAIN = {"loss": 0.5, "accuracy": 0.75, "auc": None}

START = {
    "kind": "start", "epochs": 2, "batches": 3, "parameters": 10, "device": "cpu", "precision": "32-true", "train": 20,
    "val": 9, "time": 1.8e9,
}  # fmt: skip
STEP = {
    "kind": "step", "progress": 0.5, "epoch": 1, "loss": 0.7, "accuracy": 0.5, "images_per_second": 9.0,
    "seconds_left": 3.0, "time": 1.8e9,
}  # fmt: skip
EPOCH = {
    "kind": "epoch", "epoch": 1, "train": TRAIN, "val": MEASURED | {"loss": 0.6}, "learning_rate": 0.001,
    "seconds": 4.5, "best": True, "time": 1.8e9,
}  # fmt: skip
LATER = EPOCH | {"epoch": 2, "best": False, "val": MEASURED | {"loss": 0.9, "accuracy": 0.1}}
END = {"kind": "end", "reason": "finished", "seconds": 12.0, "best": {"epoch": 1}, "time": 1.8e9}
RECORDS = [START, STEP, EPOCH, LATER, END]


def make_model(name, **changes):
    checkpoint = make_run(name)
    torch.manual_seed(0)
    checkpoint.save_network(build_network(TINY, 2).eval())
    values = {
        "name": "as it was trained", "created": "2026-11-21T09:00:00+00:00", "classes": ("CLEAR", "OPACITY"),
        "network": TINY.network_config, "preprocessing": Preprocessing(64, 32, 0.5, 0.25), "dataset": {"name": "d", "is_phantom": True},
        "threshold": None, "training": {"epochs_run": 2, "seconds": 12.5, "settings": TINY.to_dict()}, "validation": MEASURED,
        "heatmap_scale": {"CAM": {"CLEAR": 1.0, "OPACITY": 2.0}}, "versions": {},
    }  # fmt: skip
    checkpoint.write_card(Card(**values | changes))
    return checkpoint


def make_run(name, records=RECORDS):
    return write_run(name, records, TINY, "data/d.hdf5")


@pytest.fixture
def model(home):
    return make_model("m")


@pytest.fixture
def exported(model, tmp_path):
    models.export_model(model, tmp_path / "m.zip")
    return tmp_path / "m.zip"


@pytest.fixture
def inside(model):
    """The files of an exported model, by their path in the zip."""
    names = (CONFIG, CARD, WEIGHTS, HISTORY_FILE)
    return {f"m/{name}": (model.folder / name).read_bytes() for name in names}


def zipped(files, **options):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", **options) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return io.BytesIO(out.getvalue())


def be_active(checkpoint):
    write_json(checkpoint.folder / JOB_FILE, {"status": "starting", "time": time.time()})


def everything():
    """Every path below `checkpoints/`, with the bytes of files."""
    found = sorted(checkpoints_dir().rglob("*"))
    return {str(item.relative_to(checkpoints_dir())): item.read_bytes() if item.is_file() else None for item in found}


def names():
    return sorted(item.name for item in checkpoints_dir().iterdir())


def summary_of(name):
    return next(item for item in models.list_summaries() if item.name == name)


def refused(*words):
    return pytest.raises(CheckpointError, match="".join(f"(?=.*{word})" for word in words) + r"^[^\n]*\.$")


def no_space(*args, **options):
    raise OSError(errno.ENOSPC, "No space left on device")


def in_use(*args, **options):
    raise PermissionError(errno.EACCES, "in use")


class TestDefault:
    def test_none_where_there_is_no_model(self, home):
        assert models.default_model() is None
        make_run("run")
        assert models.default_model() is None

    def test_the_newest_then_the_shipped_then_the_chosen(self, model):
        os.utime(make_model("new").folder / CARD, (4e9, 4e9))
        assert models.default_model().name == "new"
        make_model(models.SHIPPED)
        assert models.default_model().name == models.SHIPPED
        models.set_default(model)
        assert models.default_model() == model
        assert json.loads((checkpoints_dir() / models.DEFAULT).read_text()) == {"model": "m"}

    def test_a_chosen_model_that_is_gone_or_none_any_more_does_not_count(self, model):
        shipped = make_model(models.SHIPPED)
        models.set_default(model)
        (model.folder / WEIGHTS).unlink()
        assert models.default_model() == shipped
        models.delete(model)
        assert models.default_model() == shipped

    @pytest.mark.parametrize(
        "content",
        [b"", b"m", b"[]", b"3", b'"m"', b"{}", b'{"model": 3}', b'{"model": null}', b'{"model": "../m"}', b"\xff",
         b'{"model": "gone"}', b"[" * 100_000],
    )  # fmt: skip
    def test_a_damaged_choice_counts_as_none(self, model, content):
        make_model(models.SHIPPED)
        (checkpoints_dir() / models.DEFAULT).write_bytes(content)
        assert models.default_model().name == models.SHIPPED

    @pytest.mark.parametrize("name", ["default.json", "DEFAULT.json", "Default.JSON"])
    def test_no_model_is_called_as_the_file_that_names_the_default(self, home, name):
        """A training of that name failed on a disk with a default, and took the default's place on one without."""
        with refused(f"“{name}” cannot be a model's name because"):
            open_checkpoint(name)

    def test_the_file_is_no_model(self, model):
        models.set_default(model)
        assert [item.name for item in list_checkpoints()] == ["m"]

    def test_only_a_finished_model_can_be_it(self, model):
        with refused("“run” is no finished model"):
            models.set_default(make_run("run"))
        with refused("no model or run “gone”"):
            models.set_default(open_checkpoint("gone"))
        (model.folder / CARD).write_text("{}")
        with refused("card.json"):
            models.set_default(model)
        assert not (checkpoints_dir() / models.DEFAULT).exists()

    def test_a_full_disk_keeps_the_choice(self, model, monkeypatch):
        models.set_default(model)
        other = make_model("other")
        monkeypatch.setattr("xrai.models.default.write_json", no_space)
        with refused("“other” cannot be made the default", "No space left"):
            models.set_default(other)
        assert models.default_model() == model


class TestRename:
    def test_everything_goes_along(self, model):
        models.set_note(model, "mine")
        before = {item.name: item.read_bytes() for item in model.folder.iterdir()}
        renamed = models.rename(model, "better")
        assert (renamed.name, renamed.read_card().name) == ("better", "better")
        assert {item.name: item.read_bytes() for item in renamed.folder.iterdir()} == before
        assert names() == ["better"]

    def test_the_chosen_default_follows(self, model):
        make_model(models.SHIPPED)
        models.set_default(model)
        renamed = models.rename(model, "better")
        assert models.default_model() == renamed

    def test_the_choice_is_still_one_when_there_is_a_newer_model(self, model):
        models.set_default(model)
        renamed = models.rename(model, "better")
        os.utime(make_model("new").folder / CARD, (4e9, 4e9))
        assert models.default_model() == renamed

    def test_the_default_that_nobody_chose_follows(self, model):
        shipped = make_model(models.SHIPPED)
        renamed = models.rename(shipped, "ours")
        assert models.default_model() == renamed

    def test_the_newest_model_is_no_choice_after_it_either(self, model):
        os.utime(model.folder / CARD, (1e9, 1e9))
        models.rename(make_model("new"), "newer")
        assert models.default_model().name == "newer"
        assert not (checkpoints_dir() / models.DEFAULT).exists()

    def test_another_name_leaves_the_default(self, model):
        models.set_default(model)
        models.rename(make_model("other"), "third")
        assert models.default_model() == model

    def test_a_run_that_is_no_model_can_be_renamed(self, home):
        assert models.rename(make_run("run"), "tried").name == "tried"
        assert names() == ["tried"]

    @pytest.mark.parametrize("name", ["other", "OTHER", "Other"])
    def test_a_taken_name(self, model, name):
        make_run("other")
        with refused(f"“{name}” is already taken"):
            models.rename(model, name)
        assert names() == ["m", "other"]

    def test_a_folder_copied_from_a_mac_has_its_name_too(self, model):
        """There the dots of an ö may be a character of their own."""
        (checkpoints_dir() / "Ro\u0308ntgen").mkdir()
        (checkpoints_dir() / "Ro\u0308ntgen" / CONFIG).touch()
        with refused("already taken"):
            models.rename(model, "R\u00f6ntgen")

    def test_a_folder_of_something_else_has_its_name_too(self, model):
        (checkpoints_dir() / "other").mkdir()
        (checkpoints_dir() / "other" / "thesis.txt").touch()
        with refused("already taken"):
            models.rename(model, "other")

    @pytest.mark.parametrize("inside", [".", "evaluations/scans-test"])
    def test_what_measuring_a_model_that_is_gone_left_does_not_block_its_name(self, model, inside):
        """The folder is listed nowhere, and so nobody could delete it."""
        (checkpoints_dir() / "Gone" / inside).mkdir(parents=True)
        (checkpoints_dir() / "other" / inside).mkdir(parents=True)
        assert models.rename(model, "gone").is_model
        assert names() == ["gone", "other"]

    def test_its_own_name_in_another_case(self, model):
        models.set_default(model)
        renamed = models.rename(model, "M")
        assert models.default_model() == renamed
        assert names() == ["M", models.DEFAULT]

    def test_its_own_name(self, model):
        assert models.rename(model, "m") == model

    @pytest.mark.parametrize("name", ["", "../x", "CON", "scratch", ".m", "x" * 81, models.DEFAULT])
    def test_bad_names(self, model, name):
        with refused("cannot be a model's name"):
            models.rename(model, name)
        assert names() == ["m"]

    def test_not_while_it_is_trained(self, model):
        be_active(model)
        with refused("“m” is being trained now"):
            models.rename(model, "better")
        assert names() == ["m"]

    def test_one_that_is_gone(self, home):
        with refused("no model or run “gone”"):
            models.rename(open_checkpoint("gone"), "better")

    def test_a_file_that_another_program_holds(self, model, monkeypatch):
        monkeypatch.setattr("xrai.core.json_files.time.sleep", lambda seconds: None)
        monkeypatch.setattr(Path, "replace", in_use)
        with refused("“m” cannot be renamed", "close other programs"):
            models.rename(model, "better")
        assert model.is_model

    def test_a_full_disk_says_that_only_the_default_is_lost(self, model, monkeypatch):
        models.set_default(model)
        monkeypatch.setattr("xrai.models.default.write_json", no_space)
        with refused("called “better” now", "default"):
            models.rename(model, "better")
        assert open_checkpoint("better").is_model


class TestNote:
    @pytest.mark.parametrize("text", ["a note", "Röntgen, دو‌خط\nand\tmore", "x" * models.MAX_NOTE])
    def test_comes_back(self, model, text):
        assert models.read_note(model) == ""
        models.set_note(model, text)
        assert models.read_note(model) == text

    def test_an_empty_one_removes_it(self, model):
        models.set_note(model, "a note")
        models.set_note(model, " \n")
        models.set_note(model, "")
        assert not (model.folder / models.NOTE).exists()

    def test_line_ends_and_what_is_no_character(self, model):
        models.set_note(model, "a\r\nb\rc\0\x1b\udcff")
        assert models.read_note(model) == "a\nb\nc"

    def test_too_long(self, model):
        with refused("2,001 characters", "2,000"):
            models.set_note(model, "x" * 2001)
        assert not (model.folder / models.NOTE).exists()

    def test_no_such_model(self, home):
        with refused("no model or run “gone”"):
            models.set_note(open_checkpoint("gone"), "a note")
        assert names() == []

    def test_written_elsewhere(self, model):
        (model.folder / models.NOTE).write_bytes(b"\xef\xbb\xbfgr\xfc\xdfe" + b"x" * 5000)
        assert models.read_note(model).startswith("gr��e")
        assert len(models.read_note(model)) <= models.MAX_NOTE

    def test_a_full_disk_keeps_the_old_one(self, model, monkeypatch):
        models.set_note(model, "old")
        monkeypatch.setattr(Path, "write_bytes", no_space)
        with refused("note on “m” cannot be saved", "No space left"):
            models.set_note(model, "new")
        assert models.read_note(model) == "old"
        assert not list(model.folder.glob("*.partial"))


class TestDelete:
    def test_nothing_stays(self, model):
        make_run("other")
        models.delete(model)
        assert names() == ["other"]

    def test_the_choice_goes_along(self, model):
        models.set_default(model)
        models.delete(model)
        make_model(models.SHIPPED)
        make_model("m")
        assert models.default_model().name == models.SHIPPED

    def test_not_while_it_is_trained(self, model):
        be_active(model)
        with refused("“m” is being trained now"):
            models.delete(model)
        assert model.is_model

    def test_one_that_is_gone(self, home):
        with refused("no model or run “gone”"):
            models.delete(open_checkpoint("gone"))

    def test_a_file_that_another_program_holds(self, model, monkeypatch):
        monkeypatch.setattr("xrai.core.json_files.time.sleep", lambda seconds: None)
        monkeypatch.setattr(Path, "replace", in_use)
        with refused("“m” cannot be deleted", "close other programs"):
            models.delete(model)
        assert model.is_model
        assert names() == ["m"]

    def test_a_half_deleted_one_is_not_listed_and_goes_with_the_next(self, model, monkeypatch):
        with monkeypatch.context() as broken:
            broken.setattr("xrai.models.deleting.shutil.rmtree", in_use)
            with refused("“m” is deleted", "a deletion tomorrow"):
                models.delete(model)
        assert list_checkpoints() == []
        (left,) = checkpoints_dir().iterdir()
        models.delete(make_model("m"))
        assert names() == [left.name]
        os.utime(left, (time.time() - 2 * 24 * 3600,) * 2)
        models.delete(make_model("m"))
        assert names() == []

    def test_two_at_once(self, model, monkeypatch):
        """Each once removed the folder that the other had moved its model into."""
        other, real = make_model("other"), models.deleting.replace_file

        def meanwhile(folder, aside):
            monkeypatch.setattr("xrai.models.deleting.replace_file", real)
            models.delete(other)
            real(folder, aside)

        monkeypatch.setattr("xrai.models.deleting.replace_file", meanwhile)
        models.delete(model)
        assert names() == []

    def test_files_that_somebody_else_clears_up_are_no_error(self, model, monkeypatch):
        real = shutil.rmtree

        def twice(folder):
            real(folder)
            real(folder)

        monkeypatch.setattr("xrai.models.deleting.shutil.rmtree", twice)
        models.delete(model)
        assert names() == []

    def test_what_a_killed_benchmark_left_goes_after_a_day(self, model):
        for name, age in ((".fold-old", 2 * 24 * 3600), (".fold-new", 60)):
            (checkpoints_dir() / name / "state").mkdir(parents=True)
            os.utime(checkpoints_dir() / name, (time.time() - age,) * 2)
        models.delete(model)
        assert names() == [".fold-new"]

    def test_a_linked_folder_loses_its_link_only(self, home, tmp_path):
        target = tmp_path / "elsewhere"
        target.mkdir()
        (target / CONFIG).write_text("{}")
        checkpoint = open_checkpoint("linked")
        checkpoint.folder.symlink_to(target)
        models.delete(checkpoint)
        assert names() == []
        assert (target / CONFIG).exists()


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


class TestImport:
    def test_comes_back_as_it_was(self, model, exported):
        models.set_note(model, "mine")
        models.export_model(model, exported)
        before = {item.name: item.read_bytes() for item in model.folder.iterdir()}
        models.delete(model)
        back = models.import_model(exported)
        assert back == model
        assert {item.name: item.read_bytes() for item in back.folder.iterdir()} == before
        assert names() == ["m"]

    def test_takes_a_free_name_or_the_given_one(self, model, exported):
        assert models.import_model(exported).name == "m-2"
        assert models.import_model(exported).name == "m-3"
        given = models.import_model(exported, "theirs")
        assert (given.name, given.read_card().name) == ("theirs", "theirs")
        assert summary_of("theirs").is_model

    def test_a_free_name_differs_in_more_than_case(self, model, exported):
        models.rename(model, "M")
        assert models.import_model(exported).name == "m-2"

    def test_a_long_name_leaves_room_for_its_number(self, home, tmp_path):
        for name in ("x" * 80, "é" * 80):
            models.export_model(make_model(name), tmp_path / "long.zip")
            assert models.import_model(tmp_path / "long.zip").name.endswith("-2")

    @pytest.mark.parametrize("name", ["m", "M"])
    def test_a_given_name_that_is_taken(self, exported, name):
        before = everything()
        with refused("already taken"):
            models.import_model(exported, name)
        assert everything() == before

    @pytest.mark.parametrize("name", ["", "../x", "CON", "imagenet", models.DEFAULT])
    def test_a_given_name_that_is_bad(self, exported, name):
        with refused("cannot be a model's name"):
            models.import_model(exported, name)

    def test_files_at_the_top_are_called_after_the_zip(self, inside, tmp_path):
        flat = zipped({name.removeprefix("m/"): content for name, content in inside.items()})
        assert models.import_model(flat).name == "imported model"
        (tmp_path / "given.zip").write_bytes(flat.getvalue())
        assert models.import_model(tmp_path / "given.zip").name == "given"
        flat.name = "upload.zip"
        assert models.import_model(flat).name == "upload"

    def test_a_folder_that_no_model_can_be_called(self, inside):
        files = {name.replace("m/", "CON/"): content for name, content in inside.items()}
        assert models.import_model(zipped(files)).name == "imported model"

    def test_unknown_files_are_left_out(self, inside):
        more = {
            "__MACOSX/m/card.json": b"x", "__MACOSX/card.json": b"x", "m/.DS_Store": b"x", "m/job.json": b"{}",
            "m/state/values.json": b"{}", "m/evaluations/card.json": b"x", "README": b"x", "m/log.txt": b"x", "n/": b"",
        }  # fmt: skip
        imported = models.import_model(zipped(inside | more), "theirs")
        assert sorted(item.name for item in imported.folder.iterdir()) == [CARD, CONFIG, HISTORY_FILE, WEIGHTS]
        assert names() == ["m", "theirs"]

    def test_can_be_read_by_whoever_can_read_the_others(self, model, exported):
        rights = [item.folder.stat().st_mode for item in (model, models.import_model(exported))]
        assert rights[0] == rights[1]

    @pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", bytes(range(256)) * 100])
    def test_no_zip(self, model, content):
        before = everything()
        with refused("not a zip"):
            models.import_model(io.BytesIO(content))
        assert everything() == before

    def test_no_file(self, home, tmp_path):
        with refused("“gone.zip” cannot be opened"):
            models.import_model(tmp_path / "gone.zip")
        with refused("cannot be opened"):
            models.import_model(tmp_path)

    def test_cut_short_or_changed_anywhere(self, exported):
        """No byte of it can be lost without being noticed, or else it did not matter."""
        whole, before = exported.read_bytes(), everything()
        for at in range(0, len(whole), 509):
            with refused(""):
                models.import_model(io.BytesIO(whole[:at]))
        with zipfile.ZipFile(exported) as archive:
            begin = archive.getinfo(f"m/{WEIGHTS}").header_offset + 200
        for at in (begin, begin + 1000):
            with refused("is damaged"):
                models.import_model(io.BytesIO(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :]))
        assert everything() == before

    def test_damaged_headers_never_end_without_a_sentence(self, exported):
        whole, before = exported.read_bytes(), names()
        end = whole.rindex(b"PK\x05\x06")
        middle = whole.index(b"PK\x01\x02")
        for at in range(middle, end + 22, 3):
            try:
                models.delete(models.import_model(io.BytesIO(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])))
            except CheckpointError as error:
                assert "\n" not in str(error)
            assert names() == before

    @pytest.mark.parametrize(
        "path",
        ["/etc/card.json", "../card.json", "m/../../card.json", "C:/card.json", "c:card.json", "m/..",
         "..\\card.json", "m\\..\\..\\card.json", "\\card.json", "C:\\card.json", "\\\\host\\x\\card.json"],
    )  # fmt: skip
    def test_a_path_outside_its_folder(self, inside, path):
        before = everything()
        with refused("holds a path outside its folder"):
            models.import_model(zipped(inside | {path: b"x"}))
        assert everything() == before

    def test_a_path_that_hides_its_end(self, inside):
        whole = zipped(inside | {"m/extra_card": b"x"}).getvalue().replace(b"m/extra_card", b"m/card.json\0")
        with refused("holds a path outside its folder"):
            models.import_model(io.BytesIO(whole))

    @pytest.mark.parametrize("name", [CARD, "else"])
    def test_a_link(self, inside, name):
        link = zipfile.ZipInfo(f"m/{name}")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        files = {known: content for known, content in inside.items() if known != link.filename}
        with refused("holds a link"):
            models.import_model(zipped(files | {link: b"/etc/passwd"}))

    def test_locked_with_a_password(self, inside):
        whole = bytearray(zipped(inside).getvalue())
        whole[whole.index(b"PK\x01\x02") + 8] |= 1
        with refused("locked with a password"):
            models.import_model(io.BytesIO(bytes(whole)))

    @pytest.mark.parametrize("lacking", [CARD, WEIGHTS])
    def test_no_model(self, inside, lacking):
        inside.pop(f"m/{lacking}")
        with refused("is no exported model of XRAI"):
            models.import_model(zipped(inside))

    def test_parts_of_a_model_in_several_folders(self, inside):
        inside["n/card.json"] = inside.pop("m/card.json")
        with refused("is no exported model of XRAI"):
            models.import_model(zipped(inside))

    def test_a_model_too_deep(self, inside):
        with refused("is no exported model of XRAI"):
            models.import_model(zipped({f"x/{name}": content for name, content in inside.items()}))

    def test_several_models(self, inside):
        with refused("more than one model"):
            models.import_model(zipped(inside | {name.replace("m/", "n/"): file for name, file in inside.items()}))

    def test_the_same_file_twice(self, inside):
        out = zipped(inside)
        with zipfile.ZipFile(out, "a") as archive:
            archive.writestr("./m/card.json", b"{}")
        with refused("same file twice"):
            models.import_model(out)

    @pytest.mark.parametrize("name", [WEIGHTS, HISTORY_FILE])
    def test_too_large_by_its_header(self, inside, monkeypatch, name):
        monkeypatch.setattr("xrai.models.importing.MAX_WEIGHTS_BYTES", 10)
        monkeypatch.setattr("xrai.models.importing.MAX_TEXT_BYTES", 10**9 if name == WEIGHTS else 10)
        before = everything()
        with refused("would unpack"):
            models.import_model(zipped(inside))
        assert everything() == before

    def test_too_large_while_it_is_read(self, inside, monkeypatch):
        """What a zip says of its sizes need not be true."""
        monkeypatch.setattr("xrai.models.importing._read_chunks", lambda *args: itertools.repeat(b"x" * 60))
        monkeypatch.setattr("xrai.models.importing.MAX_TEXT_BYTES", 10**5)
        before = everything()
        with refused("would unpack"):
            models.import_model(zipped(inside))
        assert everything() == before

    def test_a_bomb_that_lies_about_its_size(self, inside):
        bomb = zipped(inside | {"m/note.txt": b"x" * 10**6}, compression=zipfile.ZIP_DEFLATED).getvalue()
        lying = bomb.replace((10**6).to_bytes(4, "little"), (10).to_bytes(4, "little"))
        assert lying != bomb
        with refused("is damaged"):
            models.import_model(io.BytesIO(lying))

    @pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_packed_so_that_unpacking_has_no_measure(self, inside, packing):
        with refused("ordinary compression"):
            models.import_model(zipped(inside, compression=packing))

    @pytest.mark.parametrize(
        "card",
        [b"", b"[]", b"{}", b"[" * 10**5, b'{"format": "xrai-model", "version": 2}',
         b'{"format": "xrai-model", "version": Infinity}'],
    )  # fmt: skip
    def test_a_damaged_card(self, inside, card):
        before = everything()
        with refused("card"):
            models.import_model(zipped(inside | {"m/card.json": card}))
        assert everything() == before

    def test_a_card_of_more_classes_than_fit_into_the_memory(self, inside):
        card = json.loads(inside["m/card.json"])
        card["classes"] = list(map(str, range(5000)))
        card["heatmap_scale"] = {}
        with refused("5,000 classes"):
            models.import_model(zipped(inside | {"m/card.json": json.dumps(card)}))

    @pytest.mark.parametrize("weights", [b"", b"hello", b"\x80\x04\x95", b"\xff" * 1000])
    def test_damaged_weights(self, inside, weights):
        before = everything()
        with refused("model.safetensors"):
            models.import_model(zipped(inside | {"m/model.safetensors": weights}))
        assert everything() == before

    def test_weights_of_another_network(self, inside):
        card = json.loads(inside["m/card.json"])
        card["network"]["filters"] = 4
        with refused("model.safetensors"):
            models.import_model(zipped(inside | {"m/card.json": json.dumps(card)}))

    def test_lesser_files_may_lack(self, inside):
        files = {name: inside[name] for name in ("m/card.json", "m/model.safetensors")}
        found = models.import_model(zipped(files), "theirs")
        assert sorted(item.name for item in found.folder.iterdir()) == [CARD, WEIGHTS]
        summary = summary_of("theirs")
        assert (summary.problem, summary.dataset, summary.config) == ("", "d", TINY.to_dict())

    @pytest.mark.parametrize("junk", [b"", b"\xff\xfe\0", b"[1]\n", b"[" * 10**5, b'{"kind": 3}', b'{"time": 1e999}'])
    def test_damaged_lesser_files_are_left_out(self, inside, junk):
        damaged = {f"m/{name}": junk for name in (CONFIG, HISTORY_FILE)} | {"m/note.txt": b"\xff\0" * 9000}
        found = models.import_model(zipped(inside | damaged), "theirs")
        assert sorted(item.name for item in found.folder.iterdir()) == [CARD, WEIGHTS, models.NOTE]
        assert len(models.read_note(found)) <= models.MAX_NOTE
        assert summary_of("theirs").problem == ""

    def test_a_history_keeps_the_records_that_can_be_drawn(self, inside):
        unsound = [
            STEP | {"loss": "high"}, STEP | {"progress": float("nan")}, STEP | {"accuracy": True},
            EPOCH | {"val": MEASURED | {"loss": 10**400}}, EPOCH | {"best": 1}, EPOCH | {"train": [1]}, [1], 3,
            {"n": 1},
        ]  # fmt: skip
        lines = [json.dumps(record) for record in [START, *unsound, STEP, EPOCH, LATER, {"kind": "new"}, END]]
        deep = '{"kind": "step", "x": ' + "[" * 900 + "]" * 900 + "}"
        content = "\n".join([*lines, deep, "{half"]).encode()
        found = models.import_model(zipped(inside | {"m/history.jsonl": content}))
        assert read_records(found.folder / HISTORY_FILE) == [START, STEP, EPOCH, LATER, END]

    @pytest.mark.parametrize("records", [[STEP, EPOCH], [START | {"val": "9"}, STEP], [START, LATER], []])
    def test_a_history_without_a_beginning_or_a_best_epoch_is_none(self, inside, records):
        content = "\n".join(map(json.dumps, records))
        found = models.import_model(zipped(inside | {"m/history.jsonl": content}))
        assert not (found.folder / HISTORY_FILE).exists()

    def test_a_full_disk(self, inside, monkeypatch):
        before = everything()
        real = Path.open

        def opened(self, mode="r", *args, **options):
            return no_space() if mode == "wb" and self.name == WEIGHTS else real(self, mode, *args, **options)

        monkeypatch.setattr(Path, "open", opened)
        with refused("cannot be imported", "No space left", "free some disk space"):
            models.import_model(zipped(inside))
        assert everything() == before

    def test_a_full_disk_at_the_very_end(self, inside, monkeypatch):
        before = everything()
        monkeypatch.setattr("xrai.models.importing.replace_file", no_space)
        with refused("cannot be imported", "No space left"):
            models.import_model(zipped(inside))
        assert everything() == before

    def test_is_not_listed_before_it_is_checked(self, inside, monkeypatch):
        listed = []
        monkeypatch.setattr(
            "xrai.models.importing._drop_invalid_files", lambda draft: listed.extend(list_checkpoints())
        )
        models.import_model(zipped(inside))
        assert [item.name for item in listed] == ["m"]

    def test_what_a_killed_import_left_goes_after_a_day(self, exported):
        for name, age in ((".import-old", 2 * 24 * 3600), (".import-new", 60)):
            (checkpoints_dir() / name / "m").mkdir(parents=True)
            os.utime(checkpoints_dir() / name, (time.time() - age,) * 2)
        models.import_model(exported)
        assert names() == [".import-new", "m", "m-2"]


class TestSummaries:
    def test_of_a_model(self, model):
        models.set_note(model, "mine")
        assert models.list_summaries() == [
            models.Summary(
                name="m", status="none", is_model=True, is_default=True, note="mine", dataset="data/d.hdf5",
                classes=("CLEAR", "OPACITY"), config=TINY.to_dict(), accuracy=0.8, accuracy_interval=(0.7, 0.9),
                auc=0.9, auc_interval=(0.8, 1.0), n_validation=9, epochs_run=2, seconds=12.5,
                size_bytes=(model.folder / WEIGHTS).stat().st_size, created="2026-11-21T09:00:00+00:00", problem="",
            )
        ]  # fmt: skip

    def test_of_a_run_that_is_no_model_yet(self, home):
        make_run("run", [START, STEP, EPOCH, LATER])
        assert models.list_summaries() == [
            models.Summary(
                name="run", status="none", is_model=False, is_default=False, note="", dataset="data/d.hdf5",
                classes=None, config=TINY.to_dict(), accuracy=0.8, accuracy_interval=(0.7, 0.9), auc=0.9,
                auc_interval=(0.8, 1.0), n_validation=9, epochs_run=2, seconds=9.0, size_bytes=None,
                created="2027-01-15T08:00:00+00:00", problem="",
            )
        ]  # fmt: skip

    def test_the_end_of_a_run_knows_how_long_it_took(self, home):
        make_run("run")
        assert summary_of("run").seconds == 12.0

    def test_of_a_run_that_is_just_starting(self, home):
        checkpoint = open_checkpoint("run")
        checkpoint.folder.mkdir()
        be_active(checkpoint)
        summary = summary_of("run")
        assert (summary.status, summary.config, summary.problem, summary.seconds) == ("starting", {}, "", None)

    def test_measures_that_are_not_defined(self, home):
        make_model("m", validation=MEASURED | {"auc": None, "auc_interval": None})
        assert (summary_of("m").auc, summary_of("m").auc_interval) == (None, None)

    def test_newest_first_and_one_default(self, model):
        for name in ("newer", "older"):
            at = 4e9 if name == "newer" else 1e9
            folder = make_model(name).folder
            for file in folder.iterdir():
                os.utime(file, (at, at))
        models.set_default(model)
        assert [(item.name, item.is_default) for item in models.list_summaries()] == [
            ("newer", False), ("m", True), ("older", False),
        ]  # fmt: skip

    @pytest.mark.parametrize("junk", [b"", b"{}", b"[1]", b"\xff", b"[[[["])
    @pytest.mark.parametrize("name", [CARD, CONFIG, HISTORY_FILE, JOB_FILE, models.NOTE, WEIGHTS])
    def test_a_broken_folder_breaks_nothing(self, model, name, junk):
        for checkpoint in (make_model("broken"), make_run("broken run")):
            (checkpoint.folder / name).write_bytes(junk)
        found = {item.name: item for item in models.list_summaries()}
        assert sorted(found) == ["broken", "broken run", "m"]
        assert found["m"].problem == ""
        assert bool(found["broken"].problem) == (name in (CARD, CONFIG))
        assert name not in (CARD, CONFIG) or name in found["broken"].problem
        assert found["broken"].accuracy == 0.8  # of the history, where there is no card
        assert found["broken run"].config == ({} if name == CONFIG else TINY.to_dict())

    @pytest.mark.parametrize("name", [CARD, CONFIG, HISTORY_FILE])
    def test_a_file_nested_without_end_breaks_nothing(self, model, name):
        (model.folder / name).write_bytes(b"[" * 10**5)
        assert name in summary_of("m").problem or name == HISTORY_FILE

    def test_a_card_with_numbers_beyond_counting(self, model):
        card = json.loads((model.folder / CARD).read_text())
        card["validation"]["accuracy"] = 10**400
        (model.folder / CARD).write_text(json.dumps(card))
        assert "card.json" in summary_of("m").problem

    def test_a_card_whose_version_is_beyond_counting(self, model):
        (model.folder / CARD).write_text('{"format": "xrai-model", "version": Infinity}')
        with refused("card.json"):
            model.read_card()

    def test_a_card_with_a_whole_number_beyond_all_floats(self, model):
        card = json.loads((model.folder / CARD).read_text())
        for name, value in (
            ("validation", MEASURED | {"auc": 10**400}),
            ("heatmap_scale", {"CAM": {"CLEAR": 10**400}}),
        ):
            (model.folder / CARD).write_text(json.dumps(card | {name: value}))
            with refused("card.json"):
                model.read_card()

    @pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "1" + "0" * 400, "1" + "0" * 5000])
    def test_a_config_with_numbers_beyond_counting(self, model, number):
        for name in TINY.to_dict():
            asked = {"dataset": "d", "train": TINY.to_dict() | {name: "?"}}
            (model.folder / CONFIG).write_text(json.dumps(asked).replace('"?"', number))
            with refused("config.json"):
                read_train_config(model)

    def test_a_moment_that_no_calendar_has(self, home):
        make_run("run", [START | {"time": 1e200}])
        assert summary_of("run").created is None

    def test_no_card_and_no_config(self, home):
        checkpoint = open_checkpoint("run")
        checkpoint.folder.mkdir()
        write_json(checkpoint.folder / JOB_FILE, {"status": "failed", "error": "x"})
        assert (summary_of("run").status, "config.json" in summary_of("run").problem) == ("failed", True)

    def test_needs_no_torch(self, model):
        code = "import sys; from xrai import models; models.list_summaries(); print('torch' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_DIR, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "False"


class TestDifferingSettings:
    def test_in_the_order_of_the_config(self):
        one = TrainConfig(epochs=3, network="convnet", seed=1)
        two = TrainConfig(epochs=4, network="resnet18", seed=1)
        assert differing_settings([one.to_dict(), two.to_dict(), one.to_dict()]) == ["network", "epochs"]

    def test_what_is_missing_has_its_default(self):
        assert differing_settings([{"epochs": TrainConfig().epochs}, {}]) == []
        assert differing_settings([{}, {"epochs": 99}]) == ["epochs"]

    def test_less_than_two(self):
        assert differing_settings([]) == differing_settings([{"epochs": 3}]) == []


@pytest.mark.parametrize("change", [lambda model: models.rename(model, "other"), models.delete])
def test_a_model_that_is_being_measured_stays_where_it_is(model, change):
    """The measurement would end in a sentence about a file that cannot be written."""
    folder = evaluation_folder(model, Path("scans.hdf5"), "test")
    folder.mkdir(parents=True)
    be_active(Checkpoint(folder))
    before = everything()
    with refused("is being measured now"):
        change(model)
    assert everything() == before


def test_a_zip_repacked_by_windows_powershell_is_taken(inside):
    """Its Compress-Archive, up to version 5.1, writes `m\\card.json`."""
    files = {name.replace("/", "\\"): content for name, content in inside.items()} | {"m\\": b""}
    imported = models.import_model(zipped(files), "theirs")
    assert {item.name: item.read_bytes() for item in imported.folder.iterdir()} == {
        name.removeprefix("m/"): content for name, content in inside.items()
    }


def test_both_kinds_of_strokes_for_one_path_are_the_same_file_twice(inside):
    with refused("same file twice"):
        models.import_model(zipped(inside | {"m\\card.json": b"{}"}))


@pytest.mark.parametrize("code", [errno.ENOTEMPTY, errno.EEXIST])
def test_a_name_that_was_taken_during_the_import_is_said_to_be(inside, monkeypatch, code):
    """It was said to be for want of disk space."""

    def taken(fresh, file):
        raise OSError(code, os.strerror(code))

    before = everything()
    monkeypatch.setattr("xrai.models.importing.replace_file", taken)
    with refused("“theirs” was taken meanwhile", "import the model again"):
        models.import_model(zipped(inside), "theirs")
    assert everything() == before


def test_finite_weights_whose_answers_are_no_numbers_are_not_taken_in(model):
    """With a negative variance every reading ended in an error."""
    network = model.load_network(model.read_card())
    next(item for item in network.modules() if isinstance(item, torch.nn.BatchNorm2d)).running_var.fill_(-1.0)
    model.save_network(network)
    out, before = io.BytesIO(), everything()
    models.export_model(model, out)
    with refused("“m” gives no number as its answer"):
        models.import_model(out)
    assert everything() == before


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
