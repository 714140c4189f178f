"""What every page has: a title with one plain sentence, what happened said in sentences, choices that stay."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import streamlit as st

from pages.shared.formatting import escape_markdown, replace_surrogates
from xrai.core.errors import XraiError, describe_error
from xrai.core.language import tr, translate

DISPLAYED_ERRORS = (XraiError, OSError, MemoryError)
"""What is said in a sentence; anything else is a bug."""

_DONE, _TROUBLE = "announced_done", "announced_trouble"


def show_head(title: str, lead: str) -> None:
    """The page's title, and what it is for."""
    st.title(title, anchor=False)
    st.markdown(lead)


# ---------------------------------------------------------------- what happened


@contextmanager
def display_errors() -> Iterator[None]:
    """Show what went wrong as a sentence; what follows in the block is left out."""
    try:
        yield
    except DISPLAYED_ERRORS as error:
        st.error(escape_markdown(replace_surrogates(translate(describe_error(error)))), icon=":material/error:")


@contextmanager
def defer_errors() -> Iterator[None]:
    """In a callback: keep what went wrong as a sentence for the page that is drawn next."""
    try:
        yield
    except DISPLAYED_ERRORS as error:
        st.session_state[_TROUBLE] = describe_error(error)


def announce(done: str) -> None:
    """Keep what was done as a sentence for the page that is drawn next."""
    st.session_state[_DONE] = done


def show_announcements() -> None:
    """What came of the last click."""
    if trouble := st.session_state.pop(_TROUBLE, None):
        st.error(escape_markdown(replace_surrogates(translate(trouble))), icon=":material/error:")
    if done := st.session_state.pop(_DONE, None):
        st.success(escape_markdown(replace_surrogates(done)), icon=":material/check_circle:")


# ---------------------------------------------------------------- choices


def valid_choice_key(key: str, options: Sequence[str], default: str) -> str:
    """The key of a selectbox, whose choice may have been deleted meanwhile."""
    if st.session_state.get(key) not in options:
        st.session_state[key] = default
    return key


def show_switch(
    label: str, options: Sequence[str], key: str, *, default: str | None = None, format_func: Callable[[str], str] = tr
) -> str:
    """A segmented control, of which one option is always chosen; gives that.

    Args:
        label: in the reader's language; for screen readers only.
        options: to choose from.
        key: of the control; the choice stays under it for the session.
        default: chosen at first; None for the first option.
        format_func: from an option to its text.
    """
    first_choice = options[0] if default is None else default
    st.session_state.setdefault(key, first_choice)
    choice = st.segmented_control(
        label,
        options,
        format_func=format_func,
        key=key,
        required=True,
        label_visibility="collapsed",
        persist_state="session",
    )
    return choice or first_choice


def paginate(items: np.ndarray, per_page: int, key: str) -> tuple[int, np.ndarray]:
    """The part of what was found that is on screen, and how many come before it; a control to turn pages."""
    n_pages, page = -(-len(items) // per_page), 1
    if n_pages > 1:
        page = int(st.number_input(tr("Page (of {n:,})", n=n_pages), 1, n_pages, 1, key=key, width=160))
    offset = (page - 1) * per_page
    return offset, items[offset : offset + per_page]
