"""Comparison of runs: overlaid curves, measures with intervals, and parallel coordinates of settings."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import plotly.graph_objects as go

from xrai.core.language import N_, number, tr
from xrai.figures.runs import Records
from xrai.figures.style import GREY, SERIES, TRANSPARENT, escape_tags, legend_below, new_figure, new_titled_figure

Measure = Literal["loss", "accuracy", "auc"]

_TITLES = {"loss": N_("Validation loss"), "accuracy": N_("Validation accuracy"), "auc": N_("Validation AUC")}

MAX_OVERLAID_RUNS = len(SERIES)
"""As many as there are colours."""

MAX_NAMED_RUNS = 12
"""With more runs, their names do not fit on an axis."""

_LETTERS = 26  # of a name in a legend
_TICK_LETTERS = 14  # of a label beside an axis
_LOW_TO_HIGH = ((0.0, "#5d78f0"), (0.5, "#c850a8"), (1.0, "#f08a18"))
"""Blue, purple, orange: distinguishable with any colour vision, on white and on black."""

_LOG_SCALE_RATIO = 8
"""Positive values whose maximum is so many times the minimum have a log scale."""

_STRANDS = (-0.0035, 0.0, 0.0035)
"""Offsets of three lines per run, since Plotly draws these lines one pixel wide."""

_MIN_TICK_GAP = 0.07  # between two labels, as a share of the axis


def overlaid_curves(runs: Mapping[str, Records], measure: Measure, *, with_training: bool = False) -> go.Figure:
    """A validation measure over epochs, one colour per run; the selected epoch has a larger marker.

    Args:
        runs: {name: records}; colours are given in this order.
        measure: "loss", "accuracy" or "auc".
        with_training: also draw the training measure, thinner and dotted.
    """
    rows = sum(len(_shorten(name)) + 8 for name in runs) // 44 + 1  # of the legend, at half the width of a page
    figure = new_titled_figure(
        tr(_TITLES[measure]),
        320 + 20 * rows,
        legend=legend_below(-0.22),
        hovermode="x unified",
        uirevision="comparison",
    )
    for index, (name, records) in enumerate(runs.items()):
        epochs = [record for record in records if record.get("kind") == "epoch"]
        colour = SERIES[index % len(SERIES)]
        if with_training:
            _add_curve(figure, name, epochs, "train", measure, colour)
        _add_curve(figure, name, epochs, "val", measure, colour)
    figure.update_xaxes(title=tr("Epoch"), rangemode="tozero")
    figure.update_yaxes(automargin=True)
    if measure == "loss":
        figure.update_yaxes(rangemode="tozero")
    elif measure == "accuracy":
        figure.update_yaxes(tickformat=".0%")
    return figure


def interval_dots(rows: Sequence[tuple[str, float | None, Sequence[float] | None]], title: str) -> go.Figure:
    """A measure of several runs with its 95 % interval, one run per row, in the colours of `overlaid_curves`.

    Args:
        rows: (name, value, interval); a missing value leaves the row empty.
        title: name of the measure.
    """
    figure = new_titled_figure(title, 110 + 32 * max(len(rows), 2), showlegend=False)
    for index, (name, value, interval) in enumerate(rows):
        colour = SERIES[index % len(SERIES)]
        if value is None:
            figure.add_scatter(x=[None], y=[index], name=escape_tags(name))
            continue
        low, high = interval or (value, value)
        hover_text = tr(
            "{name}: {value:.3f} ({low:.3f} to {high:.3f})", name=escape_tags(name), value=value, low=low, high=high
        )
        figure.add_scatter(
            x=[value],
            y=[index],
            name=escape_tags(name),
            mode="markers",
            marker={"color": colour, "size": 11},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [high - value],
                "arrayminus": [value - low],
                "thickness": 2.5,
                "width": 5,
            },
            hovertemplate=f"{hover_text}<extra></extra>",
        )
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[_shorten(name) for name, _, _ in rows],
        range=[len(rows) - 0.5, -0.5],
        automargin=True,
        showgrid=False,
        zeroline=False,
        fixedrange=True,
    )
    return figure


def parallel_settings(
    rows: Sequence[Mapping[str, Any]],
    settings: Mapping[str, str],
    format_value: Callable[[str, Any], str] = lambda _, value: number(
        f"{value:g}" if isinstance(value, float) else str(value)
    ),
) -> go.Figure:
    """Parallel coordinates: one line per run through its settings to its validation AUC, coloured by that AUC.

    Args:
        rows: {"name": …, "auc": …, "settings": {setting: value}}; runs without an AUC are left out, and
            missing values or None have their own place below the others.
        settings: {setting: label} of the axes, from left to right.
        format_value: formats a value, given the setting and the value.
    """
    rows = [row for row in rows if row.get("auc") is not None]
    aucs = [float(row["auc"]) for row in rows]
    dimensions = [_names_axis([str(row["name"]) for row in rows], aucs)] if len(rows) <= MAX_NAMED_RUNS else []
    for setting, label in settings.items():
        values = [row["settings"].get(setting) for row in rows]
        value_texts = {
            value: _shorten(format_value(setting, value), _TICK_LETTERS) for value in values if value is not None
        }
        dimensions.append(_setting_axis(label, values, value_texts))
    dimensions.append(
        _axis(tr("Validation AUC"), aucs, _drop_crowded_ticks({auc: number(f"{auc:.3f}") for auc in aucs}))
    )
    figure = new_figure(
        go.Parcoords(
            dimensions=dimensions,
            line={"color": [auc for auc in aucs for _ in _STRANDS], "colorscale": _LOW_TO_HIGH},
            labelangle=-20,
            labelfont={"size": 13},
            tickfont={"size": 12, "weight": 600},  # readable over lines
            rangefont={"size": 1, "color": TRANSPARENT},  # hidden, since the ends have ticks
            unselected={"line": {"opacity": 0.08}},
        )
    )
    for axis in range(len(dimensions)):  # Plotly's own axes are black, invisible on black
        x = axis / max(len(dimensions) - 1, 1)
        figure.add_shape(
            type="line", xref="paper", yref="paper", x0=x, x1=x, y0=0, y1=1, line={"color": GREY, "width": 1.5}
        )
    longest_name = max(map(len, dimensions[0]["ticktext"]), default=0)
    more_lines = max(item["label"].count("<br>") for item in dimensions)
    figure.update_layout(
        height=340 + 15 * more_lines,
        margin={"l": 20 + 6 * longest_name, "r": 45, "t": 55 + 15 * more_lines, "b": 25},
        paper_bgcolor=TRANSPARENT,  # also of the halo around tick labels
    )
    return figure


# ---------------------------------------------------------------- curves


def _add_curve(figure: go.Figure, name: str, epochs: Records, split: str, measure: str, colour: str) -> None:
    points = [
        (epoch["epoch"], value, bool(epoch.get("best")))
        for epoch in epochs
        if (value := (epoch.get(split) or {}).get(measure)) is not None
    ]
    is_training = split == "train"
    selected_epoch = max((at for at, _, best in points if best), default=None)
    figure.add_scatter(
        x=[at for at, _, _ in points],
        y=[value for _, value, _ in points],
        name=tr("{name}, training", name=_shorten(name)) if is_training else _shorten(name),
        mode="lines" if is_training and len(points) > 1 else "lines+markers",
        line={"color": colour, "width": 1.3, "dash": "dot"} if is_training else {"color": colour, "width": 2.5},
        marker={"size": 4 if is_training else [12 if at == selected_epoch else 5 for at, _, _ in points]},
        legendgroup=escape_tags(name),
        showlegend=not is_training,
        hovertemplate="%{y:.1%}" if measure == "accuracy" else "%{y:.3f}",
    )


def _shorten(name: str, letters: int = _LETTERS) -> str:
    return escape_tags(name if len(name) <= letters else f"{name[: letters - 1]}…")


# ---------------------------------------------------------------- parallel axes


def _names_axis(names: Sequence[str], aucs: Sequence[float]) -> dict[str, Any]:
    """The runs in the order of their AUC, so that few lines cross."""
    order = sorted(range(len(names)), key=aucs.__getitem__)
    positions = [float(order.index(number)) for number in range(len(names))]
    words = [_shorten(name, _TICK_LETTERS) for name in names]
    return _axis(tr("Run"), positions, dict(zip(positions, words, strict=True)))


def _setting_axis(label: str, values: Sequence[Any], words: Mapping[Any, str]) -> dict[str, Any]:
    present_values = [value for value in values if value is not None]
    if present_values and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in present_values
    ):
        is_log = min(present_values) > 0 and max(present_values) / min(present_values) >= _LOG_SCALE_RATIO
        position_of = {value: math.log10(value) if is_log else float(value) for value in present_values}
    else:
        position_of = {value: float(place) for place, value in enumerate(sorted(set(present_values), key=str))}
    low, high = min(position_of.values(), default=0.0), max(position_of.values(), default=0.0)
    missing_position = low - ((high - low) * 0.25 or 1.0)
    ticks = _drop_crowded_ticks({place: words[value] for value, place in position_of.items()})
    if len(present_values) < len(values):
        ticks[missing_position] = tr("none")
    return _axis(label, [missing_position if value is None else position_of[value] for value in values], ticks)


def _axis(label: str, positions: Sequence[float], ticks: Mapping[float, str]) -> dict[str, Any]:
    low, high = min(positions, default=0.0), max(positions, default=0.0)
    if high <= low:
        low, high = low - 0.5, high + 0.5
    strands = [strand * (high - low) for strand in _STRANDS]
    return {
        "label": "<br>".join(textwrap.wrap(escape_tags(label), 14, break_long_words=False)),
        "values": [position + strand for position in positions for strand in strands],
        "range": [low + strands[0], high + strands[-1]],
        "tickvals": list(ticks),
        "ticktext": list(ticks.values()),
    }


def _drop_crowded_ticks(ticks: Mapping[float, str]) -> dict[float, str]:
    """The ticks in ascending order, without those too close to another."""
    positions = sorted(ticks)
    if not positions:
        return {}
    gap = (positions[-1] - positions[0]) * _MIN_TICK_GAP
    selected_positions = positions[:1]
    for position in positions[1:-1]:
        if position - selected_positions[-1] >= gap and positions[-1] - position >= gap:
            selected_positions.append(position)
    return {position: ticks[position] for position in dict.fromkeys([*selected_positions, positions[-1]])}
