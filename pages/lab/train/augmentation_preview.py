"""What a run will be made of: its network, layer by layer, and scans as it will see them."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from xrai.core.language import tr
from xrai.data.dataset import open_dataset
from xrai.training.config import TrainConfig


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
            "Above: scans as the network sees them in validation and test. Below: the same scans with random "
            "augmentation, as it sees them in training."
        )
    )
    for row_images in (preview(images, config, is_augmented=False), augmented_images):
        grid = st.grid(6, min_column_width=100)
        for image in row_images:
            grid.image(image, width="stretch")
