"""Running an audit: one look at every scan, then one check after another."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version

from xrai import __version__
from xrai.core.language import N_, say
from xrai.data.audit.balance import amounts
from xrai.data.audit.duplicates import duplicates
from xrai.data.audit.films import bad_films
from xrai.data.audit.findings import Audit, Finding, by_severity
from xrai.data.audit.looking import Look, StoppedError, Tell, look_over
from xrai.data.audit.odd import odd_films
from xrai.data.audit.patients import leaking_patients
from xrai.data.audit.shift import shifts
from xrai.data.audit.shortcuts import shortcuts
from xrai.data.dataset import Dataset

Check = Callable[[Look, Tell], list[Finding]]


def _quick(check: Callable[[Look], list[Finding]]) -> Check:
    """A check that is over before there is anything to tell of it."""
    return lambda look, tell: check(look)


_LOOK = 40
"""Of 100, the share of the first look in the progress."""

_CHECKS: tuple[tuple[str, int, Check], ...] = (
    (N_("looking for copies"), 65, duplicates),
    (N_("comparing patients"), 65, _quick(leaking_patients)),
    (N_("trying to guess the class without the lungs"), 78, shortcuts),
    (N_("comparing training and test"), 88, shifts),
    (N_("looking for bad films"), 88, _quick(bad_films)),
    (N_("looking for odd films"), 99, odd_films),
    (N_("counting"), 100, _quick(amounts)),
)
"""What is done, how far the progress is when it is done, and what does it."""


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
        should_stop: asked every few scans, before every check and within those that take long.

    Returns:
        The audit, not yet kept; None where it was stopped.

    Raises:
        DatasetError: the dataset is damaged.
    """
    started = time.monotonic()
    try:
        findings = _findings(dataset, progress, should_stop)
    except StoppedError:
        return None
    progress(100, 100, N_("done"))
    return Audit(
        dataset.path.stem,
        dataset.fingerprint,
        len(dataset),
        datetime.now(UTC).isoformat(timespec="seconds"),
        round(time.monotonic() - started, 1),
        _versions(),
        by_severity(findings),
    )


def _findings(
    dataset: Dataset, progress: Callable[[int, int, str], None], should_stop: Callable[[], bool]
) -> list[Finding]:
    def told_of(what: str, start: int, end: int) -> Tell:
        heard = -1

        def tell(share: float) -> None:
            nonlocal heard
            if should_stop():
                raise StoppedError
            if (done := int(start + (end - start) * share)) > heard:  # a step a percent is enough to be read
                heard = done
                progress(done, 100, what)

        return tell

    look = look_over(dataset, told_of(say("looking at every scan"), 0, _LOOK))
    findings, start = [], _LOOK
    for what, end, check in _CHECKS:
        tell = told_of(what, start, end)
        tell(0)
        findings += check(look, tell)
        start = end
    return findings


def _versions() -> dict[str, str]:
    packages = ("numpy", "scikit-learn", "scipy")
    return {"xrai": __version__, "python": platform.python_version()} | {name: version(name) for name in packages}
