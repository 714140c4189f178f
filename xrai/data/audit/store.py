"""Store and load audits (`NAME.audit.json`), and summarise them for the cards of models."""

from __future__ import annotations

import json
from pathlib import Path

from xrai.core.errors import DatasetError, damage_as, system_reason
from xrai.core.json_files import is_file, write_json
from xrai.core.language import say
from xrai.data.audit.findings import Audit
from xrai.data.dataset import Dataset
from xrai.data.description import FindingSummary

_MAX_BYTES = 64 << 20
"""No audit is larger; a larger file would only fill the memory."""


def audit_file(dataset: Path) -> Path:
    """The file that stores the audit of a dataset."""
    return dataset.with_name(f"{dataset.stem}.audit.json")


def save_audit(audit: Audit, dataset: Path) -> None:
    """Store an audit beside its dataset; it replaces an earlier one.

    Raises:
        DatasetError: the disk is full, or the folder cannot be written to; the earlier audit is still there.
    """
    try:
        write_json(audit_file(dataset), audit.to_dict())
    except OSError as error:
        raise DatasetError(
            "The audit of {name} cannot be kept in {parent} ({strerror}): "
            "free some disk space, or check the folder's permissions.",
            name=dataset.name,
            parent=dataset.parent,
            strerror=system_reason(error),
        ) from error


def load_audit(dataset: Dataset) -> Audit | None:
    """The stored audit of an open dataset; None where there is none, or it belongs to other contents.

    Raises:
        DatasetError: it is damaged or cannot be read.
    """
    file = audit_file(dataset.path)
    if not is_file(file):
        return None
    try:
        text = file.read_text(encoding="utf-8") if file.stat().st_size <= _MAX_BYTES else ""
    except OSError as error:
        raise DatasetError(
            "The audit {name} cannot be read ({strerror}): check its permissions.",
            name=file.name,
            strerror=system_reason(error),
        ) from error
    except UnicodeDecodeError:
        text = ""
    message = say("The audit kept in {name} is damaged: audit the dataset again.", name=file.name)
    with damage_as(DatasetError, message):
        audit = Audit.from_dict(json.loads(text))
    return audit if (audit.fingerprint, audit.n) == (dataset.fingerprint, len(dataset)) else None


def summarise_for_card(audit: Audit) -> tuple[FindingSummary, ...]:
    """The findings that are not fine, as a model's card quotes them, in order of severity."""
    return tuple(
        FindingSummary(severity=finding.severity, title=finding.title, sentence=finding.sentence)
        for finding in audit.findings
        if finding.severity != "fine"
    )
