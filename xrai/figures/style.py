"""What all figures share: colours, margins, titles, and the page that holds several of them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from html import escape
from typing import Any

import plotly.graph_objects as go

from xrai.core.language import number

TRAIN, VALIDATION, TEST = "#d9822b", "#1791a3", "#7a5ea8"
"""Orange, teal and violet: told apart with any colour vision, on white and on black."""

SERIES = (VALIDATION, TRAIN, TEST, "#4f8a3c", "#b5484d", "#5b6b78", "#c2a12b", "#3f6fb5")
"""Colours for runs or classes side by side, in this order."""

MARGIN = {"l": 10, "r": 10, "t": 40, "b": 10}
LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "xanchor": "left", "title": None}

_CAPTION_LETTERS, _CAPTION_LINE = 54, 16  # of a line below a title: what half a page has room for; pixels
_CAPTION_GREY = "#7c8891"  # to be read on white and on black


FONT = {"family": "Arial, Helvetica, Liberation Sans, DejaVu Sans, sans-serif"}
"""Of every machine, as a saved picture has no web fonts: laid out for one of those, its words would be cut off."""


def new_figure(*traces: Any) -> go.Figure:
    """A new figure, whose axes and hovers write numbers as the reader's language does: every figure begins as one."""
    figure = go.Figure(list(traces))
    figure.update_layout(separators=number(".,"))  # the decimal sign, then what stands between thousands
    return figure


def make_title(text: str) -> dict[str, Any]:
    """A figure's title, at its upper left."""
    return {"text": text, "font": FONT | {"size": 15}, "x": 0, "xanchor": "left", "y": 0.97, "yanchor": "top"}


def add_caption(figure: go.Figure, *lines: str) -> go.Figure:
    """The figure with lines below its title that say what it is of, for a picture of it that is saved and sent on."""
    rows = [row for line in lines for row in textwrap.wrap(line, _CAPTION_LETTERS)]
    subtitle = "<br>".join(escape(row, quote=False) for row in rows)
    extra_height = len(rows) * _CAPTION_LINE + 8
    layout: Any = figure["layout"]
    figure.update_layout(
        title={"subtitle": {"text": subtitle, "font": FONT | {"size": 12, "color": _CAPTION_GREY}}},
        height=layout.height + extra_height,
        margin={"t": layout.margin.t + extra_height},
    )
    return figure


def make_html_page(figures: Mapping[str, go.Figure], title: str, lead: str = "") -> str:
    """One HTML page with several figures, which opens anywhere without internet.

    Args:
        figures: one below the other, in this order.
        title: stands above them.
        lead: a paragraph below the title, which says what they are of.
    """
    parts = [
        figure.to_html(full_html=False, include_plotlyjs=(number == 0))
        for number, figure in enumerate(figures.values())
    ]
    name = escape(title)
    head = [f"<!doctype html><meta charset='utf-8'><title>{name}</title>", "<body style='font-family: sans-serif'>"]
    head += [f"<h1>{name}</h1>", *([f"<p>{escape(lead)}</p>"] if lead else [])]
    return "\n".join([*head, *parts]).encode("utf-8", "backslashreplace").decode()
