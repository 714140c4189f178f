"""Diagram of a convolutional network: a row of boxes from left to right."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Sequence
from typing import Protocol

import plotly.graph_objects as go

from xrai.core.language import tr, translate, trn
from xrai.figures.style import PALE_GREY, TEST, TRAIN, TRANSPARENT, VALIDATION, new_figure


class StageLike(Protocol):
    """The parts of `networks.summary.Stage` that are drawn."""

    @property
    def name(self) -> str:
        """In words."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what leaves it: (C, H, W) or (C,)."""
        ...

    @property
    def parameters(self) -> int:
        """Trainable numbers."""
        ...

    @property
    def n_layers(self) -> int:
        """Layers within."""
        ...

    @property
    def explanation(self) -> str:
        """What it is for, in a line."""
        ...


MAX_LABELS_IN_ROW = 5
"""With more boxes, every second label is a row lower, so that neighbouring labels do not touch."""

_FONT, _LINE = 11, 14.3  # pixels; plotly sets lines 1.3 times the letters apart
_DRAWING, _GAP = 180, 6  # pixels
_LOWEST, _HIGHEST = -0.5, 0.58  # of the boxes; the tallest is 1 high
_UNIT = (_HIGHEST - _LOWEST) / _DRAWING  # a pixel's height
_WIDEST, _DEPTH = 0.5, 0.06  # of a column
_LETTERS = 13


def network_diagram(stages: Sequence[StageLike]) -> go.Figure:
    """A box for each stage, its name, the shape of what leaves it and its number of weights below.

    Height follows the picture's side and width the number of maps, both on a log scale; where the picture has become
    a row of numbers, the box is a narrow bar. What a stage is for appears under the pointer.
    """
    labels, sizes = [_label(stage) for stage in stages], _sizes(stages)
    first_row = max(len(lines) for lines in labels[:: 2 if len(stages) > MAX_LABELS_IN_ROW else 1])
    lines_down = [first_row + 1 if x % 2 and len(stages) > MAX_LABELS_IN_ROW else 0 for x in range(len(stages))]
    n_lines = max(down + len(lines) for down, lines in zip(lines_down, labels, strict=True))
    figure = _canvas(len(stages), n_lines)
    for x, stage in enumerate(stages):
        colour = PALE_GREY if x == 0 else TEST if x == len(stages) - 1 else VALIDATION if _is_maps(stage) else TRAIN
        _draw_box(figure, x, *sizes[x], colour=colour)
        _write_label(figure, x, sizes[x][1], labels[x], lines_down[x])
    for x in range(len(stages) - 1):
        _draw_arrow(figure, x + sizes[x][0] / 2 + _DEPTH, x + 1 - sizes[x + 1][0] / 2)
    figure.add_scatter(
        x=list(range(len(stages))),
        y=[0] * len(stages),
        mode="markers",
        marker={"size": 1, "opacity": 0},
        text=[_hover(stage) for stage in stages],
        hovertemplate="%{text}<extra></extra>",
        hoverlabel={"align": "left"},
    )
    return figure


def _canvas(n: int, n_lines: int) -> go.Figure:
    """An empty figure with room for `n` columns and `n_lines` lines of text below."""
    below = 2 * _GAP + _LINE * n_lines
    spare = max(5 - n, 0) / 2  # centres a few boxes
    figure = new_figure()
    figure.update_layout(
        height=_DRAWING + below,
        margin={"l": 20, "r": 20, "t": 0, "b": 0},
        showlegend=False,
        hovermode="x",
        hoverdistance=-1,
        dragmode=False,
        paper_bgcolor=TRANSPARENT,
        plot_bgcolor=TRANSPARENT,
    )
    figure.update_xaxes(visible=False, fixedrange=True, range=[-0.6 - spare, n - 0.4 + spare])
    figure.update_yaxes(visible=False, fixedrange=True, range=[_LOWEST - below * _UNIT, _HIGHEST])
    return figure


def _is_maps(stage: StageLike) -> bool:
    return len(stage.shape) == 3


def _sizes(stages: Sequence[StageLike]) -> list[tuple[float, float]]:
    """Width in columns and height, at most 1, of each box."""
    most_maps = max((stage.shape[0] for stage in stages if _is_maps(stage)), default=1)
    longest_side = max((stage.shape[1] for stage in stages if _is_maps(stage)), default=1)
    most_units = max((stage.shape[0] for stage in stages if not _is_maps(stage)), default=1)

    def size(stage: StageLike) -> tuple[float, float]:
        if _is_maps(stage):
            width = 0.06 + (_WIDEST - 0.06) * _log_share(stage.shape[0], most_maps)
            return width, 0.08 + 0.92 * _log_share(stage.shape[1], longest_side)
        return 0.08, 0.25 + 0.65 * _log_share(stage.shape[0], most_units)

    return [size(stage) for stage in stages]


def _log_share(value: int, maximum: int) -> float:
    """1 for the maximum, 0 for 1."""
    return math.log(value) / math.log(maximum) if maximum > 1 else 0.0


def _draw_box(figure: go.Figure, x: float, width: float, height: float, *, colour: str) -> None:
    """Draw a block in perspective."""
    left, right, bottom, top = x - width / 2, x + width / 2, -height / 2, height / 2
    over, up = _DEPTH, min(_DEPTH, height / 2)
    roof = [(left, top), (left + over, top + up), (right + over, top + up), (right, top)]
    flank = [(right, top), (right + over, top + up), (right + over, bottom + up), (right, bottom)]
    for corners, opacity in ((roof, 0.35), (flank, 0.6)):
        path = "M " + " L ".join(f"{a:.4f},{b:.4f}" for a, b in corners) + " Z"
        figure.add_shape(type="path", path=path, fillcolor=colour, opacity=opacity, line={"color": colour, "width": 1})
    figure.add_shape(
        type="rect",
        x0=left,
        x1=right,
        y0=bottom,
        y1=top,
        fillcolor=colour,
        opacity=0.85,
        line={"color": colour, "width": 1},
    )


def _draw_arrow(figure: go.Figure, start: float, end: float) -> None:
    gap = (end - start) * 0.12
    figure.add_annotation(
        x=end - gap,
        y=0,
        ax=start + gap,
        ay=0,
        xref="x",
        yref="y",
        axref="x",
        ayref="y",
        text="",
        showarrow=True,
        arrowhead=2,
        arrowsize=1,
        arrowwidth=1.2,
        arrowcolor=PALE_GREY,
    )


def _write_label(figure: go.Figure, x: float, height: float, lines: list[str], lines_down: int) -> None:
    """Write a label below the box; a lower one is connected by a thin line."""
    y = _LOWEST - (_GAP + _LINE * lines_down) * _UNIT
    if lines_down:
        figure.add_shape(
            type="line",
            x0=x,
            x1=x,
            y0=-height / 2 - _GAP * _UNIT,
            y1=y,
            opacity=0.6,
            line={"color": PALE_GREY, "width": 1, "dash": "dot"},
        )
    figure.add_annotation(
        x=x,
        y=y,
        xanchor="center",
        yanchor="top",
        align="center",
        showarrow=False,
        borderpad=0,
        text="<br>".join(lines),
        font={"size": _FONT},
    )


def _label(stage: StageLike) -> list[str]:
    joined_name = re.sub(
        r"(?<=[a-z]) (?=\d)|(?<=\d) (?=[a-z])", "\u00a0", translate(stage.name)
    )  # no break between a number and its word
    words = textwrap.wrap(joined_name, _LETTERS, break_long_words=False)
    weights = [_weights(stage.parameters)] if stage.parameters else []
    return [*(f"<b>{line}</b>" for line in words), _shape(stage.shape), *weights]


def _shape(shape: tuple[int, ...]) -> str:
    if len(shape) == 1:
        return trn("{n:,} number", "{n:,} numbers", shape[0])
    return " × ".join(f"{size}" for size in shape)


def _weights(n: int) -> str:
    """Such as "9,408 weights", "147 k weights" or "1.2 M weights"."""
    if n < 10_000:
        return trn("{n:,} weight", "{n:,} weights", n)
    if n < 999_500:
        return tr("{thousands:.0f} k weights", thousands=n / 1e3)
    if n < 100_000_000:
        return tr("{millions:.1f} M weights", millions=n / 1e6)
    return tr("{millions:,.0f} M weights", millions=n / 1e6)


def _hover(stage: StageLike) -> str:
    facts = [_shape(stage.shape)]
    if stage.n_layers:
        facts += [trn("{n:,} layer", "{n:,} layers", stage.n_layers)]
        facts += [trn("{n:,} weight", "{n:,} weights", stage.parameters)]
    return "<br>".join(
        [f"<b>{translate(stage.name)}</b>", " · ".join(facts), *textwrap.wrap(translate(stage.explanation), 44)]
    )
