"""Heatmap overlay: colour map, blending, outline and colour bar; no evidence has no colour."""

from __future__ import annotations

import numpy as np

COLOUR_STOPS = ((0.0, (255, 237, 160)), (0.5, (253, 141, 60)), (1.0, (220, 20, 20)))
"""Pale yellow to red; brightness decreases with evidence, so the scale is readable without colour vision."""

OUTLINE_COLOUR = (40, 200, 255)
"""Light blue, in neither scans nor heatmaps."""


def draw_overlay(pixels: np.ndarray, heat: np.ndarray, opacity: float = 0.6) -> np.ndarray:
    """An image with its heatmap blended over it, uint8 (H, W, 3).

    Args:
        pixels: the scan, uint8 (H, W).
        heat: float (H, W) in 0 to 1; sets colour and opacity.
        opacity: at heat 1, 0 to 1.
    """
    grey_rgb = np.repeat(pixels[..., None].astype(np.float32), 3, axis=2)
    alpha = (opacity * heat)[..., None]
    return (grey_rgb * (1 - alpha) + _heat_colours(heat) * alpha).round().astype(np.uint8)


def draw_side_by_side(pixels: np.ndarray, heat: np.ndarray, opacity: float = 0.6) -> np.ndarray:
    """An image beside its overlay, uint8 (H, 2 W, 3)."""
    return np.concatenate([np.repeat(pixels[..., None], 3, axis=2), draw_overlay(pixels, heat, opacity)], axis=1)


def draw_outline(pixels: np.ndarray, area: np.ndarray) -> np.ndarray:
    """An image with an outline around an area, uint8 (H, W, 3).

    Args:
        pixels: the scan, uint8 (H, W).
        area: bool (H, W); the line lies inside it and is about 1/200 of the image wide.
    """
    interior = area
    for _ in range(max(1, pixels.shape[1] // 200)):
        padded = np.pad(interior, 1, constant_values=True)
        interior = interior & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    image = np.repeat(pixels[..., None], 3, axis=2)
    image[area & ~interior] = OUTLINE_COLOUR
    return image


def draw_colour_bar(width: int, height: int, opacity: float = 1.0) -> np.ndarray:
    """The colour scale from 0 to 1 on mid-grey, uint8 (height, width, 3)."""
    heat = np.tile(np.linspace(0, 1, width, dtype=np.float32), (height, 1))
    return draw_overlay(np.full((height, width), 110, np.uint8), heat, opacity)


def _heat_colours(heat: np.ndarray) -> np.ndarray:
    stops = [place for place, _ in COLOUR_STOPS]
    channels = [np.interp(heat, stops, [colour[i] for _, colour in COLOUR_STOPS]) for i in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)
