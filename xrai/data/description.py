"""Dataset description: the typed record of a dataset that a model's card keeps."""

from __future__ import annotations

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
    """

    name: str
    fingerprint: str
    source: str
    population: str
    licence: str
    is_phantom: bool
    seed: int
    counts: dict[str, dict[str, Count]]
    patients: dict[str, Count]
    leaks: dict[str, Leakage]


class FindingSummary(Record):
    """An audit finding as a model's card quotes it; see `AuditFinding`."""

    severity: str
    title: MessageField
    sentence: MessageField
