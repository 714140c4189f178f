"""The numbers that say how good a model is, from its probabilities and the true labels.

Throughout, N is the number of scans, C ≥ 2 the number of classes, `probabilities` is (N, C) with one column a class
in the model's order, and `labels` is (N,) with values 0 … C − 1. Plain numpy; what comes back can go into JSON, of a
curve its `as_lists`. Input of the wrong shape, a label outside the classes or a probability that is not a number raises
`ValueError`.
"""

from xrai.metrics.checks import Interval
from xrai.metrics.curves import Curve, average_precision, downsample, precision_recall_curve, roc_curve
from xrai.metrics.intervals import bootstrap_intervals, class_intervals
from xrai.metrics.measures import (
    IMBALANCE_RATIO,
    auc,
    brier_score,
    class_aucs,
    confusion_matrix,
    expected_calibration_error,
    per_class_report,
    predict,
)
from xrai.metrics.reliability import calibration_error_by_chance, calibration_error_interval, reliability
from xrai.metrics.resampling import patient_folds
from xrai.metrics.shares import clustered_proportion

__all__ = [
    "IMBALANCE_RATIO",
    "Curve",
    "Interval",
    "auc",
    "average_precision",
    "bootstrap_intervals",
    "brier_score",
    "calibration_error_by_chance",
    "calibration_error_interval",
    "class_aucs",
    "class_intervals",
    "clustered_proportion",
    "confusion_matrix",
    "downsample",
    "expected_calibration_error",
    "patient_folds",
    "per_class_report",
    "precision_recall_curve",
    "predict",
    "reliability",
    "roc_curve",
]
