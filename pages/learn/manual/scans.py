"""The scan that all chapters of the manual look at: a drawn chest, or one of the reader's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import streamlit as st

from pages.shared.datasets import facts_of
from pages.shared.formatting import nice, plain
from pages.shared.page import remembered, stated_errors
from pages.shared.uploads import for_screen
from xrai.core.language import tr
from xrai.data.dataset import list_datasets, open_dataset
from xrai.scans.phantoms import CLASSES, draw_thorax

MOST = 256
"""Pixels, the longer side: more would only be slower."""

DRAWN = "drawn"
_N_DRAWN, _FIRST_DRAWN = 100, 12
"""Of the drawings: how many there are, and one whose opacity lies in the middle of a lung."""
_SOURCE, _CLASS, _NUMBER = "manual_scan_source", "manual_scan_class", "manual_scan_number"


def chosen_scan(key: str) -> tuple[np.ndarray, str]:
    """The controls to choose a scan, and what is chosen: the same in every chapter and language.

    Of a dataset's scans, those of validation come first, which a model has not learned from. Those kept for testing
    are left alone: every look at them makes them less of a surprise.

    Args:
        key: of the container that holds the controls.

    Returns:
        The scan, uint8 grey (H, W), at most 256 pixels wide and high; and a caption in the reader's language, plain
        Markdown.
    """
    with st.container(key=f"{key}_scan", horizontal=True, vertical_alignment="bottom"):
        source = _source()
        with stated_errors():
            return _of_drawings() if source == DRAWN else _of_dataset(Path(source))
    return _drawing(CLASSES[0], 1), _drawn_caption(CLASSES[0], 1)


def _source() -> str:
    options = [DRAWN, *map(str, list_datasets())]
    return st.selectbox(
        tr("Scan to look at"),
        options,
        format_func=lambda item: tr("A drawn chest") if item == DRAWN else Path(item).stem,
        key=remembered(_SOURCE, options, DRAWN),
        width=260,
        persist_state="session",
    )


def _of_drawings() -> tuple[np.ndarray, str]:
    name, number = _name(CLASSES), _number(_N_DRAWN, _FIRST_DRAWN)
    return _drawing(name, number), _drawn_caption(name, number)


def _drawn_caption(name: str, number: int) -> str:
    return tr("A drawing, no patient: {name}, number {number}.", name=plain(nice(name)), number=number)


def _of_dataset(path: Path) -> tuple[np.ndarray, str]:
    stamp, classes = path.stat(), facts_of(path).classes
    name = _name(classes)
    rows = _rows(str(path), stamp.st_mtime_ns, classes.index(name))
    if not rows:
        return _of_nobody(name)
    number = _number(len(rows))
    caption = tr(
        "{name}: scan {number:,} of {total:,} in {dataset}.",
        name=plain(nice(name)), number=number, total=len(rows), dataset=plain(path.stem),
    )  # fmt: skip
    return _read(str(path), stamp.st_mtime_ns, rows[number - 1]), caption


def _of_nobody(name: str) -> tuple[np.ndarray, str]:
    st.info(
        tr("This dataset has no training or validation scan of {name}: choose another class.", name=plain(nice(name)))
    )
    return _drawing(CLASSES[0], 1), _drawn_caption(CLASSES[0], 1)


def _name(classes: tuple[str, ...]) -> str:
    return st.selectbox(
        tr("Class"), classes, format_func=nice, key=remembered(_CLASS, classes, classes[-1]), width=180,
        persist_state="session",
    )  # fmt: skip


def _number(most: int, first: int = 1) -> int:
    st.session_state[_NUMBER] = min(st.session_state.get(_NUMBER, first), most)
    return int(st.number_input(tr("Number"), 1, most, step=1, key=_NUMBER, width=140, persist_state="session"))


@st.cache_data(max_entries=20, show_spinner=False)
def _drawing(name: str, number: int) -> np.ndarray:
    return draw_thorax(np.random.default_rng(number), opacity=name == CLASSES[1], size=224)


@st.cache_data(max_entries=20, show_spinner=False)
def _rows(path: str, changed: int, label: int) -> list[int]:
    """The rows of a class, validation scans first, and none that is kept for testing."""
    with open_dataset(path) as dataset:
        return np.concatenate([dataset.rows(split, label) for split in ("val", "train")]).tolist()


@st.cache_data(max_entries=20, show_spinner=False)
def _read(path: str, changed: int, row: int) -> np.ndarray:
    with open_dataset(path) as dataset:
        return for_screen(dataset.images([row])[0], MOST)
