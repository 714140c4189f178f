"""The reader's language, and how it writes numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

ENGLISH = "en"
LANGUAGES = {ENGLISH: "English", "fr": "Français"}
"""The supported languages, each by its own name."""

NARROW_SPACE = "\u202f"
"""No-break; French sets it before a percent sign."""

_in_use: ContextVar[str | None] = ContextVar("language_in_use", default=None)
_provider: list[Callable[[], str]] = [lambda: ENGLISH]


def language() -> str:
    """The code of the language in use, one of `LANGUAGES`."""
    return _in_use.get() or _provider[0]()


def set_language_provider(provider: Callable[[], str]) -> None:
    """Set the function that returns the language, such as one that knows the session of the current page."""
    _provider[0] = provider


@contextmanager
def use_language(code: str) -> Iterator[None]:
    """Use one language within the block, whatever the provider returns."""
    token = _in_use.set(code)
    try:
        yield
    finally:
        _in_use.reset(token)


def number(text: str) -> str:
    """Convert a number that Python formatted to the reader's language: `1,234.5` becomes `1 234,5` in French.

    The number was rounded by Python, so every language shows the same digits. The separators are those of the locale
    data of Babel (CLDR). A space before a percent sign becomes a narrow no-break space.
    """
    code = language()
    return text if code == ENGLISH else text.translate(_separators(code)).replace(" %", NARROW_SPACE + "%")


@cache
def _separators(code: str) -> dict[int, str]:
    """Translation table from the separators of English to those of a language."""
    from babel.numbers import get_decimal_symbol, get_group_symbol

    return str.maketrans({",": get_group_symbol(code), ".": get_decimal_symbol(code)})
