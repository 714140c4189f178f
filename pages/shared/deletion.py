"""How a page asks before it deletes something."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st


def ask_before_deleting(kind: str, words: str, delete: Callable[..., None], *what: object) -> None:
    """In a callback: a dialog that says what will be gone, with a button that deletes it and one that keeps it.

    Args:
        kind: of what is to be deleted, such as “model”.
        words: Markdown; what is deleted, and what stays.
        delete: the callback that deletes it.
        what: it is given.
    """

    @st.dialog(f"Delete this {kind}?")
    def ask() -> None:
        st.markdown(words)
        yes, no = st.columns(2)
        deleted = yes.button("Delete it", width="stretch", on_click=delete, args=what)
        if deleted or no.button("Keep it", type="primary", width="stretch"):
            st.rerun()

    ask()
