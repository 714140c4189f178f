"""Calibration, decision threshold and abstention of a classifier, fitted on held-out scans, and natural frequencies.

Throughout, N is the number of scans, C ≥ 2 the number of classes, `probabilities` is (N, C) with one column per class
in the model's order, `labels` is (N,) with values 0 … C − 1, and `patients` is the key of each scan's patient, (N,).
Where the validation scans also chose the best epoch, what is fitted on them is slightly optimistic.
"""

from xrai.calibration.abstention import AbstentionReport, ConformalAbstention, abstention_report, fit_abstention
from xrai.calibration.scaling import Calibration, adjust_prevalence, fit_calibration, fit_cross_validated_calibration
from xrai.calibration.thresholds import (
    ARGMAX_THRESHOLD,
    NaturalFrequencies,
    Threshold,
    ThresholdGoal,
    choose_threshold,
    compute_natural_frequencies,
    patients_needed,
    predictive_values,
    threshold_points,
)
from xrai.calibration.wording import (
    LEAST_CERTAIN,
    MOST_CERTAIN,
    describe_natural_frequency,
    people_word,
    round_to_hundred,
)

__all__ = [
    "ARGMAX_THRESHOLD",
    "LEAST_CERTAIN",
    "MOST_CERTAIN",
    "AbstentionReport",
    "Calibration",
    "ConformalAbstention",
    "NaturalFrequencies",
    "Threshold",
    "ThresholdGoal",
    "abstention_report",
    "adjust_prevalence",
    "choose_threshold",
    "compute_natural_frequencies",
    "describe_natural_frequency",
    "fit_abstention",
    "fit_calibration",
    "fit_cross_validated_calibration",
    "patients_needed",
    "people_word",
    "predictive_values",
    "round_to_hundred",
    "threshold_points",
]
