import pytest

from tests.xrai.cli.support import TINY, assert_one_sentence
from xrai.models.checkpoint import CARD, WEIGHTS


def cut_short(practice, tmp_path, share):
    content = practice.read_bytes()
    (tmp_path / "cut.hdf5").write_bytes(content[: int(share * len(content))])
    return tmp_path / "cut.hdf5"


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.999])
def test_dataset_cut_short(call, model, practice, tmp_path, share):
    file = cut_short(practice, tmp_path, share)
    assert_one_sentence(call("train", file, "--name", "x", *TINY, "--json"), "cut.hdf5", "damaged or cut short")
    assert_one_sentence(call("evaluate", "m", file, "--json"), "cut.hdf5", "damaged or cut short")
    assert not (model.parent / "x").exists()


def test_dataset_that_is_not_there(call, model):
    assert_one_sentence(call("train", "nowhere.hdf5", "--name", "x", "--json"), "no dataset at", "nowhere.hdf5")
    assert_one_sentence(call("evaluate", "m", "nowhere", "--json"), "no dataset at")
    assert_one_sentence(call("train", "--name", "x", "--json"), "Which dataset")
    assert_one_sentence(call("evaluate", "m", "~nobody-of-that-name/d.hdf5", "--json"), "no dataset at")


def test_model_that_is_not_there(call, model, practice, scans):
    for arguments in (["evaluate", "other", practice], ["diagnose", scans[0], "--model", "other"]):
        assert_one_sentence(call(*arguments, "--json"), "no model “other”", "are: m")


@pytest.mark.parametrize("name", ["../m", "/etc", "", "CON", "m\n"])
def test_name_that_no_model_can_have(call, model, practice, scans, name):
    for arguments in (
        ["train", practice, "--name", name],
        ["evaluate", name, practice],
        ["diagnose", scans[0], "--model", name],
    ):
        assert "cannot be a model's name" in call(*arguments, "--json").err


@pytest.mark.parametrize("file", [CARD, WEIGHTS])
@pytest.mark.parametrize("content", [None, b"something else"], ids=["missing", "foreign"])
def test_model_with_a_missing_or_foreign_file(call, model, practice, scans, file, content):
    (model / file).unlink()
    if content:
        (model / file).write_bytes(content)
    for arguments in (["evaluate", "m", practice], ["diagnose", scans[0], "--model", "m"]):
        assert_one_sentence(call(*arguments, "--json"), "“m”", file)


def test_names_with_terminal_escapes_are_printed_without_them(call, tmp_path):
    escape = "\x1b]0;owned\x07\x1b[31m"
    for name in ("Normal", f"Opacity{escape}"):
        (tmp_path / "in" / name).mkdir(parents=True)
        for i in range(3):
            (tmp_path / "in" / name / f"{i}{escape}.png").write_bytes(b"no picture")
    printed = call("inspect", tmp_path / "in")
    assert "Opacity" in printed.out and "\x1b" not in printed.out + printed.err
    printed = call("diagnose", tmp_path / "in" / f"gone{escape}.png")
    assert "\x1b" not in printed.out + printed.err
