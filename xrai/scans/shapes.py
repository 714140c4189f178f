"""Soft shapes, of which phantoms and synthetic negatives are drawn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating]
"""One value per pixel, (size, size)."""


def smooth_step(distance: Field) -> Field:
    """Rise smoothly from 0 at −1 to 1 at 1 (the cubic Hermite step)."""
    t = np.clip(distance * 0.5 + 0.5, 0, 1)
    return t * t * (3 - 2 * t)


def ellipse_radius(x: Field, y: Field, across: float, along: float, angle: float) -> Field:
    """The distance from the centre of an ellipse, in units of its radius in that direction.

    Args:
        x: pixel coordinates relative to the centre.
        y: likewise.
        across: first semi-axis.
        along: second semi-axis.
        angle: rotation in radians.
    """
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    return np.hypot((cos * x + sin * y) / across, (cos * y - sin * x) / along)
