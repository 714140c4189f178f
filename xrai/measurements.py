"""What was measured of a model on a split of a dataset: the report and every scan's prediction, kept in its folder."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xrai.checkpoint import Card, Checkpoint
from xrai.errors import CheckpointError
from xrai.records import replace_file, write_json

FOLDER, REPORT, PREDICTIONS = "evaluations", "report.json", "predictions.csv"
_COLUMNS = ("row", "file", "patient", "truth", "called")


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model said of each of n scans.

    Attributes:
        rows: of the dataset, int64 (n,).
        files, patients: as the dataset names them, str (n,).
        labels, called: true class and called class, int64 (n,), in the model's order.
        probabilities: float (n, C).
    """

    rows: np.ndarray
    files: np.ndarray
    patients: np.ndarray
    labels: np.ndarray
    called: np.ndarray
    probabilities: np.ndarray

    def cell(self, truth: int, called: int) -> np.ndarray:
        """The scans of one cell of the confusion matrix, int64 positions in these arrays, the worst first.

        Worst is where the true class was given the least probability.
        """
        found = np.flatnonzero((self.labels == truth) & (self.called == called))
        return found[np.argsort(self.probabilities[found, truth], kind="stable")]

    def to_list(self, classes: tuple[str, ...]) -> list[dict[str, Any]]:
        """One JSON-able object a scan."""
        return [
            {
                "row": int(self.rows[i]),
                "file": str(self.files[i]),
                "patient": str(self.patients[i]),
                "truth": classes[self.labels[i]],
                "called": classes[self.called[i]],
                "probabilities": dict(zip(classes, map(float, self.probabilities[i]), strict=True)),
            }
            for i in range(len(self.rows))
        ]


@dataclass(frozen=True, eq=False)
class Measurement:
    """A measurement as it is kept.

    Attributes:
        report: what `evaluation.evaluate` gave, without the predictions.
        predictions: of each scan.
    """

    report: dict[str, Any]
    predictions: Predictions

    @property
    def classes(self) -> tuple[str, ...]:
        """The model's classes in order."""
        return tuple(self.report["classes"])

    def is_of(self, card: Card) -> bool:
        """Whether the model's weights are still those that were measured."""
        return self.report["weights"] == weights_mark(card)


def weights_mark(card: Card) -> str:
    """Equal for equal weights of a model: when it was trained, and which epoch was its best."""
    return f"{card.created}, epoch {card.training.get('best_epoch')}"


def measurement_folder(checkpoint: Checkpoint, dataset: Path, split: str) -> Path:
    """Where the measurement of a model on a split of a dataset, and the job that makes it, are kept."""
    return checkpoint.folder / FOLDER / f"{dataset.stem}-{split}"


def save_measurement(folder: Path, measured: Measurement) -> None:
    """Keep a measurement in place of an earlier one.

    Raises:
        OSError: the disk is full; the earlier one is still there, or none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{PREDICTIONS}.partial"
    classes, predictions = measured.classes, measured.predictions
    try:
        with partial.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([*_COLUMNS, *(f"p {name}" for name in classes)])
            for item in predictions.to_list(classes):
                writer.writerow([*(item[name] for name in _COLUMNS), *item["probabilities"].values()])
        (folder / REPORT).unlink(missing_ok=True)  # a report never stands beside the predictions of another
        replace_file(partial, folder / PREDICTIONS)
        write_json(folder / REPORT, measured.report)
    finally:
        partial.unlink(missing_ok=True)


def load_measurement(folder: Path) -> Measurement | None:
    """The measurement kept in a folder; None where there is none.

    Raises:
        CheckpointError: it is damaged.
    """
    if not (folder / REPORT).is_file():
        return None
    try:
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        measured = Measurement(report, _read_predictions(folder / PREDICTIONS, report["classes"]))
        _check(measured)
        return measured
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"The measurement kept in {folder.name} of the model “{folder.parent.parent.name}” is damaged: "
            "measure again."
        ) from error


def forget_measurements(checkpoint: Checkpoint) -> None:
    """Remove what was kept of measurements, which names scans; the card still says how they went."""
    shutil.rmtree(checkpoint.folder / FOLDER, ignore_errors=True)


def _read_predictions(file: Path, classes: list[str]) -> Predictions:
    with file.open(encoding="utf-8", errors="surrogateescape", newline="") as opened:
        head, *lines = csv.reader(opened)
    if head != [*_COLUMNS, *(f"p {name}" for name in classes)] or not lines:
        raise ValueError("columns")
    rows, files, patients, truths, called, *shares = zip(*lines, strict=True)
    number = {name: label for label, name in enumerate(classes)}
    return Predictions(
        np.array(rows, np.int64),
        np.array(files, object),
        np.array(patients, object),
        np.array([number[name] for name in truths], np.int64),
        np.array([number[name] for name in called], np.int64),
        np.array(shares, np.float64).T,
    )


def _check(measured: Measurement) -> None:
    """Refuse what could not be shown.

    Raises:
        KeyError, TypeError, ValueError: something is missing or makes no sense.
    """
    report: Mapping[str, Any] = measured.report
    n_classes = len(measured.classes)
    if np.shape(report["confusion_matrix"]) != (n_classes, n_classes) or report["n"] != len(measured.predictions.rows):
        raise ValueError("sizes")
    if set(report["per_class"]) != set(measured.classes) or set(report["curves"]) != set(measured.classes):
        raise ValueError("classes")
    texts = ("dataset", "split", "fingerprint", "weights", "when")
    if (
        not all(isinstance(report[name], str) for name in texts)
        or not np.isfinite(measured.predictions.probabilities).all()
    ):
        raise ValueError("words")
