"""Manual: how a convolutional network reads a chest X-ray, under the reader's fingers."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from pages.learn.manual.chapters import convolution, exercises, layers, own_model, own_run, pooling
from pages.shared.memory import settle_memory_once
from pages.shared.page import head
from xrai.core.language import N_, tr

CHAPTERS: dict[str, tuple[str, Callable[[], None]]] = {
    "convolution": (N_("1. Convolution"), convolution.show),
    "pooling": (N_("2. Pooling"), pooling.show),
    "layers": (N_("3. Layers on layers"), layers.show),
    "model": (N_("4. Inside your model"), own_model.show),
    "run": (N_("5. Your own run"), own_run.show),
    "exercises": (N_("6. Try yourself"), exercises.show),
}
CHOSEN = "manual_chapter"


def main() -> None:
    """The page: one chapter at a time, and the way to the next."""
    head(
        tr("Manual"), tr("How a network reads a chest X-ray: change something in every chapter, and see what it does.")
    )
    names = list(CHAPTERS)
    if (wanted := st.query_params.get("chapter")) in names and CHOSEN not in st.session_state:
        st.session_state[CHOSEN] = wanted
    chosen = st.segmented_control(
        tr("Chapter"),
        names,
        default=names[0] if CHOSEN not in st.session_state else None,
        format_func=lambda name: tr(CHAPTERS[name][0]),
        required=True,
        key=CHOSEN,
        label_visibility="collapsed",
        persist_state="session",
    )
    chosen = chosen or names[0]
    st.query_params["chapter"] = chosen
    CHAPTERS[chosen][1]()
    if (number := names.index(chosen) + 1) < len(names):
        st.button(
            tr("Next: {chapter}", chapter=tr(CHAPTERS[names[number]][0])),
            icon=":material/arrow_forward:",
            key="manual_next",
            on_click=st.session_state.__setitem__,
            args=(CHOSEN, names[number]),
        )
    settle_memory_once()


main()
