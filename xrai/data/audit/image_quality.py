"""Image quality: blank scans, wide borders and burned-in text."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xrai.core.language import say, say_plural
from xrai.data.audit.findings import BLANK, AuditFinding, film_count, fine_finding

MIN_CONTRAST = 16
"""Grey values between the 1st and 99th percentile; the palest of 5,840 real films has 85."""

MAX_BORDER = 0.25
"""Share of the width or height in plain bands; only extremely collimated real films reach it."""

MIN_TEXT_LETTERS = 5
"""Letters in a line; a side marker has up to three, and bones rarely look like more."""

_BLACK, _WHITE, _PLAIN_STD = 10, 245, 4.0
_TEXT_SIDE = 224
_TEXT_CONTRAST = 60
"""Grey values by which a letter is brighter than its surroundings."""


class ImageQuality(NamedTuple):
    """Measurements of scans, one value each.

    Attributes:
        contrast: grey values between the 1st and 99th percentile.
        border: share of the width or the height, whichever is larger, in plain black or white bands, 0 to 1.
        letters: length of the longest line of letter-like bright spots.
    """

    contrast: np.ndarray
    border: np.ndarray
    letters: np.ndarray


def measure_image_quality(scan: np.ndarray) -> tuple[int, float, int]:
    """Contrast, border and letters of a scan uint8 (S, S); see `ImageQuality`."""
    return _measure_contrast(scan), measure_uniform_border(scan), count_letters_in_line(scan)


def check_image_quality(quality: ImageQuality, *, is_phantom: bool) -> list[AuditFinding]:
    """Blank scans, wide borders and burned-in text; phantoms are all labelled, so that their text is not checked."""
    is_blank = quality.contrast < MIN_CONTRAST
    findings = [
        _blank_finding(np.flatnonzero(is_blank)),
        _border_finding(np.flatnonzero((quality.border > MAX_BORDER) & ~is_blank)),
    ]
    if is_phantom:
        return findings
    return [*findings, _text_finding(np.flatnonzero((quality.letters >= MIN_TEXT_LETTERS) & ~is_blank))]


def measure_uniform_border(scan: np.ndarray) -> float:
    """Share of the height or the width, whichever is larger, in plain black or white bands at the edges of (H, W)."""
    return max(_plain_band_share(scan), _plain_band_share(scan.T))


def count_letters_in_line(scan: np.ndarray) -> int:
    """The most letter-like bright spots of one size side by side in a scan uint8 (H, W).

    A side marker has one to three. Letters are bright, small and thin: a morphological opening with a square a little
    wider than their strokes removes them, so that a white top-hat shows them.
    """
    import cv2

    side = _TEXT_SIDE
    small = scan if scan.shape == (side, side) else cv2.resize(scan, (side, side), interpolation=cv2.INTER_AREA)
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (7, 7))
    spots = (cv2.morphologyEx(small, cv2.MORPH_TOPHAT, kernel) > _TEXT_CONTRAST).astype(np.uint8)
    _, _, stats, centroids = cv2.connectedComponentsWithStats(spots, connectivity=8)
    width, height = stats[1:, 2], stats[1:, 3]
    is_letter = (height >= 3) & (height <= 14) & (width <= 1.3 * height) & (stats[1:, 4] >= 4)
    return _longest_line(centroids[1:][is_letter], height[is_letter])


def _measure_contrast(scan: np.ndarray) -> int:
    cumulative = np.bincount(scan.ravel(), minlength=256).cumsum() / scan.size
    return int(np.searchsorted(cumulative, 0.99) - np.searchsorted(cumulative, 0.01))


def _plain_band_share(scan: np.ndarray) -> float:
    values = scan.astype(np.float32)
    mean = values.mean(axis=1)
    is_plain = (values.std(axis=1) < _PLAIN_STD) & ((mean < _BLACK) | (mean > _WHITE))
    content = np.flatnonzero(~is_plain)
    return 1.0 if not len(content) else 1 - (content[-1] + 1 - content[0]) / len(scan)


def _longest_line(centroids: np.ndarray, heights: np.ndarray) -> int:
    """The longest chain, from left to right, of neighbouring spots (n, 2) of similar height on one level."""
    order = np.argsort(centroids[:, 0])
    lengths = [1] * len(order)
    for i, right in enumerate(order):
        for j in range(max(0, i - 12), i):
            left = order[j]
            tall = max(heights[left], heights[right])
            gap, drop = centroids[right] - centroids[left]
            is_near = 0.3 * tall <= gap <= 1.5 * tall
            is_level = abs(drop) <= 0.25 * tall
            if is_near and is_level and min(heights[left], heights[right]) >= 0.6 * tall:
                lengths[i] = max(lengths[i], lengths[j] + 1)
    return max(lengths, default=0)


def _blank_finding(rows: np.ndarray) -> AuditFinding:
    if not len(rows):
        return fine_finding(BLANK, say("No blank films"), say("Every film shows something."))
    return AuditFinding(
        kind=BLANK,
        severity="serious",
        title=say("Blank films"),
        sentence=say_plural("{n:,} film is blank or nearly so.", "{n:,} films are blank or nearly so.", len(rows)),
        advice=say("There is nothing to learn from them: take them out, or have them exported again."),
        numbers={"scans": len(rows)},
        groups=(tuple(rows.tolist()),),
        suggestion=tuple(rows.tolist()),
    )


def _border_finding(rows: np.ndarray) -> AuditFinding:
    kind = "bordered-films"
    if not len(rows):
        sentence = say("No film has plain bands over more than a quarter of a side.")
        return fine_finding(kind, say("No wide borders"), sentence)
    return AuditFinding(
        kind=kind,
        severity="notable",
        title=say("Wide borders"),
        sentence=say_plural(
            "{n:,} film has plain black or white bands over more than a quarter of the width or height.",
            "{n:,} films have plain black or white bands over more than a quarter of the width or height.",
            len(rows),
        ),
        advice=say(
            "The chest is smaller there than on other films: crop them, or look whether a class has more of them."
        ),
        numbers={"scans": len(rows)},
        groups=(tuple(rows.tolist()),),
    )


def _text_finding(rows: np.ndarray) -> AuditFinding:
    kind = "burned-in-text"
    if not len(rows):
        sentence = say("No line of letters was found beyond usual side markers.")
        return fine_finding(kind, say("No burned-in text"), sentence)
    return AuditFinding(
        kind=kind,
        severity="notable",
        title=say("Burned-in text"),
        sentence=say("{films} may bear burned-in text beyond a usual side marker.", films=film_count(len(rows))),
        advice=say(
            "Text may name a patient, and a model may learn it: look at these films, and mask or crop the text."
        ),
        numbers={"scans": len(rows)},
        groups=(tuple(rows.tolist()),),
    )
