"""Running an audit: one look at every scan, then one check after another."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version

from xrai import __version__
from xrai.core.language import N_, say
from xrai.data.audit.balance import check_sizes
from xrai.data.audit.duplicates import find_duplicates
from xrai.data.audit.films import check_image_quality
from xrai.data.audit.findings import Audit, AuditFinding, sort_by_severity
from xrai.data.audit.looking import AuditStoppedError, DatasetPass, ProgressCallback, run_dataset_pass
from xrai.data.audit.odd import find_outliers
from xrai.data.audit.patients import find_patient_leaks
from xrai.data.audit.shift import check_split_shift
from xrai.data.audit.shortcuts import check_shortcuts
from xrai.data.dataset import Dataset

Check = Callable[[DatasetPass, ProgressCallback], list[AuditFinding]]


def _without_progress(check: Callable[[DatasetPass], list[AuditFinding]]) -> Check:
    """A check that is over before there is anything to tell of it."""
    return lambda dataset_pass, progress: check(dataset_pass)


_PASS_PERCENT = 40
"""Of 100, the share of the first look in the progress."""

_CHECKS: tuple[tuple[str, int, Check], ...] = (
    (N_("looking for copies"), 65, find_duplicates),
    (N_("comparing patients"), 65, _without_progress(find_patient_leaks)),
    (N_("trying to guess the class without the lungs"), 78, check_shortcuts),
    (N_("comparing training and test"), 88, check_split_shift),
    (N_("looking for bad films"), 88, _without_progress(check_image_quality)),
    (N_("looking for odd films"), 99, find_outliers),
    (N_("counting"), 100, _without_progress(check_sizes)),
)
"""What is done, how far the progress is when it is done, and what does it."""


def run_audit(
    dataset: Dataset,
    *,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Audit | None:
    """Audit an open dataset. The same dataset always gives the same findings.

    Args:
        dataset: open.
        progress: told how much is done of how much (100), and what is done now, in words.
        should_stop: asked every few scans, before every check and within those that take long.

    Returns:
        The audit, not yet kept; None where it was stopped.

    Raises:
        DatasetError: the dataset is damaged.
    """
    start_time = time.monotonic()
    try:
        findings = _run_checks(dataset, progress, should_stop)
    except AuditStoppedError:
        return None
    progress(100, 100, N_("done"))
    return Audit(
        dataset.path.stem,
        dataset.fingerprint,
        len(dataset),
        datetime.now(UTC).isoformat(timespec="seconds"),
        round(time.monotonic() - start_time, 1),
        _versions(),
        sort_by_severity(findings),
    )


def _run_checks(
    dataset: Dataset, progress: Callable[[int, int, str], None], should_stop: Callable[[], bool]
) -> list[AuditFinding]:
    def make_step_progress(what: str, start: int, end: int) -> ProgressCallback:
        last_percent = -1

        def report_share(share: float) -> None:
            nonlocal last_percent
            if should_stop():
                raise AuditStoppedError
            if (percent := int(start + (end - start) * share)) > last_percent:  # a step a percent is enough to be read
                last_percent = percent
                progress(percent, 100, what)

        return report_share

    dataset_pass = run_dataset_pass(dataset, make_step_progress(say("looking at every scan"), 0, _PASS_PERCENT))
    findings, start = [], _PASS_PERCENT
    for what, end, check in _CHECKS:
        step_progress = make_step_progress(what, start, end)
        step_progress(0)
        findings += check(dataset_pass, step_progress)
        start = end
    return findings


def _versions() -> dict[str, str]:
    packages = ("numpy", "scikit-learn", "scipy")
    return {"xrai": __version__, "python": platform.python_version()} | {name: version(name) for name in packages}
