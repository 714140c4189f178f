"""Tests of `xrai.evaluation.store`."""

import csv
import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from xrai.calibration import Calibration, ConformalAbstention
from xrai.core.errors import CheckpointError
from xrai.evaluation import store as measurements
from xrai.evaluation.report import classification_report
from xrai.evaluation.store import (
    REPORT_FILE,
    EvaluationResult,
    Predictions,
    evaluation_folder,
    load_evaluation,
    save_evaluation,
    with_threshold,
)
from xrai.metrics import predict
from xrai.models.checkpoint import EVALUATIONS, open_checkpoint

CLASSES = ("Normal", "Covid", "Viral, Pneumonia")


def make(n=30, seed=0, classes=CLASSES, threshold=None, doubt=None, **more):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % len(classes)
    shares = rng.dirichlet(np.ones(len(classes)), n)
    patients = np.array([f"p{k // 2}" for k in range(n)], object)
    files = np.array([f"test/{classes[label]}/{k}.png" for k, label in enumerate(labels)], object)
    found = classification_report(shares, labels, patients, classes, threshold, doubt)
    found |= {
        "split": "test",
        "dataset": "d",
        "model": "m",
        "fingerprint": "f",
        "when": "2026-11-21T13:14:23+00:00",
        "weights": "w",
        "left_out": 0,
        "seen": 0,
        "unseen": None,
        "measured_before": 0,
        "calibration": None,
    }
    called = predict(shares, threshold)
    return EvaluationResult(found | more, Predictions(np.arange(n) + 5, files, patients, labels, called, shares))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "m" / EVALUATIONS / "d-test"


def same(one, two):
    assert json.loads(json.dumps(one.report)) == json.loads(json.dumps(two.report))
    for name in ("rows", "files", "patients", "labels", "predicted", "probabilities"):
        assert getattr(one.predictions, name).tolist() == getattr(two.predictions, name).tolist(), name


def table_of(folder):
    """The kept table of predictions; there is one."""
    (file,) = folder.glob("predictions-*.csv")
    return file


def change(folder, edit):
    values = json.loads((folder / REPORT_FILE).read_text(encoding="utf-8"))
    edit(values)
    (folder / REPORT_FILE).write_text(json.dumps(values), encoding="utf-8")


def test_what_is_saved_is_read_back_to_the_last_digit(folder):
    saved = make()
    save_evaluation(folder, saved)
    loaded = load_evaluation(folder)
    same(saved, loaded)
    assert loaded.classes == CLASSES
    assert sorted(folder.iterdir()) == [table_of(folder), folder / REPORT_FILE]


def test_a_later_one_takes_the_place_of_an_earlier(folder):
    save_evaluation(folder, make(seed=1))
    save_evaluation(folder, make(n=12, seed=2))
    same(load_evaluation(folder), make(n=12, seed=2))
    assert sorted(folder.iterdir()) == [table_of(folder), folder / REPORT_FILE]


@pytest.mark.parametrize(
    "name",
    ["a,b.png", 'say "x".png', "two\nlines.png", "back\rwards.png", "=1+1.png", "ä é 肺.png", "\udcff.png", "", " x "],
)
def test_any_file_name_comes_back(folder, name):
    """A carriage return in a name once made the whole measurement look damaged."""
    saved = make()
    saved.predictions.files[3] = name
    save_evaluation(folder, saved)
    assert load_evaluation(folder).predictions.files[3] == name


def test_where_nothing_was_measured_there_is_none(folder):
    assert load_evaluation(folder) is None
    folder.mkdir(parents=True)
    (folder / "predictions-1.csv").write_text("a job that died before its report", encoding="utf-8")
    assert load_evaluation(folder) is None


def test_a_cell_gives_the_worst_first():
    found = make(n=60).predictions
    inside = found.find_cell(0, 1)
    assert len(inside) > 2
    assert set(found.labels[inside]) == {0}
    assert set(found.predicted[inside]) == {1}
    assert (np.diff(found.probabilities[inside, 0]) >= 0).all()
    assert sum(len(found.find_cell(truth, called)) for truth in range(3) for called in range(3)) == 60


DOUBT = ConformalAbstention(alpha=0.1, thresholds=(0.2, 0.3, 0.25), n_patients=(40, 40, 40))

BAD_REPORTS = {
    "another matrix": lambda r: r["confusion_matrix"][0].__setitem__(0, 99),
    "another number": lambda r: r.update(n=29),
    "a class less": lambda r: r["per_class"].pop("Covid"),
    "no curves": lambda r: r.pop("curves"),
    "a curve cut short": lambda r: r["curves"]["Covid"]["roc"]["x"].pop(),
    "a curve without numbers": lambda r: r["curves"]["Covid"]["roc"]["y"].__setitem__(1, None),
    "words for a number": lambda r: r.update(auc="good"),
    "no number": lambda r: r.update(accuracy=float("nan")),
    "half an interval": lambda r: r.update(accuracy_interval=[0.5]),
    "an open interval": lambda r: r["per_class"]["Covid"].update(recall_interval=[0.5, None]),
    "a split that there is not": lambda r: r.update(split="all"),
    "no date": lambda r: r.update(when="yesterday"),
    "a number for words": lambda r: r.update(fingerprint=3),
    "no weights": lambda r: r.pop("weights"),
    "half of the unseen": lambda r: r.update(unseen={"n": 3}),
    "a true count": lambda r: r.update(seen=True),
    "no table": lambda r: r.pop("predictions_file"),
    "a table elsewhere": lambda r: r.update(predictions_file="../d-test.csv"),
    "one class": lambda r: r.update(classes=["Normal"]),
    "reliability of a class less": lambda r: r["reliability"].pop("Covid"),
    "reliability in words": lambda r: r["reliability"]["Covid"][0].update(mean="much"),
    "a share beyond 1": lambda r: r["reliability"]["Covid"][0].update(share=1.5),
    "reliability with half an interval": lambda r: r["reliability"]["Covid"][0].update(interval=[0.1]),
    "reliability without a number of scans": lambda r: r["reliability"]["Covid"][0].update(n=0.5),
    "half an interval of the calibration error": lambda r: r.update(expected_calibration_error_interval=[0.1, None]),
    "chance in words": lambda r: r.update(expected_calibration_error_by_chance="little"),
    "no calibration": lambda r: r.update(calibration={"slope": 1.0}),
    "a calibration of fewer classes": lambda r: r.update(
        calibration=Calibration(slope=1.0, offsets=(0.0, 0.0)).to_dict()
    ),
    "a doubt of fewer classes": lambda r: r.update(
        doubt=ConformalAbstention(alpha=0.1, thresholds=(0.2, 0.2), n_patients=(9, 9)).to_dict()
    ),
    "a doubt that is none": lambda r: r["doubt"].update(alpha=2),
    "a doubt without answers": lambda r: r.update(answered=None),
    "answers without a doubt": lambda r: r.update(doubt=None),
    "answers of other scans": lambda r: r["answered"].update(n=29),
    "answers of a class less": lambda r: r["answered"]["per_class"].pop(),
    "answers in words": lambda r: r["answered"]["per_class"][0].update(wrong="few"),
    "answers that nobody counted": lambda r: r["answered"].update(n_answered=None),
}


@pytest.mark.parametrize("edit", BAD_REPORTS.values(), ids=BAD_REPORTS)
def test_a_report_that_could_not_be_shown_is_one_sentence(folder, edit):
    save_evaluation(folder, make(doubt=DOUBT))
    change(folder, edit)
    with pytest.raises(CheckpointError, match="d-test of the model “m” is damaged: measure again"):
        load_evaluation(folder)


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"classes": 1}'])
def test_a_report_that_is_none_is_one_sentence(folder, text):
    save_evaluation(folder, make())
    (folder / REPORT_FILE).write_bytes(text)
    with pytest.raises(CheckpointError, match="damaged"):
        load_evaluation(folder)


def line(change_cell):
    def edit(table):
        lines = list(csv.reader(table.decode().splitlines()))
        change_cell(lines)
        return "\n".join(",".join(f'"{cell}"' for cell in row) for row in lines).encode()

    return edit


BAD_TABLES = {
    "empty": lambda table: b"",
    "head only": lambda table: table.splitlines(keepends=True)[0],
    "cut short": lambda table: table[: len(table) // 2],
    "other bytes": lambda table: b"\x00\xff" * 500,
    "a stray return": lambda table: table.replace(b"test/", b"te\rst/", 1),
    "a class nobody knows": line(lambda lines: lines[2].__setitem__(4, "Flu")),
    "a row below 0": line(lambda lines: lines[2].__setitem__(0, "-1")),
    "a row beyond counting": line(lambda lines: lines[2].__setitem__(0, "9" * 30)),
    "a share that is none": line(lambda lines: lines[2].__setitem__(5, "nan")),
    "of another call": line(lambda lines: lines[1].__setitem__(4, "Normal" if lines[1][4] != "Normal" else "Covid")),
}


@pytest.mark.parametrize("edit", BAD_TABLES.values(), ids=BAD_TABLES)
def test_damaged_predictions_are_one_sentence(folder, edit):
    save_evaluation(folder, make())
    table_of(folder).write_bytes(edit(table_of(folder).read_bytes()))
    with pytest.raises(CheckpointError, match="damaged"):
        load_evaluation(folder)


def test_predictions_of_another_measurement_are_refused(folder):
    save_evaluation(folder, make(seed=1))
    other = table_of(folder).read_bytes()
    save_evaluation(folder, make(seed=2))
    table_of(folder).write_bytes(other)
    with pytest.raises(CheckpointError, match="damaged"):
        load_evaluation(folder)


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("where", ["write_json", "_write_predictions"])
def test_on_a_full_disk_the_earlier_one_stays(folder, monkeypatch, where):
    save_evaluation(folder, make(seed=1))
    monkeypatch.setattr(measurements, where, full)
    with pytest.raises(OSError, match="No space"):
        save_evaluation(folder, make(seed=2))
    monkeypatch.undo()
    same(load_evaluation(folder), make(seed=1))
    assert sorted(folder.iterdir()) == [table_of(folder), folder / REPORT_FILE]


def in_use(*_, **__):
    raise PermissionError(errno.EACCES, "in use")


def test_predictions_that_a_spreadsheet_holds_cost_no_measurement(folder, monkeypatch):
    """On Windows an open file can be neither replaced nor removed: the earlier and the new one were once lost."""
    save_evaluation(folder, make(seed=1))
    held = table_of(folder)
    real = Path.unlink, Path.replace
    monkeypatch.setattr(Path, "unlink", lambda path, **more: in_use() if path == held else real[0](path, **more))
    monkeypatch.setattr(Path, "replace", lambda path, to: in_use() if Path(to) == held else real[1](path, to))
    save_evaluation(folder, make(seed=2))
    same(load_evaluation(folder), make(seed=2))
    assert held.is_file()
    monkeypatch.undo()
    save_evaluation(folder, make(seed=3))
    same(load_evaluation(folder), make(seed=3))
    assert not held.is_file()


@pytest.fixture
def weights(home):
    checkpoint = open_checkpoint("m")
    checkpoint.folder.mkdir(parents=True)
    file = checkpoint.folder / "model.safetensors"
    file.write_bytes(b"weights")
    return file


def test_a_measurement_is_of_the_weights_that_were_measured(weights):
    checkpoint = open_checkpoint("m")
    found = make(weights=checkpoint.weights_sha256())
    assert found.has_weights_of(checkpoint)
    weights.write_bytes(b"other weights")
    assert not found.has_weights_of(checkpoint)
    weights.unlink()
    assert not found.has_weights_of(checkpoint)


def test_equal_weights_have_equal_marks_whenever_they_were_saved(weights):
    """They once were told by the moment of training and its best epoch, which may be equal for others."""
    mark = open_checkpoint("m").weights_sha256()
    os.utime(weights, (1, 1))
    assert open_checkpoint("m").weights_sha256() == mark
    copy = open_checkpoint("copy")
    copy.folder.mkdir()
    (copy.folder / weights.name).write_bytes(weights.read_bytes())
    assert copy.weights_sha256() == mark
    assert len(mark) == 64


def test_datasets_of_one_name_in_two_folders_do_not_share_a_measurement(home):
    checkpoint = open_checkpoint("m")
    one, other = (evaluation_folder(checkpoint, home / place / "d.hdf5", "test") for place in ("data", "elsewhere"))
    assert one != other
    assert one.name.startswith("d-test-")


def test_a_measurement_is_found_again_when_the_home_has_moved(tmp_path, monkeypatch):
    places = set()
    for name in ("one", "two"):
        monkeypatch.setenv("XRAI_HOME", str(tmp_path / name))
        places.add(evaluation_folder(open_checkpoint("m"), tmp_path / name / "data" / "d.hdf5", "test").name)
    assert len(places) == 1


def test_the_folder_of_a_dataset_with_the_longest_name_can_be_made(home):
    place = evaluation_folder(open_checkpoint("m"), home / f"{'肺' * 80}.hdf5", "train")
    place.mkdir(parents=True)
    assert place != evaluation_folder(open_checkpoint("m"), home / f"{'肺' * 79}.hdf5", "train")


def test_measurements_of_one_model_lie_apart(home):
    checkpoint = open_checkpoint("m")
    places = {evaluation_folder(checkpoint, Path(f"{name}.hdf5"), split) for name in "ab" for split in ("test", "val")}
    assert len(places) == 4


TWO = ("CLEAR", "OPACITY")


class Decides:
    """What of a card `as_decided` asks for."""

    def __init__(self, threshold=None, doubt=None, calibration=None):
        self.threshold_value, self.abstention, self.calibration = threshold, doubt, calibration


LATER = (
    "reliability",
    "expected_calibration_error_interval",
    "expected_calibration_error_by_chance",
    "calibration",
    "doubt",
    "answered",
)


class TestAsDecided:
    @pytest.mark.parametrize(
        "doubt", [None, ConformalAbstention(alpha=0.1, thresholds=(0.3, 0.4), n_patients=(40, 40))]
    )
    @pytest.mark.parametrize("threshold", [0.2, 0.7])
    def test_it_is_what_measuring_anew_would_give(self, threshold, doubt):
        kept = make(60, classes=TWO, threshold=0.5)
        again = with_threshold(kept, Decides(threshold, doubt))
        same(again, make(60, classes=TWO, threshold=threshold, doubt=doubt))
        assert again.report["confusion_matrix"] != kept.report["confusion_matrix"]
        assert kept.report["threshold"] == 0.5, "the kept one stays as it is"

    def test_of_what_is_decided_alike_nothing_is_worked_out_anew(self, folder):
        doubt = ConformalAbstention(alpha=0.1, thresholds=(0.3, 0.4), n_patients=(40, 40))
        save_evaluation(folder, make(classes=TWO, threshold=0.5, doubt=doubt))
        kept = load_evaluation(folder)
        assert with_threshold(kept, Decides(0.5, doubt)) is kept

    def test_what_comes_out_can_be_kept_and_read_back(self, folder):
        again = with_threshold(
            make(classes=TWO, threshold=0.5),
            Decides(0.3, ConformalAbstention(alpha=0.1, thresholds=(0.3, 0.4), n_patients=(40, 40))),
        )
        save_evaluation(folder, again)
        same(load_evaluation(folder), again)

    def test_more_classes_follow_the_doubt(self):
        again = with_threshold(make(), Decides(doubt=DOUBT))
        same(again, make(doubt=DOUBT))
        assert 0 < again.report["answered"]["n_answered"] < 30

    def test_of_the_unseen_what_depends_on_the_threshold_is_not_known_any_more(self):
        unseen = {
            "n": 9,
            "n_patients": 5,
            "accuracy": 0.6,
            "accuracy_interval": [0.3, 0.8],
            "auc": 0.7,
            "auc_interval": [0.5, 0.9],
            "per_class": {"CLEAR": {}},
        }
        kept = make(classes=TWO, threshold=0.5, seen=21, unseen=unseen)
        assert (
            with_threshold(
                kept, Decides(0.5, ConformalAbstention(alpha=0.1, thresholds=(0.3, 0.4), n_patients=(40, 40)))
            ).report["unseen"]
            == unseen
        )
        moved = with_threshold(kept, Decides(0.4)).report["unseen"]
        assert (moved["accuracy"], moved["accuracy_interval"], moved["auc"], moved["n"]) == (None, None, 0.7, 9)

    @pytest.mark.parametrize("lacking", [LATER, LATER[:1], LATER[1:3]])
    def test_a_report_of_an_earlier_version_opens_and_gets_what_it_lacks(self, folder, lacking):
        save_evaluation(folder, make(classes=TWO, threshold=0.5))
        change(folder, lambda values: [values.pop(name) for name in lacking])
        kept = load_evaluation(folder)
        assert kept.abstention is None
        assert kept.is_confident.all()
        again = with_threshold(kept, Decides(0.5)).report
        whole = json.loads(json.dumps(make(classes=TWO, threshold=0.5).report))
        del whole["calibration"]
        assert {name: json.loads(json.dumps(again[name])) for name in whole} == whole


@pytest.mark.parametrize(
    ("kept", "now", "is_same"),
    [
        (None, None, True),
        (None, Calibration(slope=1.0, offsets=(0.0, 0.0)), False),
        (Calibration(slope=1.5, offsets=(0.0, 0.0)), None, False),
        (
            Calibration(slope=1.5, offsets=(0.0, 0.0)),
            Calibration(slope=1.5 + 1e-9, offsets=(0.0, 0.0), prevalence=(0.5, 0.5)),
            True,
        ),
        (Calibration(slope=1.5, offsets=(0.0, 0.0)), Calibration(slope=1.51, offsets=(0.0, 0.0)), False),
        (Calibration(slope=1.5, offsets=(0.0, 0.0)), Calibration(slope=1.5, offsets=(0.1, -0.1)), False),
    ],
)
def test_probabilities_are_those_of_a_card_with_the_same_calibration(kept, now, is_same):
    """Another processor fits the same calibration but for a rounding."""
    found = make(classes=TWO, threshold=0.5, calibration=kept.to_dict() if kept else None)
    assert found.has_calibration_of(Decides(calibration=now)) == is_same


def test_a_scan_is_sure_where_the_doubt_of_its_measurement_says_so():
    doubt = ConformalAbstention(alpha=0.1, thresholds=(0.3, 0.4), n_patients=(40, 40))
    found = make(60, classes=TWO, threshold=0.5, doubt=doubt)
    assert found.is_confident.sum() == found.report["answered"]["n_answered"]
    assert (
        found.is_confident.tolist()
        == doubt.is_confident(found.predictions.probabilities, found.predictions.predicted).tolist()
    )
