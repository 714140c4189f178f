"""What pages need to know of a dataset before they open it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st

from xrai.core.errors import DatasetError
from xrai.core.language import N_
from xrai.data.dataset import open_dataset
from xrai.models.card import Card

SPLITS = ("test", "val", "train")
SPLIT_HELP = N_(
    "Training scans are learned from, validation scans choose the best moment of a run, test scans are kept for the "
    "final measurement."
)


class DatasetFacts(NamedTuple):
    """What a dataset says of itself."""

    classes: tuple[str, ...]
    population: str
    is_phantom: bool
    fingerprint: str
    counts: dict[str, int]
    notes: tuple[str, ...]


def load_facts(path: Path) -> DatasetFacts:
    """What a dataset says of itself.

    Raises:
        DatasetError: it is missing or damaged.
    """
    status = path.stat()
    return DatasetFacts(*_read_facts(str(path), status.st_mtime_ns, status.st_size))


def find_training_dataset(card: Card, datasets: Sequence[Path]) -> Path | None:
    """The one of some datasets that a model learned from, as it was then."""
    for path in datasets:
        with suppress(DatasetError, OSError):
            if load_facts(path).fingerprint == card.dataset.fingerprint:
                return path
    return None


@st.cache_data(max_entries=50, show_spinner=False)
def _read_facts(path: str, mtime_ns: int, n_bytes: int) -> tuple[Any, ...]:
    """The fields of `Facts`, read once for a file as long as it does not change."""
    with open_dataset(path) as dataset:
        counts = {split: len(dataset.rows(split)) for split in SPLITS}
        return dataset.classes, dataset.population, dataset.is_phantom, dataset.fingerprint, counts, dataset.notes
