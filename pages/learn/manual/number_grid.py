"""A small table of numbers that the reader edits cell by cell; what they typed stays over chapters and languages."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import streamlit as st

from xrai.core.language import tr

MAX_VALUE = 99.0
"""Of a cell, with either sign."""


def number_grid(
    key: str, initial: Sequence[Sequence[float]], *, step: float = 1.0, on_change: Callable[[], None] | None = None
) -> np.ndarray:
    """The cells; gives their numbers, float64 (rows, columns).

    Args:
        key: of the table; a cell's key is `cell_key(key, row, column)`.
        initial: what the cells hold at first; an emptied cell becomes 0.
        step: of a cell's buttons.
        on_change: called after an edit.
    """
    return np.array([_row(key, row, numbers, step, on_change) for row, numbers in enumerate(initial)])


def cell_key(key: str, row: int, column: int) -> str:
    """The key of one cell in the session's state."""
    return f"{key}_{row}_{column}"


def _row(
    key: str, row: int, numbers: Sequence[float], step: float, on_change: Callable[[], None] | None
) -> list[float]:
    values = []
    for column, (cell_container, value) in enumerate(zip(st.columns(len(numbers), gap="xsmall"), numbers, strict=True)):
        name = cell_key(key, row, column)
        st.session_state.setdefault(name, float(value))
        cell_value = cell_container.number_input(  # its own value is what the browser fills an emptied cell with
            tr("Row {row}, column {column}", row=row + 1, column=column + 1),
            -MAX_VALUE,
            MAX_VALUE,
            value=0.0,
            step=step,
            format="%.3g",
            key=name,
            on_change=on_change,
            label_visibility="collapsed",
            persist_state="session",
        )
        values.append(cell_value)
    return values
