"""Training curves of one run, with 95 % intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from xrai.core.language import N_, tr
from xrai.figures.style import MARGIN, TRAIN, VALIDATION, legend_below, new_titled_figure

MAX_STEP_POINTS = 1000
"""More points than pixels make the charts of long runs slow."""

Records = Sequence[Mapping[str, Any]]

_BAND = "rgba(23, 145, 163, 0.18)"


def loss_curves(records: Records) -> go.Figure:
    """Loss over epochs: training per step and epoch, validation per epoch."""
    steps, epochs = _records_of_kind(records, "step"), _records_of_kind(records, "epoch")
    figure = _make_curve_figure(tr("Loss"), records)
    _add_steps(figure, steps, "loss")
    _add_epochs(figure, epochs, "train", "loss")
    _add_epochs(figure, epochs, "val", "loss")
    figure.update_yaxes(rangemode="tozero")
    return figure


def accuracy_curves(records: Records) -> go.Figure:
    """Accuracy over epochs, with the 95 % interval of validation."""
    steps, epochs = _records_of_kind(records, "step"), _records_of_kind(records, "epoch")
    figure = _make_curve_figure(tr("Accuracy"), records)
    _add_band(figure, epochs, "accuracy")
    _add_steps(figure, steps, "accuracy")
    _add_epochs(figure, epochs, "train", "accuracy")
    _add_epochs(figure, epochs, "val", "accuracy")
    figure.update_yaxes(tickformat=".0%", range=[min(0.4, _lowest(records, "accuracy")), 1.01])
    return figure


def auc_curves(records: Records) -> go.Figure:
    """AUC over epochs, with the 95 % interval of validation."""
    epochs = _records_of_kind(records, "epoch")
    figure = _make_curve_figure(tr("AUC"), records)
    _add_band(figure, epochs, "auc")
    _add_epochs(figure, epochs, "train", "auc")
    _add_epochs(figure, epochs, "val", "auc")
    figure.update_yaxes(range=[min(0.45, _lowest(records, "auc")), 1.01])
    return figure


_STYLE = {"train": (N_("Training"), TRAIN), "val": (N_("Validation"), VALIDATION)}


def _make_curve_figure(title: str, records: Records) -> go.Figure:
    figure = new_titled_figure(
        title,
        340,
        margin=MARGIN | {"b": 80},  # room for the legend from the start
        legend=legend_below(-0.25),
        hovermode="x unified",
        uirevision="run",  # keeps the zoom when points are added
    )
    figure.update_xaxes(title=tr("Epoch"), rangemode="tozero")
    figure.update_yaxes(automargin=True)
    if freeze_epochs := _freeze_epochs(records):
        figure.add_vrect(
            x0=0,
            x1=freeze_epochs,
            fillcolor="#8a9ba8",
            opacity=0.18,
            line_width=0,
            layer="below",
            annotation={"text": tr("last layer alone"), "font": {"size": 11}, "xanchor": "left"},
            annotation_position="bottom left",
        )
    return figure


def _freeze_epochs(records: Records) -> int:
    """The number of frozen epochs, in which only the last layer is trained."""
    plans = [*_records_of_kind(records, "start"), *_records_of_kind(records, "resume")]
    epochs = plans[-1].get("freeze_epochs", 0) if plans else 0
    return epochs if isinstance(epochs, int) else 0


def _add_steps(figure: go.Figure, steps: Records, name: str) -> None:
    steps = steps[:: max(len(steps) // MAX_STEP_POINTS, 1)]
    figure.add_scatter(
        x=[step["progress"] for step in steps],
        y=[step[name] for step in steps],
        name=tr("Training, live"),
        mode="lines+markers" if len(steps) < 3 else "lines",
        line={"color": TRAIN, "width": 1},
        opacity=0.45,
        hovertemplate="%{y:.3f}",
    )


def _add_epochs(figure: go.Figure, epochs: Records, split: str, name: str) -> None:
    label, colour = _STYLE[split]
    points = [(epoch["epoch"], epoch[split][name]) for epoch in epochs if epoch[split][name] is not None]
    figure.add_scatter(
        x=[at for at, _ in points],
        y=[value for _, value in points],
        name=tr(label),
        mode="lines+markers",
        line={"color": colour, "width": 2.5},
        hovertemplate="%{y:.3f}",
    )


def _add_band(figure: go.Figure, epochs: Records, name: str) -> None:
    points = [
        (epoch["epoch"], epoch["val"][f"{name}_interval"]) for epoch in epochs if epoch["val"][f"{name}_interval"]
    ]
    figure.add_scatter(
        x=[at for at, _ in points] + [at for at, _ in reversed(points)],
        y=[pair[1] for _, pair in points] + [pair[0] for _, pair in reversed(points)],
        name=tr("95 % interval"),
        mode="lines",
        fill="toself",
        fillcolor=_BAND,
        line={"width": 0},
        hoverinfo="skip",
    )


def _records_of_kind(records: Records, kind: str) -> list[Mapping[str, Any]]:
    return [record for record in records if record.get("kind") == kind]


def _lowest(records: Records, name: str) -> float:
    """Slightly below the lowest value or interval limit of a measure."""
    epochs = _records_of_kind(records, "epoch")
    values = [epoch[split][name] for epoch in epochs for split in ("train", "val")]
    values += [bounds[0] for epoch in epochs if (bounds := epoch["val"][f"{name}_interval"])]
    return max(min([value for value in values if value is not None], default=1.0) - 0.03, 0.0)
