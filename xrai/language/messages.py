"""The messages that the source holds, and a catalogue brought up to date with them: `python -m xrai.language.messages`.

Marked messages are the literals in `tr`, `trn` and `marked`. In the engine every other text with a space between its
words may be a sentence for people: it is a message too, whose values go by the names in its f-string. Where it is none
(a key, what is written into a document), its translation is the text itself.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po

from xrai.language import ENGLISH, LANGUAGES
from xrai.language.catalogue import ENGINE, file_of, load

PROJECT = Path(__file__).resolve().parents[2]
SILENT = ("cli", "language", "__main__.py")
"""Of the engine what no page shows."""
MARKED = ("streamlit_app.py", "pages/", "xrai/figures/")
"""What is written where it is read: every text for people is marked there."""

_INTERNAL = {"ValueError", "TypeError", "KeyError", "LookupError", "RuntimeError"}
"""Errors that tell programmers of a mistake: no page says them."""
_UNSEEN = {"print", "add_argument", "as_document"}
"""What these write goes to terminals and into documents: no page says it either."""

_SAID = re.compile(r"[A-Za-z×…,.:;)”] +[\w{“(]|[}\w] +[A-Za-z]")
_TYPOGRAPHY = ((r" (?=[;!?%»])", "\u202f"), (r" (?=:(\s|$))", "\u00a0"), (r"(?<=«) ", "\u202f"))
"""French spaces that do not break."""


@dataclass(frozen=True)
class Message:
    """A text of the source that has a translation.

    Attributes:
        text: in English, values in braces.
        plural: the same for several, or empty.
        engine: found by its pattern, as nothing marks it.
    """

    text: str
    plural: str = ""
    engine: bool = False


def messages() -> dict[Message, list[str]]:
    """All messages, each with the files that hold it."""
    found: dict[Message, list[str]] = {}
    for file in sources():
        name = file.relative_to(PROJECT).as_posix()
        for message in _in_file(file):
            if name not in found.setdefault(message, []):
                found[message].append(name)
    return found


def sources() -> list[Path]:
    """The files that hold messages: the screens, the engine, and what writes the tables on shipped models' cards."""
    engine = [file for file in (PROJECT / "xrai").rglob("*.py") if file.relative_to(PROJECT).parts[1] not in SILENT]
    screens = [PROJECT / "streamlit_app.py", *sorted((PROJECT / "pages").rglob("*.py"))]
    return [*screens, *sorted(engine), PROJECT / "benchmarks" / "trust.py"]


def update(code: str) -> Catalog:
    """A language's catalogue with all messages of the source and no others; new ones are empty."""
    known, fresh = load(code), Catalog(code, project="XRAI", fuzzy=False)
    for message, files in sorted(messages().items(), key=lambda pair: (pair[1], pair[0].text)):
        identity = (message.text, message.plural) if message.plural else message.text
        before = known.get(identity)
        fresh.add(
            identity,
            _typeset(before.string) if before and before.id == identity and before.string else None,
            locations=[(file, None) for file in files],  # type: ignore[list-item] -- a line would change with each edit
            flags={"python-brace-format", ENGINE} if message.engine else {"python-brace-format"},
        )
    fresh.revision_date = fresh.creation_date = known.creation_date
    return fresh


def _typeset(string: str | tuple[str, ...] | list[str]) -> str | tuple[str, ...]:
    if not isinstance(string, str):
        return tuple(_typeset(one) for one in string)  # type: ignore[misc]
    for pattern, space in _TYPOGRAPHY:
        string = re.sub(pattern, space, string)
    return string


def _in_file(file: Path) -> Iterator[Message]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    silent: set[int] = set()
    for node in ast.walk(tree):
        yield from _marked(node, silent)
    if not file.relative_to(PROJECT).as_posix().startswith(MARKED):
        yield from _said(tree, silent)


def _marked(node: ast.AST, silent: set[int]) -> Iterator[Message]:
    """The literals of a call of `tr`, `trn` or `marked`; they are not found a second time."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("tr", "trn", "marked")):
        return
    plain = [item for item in node.args[:2] if isinstance(item, ast.Constant) and isinstance(item.value, str)]
    silent.update(map(id, plain))
    if texts := [str(item.value) for item in plain]:
        yield Message(texts[0], texts[1] if node.func.id == "trn" else "")


def _said(tree: ast.AST, silent: set[int]) -> Iterator[Message]:
    """What the engine may say: texts with a space between words that nobody else marked and that people read."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            silent.add(id(node.value))
        if _called(node) in _INTERNAL | _UNSEEN:
            silent.update(map(id, ast.walk(node)))
        if isinstance(node, ast.Compare):  # what is looked for in a text is said by nobody
            silent.update(map(id, (node.left, *node.comparators)))
        if isinstance(node, ast.FormattedValue) and node.format_spec:
            silent.update(map(id, ast.walk(node.format_spec)))
        if isinstance(node, ast.JoinedStr | ast.Constant) and id(node) not in silent:
            silent.update(map(id, getattr(node, "values", ())))
            if _SAID.search(text := _pattern(node)) and "\\" not in text:  # which only formulas and patterns hold
                yield Message(text, engine=True)


def _called(node: ast.AST) -> str:
    """The name of what is called or defined; "" for anything else."""
    if isinstance(node, ast.FunctionDef):
        return node.name
    return _name(node.func) if isinstance(node, ast.Call) else ""


def _pattern(node: ast.JoinedStr | ast.Constant) -> str:
    """A text as a message: `f"{films(n)} of {name}"` is `{films} of {name}`."""
    if isinstance(node, ast.Constant):
        return _escaped(node.value) if isinstance(node.value, str) else ""
    names: dict[str, int] = {}
    parts = []
    for part in node.values:
        if isinstance(part, ast.Constant):
            parts.append(_escaped(str(part.value)))
        else:
            name = _name(part.value if isinstance(part, ast.FormattedValue) else part)
            names[name] = names.get(name, 0) + 1
            parts.append("{" + name + (str(names[name]) if names[name] > 1 else "") + "}")
    return "".join(parts)


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _name(value: ast.AST) -> str:
    """What a value is called in the message."""
    if isinstance(value, ast.Name):
        return value.id
    if isinstance(value, ast.Attribute):
        return value.attr
    if isinstance(value, ast.Call):
        return _name(value.func)
    if isinstance(value, ast.Subscript | ast.BoolOp):
        return _name(value.value if isinstance(value, ast.Subscript) else value.values[0])
    return "x"


def main() -> int:
    """Bring every catalogue up to date, and say what is missing."""
    missing = 0
    for code in LANGUAGES.keys() - {ENGLISH}:
        catalog = update(code)
        with file_of(code).open("wb") as file:
            write_po(file, catalog, width=120, include_lineno=False)
        empty = [message for message in catalog if message.id and not all(_strings(message.string))]
        missing += len(empty)
        print(f"{file_of(code).name}: {len(catalog)} messages, {len(empty)} without a translation")
    return min(missing, 1)


def _strings(string: str | tuple[str, ...] | list[str] | None) -> tuple[str, ...]:
    return (string or "",) if isinstance(string, str | None) else tuple(string)


if __name__ == "__main__":
    sys.exit(main())
