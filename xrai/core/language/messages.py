"""Bring the catalogues up to date with the source: `python -m xrai.core.language.messages`.

Babel extracts the literals in calls of `tr`, `trn`, `say`, `say_plural`, `N_` and XRAI's errors. Its own extractor for
Python reads tokens and misses calls within f-strings and within other calls, so it is given one that reads the syntax
tree.
"""

from __future__ import annotations

import ast
import builtins
import itertools
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.pofile import write_po

import xrai
from xrai.core.language.catalogue import file_of, load
from xrai.core.language.locales import ENGLISH, LANGUAGES

Identity: TypeAlias = str | tuple[str, ...]
"""The English text of a message; for a plural, that for one and that for many."""

PROJECT = Path(xrai.__file__).resolve().parents[1]
KEYWORDS: dict[str, Any] = {"tr": (1,), "trn": (1, 2), "say": (1,), "say_plural": (1, 2), "N_": (1,)}
"""Functions and the positions of the messages among their arguments."""
PARTS = (
    "streamlit_app.py",
    "pages",
    "xrai",
    "benchmarks/trust.py",
    "benchmarks/trust_refusals.py",
    "benchmarks/trust_table.py",
)
WITHOUT = ("xrai/cli", "xrai/core/language", "xrai/__main__.py")
"""Not translated: what the command line prints."""

_TYPOGRAPHY = ((r" (?=[;!?%»])", "\u202f"), (r" (?=:(\s|$))", "\u00a0"), (r"(?<=«) ", "\u202f"))
"""No-break spaces of French."""
_FIELD = re.compile(r"\{[^{}]*\}")


def sources() -> list[Path]:
    """The source files that hold messages."""
    paths = [PROJECT / part for part in PARTS]
    files = [file for path in paths for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]
    return [file for file in files if not _name(file).startswith(WITHOUT)]


def messages() -> dict[Identity, list[str]]:
    """All messages of the source, each with the files that hold it."""
    found: dict[Identity, list[str]] = {}
    for file in sources():
        for identity in _extracted(file):
            files = found.setdefault(identity, [])
            if _name(file) not in files:
                files.append(_name(file))
    return found


def update(code: str) -> Catalog:
    """A language's catalogue with exactly the messages of the source; new ones have no translation."""
    known = load(code)
    fresh = Catalog(code, project="XRAI", fuzzy=False)
    for identity, files in sorted(messages().items(), key=_order):
        fresh.add(
            identity,
            _translation(known, identity),
            locations=[(file, None) for file in files],  # type: ignore[list-item] -- lines would change with each edit
            flags={"python-brace-format"} if _FIELD.search(_text(identity)) else (),
        )
    fresh.revision_date = fresh.creation_date = known.creation_date
    return fresh


def main() -> int:
    """Update every catalogue, and print how many translations are missing."""
    missing = 0
    for code in LANGUAGES.keys() - {ENGLISH}:
        catalog = update(code)
        with file_of(code).open("wb") as file:
            write_po(file, catalog, width=120, include_lineno=False)
        empty = [message for message in catalog if message.id and not all(_strings(message.string))]
        missing += len(empty)
        print(f"{file_of(code).name}: {len(catalog)} messages, {len(empty)} without a translation")
    return min(missing, 1)


def _order(item: tuple[Identity, list[str]]) -> tuple[list[str], str]:
    identity, files = item
    return files, _text(identity)


def extract_python(
    file: Any, keywords: Mapping[str, Any], comment_tags: Collection[str], options: Mapping[str, Any]
) -> Iterator[tuple[int, str, Any, list[str]]]:
    """An extraction method of Babel: line, function, literal arguments and comments of each call of a keyword."""
    for node in ast.walk(ast.parse(file.read())):
        if isinstance(node, ast.ClassDef):
            yield from ((line, "N_", text, []) for line, text in _setting_texts(node))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            function = "say" if _is_error(node.func.id) else node.func.id
            texts = [_literal(argument) for argument in node.args]
            if function in keywords and any(texts[:1]):
                yield node.lineno, function, tuple(texts) if len(texts) > 1 else texts[0], []


def _is_error(name: str) -> bool:
    """Whether it is the name of one of XRAI's errors, which take a message as `say` does."""
    return name.endswith("Error") and not hasattr(builtins, name)


def _setting_texts(node: ast.ClassDef) -> Iterator[tuple[int, str]]:
    """Line, and label or help text, of the fields `name: type = setting("Label", …)` with a docstring below."""
    for field, below in itertools.pairwise(node.body):
        call, text = getattr(field, "value", None), getattr(below, "value", None)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "setting" and text:
            yield field.lineno, str(_literal(call.args[0]))
            yield below.lineno, " ".join(str(_literal(text)).split())


def _literal(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _extracted(file: Path) -> Iterator[Identity]:
    for _, found, _, _ in extract_from_file(extract_python, file, keywords=KEYWORDS):  # type: ignore[arg-type]
        identity = found if isinstance(found, str) else (str(found[0]), str(found[1]))
        if _needs_translation(_text(identity)):
            yield identity


def _needs_translation(text: str) -> bool:
    """Whether a message is more than a single value: French sets another space or a colon between two."""
    return not _FIELD.fullmatch(text)


def _text(identity: Identity) -> str:
    return identity if isinstance(identity, str) else " ".join(identity)


def _translation(known: Catalog, identity: Identity) -> Identity | None:
    before = known.get(identity)
    if before and before.id == identity and all(_strings(before.string)):
        return _typeset(before.string)  # type: ignore[arg-type]
    return _typeset(identity) if not re.search(r"[^\W\d_]", _FIELD.sub("", _text(identity))) else None


def _typeset(text: Identity | list[str]) -> Identity:
    if not isinstance(text, str):
        return tuple(str(_typeset(one)) for one in text)
    for pattern, space in _TYPOGRAPHY:
        text = re.sub(pattern, space, text)
    return text


def _strings(text: str | tuple[str, ...] | list[str] | None) -> tuple[str, ...]:
    return (text or "",) if isinstance(text, str | None) else tuple(text)


def _name(file: Path) -> str:
    return file.relative_to(PROJECT).as_posix()


if __name__ == "__main__":
    sys.exit(main())
