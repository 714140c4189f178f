"""A message as a field of a pydantic model: `notes: list[MessageField]`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from xrai.core.language.message import Message
from xrai.core.language.storage import message_from_record


def _validated(value: Any) -> str:
    return value if isinstance(value, str) else message_from_record(value)


def _serialised(value: str) -> Any:
    return value.to_record() if isinstance(value, Message) else value


_SCHEMA = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "properties": {"template": {"type": "string"}, "plural": {"type": "string"}, "values": {"type": "object"}},
            "required": ["template", "values"],
            "additionalProperties": False,
        },
    ]
}

MessageField = Annotated[
    str, PlainValidator(_validated), PlainSerializer(_serialised, when_used="json"), WithJsonSchema(_SCHEMA)
]
"""A str, a `Message`, or the record of one; in JSON a message is its record and a plain str stays plain."""
