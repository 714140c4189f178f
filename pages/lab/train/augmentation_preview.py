"""What a run will be made of: its network, layer by layer, and scans as it will see them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from pages.shared.formatting import plain
from xrai.core.language import tr, translate
from xrai.data.dataset import open_dataset
from xrai.figures import network_diagram
from xrai.networks.config import TrainConfig


def show_layers(values: dict[str, Any], dataset: Path, key: str) -> None:
    """The network as configured; torch is loaded when somebody wants to see it, and not before."""
    part = st.expander(
        tr("The network, layer by layer"), icon=":material/account_tree:", key=f"layers_{key}", on_change="rerun"
    )
    if not part.open:
        return
    with part:
        config = TrainConfig(**values)
        with st.spinner(tr("Laying out the network…")):
            from xrai.networks.summary import layers, memory_needed, stages, too_large
        with open_dataset(dataset) as opened:
            n_classes = len(opened.classes)
        found = layers(config, n_classes)
        st.plotly_chart(network_diagram(stages(found)), key=f"diagram_{key}", config={"displayModeBar": False})
        weights, memory = sum(layer.parameters for layer in found), memory_needed(config, n_classes)
        st.caption(
            tr(
                "Height: the side of the picture; width: how many feature maps. {weights:,} weights in all; its training "
                "needs about {memory:,.1f} GB of memory.",
                weights=weights,
                memory=memory / 1e9,
            )
        )
        if warning := too_large([config], n_classes):
            st.warning(plain(translate(warning)), icon=":material/memory:")
        rows = [
            {tr("Layer"): layer.name, tr("What it is"): translate(layer.kind), tr("Output"): " × ".join(map(str, layer.shape)),
             tr("Weights"): layer.parameters}
            for layer in found
        ]  # fmt: skip
        st.dataframe(rows, hide_index=True, height=260)


def show_preview(dataset: Path, config: TrainConfig) -> None:
    """A few scans as the network sees them, and one variation of each."""
    with st.spinner(tr("Drawing a few scans…")), open_dataset(dataset) as opened:
        from xrai.training.augmentation import preview

        rows = [
            row
            for label in range(len(opened.classes))
            for row in opened.rows("train", label)[: 6 // len(opened.classes) or 1]
        ]
        squares = opened.images(rows[:6])
        varied = preview(squares, config)
    st.caption(
        tr(
            "Above: scans as the network sees them when it is tested. Below: one of the endless variations it learns from."
        )
    )
    for pictures in (preview(squares, config, varied=False), varied):
        grid = st.grid(6, min_column_width=100)
        for picture in pictures:
            grid.image(picture, width="stretch")
