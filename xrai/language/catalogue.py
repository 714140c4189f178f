"""A language's catalogue: gettext's messages, and the patterns that tell which message a sentence was made from."""

from __future__ import annotations

import gettext
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from string import Formatter

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from xrai.language import filled, number

FOLDER = Path(__file__).parent
ENGINE = "engine"
"""The flag of a message that the engine says, which is found by its pattern."""

NAMES = {"name", "stem", "file", "folder", "origin", "handle", "partition"}
"""Values that people or their files gave a name: they stay as they are, even where they look like words of ours."""
TYPED = {"population", "licence", "whom"}
"""Values that a person may have typed, a sentence or more: told only where all of it is one message."""

_NUMBER = re.compile(r"[-+−]?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?(e[-+]?\d+)?( ?%)?")
_ENDS = re.compile(r"(\n+|(?<=[.!?]) (?=[A-Z“]))")
"""Between two sentences."""
_FEW, _ENOUGH = 6, 18
"""Letters of its own from which a pattern may fit at all where a value is not known, and from which it always does."""


def file_of(code: str) -> Path:
    """Where a language's messages lie."""
    return FOLDER / f"{code}.po"


def load(code: str) -> Catalog:
    """A language's messages as they lie in its file."""
    with file_of(code).open("rb") as file:
        return read_po(file, locale=code, abort_invalid=True)


class Catalogue:
    """The messages of one language; safe to share between threads.

    Args:
        code: of the language; its `.po` file lies beside this module.
    """

    def __init__(self, code: str) -> None:
        catalog, compiled = load(code), io.BytesIO()
        write_mo(compiled, catalog)
        compiled.seek(0)
        messages = gettext.GNUTranslations(compiled)
        self.gettext, self.ngettext = messages.gettext, messages.ngettext
        self._whole = {str(one.id): str(one.string) for one in catalog if isinstance(one.id, str) and one.string}
        self._whole[""] = ""  # where gettext keeps the head of its file
        self._patterns = sorted(_patterns(catalog), key=lambda pattern: -pattern.letters)
        self._known = lru_cache(20_000)(self._found)

    def told(self, text: str) -> str:
        """One or more sentences of the engine in this language; what is not known stays as it is."""
        if (found := self._known(text)) is not None:
            return found
        pieces = _ENDS.split(text)
        return "".join(map(self.told, pieces)) if len(pieces) > 1 else text

    def told_whole(self, text: str) -> str:
        """A text in this language where all of it is one message; nothing within it is looked for."""
        return self._whole.get(text, text)

    def _found(self, text: str) -> str | None:
        """The translation; None where something of it is not known.

        Sentences in a row are one message where their values are parts of sentences, else each is one by itself.
        """
        if (whole := self._whole.get(text)) is not None:
            return whole
        if text.endswith("%") and _NUMBER.fullmatch(text):
            return number(text)
        fits = [(pattern, values) for pattern in self._patterns if (values := pattern.values(text)) is not None]
        within = [(pattern, values) for pattern, values in fits if not any(map(_ENDS.search, values.values()))]
        return self._made(within) or self._joined(_ENDS.split(text)) or self._made(fits)

    def _joined(self, pieces: list[str]) -> str | None:
        """Pieces, and what stands between them at every second place."""
        if len(pieces) < 2:
            return None
        known = [piece if i % 2 else self._known(piece) for i, piece in enumerate(pieces)]
        return "".join(filter(None, known)) if None not in known else None

    def _made(self, fits: list[tuple[_Pattern, dict[str, str]]]) -> str | None:
        """The translation of the first message that a text was surely made from, with its values told."""
        for pattern, values in fits:
            known = {name: self._value(name, value) for name, value in values.items()}
            if _is_sure(pattern, {name: values[name] for name in values if known[name] is None}):
                return filled(pattern.translation, {name: known[name] or values[name] for name in values})
        return None

    def _value(self, name: str, value: str) -> str | None:
        """What stands in a sentence: a name, a number, or something that the engine said; None where it is neither."""
        kind = _kind(name)
        if kind in NAMES | TYPED:
            return None if kind in NAMES else self._whole.get(value)
        if _NUMBER.fullmatch(value):
            return number(value)
        return self._known(value) or self._joined(re.split("(, )", value))


@dataclass(frozen=True)
class _Pattern:
    """What fits every sentence that was made from a message.

    Attributes:
        regex: with a group a value.
        start: the message's own text before its first value; may be empty.
        end: the same behind its last value.
        longest: of its own pieces of text; a sentence without it needs no closer look.
        letters: in all of them.
        names: values that may be anything, however long: names, what was typed, and what stands in quotation marks.
        translation: with values in braces.
    """

    regex: re.Pattern[str]
    start: str
    end: str
    longest: str
    letters: int
    names: frozenset[str]
    translation: str

    @classmethod
    def of(cls, message: str, translation: str) -> _Pattern:
        """The pattern of a message in English."""
        pieces = [(literal, name) for literal, name, _, _ in Formatter().parse(message)]
        parts = [re.escape(literal) + (f"(?P<{name}>.*?)" if name is not None else "") for literal, name in pieces]
        own = [literal for literal, _ in pieces] + ([""] if pieces[-1][1] is not None else [])
        free = {name for text, name in pieces if name and (text.endswith("“") or _kind(name) in NAMES | TYPED)}
        regex, letters = re.compile("".join(parts), re.DOTALL), _letters("".join(own))
        return cls(regex, own[0], own[-1], max(own, key=len), letters, frozenset(free), translation)

    def values(self, text: str) -> dict[str, str] | None:
        """What a sentence has in the places of the values; None where it was not made from this message."""
        if not (self.longest in text and text.startswith(self.start) and text.endswith(self.end)):
            return None
        found = self.regex.fullmatch(text)
        return found.groupdict() if found else None


def _is_sure(pattern: _Pattern, unknown: dict[str, str]) -> bool:
    """Whether a text was made from a message and only looks like it by no chance.

    What is called `n` is a number. With few letters of its own the message must be most of the text, but for names.
    """
    if "n" in map(_kind, unknown):
        return False
    foreign = "".join(value for name, value in unknown.items() if name not in pattern.names)
    return not unknown or pattern.letters >= _ENOUGH or pattern.letters >= max(_FEW, _letters(foreign))


def _kind(name: str) -> str:
    """What a value is called, also where it is the second of its name."""
    return name.rstrip("0123456789")


def _letters(text: str) -> int:
    return sum(map(str.isalpha, text))


def _patterns(catalog: Catalog) -> Iterator[_Pattern]:
    """The patterns of the engine's messages with values."""
    for message in catalog:
        if ENGINE in message.flags and message.string and fields(str(message.id)):
            yield _Pattern.of(str(message.id), str(message.string))


def fields(message: str) -> set[str]:
    """The names of a message's values."""
    return {name for _, name, _, _ in Formatter().parse(message) if name is not None}
