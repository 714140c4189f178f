"""What of a single film can be measured without knowing others: plain bands at its edges, and lines of letters."""

from __future__ import annotations

import numpy as np

_BLACK, _WHITE, _PLAIN_STD = 10, 245, 4.0
_TEXT_SIDE = 224
_TEXT_CONTRAST = 60
"""Grey values by which a letter stands out from what is round it."""


def measure_uniform_border(scan: np.ndarray) -> float:
    """Share of the height or of the width, whichever is more, in plain black or white bands at the edges of (H, W)."""
    return max(_plain_band_share(scan), _plain_band_share(scan.T))


def count_letters_in_line(scan: np.ndarray) -> int:
    """The most letter-like bright spots of one size that stand side by side in a scan uint8 (H, W).

    A side marker has one to three. Letters are bright, small and thin, so that they vanish when the picture is opened
    with a square a little wider than their strokes (a white top-hat).
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


def _plain_band_share(scan: np.ndarray) -> float:
    values = scan.astype(np.float32)
    mean, spread = values.mean(axis=1), values.std(axis=1)
    content = np.flatnonzero(~((spread < _PLAIN_STD) & ((mean < _BLACK) | (mean > _WHITE))))
    return 1.0 if not len(content) else 1 - (content[-1] + 1 - content[0]) / len(scan)


def _longest_line(centroids: np.ndarray, heights: np.ndarray) -> int:
    """The longest chain from left to right of spots (n, 2) of like height at like height, next to each other."""
    order = np.argsort(centroids[:, 0])
    lengths = [1] * len(order)
    for i, right in enumerate(order):
        for j in range(max(0, i - 12), i):
            left = order[j]
            tall = max(heights[left], heights[right])
            gap, drop = centroids[right] - centroids[left]
            if (
                0.3 * tall <= gap <= 1.5 * tall
                and abs(drop) <= 0.25 * tall
                and min(heights[left], heights[right]) >= 0.6 * tall
            ):
                lengths[i] = max(lengths[i], lengths[j] + 1)
    return max(lengths, default=0)
