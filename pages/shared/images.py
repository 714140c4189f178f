"""Resize scans to the size of a screen."""

from __future__ import annotations

import numpy as np
from PIL import Image

SCREEN_SIDE = 1000


def screen_shape(pixels: np.ndarray, side: int = SCREEN_SIDE) -> tuple[int, int]:
    """Height and width of a scan as a screen needs it, at most `side` each."""
    factor = min(side / max(pixels.shape), 1)
    height, width = (max(round(length * factor), 1) for length in pixels.shape)
    return height, width


def resize_for_screen(pixels: np.ndarray, side: int = SCREEN_SIDE) -> np.ndarray:
    """A scan no larger than a screen needs it."""
    height, width = screen_shape(pixels, side)
    if (height, width) == pixels.shape:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0))
