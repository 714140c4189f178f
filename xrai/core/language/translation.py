"""Rendering in the reader's language: `tr` and `trn` for pages, `translate` for the messages of the engine."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

from xrai.core.language.locales import ENGLISH, language, number
from xrai.core.language.message import Message, format_template

if TYPE_CHECKING:
    from xrai.core.language.catalogue import Catalogue

_LOADING = Lock()
"""The first page in a language reads its catalogue, once; other threads wait for it."""


def tr(message: str, /, **values: Any) -> str:
    """A message in the reader's language, with its values.

    Args:
        message: in English, as it stands in the catalogue: a literal, never an f-string.
        values: by the names in braces; numbers with a format are written as in the reader's language.
    """
    return _filled(_gettext(message), values)


def trn(one: str, many: str, n: int, /, **values: Any) -> str:
    """A message that depends on a number, which stands in it as `{n}`: `trn("{n:,} scan", "{n:,} scans", n)`."""
    return _filled(_ngettext(one, many, n), {"n": n, **values})


def translate(text: str) -> str:
    """A message of the engine in the reader's language.

    A plain str is looked up as a whole message, and returned as it is where the catalogue has none: so it may be what
    a person typed.
    """
    if language() == ENGLISH:
        return str(text)
    if not isinstance(text, Message):
        return _gettext(text)
    values = text.values
    n = values.get("n")
    template = (
        _ngettext(text.template, text.plural, n) if text.plural and isinstance(n, int) else _gettext(text.template)
    )
    try:
        return _filled(template, values)
    except ValueError:  # the values, which may come from a file, do not fit the translation
        return str(text)


def _filled(template: str, values: Mapping[str, Any]) -> str:
    return format_template(template, values, show=_shown, localise=number)


def _shown(value: str) -> str:
    """A value within a sentence: only messages are translated, since a plain str may be a name."""
    return translate(value) if isinstance(value, Message) else value


def _gettext(message: str) -> str:
    found = _catalogue() if message else None  # for "" gettext returns the header of the file
    return found.gettext(str(message)) if found else str(message)


def _ngettext(one: str, many: str, n: int) -> str:
    found = _catalogue()
    return found.ngettext(one, many, n) if found else one if n == 1 else many


def _catalogue() -> Catalogue | None:
    code = language()
    if code == ENGLISH:
        return None
    with _LOADING:
        return _catalogue_of(code)


@cache
def _catalogue_of(code: str) -> Catalogue:
    from xrai.core.language.catalogue import Catalogue

    return Catalogue(code)
