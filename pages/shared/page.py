"""What every page has: a title with one plain sentence, what happened said in sentences, choices that stay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import streamlit as st

from pages.shared.formatting import plain, whole
from xrai.core.errors import XraiError, in_a_sentence
from xrai.core.language import tr, translate

STATED = (XraiError, OSError, MemoryError)
"""What is said in a sentence; anything else is a bug."""

_DONE, _TROUBLE = "announced_done", "announced_trouble"


def head(title: str, lead: str) -> None:
    """The page's title, and what it is for."""
    st.title(title, anchor=False)
    st.markdown(lead)


# ---------------------------------------------------------------- what happened


@contextmanager
def stated_errors() -> Iterator[None]:
    """Show what went wrong as a sentence; what follows in the block is left out."""
    try:
        yield
    except STATED as error:
        st.error(plain(whole(translate(in_a_sentence(error)))), icon=":material/error:")


@contextmanager
def stated_later() -> Iterator[None]:
    """In a callback: keep what went wrong as a sentence for the page that is drawn next."""
    try:
        yield
    except STATED as error:
        st.session_state[_TROUBLE] = in_a_sentence(error)


def announce(done: str) -> None:
    """Keep what was done as a sentence for the page that is drawn next."""
    st.session_state[_DONE] = done


def announcements() -> None:
    """What came of the last click."""
    if trouble := st.session_state.pop(_TROUBLE, None):
        st.error(plain(whole(translate(trouble))), icon=":material/error:")
    if done := st.session_state.pop(_DONE, None):
        st.success(plain(whole(done)), icon=":material/check_circle:")


# ---------------------------------------------------------------- choices


def remembered(key: str, options: Sequence[str], first: str) -> str:
    """The key of a selectbox, whose choice may have been deleted meanwhile."""
    if st.session_state.get(key) not in options:
        st.session_state[key] = first
    return key


def one_page(found: np.ndarray, per_page: int, key: str) -> tuple[int, np.ndarray]:
    """The part of what was found that is on screen, and how many come before it; a control to turn pages."""
    n_pages, page = -(-len(found) // per_page), 1
    if n_pages > 1:
        page = int(st.number_input(tr("Page, of {n:,}", n=n_pages), 1, n_pages, 1, key=key, width=160))
    first = (page - 1) * per_page
    return first, found[first : first + per_page]
