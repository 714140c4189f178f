"""The result card as a picture: a scan, its heatmap, and what a model said of it, to keep or to hand on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from xrai.core.language import tr
from xrai.explain.overlay import colour_bar, overlay

WIDTH = 1400
WARNED = "⚠"
"""Stands before what to beware of."""

_MARGIN, _GAP = 40, 20
_BREAKABLE = re.compile(r"[^\S\u00a0\u202f]+")  # spaces, but those that keep « and : where they belong
_INK, _FAINT, _PAPER, _ACCENT, _WARNING = "#1d2a33", "#5b6b78", "#ffffff", "#0f6e7c", "#9a4a00"


def result_card(
    pixels: np.ndarray,
    heat: np.ndarray,
    *,
    opacity: float,
    title: str,
    lines: Sequence[str],
    shares: Sequence[tuple[str, float, str]],
    heat_caption: str,
    warnings: Sequence[str] = (),
) -> bytes:
    """A PNG of the result card.

    Args:
        pixels: the scan, uint8 (H, W).
        heat: its heatmap, float (H, W) in 0 to 1.
        opacity: of the hottest places, 0 to 1.
        title: the diagnosis in words.
        lines: sentences below it: the model, what it was trained on, warnings.
        shares: class, probability and the probability in words.
        heat_caption: what the colours mean.
        warnings: what stands above the diagnosis, as nobody may miss it.
    """
    side = (WIDTH - 2 * _MARGIN - _GAP) // 2
    height = min(round(side * pixels.shape[0] / pixels.shape[1]), 2 * side)
    pictures = [
        Image.fromarray(array).resize((side, height), Image.Resampling.LANCZOS)
        for array in (np.repeat(pixels[..., None], 3, axis=2), overlay(pixels, heat, opacity))
    ]
    page = Image.new("RGB", (WIDTH, height + 2200), _PAPER)
    draw = ImageDraw.Draw(page)
    y = _MARGIN
    for warning in warnings:
        y = _write(draw, f"{WARNED} {warning}", y, 26, _WARNING) + 10
    y = _write(draw, title, y, 44, _INK) + 16
    for at, picture in enumerate(pictures):
        page.paste(picture, (_MARGIN + at * (side + _GAP), y))
    y += height + 16
    y = _scale(page, draw, y, heat_caption, opacity)
    for name, share, words in shares:
        y = _bar(draw, y, name, share, words)
    y += 16
    for line in lines:
        y = _write(draw, line, y, 22, _FAINT) + 6
    out = BytesIO()
    page.crop((0, 0, WIDTH, y + _MARGIN)).save(out, format="PNG")
    return out.getvalue()


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib and has the letters of most of Europe; Pillow's own has no é."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def _write(draw: ImageDraw.ImageDraw, text: str, y: int, size: int, colour: str) -> int:
    """Write text in lines that fit, from y downwards; gives where it ends."""
    font = _font(size)
    line = ""
    for word in [*_BREAKABLE.split(text.strip()), None]:
        longer = f"{line} {word}".strip()
        if word is not None and draw.textlength(longer, font) <= WIDTH - 2 * _MARGIN:
            line = longer
            continue
        draw.text((_MARGIN, y), line, colour, font)
        y, line = y + round(size * 1.35), word or ""
    return y


def _scale(page: Image.Image, draw: ImageDraw.ImageDraw, y: int, caption: str, opacity: float) -> int:
    page.paste(Image.fromarray(colour_bar(260, 18, opacity)), (_MARGIN, y + 4))
    draw.text((_MARGIN + 275, y), tr("none  →  very strong"), _FAINT, _font(20))
    return _write(draw, caption, y + 34, 20, _FAINT) + 16


def _bar(draw: ImageDraw.ImageDraw, y: int, name: str, share: float, words: str) -> int:
    font = _font(26)
    draw.text((_MARGIN, y), name, _INK, font)
    left, right = _MARGIN + 380, WIDTH - _MARGIN - 190
    draw.rounded_rectangle((left, y + 6, right, y + 28), 8, fill="#e3eaee")
    if share > 0.01:
        draw.rounded_rectangle((left, y + 6, left + round((right - left) * share), y + 28), 8, fill=_ACCENT)
    draw.text((right + 20, y), words, _INK, font)
    return y + 44
