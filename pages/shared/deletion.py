"""How a page asks before it deletes something."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from xrai.core.language import N_, tr

_QUESTIONS = {"model": N_("Delete this model?"), "dataset": N_("Delete this dataset?")}


def confirm_deletion(kind: str, text: str, delete: Callable[..., None], *arguments: object) -> None:
    """In a callback: a dialog that says what will be gone, with a button that deletes it and one that keeps it.

    Args:
        kind: of what is to be deleted, “model” or “dataset”.
        text: Markdown; what is deleted, and what stays.
        delete: the callback that deletes it.
        arguments: it is given.
    """

    @st.dialog(tr(_QUESTIONS[kind]))
    def show_dialog() -> None:
        st.markdown(text)
        yes, no = st.columns(2)
        is_confirmed = yes.button(tr("Delete it"), width="stretch", on_click=delete, args=arguments, key="delete_it")
        if is_confirmed or no.button(tr("Keep it"), type="primary", width="stretch", key="keep_it"):
            st.rerun()

    show_dialog()
