"""The reader's filter in the manual: presets, cells to edit, and what its sum does; kept over chapters and languages."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from pages.learn.manual.number_grid import cell_key, number_grid
from xrai.core.language import N_, tr
from xrai.figures import format_short
from xrai.manual.convolution import (
    BLUR,
    EDGES,
    IDENTITY,
    KERNEL_SIZES,
    SHARPEN,
    SOBEL_X,
    SOBEL_Y,
    FloatArray,
    find_preset,
    get_preset,
    resize_kernel,
)

FILTER_NAMES = {
    IDENTITY: N_("Identity"),
    BLUR: N_("Blur"),
    SHARPEN: N_("Sharpen"),
    SOBEL_X: N_("Sobel, left to right"),
    SOBEL_Y: N_("Sobel, top to bottom"),
    EDGES: N_("All edges"),
}
FILTER_NOTES = {
    IDENTITY: N_("Every dot stays as it is."),
    BLUR: N_("Every dot becomes the average of its neighbourhood: noise fades, and fine detail with it."),
    SHARPEN: N_("Every dot’s difference from its neighbours is added to it: borders stand out."),
    SOBEL_X: N_("Right minus left: answers where brightness changes sideways, as at the side of a lung."),
    SOBEL_Y: N_("Below minus above: answers where brightness changes downwards, as at a rib or the diaphragm."),
    EDGES: N_("The dot against all around it: answers to any change, and to noise as well."),
}
DEFAULT_FILTER = SOBEL_X

_FILTER, _SIZE, _PRESET = "manual_filter", "manual_filter_size", "manual_filter_preset"


def current_filter() -> FloatArray:
    """The filter that the reader has made, float64 (k, k)."""
    return np.array(st.session_state.setdefault(_FILTER, get_preset(DEFAULT_FILTER).tolist()))


def filter_name() -> str:
    """What the reader's filter is called."""
    preset_name = find_preset(current_filter())
    return tr(FILTER_NAMES[preset_name]) if preset_name else tr("Your own filter")


def choose_filter() -> None:
    """The side of the filter, and the presets."""
    st.session_state[_SIZE] = len(current_filter())
    st.session_state[_PRESET] = find_preset(current_filter())
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.segmented_control(
            tr("Size"),
            KERNEL_SIZES,
            format_func=lambda side: f"{side} × {side}",
            required=True,
            key=_SIZE,
            on_change=_resize_filter,
        )
        st.pills(
            tr("Filter"),
            list(FILTER_NAMES),
            format_func=lambda name: tr(FILTER_NAMES[name]),
            key=_PRESET,
            on_change=_apply_preset,
            wrap=True,
        )


def edit_filter() -> FloatArray:
    """The cells, and what their sum means; gives the filter, float64 (k, k)."""
    kernel = current_filter()
    number_grid(_cells_key(len(kernel)), kernel.tolist(), on_change=_store_cells)
    preset_name = find_preset(kernel)
    st.markdown(f"**{filter_name()}.** {tr(FILTER_NOTES[preset_name]) if preset_name else ''}")
    st.caption(_sum_text(float(kernel.sum())))
    return kernel


def _sum_text(total: float) -> str:
    if abs(total) < 1e-6:
        return tr("Its numbers add up to 0: where the scan is even, the result is 0, black; only changes are left.")
    if abs(total - 1) < 1e-6:
        return tr("Its numbers add up to 1: where the scan is even, brightness stays as it was.")
    if total > 0:
        return tr(
            "Its numbers add up to {total}: where the scan is even, it gets {total} times as bright.",
            total=format_short(total),
        )
    return tr(
        "Its numbers add up to {total}: where the scan is even, the result is below 0.", total=format_short(total)
    )


def _cells_key(size: int) -> str:
    return f"manual_cell_{size}"


def _store_cells() -> None:
    size = len(current_filter())
    cell_values = [
        [st.session_state[cell_key(_cells_key(size), row, column)] for column in range(size)] for row in range(size)
    ]
    st.session_state[_FILTER] = [[float(value) for value in row] for row in cell_values]


def _apply_preset() -> None:
    if name := st.session_state[_PRESET]:
        _set_filter(get_preset(name, len(current_filter())))


def _resize_filter() -> None:
    kernel, size = current_filter(), int(st.session_state[_SIZE])
    preset_name = find_preset(kernel)
    _set_filter(get_preset(preset_name, size) if preset_name else resize_kernel(kernel, size))


def _set_filter(kernel: Any) -> None:
    """Make it the filter, and write it into the cells."""
    st.session_state[_FILTER] = kernel.tolist()
    for (row, column), value in np.ndenumerate(kernel):
        st.session_state[cell_key(_cells_key(len(kernel)), row, column)] = float(value)
