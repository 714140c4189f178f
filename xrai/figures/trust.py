"""Calibration figures: reliability diagram, sensitivity and specificity over the threshold, icon array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from xrai.core.language import tr
from xrai.figures.evaluation import RIGHT, WRONG
from xrai.figures.style import (
    FONT,
    LEGEND,
    MARGIN,
    PALE_GREY,
    TRANSPARENT,
    escape_tags,
    format_percent,
    make_title,
    new_figure,
)

_COLUMNS, _ROWS = 50, 20  # dots: 1,000 in all, a column 20
_SICK, _HEALTHY = "square", "circle"


def reliability_figure(bins: Sequence[Mapping[str, Any]], counts: Sequence[int], name: str) -> go.Figure:
    """Reliability diagram with intervals, and a histogram of the predicted probabilities.

    On the dotted line the probabilities are calibrated; below it they are overconfident.

    Args:
        bins: as `metrics.reliability` returns them.
        counts: scans per bin of probability, in bins of equal width from 0 to 1.
        name: of the class, as shown to users.
    """
    figure = make_subplots(
        figure=new_figure(), rows=2, cols=1, shared_xaxes=True, row_heights=[0.78, 0.22], vertical_spacing=0.04
    )
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        name=tr("Perfect calibration"),
        line={"color": PALE_GREY, "width": 1.5, "dash": "dot"},
        hoverinfo="skip",
        row=1,
        col=1,
    )
    shares = [point["share"] for point in bins]
    figure.add_scatter(
        x=[point["mean"] for point in bins],
        y=shares,
        error_y={
            "array": [point["interval"][1] - point["share"] for point in bins],
            "arrayminus": [point["share"] - point["interval"][0] for point in bins],
            "thickness": 1.5,
            "width": 4,
        },
        text=[_bin_text(point) for point in bins],
        mode="lines+markers",
        name=tr("Observed, with 95 % intervals"),
        cliponaxis=False,
        line={"color": RIGHT, "width": 1.5},
        marker={"size": 9},
        hovertemplate="%{text}<extra></extra>",
        row=1,
        col=1,
    )
    width = 1 / max(len(counts), 1)
    figure.add_bar(
        x=[(k + 0.5) * width for k in range(len(counts))],
        y=list(counts),
        width=width,
        marker={"color": PALE_GREY},
        name=tr("Scans"),
        showlegend=False,
        hovertemplate=tr("%{y:,} scans") + "<extra></extra>",
        row=2,
        col=1,
    )
    axis = {"range": [-0.02, 1.02], "tickformat": ".0%", "zeroline": False}
    figure.update_xaxes(axis)
    figure.update_xaxes(title=tr("Probability of {name}", name=escape_tags(name)), row=2)
    figure.update_yaxes(axis, title=tr("Observed frequency"), row=1)
    figure.update_yaxes(title=tr("Scans"), rangemode="tozero", nticks=3, row=2)
    return _apply_layout(figure, tr("Reliability diagram"), 480)


def threshold_figure(
    points: Mapping[str, Sequence[float]],
    classes: tuple[str, str],
    threshold: float,
    *,
    zone: tuple[float, float] | None = None,
    interval: tuple[float, float] | None = None,
) -> go.Figure:
    """Sensitivity and specificity over the threshold, with the threshold in use.

    Args:
        points: as `calibration.threshold_points` returns them, with local probabilities.
        classes: names of both classes, as shown to users.
        threshold: in use, a local probability, as are `zone` and `interval`.
        zone: reject zone, in which the model abstains.
        interval: of the threshold, drawn as a bar at the bottom.
    """
    figure = new_figure()
    first, second = (escape_tags(name) for name in classes)
    lines = (
        ("sensitivity", tr("Sensitivity ({name})", name=second), WRONG, "solid"),
        ("specificity", tr("Specificity ({name})", name=first), RIGHT, "dash"),
    )
    hover_template = tr("%{y:.1%} at a threshold of %{x:.1%}")
    for key, name, colour, dash in lines:
        figure.add_scatter(
            x=list(points["threshold"]),
            y=list(points[key]),
            mode="lines",
            name=name,
            line={"color": colour, "width": 2.5, "shape": "hvh", "dash": dash},
            hovertemplate=f"{hover_template}<extra>{name}</extra>",
        )
    if zone is not None and zone[0] < zone[1]:
        figure.add_vrect(
            x0=zone[0], x1=zone[1], fillcolor=PALE_GREY, opacity=0.22, line_width=0, layer="below", name="zone"
        )
        figure.add_annotation(
            x=sum(zone) / 2, y=0.06, text=tr("uncertain"), showarrow=False, font={"size": 13}, name="zone"
        )
    figure.add_vline(x=threshold, line={"color": PALE_GREY, "width": 2}, name="chosen")
    label = tr("threshold {share}", share=format_percent(threshold))
    if interval is not None:
        low, high = map(format_percent, interval)
        label = tr("threshold {share} ({low} to {high})", share=format_percent(threshold), low=low, high=high)
        figure.add_shape(
            type="line",
            x0=interval[0],
            x1=interval[1],
            y0=0,
            y1=0,
            line={"color": PALE_GREY, "width": 8},
            name="interval",
        )
    figure.add_annotation(
        x=threshold,
        y=1,
        yref="paper",
        yanchor="bottom",
        showarrow=False,
        text=label,
        name="chosen",
        xanchor="left" if threshold < 0.25 else "right" if threshold > 0.75 else "center",
    )
    axis = {"range": [-0.02, 1.02], "tickformat": ".0%", "zeroline": False, "automargin": True}
    figure.update_xaxes(axis, title=tr("Threshold: positive for {name} at this probability or above", name=second))
    figure.update_yaxes(axis, title=tr("Correctly classified"))
    figure = _apply_layout(figure, tr("What the threshold does"), 420)
    figure.update_layout(legend={"y": -0.22, "yanchor": "top"}, hovermode="x")
    return figure


def icon_array_figure(counts: Sequence[int], condition: str, people: str = "patients") -> go.Figure:
    """A thousand people as dots: found, missed, false alarms and cleared, column by column.

    Squares have the condition, circles do not; teal is right, orange an error. Dots are counted at a glance where
    a bar of 4 in 1,000 would not be seen (Galesic, Garcia-Retamero and Gigerenzer, Health Psychol 2009;28:210–216).

    Args:
        counts: found, missed, false alarms, cleared, as `calibration.per_thousand` gives them; they sum to 1,000.
        condition: for people, as it stands after "with".
        people: children or patients; both in the reader's language.
    """
    if len(counts) != 4 or min(counts) < 0 or sum(counts) != _COLUMNS * _ROWS:
        raise ValueError(f"Four counts that sum to 1,000 are to be drawn, not {list(counts)}.")
    true_positives, false_negatives, false_positives, true_negatives = counts
    name, n_sick, n_healthy = (
        escape_tags(condition),
        true_positives + false_negatives,
        false_positives + true_negatives,
    )
    groups = (
        (
            true_positives,
            tr("found: {n:,} of {of:,} with {condition}", n=true_positives, of=n_sick, condition=name),
            RIGHT,
            _SICK,
        ),
        (false_negatives, tr("missed: {n:,} of {of:,}", n=false_negatives, of=n_sick), WRONG, _SICK),
        (
            false_positives,
            tr("false alarms: {n:,} of {of:,} without", n=false_positives, of=n_healthy),
            WRONG,
            _HEALTHY,
        ),
        (true_negatives, tr("cleared: {n:,} of {of:,}", n=true_negatives, of=n_healthy), RIGHT, _HEALTHY),
    )
    figure, start = new_figure(), 0
    for count, label, colour, symbol in groups:
        indices = np.arange(start, start + count)
        start += count
        marker_suffix = (
            "-open" if colour == RIGHT and symbol == _HEALTHY else ""
        )  # most are these: errors are to stand out
        figure.add_scatter(
            x=(indices // _ROWS).tolist(),
            y=(indices % _ROWS).tolist(),
            mode="markers",
            name=label,
            showlegend=True,
            marker={"symbol": symbol + marker_suffix, "color": colour, "size": 8},
            hovertemplate=label + "<extra></extra>",
        )
    axis = {"visible": False, "fixedrange": True}
    figure.update_xaxes(axis, range=[-0.8, _COLUMNS - 0.2])
    figure.update_yaxes(axis, range=[_ROWS - 0.2, -0.8])
    figure = _apply_layout(figure, tr("Of 1,000 {people}", people=escape_tags(people)), 420)
    figure.update_layout(
        legend={
            "y": -0.02,
            "yanchor": "top",
            "font": {"size": 14},
            "itemsizing": "constant",
            "itemclick": False,
            "itemdoubleclick": False,
        },
        plot_bgcolor=TRANSPARENT,
        dragmode=False,
    )
    return figure


def _bin_text(point: Mapping[str, Any]) -> str:
    low, high = map(format_percent, point["interval"])
    return tr(
        "{n:,} scans, predicted {mean}:<br>observed {share} ({low} to {high})",
        n=point["n"],
        mean=format_percent(point["mean"]),
        share=format_percent(point["share"]),
        low=low,
        high=high,
    )


def _apply_layout(figure: go.Figure, title: str, height: int) -> go.Figure:
    figure.update_layout(
        font=FONT, title=make_title(title), height=height, margin=MARGIN | {"t": 64}, legend=LEGEND, hovermode="closest"
    )
    return figure
