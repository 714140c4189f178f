"""The reader's filter in the manual: presets, cells to edit, and what its sum does; kept over chapters and languages."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from pages.learn.manual.number_grid import cell_key, number_grid
from xrai.core.language import N_, tr
from xrai.figures import short
from xrai.manual.convolution import (
    BLUR,
    EDGES,
    IDENTITY,
    SHARPEN,
    SIZES,
    SOBEL_X,
    SOBEL_Y,
    Numbers,
    preset,
    preset_like,
    resized,
)

NAMES = {
    IDENTITY: N_("Identity"),
    BLUR: N_("Blur"),
    SHARPEN: N_("Sharpen"),
    SOBEL_X: N_("Sobel, left to right"),
    SOBEL_Y: N_("Sobel, top to bottom"),
    EDGES: N_("All edges"),
}
WHAT = {
    IDENTITY: N_("Every dot stays as it is."),
    BLUR: N_("Every dot becomes the average of its neighbourhood: noise fades, and fine detail with it."),
    SHARPEN: N_("Every dot’s difference from its neighbours is added to it: borders stand out."),
    SOBEL_X: N_("Right minus left: answers where brightness changes sideways, as at the side of a lung."),
    SOBEL_Y: N_("Below minus above: answers where brightness changes downwards, as at a rib or the diaphragm."),
    EDGES: N_("The dot against all around it: answers to any change, and to noise as well."),
}
FIRST = SOBEL_X

_FILTER, _SIZE, _PRESET = "manual_filter", "manual_filter_size", "manual_filter_preset"


def chosen_filter() -> Numbers:
    """The filter that the reader has made, float64 (k, k)."""
    return np.array(st.session_state.setdefault(_FILTER, preset(FIRST).tolist()))


def name_of_filter() -> str:
    """What the reader's filter is called."""
    known = preset_like(chosen_filter())
    return tr(NAMES[known]) if known else tr("Your own filter")


def choose_filter() -> None:
    """The side of the filter, and the presets."""
    st.session_state[_SIZE] = len(chosen_filter())
    st.session_state[_PRESET] = preset_like(chosen_filter())
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.segmented_control(
            tr("Size"), SIZES, format_func=lambda side: f"{side} × {side}", required=True, key=_SIZE, on_change=_resize
        )
        st.pills(
            tr("Filter"),
            list(NAMES),
            format_func=lambda name: tr(NAMES[name]),
            key=_PRESET,
            on_change=_take_preset,
            wrap=True,
        )


def edit_filter() -> Numbers:
    """The cells, and what their sum means; gives the filter, float64 (k, k)."""
    kernel = chosen_filter()
    number_grid(_cells(len(kernel)), kernel.tolist(), on_change=_take_cells)
    known = preset_like(kernel)
    st.markdown(f"**{name_of_filter()}.** {tr(WHAT[known]) if known else ''}")
    st.caption(_what_the_sum_does(float(kernel.sum())))
    return kernel


def _what_the_sum_does(total: float) -> str:
    if abs(total) < 1e-6:
        return tr("Its numbers add up to 0: where the scan is even, the result is 0, black; only changes are left.")
    if abs(total - 1) < 1e-6:
        return tr("Its numbers add up to 1: where the scan is even, brightness stays as it was.")
    if total > 0:
        return tr(
            "Its numbers add up to {total}: where the scan is even, it gets {total} times as bright.",
            total=short(total),
        )
    return tr("Its numbers add up to {total}: where the scan is even, the result is below 0.", total=short(total))


def _cells(size: int) -> str:
    return f"manual_cell_{size}"


def _take_cells() -> None:
    size = len(chosen_filter())
    typed = [[st.session_state[cell_key(_cells(size), row, column)] for column in range(size)] for row in range(size)]
    st.session_state[_FILTER] = [[float(value) for value in row] for row in typed]


def _take_preset() -> None:
    if name := st.session_state[_PRESET]:
        _put(preset(name, len(chosen_filter())))


def _resize() -> None:
    kernel, size = chosen_filter(), int(st.session_state[_SIZE])
    known = preset_like(kernel)
    _put(preset(known, size) if known else resized(kernel, size))


def _put(kernel: Any) -> None:
    """Make it the filter, and write it into the cells."""
    st.session_state[_FILTER] = kernel.tolist()
    for (row, column), value in np.ndenumerate(kernel):
        st.session_state[cell_key(_cells(len(kernel)), row, column)] = float(value)
