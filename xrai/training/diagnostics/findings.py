"""A finding on the curves of a run: what it is, where it is seen, what it rests on and what to change next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Severity = Literal["serious", "notable", "open", "fine"]

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""From the gravest to what came out well; "open" is what cannot be said, or not yet."""

Chart = Literal["loss", "accuracy", "auc"]


@dataclass(frozen=True)
class CurveFinding:
    """One thing that the curves show.

    Attributes:
        kind: a word for programs, such as "overfitting".
        severity: "serious" (the model suffers from it), "notable" (worth a change), "open" (cannot be said) or "fine".
        title: a few words.
        sentence: what was found, for a doctor, with the figures.
        advice: what to do next; "" where there is nothing to do.
        chart: the curve in which it is seen best; None where it is seen in none.
        span: first and last epoch in which it is seen, from 1; None where it is about no epoch.
        at: the epoch and the value that an arrow points at; None for none.
        line: a value to compare with, at which a line goes across; None for none.
        label: what stands in the chart; "" for the title.
        changes: settings of a next run that follow from it, by the names of `TrainConfig`.
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
    """The gravest first; equals keep their order."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))
