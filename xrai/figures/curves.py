"""The curves of a run with what was found in them pointed at: bands over epochs, arrows at points, lines across."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import plotly.graph_objects as go

SERIOUS, NOTABLE, CALM = "#b5484d", "#c2a12b", "#6f8391"
"""Red, yellow and grey: neither the orange of training nor the teal of validation."""

_LETTERS, _FONT = 26, 12
_ROW, _ASIDE = 0.15, 0.2  # of the chart: height that the words of a mark take, least distance of their middle to a side
_HEIGHT = 380


@dataclass(frozen=True)
class Mark:
    """Something that is pointed at.

    Attributes:
        words: that stand beside it, in the reader's language.
        colour: of band, arrow and line.
        span: first and last epoch of a band, from 1.
        at: epoch and value that an arrow points at.
        line: a value at which a dotted line goes across.
    """

    words: str
    colour: str = CALM
    span: tuple[int, int] | None = None
    at: tuple[float, float] | None = None
    line: float | None = None


def point_out(figure: go.Figure, marks: Sequence[Mark], *, ink: str | None = None) -> go.Figure:
    """The figure of a run with some marks in it, their words in room that is made for them, one below the other.

    Args:
        figure: loss, accuracy or AUC over epochs.
        marks: the gravest first; those without words are drawn, and not spoken of.
        ink: colour of the words; None for the theme's.
    """
    figure.update_layout(height=_HEIGHT)
    spoken = [mark for mark in marks if mark.words]
    bottom, top = _room(figure, len(spoken))
    falls = _falls(figure)
    for mark in marks:
        _draw(figure, mark)
    for row, mark in enumerate(spoken):
        share = (row + 0.5) * _ROW
        height = top - share * (top - bottom) if falls else bottom + share * (top - bottom)
        figure.add_annotation(_words(mark, height, _epochs_of(figure, marks), ink))
    return figure


def _draw(figure: go.Figure, mark: Mark) -> None:
    if mark.span:
        x0, x1 = mark.span[0] - 0.5, mark.span[1] + 0.5
        figure.add_vrect(x0=x0, x1=x1, fillcolor=mark.colour, opacity=0.13, line_width=0, layer="below")
    if mark.line is not None:
        figure.add_hline(y=mark.line, line={"color": mark.colour, "width": 1.5, "dash": "dot"})


def _words(mark: Mark, height: float, epochs: tuple[float, float], ink: str | None) -> dict[str, Any]:
    """An annotation: the words with an arrow from there to the point, or alone, amid the band."""
    lines = [escape(line, quote=False) for line in textwrap.wrap(mark.words, _LETTERS)]
    note: dict[str, Any] = {
        "text": "<br>".join(lines), "font": {"size": _FONT, "color": ink}, "bordercolor": mark.colour,
        "borderwidth": 1.5, "borderpad": 3, "bgcolor": "rgba(128, 140, 150, 0.14)",
    }  # fmt: skip
    first, last = epochs
    middle = mark.at[0] if mark.at else sum(mark.span or epochs) / 2
    x = min(max(middle, first + _ASIDE * (last - first)), last - _ASIDE * (last - first))
    if mark.at is None:
        return note | {"x": x, "y": height, "showarrow": False}
    arrow = {"showarrow": True, "arrowcolor": mark.colour, "arrowwidth": 2, "arrowhead": 2, "standoff": 4}
    return note | arrow | {"x": mark.at[0], "y": mark.at[1], "axref": "x", "ayref": "y", "ax": x, "ay": height}


def _room(figure: go.Figure, rows: int) -> tuple[float, float]:
    """The range of the values' axis, made longer by what the words take: above curves that fall, else below."""
    layout: Any = figure["layout"]
    grown = 1 / (1 - min(rows * _ROW, 0.6))
    if _falls(figure):
        known = [y for trace in figure.data for y in (trace.y if trace.y is not None else ()) if math.isfinite(y)]
        bottom, top = 0.0, 1.03 * max(known, default=1.0) * grown
    else:
        bottom, top = layout.yaxis.range or (0.0, 1.0)
        bottom = top - (top - bottom) * grown
    figure.update_yaxes(range=[bottom, top])
    return bottom, top


def _epochs_of(figure: go.Figure, marks: Sequence[Mark]) -> tuple[float, float]:
    """The first and the last epoch that are to be seen."""
    known = [float(x) for trace in figure.data for x in (trace.x if trace.x is not None else ())]
    known += [edge for mark in marks if mark.span for edge in (mark.span[0] - 0.5, mark.span[1] + 0.5)]
    return min(known, default=0.0), max(known, default=1.0)


def _falls(figure: go.Figure) -> bool:
    """Whether its curves go down, as those of a loss, whose axis begins at zero."""
    layout: Any = figure["layout"]
    return layout.yaxis.rangemode == "tozero"
