"""What the curves of a training run show, found from its numbers: learned well, by heart or little, and why.

A run is its records (`history.jsonl`), its settings and the counts of its dataset. What is found is said for a doctor,
with the epochs and the figures that it rests on and what to change next. The rules prefer silence to false alarms:
they compare medians of several epochs with the noise between epochs and with what chance makes of so few scans, and
they never compare the *level* of the training loss with that of validation, as varied, mixed or hidden scans, dropout
and label smoothing all lift the one and not the other. Only where the two lines go counts.
"""

from xrai.training.diagnostics.findings import SEVERITIES, CurveFinding, Severity
from xrai.training.diagnostics.history import History, clean_records
from xrai.training.diagnostics.matrix import ClassErrors, count_class_errors
from xrai.training.diagnostics.reading import analyse_curves
from xrai.training.diagnostics.run import NO_NUMBER
from xrai.training.diagnostics.textbook import TEXTBOOK_COUNTS, TEXTBOOK_KINDS, make_textbook_run

__all__ = [
    "NO_NUMBER",
    "SEVERITIES",
    "TEXTBOOK_COUNTS",
    "TEXTBOOK_KINDS",
    "ClassErrors",
    "CurveFinding",
    "History",
    "Severity",
    "analyse_curves",
    "clean_records",
    "count_class_errors",
    "make_textbook_run",
]
