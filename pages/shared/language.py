"""The reader's language: as they chose it, else as this browser remembers it, else as the browser is set."""

from __future__ import annotations

from functools import cache
from typing import Any

import streamlit as st
from streamlit.components.v2 import component
from streamlit.runtime.scriptrunner import get_script_run_ctx

from xrai.core.language import ENGLISH, LANGUAGES, N_, number, set_language_provider, tr, use_language

CHOICE_KEY, CHOSEN_KEY = "language", "language_chosen"
COOKIE = "xrai_language"

UPLOADER_WORDS = (N_("Upload"), N_("per file"), N_("KB"), N_("MB"), N_("GB"))
"""Streamlit's own words in an uploader, for which it has no parameter."""

_BROWSER_SCRIPT = r"""
export default function ({ data }) {
  document.documentElement.lang = data.language
  if (data.chosen)
    document.cookie = `${data.cookie}=${data.language}; path=/; max-age=31536000; SameSite=Lax`

  const { words, decimal, gap } = data // words: whichever language they stand there in, each with how it is to read
  const told = (text) => {
    const size = text.match(/^([\d.,]+)\s?([KMG][Bo])(?: (.+))?$/)
    if (!size || !(size[2] in words) || (size[3] && !(size[3] in words))) return words[text] ?? text
    return size[1].replace(/[.,]/, decimal) + gap + words[size[2]] + (size[3] ? " " + words[size[3]] : "")
  }
  const tell = () => {
    for (const uploader of document.querySelectorAll("[data-testid=stFileUploader]")) {
      const texts = document.createTreeWalker(uploader, NodeFilter.SHOW_TEXT)
      while (texts.nextNode()) {
        const text = texts.currentNode
        if (told(text.data) !== text.data) text.data = told(text.data)
      }
    }
  }
  window.xraiWatcher?.disconnect() // the one before tells the language before
  tell()
  window.xraiWatcher = new MutationObserver(tell)
  window.xraiWatcher.observe(document.body, { childList: true, subtree: true, characterData: true })
}
"""


def reader_language() -> str:
    """The language of whoever looks at this page; English outside a page."""
    if get_script_run_ctx(suppress_warning=True) is None:
        return ENGLISH
    choice = st.session_state.get(CHOICE_KEY)
    return choice if choice in LANGUAGES else _initial_language()


def show_language_switch() -> None:
    """The control in the sidebar; what is chosen stays in this browser for a year."""
    with st.sidebar:
        st.segmented_control(
            "Language / Langue",
            list(LANGUAGES),
            default=_initial_language(),
            format_func=LANGUAGES.__getitem__,
            required=True,
            key=CHOICE_KEY,
            on_change=_reset_widgets,
            label_visibility="collapsed",
            width="stretch",
            persist_state="session",
        )
        _send_to_browser(reader_language())


def _initial_language() -> str:
    candidates = [st.context.cookies.get(COOKIE), (st.context.locale or "").lower().partition("-")[0]]
    return next((code for code in candidates if code in LANGUAGES), ENGLISH)


def _reset_widgets() -> None:
    """Hand every choice to its widget anew: a browser knows it by the words that stood there, not by what they mean."""
    st.session_state[CHOSEN_KEY] = True
    for key, value in st.session_state.items():
        if _is_choice_value(value):
            st.session_state[key] = value


def _is_choice_value(value: Any) -> bool:
    """Whether a browser knows it by words: it is no button, upload or the like, which cannot be set.

    Nor is it a toggle, a date or nothing at all: what stands there is the same in every language.
    """
    if isinstance(value, list | tuple):
        return bool(value) and all(map(_is_choice_value, value))  # an uploader without files is an empty list
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _send_to_browser(code: str) -> None:
    """Tell the browser; the page's own language is what a screen reader speaks it in."""
    mount = component("xrai_language", js=_BROWSER_SCRIPT)
    is_chosen = CHOSEN_KEY in st.session_state
    words = _browser_words(code) if is_chosen or code != ENGLISH else {}  # nothing stands there in another language yet
    data = {"language": code, "cookie": COOKIE, "chosen": is_chosen, "words": words}
    data |= {"decimal": number("."), "gap": "" if code == ENGLISH else "\u00a0"}
    mount(data=data, key="language_told", height=0)


@cache
def _browser_words(code: str) -> dict[str, str]:
    """Streamlit's own words as they may stand there, in any language, each with how it is to read."""
    translations = {}
    for word in UPLOADER_WORDS:
        with use_language(code):
            translation = tr(word)
        for other in LANGUAGES:
            with use_language(other):
                translations[tr(word)] = translation
    return translations


set_language_provider(reader_language)
