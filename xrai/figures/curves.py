"""Annotations of training curves: bands over epochs, arrows at points, horizontal lines."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from xrai.figures.style import escape_tags

SERIOUS, NOTABLE, CALM = "#b5484d", "#c2a12b", "#6f8391"
"""Red, yellow and grey, unlike the colours of training and validation."""

_LETTERS, _FONT = 26, 12
_ROW_HEIGHT = 0.15  # of a text, as a share of the chart
_MIN_SIDE_DISTANCE = 0.2  # between the centre of a text and a side, as a share of the chart
_HEIGHT = 380


@dataclass(frozen=True)
class Annotation:
    """An annotation of a curve.

    Attributes:
        text: in the user's language; "" for none.
        colour: of band, arrow and line.
        span: first and last epoch of a band, from 1.
        at: epoch and value that an arrow points at.
        line: a value at which a dotted line goes across.
    """

    text: str
    colour: str = CALM
    span: tuple[int, int] | None = None
    at: tuple[float, float] | None = None
    line: float | None = None


def annotate_curves(
    figure: go.Figure, annotations: Sequence[Annotation], *, text_colour: str | None = None
) -> go.Figure:
    """Add annotations to the figure of a run, with their texts one below the other in additional space.

    Args:
        figure: loss, accuracy or AUC over epochs.
        annotations: the most serious first; those without text are drawn only.
        text_colour: of the texts; None for the theme's.
    """
    figure.update_layout(height=_HEIGHT)
    texts_shown = [annotation for annotation in annotations if annotation.text]
    bottom, top = _make_room(figure, len(texts_shown))
    is_falling = _is_falling(figure)
    for annotation in annotations:
        _draw(figure, annotation)
    for row, annotation in enumerate(texts_shown):
        share = (row + 0.5) * _ROW_HEIGHT
        height = top - share * (top - bottom) if is_falling else bottom + share * (top - bottom)
        figure.add_annotation(_annotation_layout(annotation, height, _epoch_range(figure, annotations), text_colour))
    return figure


def _draw(figure: go.Figure, annotation: Annotation) -> None:
    if annotation.span:
        x0, x1 = annotation.span[0] - 0.5, annotation.span[1] + 0.5
        figure.add_vrect(x0=x0, x1=x1, fillcolor=annotation.colour, opacity=0.13, line_width=0, layer="below")
    if annotation.line is not None:
        figure.add_hline(y=annotation.line, line={"color": annotation.colour, "width": 1.5, "dash": "dot"})


def _annotation_layout(
    annotation: Annotation, height: float, epochs: tuple[float, float], text_colour: str | None
) -> dict[str, Any]:
    """An annotation: the words with an arrow from there to the point, or alone, amid the band."""
    lines = [escape_tags(line) for line in textwrap.wrap(annotation.text, _LETTERS)]
    layout: dict[str, Any] = {
        "text": "<br>".join(lines),
        "font": {"size": _FONT, "color": text_colour},
        "bordercolor": annotation.colour,
        "borderwidth": 1.5,
        "borderpad": 3,
        "bgcolor": "rgba(128, 140, 150, 0.14)",
    }
    first, last = epochs
    middle = annotation.at[0] if annotation.at else sum(annotation.span or epochs) / 2
    x = min(max(middle, first + _MIN_SIDE_DISTANCE * (last - first)), last - _MIN_SIDE_DISTANCE * (last - first))
    if annotation.at is None:
        return layout | {"x": x, "y": height, "showarrow": False}
    arrow = {"showarrow": True, "arrowcolor": annotation.colour, "arrowwidth": 2, "arrowhead": 2, "standoff": 4}
    return (
        layout
        | arrow
        | {"x": annotation.at[0], "y": annotation.at[1], "axref": "x", "ayref": "y", "ax": x, "ay": height}
    )


def _make_room(figure: go.Figure, rows: int) -> tuple[float, float]:
    """The range of the values' axis, made longer by what the words take: above curves that fall, else below."""
    layout: Any = figure["layout"]
    growth = 1 / (1 - min(rows * _ROW_HEIGHT, 0.6))
    if _is_falling(figure):
        values = [y for trace in figure.data for y in (trace.y if trace.y is not None else ()) if math.isfinite(y)]
        bottom, top = 0.0, 1.03 * max(values, default=1.0) * growth
    else:
        bottom, top = layout.yaxis.range or (0.0, 1.0)
        bottom = top - (top - bottom) * growth
    figure.update_yaxes(range=[bottom, top])
    return bottom, top


def _epoch_range(figure: go.Figure, annotations: Sequence[Annotation]) -> tuple[float, float]:
    """The first and the last epoch that are to be seen."""
    epochs = [float(x) for trace in figure.data for x in (trace.x if trace.x is not None else ())]
    epochs += [
        edge
        for annotation in annotations
        if annotation.span
        for edge in (annotation.span[0] - 0.5, annotation.span[1] + 0.5)
    ]
    return min(epochs, default=0.0), max(epochs, default=1.0)


def _is_falling(figure: go.Figure) -> bool:
    """Whether its curves go down, as those of a loss, whose axis begins at zero."""
    layout: Any = figure["layout"]
    return layout.yaxis.rangemode == "tozero"
