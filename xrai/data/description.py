"""Dataset description: the typed record of a dataset that a model's card keeps."""

from __future__ import annotations

from pydantic import Field

from xrai.core.language.field import MessageField
from xrai.core.records import Count, Record


class Leakage(Record):
    """Data leakage into one split.

    Attributes:
        patients: patients of the split who also have scans in an earlier split.
        scans: scans of the split whose file also stands in an earlier split.
    """

    patients: Count
    scans: Count


class FindingSummary(Record):
    """An audit finding as a model's card quotes it; see `AuditFinding`."""

    severity: str
    title: MessageField
    sentence: MessageField


class DatasetDescription(Record):
    """A dataset as a model's card describes it.

    Attributes:
        name: of the file, without its ending.
        fingerprint: SHA-256 over classes, contents, labels and splits.
        source: name of the source that it was built from.
        population: who is in the scans, in words.
        licence: of the scans, in words.
        is_phantom: whether the scans are phantoms without clinical meaning.
        seed: of the split.
        counts: scans, {class: {split: n}}.
        patients: patients in each split.
        leaks: of the validation and of the test split.
        audit: findings of the dataset audit; None where there was none.
    """

    name: str = ""
    fingerprint: str = ""
    source: str = ""
    population: MessageField = ""
    licence: MessageField = ""
    is_phantom: bool = False
    seed: int = 0
    counts: dict[str, dict[str, Count]] = Field(default_factory=dict)
    patients: dict[str, Count] = Field(default_factory=dict)
    leaks: dict[str, Leakage] = Field(default_factory=dict)
    audit: tuple[FindingSummary, ...] | None = None
