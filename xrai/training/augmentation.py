"""Random variation of training scans, a batch at once: other positions, exposures and looks, hidden patches."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from xrai.networks.config import TrainConfig
from xrai.scans.preprocessing import resized, to_greys
from xrai.training.appearance_transfer import LOOKS

MAX_TURN = math.radians(10)
MAX_SHIFT = 0.08
MAX_ZOOM = 0.15
MAX_STRETCH = 1.5
MAX_GAMMA = 0.35
MAX_CONTRAST = 0.25
MAX_BRIGHTNESS = 0.1
PATCH = (0.15, 0.4)
MAX_FRAME = 0.16
MAX_SHARPENING, MAX_SOFTENING = 0.7, 1.0
MAX_NOISE = 0.05
PARTLY = ("greys", "spectrum")


def augment(
    greys: Tensor,
    generator: torch.Generator,
    *,
    strength: float = 1.0,
    erase: float = 0.25,
    flip: bool = False,
    border: float = 0.0,
    quality: float = 0.0,
    borrow: float = 0.0,
    stretch: float = 0.0,
) -> Tensor:
    """A batch as the network sees it while training; every scan gets changes of its own.

    Args:
        greys: float (N, 1, H, W), grey values in 0 to 1.
        generator: source of all chance, on the processor; the same state gives the same changes.
        strength: 0 is off; 1 turns by up to 10°, shifts by up to 8 % of the side, scales by up to 15 %,
            changes gamma by up to e^±0.35, contrast by up to 25 % and brightness by up to 0.1; 2 is twice that.
        erase: the share of scans that get a rectangle, 15 to 40 % of the side, filled with the scan's mean
            (random erasing, Zhong et al. 2020).
        flip: also mirror half of the scans left to right.
        border: the share of scans that lose a border, up to 16 % of the side at each edge, half of them to air and half
            to the scan's mean.
        quality: the share of scans that are made softer, down to half the resolution, or sharper, and grainy, with
            noise of up to 0.05.
        borrow: the share of scans that take on the greys of another scan of the batch, and each with the same share its
            spectrum, its border and its shading (`training.appearance_transfer`); greys and spectrum as far as chance
            will have it.
        stretch: the share of scans whose width is changed against their height, to up to 1.5 times or 1/1.5 of it.

    Returns:
        float (N, 1, H, W), grey values in 0 to 1. What moves in from outside is the scan mirrored: bars of air would
        tell how a scan was moved.
    """
    if borrow > 0:
        greys = _borrow(greys, generator, borrow)
    if strength > 0 or flip or stretch > 0:
        greys = _move(greys, generator, strength, flip, stretch)
    if strength > 0:
        greys = _expose(greys, generator, strength)
    if erase > 0:
        greys = _hide(greys, generator, erase)
    if border > 0:
        greys = _frame(greys, generator, border)
    return _spoil(greys, generator, quality) if quality > 0 else greys


def augmented(greys: Tensor, generator: torch.Generator, config: TrainConfig) -> Tensor:
    """`augment` as a run asks for it."""
    return augment(
        greys, generator, strength=config.augment, erase=config.erase, flip=config.flip, border=config.border,
        quality=config.quality, borrow=config.borrow, stretch=config.stretch,
    )  # fmt: skip


def mix(greys: Tensor, targets: Tensor, generator: torch.Generator, alpha: float) -> tuple[Tensor, Tensor]:
    """Each scan blended with another of the batch, and the targets with it (mixup, Zhang et al. 2018).

    Args:
        greys: float (N, 1, H, W).
        targets: class probabilities, float (N, C).
        generator: source of all chance, on the processor.
        alpha: of the Beta(alpha, alpha) distribution that the share of the other scan comes from; above 0.
    """
    others = torch.randperm(len(greys), generator=generator).to(greys.device)
    gammas = torch._standard_gamma(torch.full((2,), alpha), generator=generator)  # type: ignore[attr-defined]
    share = float(gammas[0] / gammas.sum().clamp_min(1e-12))
    return share * greys + (1 - share) * greys[others], share * targets + (1 - share) * targets[others]


def preview(squares: np.ndarray, config: TrainConfig, *, varied: bool = True) -> np.ndarray:
    """What the network of a run sees of some scans, as pictures.

    Args:
        squares: scans as a dataset stores them, uint8 (N, S, S).
        config: image size, variation and seed.
        varied: as while training; False is as at diagnosis.

    Returns:
        uint8 (N, image_size, image_size).
    """
    greys = to_greys(torch.from_numpy(squares), config.image_size)
    if varied:
        generator = torch.Generator().manual_seed(config.seed)
        greys = augmented(greys, generator, config)
        if config.mixup > 0:
            greys, _ = mix(greys, torch.zeros(len(greys), 1), generator, config.mixup)
    return (greys[:, 0] * 255).round().to(torch.uint8).numpy()


def _move(greys: Tensor, generator: torch.Generator, strength: float, flip: bool, stretch: float) -> Tensor:
    n = len(greys)
    turn = _spread(n, MAX_TURN * strength, generator)
    zoom = 1 + _spread(n, min(MAX_ZOOM * strength, 0.5), generator)
    mirror = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0) if flip else torch.ones(n)
    shift = torch.stack([_spread(n, 2 * MAX_SHIFT * strength, generator) for _ in range(2)])  # sides are 2 wide here
    wider = _widths(n, generator, stretch) if stretch > 0 else torch.ones(n)
    cos, sin = torch.cos(turn) / zoom, torch.sin(turn) / zoom
    rows = [cos * mirror / wider, -sin / wider, shift[0], sin * mirror * wider, cos * wider, shift[1]]
    theta = torch.stack(rows, dim=1).view(n, 2, 3)
    grid = functional.affine_grid(theta.to(greys.device), list(greys.shape), align_corners=False)
    return functional.grid_sample(greys, grid, padding_mode="reflection", align_corners=False)


def _widths(n: int, generator: torch.Generator, share: float) -> Tensor:
    """What widths are multiplied and heights divided by, float32 (n,)."""
    chosen = torch.rand(n, generator=generator) < share
    return torch.exp(chosen * _spread(n, math.log(MAX_STRETCH) / 2, generator))


def _expose(greys: Tensor, generator: torch.Generator, strength: float) -> Tensor:
    n = len(greys)
    gamma = torch.exp(_spread(n, MAX_GAMMA * strength, generator))
    contrast = 1 + _spread(n, min(MAX_CONTRAST * strength, 0.9), generator)
    brightness = _spread(n, MAX_BRIGHTNESS * strength, generator)
    gamma, contrast, brightness = (item.to(greys.device)[:, None, None, None] for item in (gamma, contrast, brightness))
    mean = greys.mean(dim=(2, 3), keepdim=True)
    return (((greys - mean) * contrast + mean + brightness).clamp(0, 1) ** gamma).clamp(0, 1)


def _hide(greys: Tensor, generator: torch.Generator, share: float) -> Tensor:
    n = len(greys)
    sides = PATCH[0] + (PATCH[1] - PATCH[0]) * torch.rand(2, n, generator=generator)
    corners = torch.rand(2, n, generator=generator) * (1 - sides)
    chosen = torch.rand(n, generator=generator) < share
    patch = _inside(greys, corners, corners + sides) & chosen[:, None, None, None].to(greys.device)
    return torch.where(patch, greys.mean(dim=(2, 3), keepdim=True), greys)


def _frame(greys: Tensor, generator: torch.Generator, share: float) -> Tensor:
    n = len(greys)
    chosen = torch.rand(n, generator=generator) < share
    lost = MAX_FRAME * torch.rand(4, n, generator=generator) * chosen  # above, below, left, right
    is_air = torch.rand(n, generator=generator) < 0.5
    kept = _inside(greys, lost[0::2], 1 - lost[1::2])
    mean = greys.mean(dim=(2, 3), keepdim=True)
    return torch.where(kept, greys, torch.where(is_air[:, None, None, None].to(greys.device), 0.0, mean))


def _spoil(greys: Tensor, generator: torch.Generator, share: float) -> Tensor:
    n, side = len(greys), greys.shape[-1]
    chosen = (torch.rand(n, generator=generator) < share).float()
    amount = chosen * (torch.rand(n, generator=generator) * (MAX_SHARPENING + MAX_SOFTENING) - MAX_SHARPENING)
    noise = chosen * MAX_NOISE * torch.rand(n, generator=generator)
    amount, noise = (item.to(greys.device)[:, None, None, None] for item in (amount, noise))
    soft = resized(resized(greys, max(side // 2, 1)), side)
    grain = torch.randn(greys.shape, generator=generator).to(greys.device)
    return (greys + amount * (soft - greys) + noise * grain).clamp(0, 1)


def _borrow(greys: Tensor, generator: torch.Generator, share: float) -> Tensor:
    n = len(greys)
    for name, borrowed in LOOKS.items():
        chosen = torch.nonzero(torch.rand(n, generator=generator) < share)[:, 0]
        others = torch.randperm(n, generator=generator)[: len(chosen)]
        amount = torch.rand(len(chosen), 1, 1, 1, generator=generator) if name in PARTLY else torch.ones(1)
        chosen, others, amount = (item.to(greys.device) for item in (chosen, others, amount))
        own = greys[chosen]
        if len(own):
            greys = greys.index_copy(0, chosen, own + amount * (borrowed(own, greys[others]) - own))
    return greys


def _inside(greys: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
    """Where a rectangle of each scan lies, bool (N, 1, H, W).

    Its upper left and its lower right corner are shares of height and width, (2, N) each.
    """
    (top, left), (bottom, right) = (item[:, :, None] for item in (starts, ends))  # (N, 1) each
    rows, columns = (torch.arange(size)[None] / size for size in greys.shape[2:])
    in_rows, in_columns = (rows >= top) & (rows < bottom), (columns >= left) & (columns < right)
    return (in_rows[:, None, :, None] & in_columns[:, None, None, :]).to(greys.device)


def _spread(n: int, reach: float, generator: torch.Generator) -> Tensor:
    """Evenly between -reach and reach, float32 (n,)."""
    return (2 * torch.rand(n, generator=generator) - 1) * reach
