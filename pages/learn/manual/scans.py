"""The scan that all chapters of the manual look at: a drawn chest, or one of the reader's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import streamlit as st

from pages.shared.datasets import load_facts
from pages.shared.formatting import class_label, escape_markdown
from pages.shared.images import resize_for_screen
from pages.shared.page import display_errors, valid_choice_key
from xrai.core.language import tr
from xrai.data.dataset import list_datasets, open_dataset
from xrai.scans.phantoms import CLASSES, draw_thorax

MAX_SIDE = 256
"""Pixels, the longer side: more would only be slower."""

PHANTOM_SOURCE = "drawn"
_N_PHANTOMS, _FIRST_PHANTOM = 100, 12
"""Of the drawings: how many there are, and one whose opacity lies in the middle of a lung."""
_SOURCE, _CLASS, _NUMBER = "manual_scan_source", "manual_scan_class", "manual_scan_number"


def choose_scan(key: str) -> tuple[np.ndarray, str]:
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
        source = _choose_source()
        with display_errors():
            return _choose_phantom() if source == PHANTOM_SOURCE else _choose_dataset_scan(Path(source))
    return _draw_phantom(CLASSES[0], 1), _phantom_caption(CLASSES[0], 1)


def _choose_source() -> str:
    options = [PHANTOM_SOURCE, *map(str, list_datasets())]
    return st.selectbox(
        tr("Scan to look at"),
        options,
        format_func=lambda item: tr("A drawn chest") if item == PHANTOM_SOURCE else Path(item).stem,
        key=valid_choice_key(_SOURCE, options, PHANTOM_SOURCE),
        width=260,
        persist_state="session",
    )


def _choose_phantom() -> tuple[np.ndarray, str]:
    name, number = _choose_class(CLASSES), _choose_number(_N_PHANTOMS, _FIRST_PHANTOM)
    return _draw_phantom(name, number), _phantom_caption(name, number)


def _phantom_caption(name: str, number: int) -> str:
    return tr("A drawing, no patient: {name}, number {number}.", name=escape_markdown(class_label(name)), number=number)


def _choose_dataset_scan(path: Path) -> tuple[np.ndarray, str]:
    status, classes = path.stat(), load_facts(path).classes
    name = _choose_class(classes)
    rows = _class_rows(str(path), status.st_mtime_ns, classes.index(name))
    if not rows:
        return _show_empty_class(name)
    number = _choose_number(len(rows))
    caption = tr(
        "{name}: scan {number:,} of {total:,} in {dataset}.",
        name=escape_markdown(class_label(name)),
        number=number,
        total=len(rows),
        dataset=escape_markdown(path.stem),
    )
    return _read_row(str(path), status.st_mtime_ns, rows[number - 1]), caption


def _show_empty_class(name: str) -> tuple[np.ndarray, str]:
    st.info(
        tr(
            "This dataset has no training or validation scan of {name}: choose another class.",
            name=escape_markdown(class_label(name)),
        )
    )
    return _draw_phantom(CLASSES[0], 1), _phantom_caption(CLASSES[0], 1)


def _choose_class(classes: tuple[str, ...]) -> str:
    return st.selectbox(
        tr("Class"),
        classes,
        format_func=class_label,
        key=valid_choice_key(_CLASS, classes, classes[-1]),
        width=180,
        persist_state="session",
    )


def _choose_number(maximum: int, default: int = 1) -> int:
    st.session_state[_NUMBER] = min(st.session_state.get(_NUMBER, default), maximum)
    return int(st.number_input(tr("Number"), 1, maximum, step=1, key=_NUMBER, width=140, persist_state="session"))


@st.cache_data(max_entries=20, show_spinner=False)
def _draw_phantom(name: str, number: int) -> np.ndarray:
    return draw_thorax(np.random.default_rng(number), opacity=name == CLASSES[1], size=224)


@st.cache_data(max_entries=20, show_spinner=False)
def _class_rows(path: str, mtime_ns: int, label: int) -> list[int]:
    """The rows of a class, validation scans first, and none that is kept for testing."""
    with open_dataset(path) as dataset:
        return np.concatenate([dataset.rows(split, label) for split in ("val", "train")]).tolist()


@st.cache_data(max_entries=20, show_spinner=False)
def _read_row(path: str, mtime_ns: int, row: int) -> np.ndarray:
    with open_dataset(path) as dataset:
        return resize_for_screen(dataset.images([row])[0], MAX_SIDE)
