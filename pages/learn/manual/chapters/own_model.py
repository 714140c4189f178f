"""The chapter on the reader's own model: its first filters, what each layer sees in a scan, and how that adds up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from pages.learn.manual.chapters.looked import LARGE, SMALL, Looked, at_side, filters_of, full_colour, layers_of, over
from pages.learn.manual.chapters.map_sum import sum_of_maps
from pages.learn.manual.scans import chosen_scan
from pages.shared.navigation import needs_a_model
from pages.shared.page import one_page, remembered, stated_errors
from pages.shared.readers import reader_for
from xrai.core.language import N_, language, tr, translate, trn
from xrai.figures.layers import filter_figure, sheet, signed_picture, signed_scale, values_figure
from xrai.models import default_model
from xrai.models.checkpoint import Checkpoint, list_models

if TYPE_CHECKING:
    from xrai.networks.summary import Layer, Stage

ON_A_PAGE = 16
FILTER_SIDE, FILTERS_IN_A_ROW = 44, 16

_LOOKING = N_("Looking at the scan layer by layer…")


def show() -> None:
    """The chapter."""
    st.markdown(
        tr(
            "Now your own model, on a scan of your choice: what its first filters look for, what each layer makes of "
            "the scan, and how the last maps add up to the answer and its heatmap."
        )
    )
    models = list_models()
    if not models:
        needs_a_model(tr("There is no model to look into yet: train one first, on the practice drawings if you like."))
        return
    with stated_errors():
        checkpoint = _chosen_model(models)
        pixels, caption = chosen_scan("manual_model")
        reader = reader_for(checkpoint)
        looked = Looked(checkpoint, reader, pixels, caption)
        with st.spinner(tr(_LOOKING)):
            layers, stages, parts = layers_of(looked.key, language(), looked)
            looked.maps(1, layers)
        _first_filters(looked, layers)
        _every_layer(looked, layers, stages, parts)
        sum_of_maps(looked)


def _chosen_model(models: list[Checkpoint]) -> Checkpoint:
    names = [model.name for model in models]
    usual = default_model()
    first = usual.name if usual and usual.name in names else names[0]
    chosen = st.selectbox(
        tr("Your model"), names, key=remembered("manual_model_name", names, first), width=320, persist_state="session"
    )
    return models[names.index(chosen)]


# ---------------------------------------------------------------- the first filters


@st.fragment
@stated_errors()  # within, as a fragment that is drawn anew by itself runs without what stands round it
def _first_filters(looked: Looked, layers: list[Layer]) -> None:
    filters = filters_of(looked.key, looked)
    n, side = len(filters), filters.shape[-1]
    st.subheader(tr("The first filters, as training has left them"), anchor=False)
    st.markdown(
        tr(
            "The first layer has {n} filters of {side} × {side} numbers, all found by training. Orange numbers count "
            "for, blue against: orange beside blue looks for an edge, orange in a blue ring for a bright spot. Choose "
            "one, and see what it finds.",
            n=n, side=side,
        )
    )  # fmt: skip
    limit = float(np.abs(filters).max())
    chosen = st.slider(tr("Filter"), 1, n, 1, key=f"manual_first_filter_{looked.place}", persist_state="session") - 1
    pictures = [signed_picture(one, limit, FILTER_SIDE) for one in filters]
    st.image(sheet(pictures, FILTERS_IN_A_ROW, chosen))
    st.caption(
        tr(
            "Numbers from {low:.2f} to {high:.2f}, all filters on one scale. The framed one is number {number}.",
            low=float(filters.min()), high=float(filters.max()), number=chosen + 1,
        )
    )  # fmt: skip
    row = st.grid(3, min_column_width=220)
    with row.cell():
        st.plotly_chart(filter_figure(filters[chosen]), key="manual_first_filter", config={"displayModeBar": False})
        st.caption(tr("Its numbers"), text_alignment="center")
    row.image(at_side(looked.pixels), looked.caption, width="stretch", output_format="JPEG")
    found = looked.maps(1, layers)[chosen].astype(np.float32)
    row.image(signed_picture(found, full_colour(found), LARGE), tr("What it finds: its feature map"), width="stretch")


# ---------------------------------------------------------------- every layer


@st.fragment
@stated_errors()
def _every_layer(looked: Looked, layers: list[Layer], stages: list[Stage], parts: list[range]) -> None:
    st.subheader(tr("Every layer, from the scan to the answer"), anchor=False)
    st.markdown(
        tr(
            "Data passes from stage to stage. The further in, the smaller the maps and the more of them: less of where, "
            "more of what. Choose a stage and one of its layers, and click a map to lay it over the scan."
        )
    )
    number = _chosen_layer(looked, layers, stages, parts)
    with st.spinner(tr(_LOOKING)):
        values = looked.maps(number, layers).astype(np.float32)
    if values.ndim == 1:
        _row_of_numbers(values, number)
    else:
        _maps_of_a_layer(looked, values, number)


def _chosen_layer(looked: Looked, layers: list[Layer], stages: list[Stage], parts: list[range]) -> int:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        stage = st.selectbox(
            tr("Stage"),
            range(1, len(stages)),
            format_func=lambda i: f"{i}. {stages[i].name}",
            key=f"manual_stage_{looked.place}",
            persist_state="session",
        )
        own = parts[stage]
        number = st.selectbox(
            tr("Layer"),
            own,
            index=len(own) - 1,
            format_func=lambda i: f"{i}. {translate(layers[i].kind)}: {_in_words(layers[i].shape)}",
            key=f"manual_layer_{looked.place}_{stage}",
            persist_state="session",
        )
    st.caption(stages[stage].explanation)
    if stages[stage].adds_its_input:
        st.caption(
            tr(
                "Where a block gives as many maps of the same size as it got, what came into it is added to what leaves "
                "it: that sum has no line here."
            )
        )
    return int(number)


def _row_of_numbers(values: np.ndarray, number: int) -> None:
    st.markdown(tr("**{shape}**: no picture any more. The strongest of them:", shape=_in_words(values.shape)))
    st.plotly_chart(values_figure(values), key=f"manual_row_{number}", config={"displayModeBar": False})


def _maps_of_a_layer(looked: Looked, values: np.ndarray, number: int) -> None:
    from xrai.explain.feature_maps import by_strength

    order, limit = by_strength(values), full_colour(values)
    st.markdown(
        tr(
            "**{shape}**, strongest first: those whose values are largest on average. All on one scale, full colour at "
            "{limit:.2f}.",
            shape=_in_words(values.shape), limit=limit,
        )
    )  # fmt: skip
    place = f"{looked.place}_{number}"
    chosen = int(st.session_state.get(_chosen_map(place), order[0]))
    left, right = st.columns([3, 2])
    with left:
        _small_maps(values, order, limit, chosen, place)
    with right:
        _large_map(looked, values[chosen], limit, chosen)


def _chosen_map(place: str) -> str:
    return f"manual_map_{place}"


def _small_maps(values: np.ndarray, order: np.ndarray, limit: float, chosen: int, place: str) -> None:
    _, on_page = one_page(order, ON_A_PAGE, f"manual_maps_page_{place}")
    grid = st.grid(4, min_column_width=56)
    for one in on_page.tolist():
        with grid.cell():
            st.image(signed_picture(values[one], limit, SMALL), width="stretch")
            st.button(
                f"{one + 1}", key=f"{_chosen_map(place)}_{one}", on_click=st.session_state.__setitem__,
                args=(_chosen_map(place), one), type="primary" if one == chosen else "tertiary", width="stretch",
            )  # fmt: skip


def _large_map(looked: Looked, values: np.ndarray, limit: float, chosen: int) -> None:
    st.image(over(looked.pixels, values, limit), width="stretch", output_format="JPEG")
    st.caption(
        tr(
            "Map {number} over the scan: colour where it is above 0. Its values run from {low:.2f} to {high:.2f}.",
            number=chosen + 1, low=float(values.min()), high=float(values.max()),
        )
    )  # fmt: skip
    st.image(signed_scale(), tr("Of the small pictures. Blue: below 0. Black: 0. Orange: above 0."))


# ---------------------------------------------------------------- words


def _in_words(shape: tuple[int, ...]) -> str:
    """`64 maps of 40 × 40`, or `512 numbers`."""
    if len(shape) == 1:
        return trn("{n:,} number", "{n:,} numbers", shape[0])
    return trn(
        "{n:,} map of {height} × {width}", "{n:,} maps of {height} × {width}", shape[0], height=shape[1], width=shape[2]
    )
