"""Result card: a PNG with scan, heatmap and diagnosis."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from xrai.core.language import tr
from xrai.explain.overlay import draw_colour_bar, draw_overlay, draw_side_by_side

WIDTH = 1400
WARNING_SIGN = "⚠"
"""The sign in front of a warning."""

_MARGIN = 40
_GAP = 20
_BREAKABLE_SPACE = re.compile(r"[^\S\u00a0\u202f]+")  # without the no-break spaces of French punctuation
_INK, _FAINT, _PAPER, _ACCENT, _WARNING = "#1d2a33", "#5b6b78", "#ffffff", "#0f6e7c", "#9a4a00"


def draw_result_card(
    pixels: np.ndarray,
    heat: np.ndarray,
    *,
    opacity: float,
    title: str,
    lines: Sequence[str],
    probabilities: Sequence[tuple[str, float, str]],
    heat_caption: str,
    warnings: Sequence[str] = (),
) -> bytes:
    """Draw the result card as a PNG.

    Args:
        pixels: the scan, uint8 (H, W).
        heat: its heatmap, float (H, W) in 0 to 1.
        opacity: of the hottest places, 0 to 1.
        title: the diagnosis.
        lines: sentences at the bottom: the model and its training population.
        probabilities: class, probability and the formatted probability.
        heat_caption: the meaning of the colours.
        warnings: sentences above the diagnosis.
    """
    side = (WIDTH - 2 * _MARGIN - _GAP) // 2
    height = min(round(side * pixels.shape[0] / pixels.shape[1]), 2 * side)
    images = [
        Image.fromarray(array).resize((side, height), Image.Resampling.LANCZOS)
        for array in (np.repeat(pixels[..., None], 3, axis=2), draw_overlay(pixels, heat, opacity))
    ]
    page = Image.new("RGB", (WIDTH, height + 2200), _PAPER)
    draw = ImageDraw.Draw(page)
    y = _MARGIN
    for warning in warnings:
        y = _draw_text(draw, f"{WARNING_SIGN} {warning}", y, 26, _WARNING) + 10
    y = _draw_text(draw, title, y, 44, _INK) + 16
    for index, image in enumerate(images):
        page.paste(image, (_MARGIN + index * (side + _GAP), y))
    y += height + 16
    y = _draw_scale(page, draw, y, heat_caption, opacity)
    for name, probability, words in probabilities:
        y = _draw_bar(draw, y, name, probability, words)
    y += 16
    for line in lines:
        y = _draw_text(draw, line, y, 22, _FAINT) + 6
    out = BytesIO()
    page.crop((0, 0, WIDTH, y + _MARGIN)).save(out, format="PNG")
    return out.getvalue()


def save_heatmap(file: Path, pixels: np.ndarray, heat: np.ndarray) -> None:
    """Write an image uint8 (H, W) beside its heatmap as a PNG.

    Raises:
        OSError: the file cannot be written.
    """
    Image.fromarray(draw_side_by_side(pixels, heat)).save(file, format="PNG")


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans from matplotlib, with the letters of most European languages; Pillow's default font has no é."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def _draw_text(draw: ImageDraw.ImageDraw, text: str, y: int, size: int, colour: str) -> int:
    """Write wrapped text from y downwards; returns the y below it."""
    font = _font(size)
    line = ""
    for word in [*_BREAKABLE_SPACE.split(text.strip()), None]:
        candidate = f"{line} {word}".strip()
        if word is not None and draw.textlength(candidate, font) <= WIDTH - 2 * _MARGIN:
            line = candidate
            continue
        draw.text((_MARGIN, y), line, colour, font)
        y, line = y + round(size * 1.35), word or ""
    return y


def _draw_scale(page: Image.Image, draw: ImageDraw.ImageDraw, y: int, caption: str, opacity: float) -> int:
    page.paste(Image.fromarray(draw_colour_bar(260, 18, opacity)), (_MARGIN, y + 4))
    draw.text((_MARGIN + 275, y), tr("none  →  very strong"), _FAINT, _font(20))
    return _draw_text(draw, caption, y + 34, 20, _FAINT) + 16


def _draw_bar(draw: ImageDraw.ImageDraw, y: int, name: str, probability: float, words: str) -> int:
    font = _font(26)
    draw.text((_MARGIN, y), name, _INK, font)
    left, right = _MARGIN + 380, WIDTH - _MARGIN - 190
    draw.rounded_rectangle((left, y + 6, right, y + 28), 8, fill="#e3eaee")
    if probability > 0.01:
        draw.rounded_rectangle((left, y + 6, left + round((right - left) * probability), y + 28), 8, fill=_ACCENT)
    draw.text((right + 20, y), words, _INK, font)
    return y + 44
