"""Network summary: diagram, layer table and memory estimate of the configured network."""

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
                "Height: image size; width: number of feature maps. {weights:,} weights in total; training needs "
                "about {memory:,.1f} GB of memory.",
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
