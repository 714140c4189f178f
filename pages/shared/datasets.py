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
NO_MEANING = ("no clinical meaning", "no medical meaning", "no accuracy")
"""What the description of a set's patients says where figures on it must not be taken for those of patients."""


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


def has_no_meaning(population: str, *, drawings: bool) -> bool:
    """Whether figures on scans have no clinical meaning: they are drawings, or their description says so (NO_MEANING)."""
    return drawings or any(words in population.lower() for words in NO_MEANING)


@st.cache_data(max_entries=50, show_spinner=False)
def _read_facts(path: str, changed: int, n_bytes: int) -> tuple[Any, ...]:
    """The fields of `Facts`, read once for a file as long as it does not change."""
    with open_dataset(path) as dataset:
        counts = {split: len(dataset.rows(split)) for split in SPLITS}
        return dataset.classes, dataset.population, dataset.drawings, dataset.fingerprint, counts, dataset.notes
