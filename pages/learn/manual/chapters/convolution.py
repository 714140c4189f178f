"""Chapter 1 of the manual: a filter that the reader edits, its window step by step, and the whole scan filtered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.learn.manual.filter_editor import choose_filter, edit_filter, filter_name
from pages.learn.manual.scans import choose_scan
from pages.shared.formatting import format_probability
from pages.shared.page import display_errors, show_switch
from xrai.core.language import N_, tr
from xrai.figures import format_short, patch_table, products_row, result_table
from xrai.manual.convolution import (
    ConvolutionCost,
    ConvolutionStep,
    FloatArray,
    compute_cost,
    compute_step,
    convolve,
    to_grey_image,
    zero_pad,
)

PATCH = 7
"""Pixels; the side of the patch whose numbers are written out."""
SECONDS_A_STEP = 0.8

BLACK, GREY = "black", "grey"
NEGATIVE = {BLACK: N_("Below 0 is black"), GREY: N_("0 is grey")}

_FRAME = (217, 130, 43)
_STEP, _PLAYING = "manual_walk", "manual_walk_playing"
_FIRST_BUTTON = "manual_walk_first"  # of a button, which the session knows as long as the chapter is on screen


@dataclass(frozen=True)
class _FilterPass:
    """How a filter goes over a picture."""

    kernel: FloatArray
    stride: int
    padding: int

    def apply(self, image: np.ndarray) -> FloatArray:
        return convolve(image, self.kernel, stride=self.stride, padding=self.padding)

    def step(self, image: np.ndarray, number: int) -> ConvolutionStep:
        return compute_step(image, self.kernel, number, stride=self.stride, padding=self.padding)


def show() -> None:
    """The chapter."""
    if _FIRST_BUTTON not in st.session_state:  # the reader comes from elsewhere: nothing plays by itself
        st.session_state[_PLAYING] = False
    st.markdown(
        tr(
            "To a computer, a scan is a table of numbers: 0 is black, 255 is white. A **filter** is a small table of "
            "numbers that is laid on every place of the scan. Each number of the scan is multiplied by the filter’s number "
            "above it, and the products are added up: the sum is one dot (pixel) of a new picture. That is a **convolution**. "
            "Here you set the filter; in a network, training finds its numbers."
        )
    )
    scan, caption = choose_scan("convolution")
    _show_filter(scan, caption)
    _show_sizes(len(scan))
    _show_formulas()


# ---------------------------------------------------------------- the filter on the scan


@st.fragment
@display_errors()
def _show_filter(scan: np.ndarray, caption: str) -> None:
    """All that follows from the filter: drawn anew at every edit, and nothing else is."""
    st.subheader(tr("Your filter on the scan"), anchor=False)
    choose_filter()
    with st.container(horizontal=True):
        with st.container(width=250):
            kernel = edit_filter()
        with st.container(width=540):
            before, after = st.columns(2)
    stride, padding = _choose_stride_and_padding()
    filter_pass = _FilterPass(kernel, stride, padding)
    left, top = _choose_patch(scan)
    before.image(_draw_frame(scan, left, top), width="stretch", output_format="PNG", caption=caption)
    with after:
        _show_filtered(filter_pass.apply(scan))
    _show_steps(scan[top : top + PATCH, left : left + PATCH], filter_pass)


def _choose_stride_and_padding() -> tuple[int, int]:
    with st.container(horizontal=True):
        stride = st.segmented_control(
            tr("Stride"),
            [1, 2, 3],
            default=1,
            required=True,
            key="manual_stride",
            persist_state="session",
            help=tr("How many dots the window moves on at a time."),
        )
        padding = st.segmented_control(
            tr("Padding"),
            [0, 1, 2],
            default=0,
            required=True,
            key="manual_padding",
            persist_state="session",
            help=tr("How many rows and columns of zeros are put around the picture, so that its rim counts too."),
        )
        return stride or 1, padding or 0


def _choose_patch(scan: np.ndarray) -> tuple[int, int]:
    """Where the patch is cut out of the scan, as the reader moves it."""
    height, width = scan.shape
    with st.container(horizontal=True):
        left = _slider(tr("Frame on the scan: from the left"), "manual_patch_left", width - PATCH, 0.12)
        top = _slider(tr("Frame on the scan: from the top"), "manual_patch_top", height - PATCH, 0.45)
    return left, top


def _slider(label: str, key: str, maximum: int, default_share: float) -> int:
    st.session_state[key] = min(st.session_state.get(key, round(default_share * maximum)), maximum)
    return st.slider(label, 0, maximum, key=key, width=300, persist_state="session")


def _draw_frame(scan: np.ndarray, left: int, top: int) -> np.ndarray:
    """The scan in colour, uint8 (H, W, 3), with a frame round the patch."""
    picture = np.repeat(scan[:, :, None], 3, axis=2)
    for grow in (1, 2):
        y0, y1 = max(top - grow, 0), min(top + PATCH - 1 + grow, len(scan) - 1)
        x0, x1 = max(left - grow, 0), min(left + PATCH - 1 + grow, scan.shape[1] - 1)
        picture[[y0, y1], x0 : x1 + 1] = _FRAME
        picture[y0 : y1 + 1, [x0, x1]] = _FRAME
    return picture


def _show_filtered(values: FloatArray) -> None:
    signed = st.session_state.get("manual_negative", BLACK) == GREY
    st.image(
        to_grey_image(values, signed=signed),
        width="stretch",
        output_format="PNG",
        caption=_filtered_caption(values, signed=signed),
    )
    show_switch(
        tr("Values below 0"),
        list(NEGATIVE),
        "manual_negative",
        default=BLACK,
        format_func=lambda item: tr(NEGATIVE[item]),
    )


def _filtered_caption(values: FloatArray, *, signed: bool) -> str:
    height, width = values.shape
    facts = {
        "name": filter_name(),
        "height": height,
        "width": width,
        "low": format_short(float(values.min())),
        "high": format_short(float(values.max())),
    }
    if signed:
        return tr("{name}: {height} × {width} values from {low} to {high}. Darker than grey is below 0.", **facts)
    if not (values < 0).any():
        return tr("{name}: {height} × {width} values from {low} to {high}. Above 255 is white.", **facts)
    return tr(
        "{name}: {height} × {width} values from {low} to {high}. The {share} below 0 are black, above 255 is white.",
        share=format_probability(float((values < 0).mean())),
        **facts,
    )


# ---------------------------------------------------------------- step by step


def _show_steps(patch: np.ndarray, filter_pass: _FilterPass) -> None:
    st.subheader(tr("Step by step"), anchor=False)
    st.markdown(
        tr(
            "These are the {n} × {n} numbers in the orange frame on the scan. Go on, and watch one sum after another.",
            n=PATCH,
        )
    )
    results = filter_pass.apply(patch)
    st.session_state[_STEP] = min(st.session_state.get(_STEP, 0), results.size - 1)
    playing = st.session_state.get(_PLAYING, False)
    _show_buttons(st.session_state[_STEP], results.size, playing=playing)
    st.fragment(_play_step if playing else _show_step, run_every=SECONDS_A_STEP if playing else None)(
        patch, filter_pass, results
    )


def _show_buttons(now: int, total: int, *, playing: bool) -> None:
    with st.container(horizontal=True):
        st.button(
            tr("Previous"),
            icon=":material/skip_previous:",
            key="manual_walk_back",
            on_click=_go_to_step,
            args=(now - 1,),
            disabled=playing or now == 0,
        )
        st.button(
            tr("Next step"),
            icon=":material/skip_next:",
            key="manual_walk_next",
            on_click=_go_to_step,
            args=(now + 1,),
            disabled=playing or now == total - 1,
        )
        if playing:
            st.button(
                tr("Pause"), icon=":material/pause:", key="manual_walk_pause", on_click=_set_playing, args=(False,)
            )
        else:
            st.button(
                tr("Play"),
                icon=":material/play_arrow:",
                key="manual_walk_play",
                on_click=_set_playing,
                args=(True, now == total - 1),
            )
        st.button(tr("From the start"), icon=":material/replay:", key=_FIRST_BUTTON, on_click=_go_to_step, args=(0,))


def _go_to_step(number: int) -> None:
    st.session_state[_STEP] = number


def _set_playing(is_playing: bool, from_start: bool = False) -> None:
    st.session_state[_PLAYING] = is_playing
    if from_start:
        st.session_state[_STEP] = 0


@display_errors()
def _play_step(patch: np.ndarray, filter_pass: _FilterPass, results: FloatArray) -> None:
    """One step on, at every tick; at the end, the whole page once more, which ticks no longer."""
    if st.session_state[_STEP] >= results.size - 1:
        st.session_state[_PLAYING] = False
        st.rerun()
    st.session_state[_STEP] += 1
    _show_step(patch, filter_pass, results)


@display_errors()
def _show_step(patch: np.ndarray, filter_pass: _FilterPass, results: FloatArray) -> None:
    number = st.session_state[_STEP]
    step = filter_pass.step(patch, number)
    text = tr(
        "Step {n} of {total}: row {row}, column {column} of the result.",
        n=number + 1,
        total=results.size,
        row=step.row + 1,
        column=step.column + 1,
    )
    st.markdown(f"**{text}**")
    grid = st.grid(2, min_column_width=330)
    grid.html(patch_table(zero_pad(patch, filter_pass.padding), step, padding=filter_pass.padding))
    grid.html(result_table(results, number))
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        st.html(products_row(filter_pass.kernel, step), width=3 * len(filter_pass.kernel) * 36 + 72)
        st.markdown(_sum_text(filter_pass.kernel, step), width="content")


def _sum_text(kernel: FloatArray, step: ConvolutionStep) -> str:
    """The products and their sum, a line for each row of the filter."""
    lines = [
        " + ".join(
            f"{format_short(value)} × {_in_brackets(weight)}" for value, weight in zip(values, weights, strict=True)
        )
        for values, weights in zip(step.window.tolist(), kernel.tolist(), strict=True)
    ]
    return "  \n".join(["  \n+ ".join(lines).replace("\n+ ", "\n\\+ "), f"= **{format_short(step.total)}**"])


def _in_brackets(value: float) -> str:
    return f"({format_short(value)})" if value < 0 else format_short(value)


# ---------------------------------------------------------------- sizes


@st.fragment
@display_errors()
def _show_sizes(side: int) -> None:
    st.subheader(tr("How large is the result, and what does it take?"), anchor=False)
    st.markdown(
        tr(
            "- **Stride**: how many dots the window moves on at a time. With 2, every second place is left out, and the "
            "result has half the side.\n"
            "- **Padding**: zeros around the picture. Without it the window cannot stand on the rim, and every "
            "convolution makes the picture smaller. A padding of 1 with a filter of 3 × 3, or of 2 with 5 × 5, keeps its "
            "size (with stride 1).\n"
            "- **Filters**: a network uses many side by side, each with numbers of its own. Every filter makes a picture "
            "of its own, a *feature map*.\n"
            "- **Channels**: the pictures that come in. A scan is one; after a first convolution with 16 filters there are 16, "
            "and each filter of the next has a table for each."
        )
    )
    grid = st.grid(6, min_column_width=110)
    n = _choose_number(grid, tr("Picture’s side"), "side", 1, 2048, side)
    k = _choose_number(grid, tr("Filter’s side"), "kernel", 1, 15, 3)
    s = _choose_number(grid, tr("Stride"), "stride", 1, 8, 1)
    p = _choose_number(grid, tr("Padding"), "padding", 0, 8, 1)
    channels = _choose_number(grid, tr("Channels"), "channels", 1, 1024, 1)
    filters = _choose_number(grid, tr("Filters"), "filters", 1, 1024, 16)
    conv_cost = compute_cost(n, n, kernel=k, stride=s, padding=p, channels=channels, filters=filters)
    st.latex(
        r"\left\lfloor \frac{n + 2p - k}{s} \right\rfloor + 1"
        rf"= \left\lfloor \frac{{{n} + 2 \cdot {p} - {k}}}{{{s}}} \right\rfloor + 1 = {conv_cost.height}"
    )
    _show_costs(conv_cost)


def _choose_number(grid: DeltaGenerator, label: str, name: str, minimum: int, maximum: int, default: int) -> int:
    """A number of the reader's; an emptied field goes back to its first one."""
    key = f"manual_size_{name}"
    st.session_state.setdefault(key, default)
    return int(grid.number_input(label, minimum, maximum, value=default, step=1, key=key, persist_state="session"))


def _show_costs(conv_cost: ConvolutionCost) -> None:
    st.caption(
        tr(
            "n is the picture’s side, k the filter’s, s the stride, p the padding; ⌊ ⌋ leaves off what is behind the "
            "decimal point."
        )
    )
    facts = st.grid(4, min_column_width=150)
    facts.metric(tr("Size of each result"), f"{conv_cost.height} × {conv_cost.width}")
    facts.metric(tr("Values, all filters"), tr("{n:,}", n=conv_cost.values))
    facts.metric(
        tr("Numbers to learn"),
        tr("{n:,}", n=conv_cost.weights + conv_cost.biases),
        help=tr(
            "{weights:,} weights in the filters, and one number for each filter that is added to its "
            "sums (the bias): {biases:,}.",
            weights=conv_cost.weights,
            biases=conv_cost.biases,
        ),
    )
    facts.metric(tr("Multiplications a scan"), tr("{n:,}", n=conv_cost.multiplications))


def _show_formulas() -> None:
    with st.expander(tr("Exactly, for engineers"), icon=":material/function:"):
        st.latex(
            r"y_{o,i,j} = b_o + \sum_{c} \sum_{u=0}^{k-1} \sum_{v=0}^{k-1} w_{o,c,u,v} \; x_{c,\; s i + u - p,\; s j + v - p}"
        )
        st.markdown(
            tr(
                "x is what comes in (channel c), w the weights of filter o, b its bias, y its feature map; x is 0 outside the "
                "picture. Deep learning calls this convolution, though it is cross-correlation: a convolution in the "
                "mathematical sense would first turn the filter by 180°. As the filter is learned, that makes no "
                "difference. The numbers here are those of `torch.nn.functional.conv2d`, tested against it; the formula "
                "for the size is relationship 6 of Dumoulin and Visin, *A guide to convolution arithmetic for deep "
                "learning* (2016), with rounding down."
            )
        )
