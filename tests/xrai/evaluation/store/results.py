"""Evaluation results to store."""

import csv
import errno
import json

import numpy as np

from xrai.calibration import Calibration, ConformalAbstention
from xrai.evaluation.report import classification_report
from xrai.evaluation.store import REPORT_FILE, EvaluationResult, Predictions
from xrai.metrics import predict

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


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def in_use(*_, **__):
    raise PermissionError(errno.EACCES, "in use")


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
