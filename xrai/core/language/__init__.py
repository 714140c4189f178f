"""Translation of the user interface and of the messages of the engine (gettext catalogues, Babel).

- Pages and figures call `tr` and `trn`: gettext, rendered at once in the reader's language.
- The engine calls `say` and `say_plural`: they return a `Message`, a str in English that carries its template and
  values. A page shows it with `translate`.

The catalogues are gettext `.po` files, one for each language. English needs none.
"""

from __future__ import annotations

from xrai.core.language.locales import ENGLISH, LANGUAGES, language, number, set_language_provider, use_language
from xrai.core.language.message import N_, Message, Value, join_messages, say, say_plural
from xrai.core.language.storage import dump_json, load_json, message_from_record
from xrai.core.language.translation import tr, translate, trn

__all__ = [
    "ENGLISH",
    "LANGUAGES",
    "N_",
    "Message",
    "Value",
    "dump_json",
    "join_messages",
    "language",
    "load_json",
    "message_from_record",
    "number",
    "say",
    "say_plural",
    "set_language_provider",
    "tr",
    "translate",
    "trn",
    "use_language",
]
