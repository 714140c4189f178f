"""Models ready to read scans, shared by all tabs; torch is imported here and nowhere else in the pages."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import streamlit as st

from xrai.checkpoint import CARD, WEIGHTS, Checkpoint

if TYPE_CHECKING:
    from xrai.diagnosis import Reader


def reader_for(checkpoint: Checkpoint) -> Reader:
    """The model of a folder, loaded once; again when its files have changed.

    Raises:
        CheckpointError: the folder holds no whole model.
    """
    return _load(str(checkpoint.folder), model_key(checkpoint))


def model_key(checkpoint: Checkpoint) -> str:
    """Equal for equal model files: what readings may be remembered by."""
    stamps = [f"{file}:{(checkpoint.folder / file).stat().st_mtime_ns}" for file in (CARD, WEIGHTS)]
    return f"{checkpoint.folder}|{'|'.join(stamps)}"


@st.cache_resource(max_entries=4, show_spinner="Loading the model: this takes a few seconds the first time…")
def _load(folder: str, key: str) -> Reader:
    from pathlib import Path

    from xrai.diagnosis import Reader

    reader = Reader.open(Checkpoint(Path(folder)))
    _settle_memory()
    return reader


def _settle_memory() -> None:
    """Streamlit collects garbage after every rerun; with torch's many objects frozen that takes no time."""
    gc.collect()
    gc.freeze()
