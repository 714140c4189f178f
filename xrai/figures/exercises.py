"""Charts of the manual's exercises: patients by probability, and a run with a marker on an epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from xrai.core.language import number, tr
from xrai.figures.style import LEGEND, MARGIN, TRAIN, VALIDATION, new_titled_figure


def patients_figure(
    sick: Sequence[float], healthy: Sequence[float], threshold: float, *, text_colour: str
) -> go.Figure:
    """Patients as dots by their probability, filled at or above the threshold.

    Args:
        sick: probabilities of patients with pneumonia.
        healthy: probabilities of patients without pneumonia.
        threshold: positive at or above it.
        text_colour: the theme's colour of text.
    """
    unit = number(" %")
    figure = new_titled_figure("", 190, margin=MARGIN | {"t": 10, "b": 45})
    for name, values, colour in ((tr("Without pneumonia"), healthy, VALIDATION), (tr("With pneumonia"), sick, TRAIN)):
        is_called_sick = np.asarray(values) >= threshold
        figure.add_scatter(
            x=[100 * value for value in values],
            y=[name] * len(values),
            mode="markers",
            showlegend=False,
            marker={
                "size": 15,
                "color": colour,
                "line": {"color": colour, "width": 2},
                "symbol": ["circle" if is_sick else "circle-open" for is_sick in is_called_sick],
            },
            hovertemplate=f"%{{x:.0f}}{unit}<extra></extra>",
        )
    figure.add_vline(x=100 * threshold, line={"color": text_colour, "width": 2, "dash": "dash"})
    figure.update_xaxes(title=tr("Probability of pneumonia"), range=[-2, 102], ticksuffix=unit)
    figure.update_yaxes(automargin=True)
    return figure


def epoch_marker_figure(
    train: Sequence[float], validation: Sequence[float], epoch: int, *, text_colour: str
) -> go.Figure:
    """Losses over epochs, with a line at one epoch."""
    figure = new_titled_figure("", 300, margin=MARGIN | {"b": 45}, legend=LEGEND, hovermode="x unified")
    for name, values, colour in ((tr("Training"), train, TRAIN), (tr("Validation"), validation, VALIDATION)):
        figure.add_scatter(
            x=list(range(1, len(values) + 1)),
            y=list(values),
            name=name,
            mode="lines+markers",
            line={"color": colour, "width": 2.5},
            hovertemplate="%{y:.3f}",
        )
    figure.add_vline(x=epoch, line={"color": text_colour, "width": 2, "dash": "dash"})
    figure.update_xaxes(title=tr("Epoch"))
    figure.update_yaxes(title=tr("Loss"), rangemode="tozero", automargin=True)
    return figure
