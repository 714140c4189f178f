"""Run the audit: one dataset pass, then every check, with progress."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version

from xrai import __version__
from xrai.core.language import N_, say
from xrai.data.audit.class_balance import check_sizes
from xrai.data.audit.dataset_pass import AuditStoppedError, DatasetPass, ProgressCallback, run_dataset_pass
from xrai.data.audit.distribution_shift import check_split_shift
from xrai.data.audit.duplicates import find_duplicates
from xrai.data.audit.findings import Audit, AuditFinding
from xrai.data.audit.image_quality import check_image_quality
from xrai.data.audit.outliers import find_outliers
from xrai.data.audit.patient_leakage import find_patient_leaks
from xrai.data.audit.shortcuts import check_shortcuts
from xrai.data.dataset import Dataset

Check = Callable[[DatasetPass, ProgressCallback], list[AuditFinding]]


def _without_progress(check: Callable[[DatasetPass], list[AuditFinding]]) -> Check:
    """A check that is too fast to report its progress."""
    return lambda dataset_pass, progress: check(dataset_pass)


def _check_quality(dataset_pass: DatasetPass) -> list[AuditFinding]:
    return check_image_quality(dataset_pass.quality, is_phantom=dataset_pass.dataset.is_phantom)


_PASS_PERCENT = 40
"""Progress in percent when the dataset pass is done."""

_CHECKS: tuple[tuple[str, int, Check], ...] = (
    (N_("looking for copies"), 65, find_duplicates),
    (N_("comparing patients"), 65, _without_progress(find_patient_leaks)),
    (N_("trying to guess the class without the lungs"), 78, check_shortcuts),
    (N_("comparing training and test"), 88, check_split_shift),
    (N_("looking for bad films"), 88, _without_progress(_check_quality)),
    (N_("looking for odd films"), 99, find_outliers),
    (N_("counting"), 100, _without_progress(check_sizes)),
)
"""What each step does, in words; the progress in percent when it is done; the check."""


def run_audit(
    dataset: Dataset,
    *,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Audit | None:
    """Audit an open dataset; the findings are deterministic.

    Args:
        dataset: open.
        progress: takes the progress, its total (100), and the current step in words.
        should_stop: polled every few scans and before every check.

    Returns:
        The audit, not yet stored; None where it was stopped.

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
        dataset=dataset.path.stem,
        fingerprint=dataset.fingerprint,
        n=len(dataset),
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - start_time, 1),
        versions=_versions(),
        findings=tuple(findings),
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
            if (percent := int(start + (end - start) * share)) > last_percent:  # one record for each percent
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
