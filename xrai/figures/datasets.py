"""What a dataset is made of."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from xrai.core.language import N_, number, tr
from xrai.figures.style import FONT, LEGEND, MARGIN, TEST, TRAIN, VALIDATION, new_figure

SPLIT_LABELS = {"train": N_("Training"), "val": N_("Validation"), "test": N_("Test"), "all": N_("All")}
"""The splits, to be told by `tr`."""

_SPLIT_COLOURS = {"train": TRAIN, "val": VALIDATION, "test": TEST, "all": VALIDATION}


def class_balance(counts: Mapping[str, Mapping[str, int]]) -> go.Figure:
    """Scans per class, one bar a split.

    Args:
        counts: {class: {split: number}}.
    """
    splits = list(dict.fromkeys(split for row in counts.values() for split in row))
    figure = new_figure()
    for split in splits:
        values = [row.get(split, 0) for row in counts.values()]
        figure.add_bar(
            name=tr(SPLIT_LABELS[split]),
            x=list(counts),
            y=values,
            text=[number(f"{value:,}") for value in values],
            marker_color=_SPLIT_COLOURS[split],
        )
    figure.update_layout(barmode="group", font=FONT, height=280, margin=MARGIN, legend=LEGEND, yaxis_title=tr("Scans"))
    return figure
