"""Runs side by side: their curves on shared axes, their figures with intervals, and what settings led to."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any, Literal

import plotly.graph_objects as go

from xrai.core.language import N_, number, tr
from xrai.figures.runs import Records
from xrai.figures.style import FONT, MARGIN, SERIES, drawing, title_of

Measure = Literal["loss", "accuracy", "auc"]

_TITLES = {
    "loss": N_("Validation loss"),
    "accuracy": N_("Validation accuracy"),
    "auc": N_("Validation AUC"),
}

MOST_RUNS = len(SERIES)
"""More curves than colours cannot be told apart."""

MOST_NAMED = 12
"""With more runs than that, their names do not fit on an axis of their own."""

_LETTERS, _TICK_LETTERS = 26, 14  # of a name in a legend and beside an axis
_LOW_TO_HIGH = ((0.0, "#5d78f0"), (0.5, "#c850a8"), (1.0, "#f08a18"))
"""Blue over purple to orange: told apart with any colour vision, and neither end vanishes on white or on black."""

_GREY = "#7c8891"  # to be seen on white and on black

_LOGARITHMIC = 8
"""Positive values that span so many times the smallest are drawn on a log scale."""

_STRANDS = (-0.0035, 0.0, 0.0035)
"""Plotly draws these lines a pixel wide: three, so far apart on an axis of length 1, can be seen."""

_NEAREST = 0.07  # of an axis between two labels


def overlaid_curves(runs: Mapping[str, Records], measure: Measure, *, with_training: bool = False) -> go.Figure:
    """A measure on validation over epochs, a colour for each run; the epoch that was kept has a larger point.

    Args:
        runs: {name: records}; colours are given in this order.
        measure: what is drawn.
        with_training: also on training, thinner and dotted.
    """
    figure = drawing()
    for place, (name, records) in enumerate(runs.items()):
        epochs = [record for record in records if record.get("kind") == "epoch"]
        colour = SERIES[place % len(SERIES)]
        if with_training:
            _add_curve(figure, name, epochs, "train", measure, colour)
        _add_curve(figure, name, epochs, "val", measure, colour)
    rows = sum(len(_short(name)) + 8 for name in runs) // 44 + 1  # of the legend, at the width of half a page
    figure.update_layout(
        font=FONT,
        title=title_of(tr(_TITLES[measure])),
        height=320 + 20 * rows,
        margin=MARGIN,
        legend={"orientation": "h", "y": -0.22, "yanchor": "top", "x": 0, "title": None},
        hovermode="x unified",
        uirevision="comparison",
    )  # fmt: skip
    figure.update_xaxes(title=tr("Epoch"), rangemode="tozero")
    figure.update_yaxes(automargin=True)
    if measure == "loss":
        figure.update_yaxes(rangemode="tozero")
    elif measure == "accuracy":
        figure.update_yaxes(tickformat=".0%")
    return figure


def interval_dots(rows: Sequence[tuple[str, float | None, Sequence[float] | None]], title: str) -> go.Figure:
    """A measure of several runs with its 95 % interval, one below the other, in the colours of their curves.

    Args:
        rows: (name, value, interval); what is not known is left blank.
        title: what is measured.
    """
    figure = drawing()
    for place, (name, value, interval) in enumerate(rows):
        colour = SERIES[place % len(SERIES)]
        if value is None:
            figure.add_scatter(x=[None], y=[place], name=_text(name))
            continue
        low, high = interval or (value, value)
        words = tr("{name}: {value:.3f} ({low:.3f} to {high:.3f})", name=_text(name), value=value, low=low, high=high)
        figure.add_scatter(
            x=[value],
            y=[place],
            name=_text(name),
            mode="markers",
            marker={"color": colour, "size": 11},
            error_x={"type": "data", "symmetric": False, "array": [high - value], "arrayminus": [value - low],
                     "thickness": 2.5, "width": 5},
            hovertemplate=f"{words}<extra></extra>",
        )  # fmt: skip
    figure.update_layout(
        font=FONT,
        title=title_of(title),
        height=110 + 32 * max(len(rows), 2), margin=MARGIN, showlegend=False,
    )  # fmt: skip
    figure.update_yaxes(
        tickvals=list(range(len(rows))), ticktext=[_short(name) for name, _, _ in rows],
        range=[len(rows) - 0.5, -0.5], automargin=True, showgrid=False, zeroline=False, fixedrange=True,
    )  # fmt: skip
    return figure


def parallel_settings(
    rows: Sequence[Mapping[str, Any]],
    settings: Mapping[str, str],
    shown: Callable[[str, Any], str] = lambda _, value: number(
        f"{value:g}" if isinstance(value, float) else str(value)
    ),
) -> go.Figure:
    """A line for each run through the values of its settings to its validation AUC, coloured by that AUC.

    Args:
        rows: {"name": …, "auc": …, "settings": {setting: value}}; those without an AUC are left out, and a value
            that is missing or None has a place of its own below the others.
        settings: {setting: label} of the axes, from left to right.
        shown: a setting's value in words, given both.
    """
    rows = [row for row in rows if row.get("auc") is not None]
    aucs = [float(row["auc"]) for row in rows]
    dimensions = [_names_axis([str(row["name"]) for row in rows], aucs)] if len(rows) <= MOST_NAMED else []
    for setting, label in settings.items():
        values = [row["settings"].get(setting) for row in rows]
        words = {value: _short(shown(setting, value), _TICK_LETTERS) for value in values if value is not None}
        dimensions.append(_setting_axis(label, values, words))
    dimensions.append(_axis(tr("Validation AUC"), aucs, _spread({auc: number(f"{auc:.3f}") for auc in aucs})))
    figure = drawing(
        go.Parcoords(
            dimensions=dimensions,
            line={"color": [auc for auc in aucs for _ in _STRANDS], "colorscale": _LOW_TO_HIGH},
            labelangle=-20,
            labelfont={"size": 13},
            tickfont={"size": 12, "weight": 600},  # lines pass behind them
            rangefont={"size": 1, "color": "rgba(0, 0, 0, 0)"},  # the ends are ticks already
            unselected={"line": {"opacity": 0.08}},
        )
    )
    for axis in range(len(dimensions)):  # Plotly draws the axes in black, which vanishes on black
        at = axis / max(len(dimensions) - 1, 1)
        figure.add_shape(
            type="line", xref="paper", yref="paper", x0=at, x1=at, y0=0, y1=1, line={"color": _GREY, "width": 1.5}
        )
    longest = max(map(len, dimensions[0]["ticktext"]), default=0)
    more_lines = max(item["label"].count("<br>") for item in dimensions)
    figure.update_layout(
        height=340 + 15 * more_lines,
        margin={"l": 20 + 6 * longest, "r": 45, "t": 55 + 15 * more_lines, "b": 25},
        paper_bgcolor="rgba(0, 0, 0, 0)",  # of the halo round the ticks' words, too
    )
    return figure


# ---------------------------------------------------------------- curves


def _add_curve(figure: go.Figure, name: str, epochs: Records, split: str, measure: str, colour: str) -> None:
    known = [
        (epoch["epoch"], value, bool(epoch.get("best")))
        for epoch in epochs
        if (value := (epoch.get(split) or {}).get(measure)) is not None
    ]
    is_training = split == "train"
    kept = max((at for at, _, best in known if best), default=None)
    figure.add_scatter(
        x=[at for at, _, _ in known],
        y=[value for _, value, _ in known],
        name=tr("{name}, training", name=_short(name)) if is_training else _short(name),
        mode="lines" if is_training and len(known) > 1 else "lines+markers",
        line={"color": colour, "width": 1.3, "dash": "dot"} if is_training else {"color": colour, "width": 2.5},
        marker={"size": 4 if is_training else [12 if at == kept else 5 for at, _, _ in known]},
        legendgroup=_text(name),
        showlegend=not is_training,
        hovertemplate="%{y:.1%}" if measure == "accuracy" else "%{y:.3f}",
    )


def _text(name: str) -> str:
    """A name as it is: Plotly takes tags for formatting."""
    return escape(name, quote=False)


def _short(name: str, letters: int = _LETTERS) -> str:
    return _text(name if len(name) <= letters else f"{name[: letters - 1]}…")


# ---------------------------------------------------------------- parallel axes


def _names_axis(names: Sequence[str], aucs: Sequence[float]) -> dict[str, Any]:
    """The runs in the order of their AUC, so that lines seldom cross."""
    order = sorted(range(len(names)), key=aucs.__getitem__)
    places = [float(order.index(number)) for number in range(len(names))]
    words = [_short(name, _TICK_LETTERS) for name in names]
    return _axis(tr("Run"), places, dict(zip(places, words, strict=True)))


def _setting_axis(label: str, values: Sequence[Any], words: Mapping[Any, str]) -> dict[str, Any]:
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        is_log = min(known) > 0 and max(known) / min(known) >= _LOGARITHMIC
        place_of = {value: math.log10(value) if is_log else float(value) for value in known}
    else:
        place_of = {value: float(place) for place, value in enumerate(sorted(set(known), key=str))}
    low, high = min(place_of.values(), default=0.0), max(place_of.values(), default=0.0)
    nowhere = low - ((high - low) * 0.25 or 1.0)
    ticks = _spread({place: words[value] for value, place in place_of.items()})
    if len(known) < len(values):
        ticks[nowhere] = tr("none")
    return _axis(label, [nowhere if value is None else place_of[value] for value in values], ticks)


def _axis(label: str, places: Sequence[float], ticks: Mapping[float, str]) -> dict[str, Any]:
    low, high = min(places, default=0.0), max(places, default=0.0)
    if high <= low:
        low, high = low - 0.5, high + 0.5
    strands = [strand * (high - low) for strand in _STRANDS]
    return {
        "label": "<br>".join(textwrap.wrap(_text(label), 14, break_long_words=False)),
        "values": [place + strand for place in places for strand in strands],
        "range": [low + strands[0], high + strands[-1]],
        "tickvals": list(ticks),
        "ticktext": list(ticks.values()),
    }


def _spread(ticks: Mapping[float, str]) -> dict[float, str]:
    """The ticks from the lowest to the highest, without those that would touch another."""
    places = sorted(ticks)
    if not places:
        return {}
    gap = (places[-1] - places[0]) * _NEAREST
    kept = places[:1]
    for place in places[1:-1]:
        if place - kept[-1] >= gap and places[-1] - place >= gap:
            kept.append(place)
    return {place: ticks[place] for place in dict.fromkeys([*kept, places[-1]])}
