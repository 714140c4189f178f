"""The default model, renaming, and notes."""

import json
import os
from pathlib import Path

import pytest

from tests.xrai.models.model_folders import (
    be_active,
    everything,
    in_use,
    make_model,
    make_run,
    names,
    no_space,
    refused,
)
from xrai import models
from xrai.core.paths import checkpoints_dir
from xrai.evaluation.store import evaluation_folder
from xrai.models.checkpoint import CARD, CONFIG, WEIGHTS, Checkpoint, list_checkpoints, open_checkpoint


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
        [
            b"",
            b"m",
            b"[]",
            b"3",
            b'"m"',
            b"{}",
            b'{"model": 3}',
            b'{"model": null}',
            b'{"model": "../m"}',
            b"\xff",
            b'{"model": "gone"}',
            b"[" * 100_000,
        ],
    )
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
