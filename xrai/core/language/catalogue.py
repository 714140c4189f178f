"""The catalogue of a language: a gettext `.po` file, read as it is and compiled in memory."""

from __future__ import annotations

import gettext
import io
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

FOLDER = Path(__file__).parent


def file_of(code: str) -> Path:
    """The catalogue file of a language."""
    return FOLDER / f"{code}.po"


def load(code: str) -> Catalog:
    """The messages of a language as they stand in its file."""
    with file_of(code).open("rb") as file:
        return read_po(file, locale=code, abort_invalid=True)


class Catalogue:
    """The translations of one language; safe to share between threads.

    Args:
        code: of the language; its `.po` file lies beside this module.
    """

    def __init__(self, code: str) -> None:
        compiled = io.BytesIO()
        write_mo(compiled, load(code))
        compiled.seek(0)
        translations = gettext.GNUTranslations(compiled)
        self.gettext = translations.gettext
        self.ngettext = translations.ngettext
