"""Shared style of the figures: colours, fonts, layout, number formats, and an HTML page of several figures."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from html import escape
from typing import Any

import plotly.graph_objects as go

from xrai.core.language import number, tr

TRAIN, VALIDATION, TEST = "#d9822b", "#1791a3", "#7a5ea8"
"""Orange, teal and violet: distinguishable with any colour vision, on white and on black."""

SERIES = (VALIDATION, TRAIN, TEST, "#4f8a3c", "#b5484d", "#5b6b78", "#c2a12b", "#3f6fb5")
"""Colours of runs or classes, in this order."""

GREY = "#7c8891"
PALE_GREY = "#8a97a0"
"""Readable on white and on black."""

TRANSPARENT = "rgba(0, 0, 0, 0)"

MARGIN = {"l": 10, "r": 10, "t": 40, "b": 10}
LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "xanchor": "left", "title": None}

_CAPTION_LETTERS = 54  # per line, at half the width of a page
_CAPTION_LINE = 16  # pixels

FONT = {"family": "Arial, Helvetica, Liberation Sans, DejaVu Sans, sans-serif"}
"""Fonts that every computer has: a saved image has no web fonts, and text laid out for one would be cut off."""


def new_figure(*traces: Any) -> go.Figure:
    """A new figure with the number format of the user's language; every figure starts as one."""
    figure = go.Figure(list(traces))
    figure.update_layout(separators=number(".,"))  # decimal sign, then thousands separator
    return figure


def new_titled_figure(title: str, height: int, **layout: Any) -> go.Figure:
    """A new figure with the shared font and margins.

    Args:
        title: of the figure; "" for none.
        height: in pixels.
        layout: further layout settings of Plotly.
    """
    figure = new_figure()
    figure.update_layout({"font": FONT, "height": height, "margin": MARGIN} | layout)
    if title:
        figure.update_layout(title=make_title(title))
    return figure


def legend_below(y: float) -> dict[str, Any]:
    """The layout of a horizontal legend below the plot, at `y` in plot heights."""
    return {"orientation": "h", "y": y, "yanchor": "top", "x": 0, "title": None}


def escape_tags(text: str) -> str:
    """Escape HTML tags, which Plotly would take for formatting."""
    return escape(text, quote=False)


def format_percent(share: float) -> str:
    """A share as a percentage with one decimal, in the user's language."""
    return tr("{n:.1f} %", n=100 * share)


def make_title(text: str) -> dict[str, Any]:
    """The layout of a figure's title, at its upper left."""
    return {"text": text, "font": FONT | {"size": 15}, "x": 0, "xanchor": "left", "y": 0.97, "yanchor": "top"}


def add_caption(figure: go.Figure, *lines: str) -> go.Figure:
    """Add lines below the title that say what the figure shows, for a saved copy."""
    rows = [row for line in lines for row in textwrap.wrap(line, _CAPTION_LETTERS)]
    subtitle = "<br>".join(escape_tags(row) for row in rows)
    extra_height = len(rows) * _CAPTION_LINE + 8
    layout: Any = figure["layout"]
    figure.update_layout(
        title={"subtitle": {"text": subtitle, "font": FONT | {"size": 12, "color": GREY}}},
        height=layout.height + extra_height,
        margin={"t": layout.margin.t + extra_height},
    )
    return figure


def make_html_page(figures: Mapping[str, go.Figure], title: str, lead: str = "") -> str:
    """One self-contained HTML page with several figures.

    Args:
        figures: shown one below the other, in this order.
        title: of the page.
        lead: a paragraph below the title.
    """
    parts = [
        figure.to_html(full_html=False, include_plotlyjs=(number == 0))
        for number, figure in enumerate(figures.values())
    ]
    name = escape(title)
    head = [f"<!doctype html><meta charset='utf-8'><title>{name}</title>", "<body style='font-family: sans-serif'>"]
    head += [f"<h1>{name}</h1>", *([f"<p>{escape(lead)}</p>"] if lead else [])]
    return "\n".join([*head, *parts]).encode("utf-8", "backslashreplace").decode()
