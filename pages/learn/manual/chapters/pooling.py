"""Chapter 2 of the manual: pooling, on four numbers and on a scan, with what it saves and what is lost."""

from __future__ import annotations

import numpy as np
import streamlit as st

from pages.learn.manual.filter_editor import current_filter, filter_name
from pages.learn.manual.number_grid import number_grid
from pages.learn.manual.scans import choose_scan
from pages.shared.formatting import format_probability
from pages.shared.page import display_errors
from xrai.core.language import N_, tr
from xrai.figures import format_short, pooling_row
from xrai.manual.convolution import (
    AVERAGE_POOLING,
    MAX_POOLING,
    FloatArray,
    compute_cost,
    convolve,
    pool,
    pool_repeatedly,
    to_grey_image,
)

EXAMPLE = ((0.0, 1.9), (3.2, 1.6))
MAX_TIMES = 4

SCAN, FILTERED = "scan", "filtered"
SOURCES = {FILTERED: N_("The filtered scan of chapter 1"), SCAN: N_("The scan itself")}


def show() -> None:
    """The chapter."""
    st.markdown(
        tr(
            "After a convolution, networks make the picture smaller: **pooling** cuts it into squares of 2 × 2 numbers and "
            "keeps one number of each. Max pooling keeps the largest: how strongly the filter answered somewhere in the "
            "square. Average pooling keeps the mean."
        )
    )
    _show_example()
    st.subheader(tr("Pooling again and again"), anchor=False)
    scan, caption = choose_scan("pooling")
    _show_on_scan(scan, caption)
    _show_formulas()


# ---------------------------------------------------------------- four numbers


@st.fragment
@display_errors()
def _show_example() -> None:
    st.subheader(tr("Four numbers become one"), anchor=False)
    with st.container(horizontal=True, gap="medium"):
        with st.container(width=260):
            st.caption(tr("Change a number:"))
            numbers = number_grid("manual_pool", EXAMPLE, step=0.1)
        largest, average = (float(pool(numbers, how=how)[0, 0]) for how in (MAX_POOLING, AVERAGE_POOLING))
        with st.container(width=320):
            st.html(pooling_row(numbers, largest, average))
    words = [format_short(value) for value in numbers.flat]
    st.markdown(
        tr(
            "Max pooling: the largest of {numbers} is **{largest}**.",
            numbers="; ".join(words),
            largest=format_short(largest),
        )
        + "  \n"
        + tr("Average pooling: ({sum}) / 4 = **{average}**.", sum=" + ".join(words), average=format_short(average, 6))
    )


# ---------------------------------------------------------------- on the scan


@st.fragment
@display_errors()
def _show_on_scan(scan: np.ndarray, caption: str) -> None:
    with st.container(horizontal=True):
        source = st.segmented_control(
            tr("What is pooled"),
            list(SOURCES),
            default=FILTERED,
            format_func=lambda item: tr(SOURCES[item]),
            required=True,
            key="manual_pool_source",
            persist_state="session",
        )
        times = st.segmented_control(
            tr("How many times"),
            list(range(1, MAX_TIMES + 1)),
            default=1,
            format_func=lambda n: f"{n} ×",
            required=True,
            key="manual_pool_times",
            persist_state="session",
        )
    before = np.asarray(scan, float) if source == SCAN else _filter_scan(scan)
    times = times or 1
    after = {how: pool_repeatedly(before, times, how=how) for how in (MAX_POOLING, AVERAGE_POOLING)}
    _show_images(before, after, times, caption if source == SCAN else _filter_caption())
    _show_savings(before, after[MAX_POOLING], times)
    _show_losses(before, after, times)


def _filter_scan(scan: np.ndarray) -> FloatArray:
    kernel = current_filter()
    return np.maximum(convolve(scan, kernel, padding=len(kernel) // 2), 0)


def _filter_caption() -> str:
    return tr(
        "{name}, with a padding of 1. Sums below 0 were set to 0, as networks do (chapter 3).", name=filter_name()
    )


def _show_images(before: FloatArray, after: dict[str, FloatArray], times: int, caption: str) -> None:
    grid = st.grid(3, min_column_width=120)
    grid.image(
        to_grey_image(before),
        width="stretch",
        output_format="PNG",
        caption=f"{caption} {before.shape[0]} × {before.shape[1]}",
    )
    for how, values in after.items():
        picture = to_grey_image(_upsample(values, times))
        grid.image(
            picture,
            width="stretch",
            output_format="PNG",
            caption=_pooling_caption(how, values.shape[0], values.shape[1]),
        )


def _pooling_caption(how: str, height: int, width: int) -> str:
    if how == MAX_POOLING:
        return tr("Max pooling: {height} × {width}.", height=height, width=width)
    return tr("Average pooling: {height} × {width}.", height=height, width=width)


def _upsample(values: FloatArray, times: int) -> FloatArray:
    """Each value as a square of its own, so that one sees what is left of the picture."""
    return values.repeat(2**times, axis=0).repeat(2**times, axis=1)


def _show_savings(before: FloatArray, after: FloatArray, times: int) -> None:
    work, pooled_work = (
        compute_cost(len(values), values.shape[1], padding=1).multiplications for values in (before, after)
    )
    grid = st.grid(3, min_column_width=180)
    grid.metric(
        tr("Values"), tr("{n:,}", n=after.size), tr("of {n:,}", n=before.size), delta_color="off", delta_arrow="off"
    )
    grid.metric(
        tr("Multiplications of the next filter"),
        tr("{n:,}", n=pooled_work),
        tr("of {n:,}", n=work),
        delta_color="off",
        delta_arrow="off",
        help=tr("A filter of 3 × 3 with padding 1: nine for each value."),
    )
    grid.metric(tr("Work saved"), format_probability(1 - pooled_work / work))
    st.markdown(
        tr(
            "**What is gained**: less to multiply, and a wider view. The nine numbers of the next filter now cover "
            "{reach} × {reach} dots of the picture on the left.",
            reach=3 * 2**times,
        )
    )


def _show_losses(before: FloatArray, after: dict[str, FloatArray], times: int) -> None:
    differences = {how: _mean_difference(before, _upsample(values, times)) for how, values in after.items()}
    st.markdown(
        tr(
            "**What is lost**: {lost} of {n} numbers in every square of {side} × {side} dots, and where in it something "
            "lay. Drawn at the old size, a dot is off by {largest} grey levels on average after max pooling, by {average} "
            "after average pooling. Max keeps the strongest answer, noise included; in the average, what is thin or small "
            "fades.",
            side=2**times,
            n=4**times,
            lost=4**times - 1,
            largest=format_short(differences[MAX_POOLING], 3),
            average=format_short(differences[AVERAGE_POOLING], 3),
        )
    )


def _mean_difference(before: FloatArray, after: FloatArray) -> float:
    """By how much two pictures differ on average, where both are."""
    return float(np.abs(before[: len(after), : after.shape[1]] - after).mean())


def _show_formulas() -> None:
    with st.expander(tr("Exactly, for engineers"), icon=":material/function:"):
        st.latex(
            r"\text{max: } y_{c,i,j} = \max_{0 \le u,v < 2} x_{c,\,2i+u,\,2j+v}"
            r"\qquad \text{avg: } y_{c,i,j} = \tfrac{1}{4} \sum_{u,v} x_{c,\,2i+u,\,2j+v}"
        )
        st.markdown(
            tr(
                "Each channel is pooled by itself, and pooling has nothing to learn. The size follows the same formula as in "
                "chapter 1 with k = 2, s = 2, p = 0: an odd row or column at the rim is left out. The numbers here are those "
                "of `torch.nn.functional.max_pool2d` and `avg_pool2d`, tested against them."
            )
        )
