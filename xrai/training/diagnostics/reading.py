"""From the records of a run to what its curves show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xrai.training.diagnostics.amounts import detect_chance_level, detect_class_imbalance, detect_small_validation
from xrai.training.diagnostics.findings import CurveFinding, sort_curve_findings
from xrai.training.diagnostics.history import History
from xrai.training.diagnostics.learning import (
    detect_high_learning_rate,
    detect_low_learning_rate,
    detect_overfitting,
    detect_underfitting,
    report_no_problem,
)
from xrai.training.diagnostics.run import MIN_EPOCHS, Counts, RunCurves
from xrai.training.diagnostics.standing import report_ending, report_selected_epoch, report_too_early


def analyse_curves(
    records: Sequence[Mapping[str, Any]],
    config: Mapping[str, Any] | None = None,
    *,
    counts: Counts | None = None,
    status: str = "done",
    error: str = "",
) -> tuple[CurveFinding, ...]:
    """What the curves of a run show, the gravest first; there is always something to be said.

    Of the rules on learning, one that speaks silences those after it: a rate so high that the model suffers from it,
    overfitting, a rate too low, underfitting.

    Args:
        records: of the run, oldest first, as `history.jsonl` holds them.
        config: its settings, as `TrainConfig.to_dict` gives them; what lacks is not said anything of.
        counts: {class: {"train" | "val": scans}}, with the classes named as the sentences are to name them.
        status: how the run stands, as `jobs.Job.status` gives it.
        error: the sentence that a failed run ended with.
    """
    run = RunCurves(History.from_records(records), config or {}, counts or {}, status, error)
    size_findings = detect_small_validation(run)
    learning_findings = (
        report_too_early(run)
        if len(run.history) < MIN_EPOCHS
        else _learning_findings(run, has_few_scans=bool(size_findings))
    )
    return sort_curve_findings(
        [
            *learning_findings,
            *size_findings,
            *detect_class_imbalance(run),
            *report_selected_epoch(run),
            *report_ending(run),
        ]
    )


def _learning_findings(run: RunCurves, *, has_few_scans: bool) -> list[CurveFinding]:
    findings = detect_high_learning_rate(run)
    if not any(finding.severity == "serious" for finding in findings):
        findings += detect_overfitting(run) or detect_low_learning_rate(run) or detect_underfitting(run)
    return findings + detect_chance_level(run) or report_no_problem(run, has_few_scans=has_few_scans)
