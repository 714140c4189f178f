"""How charts stand on a page: the buttons above them, the name of a saved picture, and the theme's ink."""

from __future__ import annotations

from typing import Any

import streamlit as st

_BUTTONS, _STATIC_BUTTONS = ["toImage", "zoom2d", "pan2d", "resetScale2d"], ["toImage"]


def chart_config(name: str, *, is_static: bool = False) -> dict[str, Any]:
    """Plotly's settings for a chart whose picture is saved under a name; a still one cannot be zoomed."""
    return {
        "displaylogo": False,
        "displayModeBar": True,
        "modeBarButtons": [_STATIC_BUTTONS if is_static else _BUTTONS],
        "toImageButtonOptions": {"format": "png", "scale": 2, "filename": name},
    }


def text_colour() -> str:
    """The theme's colour of text, which Plotly's own notes do not take on."""
    return "#e6edf1" if st.context.theme.type == "dark" else "#1d2a33"
