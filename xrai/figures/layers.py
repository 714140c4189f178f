"""Figures of layers: signed values as colours, activation functions, training of a dense layer, sums of maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from PIL import Image

from xrai.core.language import number, tr
from xrai.figures.style import GREY, TRAIN, VALIDATION, new_titled_figure
from xrai.manual.dense_layer import predict_probabilities

BELOW, ZERO, ABOVE = (90, 190, 245), (20, 22, 26), (255, 176, 66)
"""Blue, nearly black, orange: distinguishable with any colour vision."""

FRAME = (23, 145, 163)
"""Colour of the frame around the selected image."""


# ---------------------------------------------------------------- pictures


def signed_image(values: np.ndarray, limit: float, side: int = 0) -> np.ndarray:
    """Values as colours, uint8 (H, W, 3): orange above 0, blue below, brighter with size.

    Args:
        values: float (H, W).
        limit: absolute value in full colour, above 0.
        side: width of the image in pixels; 0 for one pixel per value.
    """
    share = np.clip(values / limit, -1, 1).astype(np.float32)[..., None]
    below, zero, above = np.array([BELOW, ZERO, ABOVE], np.float32)
    image = zero + np.abs(share) * (np.where(share < 0, below, above) - zero)
    image = image.round().astype(np.uint8)
    return _enlarged(image, side) if side else image


def signed_scale(width: int = 240, height: int = 10) -> np.ndarray:
    """The colours from full blue over 0 to full orange, uint8 (height, width, 3)."""
    return signed_image(np.tile(np.linspace(-1, 1, width), (height, 1)), 1)


def tile_images(images: Sequence[np.ndarray], columns: int, selected: int, gap: int = 6) -> np.ndarray:
    """Images uint8 (S, S, 3) tiled in rows, uint8 (H, W, 4), with a frame around the selected one."""
    side = len(images[0])
    step, rows = side + gap, -(-len(images) // columns)
    canvas = np.zeros((rows * step + gap, columns * step + gap, 4), np.uint8)
    for index, image in enumerate(images):
        top, left = gap + index // columns * step, gap + index % columns * step
        if index == selected:
            canvas[top - gap : top + step, left - gap : left + step] = (*FRAME, 255)
        canvas[top : top + side, left : left + side] = np.dstack([image, np.full((side, side), 255, np.uint8)])
    return canvas


def _enlarged(image: np.ndarray, side: int) -> np.ndarray:
    height, width = image.shape[:2]
    size = (side, max(round(side * height / width), 1))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.NEAREST))


# ---------------------------------------------------------------- one value, several values


def activation_curve(x: np.ndarray, y: np.ndarray, at: tuple[float, float], name: str) -> go.Figure:
    """An activation function with one marked value."""
    figure = _make_layer_figure(name, 300)
    figure.add_scatter(
        x=x, y=y, mode="lines", line={"color": VALIDATION, "width": 3}, hovertemplate="%{x:.2f} → %{y:.2f}"
    )
    figure.add_scatter(
        x=[at[0], at[0], 0], y=[0, at[1], at[1]], mode="lines", line={"color": TRAIN, "dash": "dot"}, hoverinfo="skip"
    )
    figure.add_scatter(x=[at[0]], y=[at[1]], mode="markers", marker={"color": TRAIN, "size": 12}, hoverinfo="skip")
    figure.update_xaxes(title=tr("value in"), zeroline=True)
    figure.update_yaxes(title=tr("value out"), zeroline=True)
    return figure


def shares_figure(names: Sequence[str], shares: Sequence[float]) -> go.Figure:
    """Probabilities as bars."""
    figure = _make_layer_figure("", 60 + 44 * len(names))
    figure.add_bar(
        x=[100 * share for share in shares],
        y=list(names),
        orientation="h",
        marker_color=VALIDATION,
        cliponaxis=False,
        text=[number(f"{100 * share:.1f} %") for share in shares],
        textposition="auto",
        hoverinfo="skip",
    )
    figure.update_xaxes(range=[0, 100], ticksuffix=number(" %"), fixedrange=True)
    figure.update_yaxes(autorange="reversed", fixedrange=True)
    figure.update_layout(margin={"t": 10})
    return figure


def values_figure(values: np.ndarray, max_values: int = 32) -> go.Figure:
    """The largest of a row of numbers as bars, by their index."""
    order = np.argsort(-np.abs(values), kind="stable")[:max_values]
    colours = ["rgb({}, {}, {})".format(*(ABOVE if value >= 0 else BELOW)) for value in values[order]]
    figure = _make_layer_figure("", 240)
    figure.add_bar(
        x=[str(number + 1) for number in order],
        y=values[order],
        marker_color=colours,
        hovertemplate=tr("number {n}", n="%{x}") + ": %{y:.3f}<extra></extra>",
    )
    figure.update_xaxes(type="category", title=tr("place in the row"), tickangle=0)
    figure.update_layout(margin={"t": 10})
    return figure


def filter_figure(kernel: np.ndarray) -> go.Figure:
    """The numbers of a filter (k, k) on their colours."""
    limit = max(float(np.abs(kernel).max()), 1e-12)
    colours = [[at, "rgb({}, {}, {})".format(*colour)] for at, colour in ((0, BELOW), (0.5, ZERO), (1, ABOVE))]
    figure = _make_layer_figure("", 260)
    figure.add_heatmap(
        z=kernel,
        zmin=-limit,
        zmax=limit,
        colorscale=colours,
        showscale=False,
        xgap=1,
        ygap=1,
        text=[[_format_value(float(value)) for value in row] for row in kernel],
        texttemplate="%{text}",
        textfont={"size": 14 if len(kernel) < 5 else 9},
        hoverinfo="skip",
    )
    figure.update_xaxes(visible=False, fixedrange=True)
    figure.update_yaxes(visible=False, fixedrange=True, autorange="reversed", scaleanchor="x", constrain="domain")
    figure.update_layout(margin={"t": 0, "b": 0})
    return figure


def _format_value(value: float) -> str:
    """Format with two decimals in the user's language."""
    return number(f"{round(value, 2) + 0.0:.2f}").replace("-", "−")


# ---------------------------------------------------------------- training


def training_plane(inputs: np.ndarray, labels: np.ndarray, weights: np.ndarray, names: tuple[str, str]) -> go.Figure:
    """Examples of two classes, and the probability of the second class over the plane.

    Args:
        inputs: float (N, 2).
        labels: 0 or 1, (N,).
        weights: float (3,), the bias last.
        names: of the classes.
    """
    limit = 1.15 * float(np.abs(inputs).max())
    figure = _make_layer_figure(tr("What the layer answers"), 340)
    _add_decision_map(figure, limit, weights)
    for label, (name, colour, symbol) in enumerate(zip(names, (VALIDATION, TRAIN), ("circle", "diamond"), strict=True)):
        class_inputs = inputs[labels == label]
        figure.add_scatter(
            x=class_inputs[:, 0],
            y=class_inputs[:, 1],
            mode="markers",
            name=name,
            showlegend=True,
            hoverinfo="skip",
            marker={"color": colour, "symbol": symbol, "size": 11, "line": {"color": "white", "width": 1.5}},
        )
    figure.update_xaxes(title="x<sub>1</sub>", range=[-limit, limit], fixedrange=True)
    figure.update_yaxes(title="x<sub>2</sub>", range=[-limit, limit], fixedrange=True)
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": -0.32, "x": 0}, margin={"b": 100})
    return figure


def _add_decision_map(figure: go.Figure, limit: float, weights: np.ndarray) -> None:
    """Add the probability as a colour map, and the decision boundary at one half."""
    axis_values = np.linspace(-limit, limit, 60)
    grid_probabilities = predict_probabilities(
        np.stack(np.meshgrid(axis_values, axis_values), axis=-1), weights
    )  # (60, 60)
    figure.add_contour(
        x=axis_values,
        y=axis_values,
        z=grid_probabilities,
        zmin=0,
        zmax=1,
        showscale=False,
        opacity=0.45,
        hoverinfo="skip",
        colorscale=[[0, VALIDATION], [0.5, "rgb(236, 236, 236)"], [1, TRAIN]],
        contours={"start": 0.1, "end": 0.9, "size": 0.1},
        line={"width": 0},
    )
    figure.add_contour(
        x=axis_values,
        y=axis_values,
        z=grid_probabilities,
        showscale=False,
        showlegend=False,
        hoverinfo="skip",
        contours={"type": "constraint", "operation": "=", "value": 0.5},
        line={"width": 3, "color": GREY},
    )


def loss_by_step(losses: Sequence[float], at: int) -> go.Figure:
    """The loss before training and after each step; later steps are faint."""
    figure = _make_layer_figure(tr("Loss after each step"), 340)
    steps = list(range(len(losses)))
    figure.add_scatter(
        x=steps, y=list(losses), mode="lines", line={"color": TRAIN, "width": 1, "dash": "dot"}, opacity=0.6
    )
    figure.add_scatter(x=steps[: at + 1], y=list(losses[: at + 1]), mode="lines", line={"color": TRAIN, "width": 3})
    figure.add_scatter(x=[at], y=[losses[at]], mode="markers", marker={"color": TRAIN, "size": 11})
    figure.update_traces(hovertemplate="%{x}: %{y:.3f}<extra></extra>")
    figure.update_xaxes(title=tr("steps"), range=[-0.5, len(losses) - 0.5])
    figure.update_yaxes(range=[0, 1.1 * max(losses)])
    figure.update_layout(margin={"b": 100})
    return figure


# ---------------------------------------------------------------- a sum of maps


def running_sum(sums: Sequence[float], at: int, network_logit: float | None) -> go.Figure:
    """The mean of the sum of the first k maps plus the bias, for each k; the network's logit as a line.

    Args:
        sums: for k = 0 (the bias alone), 1, …
        at: the selected k.
        network_logit: the value of the full sum; None where it is not exact.
    """
    figure = _make_layer_figure("", 260)
    figure.add_scatter(
        x=list(range(len(sums))),
        y=list(sums),
        mode="lines",
        line={"color": VALIDATION, "width": 2},
        hovertemplate="%{x}: %{y:.3f}<extra></extra>",
    )
    figure.add_scatter(x=[at], y=[sums[at]], mode="markers", marker={"color": TRAIN, "size": 12}, hoverinfo="skip")
    if network_logit is not None:
        figure.add_hline(
            y=network_logit,
            line={"color": GREY, "dash": "dash"},
            annotation={"text": tr("the network's answer"), "font": {"color": GREY}},
            annotation_position="bottom right",
            annotation_yshift=-6,
        )
    figure.update_xaxes(title=tr("maps added"))
    figure.update_yaxes(title=tr("mean + bias") if network_logit is not None else tr("mean"))
    figure.update_layout(margin={"t": 20})
    return figure


def _make_layer_figure(title: str, height: int) -> go.Figure:
    figure = new_titled_figure(title, height, showlegend=False, dragmode=False)
    figure.update_yaxes(automargin=True)
    return figure
