"""Manual: how a convolutional network reads a chest X-ray, under the reader's fingers."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from pages.learn.manual.chapters import convolution, exercises, layers, own_model, own_run, pooling
from pages.shared.garbage_collection import freeze_garbage_once
from pages.shared.page import show_head, show_switch
from xrai.core.language import N_, tr

CHAPTERS: dict[str, tuple[str, Callable[[], None]]] = {
    "convolution": (N_("1. Convolution"), convolution.show),
    "pooling": (N_("2. Pooling"), pooling.show),
    "layers": (N_("3. Layers on layers"), layers.show),
    "model": (N_("4. Inside your model"), own_model.show),
    "run": (N_("5. Your own run"), own_run.show),
    "exercises": (N_("6. Try yourself"), exercises.show),
}
CHAPTER_KEY = "manual_chapter"


def main() -> None:
    """The page: one chapter at a time, and the way to the next."""
    show_head(
        tr("Manual"), tr("How a network reads a chest X-ray: change something in every chapter, and see what it does.")
    )
    names = list(CHAPTERS)
    if (requested_chapter := st.query_params.get("chapter")) in names and CHAPTER_KEY not in st.session_state:
        st.session_state[CHAPTER_KEY] = requested_chapter
    chapter = show_switch(tr("Chapter"), names, CHAPTER_KEY, format_func=lambda name: tr(CHAPTERS[name][0]))
    st.query_params["chapter"] = chapter
    CHAPTERS[chapter][1]()
    if (number := names.index(chapter) + 1) < len(names):
        st.button(
            tr("Next: {chapter}", chapter=tr(CHAPTERS[names[number]][0])),
            icon=":material/arrow_forward:",
            key="manual_next",
            on_click=st.session_state.__setitem__,
            args=(CHAPTER_KEY, names[number]),
        )
    freeze_garbage_once()


main()
