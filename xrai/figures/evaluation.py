"""Evaluation figures: confusion matrix, and one-vs-rest ROC and precision-recall curves."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from xrai.core.language import number, tr, trn
from xrai.figures.style import (
    MARGIN,
    PALE_GREY,
    SERIES,
    TRAIN,
    TRANSPARENT,
    VALIDATION,
    escape_tags,
    format_percent,
    legend_below,
    new_titled_figure,
)

ClassCurves = Mapping[str, Mapping[str, Any] | None]
ClassPoints = Mapping[str, tuple[float, float]]

RIGHT, WRONG = VALIDATION, TRAIN
"""Teal for correct predictions, orange for errors."""

_ROWS = 300  # pixels of all rows together
_MIN_ROW = 56
_MAX_ROW = 130
_ABOVE = 122  # pixels above the matrix
_MANY = 6  # classes; with more, the cells are too narrow for a second line
_FAINTEST = 0.07
_STRONGEST = 0.6  # opacity at which text of any theme is readable
_GAP = 0.025  # between cells, as a share of a cell
_LETTERS = 14


def confusion_figure(
    matrix: Sequence[Sequence[int]],
    classes: Sequence[str],
    *,
    as_rates: bool = False,
    selected_cell: tuple[int, int] | None = None,
    text_colour: str | None = None,
) -> go.Figure:
    """The confusion matrix: one row per true class, one column per predicted class; correct teal, errors orange.

    The opacity grows with the share of the true class. The only trace has an invisible marker at the centre of every
    cell, row by row: a click selects the nearest one.

    Args:
        matrix: counts, (C, C), rows are the truth.
        classes: names of the C classes, for people.
        as_rates: show shares of the true class in large and counts in small, instead of the reverse.
        selected_cell: (truth, predicted) of the cell with a frame.
        text_colour: of numbers and names; None for the theme's.
    """
    n, names = len(classes), [escape_tags(name) for name in classes]
    side = min(max(_ROWS // n, _MIN_ROW), _MAX_ROW)
    figure = new_titled_figure(tr("Confusion matrix"), side * n + _ABOVE, margin=MARGIN | {"t": _ABOVE - 10})
    hover_texts = []
    for truth, row in enumerate(matrix):
        for predicted, count in enumerate(row):
            rate = count / sum(row) if sum(row) else None
            _draw_cell(figure, truth, predicted, count, rate, is_framed=(truth, predicted) == selected_cell)
            _write_cell(figure, truth, predicted, _cell_texts(count, rate, n, as_rates=as_rates), n, text_colour)
            hover_texts.append(_hover_text(count, rate, names[truth], names[predicted]))
    figure.add_scatter(
        x=[predicted for _ in range(n) for predicted in range(n)],
        y=[truth for truth in range(n) for _ in range(n)],
        mode="markers",
        marker={"symbol": "square", "size": side // 2, "opacity": 0},
        selected={"marker": {"opacity": 0}},
        unselected={"marker": {"opacity": 0}},
        text=hover_texts,
        hovertemplate="%{text}<extra></extra>",
    )
    ticks = {"tickvals": list(range(n)), "fixedrange": True, "showgrid": False, "zeroline": False, "ticks": ""}
    ticks |= {"tickfont": {"size": 14, "color": text_colour}, "ticklabelstandoff": 4}
    labels = ["<br>".join(escape_tags(line) for line in textwrap.wrap(name, _LETTERS)) for name in classes]
    figure.update_xaxes(ticks, ticktext=labels, side="top", range=[-0.5, n - 0.5], title=tr("Predicted class"))
    figure.update_yaxes(
        ticks, ticktext=labels, range=[n - 0.5, -0.5], title={"text": tr("True class"), "standoff": 12}, automargin=True
    )
    figure.update_layout(
        showlegend=False,
        hovermode="closest",
        hoverdistance=-1,  # anywhere in a cell
        clickmode="event+select",
        dragmode=False,
        plot_bgcolor=TRANSPARENT,
    )
    return figure


def operating_points(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> tuple[ClassPoints, ClassPoints]:
    """The operating point of each class: (1 − specificity, sensitivity), and (recall, precision).

    A class with no scans, with all scans, or (for the second) without predictions has no point.
    """
    total = sum(map(sum, matrix))
    roc_points, precision_recall_points = {}, {}
    for k, name in enumerate(classes):
        true_positives, support, predicted_positives = matrix[k][k], sum(matrix[k]), sum(row[k] for row in matrix)
        if not 0 < support < total:
            continue
        roc_points[name] = ((predicted_positives - true_positives) / (total - support), true_positives / support)
        if predicted_positives:
            precision_recall_points[name] = (true_positives / support, true_positives / predicted_positives)
    return roc_points, precision_recall_points


def roc_figure(curves: ClassCurves, points: ClassPoints, areas: Mapping[str, float | None]) -> go.Figure:
    """One-vs-rest ROC curves with operating points.

    Args:
        curves: per class, as `evaluation.report` returns them; None is left out.
        points: (1 − specificity, sensitivity) per class.
        areas: AUC per class.
    """
    figure = _make_rate_figure(
        tr("ROC curve"), tr("1 − specificity (false positive rate)"), tr("Sensitivity (true positive rate)")
    )
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        name=tr("Chance"),
        line={"color": PALE_GREY, "width": 1.5, "dash": "dot"},
        hoverinfo="skip",
    )
    for name, colour, curve in _coloured_curves(curves):
        _add_line(
            figure, name, tr("AUC {auc}", auc=_format_number(areas.get(name))), colour, curve["roc"], shape="linear"
        )
        hover_template = tr("Operating point: 1 − specificity %{x:.1%}, sensitivity %{y:.1%}")
        _add_point(figure, name, colour, points.get(name), hover_template)
    return figure


def precision_recall_figure(curves: ClassCurves, points: ClassPoints, shares: Mapping[str, float]) -> go.Figure:
    """One-vs-rest precision-recall curves as steps, with operating points.

    Args:
        curves: per class, as `evaluation.report` returns them; None is left out.
        points: (recall, precision) per class.
        shares: share of all scans per class, which is the precision by chance.
    """
    figure = _make_rate_figure(
        tr("Precision and recall"), tr("Recall (sensitivity)"), tr("Precision (positive predictive value)")
    )
    for name, colour, curve in _coloured_curves(curves):
        figure.add_scatter(
            x=[0, 1],
            y=[shares[name]] * 2,
            mode="lines",
            legendgroup=name,
            name=tr("{name}, chance", name=escape_tags(name)),
            line={"color": colour, "width": 1.5, "dash": "dot"},
            opacity=0.6,
            showlegend=False,
            hoverinfo="skip",
        )
        precision_text = tr("average precision {share}", share=_format_number(curve["average_precision"]))
        # each step of recall has the precision at its end, as in average precision
        _add_line(figure, name, precision_text, colour, curve["precision_recall"], shape="vh")
        hover_template = tr("Operating point: recall %{x:.1%}, precision %{y:.1%}")
        _add_point(figure, name, colour, points.get(name), hover_template)
    return figure


def _draw_cell(
    figure: go.Figure, truth: int, predicted: int, count: int, rate: float | None, *, is_framed: bool = False
) -> None:
    colour = PALE_GREY if not count else RIGHT if truth == predicted else WRONG
    strength = _FAINTEST + (_STRONGEST - _FAINTEST) * math.sqrt(rate or 0)
    corners = {
        "x0": predicted - 0.5 + _GAP,
        "x1": predicted + 0.5 - _GAP,
        "y0": truth - 0.5 + _GAP,
        "y1": truth + 0.5 - _GAP,
    }
    figure.add_shape(
        type="rect",
        **corners,
        layer="below",
        fillcolor=colour,
        opacity=round(strength, 3),
        line={"width": 0},
        name="cell",
    )
    if is_framed:
        figure.add_shape(type="rect", **corners, line={"color": colour, "width": 3.5}, name="chosen")


def _cell_texts(count: int, rate: float | None, n: int, *, as_rates: bool) -> tuple[str, str]:
    """The large and the small text of a cell in an n × n matrix."""
    share = "–" if rate is None else _format_rate(rate)
    large, small = (share, _format_scans(count)) if as_rates else (number(f"{count:,}"), "" if rate is None else share)
    return large, small if n <= _MANY else ""


def _hover_text(count: int, rate: float | None, truth: str, predicted: str) -> str:
    if rate is None:
        return tr(
            "{truth} predicted as {predicted}:<br>{scans}", truth=truth, predicted=predicted, scans=_format_scans(count)
        )
    return tr(
        "{truth} predicted as {predicted}:<br>{scans}, {share} of {truth}",
        truth=truth,
        predicted=predicted,
        scans=_format_scans(count),
        share=_format_rate(rate),
    )


def _write_cell(
    figure: go.Figure, truth: int, predicted: int, texts: tuple[str, str], n: int, text_colour: str | None
) -> None:
    large, small = texts
    size = 24 if n == 2 else 22 if n == 3 else 16 if n <= _MANY else 12
    second_line = f"<br><span style='font-size:{max(size // 2 + 1, 11)}px'>{small}</span>" if small else ""
    figure.add_annotation(
        x=predicted,
        y=truth,
        showarrow=False,
        align="center",
        font={"size": size, "color": text_colour},
        text=f"<b>{large}</b>{second_line}",
    )


def _make_rate_figure(title: str, x: str, y: str) -> go.Figure:
    figure = new_titled_figure(title, 420, legend=legend_below(-0.2), hovermode="closest")
    axis = {"range": [-0.02, 1.02], "tickformat": ".0%", "zeroline": False, "automargin": True}
    figure.update_xaxes(axis, title=x)
    figure.update_yaxes(axis, title=y)
    return figure


def _coloured_curves(curves: ClassCurves) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Name, colour and curve of every class with a curve; colours do not depend on missing curves."""
    indexed_curves = enumerate(curves.items())
    return [(name, SERIES[k % len(SERIES)], curve) for k, (name, curve) in indexed_curves if curve is not None]


def _add_line(figure: go.Figure, name: str, measure: str, colour: str, curve: Mapping[str, Any], *, shape: str) -> None:
    figure.add_scatter(
        x=curve["x"],
        y=curve["y"],
        text=list(map(_threshold_text, curve["thresholds"])),
        mode="lines",
        legendgroup=name,
        name=f"{escape_tags(name)}, {measure}",
        line={"color": colour, "width": 2.5, "shape": shape},
        hovertemplate="%{x:.1%}, %{y:.1%}<br>%{text}<extra>" + escape_tags(name) + "</extra>",
    )


def _add_point(
    figure: go.Figure, name: str, colour: str, point: tuple[float, float] | None, hover_template: str
) -> None:
    if point is None:
        return
    figure.add_scatter(
        x=[point[0]],
        y=[point[1]],
        mode="markers",
        cliponaxis=False,
        showlegend=False,
        legendgroup=name,
        name=tr("{name}, operating point", name=escape_tags(name)),
        marker={"symbol": "diamond", "size": 13, "color": colour, "line": {"color": "white", "width": 2}},
        hovertemplate=f"{hover_template}<extra>{escape_tags(name)}</extra>",
    )


def _threshold_text(threshold: float | None) -> str:
    if threshold is None:
        return tr("never predicted")
    return tr("threshold {share:.3f}", share=threshold)


def _format_number(value: float | None) -> str:
    return "–" if value is None else number(f"{value:.3f}")


def _format_rate(rate: float) -> str:
    return tr("{n:.0f} %", n=100 * rate) if rate in (0, 1) else format_percent(rate)


def _format_scans(count: int) -> str:
    return trn("{n:,} scan", "{n:,} scans", count)
