"""The classification report of a split: all measures of predictions, each number with its interval."""

from __future__ import annotations

from typing import Any

import numpy as np

from xrai.calibration import ConformalAbstention, abstention_report
from xrai.metrics import (
    auc,
    average_precision,
    bootstrap_intervals,
    brier_score,
    calibration_error_by_chance,
    calibration_error_interval,
    class_aucs,
    class_intervals,
    confusion_matrix,
    downsample,
    expected_calibration_error,
    per_class_report,
    precision_recall_curve,
    predict,
    reliability,
    roc_curve,
)


def classification_report(
    probabilities: np.ndarray,
    labels: np.ndarray,
    patients: np.ndarray,
    classes: tuple[str, ...],
    threshold: float | None,
    abstention: ConformalAbstention | None = None,
) -> dict[str, Any]:
    """All measures of predictions, JSON-able.

    accuracy, balanced_accuracy, auc and their `…_interval` (95 %, bootstrap by patient); classes; confusion_matrix
    (rows are the truth); per_class (precision, recall, f1, each with `…_interval`, support, auc against the rest and
    its interval); curves (of each class against the rest: roc, precision_recall, average_precision, or None where they
    are not defined); threshold; brier; expected_calibration_error, its interval and what it would be by chance alone
    (expected_calibration_error_by_chance); reliability (bins of each class's probabilities); answered
    (`calibration.answer_report`; None where every answer is firm); n; n_patients.

    Args:
        probabilities: float (N, C).
        labels: true classes, int (N,).
        patients: keys (N,), equal for scans of one patient.
        classes: names of the C classes.
        threshold: probability from which the second of two classes is called; None for the likeliest class.
        abstention: where a prediction is not confident; None for nowhere.
    """
    predicted = predict(probabilities, threshold)
    matrix = confusion_matrix(predicted, labels, len(classes))
    per_class: dict[str, dict[str, Any]] = dict(per_class_report(matrix, classes))
    recalls = [row["recall"] for row in per_class.values() if row["support"]]
    intervals = bootstrap_intervals(probabilities, labels, patients, threshold=threshold)
    class_bounds = class_intervals(probabilities, labels, patients, threshold=threshold)
    for name, class_auc, bounds in zip(classes, class_aucs(probabilities, labels), class_bounds, strict=True):
        per_class[name] |= {"auc": class_auc} | {f"{measure}_interval": bounds[measure] for measure in bounds}
    return {
        "accuracy": float((predicted == labels).mean()),
        "accuracy_interval": intervals["accuracy"],
        "balanced_accuracy": float(np.mean(recalls)),
        "balanced_accuracy_interval": intervals["balanced_accuracy"],
        "auc": auc(probabilities, labels),
        "auc_interval": intervals["auc"],
        "classes": list(classes),
        "confusion_matrix": matrix.tolist(),
        "per_class": per_class,
        "curves": {name: _compute_curves(probabilities[:, k], labels == k) for k, name in enumerate(classes)},
        "threshold": threshold,
        "brier": brier_score(probabilities, labels),
        "expected_calibration_error": expected_calibration_error(probabilities, labels),
        "expected_calibration_error_interval": calibration_error_interval(probabilities, labels, patients),
        "expected_calibration_error_by_chance": calibration_error_by_chance(probabilities),
        "reliability": {
            name: reliability(probabilities[:, k], labels == k, patients=patients) for k, name in enumerate(classes)
        },
        "doubt": None if abstention is None else abstention.model_dump(mode="json", by_alias=True),
        "answered": None
        if abstention is None
        else abstention_report(
            abstention.is_confident(probabilities, predicted), predicted, labels, patients, len(classes)
        ).model_dump(mode="json", by_alias=True),
        "n": len(labels),
        "n_patients": len(set(patients)),
    }


def _compute_curves(scores: np.ndarray, positive: np.ndarray) -> dict[str, Any] | None:
    roc, precision_recall = roc_curve(scores, positive), precision_recall_curve(scores, positive)
    if roc is None or precision_recall is None:
        return None
    return {
        "roc": downsample(roc).to_lists(),
        "precision_recall": downsample(precision_recall).to_lists(),
        "average_precision": average_precision(scores, positive),
    }
