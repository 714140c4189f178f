"""Learning-curve diagnostics: overfitting, underfitting, learning rate, class imbalance, small validation set.

Input are the records of a run, its settings and the counts of its dataset; each finding is explained for a doctor, with
its figures and suggested settings. The rules prefer silence to false alarms: they compare medians of several epochs
with the noise between epochs and the sampling error of the validation scans. They never compare the *level* of
training and validation loss, since augmentation, mixup, dropout and label smoothing lift only the former; only trends
count.
"""

from xrai.training.diagnostics.findings import SEVERITIES, CurveFinding, Severity
from xrai.training.diagnostics.history import History
from xrai.training.diagnostics.matrix import ClassErrors, count_class_errors
from xrai.training.diagnostics.reading import analyse_curves
from xrai.training.diagnostics.textbook import TEXTBOOK_COUNTS, TEXTBOOK_KINDS, make_textbook_run

__all__ = [
    "SEVERITIES",
    "TEXTBOOK_COUNTS",
    "TEXTBOOK_KINDS",
    "ClassErrors",
    "CurveFinding",
    "History",
    "Severity",
    "analyse_curves",
    "count_class_errors",
    "make_textbook_run",
]
