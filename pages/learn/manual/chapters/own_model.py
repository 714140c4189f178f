"""The chapter on the reader's own model: its first filters, what each layer sees in a scan, and how that adds up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from pages.learn.manual.chapters.looked import (
    LARGE,
    SMALL,
    ModelView,
    colour_limit,
    load_first_filters,
    load_layers,
    overlay_values,
    resize_to_square,
)
from pages.learn.manual.chapters.map_sum import show_map_sum
from pages.learn.manual.scans import choose_scan
from pages.shared.model_choice import choose_model
from pages.shared.navigation import show_model_needed
from pages.shared.page import display_errors, paginate
from pages.shared.readers import load_reader
from xrai.core.language import N_, language, tr, translate, trn
from xrai.figures.layers import filter_figure, signed_image, signed_scale, tile_images, values_figure
from xrai.models.checkpoint import list_models

if TYPE_CHECKING:
    from xrai.networks.summary import Layer, Stage

PAGE_SIZE = 16
FILTER_SIDE, FILTERS_PER_ROW = 44, 16

_SPINNER_TEXT = N_("Looking at the scan layer by layer…")


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
        show_model_needed(
            tr("There is no model to look into yet: train one first, on the practice drawings if you like.")
        )
        return
    with display_errors():
        checkpoint = choose_model(models, "manual_model_name", label=tr("Your model"), width=320)
        pixels, caption = choose_scan("manual_model")
        reader = load_reader(checkpoint)
        view = ModelView(checkpoint, reader, pixels, caption)
        with st.spinner(tr(_SPINNER_TEXT)):
            layers, stages, parts = load_layers(view.key, language(), view)
            view.feature_maps(1, layers)
        _show_first_filters(view, layers)
        _show_every_layer(view, layers, stages, parts)
        show_map_sum(view)


# ---------------------------------------------------------------- the first filters


@st.fragment
@display_errors()  # within, as a fragment that is drawn anew by itself runs without what stands round it
def _show_first_filters(view: ModelView, layers: list[Layer]) -> None:
    filters = load_first_filters(view.key, view)
    n, side = len(filters), filters.shape[-1]
    st.subheader(tr("The first filters, as training has left them"), anchor=False)
    st.markdown(
        tr(
            "The first layer has {n} filters of {side} × {side} numbers, all found by training. Orange numbers count "
            "for, blue against: orange beside blue looks for an edge, orange in a blue ring for a bright spot. Choose "
            "one, and see what it finds.",
            n=n,
            side=side,
        )
    )
    limit = float(np.abs(filters).max())
    filter_number = (
        st.slider(tr("Filter"), 1, n, 1, key=f"manual_first_filter_{view.state_key}", persist_state="session") - 1
    )
    pictures = [signed_image(weights, limit, FILTER_SIDE) for weights in filters]
    st.image(tile_images(pictures, FILTERS_PER_ROW, filter_number))
    st.caption(
        tr(
            "Numbers from {low:.2f} to {high:.2f}, all filters on one scale. The framed one is number {number}.",
            low=float(filters.min()),
            high=float(filters.max()),
            number=filter_number + 1,
        )
    )
    row = st.grid(3, min_column_width=220)
    with row.cell():
        st.plotly_chart(
            filter_figure(filters[filter_number]), key="manual_first_filter", config={"displayModeBar": False}
        )
        st.caption(tr("Its numbers"), text_alignment="center")
    row.image(resize_to_square(view.pixels), view.caption, width="stretch", output_format="JPEG")
    feature_map = view.feature_maps(1, layers)[filter_number].astype(np.float32)
    row.image(
        signed_image(feature_map, colour_limit(feature_map), LARGE),
        tr("What it finds: its feature map"),
        width="stretch",
    )


# ---------------------------------------------------------------- every layer


@st.fragment
@display_errors()
def _show_every_layer(view: ModelView, layers: list[Layer], stages: list[Stage], parts: list[range]) -> None:
    st.subheader(tr("Every layer, from the scan to the answer"), anchor=False)
    st.markdown(
        tr(
            "Data passes from stage to stage. The further in, the smaller the maps and the more of them: less of where, "
            "more of what. Choose a stage and one of its layers, and click a map to lay it over the scan."
        )
    )
    number = _choose_layer(view, layers, stages, parts)
    with st.spinner(tr(_SPINNER_TEXT)):
        values = view.feature_maps(number, layers).astype(np.float32)
    if values.ndim == 1:
        _show_vector(values, number)
    else:
        _show_layer_maps(view, values, number)


def _choose_layer(view: ModelView, layers: list[Layer], stages: list[Stage], parts: list[range]) -> int:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        stage = st.selectbox(
            tr("Stage"),
            range(1, len(stages)),
            format_func=lambda i: f"{i}. {translate(stages[i].name)}",
            key=f"manual_stage_{view.state_key}",
            persist_state="session",
        )
        layer_numbers = parts[stage]
        number = st.selectbox(
            tr("Layer"),
            layer_numbers,
            index=len(layer_numbers) - 1,
            format_func=lambda i: f"{i}. {translate(layers[i].kind)}: {_shape_text(layers[i].shape)}",
            key=f"manual_layer_{view.state_key}_{stage}",
            persist_state="session",
        )
    st.caption(translate(stages[stage].explanation))
    if stages[stage].has_residual:
        st.caption(
            tr(
                "Where a block gives as many maps of the same size as it got, what came into it is added to what leaves "
                "it: that sum has no line here."
            )
        )
    return int(number)


def _show_vector(values: np.ndarray, number: int) -> None:
    st.markdown(tr("**{shape}**: no picture any more. The strongest of them:", shape=_shape_text(values.shape)))
    st.plotly_chart(values_figure(values), key=f"manual_row_{number}", config={"displayModeBar": False})


def _show_layer_maps(view: ModelView, values: np.ndarray, number: int) -> None:
    from xrai.explain.feature_maps import rank_by_strength

    order, limit = rank_by_strength(values), colour_limit(values)
    st.markdown(
        tr(
            "**{shape}**, strongest first: those whose values are largest on average. All on one scale, full colour at "
            "{limit:.2f}.",
            shape=_shape_text(values.shape),
            limit=limit,
        )
    )
    state_key = f"{view.state_key}_{number}"
    map_number = int(st.session_state.get(_map_key(state_key), order[0]))
    left, right = st.columns([3, 2])
    with left:
        _show_small_maps(values, order, limit, map_number, state_key)
    with right:
        _show_large_map(view, values[map_number], limit, map_number)


def _map_key(state_key: str) -> str:
    return f"manual_map_{state_key}"


def _show_small_maps(values: np.ndarray, order: np.ndarray, limit: float, map_number: int, state_key: str) -> None:
    _, page_maps = paginate(order, PAGE_SIZE, f"manual_maps_page_{state_key}")
    grid = st.grid(4, min_column_width=56)
    for map_index in page_maps.tolist():
        with grid.cell():
            st.image(signed_image(values[map_index], limit, SMALL), width="stretch")
            st.button(
                f"{map_index + 1}",
                key=f"{_map_key(state_key)}_{map_index}",
                on_click=st.session_state.__setitem__,
                args=(_map_key(state_key), map_index),
                type="primary" if map_index == map_number else "tertiary",
                width="stretch",
            )


def _show_large_map(view: ModelView, values: np.ndarray, limit: float, map_number: int) -> None:
    st.image(overlay_values(view.pixels, values, limit), width="stretch", output_format="JPEG")
    st.caption(
        tr(
            "Map {number} over the scan: colour where it is above 0. Its values run from {low:.2f} to {high:.2f}.",
            number=map_number + 1,
            low=float(values.min()),
            high=float(values.max()),
        )
    )
    st.image(signed_scale(), tr("Of the small pictures. Blue: below 0. Black: 0. Orange: above 0."))


# ---------------------------------------------------------------- words


def _shape_text(shape: tuple[int, ...]) -> str:
    """`64 maps of 40 × 40`, or `512 numbers`."""
    if len(shape) == 1:
        return trn("{n:,} number", "{n:,} numbers", shape[0])
    return trn(
        "{n:,} map of {height} × {width}", "{n:,} maps of {height} × {width}", shape[0], height=shape[1], width=shape[2]
    )
