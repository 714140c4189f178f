"""Learning-curve finding: severity, text, position in the chart, suggested settings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Severity = Literal["serious", "notable", "open", "fine"]

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""Most severe first; "open" is what cannot be decided, or not yet."""

Chart = Literal["loss", "accuracy", "auc"]


@dataclass(frozen=True)
class CurveFinding:
    """One thing that the curves show.

    Attributes:
        kind: identifier, such as "overfitting".
        severity: "serious" (the model suffers from it), "notable" (worth a change), "open" (undecided) or "fine".
        title: a few words.
        sentence: the explanation for a doctor, with figures.
        advice: what to do next; "" for nothing.
        chart: the curve that shows it best, if any.
        span: first and last epoch concerned, from 1.
        at: epoch and value for an arrow.
        line: value of a reference line.
        label: text in the chart; "" for the title.
        changes: suggested settings of a next run, by the names of `TrainConfig`.
        numbers: the figures behind it, JSON-able.
    """

    kind: str
    severity: Severity
    title: str
    sentence: str
    advice: str = ""
    chart: Chart | None = None
    span: tuple[int, int] | None = None
    at: tuple[float, float] | None = None
    line: float | None = None
    label: str = ""
    changes: dict[str, Any] = field(default_factory=dict)
    numbers: dict[str, Any] = field(default_factory=dict)


def sort_curve_findings(findings: Iterable[CurveFinding]) -> tuple[CurveFinding, ...]:
    """Most severe first; equals keep their order."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))
