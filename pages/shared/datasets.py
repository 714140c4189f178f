"""What pages need to know of a dataset before they open it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st

from xrai.dataset import open_dataset

SPLITS = ("test", "val", "train")
SPLIT_HELP = (
    "Training scans are learned from, validation scans choose the best moment of a run, test scans are kept for the "
    "final measurement."
)


class Facts(NamedTuple):
    """What a dataset says of itself."""

    classes: tuple[str, ...]
    population: str
    drawings: bool
    fingerprint: str
    counts: dict[str, int]
    notes: tuple[str, ...]


def facts_of(path: Path) -> Facts:
    """What a dataset says of itself.

    Raises:
        DatasetError: it is missing or damaged.
    """
    stamp = path.stat()
    return Facts(*_read_facts(str(path), stamp.st_mtime_ns, stamp.st_size))


@st.cache_data(max_entries=50, show_spinner=False)
def _read_facts(path: str, changed: int, n_bytes: int) -> tuple[Any, ...]:
    """The fields of `Facts`, read once for a file as long as it does not change."""
    with open_dataset(path) as dataset:
        counts = {split: len(dataset.rows(split)) for split in SPLITS}
        return dataset.classes, dataset.population, dataset.drawings, dataset.fingerprint, counts, dataset.notes
