"""How pages show a training run: how it stands, its numbers and its curves, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.shared.formatting import escape_markdown
from xrai.core.language import N_, tr

Colour = Literal["blue", "green", "orange", "red"]
STATUS: dict[str, tuple[str, Colour, str]] = {
    "starting": (N_("Starting"), "blue", ":material/hourglass:"),
    "running": (N_("Training"), "blue", ":material/model_training:"),
    "done": (N_("Done"), "green", ":material/check_circle:"),
    "stopped": (N_("Stopped"), "orange", ":material/stop_circle:"),
    "failed": (N_("Failed"), "red", ":material/error:"),
    "interrupted": (N_("Interrupted"), "orange", ":material/power_off:"),
    "none": (N_("Done"), "green", ":material/check_circle:"),
}


def show_heading(name: str, status: str, word: str = "") -> DeltaGenerator:
    """A run's name and how it stands; what is drawn into the row that it gives stands beside that.

    Args:
        name: of the run.
        status: one of `STATUS`; none of them for no badge.
        word: said instead of the status' own, in the reader's language.
    """
    row = st.container(horizontal=True, vertical_alignment="center")
    row.subheader(escape_markdown(name), anchor=False, width="content")
    if status in STATUS:
        label, colour, icon = STATUS[status]
        row.badge(word or tr(label), color=colour, icon=icon)
    return row


def show_reading_aid(plan: Mapping[str, Any] | None = None) -> None:
    """How to read learning curves; of a run whose plan is given, also its size and its frozen epochs."""
    st.markdown(tr("**How to read the curves**"))
    aid = tr(
        "- **Loss** measures how wrong the answers are and how confident they were: lower is better. **Accuracy** is the "
        "proportion of correct answers. **AUC** measures how well the classes are separated: 0.5 is guessing, 1 is perfect.\n"
        "- **Training** is measured on the scans that the model learns from, **validation** on scans that it never learns "
        "from: only validation tells what to expect with a new patient.\n"
        "- **Both fall**: the model is learning. **Training falls while validation rises**: overfitting, the model "
        "memorises its own scans instead of what they have in common.\n"
        "- The **band** is the 95 % interval: with few validation scans it is wide, and small ups and downs mean nothing.\n"
        "- Training accuracy is measured on augmented scans, so it looks too low.\n"
        "- The weights of the **best** epoch are kept: the one with the highest validation AUC, unless you chose otherwise.\n"
        "- The camera above a chart saves it as PNG."
    )
    if plan and plan.get("freeze_epochs"):
        aid += "\n" + tr(
            "- In the **shaded** epochs only the last layer learns; after them the whole network does, in smaller steps."
        )
    st.markdown(aid)
    if plan is not None:
        st.caption(
            tr(
                "{train:,} training and {val:,} validation scans, {parameters:,} weights, {device}, {precision}.",
                **{name: plan[name] for name in ("train", "val", "parameters", "device", "precision")},
            )
        )
