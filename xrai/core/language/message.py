"""Messages of the engine: an English sentence that carries its template and values.

    >>> text = say("The {split} split has {scans}.", split=N_("test"), scans=say_plural("{n:,} scan", "{n:,} scans", 5))
    >>> str(text)
    'The test split has 5 scans.'
    >>> translate(text)  # in French
    'La série de test contient 5 clichés.'

A `Message` is a str, so it can be written, compared and joined like one. Concatenation and `str.join` return a plain
str and lose the template: use `join_messages`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from string import Formatter
from types import MappingProxyType
from typing import Any, TypeAlias

Value: TypeAlias = "str | int | float | bool | tuple[Value, ...] | None"
"""A value of a message; a str may be a `Message`, which is translated in turn."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_FORMAT_SPEC = re.compile(r"[<>^]?[-+ ]?0?\d{0,2},?(\.\d{1,2})?[a-zA-Z%]?")
"""Format specifications without a fill character, and with a width and a precision below 100."""


class Message(str):
    """An English sentence with the template and the values that it was made from.

    Attributes:
        template: English text with named fields, `{name}` or `{name:format}`; for one, where there is a plural.
        values: by field name.
        plural: the template for any other number, which is the value `n`; "" where there is none.
    """

    template: str
    values: Mapping[str, Value]
    plural: str

    __slots__ = ("plural", "template", "values")

    def __new__(cls, template: str, values: Mapping[str, Any] | None = None, plural: str = "") -> Message:
        """Format the English sentence.

        Raises:
            ValueError: a field is no plain name, has no value, or its format does not fit the value.
        """
        known = {name: _plain(value) for name, value in (values or {}).items()}
        message = super().__new__(cls, format_template(_for_number(template, plural, known), known))
        message.template = template
        message.values = MappingProxyType(known)
        message.plural = plural
        return message

    def __reduce__(self) -> tuple[type[Message], tuple[str, dict[str, Value], str]]:
        return Message, (self.template, dict(self.values), self.plural)

    def to_record(self) -> dict[str, Any]:
        """The message as JSON-able values; see `message_from_record`."""
        record: dict[str, Any] = {"template": self.template}
        if self.plural:
            record["plural"] = self.plural
        return record | {"values": {name: _stored(value) for name, value in self.values.items()}}


def say(template: str, /, **values: Any) -> Message:
    """A message of the engine.

    Args:
        template: English text, a literal, as it stands in the catalogue.
        values: by the names of the fields. Numbers, words, other messages, or lists of these (joined by commas);
            anything else is converted to str. A plain str is not translated.
    """
    return Message(template, values)


def say_plural(one: str, many: str, n: int, /, **values: Any) -> Message:
    """A message that depends on a number, the field `n`: `say_plural("{n:,} scan", "{n:,} scans", n)`."""
    return Message(one, {"n": n, **values}, many)


def join_messages(parts: Iterable[str], separator: str = " ") -> Message:
    """Several sentences as one message, each translated by itself."""
    values = {f"part{i}": part for i, part in enumerate(parts)}
    return Message(_escaped(separator).join(f"{{{name}}}" for name in values), values)


def N_(text: str) -> str:  # noqa: N802 -- gettext's usual name
    """Mark a literal for translation (`gettext_noop`); `tr(NAME)` or `translate(NAME)` shows it later."""
    return Message(text)


def format_template(
    template: str, values: Mapping[str, Any], *, show: Callable[[str], str] = str, localise: Callable[[str], str] = str
) -> str:
    """Fill a template; without values it stays as it is, braces included.

    Only plain names and short formats are allowed, since templates may come from files of users: no attributes, no
    indices, no large widths.

    Args:
        template: with named fields.
        values: by name.
        show: converts texts, such as messages to the reader's language.
        localise: converts numbers that Python has formatted.

    Raises:
        ValueError: a field is no plain name, has no value, or its format does not fit the value.
    """
    if not values:
        return template
    try:
        return _SafeFormatter(show, localise).vformat(template, (), values)
    except (LookupError, TypeError, OverflowError) as error:
        raise ValueError(f"The message {template!r} cannot be formatted: {error}") from error


class _SafeFormatter(Formatter):
    """`str.format` without access to attributes and items, and with localised numbers."""

    def __init__(self, show: Callable[[str], str], localise: Callable[[str], str]) -> None:
        self._show = show
        self._localise = localise

    def get_field(self, field_name: str, args: Any, kwargs: Mapping[str, Any]) -> tuple[Any, str]:
        if not _IDENTIFIER.fullmatch(field_name):
            raise ValueError(f"{field_name!r} is not the name of a value")
        return kwargs[field_name], field_name

    def convert_field(self, value: Any, conversion: str | None) -> Any:
        if conversion not in (None, "s"):
            raise ValueError(f"the conversion {conversion!r} is not allowed")
        return value

    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, tuple | list):
            value = ", ".join(self.format_field(item, "") for item in value)
        if isinstance(value, str):
            value = self._show(value)
        if isinstance(value, Real) and not _FORMAT_SPEC.fullmatch(format_spec):
            raise ValueError(f"the format {format_spec!r} is not allowed")
        if isinstance(value, str) and not re.fullmatch(r"[<>^]?\d{0,2}s?", format_spec):
            raise ValueError(f"the format {format_spec!r} is not allowed for a text")
        text = super().format_field(value, format_spec)
        is_localised = isinstance(value, Real) and (format_spec or not isinstance(value, Integral))
        return self._localise(text) if is_localised else text


def template_fields(template: str) -> set[str]:
    """The names of the fields of a template."""
    return {name for _, name, _, _ in Formatter().parse(template) if name is not None}


def _for_number(template: str, plural: str, values: Mapping[str, Any]) -> str:
    return plural if plural and values.get("n") != 1 else template


def _plain(value: Any) -> Value:
    """A value as one of the kinds that a message can hold."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, list | tuple | set | frozenset):
        return tuple(_plain(item) for item in value)
    stated = getattr(value, "message", None)  # an error with a message of its own
    return stated if isinstance(stated, str) else str(value)


def _stored(value: Value) -> Any:
    if isinstance(value, Message):
        return value.to_record()
    return [_stored(item) for item in value] if isinstance(value, tuple) else value


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
