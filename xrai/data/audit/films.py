"""Films that are blank, framed or written on."""

from __future__ import annotations

import numpy as np

from xrai.core.language import say
from xrai.data.audit.findings import BLANK, AuditFinding, films
from xrai.data.audit.looking import DatasetPass

MIN_CONTRAST = 16
"""Grey values from the darkest to the brightest hundredth; the palest of 5,840 real films has 85."""

MAX_BORDER = 0.25
"""Of the width or height in plain bands; collimated real films reach this at the very most."""

MIN_TEXT_LETTERS = 5
"""In a line; a side marker has up to three, and bones are seldom taken for more."""


def check_image_quality(dataset_pass: DatasetPass) -> list[AuditFinding]:
    """Blank films, wide borders and, but for drawings, which are all labelled as such, burned-in text."""
    is_blank = dataset_pass.contrast < MIN_CONTRAST
    findings = [
        _blank_finding(np.flatnonzero(is_blank)),
        _border_finding(np.flatnonzero((dataset_pass.border > MAX_BORDER) & ~is_blank)),
    ]
    if dataset_pass.dataset.is_phantom:
        return findings
    return [*findings, _text_finding(np.flatnonzero((dataset_pass.letters >= MIN_TEXT_LETTERS) & ~is_blank))]


def _blank_finding(rows: np.ndarray) -> AuditFinding:
    if not len(rows):
        return AuditFinding(BLANK, "fine", say("No blank films"), say("Every film shows something."))
    n = len(rows)
    sentence = say("1 film is blank or nearly so.") if n == 1 else say("{n:,} films are blank or nearly so.", n=n)
    advice = say("There is nothing to learn from them: take them out, or have them exported again.")
    row_numbers = tuple(rows.tolist())
    return AuditFinding(
        BLANK, "serious", say("Blank films"), sentence, advice, {"scans": len(rows)}, (row_numbers,), row_numbers
    )


def _border_finding(rows: np.ndarray) -> AuditFinding:
    kind = "bordered-films"
    if not len(rows):
        return AuditFinding(
            kind, "fine", say("No wide borders"), say("No film has plain bands over more than a quarter of a side.")
        )
    n = len(rows)
    sentence = say("{n:,} films have plain black or white bands over more than a quarter of the width or height.", n=n)
    if n == 1:
        sentence = say("1 film has plain black or white bands over more than a quarter of the width or height.")
    advice = say("The chest is smaller there than on other films: crop them, or look whether a class has more of them.")
    return AuditFinding(
        kind, "notable", say("Wide borders"), sentence, advice, {"scans": len(rows)}, (tuple(rows.tolist()),)
    )


def _text_finding(rows: np.ndarray) -> AuditFinding:
    kind = "burned-in-text"
    if not len(rows):
        return AuditFinding(
            kind, "fine", say("No burned-in text"), say("No line of letters was found beyond usual side markers.")
        )
    sentence = say("{films} may bear burned-in text beyond a usual side marker.", films=films(len(rows)))
    advice = say("Text may name a patient, and a model may learn it: look at these films, and mask or crop the text.")
    return AuditFinding(
        kind, "notable", say("Burned-in text"), sentence, advice, {"scans": len(rows)}, (tuple(rows.tolist()),)
    )
