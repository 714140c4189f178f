"""What was measured of a model on a split of a dataset: the report and every scan's prediction, kept in its folder."""

from __future__ import annotations

import csv
import hashlib
import math
import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from xrai.calibration import Calibration, ConformalAbstention
from xrai.core.errors import CheckpointError
from xrai.core.json_files import flush, is_file, write_json
from xrai.core.language import load_json, say
from xrai.core.paths import display_path
from xrai.data.sources import SPLIT_NAMES, SPLITS
from xrai.evaluation.report import classification_report as report_of
from xrai.metrics import predict
from xrai.models.card import Card
from xrai.models.checkpoint import EVALUATIONS, Checkpoint

REPORT_FILE = "report.json"
_PREDICTIONS_KEY = "predictions_file"
"""Where the kept report names the table of predictions that belongs to it."""

_OPTIONAL_KEYS = {
    "reliability",
    "expected_calibration_error_interval",
    "expected_calibration_error_by_chance",
    "calibration",
    "doubt",
    "answered",
}
"""What reports that were kept by earlier versions lack."""

_MAX_STEM_LENGTH = 60
_COLUMNS = ("row", "file", "patient", "truth", "called")
_DAMAGE_ERRORS = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    csv.Error,
)
"""What files with damaged, foreign or missing values lead to when they are read."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model said of each of n scans.

    Attributes:
        rows: of the dataset, int64 (n,).
        files, patients: as the dataset names them, str (n,).
        labels, predicted: true class and called class, int64 (n,), in the model's order.
        probabilities: float (n, C).
    """

    rows: np.ndarray
    files: np.ndarray
    patients: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray

    def find_cell(self, target: int, predicted: int) -> np.ndarray:
        """The scans of one cell of the confusion matrix, int64 positions in these arrays, the worst first.

        Worst is where the true class was given the least probability.
        """
        positions = np.flatnonzero((self.labels == target) & (self.predicted == predicted))
        return positions[np.argsort(self.probabilities[positions, target], kind="stable")]

    def to_list(self, classes: tuple[str, ...]) -> list[dict[str, Any]]:
        """One JSON-able object a scan."""
        return [
            {
                "row": int(self.rows[i]),
                "file": str(self.files[i]),
                "patient": str(self.patients[i]),
                "truth": classes[self.labels[i]],
                "called": classes[self.predicted[i]],
                "probabilities": dict(zip(classes, map(float, self.probabilities[i]), strict=True)),
            }
            for i in range(len(self.rows))
        ]


@dataclass(frozen=True, eq=False)
class EvaluationResult:
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

    @property
    def abstention(self) -> ConformalAbstention | None:
        """Where an answer counts as not firm; None for nowhere, also where nobody knows."""
        stored = self.report.get("doubt")
        return ConformalAbstention.from_dict(stored) if stored else None

    @property
    def is_confident(self) -> np.ndarray:
        """Whether each scan's answer is firm, bool (n,)."""
        predictions = self.predictions
        return (
            np.ones(len(predictions.rows), bool)
            if self.abstention is None
            else self.abstention.is_confident(predictions.probabilities, predictions.predicted)
        )

    def has_calibration_of(self, card: Card) -> bool:
        """Whether its probabilities are still what the model's answers mean: their calibration is that of the card."""
        stored = self.report.get("calibration")
        return _is_same_calibration(Calibration.from_dict(stored) if stored else None, card.calibration)

    def has_weights_of(self, checkpoint: Checkpoint) -> bool:
        """Whether the model's weights are still those that were measured."""
        return self.report["weights"] == checkpoint.weights_sha256()

    def iter_table_rows(self) -> Iterator[list[Any]]:
        """The predictions as a table: its head, then a line a scan."""
        yield [*_COLUMNS, *(f"p {name}" for name in self.classes)]
        for item in self.predictions.to_list(self.classes):
            yield [*(item[name] for name in _COLUMNS), *item["probabilities"].values()]


def measuring_title(name: str, dataset: Path, split: str) -> str:
    """The title of the job that measures a model on a part of a dataset."""
    return say("Measuring {name} on {stem}, {split}", name=name, stem=dataset.stem, split=SPLIT_NAMES[split])


def evaluation_folder(checkpoint: Checkpoint, dataset: Path, split: str) -> Path:
    """Where the measurement of a model on a split of a dataset, and the job that makes it, are kept.

    The name tells datasets of one name in several folders apart, and stays when a dataset is built anew in its place.
    """
    digest = hashlib.sha256(display_path(dataset).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return checkpoint.folder / EVALUATIONS / f"{dataset.stem[:_MAX_STEM_LENGTH]}-{split}-{digest}"


def save_evaluation(folder: Path, result: EvaluationResult) -> None:
    """Keep a measurement in place of an earlier one.

    The predictions get a file of their own, and the report that names it is replaced at one stroke. So there is always
    a whole measurement, also when a spreadsheet program holds the predictions before: these then stay for a while.

    Raises:
        OSError: the disk is full; the earlier one is still there, or none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    predictions_file = folder / f"predictions-{secrets.token_hex(4)}.csv"
    try:
        _write_predictions(predictions_file, result)
        flush(predictions_file)
        write_json(folder / REPORT_FILE, result.report | {_PREDICTIONS_KEY: predictions_file.name})
    except BaseException:
        with suppress(OSError):
            predictions_file.unlink()
        raise
    for stale_file in folder.glob("predictions*.csv"):
        if stale_file.name != predictions_file.name:
            with suppress(OSError):
                stale_file.unlink()


def load_evaluation(folder: Path) -> EvaluationResult | None:
    """The measurement kept in a folder; None where there is none.

    Raises:
        CheckpointError: it is damaged.
    """
    if not is_file(folder / REPORT_FILE):
        return None
    try:
        report = load_json((folder / REPORT_FILE).read_text(encoding="utf-8"))
        file = folder / Path(report.pop(_PREDICTIONS_KEY)).name
        result = EvaluationResult(report, _read_predictions(file, report["classes"]))
        _check(result)
        return result
    except _DAMAGE_ERRORS as error:
        raise CheckpointError(
            "The measurement kept in {name} of the model “{name2}” is damaged: measure again.",
            name=folder.name,
            name2=folder.parent.parent.name,
        ) from error


def with_threshold(result: EvaluationResult, card: Card) -> EvaluationResult:
    """A measurement as it would be under the threshold and the doubt of a card, which may have been chosen since.

    The probabilities stay, so no scan is looked at again: `has_probabilities_of` must hold. Which scans were seen in
    training is not kept, so that of the unseen ones everything that depends on the threshold becomes None.
    """
    report, predictions, threshold = result.report, result.predictions, card.threshold_value
    if not _OPTIONAL_KEYS - {"calibration"} <= report.keys() or (report["threshold"], result.abstention) != (
        threshold,
        card.abstention,
    ):
        new_report = report_of(
            predictions.probabilities,
            predictions.labels,
            predictions.patients,
            result.classes,
            threshold,
            card.abstention,
        )
        unseen = report["unseen"]
        if unseen is not None and report["threshold"] != threshold:
            unseen = unseen | {"accuracy": None, "accuracy_interval": None, "per_class": {}}
        return EvaluationResult(
            report | new_report | {"unseen": unseen},
            replace(predictions, predicted=predict(predictions.probabilities, threshold)),
        )
    return result


def _is_same_calibration(one: Calibration | None, other: Calibration | None) -> bool:
    """Whether two turn answers into the same probabilities, but for what another processor rounds otherwise."""
    if one is None or other is None or len(one.offsets) != len(other.offsets):
        return one is other
    return np.allclose((one.slope, *one.offsets), (other.slope, *other.offsets), rtol=1e-6, atol=1e-6)


def _write_predictions(file: Path, result: EvaluationResult) -> None:
    with file.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
        csv.writer(stream).writerows(
            result.iter_table_rows()
        )  # with its own ends of lines it also quotes names that hold one


def _read_predictions(file: Path, classes: list[str]) -> Predictions:
    with file.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
        head, *lines = csv.reader(stream)
    if head != [*_COLUMNS, *(f"p {name}" for name in classes)] or not lines:
        raise ValueError("columns")
    rows, files, patients, truths, predicted, *probabilities = zip(*lines, strict=True)
    label_by_name = {name: label for label, name in enumerate(classes)}
    return Predictions(
        np.array(rows, np.int64),
        np.array(files, object),
        np.array(patients, object),
        np.array([label_by_name[name] for name in truths], np.int64),
        np.array([label_by_name[name] for name in predicted], np.int64),
        np.array(probabilities, np.float64).T,
    )


def _check(result: EvaluationResult) -> None:
    """Refuse what could not be shown, or a report that is not of these predictions.

    Raises:
        LookupError, TypeError, ValueError: something is missing or makes no sense.
    """
    report, predictions, classes = result.report, result.predictions, result.classes
    if len(set(classes)) < 2 or not all(isinstance(name, str) for name in classes):
        raise ValueError("classes")
    counts = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(counts, (predictions.labels, predictions.predicted), 1)
    if report["confusion_matrix"] != counts.tolist() or report["n"] != len(predictions.rows):
        raise ValueError("not of these predictions")
    if predictions.rows.min() < 0 or not np.isfinite(predictions.probabilities).all():
        raise ValueError("predictions")
    if not all(isinstance(report[name], str) for name in ("dataset", "split", "fingerprint", "weights", "when")):
        raise TypeError("words")
    datetime.fromisoformat(report["when"])
    if report["split"] not in SPLITS:
        raise ValueError("split")
    _check_counts(report, "n", "n_patients", "seen", "left_out", "measured_before")
    _check_metrics(report, "accuracy", "balanced_accuracy", "auc")
    _check_numbers(report["brier"], report["expected_calibration_error"], report["threshold"])
    for name in classes:
        _check_metrics(report["per_class"][name], "precision", "recall", "f1", "auc")
        _check_counts(report["per_class"][name], "support")
        _check_curves(report["curves"][name])
    if report["unseen"] is not None:
        _check_counts(report["unseen"], "n", "n_patients")
        _check_metrics(report["unseen"], "accuracy", "auc")
    _check_optional(result)


def _check_optional(result: EvaluationResult) -> None:
    """The same for what reports of earlier versions lack, as far as it is there."""
    report, classes = result.report, result.classes
    _check_numbers(report.get("expected_calibration_error_by_chance"))
    if "expected_calibration_error_interval" in report:
        _check_metrics(report, "expected_calibration_error")
    if report.get("calibration") is not None and len(Calibration.from_dict(report["calibration"]).offsets) != len(
        classes
    ):
        raise ValueError("calibration")
    if "reliability" in report:
        for name in classes:
            for point in report["reliability"][name]:
                _check_counts(point, "n")
                _check_share(point["mean"], point["share"], *_unpack_pair(point["interval"]))
    if result.abstention is not None and len(result.abstention.thresholds) != len(classes):
        raise ValueError("doubt")
    answered = report.get("answered")
    if (answered is None) != (result.abstention is None):
        raise ValueError("answers go with doubt")
    if answered is not None:
        _check_abstention_report(answered, report["n"], len(classes))


def _check_abstention_report(answered: Mapping[str, Any], n: int, n_classes: int) -> None:
    _check_counts(answered, "n", "n_answered")
    _check_metrics(answered, "answered", "right")
    if answered["n"] != n or answered["answered"] is None or len(answered["per_class"]) != n_classes:
        raise ValueError("answers")
    for row in answered["per_class"]:
        _check_metrics(row, "answered", "wrong")


def _check_counts(values: Mapping[str, Any], *names: str) -> None:
    if any(type(values[name]) is not int or values[name] < 0 for name in names):
        raise ValueError("counts")


def _check_metrics(values: Mapping[str, Any], *names: str) -> None:
    for name in names:
        interval = values[f"{name}_interval"]
        if interval is not None and (len(interval) != 2 or None in interval):
            raise ValueError("interval")
        _check_numbers(values[name], *(interval or ()))


def _check_curves(curves: Mapping[str, Any] | None) -> None:
    if curves is None:
        return
    _check_numbers(curves["average_precision"])
    for name in ("roc", "precision_recall"):
        x, y, thresholds = (curves[name][axis] for axis in ("x", "y", "thresholds"))
        if not len(x) == len(y) == len(thresholds) or None in x or None in y:
            raise ValueError("curve")
        _check_numbers(*x, *y, *thresholds)


def _check_share(*values: object) -> None:
    _check_numbers(*values)
    if not all(value is not None and 0 <= value <= 1 + 1e-6 for value in values):  # type: ignore[operator]
        raise ValueError("share")


def _unpack_pair(values: Any) -> tuple[Any, Any]:
    low, high = values
    return low, high


def _check_numbers(*values: object) -> None:
    """Refuse what is neither a number nor None, which stands for one that is not defined."""
    for value in values:
        if value is not None and not (type(value) in (int, float) and math.isfinite(value)):  # type: ignore[arg-type]
            raise TypeError("numbers")
