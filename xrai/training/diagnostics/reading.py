"""Run all learning-curve diagnostics on the history of a run."""

from __future__ import annotations

from collections.abc import Sequence

from xrai.models.history import HistoryRecord
from xrai.training.config import TrainConfig
from xrai.training.diagnostics.amounts import detect_chance_level, detect_class_imbalance, detect_small_validation
from xrai.training.diagnostics.findings import CurveFinding, sort_curve_findings
from xrai.training.diagnostics.history import History
from xrai.training.diagnostics.learning_rate import detect_high_learning_rate, detect_low_learning_rate
from xrai.training.diagnostics.overfitting import detect_overfitting
from xrai.training.diagnostics.run import MIN_EPOCHS, Counts, RunCurves
from xrai.training.diagnostics.standing import report_ending, report_no_problem, report_selected_epoch, report_too_early
from xrai.training.diagnostics.underfitting import detect_underfitting


def analyse_curves(
    records: Sequence[HistoryRecord],
    config: TrainConfig | None = None,
    *,
    counts: Counts | None = None,
    status: str = "done",
) -> tuple[CurveFinding, ...]:
    """What the curves of a run show, most severe first; never empty.

    Of the rules on learning, the first that applies silences the others: a serious high learning rate, overfitting,
    a low learning rate, underfitting.

    Args:
        records: of the run, oldest first.
        config: None if unknown.
        counts: {class: {"train" | "val": scans}}, with the classes named as the sentences are to name them.
        status: as in `jobs.Job.status`.
    """
    run = RunCurves(History.from_records(records), config, counts or {}, status)
    size_findings = detect_small_validation(run)
    is_early = len(run.history) < MIN_EPOCHS
    findings = report_too_early(run) if is_early else _learning_findings(run, has_few_scans=bool(size_findings))
    findings += size_findings + detect_class_imbalance(run) + report_selected_epoch(run) + report_ending(run)
    return sort_curve_findings(findings)


def _learning_findings(run: RunCurves, *, has_few_scans: bool) -> list[CurveFinding]:
    findings = detect_high_learning_rate(run)
    if not any(finding.severity == "serious" for finding in findings):
        findings += detect_overfitting(run) or detect_low_learning_rate(run) or detect_underfitting(run)
    return findings + detect_chance_level(run) or report_no_problem(run, has_few_scans=has_few_scans)
