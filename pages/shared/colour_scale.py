"""What stands below a heatmap: its scale, and what the colours mean."""

from __future__ import annotations

import streamlit as st

from xrai.core.language import N_, tr
from xrai.explain.overlay import draw_colour_bar

SCALE_CAPTION = N_(
    "No colour: no evidence. Full red: as strong as in the 5 % of scans with the strongest evidence. The heatmap "
    "shows where the model looked, not the outline of a lesion."
)


def show_colour_scale(opacity: float, lead: str = "") -> None:
    """The colours from none to the strongest evidence, and what they mean."""
    st.image(draw_colour_bar(240, 10, opacity))
    st.caption(f"{lead} {tr(SCALE_CAPTION)}".strip())
