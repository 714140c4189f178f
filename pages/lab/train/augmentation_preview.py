"""What a run will be made of: its network, layer by layer, and scans as it will see them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from pages.shared.formatting import escape_markdown
from xrai.core.language import tr, translate
from xrai.data.dataset import open_dataset
from xrai.figures import network_diagram
from xrai.training.config import TrainConfig


def show_layers(values: dict[str, Any], dataset: Path, key: str) -> None:
    """The network as configured; torch is loaded when somebody wants to see it, and not before."""
    expander = st.expander(
        tr("The network, layer by layer"), icon=":material/account_tree:", key=f"layers_{key}", on_change="rerun"
    )
    if not expander.open:
        return
    with expander:
        config = TrainConfig(**values)
        with st.spinner(tr("Laying out the network…")):
            from xrai.networks.summary import group_stages, list_layers
            from xrai.training.memory import estimate_memory, memory_warning
        with open_dataset(dataset) as dataset_file:
            n_classes = len(dataset_file.classes)
        network_layers = list_layers(config, n_classes)
        st.plotly_chart(
            network_diagram(group_stages(network_layers)), key=f"diagram_{key}", config={"displayModeBar": False}
        )
        weights, memory = sum(layer.parameters for layer in network_layers), estimate_memory(config, n_classes)
        st.caption(
            tr(
                "Height: the side of the picture; width: how many feature maps. {weights:,} weights in all; its training "
                "needs about {memory:,.1f} GB of memory.",
                weights=weights,
                memory=memory / 1e9,
            )
        )
        if warning := memory_warning([config], n_classes):
            st.warning(escape_markdown(translate(warning)), icon=":material/memory:")
        rows = [
            {
                tr("Layer"): layer.name,
                tr("What it is"): translate(layer.kind),
                tr("Output"): " × ".join(map(str, layer.shape)),
                tr("Weights"): layer.parameters,
            }
            for layer in network_layers
        ]
        st.dataframe(rows, hide_index=True, height=260)


def show_preview(dataset: Path, config: TrainConfig) -> None:
    """A few scans as the network sees them, and one variation of each."""
    with st.spinner(tr("Drawing a few scans…")), open_dataset(dataset) as dataset_file:
        from xrai.training.augmentation import preview

        rows = [
            row
            for label in range(len(dataset_file.classes))
            for row in dataset_file.rows("train", label)[: 6 // len(dataset_file.classes) or 1]
        ]
        images = dataset_file.images(rows[:6])
        augmented_images = preview(images, config)
    st.caption(
        tr(
            "Above: scans as the network sees them when it is tested. Below: one of the endless variations it learns from."
        )
    )
    for row_images in (preview(images, config, is_augmented=False), augmented_images):
        grid = st.grid(6, min_column_width=100)
        for image in row_images:
            grid.image(image, width="stretch")
