"""From a network's answers to what a doctor can act on: probabilities, a threshold, "not sure", and words for them.

Throughout, N is the number of scans, C ≥ 2 the number of classes, `probabilities` is (N, C) with one column a class in
the model's order, `labels` is (N,) with values 0 … C − 1, and `patients` names each scan's patient, (N,). Everything is
to be fitted on scans that the network did not learn from, and never on those that it is measured on. Where those scans
also chose when the training ended, what is fitted promises a little too much.
"""

from xrai.calibration.doubt import Doubt, answer_report, fit_doubt
from xrai.calibration.scaling import Calibration, at_prevalence, fit_calibration, fit_where_it_helps
from xrai.calibration.thresholds import (
    EVEN,
    Goal,
    Thousand,
    Threshold,
    choose_threshold,
    patients_needed,
    per_thousand,
    predictive_values,
    threshold_points,
)
from xrai.calibration.wording import natural_frequency, of_hundred, people_of

__all__ = [
    "EVEN",
    "Calibration",
    "Doubt",
    "Goal",
    "Thousand",
    "Threshold",
    "answer_report",
    "at_prevalence",
    "choose_threshold",
    "fit_calibration",
    "fit_doubt",
    "fit_where_it_helps",
    "natural_frequency",
    "of_hundred",
    "patients_needed",
    "people_of",
    "per_thousand",
    "predictive_values",
    "threshold_points",
]
