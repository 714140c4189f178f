"""What stands below a heatmap: its scale, and what the colours mean."""

from __future__ import annotations

import streamlit as st

from xrai.core.language import N_, tr
from xrai.explain.overlay import draw_colour_bar

SCALE_CAPTION = N_(
    "No colour: no evidence found there. Full red: as strong as the hottest place of the clearest 5 in 100 scans. "
    "It shows where the model looked, not the outline of a disease."
)


def show_colour_scale(opacity: float, lead: str = "") -> None:
    """The colours from none to the strongest evidence, and what they mean."""
    st.image(draw_colour_bar(240, 10, opacity))
    st.caption(f"{lead} {tr(SCALE_CAPTION)}".strip())
