"""Class balance of a dataset."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from xrai.core.language import N_, number, tr
from xrai.figures.style import LEGEND, TEST, TRAIN, VALIDATION, new_titled_figure

SPLIT_LABELS = {"train": N_("Training"), "val": N_("Validation"), "test": N_("Test"), "all": N_("All")}
"""Names of the splits, for `tr`."""

_SPLIT_COLOURS = {"train": TRAIN, "val": VALIDATION, "test": TEST, "all": VALIDATION}


def class_balance(counts: Mapping[str, Mapping[str, int]]) -> go.Figure:
    """Scans per class, one bar per split.

    Args:
        counts: {class: {split: number}}.
    """
    splits = list(dict.fromkeys(split for row in counts.values() for split in row))
    figure = new_titled_figure("", 280, barmode="group", legend=LEGEND, yaxis_title=tr("Scans"))
    for split in splits:
        values = [row.get(split, 0) for row in counts.values()]
        figure.add_bar(
            name=tr(SPLIT_LABELS[split]),
            x=list(counts),
            y=values,
            text=[number(f"{value:,}") for value in values],
            marker_color=_SPLIT_COLOURS[split],
        )
    return figure
