import errno
import io
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import zipfile
import zlib
from collections import namedtuple
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.conftest import fit_quickly
from xrai import cli, models
from xrai.cli import output
from xrai.core import jobs
from xrai.core.errors import ScanError
from xrai.core.json_files import read_records, write_json
from xrai.core.paths import PROJECT_DIR
from xrai.data.audit import load_audit
from xrai.data.dataset import open_dataset
from xrai.data.jobs import audit_folder, build_folder
from xrai.evaluation.store import REPORT_FILE, evaluation_folder, load_evaluation
from xrai.explain.overlay import OUTSIDE_BODY_WARNING
from xrai.models.artifacts import ARTIFACTS_FILE, load_artifacts, save_artifacts
from xrai.models.checkpoint import CARD, CONFIG, HISTORY_FILE, STATE, WEIGHTS, calibration_folder, open_checkpoint
from xrai.networks import summary as blueprint
from xrai.scans.phantoms import draw_thorax
from xrai.training.sweep import MAX_RUNS, create_sweep, open_sweep

TINY = [
    "--network", "convnet", "--blocks", "2", "--filters", "2", "--dense-units", "4", "--image-size", "32",
    "--epochs", "1", "--batch-size", "16",
]  # fmt: skip
TINY_SHAPE = {
    "network": "convnet", "image_size": 32, "blocks": 2, "filters": 2, "dense_units": 4, "dense_layers": 1,
    "activation": "relu", "greys": "set",
}  # fmt: skip
EVALUATION = {
    "accuracy", "accuracy_interval", "balanced_accuracy", "auc", "auc_interval", "classes", "confusion_matrix",
    "per_class", "curves", "threshold", "n", "n_patients", "brier", "split", "dataset", "model", "left_out", "seen",
    "unseen", "measured_before", "predictions", "epochs",
}  # fmt: skip


@pytest.fixture
def call(capsys):
    """Calls the command line in this process; gives its exit status and what it printed."""
    Printed = namedtuple("Printed", "status out err")

    def run(*arguments):
        capsys.readouterr()
        try:
            status = cli.main([str(item) for item in arguments])
        except SystemExit as leaving:
            status = leaving.code
        return Printed(status, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def trained(practice, tmp_path_factory):
    """The folder of a model trained by the command line."""
    home = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XRAI_HOME", str(home))
        fit_quickly(patch)
        assert cli.main(["train", str(practice), "--name", "m", *TINY]) == 0
    return home / "checkpoints" / "m"


@pytest.fixture
def model(home, trained):
    folder = home / "checkpoints" / "m"
    shutil.copytree(trained, folder)
    return folder


@pytest.fixture
def second(model):
    """A second model, `n`, of other settings than `m`."""
    folder = model.parent / "n"
    shutil.copytree(model, folder)
    config = json.loads((folder / CONFIG).read_text())
    write_json(folder / CONFIG, config | {"train": config["train"] | {"seed": 7, "flip": True}})
    return folder


@pytest.fixture
def answer(monkeypatch):
    """Types a line at whatever asks for one."""
    return lambda line: monkeypatch.setattr("sys.stdin", io.StringIO(line))


@pytest.fixture
def scans(drawings):
    return sorted(drawings.rglob("*.png"))


def assert_one_sentence(printed, *words):
    """A stated error: status 1, nothing on standard output, one line of error without traceback."""
    assert printed.status == 1, printed
    assert printed.out == ""
    assert "Traceback" not in printed.err
    (line,) = [line for line in printed.err.splitlines() if line.startswith("error:")]
    assert line.rstrip(")").endswith(".")
    for word in words:
        assert word in line


def shell(*arguments, **named):
    command = [sys.executable, "-m", "xrai", *map(str, arguments)]
    return subprocess.run(
        command, cwd=PROJECT_DIR, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False, **named
    )


# --- build, look, train, diagnose -------------------------------------------------------------------------------------


def test_build(call, home, drawings):
    out = home / "data" / "Übung 1.hdf5"
    printed = call("build", drawings, out, "--size", 64, "--json")
    assert printed.status == 0
    found = json.loads(printed.out)
    assert set(found) >= {"dataset", "n", "skipped", "counts"}
    assert found["n"] == sum(sum(row.values()) for row in found["counts"].values())
    assert set(found["counts"]) == {"CLEAR", "OPACITY"}
    assert out.is_file()
    job = jobs.Job(build_folder(out))
    assert job.status == "done"
    first, *_, last = job.records()
    assert (first["kind"], last["kind"], last["done"]) == ("start", "progress", found["n"])


def test_build_without_json_prints_nothing_on_standard_output(call, home, drawings):
    printed = call("build", drawings, home / "data" / "d.hdf5", "--size", 64)
    assert (printed.status, printed.out) == (0, "")
    assert "data/d.hdf5: " in printed.err


def test_look(call, home, drawings):
    printed = call("look", drawings, "--json")
    assert printed.status == 0
    assert set(json.loads(printed.out)["counts"]) == {"CLEAR", "OPACITY"}
    assert "CLEAR" in call("look", drawings).out


def test_train(call, home, practice):
    printed = call("train", practice, "--name", "Mein Modell", *TINY, "--flip", "yes", "--json")
    assert printed.status == 0, printed.err
    found = json.loads(printed.out)
    assert found["model"] == "Mein Modell"
    assert found["classes"] == ["CLEAR", "OPACITY"]
    assert found["ended"] == "finished"
    assert 0 <= found["validation"]["accuracy"] <= 1
    assert "epoch 1: loss" in printed.err
    assert "done after 1 epoch, the best one was 1: checkpoints/Mein Modell" in printed.err
    checkpoint = open_checkpoint("Mein Modell")
    assert sorted(item.name for item in checkpoint.folder.iterdir() if item.suffix != ".lock") == sorted(
        [CARD, CONFIG, HISTORY_FILE, ARTIFACTS_FILE, WEIGHTS, STATE, jobs.JOB_FILE]
    )
    assert checkpoint.read_config()["train"]["flip"] is True
    assert jobs.Job(checkpoint.folder).status == "done"
    kinds = [item["kind"] for item in read_records(checkpoint.folder / HISTORY_FILE)]
    assert list(dict.fromkeys(kinds)) == ["start", "step", "epoch", "ready", "end"]


def test_train_finds_a_dataset_by_its_name(call, home, practice):
    (home / "data").mkdir()
    shutil.copy(practice, home / "data" / "chest.hdf5")
    for number, given in enumerate(("chest", "chest.hdf5", "data/chest.hdf5")):
        assert call("train", given, "--name", f"m{number}", *TINY).status == 0
        assert open_checkpoint(f"m{number}").read_config()["dataset"] == "data/chest.hdf5"


def test_diagnose(call, model, scans, tmp_path):
    printed = call("diagnose", *scans[:3], "--model", "m", "--heatmap", tmp_path / "maps", "--json")
    assert printed.status == 0, printed.err
    found = json.loads(printed.out)
    assert [item["file"] for item in found] == [str(item) for item in scans[:3]]
    for item in found:
        assert set(item["probabilities"]) == {"CLEAR", "OPACITY"}
        assert sum(item["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert item["diagnosis"] in item["probabilities"]
        assert set(item["warnings"]) <= {OUTSIDE_BODY_WARNING}  # so small a network may look anywhere
        assert item["model"] == "m"
        with Image.open(item["heatmap"]) as image:
            assert image.size == (128, 64)
    printed = call("diagnose", scans[0], "--model", "m")
    assert found[0]["diagnosis"] in printed.out
    assert "%" in printed.out


def test_one_bad_file_does_not_hold_up_the_others(call, model, scans, tmp_path):
    (tmp_path / "bad.jpg").write_text("no picture")
    printed = call(
        "diagnose", scans[0], tmp_path / "bad.jpg", tmp_path / "gone.png", scans[1], "--model", "m", "--json"
    )
    assert printed.status == 1
    good, bad, gone, last = json.loads(printed.out)
    assert "diagnosis" in good
    assert "diagnosis" in last
    assert set(bad) == set(gone) == {"file", "error"}
    assert printed.err.count("error: ") == 2


def test_heatmaps_of_files_of_one_name_and_of_a_second_call(call, model, scans, tmp_path):
    files = []
    for number, folder in enumerate("ab"):
        (tmp_path / folder).mkdir()
        files.append(shutil.copy(scans[number], tmp_path / folder / "scan.png"))
    maps = tmp_path / "maps"
    first = json.loads(call("diagnose", *files, "--model", "m", "--heatmap", maps, "--json").out)
    assert len({item["heatmap"] for item in first}) == 2
    again = json.loads(call("diagnose", *files, "--model", "m", "--heatmap", maps, "--json").out)
    assert first == again
    assert len(list(maps.iterdir())) == 2


def test_a_heatmap_that_cannot_be_written_does_not_cost_the_reading(call, model, scans, tmp_path):
    (tmp_path / "file").touch()
    printed = call("diagnose", scans[0], "--model", "m", "--heatmap", tmp_path / "file", "--json")
    assert printed.status == 1
    (found,) = json.loads(printed.out)
    assert found["diagnosis"] in ("CLEAR", "OPACITY")
    assert any("heatmap cannot be written" in warning for warning in found["warnings"])
    assert "Traceback" not in printed.err


# --- evaluate ---------------------------------------------------------------------------------------------------------


def test_evaluate(call, model, practice):
    printed = call("evaluate", "m", practice, "--split", "val", "--json")
    assert printed.status == 0
    assert printed.err.splitlines()[-1] == "{0} of {0} scans".format(json.loads(printed.out)["n"])
    found = json.loads(printed.out)
    assert set(found) >= EVALUATION
    of_class = {"precision", "recall", "f1", "auc"}
    assert set(found["per_class"]) == set(found["curves"]) == {"CLEAR", "OPACITY"}
    for name, row in found["per_class"].items():
        assert set(row) == of_class | {f"{measure}_interval" for measure in of_class} | {"support"}
        assert set(found["curves"][name]) == {"roc", "precision_recall", "average_precision"}
    assert sum(map(sum, found["confusion_matrix"])) == found["n"] == len(found["predictions"])
    assert found["seen"] == found["n"]  # it was chosen by them
    assert found["unseen"] is None
    assert found["measured_before"] == 0
    assert [record["epoch"] for record in found["epochs"]] == [1]
    first = found["predictions"][0]
    assert set(first) == {"row", "file", "patient", "truth", "called", "probabilities"}
    assert sum(first["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    right = sum(item["truth"] == item["called"] for item in found["predictions"])
    assert right / found["n"] == pytest.approx(found["accuracy"])


def test_evaluate_for_people(call, model, practice):
    call("evaluate", "m", practice, "--split", "val")
    printed = call("evaluate", "m", practice, "--split", "val")
    assert printed.status == 0
    for word in (
        "accuracy", "OPACITY", "recall", "AUC against the rest", "confusion matrix", "chosen by them",
        "measured on this split once before",
    ):  # fmt: skip
        assert word in printed.out
    assert "left out" not in printed.out
    assert "measured on this split 2 times before" in call("evaluate", "m", practice, "--split", "val").out


def test_evaluate_leaves_its_measurement_and_a_done_job_behind(call, model, practice):
    for n in (1, 2):
        found = json.loads(call("evaluate", "m", practice, "--json").out)
        assert found["measured_before"] == n - 1
        assert len(open_checkpoint("m").read_card().evaluations) == n
    folder = evaluation_folder(open_checkpoint("m"), practice, "test")
    assert list((model / "evaluations").iterdir()) == [folder]
    (table,) = folder.glob("predictions-*.csv")
    assert {item.name for item in folder.iterdir()} - {jobs.LOCK_FILE} == {
        REPORT_FILE,
        table.name,
        HISTORY_FILE,
        jobs.JOB_FILE,
    }
    job = jobs.Job(folder)
    assert (job.status, job.title) == ("done", "Measuring m on practice, test")
    assert [(record["kind"], record["done"]) for record in job.records()] == [("progress", found["n"])]
    kept = load_evaluation(folder)
    assert kept.report == {name: found[name] for name in kept.report}
    assert set(found) - set(kept.report) == {"predictions", "epochs"}
    assert kept.predictions.to_list(kept.classes) == found["predictions"]


def test_evaluate_without_some_scans(call, model, practice, tmp_path):
    with open_dataset(practice) as dataset:
        files = [str(dataset.files[row]) for row in dataset.rows("test")]
    listed = tmp_path / "list.txt"
    listed.write_bytes(f"\ufeff{files[0]}\r\n\r\n  {files[1].rsplit('/', 1)[-1]}  ".encode())
    found = json.loads(call("evaluate", "m", practice, "--without", listed, "--json").out)
    assert (found["left_out"], found["n"]) == (2, len(files) - 2)
    assert not set(files[:2]) & {item["file"] for item in found["predictions"]}
    assert open_checkpoint("m").read_card().evaluations[-1]["left_out"] == 2
    assert "2 scans of the split were left out" in call("evaluate", "m", practice, "--without", listed).out


def test_evaluate_without_what_is_not_there(call, model, practice, tmp_path):
    listed = tmp_path / "list.txt"
    listed.write_text("nobody.png")
    assert_one_sentence(
        call("evaluate", "m", practice, "--without", listed, "--json"), "“nobody.png”", "no file of the test split"
    )
    assert_one_sentence(
        call("evaluate", "m", practice, "--without", tmp_path / "gone", "--json"), "gone", "No such file", "text file"
    )
    listed.write_bytes(b"\xff\xfe\0")
    assert_one_sentence(call("evaluate", "m", practice, "--without", listed, "--json"), "it is no text")
    assert open_checkpoint("m").read_card().evaluations == []


def test_evaluate_on_classes_that_are_spelled_otherwise(call, model, home, tmp_path, drawings):
    """Their order by name is another, too."""
    source = tmp_path / "source"
    for old, new in (("CLEAR", "c lear"), ("OPACITY", "_Opacity")):
        shutil.copytree(drawings / old, source / new)
    assert call("build", source, home / "data" / "respelled.hdf5", "--size", 64).status == 0
    with open_dataset(home / "data" / "respelled.hdf5") as dataset:
        assert dataset.classes == ("_Opacity", "c lear")
        support = [int((dataset.labels[dataset.rows("test")] == label).sum()) for label in (1, 0)]
    found = json.loads(call("evaluate", "m", "respelled", "--json").out)
    assert found["classes"] == ["CLEAR", "OPACITY"]
    assert [row["support"] for row in found["per_class"].values()] == support
    for item in found["predictions"]:
        assert item["truth"] == ("CLEAR" if item["file"].startswith("c lear/") else "OPACITY")


def test_the_same_split_is_not_measured_twice_at_once(call, model, practice):
    with jobs.run_job(evaluation_folder(open_checkpoint("m"), practice, "test"), title="x"):
        printed = call("evaluate", "m", practice, "--json")
        assert_one_sentence(printed, "Measuring m on practice, test", "already running")
        assert call("evaluate", "m", practice, "--split", "val", "--json").status == 0
    assert [item["split"] for item in open_checkpoint("m").read_card().evaluations] == ["val"]


def test_a_measurement_can_be_stopped(call, model, practice, monkeypatch):
    """It once said that it would stop, and went on to its end."""
    monkeypatch.setattr("xrai.evaluation.evaluate.BATCH_SIZE", 1)
    folder = evaluation_folder(open_checkpoint("m"), practice, "test")
    folder.mkdir(parents=True)
    real = output.print_progress

    def stop(record):
        real(record)
        if record["done"] == 2:
            jobs.Job(folder).stop()

    monkeypatch.setattr("xrai.cli.readings.print_progress", stop)
    printed = call("evaluate", "m", practice, "--json")
    assert printed.status == 0
    assert json.loads(printed.out) == {"model": "m", "ended": "stopped"}
    job = jobs.Job(folder)
    assert (job.status, len(job.records())) == ("stopped", 2)
    assert not (job.folder / REPORT_FILE).exists()
    assert open_checkpoint("m").read_card().evaluations == []


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_measurement_that_cannot_be_kept_is_printed_all_the_same(call, model, practice, monkeypatch, options):
    """Else the look at the test split would be spent for nothing."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("xrai.evaluation.evaluate.save_evaluation", full)
    printed = call("evaluate", "m", practice, *options)
    assert printed.status == 1
    assert "cannot be kept in the folder of the model “m” (No space left on device)" in printed.err
    if options:
        assert set(json.loads(printed.out)) >= EVALUATION
    else:
        assert "confusion matrix" in printed.out
    assert len(open_checkpoint("m").read_card().evaluations) == 1
    job = jobs.Job(evaluation_folder(open_checkpoint("m"), practice, "test"))
    assert (job.status, job.error) == ("failed", printed.err.splitlines()[-1].removeprefix("error: "))


def test_figures_that_are_not_defined_are_dashes(call, model, practice):
    """The precision of a class that is never called once read 0.000."""
    card = open_checkpoint("m").read_card()
    never = replace(card, threshold={"class": card.classes[1], "value": 1.0, "chosen": "in a test"})
    open_checkpoint("m").write_card(never)
    lines = call("evaluate", "m", practice).out.splitlines()
    (row,) = [line.split() for line in lines if line.split()[:1] == ["OPACITY"] and line.endswith("scans")]
    assert row[1] == "–"  # precision
    assert row[2] == "0.000"  # recall: none of its scans was called so
    found = json.loads(call("evaluate", "m", practice, "--json").out)["per_class"]["OPACITY"]
    assert (found["precision"], found["precision_interval"]) == (0.0, None)


# --- sweep, layers, and what a run starts from ------------------------------------------------------------------------


def test_sweep(call, home, practice):
    printed = call("sweep", practice, "--name", "s", "--vary", "learning-rate=0.001, 0.01", *TINY, "--json")
    assert printed.status == 0, printed.err
    found = json.loads(printed.out)
    assert found["sweep"] == "s"
    assert [item["name"] for item in found["runs"]] == ["s-1", "s-2"]
    assert [item["settings"] for item in found["runs"]] == [{"learning_rate": 0.001}, {"learning_rate": 0.01}]
    for item in found["runs"]:
        assert (item["status"], item["error"]) == ("done", "")
        config = open_checkpoint(item["name"]).read_card().config
        assert config.learning_rate == item["settings"]["learning_rate"]
        assert config.shape == TINY_SHAPE
    for words in ("run 1 of 2, “s-1”, learning rate 0.001: running", "run 2 of 2, “s-2”, learning rate 0.01: done",
                  "2 of 2 runs are done; the best on validation is “s-"):  # fmt: skip
        assert words in printed.err
    job = open_sweep("s").job
    assert job.status == "done"
    assert [record["kind"] for record in job.records()] == ["start", *["run"] * 4, "end"]
    again = call("sweep", "--name", "s", "--resume", "--json")
    assert (again.status, json.loads(again.out)) == (0, found)
    assert_one_sentence(call("sweep", "--name", "s", "--resume", "--epochs", 2, "--json"), "goes on as it was planned")
    assert_one_sentence(
        call("sweep", practice, "--name", "s", "--vary", "seed=1", *TINY, "--json"), "already a sweep “s”"
    )


def test_a_sweep_goes_on_with_the_runs_that_are_not_done(call, home, practice, monkeypatch):
    def stop(job):
        job.told = job.told or open_sweep("s").run_summaries()[0].status == "done"
        return job.told

    with monkeypatch.context() as patch:
        patch.setattr(jobs.JobContext, "should_stop", stop)
        printed = call("sweep", practice, "--name", "s", "--vary", "seed=1,2", *TINY, "--json")
    assert printed.status == 0
    assert "1 of 2 runs are done" in printed.err
    assert "stopped; go on with --resume" in printed.err
    assert [item["status"] for item in json.loads(printed.out)["runs"]] == ["done", "waiting"]
    assert open_sweep("s").job.status == "stopped"
    printed = call("sweep", "--name", "s", "--resume")
    assert printed.status == 0
    assert "2 of 2 runs are done" in printed.err
    assert "stopped" not in printed.err
    assert [item.status for item in open_sweep("s").run_summaries()] == ["done", "done"]


def test_a_sweep_of_which_one_run_fails_says_so(call, home, practice, model):
    """Its name was taken by another model after the sweep was planned."""
    settings = open_checkpoint("m").read_config()["train"]
    for name, seeds, taken in (("s", [1, 2], "s-2"), ("t", [1], "t-1")):
        create_sweep(name, practice, {key: value for key, value in settings.items() if key != "seed"}, {"seed": seeds})
        shutil.copytree(model, model.with_name(taken))
    printed = call("sweep", "--name", "s", "--resume")
    assert_one_sentence(printed, "1 of 2 runs could not be trained", "“s-2”")
    assert "1 of 2 runs are done; the best on validation is “s-1”: AUC" in printed.err
    printed = call("sweep", "--name", "t", "--resume", "--json")
    assert_one_sentence(printed, "No run of the sweep “t” could be trained", "“t-1”")


BAD_SWEEPS = {
    "nothing to vary": ([], ["What shall the sweep vary?"]),
    "no values": (["--vary", "seed"], ["“seed” is no setting with its values"]),
    "an empty value": (["--vary", "seed="], ["no value", "“seed”"]),
    "no such setting": (["--vary", "speed=1,2"], ["no training setting “speed”"]),
    "no setting at all": (["--vary", "=1,2"], ["no training setting “”"]),
    "a word for a number": (["--vary", "epochs=few"], ["“few” is no whole number", "“epochs”"]),
    "a decimal comma": (["--vary", "dropout=0,5"], ["could be one number or two"]),
    "twice the same": (["--vary", "seed=1", "--vary=--seed=2"], ["told twice to vary --seed"]),
    "given and varied": (["--vary", "epochs=1,2"], ["--epochs", "leave out one of the two"]),
    "too many": (
        [word for name in ("seed", "patience", "head-epochs", "dense-layers")
         for word in ("--vary", f"{name}=" + ",".join(map(str, range(10))))],
        ["10,000 runs", f"more than the {MAX_RUNS}"],
    ),
    "one that cannot be trained": (["--vary", "seed=1", "--vary", "dropout=0.1,2"], ["combination", "dropout 2.0"]),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "words"), BAD_SWEEPS.values(), ids=BAD_SWEEPS.keys())
def test_bad_sweep(call, home, practice, arguments, words):
    printed = call("sweep", practice, "--name", "s", *TINY, *arguments, "--json")
    assert_one_sentence(printed, *words)
    assert not list(home.rglob("*.json"))


def test_sweep_without_a_dataset_or_of_an_unknown_name(call, home, practice):
    assert_one_sentence(call("sweep", "--name", "s", "--vary", "seed=1", "--json"), "Which dataset", "sweep data/")
    assert_one_sentence(call("sweep", "gone", "--name", "s", "--vary", "seed=1", "--json"), "no dataset at")
    assert_one_sentence(call("sweep", "--name", "s", "--resume", "--json"), "no sweep “s”")
    assert_one_sentence(call("sweep", practice, "--name", "../s", "--vary", "seed=1", "--json"), "cannot be a model's")
    assert not list(home.rglob("*.json"))


def test_a_sweep_over_a_start_model_takes_over_its_shape(call, model, practice):
    printed = call(
        "sweep", practice, "--name", "s", "--weights", "m", "--epochs", 1, "--batch-size", 16, "--vary", "seed=1"
    )
    assert printed.status == 0, printed.err
    config = open_checkpoint("s-1").read_card().config
    assert (config.weights, config.shape) == ("m", TINY_SHAPE)


def test_what_another_network_has_no_use_for_is_not_taken_over(call, home, practice):
    """Members of a starting model once gave a sentence on a setting that nobody had made."""
    two = ["--network", "resnet18_half", "--members", 2, "--image-size", 32, "--epochs", 1, "--batch-size", 16]
    assert call("train", practice, "--name", "two", *two).status == 0
    printed = call("train", practice, "--name", "d", "--weights", "two", "--network", "densenet121", "--epochs", 1)
    assert_one_sentence(printed, "layers of another kind or size")


def test_a_run_takes_over_the_network_of_the_model_it_starts_from(call, model, practice):
    usual = ["--weights", "m", "--epochs", 1, "--batch-size", 16]
    assert call("train", practice, "--name", "a", *usual).status == 0
    assert open_checkpoint("a").read_card().config.shape == TINY_SHAPE
    assert (
        call("train", practice, "--name", "b", *usual, "--image-size", 64).status == 1
    )  # its dense layer does not fit
    assert open_checkpoint("b").read_config()["train"]["image_size"] == 64
    assert_one_sentence(call("train", practice, "--name", "c", "--weights", "gone", "--json"), "no model “gone”")
    assert not open_checkpoint("c").folder.exists()


LITTLE = blueprint.MachineMemory(2_000_000, 1_000_000, "cpu")


def test_train_warns_where_the_memory_will_not_do(call, home, practice, monkeypatch):
    assert "of memory" not in call("train", practice, "--name", "a", *TINY).err
    monkeypatch.setattr("xrai.networks.summary.read_machine_memory", lambda: LITTLE)
    printed = call("train", practice, "--name", "b", *TINY, "--json")
    assert printed.status == 0
    assert json.loads(printed.out)["ended"] == "finished"
    line, guess = [line for line in printed.err.splitlines() if line.startswith("warning: ")]
    assert "batches of 16 at 32 pixels" in line
    assert "choose a smaller batch size" in line
    assert "no better than guessing" in guess  # one epoch of a tiny network


def test_a_sweep_warns_once_where_the_memory_will_not_do_for_its_largest_run(call, home, practice, monkeypatch):
    monkeypatch.setattr("xrai.training.sweep.run_sweep", lambda planned, **more: None)
    varied = ["--vary", "batch-size=8,24", "--vary", "seed=1,2", *TINY[: TINY.index("--batch-size")]]
    assert "of memory" not in call("sweep", practice, "--name", "a", *varied).err
    monkeypatch.setattr("xrai.networks.summary.read_machine_memory", lambda: LITTLE)
    printed = call("sweep", practice, "--name", "b", *varied, "--json")
    assert printed.status == 0
    assert [run["name"] for run in json.loads(printed.out)["runs"]] == ["b-1", "b-2", "b-3", "b-4"]
    (line,) = [line for line in printed.err.splitlines() if line.startswith("warning: ")]
    assert "batches of 24 at 32 pixels" in line


def test_layers(call, home, monkeypatch):
    printed = call("layers", *TINY, "--classes", 3, "--json")
    assert printed.status == 0
    found = json.loads(printed.out)
    assert set(found) == {"layers", "parameters", "memory_bytes"}
    assert found["parameters"] == sum(layer["parameters"] for layer in found["layers"])
    assert found["memory_bytes"] > blueprint.BASE_BYTES
    assert found["layers"][0] == {
        "stage": "input",
        "name": "input",
        "kind": "Input",
        "shape": [1, 32, 32],
        "parameters": 0,
        "in_sum": False,
    }
    assert found["layers"][-1]["shape"] == [3]
    printed = call("layers", *TINY, "--classes", 3)
    assert (printed.status, printed.err) == (0, "")
    lines = printed.out.splitlines()
    assert len(lines) == len(found["layers"]) + 1
    assert "1 × 32 × 32" in lines[0]
    assert lines[-1].startswith(f"{found['parameters']:,} weights; training needs about 1.")
    monkeypatch.setattr("xrai.networks.summary.read_machine_memory", lambda: LITTLE)
    for more in ([], ["--json"]):
        printed = call("layers", *TINY, *more)
        assert printed.status == 0
        assert printed.err.startswith("warning: Training this network")
    assert json.loads(printed.out)["parameters"]
    assert not list(home.iterdir())


def test_layers_of_a_model_and_of_what_cannot_be_built(call, model):
    assert json.loads(call("layers", "--weights", "m", "--json").out)["layers"][0]["shape"] == [1, 32, 32]
    assert_one_sentence(call("layers", "--classes", 1, "--json"), "2 to 1,000 classes, not 1")
    assert_one_sentence(call("layers", *TINY, "--dropout", 2, "--json"), "dropout")
    assert_one_sentence(call("layers", "--weights", "gone", "--json"), "no model “gone”")


# --- models -----------------------------------------------------------------------------------------------------------


def test_models(call, second):
    models.set_note(open_checkpoint("n"), "the first line\nand the second one")
    models.set_default(open_checkpoint("n"))
    found = {item["name"]: item for item in json.loads(call("models", "--json").out)}
    assert set(found) == {"m", "n"}
    assert (found["n"]["is_default"], found["m"]["is_default"]) == (True, False)
    assert found["n"]["config"]["seed"] == 7
    assert found["n"]["classes"] == ["CLEAR", "OPACITY"]
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
        assert (first["settings"], other["settings"]) == ({"flip": True, "seed": 7}, {"flip": False, "seed": 0})
        assert set(first) == {
            "name", "settings", "accuracy", "accuracy_interval", "auc", "auc_interval", "n_validation",
        }  # fmt: skip
    printed = call("models", "compare", "n", "m")
    assert "    seed               7\n" in printed.out
    assert "    flip               yes\n" in printed.out
    assert "do not differ" in call("models", "compare", "m", "m").err
    assert_one_sentence(call("models", "compare", "m", "gone", "--json"), "no run or model “gone”", "are: ")


def test_rename_note_default(call, second, practice, scans):
    assert json.loads(call("models", "rename", "n", "Röntgen 2", "--json").out) == {
        "model": "Röntgen 2", "done": "renamed",
    }  # fmt: skip
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
)  # fmt: skip
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


def test_a_cut_option_is_wrong_usage(call, practice):
    """`--learning-rat 3` was taken for the learning rate."""
    assert call("train", practice, "--name", "m", "--learning-rat", "3").status == 2


def test_a_batch_larger_than_the_training_split_is_said(call, home, practice):
    printed = call("train", practice, "--name", "big", *TINY, "--batch-size", "1000")
    assert printed.status == 0
    assert "is larger than the" in printed.err


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


# --- usage ------------------------------------------------------------------------------------------------------------


VERBS = ["build", "look", "audit", "clean", "train", "sweep", "layers", "evaluate", "calibrate", "diagnose", "models"]
MODEL_VERBS = ["compare", "rename", "note", "default", "export", "import", "delete"]


@pytest.mark.parametrize("verb", [[], *([verb] for verb in VERBS), *(["models", verb] for verb in MODEL_VERBS)])
def test_help(call, verb):
    printed = call(*verb, "--help")
    assert printed.status == 0
    assert printed.out.startswith(" ".join(["usage: python -m xrai", *verb, "[-h]"]))
    named = {(): VERBS, ("models",): MODEL_VERBS}.get(tuple(verb), [])
    assert [line.split()[0] for line in printed.out.splitlines() if line.startswith("    ") and line[4] != " "] == named


def test_help_says_what_to_type(call):
    """A setting that takes yes or no once said that its default is False."""
    said = " ".join(call("train", "--help").out.split())
    assert "--flip {yes,no} also show scans mirrored left to right (the heart then lies on the wrong side)" in said
    assert "(default no)" in said
    assert "False" not in said
    assert "--weights MODEL" in said


def test_version(call):
    assert call("--version").out.startswith("xrai ")


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["dance"], ["build"], ["build", "x"], ["train", "x"], ["train", "x", "--name", "m", "--epochs", "many"],
        ["train", "x", "--name", "m", "--network", "alexnet"], ["train", "x", "--name", "m", "--flip", "perhaps"],
        ["evaluate", "m"], ["evaluate", "m", "x", "--split", "all"], ["diagnose"], ["diagnose", "x", "--what"],
        ["sweep", "x"], ["sweep", "x", "--name", "s", "--vary"], ["layers", "--classes", "two"], ["layers", "x"],
        ["models", "dance"], ["models", "compare"], ["models", "rename", "m"], ["models", "note", "m"],
        ["models", "default"], ["models", "export", "m"], ["models", "import"], ["models", "delete"],
    ],
)  # fmt: skip
def test_wrong_usage(call, home, arguments):
    printed = call(*arguments)
    assert printed.status == 2
    assert printed.out == ""
    assert "usage:" in printed.err


# --- bad sources ------------------------------------------------------------------------------------------------------


def folder_of(tmp_path, **classes):
    root = tmp_path / "source"
    root.mkdir()
    for name, n in classes.items():
        (root / name).mkdir()
        for number in range(n):
            pixels = np.random.default_rng([len(name), number]).integers(0, 256, (64, 64), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


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


def png_header(side):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def truncated_jpeg(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8)).save(tmp_path / "whole.jpg")
    return (tmp_path / "whole.jpg").read_bytes()[:4000]


BAD_SCANS = {
    "huge.png": lambda path: png_header(60_000),
    "cut.jpg": truncated_jpeg,
    "text.jpg": lambda path: b"This is a letter about a patient, and no picture.",
    "empty.png": lambda path: b"",
}


@pytest.mark.parametrize("name", BAD_SCANS)
def test_bad_scan(call, model, tmp_path, name):
    (tmp_path / name).write_bytes(BAD_SCANS[name](tmp_path))
    printed = call("diagnose", tmp_path / name, "--model", "m", "--json")
    (found,) = json.loads(printed.out)
    assert set(found) == {"file", "error"}
    assert_one_sentence(printed._replace(out=""), name)


def test_bad_scans_are_skipped_and_listed_in_a_build(call, home, tmp_path):
    source = folder_of(tmp_path, NORMAL=12, PNEUMONIA=12)
    for name, make in BAD_SCANS.items():
        (source / "NORMAL" / name).write_bytes(make(tmp_path))
    printed = call("build", source, home / "data" / "d.hdf5", "--size", 64, "--json")
    assert printed.status == 0
    found = json.loads(printed.out)
    assert (found["n"], found["skipped"]) == (24, 4)
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


def no_space(*arguments, **named):
    raise OSError(errno.ENOSPC, "No space left on device", "somewhere")


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


# --- bad datasets and models ------------------------------------------------------------------------------------------


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


def test_dataset_of_other_classes(call, model, home, tmp_path):
    source = folder_of(tmp_path, NORMAL=12, PNEUMONIA=12)
    assert call("build", source, home / "data" / "d.hdf5", "--size", 64).status == 0
    assert_one_sentence(call("evaluate", "m", "d", "--json"), "CLEAR, OPACITY", "NORMAL, PNEUMONIA")


def test_name_already_used(call, model, practice):
    before = {item.name: item.read_bytes() for item in model.iterdir() if item.is_file()}
    assert_one_sentence(call("train", practice, "--name", "m", *TINY, "--json"), "already", "--resume")
    assert {item.name: item.read_bytes() for item in model.iterdir() if item.is_file()} == before


def test_name_of_a_run_that_left_nothing_is_free(call, home, practice, monkeypatch):
    """ImageNet weights cannot be had: the same name with --weights scratch must do."""
    from urllib.error import URLError

    def offline(*arguments, **named):
        raise URLError("no route to host")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", offline)
    wanted = ["train", practice, "--name", "m", "--network", "mobilenet_v3_small", "--image-size", 32, "--epochs", 1]
    assert_one_sentence(call(*wanted, "--weights", "imagenet", "--json"), "no internet", "scratch")
    assert jobs.Job(home / "checkpoints" / "m").status == "failed"
    assert call(*wanted, "--weights", "scratch").status == 0
    assert open_checkpoint("m").read_card().config.weights == "scratch"
    assert jobs.Job(home / "checkpoints" / "m").error == ""


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


def test_a_run_killed_while_it_saved_keeps_its_name(call, home, practice):
    state = home / "checkpoints" / "m" / "state.old"
    state.mkdir(parents=True)
    (state / "values.json").write_text("{}")
    assert_one_sentence(call("train", practice, "--name", "m", *TINY, "--json"), "already", "--resume")


def test_a_training_is_known_to_run_before_the_slow_imports(home, practice):
    code = (
        "import sys; from xrai import jobs; real = jobs.running; "
        "jobs.running = lambda *a, **k: (print('torch' in sys.modules), real(*a, **k))[1]; "
        "from xrai import cli; cli.main(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "train", str(practice), "--name", "m", *TINY],
        cwd=PROJECT_DIR, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines()[0] == "False", done.stderr
    assert open_checkpoint("m").is_model


def test_a_run_that_goes_on_elsewhere_is_not_started_again(call, home, practice, monkeypatch):
    folder = home / "checkpoints" / "m"
    with jobs.run_job(folder, title="m"):
        printed = call("train", practice, "--name", "m", *TINY, "--json")
    assert_one_sentence(printed, "already running")
    assert not (folder / CONFIG).exists()


@pytest.mark.parametrize(
    ("flag", "value", "word"),
    [
        ("--epochs", 0, "epochs"), ("--learning-rate", "nan", "learning rate"), ("--devices", 3, "shared equally"),
        ("--image-size", 8, "image size"), ("--weights", "imagenet", "convnet"),
    ],
)  # fmt: skip
def test_settings_out_of_their_limits(call, home, practice, flag, value, word):
    assert_one_sentence(call("train", practice, "--name", "x", "--network", "convnet", flag, value, "--json"), word)
    assert not (home / "checkpoints" / "x").exists()


def test_disk_full_while_training(call, home, practice, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("xrai.training.state.save_file", no_space)
        assert_one_sentence(call("train", practice, "--name", "x", *TINY, "--json"), "disk is full", "resume")
    assert jobs.Job(home / "checkpoints" / "x").status == "failed"


def test_disk_full_while_evaluating(call, model, practice, monkeypatch):
    monkeypatch.setattr("xrai.models.checkpoint.Checkpoint.write_card", no_space)
    printed = call("evaluate", "m", practice, "--json")
    assert set(json.loads(printed.out)) >= EVALUATION  # and the sentence says that it is not kept
    assert_one_sentence(printed._replace(out=""), "No space left")


def test_loss_that_is_no_number(call, home, practice, monkeypatch):
    monkeypatch.setattr("xrai.training.run.learning_rate_at", lambda config, progress: float("inf"))
    assert_one_sentence(call("train", practice, "--name", "x", *TINY, "--json"), "no number any more", "a tenth")
    assert "no number" in jobs.Job(home / "checkpoints" / "x").error


def test_errors_that_nobody_foresaw_are_said_without_a_traceback(call, model, scans, monkeypatch):
    for error, word in ((OSError(errno.EIO, "Input/output error", "x.png"), "Input/output"), (MemoryError(), "memory")):

        def fail(*arguments, error=error, **named):
            raise error

        monkeypatch.setattr("xrai.reading.reader.Reader.read", fail)
        assert_one_sentence(call("diagnose", scans[0], "--model", "m", "--json"), word)


def test_ctrl_c_without_a_job(call, model, scans, monkeypatch):
    def interrupt(*arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr("xrai.reading.reader.Reader.read", interrupt)
    printed = call("diagnose", scans[0], "--model", "m", "--json")
    assert (printed.status, printed.out, printed.err) == (1, "", "stopped\n")


def test_what_libraries_print_does_not_get_into_the_json(call, model, scans, monkeypatch):
    def chatty(*arguments, **named):
        print("You may want to update me!")
        raise ScanError("A sentence.")

    monkeypatch.setattr("xrai.scans.read_scan", chatty)
    printed = call("diagnose", scans[0], "--model", "m", "--json")
    assert json.loads(printed.out) == [{"file": str(scans[0]), "error": "A sentence."}]
    assert "update me" in printed.err


# --- as a process -----------------------------------------------------------------------------------------------------


def test_the_shell_sees_one_json_document_and_status_0(home, drawings):
    done = shell("build", drawings, home / "data" / "Übung.hdf5", "--size", 64, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["dataset"].endswith("Übung.hdf5")
    assert "Traceback" not in done.stderr


def test_the_shell_sees_status_1_and_2(home):
    stated, usage = shell("build", home / "nowhere", home / "d.hdf5"), shell("dance")
    assert (stated.returncode, stated.stdout) == (1, "")
    assert [line for line in stated.stderr.splitlines() if line.startswith("error: ")]
    assert (usage.returncode, usage.stdout) == (2, "")
    assert "Traceback" not in stated.stderr + usage.stderr


def test_a_console_of_another_code_page_is_borne(home, tmp_path):
    """A Windows console may not know the quotes and dashes of our sentences."""
    done = shell("look", home / "nowhere “x”", env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "“x”" in done.stderr


def test_a_reader_who_leaves_early_sees_no_traceback(home, drawings):
    command = [sys.executable, "-m", "xrai", "look", str(drawings)]
    with subprocess.Popen(
        command, cwd=PROJECT_DIR, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        told = process.stderr.read()
    assert "Traceback" not in told
    assert "BrokenPipe" not in told


def test_building_over_a_dataset_leaves_no_failed_job_behind(home, drawings, capsys):
    """The dashboard once said in red that a dataset was not built which was there."""
    out = home / "data" / "d.hdf5"
    assert cli.main(["build", str(drawings), str(out), "--size", "32"]) == 0
    assert cli.main(["build", str(drawings), str(out), "--size", "32"]) == 1
    assert "already a dataset" in capsys.readouterr().err
    assert jobs.Job(build_folder(out)).status == "done"


# --- audit, clean -----------------------------------------------------------------------------------------------------


@pytest.fixture
def doubled(home, drawings, tmp_path):
    """A dataset in which one file stands twice; gives its path."""
    source, out = tmp_path / "doubled", home / "data" / "doubled.hdf5"
    shutil.copytree(drawings, source)
    first = min((source / "CLEAR").iterdir())
    shutil.copy(first, first.with_name("again.png"))
    assert cli.main(["build", str(source), str(out), "--size", "64"]) == 0
    return out


def test_audit_and_clean(call, doubled):
    printed = call("audit", "doubled", "--json")
    assert printed.status == 0, printed.err
    found = json.loads(printed.out)
    exact = next(item for item in found["findings"] if item["kind"] == "exact-duplicates")
    assert (found["dataset"], exact["numbers"]["groups"]) == ("doubled", 1)
    assert doubled.with_name("doubled.audit.json").is_file()
    job = jobs.Job(audit_folder(doubled))
    assert job.status == "done"
    assert job.records()[-1] == {"kind": "progress", "done": 100, "total": 100, "what": "done"}

    out = doubled.with_name("clean.hdf5")
    printed = call("clean", doubled, out, "--only", "exact-duplicates", "--json")
    assert printed.status == 0, printed.err
    assert json.loads(printed.out)["removed"] == 1
    with open_dataset(doubled) as before, open_dataset(out) as after:
        assert len(after) == len(before) - 1
        assert after.notes[-1].startswith(f"1 of {len(before)} scans of doubled was taken out")
        assert len(set(after.hashes)) == len(after)
    assert call("clean", doubled, out).status == 1


def test_clean_audits_first_and_takes_out_what_a_list_names(call, doubled, tmp_path):
    out = doubled.with_name("clean.hdf5")
    assert call("clean", doubled, out, "--keep-near-duplicates").status == 0
    assert doubled.with_name("doubled.audit.json").is_file()
    names = tmp_path / "names.txt"
    names.write_text("again.png\n")
    listed = doubled.with_name("listed.hdf5")
    assert call("clean", doubled, listed, "--without", names).status == 0
    with open_dataset(listed) as dataset:
        assert "CLEAR/again.png" not in set(dataset.files)
        assert dataset.notes[-1].endswith("a list named them.")


def test_clean_keeps_what_a_list_says_to_keep(call, doubled, tmp_path):
    call("audit", "doubled")
    with open_dataset(doubled) as dataset:
        suggested = [dataset.files[row] for row in load_audit(dataset).rows_to_remove(["exact-duplicates"])]
        other = dataset.files[-1]
    kept, named, out = tmp_path / "kept.txt", tmp_path / "named.txt", doubled.with_name("clean.hdf5")
    kept.write_text("\n".join(suggested))
    only = ("--only", "exact-duplicates", "--keep", kept)
    assert "nothing to take out" in call("clean", doubled, out, *only).err
    named.write_text(f"{other}\n")
    printed = call("clean", doubled, out, *only, "--without", named, "--json")
    assert json.loads(printed.out)["removed"] == 1
    with open_dataset(out) as dataset:
        assert set(suggested) <= set(dataset.files)
        assert other not in dataset.files
        assert dataset.notes[-1].endswith("or a list named them; others that it found were kept on purpose.")


def test_what_cannot_be_cleaned_is_stated(call, doubled, tmp_path):
    out = doubled.with_name("clean.hdf5")
    assert "should end in .hdf5" in call("clean", doubled, out.with_suffix(".txt")).err
    assert "Give either" in call("clean", doubled, out, "--only", "exact-duplicates", "--keep-near-duplicates").err
    assert "cannot be read" in call("clean", doubled, out, "--without", tmp_path / "none.txt").err
    assert call("clean", doubled, out, "--only", "everything").status == 2
    doubled.with_name("doubled.audit.json").write_text("{")
    assert "is damaged: audit the dataset again" in call("clean", doubled, out).err
    assert not out.exists()


def test_an_audit_that_is_stopped_keeps_nothing(call, doubled, monkeypatch):
    monkeypatch.setattr(jobs.JobContext, "should_stop", lambda job: True)
    printed = call("audit", doubled, "--json")
    assert (printed.status, json.loads(printed.out)) == (0, {"dataset": "doubled", "ended": "stopped"})
    assert not doubled.with_name("doubled.audit.json").exists()


# ---------------------------------------------------------------- what a model calls, and what it refuses


def test_a_training_leaves_what_readings_need(call, model):
    card = open_checkpoint("m").read_card()
    assert card.calibration and card.doubt and card.threshold["goal"] == {"kind": "argmax", "limit": None}
    kit = load_artifacts(open_checkpoint("m"), card)
    assert kit.input_check and kit.neighbour_index and kit.validation
    assert card.dataset["audit"] is None  # nobody checked the dataset before


def test_calibrate_chooses_threshold_doubt_and_prevalence(call, model):
    printed = call("calibrate", "m", "--misses", "10", "--doubt", "30", "--prevalence", "20", "--json")
    assert printed.status == 0, printed.err
    found, card = json.loads(printed.out), open_checkpoint("m").read_card()
    assert found["threshold"]["goal"] == {"kind": "max_fnr", "limit": 0.1}
    assert found["doubt"]["alpha"] == pytest.approx(0.3) and found["prevalence"] == 0.2
    assert json.dumps(card.to_dict()["threshold"]) == json.dumps(found["threshold"])
    assert found["told"]["threshold"] == pytest.approx(card.to_local_prevalence(card.threshold_value))
    printed = call("calibrate", "m", "--threshold", "0.4")
    assert "from a probability of 40 % on" in printed.out
    card = open_checkpoint("m").read_card()
    assert card.prevalence == 0.2 and card.to_local_prevalence(card.threshold_value) == pytest.approx(0.4)
    assert call("calibrate", "m", "--likeliest").status == 0
    card = open_checkpoint("m").read_card()
    assert card.to_local_prevalence(card.threshold_value) == pytest.approx(0.5)


def test_calibrate_fits_anew_on_the_dataset_that_the_model_learned_from(call, model, practice):
    before = open_checkpoint("m").read_card()
    (model / "kit.safetensors").unlink()
    printed = call("calibrate", "m", "--alarms", "10")
    assert printed.status == 1 and "calibrate it with the dataset" in printed.err
    printed = call("calibrate", "m", practice)
    assert printed.status == 0, printed.err
    after = open_checkpoint("m").read_card()
    assert after.calibration.slope == pytest.approx(before.calibration.slope, rel=1e-3)
    assert load_artifacts(open_checkpoint("m"), after).validation
    assert jobs.Job(calibration_folder(model)).status == "done"


def test_calibrate_refuses_another_dataset(call, model, drawings, tmp_path):
    other = tmp_path / "other.hdf5"
    assert call("build", drawings, other, "--size", "32").status == 0
    printed = call("calibrate", "m", other)
    assert printed.status == 1 and "was not trained on other.hdf5" in printed.err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--misses", "0"], "more than 0 and fewer than 100"),
        (["--alarms", "100"], "more than 0 and fewer than 100"),
        (["--doubt", "-1"], "--doubt says how many of 100"),
        (["--prevalence", "nan"], "--prevalence says how many of 100"),
        (["--threshold", "1"], "between 0 and 1"),
    ],
)
def test_calibrate_refuses_what_makes_no_sense(call, model, options, sentence):
    printed = call("calibrate", "m", *options)
    assert printed.status == 1 and sentence in printed.err


def test_calibrate_takes_one_threshold_at_a_time(call, model):
    assert call("calibrate", "m", "--misses", "5", "--alarms", "5").status == 2


def test_diagnose_refuses_what_is_no_film_and_says_what_would_mend_it(call, model, gate, tmp_path):
    checkpoint = open_checkpoint("m")
    kit = load_artifacts(checkpoint, checkpoint.read_card())
    save_artifacts(checkpoint, replace(kit, input_check=gate), checkpoint.weights_sha256())
    pixels = draw_thorax(np.random.default_rng(77), opacity=True, size=128)
    files = {"film": pixels, "turned": np.rot90(pixels), "noise": np.random.default_rng(0).integers(0, 256, (128, 128))}
    paths = []
    for name, content in files.items():
        paths.append(tmp_path / f"{name}.png")
        Image.fromarray(content.astype(np.uint8)).save(paths[-1])
    printed = call("diagnose", *paths, "--model", "m", "--json")
    film, turned, noise = json.loads(printed.out)
    assert printed.status == 1
    assert "diagnosis" in film and isinstance(film["sure"], bool)
    assert "not upright" in turned["error"] and turned["mend"] == "turned 90° right"
    assert "does not look like a chest X-ray" in noise["error"] and "mend" not in noise
    printed = call("diagnose", paths[2], "--model", "m", "--any-picture", "--json")
    (read,) = json.loads(printed.out)
    assert printed.status == 0 and "does not look like a chest X-ray" in read["warnings"][0]
    printed = call("diagnose", *paths[:2], "--model", "m", "--mend", "--json")
    film, turned = json.loads(printed.out)
    assert printed.status == 0 and turned["warnings"][0] == "The picture was read turned 90° right."
    assert turned["probabilities"] == film["probabilities"]


def test_an_export_takes_the_kit_along(call, model, tmp_path):
    assert call("models", "export", "m", tmp_path / "m.zip").status == 0
    assert call("models", "import", tmp_path / "m.zip", "--name", "again").status == 0
    again = open_checkpoint("again")
    assert load_artifacts(again, again.read_card()).input_check
    with zipfile.ZipFile(tmp_path / "m.zip") as archive, zipfile.ZipFile(tmp_path / "bad.zip", "w") as bad:
        for name in archive.namelist():
            bad.writestr(name, b"no tensors" if name.endswith("kit.safetensors") else archive.read(name))
    assert call("models", "import", tmp_path / "bad.zip", "--name", "bad").status == 0
    assert not (open_checkpoint("bad").folder / "kit.safetensors").exists()
