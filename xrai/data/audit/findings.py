"""What an audit finds: a finding for each thing that was looked at, the gravest first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

from xrai.core.language import N_, join_messages, say, say_plural

Severity = Literal["serious", "notable", "fine"]

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""From the gravest to what came out well."""

CONFLICTING, EXACT, NEAR = "conflicting-labels", "exact-duplicates", "near-duplicates"
PATIENTS, BLANK = "leaking-patients", "blank-films"

DEFAULT_CLEAN_KINDS = (CONFLICTING, EXACT, NEAR)
"""The kinds whose suggestions cleaning follows unless told otherwise."""

REMOVABLE_KINDS = (*DEFAULT_CLEAN_KINDS, PATIENTS, BLANK)
"""The kinds that may suggest scans to take out."""

_KIND_NAMES = {
    CONFLICTING: N_("conflicting labels"),
    EXACT: N_("exact duplicates"),
    NEAR: N_("near duplicates"),
    PATIENTS: N_("leaking patients"),
    BLANK: N_("blank films"),
}

_MAX_NUMBER = 2**53
"""Up to here whole numbers are exact as floats too; nothing that an audit counts or measures is larger."""


@dataclass(frozen=True)
class AuditFinding:
    """One thing that was looked at.

    Attributes:
        kind: a word for programs, such as "exact-duplicates".
        severity: "serious" (figures mislead), "notable" (worth a look) or "fine" (came out well).
        title: a few words.
        sentence: what was found, for a doctor.
        advice: what it means and what to do; "" where it came out well.
        numbers: the figures behind it, JSON-able.
        groups: rows of the dataset that it is about, such as the copies of one picture; each group at least one.
        suggestion: the rows that cleaning would take out, ascending.
        classes, splits: those that it concerns, by name; none where it is about all.
    """

    kind: str
    severity: Severity
    title: str
    sentence: str
    advice: str = ""
    numbers: dict[str, Any] = field(default_factory=dict)
    groups: tuple[tuple[int, ...], ...] = ()
    suggestion: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()

    @property
    def rows(self) -> tuple[int, ...]:
        """The rows of all groups, each once, ascending."""
        return tuple(sorted({row for group in self.groups for row in group}))

    def to_dict(self) -> dict[str, Any]:
        """The finding as plain JSON-able values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], n: int) -> AuditFinding:
        """A finding on a dataset of `n` scans, read back.

        Raises:
            LookupError, TypeError, ValueError: something is missing or makes no sense.
        """
        if values["severity"] not in SEVERITIES:
            raise ValueError("severity")
        texts = {name: _require_text(values[name]) for name in ("kind", "severity", "title", "sentence", "advice")}
        return cls(
            **texts,  # type: ignore[arg-type]
            numbers=_parse_numbers(values["numbers"]),
            groups=tuple(_parse_rows(group, n) for group in _require_list(values["groups"])),
            suggestion=_parse_rows(values["suggestion"], n),
            classes=tuple(map(_require_text, _require_list(values["classes"]))),
            splits=tuple(map(_require_text, _require_list(values["splits"]))),
        )


@dataclass(frozen=True)
class Audit:
    """An audit of a dataset.

    Attributes:
        dataset: its name.
        fingerprint: of the dataset as it was.
        n: its scans.
        when: ISO time, UTC.
        seconds: that it took.
        versions: of the software.
        findings: the gravest first.
    """

    dataset: str
    fingerprint: str
    n: int
    when: str
    seconds: float
    versions: dict[str, str]
    findings: tuple[AuditFinding, ...]

    def with_severity(self, severity: Severity) -> tuple[AuditFinding, ...]:
        """The findings of one severity."""
        return tuple(finding for finding in self.findings if finding.severity == severity)

    def counts(self) -> dict[Severity, int]:
        """How many findings of each severity."""
        return {severity: len(self.with_severity(severity)) for severity in SEVERITIES}

    def rows_to_remove(self, kinds: Sequence[str] = DEFAULT_CLEAN_KINDS) -> list[int]:
        """The rows that the findings of some kinds suggest to take out, each once, ascending."""
        return sorted({row for finding in self.findings if finding.kind in kinds for row in finding.suggestion})

    def to_dict(self) -> dict[str, Any]:
        """The audit as plain JSON-able values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Audit:
        """An audit read back.

        Raises:
            LookupError, TypeError, ValueError: something is missing or makes no sense.
        """
        n, seconds = values["n"], values["seconds"]
        if (
            type(n) is not int
            or type(seconds) not in (int, float)
            or not (1 <= n <= _MAX_NUMBER and 0 <= seconds <= _MAX_NUMBER)
        ):
            raise ValueError("numbers")
        datetime.fromisoformat(values["when"])
        versions = {_require_text(name): _require_text(version) for name, version in values["versions"].items()}
        findings = tuple(AuditFinding.from_dict(item, n) for item in _require_list(values["findings"]))
        dataset, fingerprint = _require_text(values["dataset"]), _require_text(values["fingerprint"])
        return cls(dataset, fingerprint, n, values["when"], seconds, versions, sort_by_severity(findings))


def sort_by_severity(findings: Iterable[AuditFinding]) -> tuple[AuditFinding, ...]:
    """The gravest first; equals keep their order."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def scans(n: int) -> str:
    """“1 scan”, “2,000 scans”: a whole text each, as these are translated."""
    return say_plural("{n:,} scan", "{n:,} scans", n)


def films(n: int) -> str:
    """“1 film”, “2,000 films”."""
    return say_plural("{n:,} film", "{n:,} films", n)


def pictures(n: int) -> str:
    """“1 picture”, “2,000 pictures”."""
    return say_plural("{n:,} picture", "{n:,} pictures", n)


def files(n: int) -> str:
    """“1 file”, “2,000 files”."""
    return say_plural("{n:,} file", "{n:,} files", n)


def patients(n: int) -> str:
    """“1 patient”, “2,000 patients”."""
    return say_plural("{n:,} patient", "{n:,} patients", n)


def explain_removal(kinds: Sequence[str], *, has_list: bool, has_exceptions: bool) -> str:
    """Why a cleaned copy lacks scans, such as “the audit found them as exact duplicates”.

    Args:
        kinds: of the findings that suggested them.
        listed: whether somebody named some.
        some_kept: whether others that were suggested stay.
    """
    words = join_messages((_KIND_NAMES[kind] for kind in kinds), ", ")
    why = say("the audit found them as {words}", words=words) if words else say("a list named them") if has_list else ""
    if words and has_list:
        why = say("the audit found them as {words}, or a list named them", words=words)
    return say("{why}; others that it found were kept on purpose", why=why) if has_exceptions else why


def _require_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("text")
    return value


def _require_list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("list")
    return value


def _parse_rows(values: Any, n: int) -> tuple[int, ...]:
    if any(type(row) is not int or not 0 <= row < n for row in _require_list(values)):
        raise ValueError("rows")
    return tuple(values)


def _parse_numbers(values: Any) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise TypeError("numbers")
    _require_finite(values)
    return values


def _require_finite(value: Any) -> None:
    """JSON as Python reads it may hold NaN, infinity and numbers of any length, which no page could show."""
    if isinstance(value, int | float) and not abs(value) <= _MAX_NUMBER:
        raise ValueError("numbers")
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _require_finite(item)
