"""Grey scale of stored values: a range robust to outliers, markers and untagged padding; what a window shows.

A hot pixel, a lead marker or padding far beyond the values of the body must not set the scale, or the body keeps a few
greys of 256 and is read wrongly.
"""

from __future__ import annotations

import numpy as np

from xrai.scans.scan import to_uint8

_CENTRAL = (5.0, 95.0)
"""Percentiles between which the body's values lie in every projection X-ray."""

_MARGIN = 1.0
"""Values beyond the central range by more than this many times its width are outliers."""

_MIN_PADDING = 0.1
"""Share of the picture's outline from which on a separate extreme value is padding rather than a marker."""

_MIN_GAP = 0.25
"""Distance of untagged padding from all other values, as a share of their range."""

_MAX_SATURATED = 0.5
"""Highest share of pixels that a window may show all black or all white."""

_MIN_CONTRAST = 0.1
"""Lowest range of brightness, 0..1, of the central pixels in a window."""

_JUMP_GRID = 128
"""Pixels a side on which jumps between neighbours are counted, so that the resolution makes no difference."""

_MAX_SAMPLE = 1 << 20
"""Pixels from which the percentiles are taken; a picture of 100 megapixels need not be sorted."""


def scale_robustly(values: np.ndarray) -> np.ndarray:
    """Scale stored values linearly to grey; outliers are clipped, and untagged padding becomes black.

    Args:
        values: any real dtype, (H, W). NaN and −∞ become 0, +∞ becomes 255; none of them sets the scale.

    Returns:
        uint8 (H, W); all 0 where the values are constant.
    """
    is_finite = np.isfinite(values)
    is_padding = is_finite & np.isin(values, find_padding_values(values, is_finite))
    low, high = robust_range(values[is_finite & ~is_padding])
    grey = to_uint8(scale_to_range(values, low, high))
    grey[is_padding] = 0
    return grey


def scale_to_range(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values of any real dtype -> float64 of the same shape: 0 at `low` and below or NaN, 1 at `high` and above."""
    if not low < high:
        return np.zeros(values.shape)
    return np.clip(np.nan_to_num((values.astype(np.float64) - low) / (high - low), nan=0.0), 0, 1)


def robust_range(values: np.ndarray) -> tuple[float, float]:
    """Lowest and highest of the finite values (N,) that are no outliers; (0, 0) where there are none."""
    if not values.size:
        return 0.0, 0.0
    sample = values[:: max(values.size // _MAX_SAMPLE, 1)]
    bottom, top = (float(value) for value in np.percentile(sample, _CENTRAL))
    margin = _MARGIN * (top - bottom)
    if not margin:  # more than nine in ten pixels are alike
        return float(values.min()), float(values.max())
    usual = values[(values >= bottom - margin) & (values <= top + margin)]
    return float(usual.min()), float(usual.max())


def find_padding_values(values: np.ndarray, is_used: np.ndarray) -> list[float]:
    """The lowest and the highest value where they are untagged padding.

    Padding runs along much of the picture's outline and lies far from all other values.

    Args:
        values: (H, W).
        is_used: bool (H, W), the pixels that are not known to be padding or no numbers.
    """
    found: list[float] = []
    for find_extreme in (np.min, np.max) if is_used.any() else ():
        value = find_extreme(values[is_used])
        is_extreme = is_used & (values == value)
        if _outline(is_extreme).mean() < _MIN_PADDING:
            continue
        others = values[is_used & ~is_extreme]
        if _gap(value, others) >= _MIN_GAP:
            found.append(float(value))
            is_used = is_used & ~is_extreme
    return found


def _gap(value: float, others: np.ndarray) -> float:
    """Distance from a value to the nearest of the others (N,), as a share of their robust range."""
    low, high = robust_range(others)
    if not low < high:
        return 0.0
    return min(abs(float(value) - float(others.min())), abs(float(value) - float(others.max()))) / (high - low)


def _outline(mask: np.ndarray) -> np.ndarray:
    """The pixels along the four edges of a picture (H, W), as one row."""
    return np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])


def to_luma(rgb: np.ndarray) -> np.ndarray:
    """Luma (ITU-R 601) of colours of more than 8 bits, (H, W, 3) -> float32 (H, W)."""
    return rgb.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def shows_picture(brightness: np.ndarray, counts: np.ndarray) -> bool:
    """Whether a window shows a picture rather than nearly all black, white or one grey.

    Args:
        brightness: 0..1 (L,), of each stored value in ascending order.
        counts: int (L,), pixels of each value. The lowest and the highest value do not count: air around the body,
            collimated edges and markers are saturated in good windows too.
    """
    used = np.flatnonzero(counts)
    inner = used[1:-1] if len(used) > 2 else used
    shown, weights = brightness[inner], counts[inner]
    n_saturated = weights[(shown <= 0) | (shown >= 1)].sum()
    bottom, top = np.percentile(shown, _CENTRAL, weights=weights, method="inverted_cdf")
    return bool(n_saturated <= _MAX_SATURATED * weights.sum() and top - bottom >= _MIN_CONTRAST)


def jump_share(values: np.ndarray) -> float:
    """Share of neighbouring pixels, 0..1, that differ by more than half of the picture's range (H, W).

    Values whose highest bits are cut off, or whose sign is wrong, jump along contours of equal brightness.
    """
    stride = max(max(values.shape) // _JUMP_GRID, 1)
    grid = values[::stride, ::stride].astype(np.int32)
    bottom, top = np.percentile(grid, _CENTRAL)
    return float((np.abs(np.diff(grid, axis=1)) > max(top - bottom, 1) / 2).mean())
