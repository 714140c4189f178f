"""What every page has: a title with one plain sentence, and stated errors shown as sentences, not as tracebacks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from xrai.errors import XraiError, in_a_sentence

ACRONYMS = {"COVID", "COVID-19", "TB", "COPD", "ARDS", "SARS", "MERS", "RSV", "ILD"}


def head(title: str, lead: str) -> None:
    """The page's title, and what it is for."""
    st.title(title, anchor=False)
    st.markdown(lead)


@contextmanager
def stated_errors() -> Iterator[None]:
    """Show what went wrong as a sentence; what follows in the block is left out."""
    try:
        yield
    except (XraiError, OSError, MemoryError) as error:
        st.error(plain(in_a_sentence(error)), icon=":material/error:")


def plain(text: str) -> str:
    """Text from a file's name or a card, as it is: no Markdown in it, and so no pictures fetched from elsewhere."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~$:^-])", r"\\\1", text)


def nice(name: str) -> str:
    """A class or folder name as people write it: `PNEUMONIA` becomes Pneumonia, `COVID` stays."""
    words = [
        word.lower() if word.isupper() and word not in ACRONYMS else word for word in name.replace("_", " ").split()
    ]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def percent(share: float) -> str:
    """A probability without false certainty: never 0 or 100 %."""
    if share > 0.999:
        return "over 99.9 %"
    return "under 0.1 %" if share < 0.001 else f"{share:.1%}".replace("%", " %")


def span(value: float | None, interval: list[float] | tuple[float, float] | None, *, as_percent: bool = True) -> str:
    """A measure with its 95 % interval, such as `93.1 % (90 % to 95 %)`."""
    if value is None:
        return "not defined"
    digits, range_digits = (".1%", ".0%") if as_percent else (".3f", ".3f")
    bounds = f" ({interval[0]:{range_digits}} to {interval[1]:{range_digits}})" if interval else ""
    return f"{value:{digits}}{bounds}".replace("%", " %")


def duration(seconds: float) -> str:
    """A time span in words: `40 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
