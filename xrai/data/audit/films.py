"""Films that are blank, framed or written on."""

from __future__ import annotations

import numpy as np

from xrai.core.language import say
from xrai.data.audit.findings import BLANK, Finding, films
from xrai.data.audit.looking import Look

LEAST_CONTRAST = 16
"""Grey values from the darkest to the brightest hundredth; the palest of 5,840 real films has 85."""

WIDEST_BORDER = 0.25
"""Of the width or height in plain bands; collimated real films reach this at the very most."""

MOST_LETTERS = 5
"""In a line; a side marker has up to three, and bones are seldom taken for more."""


def bad_films(look: Look) -> list[Finding]:
    """Blank films, wide borders and, but for drawings, which are all labelled as such, burned-in text."""
    blank = look.contrast < LEAST_CONTRAST
    found = [_blank(np.flatnonzero(blank)), _borders(np.flatnonzero((look.border > WIDEST_BORDER) & ~blank))]
    if look.dataset.drawings:
        return found
    return [*found, _text(np.flatnonzero((look.letters >= MOST_LETTERS) & ~blank))]


def _blank(rows: np.ndarray) -> Finding:
    if not len(rows):
        return Finding(BLANK, "fine", say("No blank films"), say("Every film shows something."))
    n = len(rows)
    sentence = say("1 film is blank or nearly so.") if n == 1 else say("{n:,} films are blank or nearly so.", n=n)
    advice = say("There is nothing to learn from them: take them out, or have them exported again.")
    found = tuple(rows.tolist())
    return Finding(BLANK, "serious", say("Blank films"), sentence, advice, {"scans": len(rows)}, (found,), found)


def _borders(rows: np.ndarray) -> Finding:
    kind = "bordered-films"
    if not len(rows):
        return Finding(
            kind, "fine", say("No wide borders"), say("No film has plain bands over more than a quarter of a side.")
        )
    n = len(rows)
    sentence = say("{n:,} films have plain black or white bands over more than a quarter of the width or height.", n=n)
    if n == 1:
        sentence = say("1 film has plain black or white bands over more than a quarter of the width or height.")
    advice = say("The chest is smaller there than on other films: crop them, or look whether a class has more of them.")
    return Finding(
        kind, "notable", say("Wide borders"), sentence, advice, {"scans": len(rows)}, (tuple(rows.tolist()),)
    )


def _text(rows: np.ndarray) -> Finding:
    kind = "burned-in-text"
    if not len(rows):
        return Finding(
            kind, "fine", say("No burned-in text"), say("No line of letters was found beyond usual side markers.")
        )
    sentence = say("{films} may bear burned-in text beyond a usual side marker.", films=films(len(rows)))
    advice = say("Text may name a patient, and a model may learn it: look at these films, and mask or crop the text.")
    return Finding(
        kind, "notable", say("Burned-in text"), sentence, advice, {"scans": len(rows)}, (tuple(rows.tolist()),)
    )
