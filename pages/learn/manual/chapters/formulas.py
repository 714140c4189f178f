"""Numbers within formulas, as the reader's language writes them."""

from __future__ import annotations

from xrai.core.language import ENGLISH, language


def tex(value: float, digits: int = 2) -> str:
    """A number for a formula, never −0."""
    text = f"{round(value, digits) + 0.0:.{digits}f}"
    return text if language() == ENGLISH else text.replace(".", "{,}")


def tex_in_brackets(value: float, digits: int = 2) -> str:
    """The same, in brackets where it is below 0."""
    text = tex(value, digits)
    return f"({text})" if text.startswith("-") else text
