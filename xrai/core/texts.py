"""Texts compared without their accents."""

from __future__ import annotations

import unicodedata


def strip_accents(text: str) -> str:
    """A text with its letters' accents removed: é is e."""
    return "".join(letter for letter in unicodedata.normalize("NFD", text) if not unicodedata.combining(letter))
