"""Deleting models."""

import os
import shutil
import time
from pathlib import Path

from tests.xrai.models.model_folders import be_active, in_use, make_model, make_run, names, refused
from xrai import models
from xrai.core.paths import checkpoints_dir
from xrai.models.checkpoint import CONFIG, list_checkpoints, open_checkpoint


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
