"""Crop plain bars and frames at the edges of an image: padding to a square, letterboxing, page margins."""

from __future__ import annotations

import numpy as np

TOLERANCE = 12
"""Highest difference between the grey values of a plain row or column; lossy compression leaves a few."""

MIN_BAR = 0.1
"""Bars that take less than this share of the width or height together stay: models know narrow ones from training."""

MIN_REMAINDER = 0.25
"""Share of the width and of the height that is always kept."""


def crop_plain_borders(pixels: np.ndarray) -> np.ndarray:
    """Crop the plain rows and columns at the edges of an image uint8 (H, W); bars within bars are cropped too.

    Returns:
        uint8 (h, w), C-contiguous; the same array where there is nothing to crop.
    """
    top, bottom, left, right = _find_content(pixels)
    height, width = pixels.shape
    if bottom - top < MIN_REMAINDER * height or right - left < MIN_REMAINDER * width:
        return pixels
    if height - (bottom - top) < MIN_BAR * height:
        top, bottom = 0, height
    if width - (right - left) < MIN_BAR * width:
        left, right = 0, width
    if (top, bottom, left, right) == (0, height, 0, width):
        return pixels
    return np.ascontiguousarray(pixels[top:bottom, left:right])


def _find_content(pixels: np.ndarray) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of what is left when plain rows and columns are peeled off."""
    top, left = 0, 0
    bottom, right = pixels.shape
    while top < bottom and left < right:
        box = pixels[top:bottom, left:right]
        first_row, n_rows = _content_span(box)
        first_column, n_columns = _content_span(box.T)
        if (n_rows, n_columns) == box.shape:
            break
        top, left = top + first_row, left + first_column
        bottom, right = top + n_rows, left + n_columns
    return top, bottom, left, right


def _content_span(box: np.ndarray) -> tuple[int, int]:
    """The first row that is not plain, and the number of rows to the last one, both included."""
    is_content = box.max(axis=1).astype(np.int16) - box.min(axis=1) > TOLERANCE
    rows = np.flatnonzero(is_content)
    return (int(rows[0]), int(rows[-1] - rows[0]) + 1) if len(rows) else (0, 0)
