"""One file of a source, and what its folders and its name say of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One file that may be a scan: where it lies in its source, and what its folders and its name say of it.

    Attributes:
        patient: key that is equal for two scans of one patient; None where nothing tells.
    """

    path: str
    class_name: str
    split: str | None
    patient: str | None = None
