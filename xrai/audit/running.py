"""Running an audit: one look at every scan, then one check after another."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version

from xrai import __version__
from xrai.audit.balance import amounts
from xrai.audit.duplicates import duplicates
from xrai.audit.films import bad_films
from xrai.audit.findings import Audit, Finding, by_severity
from xrai.audit.looking import Look, look_over
from xrai.audit.odd import odd_films
from xrai.audit.patients import leaking_patients
from xrai.audit.shift import shifts
from xrai.audit.shortcuts import shortcuts
from xrai.dataset import Dataset

_CHECKS: tuple[tuple[str, Callable[[Look], list[Finding]]], ...] = (
    ("looking for copies", duplicates),
    ("comparing patients", leaking_patients),
    ("trying to guess the class without the lungs", shortcuts),
    ("comparing training and test", shifts),
    ("looking for bad films", bad_films),
    ("looking for odd films", odd_films),
    ("counting", amounts),
)
_LOOK = 40
"""Of 100, the share of the first look in the progress."""


def audit(
    dataset: Dataset,
    *,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Audit | None:
    """Audit an open dataset. The same dataset always gives the same findings.

    Args:
        dataset: open.
        progress: told how much is done of how much (100), and what is done now, in words.
        should_stop: asked every few scans and before every check.

    Returns:
        The audit, not yet kept; None where it was stopped.

    Raises:
        DatasetError: the dataset is damaged.
    """
    started = time.monotonic()
    first = "looking at every scan"
    look = look_over(dataset, lambda done, total: progress(_LOOK * done // total, 100, first), should_stop)
    if look is None:
        return None
    findings: list[Finding] = []
    for number, (what, check) in enumerate(_CHECKS):
        if should_stop():
            return None
        progress(_LOOK + (100 - _LOOK) * number // len(_CHECKS), 100, what)
        findings += check(look)
    progress(100, 100, "done")
    return Audit(
        dataset.path.stem,
        dataset.fingerprint,
        len(dataset),
        datetime.now(UTC).isoformat(timespec="seconds"),
        round(time.monotonic() - started, 1),
        _versions(),
        by_severity(findings),
    )


def _versions() -> dict[str, str]:
    packages = ("numpy", "scikit-learn", "scipy")
    return {"xrai": __version__, "python": platform.python_version()} | {name: version(name) for name in packages}
