"""Audit findings: typed records of what was checked, ordered by severity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal, Self, TypeAlias, get_args

from pydantic import AfterValidator, Field, model_validator

from xrai.core.language import N_, join_messages, say, say_plural
from xrai.core.language.field import MessageField
from xrai.core.records import Count, Record

Severity = Literal["serious", "notable", "fine"]

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""In descending order; "fine" is a check that passed."""

CONFLICTING, EXACT, NEAR = "conflicting-labels", "exact-duplicates", "near-duplicates"
PATIENTS, BLANK = "leaking-patients", "blank-films"

DEFAULT_CLEAN_KINDS = (CONFLICTING, EXACT, NEAR)
"""The kinds of findings that cleaning removes by default."""

REMOVABLE_KINDS = (*DEFAULT_CLEAN_KINDS, PATIENTS, BLANK)
"""The kinds of findings that may suggest scans for removal."""

_KIND_NAMES = {
    CONFLICTING: N_("conflicting labels"),
    EXACT: N_("exact duplicates"),
    NEAR: N_("near duplicates"),
    PATIENTS: N_("leaking patients"),
    BLANK: N_("blank films"),
}

_MAX_NUMBER = 2**53
"""Whole numbers are exact as floats up to here; no count or measurement of an audit is larger."""

_Int = Annotated[int, Field(strict=True, ge=-_MAX_NUMBER, le=_MAX_NUMBER)]
_Float = Annotated[float, Field(strict=True, ge=-_MAX_NUMBER, le=_MAX_NUMBER)]
Number: TypeAlias = _Int | _Float
Numbers: TypeAlias = Mapping[str, Number | tuple[Number, ...] | tuple[str, ...] | Mapping[str, Number]]
"""The figures behind a finding: numbers, intervals, file names, or counts by class or reason."""

Group: TypeAlias = tuple[Count, ...]
"""Rows of a dataset that belong together, such as the copies of one picture."""


class AuditFinding(Record):
    """The result of one check.

    Attributes:
        kind: identifier, such as "exact-duplicates".
        severity: "serious" (figures mislead), "notable" (worth knowing) or "fine" (passed).
        title: a few words.
        sentence: the result, for a doctor.
        advice: what it means and what to do; "" for a check that passed.
        numbers: the figures behind it.
        groups: rows of the dataset that it is about.
        suggestion: rows that cleaning would remove, ascending.
        classes: names of the classes concerned; empty for all.
        splits: names of the splits concerned; empty for all.
    """

    kind: str
    severity: Severity
    title: MessageField
    sentence: MessageField
    advice: MessageField = ""
    numbers: Numbers = Field(default_factory=dict)
    groups: tuple[Group, ...] = ()
    suggestion: Group = ()
    classes: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()

    @property
    def rows(self) -> tuple[int, ...]:
        """The rows of all groups, each once, ascending."""
        return tuple(sorted({row for group in self.groups for row in group}))


def fine_finding(kind: str, title: str, sentence: str, *, numbers: Numbers | None = None) -> AuditFinding:
    """The finding of a check that passed."""
    return AuditFinding(kind=kind, severity="fine", title=title, sentence=sentence, numbers=numbers or {})


def sort_by_severity(findings: Iterable[AuditFinding]) -> tuple[AuditFinding, ...]:
    """The findings in descending order of severity; the sort is stable."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def _check_time(text: str) -> str:
    datetime.fromisoformat(text)
    return text


class Audit(Record):
    """An audit of a dataset.

    Attributes:
        dataset: its name.
        fingerprint: of the dataset at that time.
        n: number of scans.
        when: ISO time, UTC.
        seconds: duration.
        versions: of the software.
        findings: in descending order of severity.
    """

    dataset: str
    fingerprint: str
    n: Annotated[int, Field(strict=True, ge=1, le=_MAX_NUMBER)]
    when: Annotated[str, AfterValidator(_check_time)]
    seconds: Annotated[float, Field(strict=True, ge=0, le=_MAX_NUMBER)]
    versions: dict[str, str]
    findings: Annotated[tuple[AuditFinding, ...], AfterValidator(sort_by_severity)]

    @model_validator(mode="after")
    def _check_rows(self) -> Self:
        if any(row >= self.n for finding in self.findings for row in (*finding.rows, *finding.suggestion)):
            raise ValueError("a finding names a row that the dataset lacks")
        return self

    def with_severity(self, severity: Severity) -> tuple[AuditFinding, ...]:
        """The findings of one severity."""
        return tuple(finding for finding in self.findings if finding.severity == severity)

    def counts(self) -> dict[Severity, int]:
        """The number of findings of each severity."""
        return {severity: len(self.with_severity(severity)) for severity in SEVERITIES}

    def rows_to_remove(self, kinds: Sequence[str] = DEFAULT_CLEAN_KINDS) -> list[int]:
        """The rows that findings of some kinds suggest for removal, each once, ascending."""
        return sorted({row for finding in self.findings if finding.kind in kinds for row in finding.suggestion})


def scan_count(n: int) -> str:
    """“1 scan”, “2,000 scans”."""
    return say_plural("{n:,} scan", "{n:,} scans", n)


def film_count(n: int) -> str:
    """“1 film”, “2,000 films”."""
    return say_plural("{n:,} film", "{n:,} films", n)


def picture_count(n: int) -> str:
    """“1 picture”, “2,000 pictures”."""
    return say_plural("{n:,} picture", "{n:,} pictures", n)


def file_count(n: int) -> str:
    """“1 file”, “2,000 files”."""
    return say_plural("{n:,} file", "{n:,} files", n)


def patient_count(n: int) -> str:
    """“1 patient”, “2,000 patients”."""
    return say_plural("{n:,} patient", "{n:,} patients", n)


def explain_removal(kinds: Sequence[str], *, has_list: bool, has_exceptions: bool) -> str:
    """Why a cleaned copy lacks scans, such as “the audit found them as exact duplicates”.

    Args:
        kinds: of the findings that suggested them.
        has_list: whether a list named some of them.
        has_exceptions: whether scans that were suggested stay.
    """
    words = join_messages((_KIND_NAMES[kind] for kind in kinds), ", ")
    if words and has_list:
        reason = say("the audit found them as {kinds}, or a list named them", kinds=words)
    elif words:
        reason = say("the audit found them as {kinds}", kinds=words)
    else:
        reason = say("a list named them") if has_list else ""
    return say("{reason}; others that it found were kept on purpose", reason=reason) if has_exceptions else reason
