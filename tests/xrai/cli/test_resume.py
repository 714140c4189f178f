import json
import shutil

from tests.xrai.cli.support import TINY, assert_one_sentence
from xrai.models.checkpoint import CONFIG, open_checkpoint


def test_resume_of_an_unknown_run(call, home):
    assert_one_sentence(call("train", "--name", "x", "--resume", "--json"), "no model “x”")
    assert not (home / "checkpoints" / "x").exists()


def test_resume_of_a_run_with_a_foreign_config(call, model):
    (model / CONFIG).write_text("hello")
    assert_one_sentence(call("train", "--name", "m", "--resume", "--json"), CONFIG)


def test_resume_goes_on_with_its_own_settings(call, model, practice):
    assert_one_sentence(call("train", "--name", "m", "--resume", "--epochs", 5, "--json"), "leave out --epochs")
    printed = call("train", "--name", "m", "--resume", "--epochs", 1, "--json")
    assert printed.status == 0
    assert json.loads(printed.out)["ended"] == "finished"


def test_resume_with_a_dataset_that_has_moved(call, model, practice, tmp_path):
    config = json.loads((model / CONFIG).read_text())
    (model / CONFIG).write_text(json.dumps(config | {"dataset": "data/gone.hdf5"}))
    assert_one_sentence(call("train", "--name", "m", "--resume", "--json"), "no dataset at")
    moved = shutil.copy(practice, tmp_path / "moved.hdf5")
    assert call("train", moved, "--name", "m", "--resume", "--json").status == 0


def test_resume_takes_the_dataset_of_the_home_not_one_of_the_place_it_is_called_from(
    call, home, practice, tmp_path, monkeypatch
):
    (home / "data").mkdir()
    shutil.copy(practice, home / "data" / "d.hdf5")
    assert call("train", home / "data" / "d.hdf5", "--name", "m", *TINY).status == 0
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "data").mkdir(parents=True)
    (elsewhere / "data" / "d.hdf5").write_text("another one")
    monkeypatch.chdir(elsewhere)
    assert call("train", "--name", "m", "--resume", "--json").status == 0
    assert "another" not in call("train", "data/d.hdf5", "--name", "n", *TINY).err  # what is typed goes by the place
    assert not open_checkpoint("n").is_taken
