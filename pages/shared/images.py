"""Resize scans to the size of a screen."""

from __future__ import annotations

import numpy as np

from xrai.scans.preprocessing import fitted_shape, shrink_to_fit

SCREEN_SIDE = 1000


def screen_shape(pixels: np.ndarray) -> tuple[int, int]:
    """Height and width of an image on the screen, at most `SCREEN_SIDE` each."""
    return fitted_shape(pixels.shape, SCREEN_SIDE)


def resize_for_screen(pixels: np.ndarray, side: int = SCREEN_SIDE) -> np.ndarray:
    """An image no larger than the screen needs it."""
    return shrink_to_fit(pixels, side)
