"""Changes that films of another hospital might show: what a margin for shift is estimated with."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from xrai.core.language import N_

HIDDEN_BORDER = 0.125
"""The share of a side that the border is broad which is hidden: letters, shoulders and the edge of the film."""


def turned(greys: Tensor, degrees: float = 5) -> Tensor:
    """Turned to the left about the middle; what moves in from outside is air. (N, 1, H, W), 0 to 1, as all here."""
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    return _moved(greys, [[cos, -sin, 0], [sin, cos, 0]])


def zoomed(greys: Tensor, factor: float) -> Tensor:
    """Nearer where the factor is above 1, farther where it is below."""
    return _moved(greys, [[1 / factor, 0, 0], [0, 1 / factor, 0]])


def stretched(greys: Tensor, factor: float) -> Tensor:
    """Wider where the factor is above 1, higher where it is below, and cut where it does not fit any more."""
    return _moved(greys, [[min(1 / factor, 1), 0, 0], [0, min(factor, 1), 0]])


def shifted(greys: Tensor, across: float = 0, down: float = 0) -> Tensor:
    """Moved by shares of the sides."""
    return _moved(greys, [[1, 0, -2 * across], [0, 1, -2 * down]])


def without_border(greys: Tensor) -> Tensor:
    """With the outer border filled with the scan's mean grey."""
    height, width = greys.shape[2:]
    top, left = round(height * HIDDEN_BORDER), round(width * HIDDEN_BORDER)
    out = greys.mean(dim=(2, 3), keepdim=True).expand_as(greys).clone()
    out[..., top : height - top, left : width - left] = greys[..., top : height - top, left : width - left]
    return out


def brighter(greys: Tensor, by: float) -> Tensor:
    """All greys raised by a share of the scale."""
    return (greys + by).clamp(0, 1)


def grainy(greys: Tensor, noise: float = 0.04) -> Tensor:
    """With noise, the same for every batch of one shape; its standard deviation as a share of the scale."""
    generator = torch.Generator().manual_seed(0)
    return (greys + noise * torch.randn(greys.shape, generator=generator).to(greys.device)).clamp(0, 1)


def blurred(greys: Tensor, sigma: float = 0.009) -> Tensor:
    """Gaussian blur; its standard deviation as a share of the width."""
    from torchvision.transforms.functional import gaussian_blur

    pixels = sigma * greys.shape[-1]
    return gaussian_blur(greys, [2 * math.ceil(3 * pixels) + 1] * 2, [pixels] * 2)


SHIFTS: dict[str, Callable[[Tensor], Tensor]] = {
    "turned": turned,
    "nearer": lambda greys: zoomed(greys, 1.2),
    "farther": lambda greys: zoomed(greys, 0.9),
    "wider": lambda greys: stretched(greys, 1.2),
    "narrower": lambda greys: stretched(greys, 1 / 1.2),
    "higher": lambda greys: shifted(greys, down=-0.04),
    N_("border hidden"): without_border,
    "brighter": lambda greys: brighter(greys, 0.1),
    "darker": lambda greys: brighter(greys, -0.1),
    "grainy": grainy,
    "blurred": blurred,
}
"""What is done to a batch of greys, float (N, 1, H, W) in 0 to 1; each on its own, as large as is met in practice."""


def _moved(greys: Tensor, place: list[list[float]]) -> Tensor:
    """What of a scan lies where: `place` (2, 3) leads from places after to places before, sides are 2 wide."""
    theta = torch.tensor(place, dtype=greys.dtype, device=greys.device)
    grid = functional.affine_grid(theta.expand(len(greys), 2, 3), list(greys.shape), align_corners=False)
    return functional.grid_sample(greys, grid, align_corners=False)
