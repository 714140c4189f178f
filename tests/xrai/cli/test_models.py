import io
import json
import zipfile

import pytest

from tests.xrai.cli.support import assert_one_sentence
from xrai import models
from xrai.core import jobs
from xrai.models.artifacts import load_artifacts
from xrai.models.checkpoint import CARD, CONFIG, open_checkpoint


def test_models(call, second):
    models.set_note(open_checkpoint("n"), "the first line\nand the second one")
    models.set_default(open_checkpoint("n"))
    result = {item["name"]: item for item in json.loads(call("models", "--json").out)}
    assert set(result) == {"m", "n"}
    assert (result["n"]["is_default"], result["m"]["is_default"]) == (True, False)
    assert result["n"]["config"]["seed"] == 7
    assert result["n"]["classes"] == ["CLEAR", "OPACITY"]
    printed = call("models")
    assert printed.status == 0
    assert "validation accuracy 0." in printed.out
    assert "    the first line\n    and the second one\n" in printed.out
    (line,) = [line for line in printed.out.splitlines() if line.startswith("n: ")]
    assert ", default, done" in line


def test_models_where_there_is_none(call, home):
    assert (call("models").out, call("models").err) == ("", "there is no run or model yet\n")
    assert json.loads(call("models", "--json").out) == []
    assert_one_sentence(call("models", "default", "m", "--json"), "no run or model “m”", "none yet")
    assert_one_sentence(call("diagnose", "x.png", "--json"), "no model yet", "models import")


def test_a_broken_model_is_listed_with_its_problem(call, second):
    (second / CARD).write_text("[")
    printed = call("models")
    assert printed.status == 0
    assert "card.json of the model “n” is damaged" in printed.out
    (second / CONFIG).write_text("[")
    printed = call("models", "compare", "n", "m")
    assert "network            unknown" in printed.out


def test_compare(call, second):
    for arguments in (["compare", "n", "m", "--json"], ["--json", "compare", "n", "m"]):
        printed = call("models", *arguments)
        first, other = json.loads(printed.out)
        assert (first["name"], other["name"]) == ("n", "m")
        assert (first["settings"], other["settings"]) == ({"hflip": True, "seed": 7}, {"hflip": False, "seed": 0})
        assert set(first) == {
            "name",
            "settings",
            "accuracy",
            "accuracy_interval",
            "auc",
            "auc_interval",
            "n_validation",
        }
    printed = call("models", "compare", "n", "m")
    assert "    seed               7\n" in printed.out
    assert "    hflip              yes\n" in printed.out
    assert "do not differ" in call("models", "compare", "m", "m").err
    assert_one_sentence(call("models", "compare", "m", "gone", "--json"), "no run or model “gone”", "are: ")


def test_rename_note_default(call, second, practice, scans):
    assert json.loads(call("models", "rename", "n", "Röntgen 2", "--json").out) == {
        "model": "Röntgen 2",
        "done": "renamed",
    }
    assert json.loads(call("models", "--json", "note", "m", "for\nchildren").out)["model"] == "m"
    assert models.read_note(open_checkpoint("m")) == "for\nchildren"
    assert call("models", "note", "m", "").err == "m: noted\n"
    assert models.read_note(open_checkpoint("m")) == ""
    for name in ("m", "Röntgen 2"):
        assert call("models", "default", name).status == 0
        assert json.loads(call("diagnose", scans[0], "--json").out)[0]["model"] == name


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rename", "m", "n"], ["“n” is already taken"]),
        (["rename", "m", "../x"], ["cannot be a model's name"]),
        (["rename", "m", "default.json"], ["cannot be a model's name"]),
        (["rename", "gone", "x"], ["no run or model “gone”", "are: "]),
        (["note", "m", "x" * 2001], ["2,001 characters"]),
        (["note", "gone", "x"], ["no run or model “gone”"]),
        (["default", "../m"], ["cannot be a model's name"]),
        (["default", "run"], ["“run” is no finished model"]),
        (["export", "run", "x.zip"], ["“run” is no finished model"]),
        (["export", "m", "nowhere/x.zip"], ["cannot be exported"]),
        (["import", "gone.zip"], ["“gone.zip” cannot be opened"]),
        (["import", "pyproject.toml"], ["not a zip"]),
        (["delete", "gone", "--yes"], ["no run or model “gone”"]),
        (["delete", "gone"], ["no run or model “gone”"]),  # and not asked about
    ],
)
def test_what_models_refuses(call, second, arguments, words):
    (second.parent / "run").mkdir()
    (second.parent / "run" / CONFIG).write_text("{}")
    before = sorted(item.name for item in second.parent.iterdir())
    printed = call("models", *arguments, "--json")
    assert_one_sentence(printed, *words)
    assert "Type yes" not in printed.err
    assert sorted(item.name for item in second.parent.iterdir()) == before


def test_a_model_that_is_trained_now_is_left_alone(call, model, tmp_path):
    with jobs.run_job(model, title="m"):
        for arguments in (["rename", "m", "x"], ["delete", "m", "--yes"], ["export", "m", tmp_path / "m.zip"]):
            assert_one_sentence(call("models", *arguments, "--json"), "“m” is being trained now")
    assert model.is_dir()


def test_export_and_import(call, model, tmp_path):
    file = tmp_path / "out.zip"
    assert json.loads(call("models", "export", "m", file, "--json").out)["done"] == f"exported to {file}"
    assert json.loads(call("models", "import", file, "--json").out)["model"] == "m-2"
    assert json.loads(call("models", "import", file, "--name", "theirs", "--json").out)["model"] == "theirs"
    assert open_checkpoint("theirs").read_card().classes == ("CLEAR", "OPACITY")
    assert_one_sentence(call("models", "import", file, "--name", "m", "--json"), "already taken")


def test_delete_without_anybody_to_answer_is_no_success(call, model, monkeypatch):
    """A script once believed that the model was deleted."""
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    printed = call("models", "delete", "m", "--json")
    assert printed.status == 1
    assert "give --yes" in printed.err
    assert model.is_dir()


def test_delete_asks_first(call, second, answer):
    for said in ("no\n", "y\n", "\n"):
        answer(said)
        printed = call("models", "delete", "n", "--json")
        assert json.loads(printed.out) == {"model": "n", "done": "kept"}
        assert "Delete “n” for good? Type yes: " in printed.err
        assert second.is_dir()
    answer(" Yes\n")
    assert json.loads(call("models", "delete", "n", "--json").out)["done"] == "deleted"
    assert not second.exists()
    answer("no\n")
    printed = call("models", "delete", "m", "--yes")
    assert printed.err == "m: deleted\n"
    assert not open_checkpoint("m").folder.exists()


def test_an_export_takes_the_kit_along(call, model, tmp_path):
    assert call("models", "export", "m", tmp_path / "m.zip").status == 0
    assert call("models", "import", tmp_path / "m.zip", "--name", "again").status == 0
    again = open_checkpoint("again")
    assert load_artifacts(again, again.read_card()).input_check
    with zipfile.ZipFile(tmp_path / "m.zip") as archive, zipfile.ZipFile(tmp_path / "bad.zip", "w") as bad:
        for name in archive.namelist():
            bad.writestr(name, b"no tensors" if name.endswith("artifacts.safetensors") else archive.read(name))
    assert call("models", "import", tmp_path / "bad.zip", "--name", "bad").status == 0
    assert not (open_checkpoint("bad").folder / "artifacts.safetensors").exists()


def test_intended_use_is_stored_and_what_is_not_given_stays(call, model):
    assert call("models", "intended-use", "m", "--ages", "1-5", "--views", "AP", "PA").status == 0
    assert call("models", "intended-use", "m", "--teaching", "yes").status == 0
    use = open_checkpoint("m").read_card().intended_use
    assert (use.min_age, use.max_age, use.views, use.is_teaching) == (1, 5, ("AP", "PA"), True)


@pytest.mark.parametrize("ages", ["5-1", "one-five", "5", "0-200"])
def test_ages_that_are_no_range_are_refused(call, model, ages):
    assert call("models", "intended-use", "m", "--ages", ages).status == 2
