"""The reader's language: what XRAI says is written in English and told in theirs.

Two ways, for two kinds of sentences:

- What is written where it is read (pages, charts) is marked there: `tr("{n:,} scans", n=n)`, as gettext does it.
- What the engine says is written down in English, in findings, cards and logs, by processes that no one watches; who
  reads it may come years later. `told` finds the sentence, or the pattern that it was made from, in the catalogue.

The catalogue is gettext's, one `.po` file a language, read as it is. English needs none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from numbers import Integral, Real
from string import Formatter
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xrai.language.catalogue import Catalogue

ENGLISH = "en"
LANGUAGES = {ENGLISH: "English", "fr": "Français"}
"""The languages there are, each by its own name."""

_spoken: ContextVar[str | None] = ContextVar("spoken", default=None)
_asked: list[Callable[[], str]] = [lambda: ENGLISH]


def language() -> str:
    """The code of the language that is spoken now, one of `LANGUAGES`."""
    return _spoken.get() or _asked[0]()


def ask(whose: Callable[[], str]) -> None:
    """Speak from now on the language that a function gives, such as one that knows who is looking at the screen."""
    _asked[0] = whose


@contextmanager
def speaking(code: str) -> Iterator[None]:
    """Within the block, speak one language whoever reads."""
    token = _spoken.set(code)
    try:
        yield
    finally:
        _spoken.reset(token)


def tr(message: str, /, **values: Any) -> str:
    """A message in the reader's language, with its values in their places.

    Args:
        message: in English, as it stands in the catalogue: a literal, never an f-string.
        values: by the names in braces; numbers with a format are written as the language writes them.
    """
    return filled(_gettext(message), values)


def trn(one: str, many: str, n: int, /, **values: Any) -> str:
    """A message that depends on a number, which stands in it as `{n}`: `trn("{n:,} scan", "{n:,} scans", n)`."""
    found = _catalogue()
    message = found.ngettext(one, many, n) if found else one if n == 1 else many
    return filled(message, {"n": n, **values})


def marked(message: str) -> str:
    """A message that is named here and told later, `tr(NAME)`: it is found in the source, and stays as it is."""
    return message


def told(sentence: str) -> str:
    """What the engine said in English, in the reader's language; as it is where nobody translated it."""
    found = _catalogue()
    return found.told(sentence) if found else sentence


def told_whole(text: str) -> str:
    """What a person may have typed, such as whom a dataset shows: told only where all of it is one message."""
    found = _catalogue()
    return found.told_whole(text) if found else text


def filled(message: str, values: Mapping[str, Any]) -> str:
    """A message with values in the places of their names; numbers as the language writes them, texts as they are."""
    return _Writer().vformat(message, (), values) if values else message


def number(text: str) -> str:
    """A number as Python writes it, as the reader's language writes it: `1,234.5` is `1 234,5` in French.

    A sign of per cent may follow behind a space, which does not break in French. Every language but English counts as
    French here.
    """
    return text if language() == ENGLISH else text.translate(_SEPARATORS).replace(" %", "\u202f%")


_SEPARATORS = str.maketrans({",": "\u202f", ".": ","})  # French: a narrow space that does not break, and a comma


class _Writer(Formatter):
    """`str.format`, whose numbers are written as the language writes them."""

    def format_field(self, value: Any, format_spec: str) -> str:
        text = super().format_field(value, format_spec)
        return number(text) if isinstance(value, Real) and (format_spec or not isinstance(value, Integral)) else text


def _gettext(message: str) -> str:
    found = _catalogue() if message else None  # of nothing gettext says the head of its file
    return found.gettext(message) if found else message


def _catalogue() -> Catalogue | None:
    code = language()
    if code == ENGLISH:
        return None
    with _LOADING:
        return _catalogue_of(code)


@cache
def _catalogue_of(code: str) -> Catalogue:
    from xrai.language.catalogue import Catalogue

    return Catalogue(code)


_LOADING = Lock()
"""The first page in a language reads its file, once; others wait for it."""
