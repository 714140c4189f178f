"""From the records of a run to what its curves show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xrai.training.diagnostics.amounts import class_shares, guessing, small_validation
from xrai.training.diagnostics.findings import Finding, by_severity
from xrai.training.diagnostics.history import History
from xrai.training.diagnostics.learning import calm, overfitting, rate_too_high, rate_too_low, underfitting
from xrai.training.diagnostics.run import LEAST_EPOCHS, Counts, Run
from xrai.training.diagnostics.standing import ended, kept, too_early


def read_curves(
    records: Sequence[Mapping[str, Any]],
    config: Mapping[str, Any] | None = None,
    *,
    counts: Counts | None = None,
    status: str = "done",
    error: str = "",
) -> tuple[Finding, ...]:
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
    run = Run(History.of(records), config or {}, counts or {}, status, error)
    few = small_validation(run)
    learned = too_early(run) if len(run.history) < LEAST_EPOCHS else _learning(run, few=bool(few))
    return by_severity([*learned, *few, *class_shares(run), *kept(run), *ended(run)])


def _learning(run: Run, *, few: bool) -> list[Finding]:
    found = rate_too_high(run)
    if not any(finding.severity == "serious" for finding in found):
        found += overfitting(run) or rate_too_low(run) or underfitting(run)
    return found + guessing(run) or calm(run, few=few)
