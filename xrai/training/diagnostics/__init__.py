"""What the curves of a training run show, found from its numbers: learned well, by heart or little, and why.

A run is its records (`history.jsonl`), its settings and the counts of its dataset. What is found is said for a doctor,
with the epochs and the figures that it rests on and what to change next. The rules prefer silence to false alarms:
they compare medians of several epochs with the noise between epochs and with what chance makes of so few scans, and
they never compare the *level* of the training loss with that of validation, as varied, mixed or hidden scans, dropout
and label smoothing all lift the one and not the other. Only where the two lines go counts.
"""

from xrai.training.diagnostics.findings import SEVERITIES, Finding, Severity
from xrai.training.diagnostics.history import History, whole_records
from xrai.training.diagnostics.matrix import Errors, errors_of
from xrai.training.diagnostics.reading import read_curves
from xrai.training.diagnostics.run import NO_NUMBER
from xrai.training.diagnostics.textbook import COUNTS, TEXTBOOK, textbook_run

__all__ = [
    "COUNTS",
    "NO_NUMBER",
    "SEVERITIES",
    "TEXTBOOK",
    "Errors",
    "Finding",
    "History",
    "Severity",
    "errors_of",
    "read_curves",
    "textbook_run",
    "whole_records",
]
