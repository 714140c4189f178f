import json
import os
import shutil
import signal
import zipfile
from collections import namedtuple

import pytest

from tests.xrai.cli.support import BAD_SCANS, assert_one_sentence, folder_of, no_space
from xrai import cli
from xrai.cli import output
from xrai.core import jobs
from xrai.data.jobs import build_folder


def test_build(call, home, drawings):
    out = home / "data" / "Übung 1.hdf5"
    printed = call("build", drawings, out, "--size", 64, "--json")
    assert printed.status == 0
    result = json.loads(printed.out)
    assert set(result) >= {"dataset", "n", "skipped", "counts"}
    assert result["n"] == sum(sum(row.values()) for row in result["counts"].values())
    assert set(result["counts"]) == {"CLEAR", "OPACITY"}
    assert out.is_file()
    job = jobs.Job(build_folder(out))
    assert job.status == "done"
    first, *_, last = job.records()
    assert (first["kind"], last["kind"], last["done"]) == ("start", "progress", result["n"])


def test_build_without_json_prints_nothing_on_standard_output(call, home, drawings):
    printed = call("build", drawings, home / "data" / "d.hdf5", "--size", 64)
    assert (printed.status, printed.out) == (0, "")
    assert "data/d.hdf5: " in printed.err


def zip_of(tmp_path, members):
    file = tmp_path / "source.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file


BAD_SOURCES = {
    "no folder": (lambda path: path / "nowhere", ["nowhere"]),
    "an empty folder": (folder_of, ["no scans"]),
    "one class": (lambda path: folder_of(path, NORMAL=3), ["NORMAL", "two"]),
    "a zip with ..": (lambda path: zip_of(path, {"NORMAL/1.png": b"x", "../PNEUMONIA/1.png": b"x"}), ["outside"]),
    "a zip bomb": (
        lambda path: zip_of(path, {f"{name}/{i}.png": bytes(10**6) for name in ("A", "B") for i in range(9)}),
        ["times its size"],
    ),
    "no zip": (lambda path: zip_of(path, {}).write_bytes(b"PK\3\4 hello") and path / "source.zip", ["zip"]),
    "an unknown Kaggle set": (lambda path: "kaggle:someone/something", ["kaggle:"]),
}


@pytest.mark.parametrize(("source", "words"), BAD_SOURCES.values(), ids=BAD_SOURCES.keys())
def test_bad_source(call, home, tmp_path, source, words):
    out = home / "data" / "d.hdf5"
    printed = call("build", source(tmp_path), out, "--json")
    assert_one_sentence(printed, *words)
    assert not list(home.rglob("*.hdf5*"))
    assert jobs.Job(build_folder(out)).status == "failed"
    assert jobs.Job(build_folder(out)).error in printed.err


@pytest.mark.parametrize(
    "arguments",
    [["out.txt"], ["/"], ["out.hdf5", "--size", 7], ["out.hdf5", "--workers", 0], ["out.hdf5", "--seed", -1]],
    ids=lambda arguments: " ".join(map(str, arguments)),
)
def test_bad_wishes_for_a_build(call, home, drawings, tmp_path, arguments):
    assert_one_sentence(call("build", drawings, tmp_path / arguments[0], *arguments[1:], "--json"))


def test_a_dataset_is_not_built_over_another(call, home, drawings, practice, tmp_path):
    out = shutil.copy(practice, tmp_path / "d.hdf5")
    before = out.read_bytes()
    assert_one_sentence(call("build", drawings, out, "--json"), "already a dataset")
    assert out.read_bytes() == before


def test_bad_scans_are_skipped_and_listed_in_a_build(call, home, tmp_path):
    source = folder_of(tmp_path, NORMAL=12, PNEUMONIA=12)
    for name, make in BAD_SCANS.items():
        (source / "NORMAL" / name).write_bytes(make(tmp_path))
    printed = call("build", source, home / "data" / "d.hdf5", "--size", 64, "--json")
    assert printed.status == 0
    result = json.loads(printed.out)
    assert (result["n"], result["skipped"]) == (24, 4)
    for name in BAD_SCANS:
        assert f"skipped NORMAL/{name}: " in printed.err


def test_class_of_bad_scans_alone(call, home, tmp_path):
    source = folder_of(tmp_path, NORMAL=5, PNEUMONIA=1)
    (source / "PNEUMONIA" / "0.png").write_bytes(b"no picture")
    assert_one_sentence(call("build", source, home / "data" / "d.hdf5", "--json"), "PNEUMONIA")
    assert not list(home.rglob("*.hdf5*"))


def test_disk_full_while_building(call, home, drawings, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 0))
    assert_one_sentence(call("build", drawings, home / "data" / "d.hdf5", "--json"), "disk is full")
    assert not list(home.rglob("*.hdf5*"))


def test_disk_too_full_for_anything(call, home, drawings, monkeypatch):
    monkeypatch.setattr("pathlib.Path.mkdir", no_space)
    assert_one_sentence(call("build", drawings, home / "d.hdf5", "--json"), "No space left")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals of this kind")
def test_ctrl_c_while_building_leaves_nothing_behind(call, home, drawings, monkeypatch):
    """As the Stop button does."""
    monkeypatch.setattr("xrai.data.dataset.writing.PROGRESS_SECONDS", 0)
    real = output.print_progress

    def interrupt(record):
        real(record)
        if record["kind"] == "progress" and record["done"] == 5:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("xrai.cli.datasets.print_progress", interrupt)
    out = home / "data" / "d.hdf5"
    printed = call("build", drawings, out, "--size", 64, "--json")
    assert printed.status == 0
    assert json.loads(printed.out) == {"dataset": None, "ended": "stopped"}
    assert not list(home.rglob("*.hdf5*"))
    assert jobs.Job(build_folder(out)).status == "stopped"
    monkeypatch.setattr("xrai.cli.datasets.print_progress", real)
    assert call("build", drawings, out, "--size", 64).status == 0


def test_building_over_a_dataset_leaves_no_failed_job_behind(home, drawings, capsys):
    """The dashboard once said in red that a dataset was not built which was there."""
    out = home / "data" / "d.hdf5"
    assert cli.main(["build", str(drawings), str(out), "--size", "32"]) == 0
    assert cli.main(["build", str(drawings), str(out), "--size", "32"]) == 1
    assert "already a dataset" in capsys.readouterr().err
    assert jobs.Job(build_folder(out)).status == "done"
