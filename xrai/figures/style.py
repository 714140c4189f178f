"""What all figures share: colours, margins, and the page that holds several of them."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import plotly.graph_objects as go

TRAIN, VALIDATION, TEST = "#d9822b", "#1791a3", "#7a5ea8"
"""Orange, teal and violet: told apart with any colour vision, on white and on black."""

SERIES = (VALIDATION, TRAIN, TEST, "#4f8a3c", "#b5484d", "#5b6b78", "#c2a12b", "#3f6fb5")
"""Colours for runs or classes side by side, in this order."""

MARGIN = {"l": 10, "r": 10, "t": 40, "b": 10}
LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 1, "xanchor": "right", "title": None}


def page_of(figures: Mapping[str, go.Figure], title: str) -> str:
    """One HTML page with several figures, which opens anywhere without internet."""
    parts = [
        figure.to_html(full_html=False, include_plotlyjs=(number == 0))
        for number, figure in enumerate(figures.values())
    ]
    return f"<!doctype html><meta charset='utf-8'><title>{escape(title)}</title>\n" + "\n".join(parts)
