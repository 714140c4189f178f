import json
import shutil

import pytest

from tests.xrai.cli.support import EVALUATION, assert_one_sentence, folder_of, no_space
from xrai.cli import output
from xrai.core import jobs
from xrai.data.dataset import open_dataset
from xrai.evaluation.store import REPORT_FILE, evaluation_folder, load_evaluation
from xrai.models.checkpoint import HISTORY_FILE, open_checkpoint


def test_evaluate(call, model, practice):
    printed = call("evaluate", "m", practice, "--split", "val", "--json")
    assert printed.status == 0
    assert printed.err.splitlines()[-1] == "{0} of {0} scans".format(json.loads(printed.out)["n"])
    result = json.loads(printed.out)
    assert set(result) >= EVALUATION
    of_class = {"precision", "recall", "f1", "auc"}
    assert set(result["per_class"]) == set(result["curves"]) == {"CLEAR", "OPACITY"}
    for name, row in result["per_class"].items():
        assert set(row) == of_class | {f"{measure}_interval" for measure in of_class} | {"support"}
        assert set(result["curves"][name]) == {"roc", "precision_recall", "average_precision"}
    assert sum(map(sum, result["confusion_matrix"])) == result["n"] == len(result["predictions"])
    assert result["seen"] == result["n"]  # it was chosen by them
    assert result["unseen"] is None
    assert result["measured_before"] == 0
    assert [record["epoch"] for record in result["epochs"]] == [1]
    first = result["predictions"][0]
    assert set(first) == {"row", "file", "patient", "truth", "called", "probabilities"}
    assert sum(first["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    right = sum(item["truth"] == item["called"] for item in result["predictions"])
    assert right / result["n"] == pytest.approx(result["accuracy"])


def test_evaluate_for_people(call, model, practice):
    call("evaluate", "m", practice, "--split", "val")
    printed = call("evaluate", "m", practice, "--split", "val")
    assert printed.status == 0
    for word in (
        "accuracy",
        "OPACITY",
        "recall",
        "AUC against the rest",
        "confusion matrix",
        "chosen by them",
        "measured on this split once before",
    ):
        assert word in printed.out
    assert "left out" not in printed.out
    assert "measured on this split 2 times before" in call("evaluate", "m", practice, "--split", "val").out


def test_evaluate_leaves_its_measurement_and_a_done_job_behind(call, model, practice):
    for n in (1, 2):
        result = json.loads(call("evaluate", "m", practice, "--json").out)
        assert result["measured_before"] == n - 1
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
    assert [(record["kind"], record["done"]) for record in job.records()] == [("progress", result["n"])]
    kept = load_evaluation(folder)
    assert kept.report == {name: result[name] for name in kept.report}
    assert set(result) - set(kept.report) == {"predictions", "epochs"}
    assert kept.predictions.to_list(kept.classes) == result["predictions"]


def test_evaluate_without_some_scans(call, model, practice, tmp_path):
    with open_dataset(practice) as dataset:
        files = [str(dataset.files[row]) for row in dataset.rows("test")]
    listed = tmp_path / "list.txt"
    listed.write_bytes(f"\ufeff{files[0]}\r\n\r\n  {files[1].rsplit('/', 1)[-1]}  ".encode())
    result = json.loads(call("evaluate", "m", practice, "--exclude", listed, "--json").out)
    assert (result["left_out"], result["n"]) == (2, len(files) - 2)
    assert not set(files[:2]) & {item["file"] for item in result["predictions"]}
    assert open_checkpoint("m").read_card().evaluations[-1].n_excluded == 2
    assert "2 scans of the split were left out" in call("evaluate", "m", practice, "--exclude", listed).out


def test_evaluate_without_what_is_not_there(call, model, practice, tmp_path):
    listed = tmp_path / "list.txt"
    listed.write_text("nobody.png")
    assert_one_sentence(
        call("evaluate", "m", practice, "--exclude", listed, "--json"), "“nobody.png”", "no file of the test split"
    )
    assert_one_sentence(
        call("evaluate", "m", practice, "--exclude", tmp_path / "gone", "--json"), "gone", "No such file", "text file"
    )
    listed.write_bytes(b"\xff\xfe\0")
    assert_one_sentence(call("evaluate", "m", practice, "--exclude", listed, "--json"), "not a text file")
    assert open_checkpoint("m").read_card().evaluations == ()


def test_evaluate_on_classes_that_are_spelled_otherwise(call, model, home, tmp_path, drawings):
    """Their order is another, too."""
    source = tmp_path / "source"
    for old, new in (("CLEAR", "c lear"), ("OPACITY", "_Opacity")):
        shutil.copytree(drawings / old, source / new)
    out = home / "data" / "respelled.hdf5"
    assert call("build", source, out, "--size", 64, "--finding", "C lear").status == 0
    with open_dataset(home / "data" / "respelled.hdf5") as dataset:
        assert dataset.classes == ("_Opacity", "c lear")
        support = [int((dataset.labels[dataset.rows("test")] == label).sum()) for label in (1, 0)]
    result = json.loads(call("evaluate", "m", "respelled", "--json").out)
    assert result["classes"] == ["CLEAR", "OPACITY"]
    assert [row["support"] for row in result["per_class"].values()] == support
    for item in result["predictions"]:
        assert item["truth"] == ("CLEAR" if item["file"].startswith("c lear/") else "OPACITY")


def test_the_same_split_is_not_measured_twice_at_once(call, model, practice):
    with jobs.run_job(evaluation_folder(open_checkpoint("m"), practice, "test"), title="x"):
        printed = call("evaluate", "m", practice, "--json")
        assert_one_sentence(printed, "Measuring m on practice, test", "already running")
        assert call("evaluate", "m", practice, "--split", "val", "--json").status == 0
    assert [item.split for item in open_checkpoint("m").read_card().evaluations] == ["val"]


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
    assert open_checkpoint("m").read_card().evaluations == ()


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
    never = card.replace(threshold={"class_name": card.classes[1], "value": 1.0, "description": "in a test"})
    open_checkpoint("m").write_card(never)
    lines = call("evaluate", "m", practice).out.splitlines()
    (row,) = [line.split() for line in lines if line.split()[:1] == ["OPACITY"] and line.endswith("scans")]
    assert row[1] == "–"  # precision
    assert row[2] == "0.000"  # recall: none of its scans was called so
    result = json.loads(call("evaluate", "m", practice, "--json").out)["per_class"]["OPACITY"]
    assert (result["precision"], result["precision_interval"]) == (0.0, None)


def test_dataset_of_other_classes(call, model, home, tmp_path):
    source = folder_of(tmp_path, NORMAL=12, PNEUMONIA=12)
    assert call("build", source, home / "data" / "d.hdf5", "--size", 64).status == 0
    assert_one_sentence(call("evaluate", "m", "d", "--json"), "CLEAR, OPACITY", "NORMAL, PNEUMONIA")


def test_disk_full_while_evaluating(call, model, practice, monkeypatch):
    monkeypatch.setattr("xrai.models.checkpoint.Checkpoint.write_card", no_space)
    printed = call("evaluate", "m", practice, "--json")
    assert set(json.loads(printed.out)) >= EVALUATION  # and the sentence says that it is not kept
    assert_one_sentence(printed._replace(out=""), "No space left")
