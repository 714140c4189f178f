"""Models ready to read scans, shared by all tabs; torch is imported here and nowhere else in the pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages.shared.garbage_collection import freeze_garbage
from xrai.core.language import tr
from xrai.models.artifacts import ARTIFACTS_FILE
from xrai.models.checkpoint import CARD, WEIGHTS, Checkpoint

if TYPE_CHECKING:
    from xrai.reading.reader import Reader


def load_reader(checkpoint: Checkpoint) -> Reader:
    """The model of a folder, loaded once; again when its files have changed.

    Raises:
        CheckpointError: the folder holds no whole model.
    """
    with st.spinner(tr("Loading the model: this takes a few seconds the first time…")):
        return _load_cached_reader(str(checkpoint.folder), model_files_key(checkpoint))


def model_files_key(checkpoint: Checkpoint) -> str:
    """Equal for equal model files: what readings may be remembered by."""
    stamps = [f"{file}:{(checkpoint.folder / file).stat().st_mtime_ns}" for file in (CARD, WEIGHTS)]
    return f"{checkpoint.folder}|{'|'.join(stamps)}"


def artifacts_key(checkpoint: Checkpoint) -> str:
    """Equal for equal files of a model, its kit among them: what figures may be remembered by."""
    file = checkpoint.folder / ARTIFACTS_FILE
    return f"{model_files_key(checkpoint)}|{file.stat().st_mtime_ns if file.is_file() else ''}"


@st.cache_resource(max_entries=4, show_spinner=False)
def _load_cached_reader(folder: str, key: str) -> Reader:
    from pathlib import Path

    from xrai.reading.reader import Reader

    reader = Reader.open(Checkpoint(Path(folder)))
    freeze_garbage()
    return reader
