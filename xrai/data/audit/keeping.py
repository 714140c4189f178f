"""Keeping an audit beside its dataset, as `NAME.audit.json`, and its short form for the cards of models."""

from __future__ import annotations

from pathlib import Path

from xrai.core.errors import DatasetError, system_reason
from xrai.core.json_files import write_json
from xrai.core.language import load_json
from xrai.data.audit.findings import Audit
from xrai.data.dataset import Dataset, open_dataset

_DAMAGE_ERRORS = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What a file with damaged, foreign or missing values leads to when it is read."""

_MAX_BYTES = 64 << 20
"""No audit is longer than this, in bytes; what is would only fill the memory."""


def audit_file(dataset: Path) -> Path:
    """Where the audit of a dataset's file is kept."""
    return dataset.with_name(f"{dataset.stem}.audit.json")


def save_audit(audit: Audit, dataset: Path) -> None:
    """Keep an audit beside its dataset, in place of an earlier one.

    Raises:
        DatasetError: the disk is full, or the folder cannot be written to; the earlier one is still there.
    """
    try:
        write_json(audit_file(dataset), audit.to_dict())
    except OSError as error:
        raise DatasetError(
            "The audit of {name} cannot be kept in {parent} ({strerror}): "
            "free some disk space, or check the folder's rights.",
            name=dataset.name,
            parent=dataset.parent,
            strerror=system_reason(error),
        ) from error


def load_audit(dataset: Dataset | Path) -> Audit | None:
    """The audit kept beside a dataset; None where there is none, or it is of a dataset that was there before.

    Raises:
        DatasetError: it is damaged or cannot be read, or the dataset is.
    """
    path = dataset.path if isinstance(dataset, Dataset) else dataset
    if not audit_file(path).is_file():
        return None
    audit = _read_audit(audit_file(path))
    if isinstance(dataset, Dataset):
        return audit if (audit.fingerprint, audit.n) == (dataset.fingerprint, len(dataset)) else None
    with open_dataset(path) as current_dataset:
        return audit if (audit.fingerprint, audit.n) == (current_dataset.fingerprint, len(current_dataset)) else None


def summarise_for_card(audit: Audit) -> list[dict[str, str]]:
    """What a model's card quotes: severity, title and sentence of each finding that is not fine, the gravest first."""
    return [
        {"severity": finding.severity, "title": finding.title, "sentence": finding.sentence}
        for finding in audit.findings
        if finding.severity != "fine"
    ]


def _read_audit(file: Path) -> Audit:
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise ValueError("too long")
        return Audit.from_dict(load_json(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise DatasetError(
            "The audit {name} cannot be read ({strerror}): check its rights.",
            name=file.name,
            strerror=system_reason(error),
        ) from error
    except _DAMAGE_ERRORS as error:
        raise DatasetError("The audit kept in {name} is damaged: audit the dataset again.", name=file.name) from error
