"""Changes that films of another hospital might show: what a margin for shift is estimated with."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from xrai.core.language import N_

MASKED_BORDER = 0.125
"""The share of a side that the border is broad which is hidden: letters, shoulders and the edge of the film."""


def rotate(images: Tensor, degrees: float = 5) -> Tensor:
    """Turned to the left about the middle; what moves in from outside is air. (N, 1, H, W), 0 to 1, as all here."""
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    return _warp_affine(images, [[cos, -sin, 0], [sin, cos, 0]])


def scale(images: Tensor, factor: float) -> Tensor:
    """Nearer where the factor is above 1, farther where it is below."""
    return _warp_affine(images, [[1 / factor, 0, 0], [0, 1 / factor, 0]])


def stretch(images: Tensor, factor: float) -> Tensor:
    """Wider where the factor is above 1, higher where it is below, and cut where it does not fit any more."""
    return _warp_affine(images, [[min(1 / factor, 1), 0, 0], [0, min(factor, 1), 0]])


def translate(images: Tensor, across: float = 0, down: float = 0) -> Tensor:
    """Moved by shares of the sides."""
    return _warp_affine(images, [[1, 0, -2 * across], [0, 1, -2 * down]])


def mask_border(images: Tensor) -> Tensor:
    """With the outer border filled with the scan's mean grey."""
    height, width = images.shape[2:]
    top, left = round(height * MASKED_BORDER), round(width * MASKED_BORDER)
    out = images.mean(dim=(2, 3), keepdim=True).expand_as(images).clone()
    out[..., top : height - top, left : width - left] = images[..., top : height - top, left : width - left]
    return out


def adjust_brightness(images: Tensor, delta: float) -> Tensor:
    """All greys raised by a share of the scale."""
    return (images + delta).clamp(0, 1)


def add_noise(images: Tensor, std: float = 0.04) -> Tensor:
    """With noise, the same for every batch of one shape; its standard deviation as a share of the scale."""
    generator = torch.Generator().manual_seed(0)
    return (images + std * torch.randn(images.shape, generator=generator).to(images.device)).clamp(0, 1)


def blur(images: Tensor, sigma: float = 0.009) -> Tensor:
    """Gaussian blur; its standard deviation as a share of the width."""
    from torchvision.transforms.functional import gaussian_blur

    sigma_pixels = sigma * images.shape[-1]
    return gaussian_blur(images, [2 * math.ceil(3 * sigma_pixels) + 1] * 2, [sigma_pixels] * 2)


PERTURBATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "turned": rotate,
    "nearer": lambda images: scale(images, 1.2),
    "farther": lambda images: scale(images, 0.9),
    "wider": lambda images: stretch(images, 1.2),
    "narrower": lambda images: stretch(images, 1 / 1.2),
    "higher": lambda images: translate(images, down=-0.04),
    N_("border hidden"): mask_border,
    "brighter": lambda images: adjust_brightness(images, 0.1),
    "darker": lambda images: adjust_brightness(images, -0.1),
    "grainy": add_noise,
    "blurred": blur,
}
"""What is done to a batch of greys, float (N, 1, H, W) in 0 to 1; each on its own, as large as is met in practice."""


def _warp_affine(images: Tensor, matrix: list[list[float]]) -> Tensor:
    """What of a scan lies where: `place` (2, 3) leads from places after to places before, sides are 2 wide."""
    theta = torch.tensor(matrix, dtype=images.dtype, device=images.device)
    grid = functional.affine_grid(theta.expand(len(images), 2, 3), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)
