"""Messages in JSON: `{"template": ..., "values": {...}}`, with `"plural"` where there is one.

Records come from files that users supply: they are checked, and bounded in size and depth.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from xrai.core.language.message import Message

_Text = TypeVar("_Text", bound=str)

_KEYS = {"template", "values"}
_MAX_DEPTH, _MAX_VALUES, _MAX_TEXT = 6, 200, 20_000
_MAX_INTEGER = 2**63


def message_from_record(value: Any) -> Message | str:
    """A message from its record; a plain str stays one.

    Raises:
        ValueError: it is neither, or larger than any message of ours.
    """
    return _read(value, 0)


def dump_json(values: Any, *, indent: int | None = None) -> str:
    """JSON in which messages are records; all else as `json.dumps` writes it."""
    return json.dumps(_with_records(values), indent=indent, ensure_ascii=False)


def load_json(text: str | bytes) -> Any:
    """What `dump_json` wrote, with its messages.

    Raises:
        ValueError: it is not JSON, or holds a record that is no message.
        RecursionError: it is nested too deeply.
    """
    values = json.loads(text)
    quoted = b'"template"' if isinstance(text, bytes) else '"template"'
    return with_messages(values) if quoted in text else values  # type: ignore[operator] -- of the same kind


def with_messages(value: Any) -> Any:
    """JSON values in which every record of a message is replaced by the message.

    Raises:
        ValueError: a record is no message.
    """
    if isinstance(value, dict):
        if _is_record(value):
            return message_from_record(value)
        return {name: with_messages(item) for name, item in value.items()}
    return [with_messages(item) for item in value] if isinstance(value, list) else value


def _with_records(value: Any) -> Any:
    if isinstance(value, Message):
        return value.to_record()
    if isinstance(value, Mapping):
        return {(str(name) if isinstance(name, Message) else name): _with_records(item) for name, item in value.items()}
    return [_with_records(item) for item in value] if isinstance(value, list | tuple) else value


def _is_record(value: dict[str, Any]) -> bool:
    return value.keys() >= _KEYS


def _read(value: Any, depth: int) -> Message | str:
    if isinstance(value, str):
        return _bounded(value)
    if not isinstance(value, dict) or not _is_record(value) or value.keys() - _KEYS - {"plural"}:
        raise ValueError("A message is a text, or a template with its values.")
    template, plural, values = value["template"], value.get("plural", ""), value["values"]
    if not (isinstance(template, str) and isinstance(plural, str) and isinstance(values, dict)):
        raise ValueError("A message is a template, a text, with values by their names.")
    if depth >= _MAX_DEPTH or len(values) > _MAX_VALUES:
        raise ValueError("The message is nested too deeply or has too many values.")
    if plural and type(values.get("n")) is not int:
        raise ValueError("The message depends on a number n, which is missing.")
    _bounded(template + plural)
    return _bounded(Message(template, {name: _read_value(item, depth + 1) for name, item in values.items()}, plural))


def _read_value(value: Any, depth: int) -> Any:
    if isinstance(value, list):
        if depth >= _MAX_DEPTH or len(value) > _MAX_VALUES:
            raise ValueError("The message is nested too deeply or has too many values.")
        return [_read_value(item, depth + 1) for item in value]
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        if abs(value) > _MAX_INTEGER:
            raise ValueError("The message holds a number that is too large.")
        return value
    return _read(value, depth)


def _bounded(text: _Text) -> _Text:
    if len(text) > _MAX_TEXT:
        raise ValueError("The message is too long.")
    return text
