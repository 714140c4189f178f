"""What a page shows, as a list of texts, and which of them are still English on a page in French."""

import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import pandas as pd
from google.protobuf.message import Message
from streamlit.testing.v1 import AppTest

from xrai.core.language.catalogue import load
from xrai.core.paths import PROJECT_DIR
from xrai.networks.config import settings_of
from xrai.training.config import TrainConfig

VISIBLE_FIELDS = {
    "body",
    "caption",
    "content",
    "delta",
    "help",
    "label",
    "options",
    "placeholder",
    "text",
    "title",
    "tooltip",
}
"""Fields of Streamlit's messages that people read."""

CHART_FIELDS = {"hovertemplate", "name", "text", "ticktext", "hovertext", "customdata", "x", "y", "labels"}
"""Fields of a Plotly chart that people read."""

ENGLISH_WORDS = re.compile(
    r"\b(the|of|and|is|are|was|were|be|been|has|have|had|it|its|this|that|these|those|there|with|without|from|for|to|by|at|"
    r"into|than|then|not|but|what|which|when|where|who|how|why|you|your|they|their|each|every|some|more|most|less|least|"
    r"only|also|about|after|before|again|does|do|can|will|would|show|shows|shown|scans?|dataset|training|learned|called|"
    r"wrong|right|sure|threshold|heatmap|yes|none|all|new|open|save|delete|choose|read)\b",
    re.IGNORECASE,
)
_CHOICES = {choice for item in settings_of(TrainConfig).values() for choice in item.choices} | {"scratch", "imagenet"}
_NOT_WORDS = re.compile(
    rf"\((?:{'|'.join(map(re.escape, sorted(_CHOICES)))})\)|"  # a term of the command line beside the French one
    r"Guangzhou Women and Children's Medical Center|CC BY|"
    r"<[^>]*>|:material/\w+:|https?://\S+|\$[^$]*\$|`[^`]*`|“[^”]*”|«[^»]*»|\b[\w-]+\.(png|jpe?g|dcm|hdf5|csv|py|zip)\b"
)


def open_in_french(state: dict[str, Any] | None = None) -> AppTest:
    """The app as somebody opens it who reads French, not run yet.

    A second run, such as after a click, goes within `use_language("fr")`: the options that the page showed
    are looked up once more outside of it.

    Args:
        state: more of the session's state.
    """
    app = AppTest.from_file(str(PROJECT_DIR / "streamlit_app.py"), default_timeout=600)
    for name, value in {"language": "fr", **(state or {})}.items():
        app.session_state[name] = value
    return app


def visible_texts(app: AppTest) -> list[str]:
    """Everything that people read on a page: text, labels, options, hints, tables, charts, captions of pictures.

    What a table cell or an option takes from a file's name is among it; what somebody typed is not.
    """
    return [text for part in (app.main, app.sidebar) for node in part for text in _node_texts(node) if text.strip()]


def find_untranslated(texts: Iterable[str], allowed: Iterable[str] = ()) -> list[str]:
    """Those of the texts that hold an English word that French has not, or are a message in English.

    Names in quotation marks, names of files, code and formulas do not count as words.

    Args:
        texts: as `shown_texts` gives them.
        allowed: names that may be English, such as a model's.
    """
    names = re.compile("|".join(map(re.escape, allowed)) or "$^")
    unescaped = [(text, names.sub(" ", _unescape(text)).strip()) for text in texts]
    return [
        text
        for text, words in unescaped
        if words in _english_messages() or ENGLISH_WORDS.search(_NOT_WORDS.sub(" ", words))
    ]


@cache
def _english_messages() -> set[str]:
    """In English, what reads otherwise in French."""
    return {str(message.id) for message in load("fr") if message.id and message.string not in (message.id, "", None)}


def _unescape(text: str) -> str:
    """Without the backslashes that keep Markdown away."""
    return re.sub(r"\\([^\w\s])", r"\1", text)


def _node_texts(node: Any) -> Iterator[str]:
    proto = getattr(node, "proto", None)
    if not isinstance(proto, Message):
        return
    if node.type in ("dataframe", "arrow_data_frame", "table", "arrow_table"):
        yield from _table_texts(node.value)
    if columns := getattr(proto, "columns", None):
        yield from _json_texts(columns, {"label", "help"})
    if spec := getattr(proto, "spec", None):
        yield from _json_texts(spec, CHART_FIELDS)
    yield from _proto_texts(proto)


def _proto_texts(proto: Message) -> Iterator[str]:
    for field, value in proto.ListFields():
        values = [value] if isinstance(value, str | bytes | Message) or not isinstance(value, Iterable) else list(value)
        for item in values:
            if isinstance(item, Message):
                yield from _proto_texts(item)
            elif isinstance(item, str) and field.name in VISIBLE_FIELDS:
                yield item


def _table_texts(value: Any) -> Iterator[str]:
    table = value if isinstance(value, pd.DataFrame) else value.data
    cells = [*table.columns, *table.index, *table.to_numpy().ravel()]
    yield from (cell for cell in cells if isinstance(cell, str))


def _json_texts(text: str, names: set[str]) -> Iterator[str]:
    """Texts that stand in JSON below one of some names, however deep."""
    if not isinstance(text, str) or not text.startswith(("{", "[")):
        return
    stack: list[tuple[Any, bool]] = [(json.loads(text), False)]
    while stack:
        value, is_shown = stack.pop()
        if isinstance(value, str) and is_shown:
            yield value
        elif isinstance(value, list):
            stack.extend((item, is_shown) for item in value)
        elif isinstance(value, dict):
            stack.extend((item, is_shown or name in names) for name, item in value.items())
