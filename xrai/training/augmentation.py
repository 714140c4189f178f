"""Random variation of training scans, a batch at once: other positions, exposures and looks, hidden patches."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from xrai.scans.preprocessing import resize_images, to_grey_tensor
from xrai.training.appearance_transfer import APPEARANCE_TRANSFERS
from xrai.training.config import TrainConfig

MAX_ROTATION = math.radians(10)
MAX_TRANSLATION = 0.08
MAX_SCALE_CHANGE = 0.15
MAX_ASPECT_JITTER = 1.5
MAX_GAMMA = 0.35
MAX_CONTRAST = 0.25
MAX_BRIGHTNESS = 0.1
ERASE_SIDE_RANGE = (0.15, 0.4)
MAX_BORDER = 0.16
MAX_SHARPEN, MAX_BLUR = 0.7, 1.0
MAX_NOISE = 0.05
PARTIAL_TRANSFERS = ("greys", "spectrum")


def augment(
    images: Tensor,
    generator: torch.Generator,
    *,
    strength: float = 1.0,
    erase_prob: float = 0.25,
    hflip: bool = False,
    border_prob: float = 0.0,
    quality_prob: float = 0.0,
    appearance_transfer_prob: float = 0.0,
    aspect_jitter_prob: float = 0.0,
) -> Tensor:
    """A batch as the network sees it while training; every scan gets changes of its own.

    Args:
        images: float (N, 1, H, W), grey values in 0 to 1.
        generator: source of all chance, on the processor; the same state gives the same changes.
        strength: 0 is off; 1 turns by up to 10°, shifts by up to 8 % of the side, scales by up to 15 %,
            changes gamma by up to e^±0.35, contrast by up to 25 % and brightness by up to 0.1; 2 is twice that.
        erase_prob: the share of scans that get a rectangle, 15 to 40 % of the side, filled with the scan's mean
            (random erasing, Zhong et al. 2020).
        hflip: also mirror half of the scans left to right.
        border_prob: the share of scans whose border, up to 16 % of the side at each edge, is masked: half of them with
            air, half with the scan's mean.
        quality_prob: the share of scans that are blurred, down to half the resolution, or sharpened, and get noise of
            up to 0.05.
        appearance_transfer_prob: the share of scans that take over the histogram of another scan of the batch, and,
            each with the same probability, its spectrum, border and shading (`training.appearance_transfer`); histogram
            and spectrum to a random degree.
        aspect_jitter_prob: the share of scans whose aspect ratio is changed by a factor of up to 1.5.

    Returns:
        float (N, 1, H, W), grey values in 0 to 1. What moves in from outside is the scan mirrored: bars of air would
        tell how a scan was moved.
    """
    if appearance_transfer_prob > 0:
        images = _transfer_appearance(images, generator, appearance_transfer_prob)
    if strength > 0 or hflip or aspect_jitter_prob > 0:
        images = _apply_affine(images, generator, strength, hflip, aspect_jitter_prob)
    if strength > 0:
        images = _jitter_exposure(images, generator, strength)
    if erase_prob > 0:
        images = _erase(images, generator, erase_prob)
    if border_prob > 0:
        images = _mask_border(images, generator, border_prob)
    return _degrade(images, generator, quality_prob) if quality_prob > 0 else images


def augment_batch(images: Tensor, generator: torch.Generator, config: TrainConfig) -> Tensor:
    """`augment` as a run asks for it."""
    return augment(
        images,
        generator,
        strength=config.augment_strength,
        erase_prob=config.erase_prob,
        hflip=config.hflip,
        border_prob=config.border_prob,
        quality_prob=config.quality_prob,
        appearance_transfer_prob=config.appearance_transfer_prob,
        aspect_jitter_prob=config.aspect_jitter_prob,
    )


def mixup_batch(images: Tensor, targets: Tensor, generator: torch.Generator, alpha: float) -> tuple[Tensor, Tensor]:
    """Each scan blended with another of the batch, and the targets with it (mixup, Zhang et al. 2018).

    Args:
        images: float (N, 1, H, W).
        targets: class probabilities, float (N, C).
        generator: source of all chance, on the processor.
        alpha: of the Beta(alpha, alpha) distribution that the share of the other scan comes from; above 0.
    """
    others = torch.randperm(len(images), generator=generator).to(images.device)
    gammas = torch._standard_gamma(torch.full((2,), alpha), generator=generator)  # type: ignore[attr-defined]
    share = float(gammas[0] / gammas.sum().clamp_min(1e-12))
    return share * images + (1 - share) * images[others], share * targets + (1 - share) * targets[others]


def preview(images: np.ndarray, config: TrainConfig, *, is_augmented: bool = True) -> np.ndarray:
    """What the network of a run sees of some scans, as pictures.

    Args:
        images: scans as a dataset stores them, uint8 (N, S, S).
        config: image size, variation and seed.
        is_augmented: as while training; False is as at diagnosis.

    Returns:
        uint8 (N, image_size, image_size).
    """
    inputs = to_grey_tensor(torch.from_numpy(images), config.image_size)
    if is_augmented:
        generator = torch.Generator().manual_seed(config.seed)
        inputs = augment_batch(inputs, generator, config)
        if config.mixup_alpha > 0:
            inputs, _ = mixup_batch(inputs, torch.zeros(len(inputs), 1), generator, config.mixup_alpha)
    return (inputs[:, 0] * 255).round().to(torch.uint8).numpy()


def _apply_affine(
    images: Tensor, generator: torch.Generator, strength: float, hflip: bool, aspect_jitter_prob: float
) -> Tensor:
    n = len(images)
    angle = _sample_uniform(n, MAX_ROTATION * strength, generator)
    scale = 1 + _sample_uniform(n, min(MAX_SCALE_CHANGE * strength, 0.5), generator)
    flip_sign = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0) if hflip else torch.ones(n)
    translation = torch.stack(
        [_sample_uniform(n, 2 * MAX_TRANSLATION * strength, generator) for _ in range(2)]
    )  # sides are 2 wide here
    aspect = _sample_aspect(n, generator, aspect_jitter_prob) if aspect_jitter_prob > 0 else torch.ones(n)
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    rows = [
        cos * flip_sign / aspect,
        -sin / aspect,
        translation[0],
        sin * flip_sign * aspect,
        cos * aspect,
        translation[1],
    ]
    theta = torch.stack(rows, dim=1).view(n, 2, 3)
    grid = functional.affine_grid(theta.to(images.device), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _sample_aspect(n: int, generator: torch.Generator, prob: float) -> Tensor:
    """What widths are multiplied and heights divided by, float32 (n,)."""
    mask = torch.rand(n, generator=generator) < prob
    return torch.exp(mask * _sample_uniform(n, math.log(MAX_ASPECT_JITTER) / 2, generator))


def _jitter_exposure(images: Tensor, generator: torch.Generator, strength: float) -> Tensor:
    n = len(images)
    gamma = torch.exp(_sample_uniform(n, MAX_GAMMA * strength, generator))
    contrast = 1 + _sample_uniform(n, min(MAX_CONTRAST * strength, 0.9), generator)
    brightness = _sample_uniform(n, MAX_BRIGHTNESS * strength, generator)
    gamma, contrast, brightness = (
        item.to(images.device)[:, None, None, None] for item in (gamma, contrast, brightness)
    )
    mean = images.mean(dim=(2, 3), keepdim=True)
    return (((images - mean) * contrast + mean + brightness).clamp(0, 1) ** gamma).clamp(0, 1)


def _erase(images: Tensor, generator: torch.Generator, prob: float) -> Tensor:
    n = len(images)
    sides = ERASE_SIDE_RANGE[0] + (ERASE_SIDE_RANGE[1] - ERASE_SIDE_RANGE[0]) * torch.rand(2, n, generator=generator)
    corners = torch.rand(2, n, generator=generator) * (1 - sides)
    mask = torch.rand(n, generator=generator) < prob
    patch = _rectangle_mask(images, corners, corners + sides) & mask[:, None, None, None].to(images.device)
    return torch.where(patch, images.mean(dim=(2, 3), keepdim=True), images)


def _mask_border(images: Tensor, generator: torch.Generator, prob: float) -> Tensor:
    n = len(images)
    mask = torch.rand(n, generator=generator) < prob
    margins = MAX_BORDER * torch.rand(4, n, generator=generator) * mask  # above, below, left, right
    is_air = torch.rand(n, generator=generator) < 0.5
    interior = _rectangle_mask(images, margins[0::2], 1 - margins[1::2])
    mean = images.mean(dim=(2, 3), keepdim=True)
    return torch.where(interior, images, torch.where(is_air[:, None, None, None].to(images.device), 0.0, mean))


def _degrade(images: Tensor, generator: torch.Generator, prob: float) -> Tensor:
    n, side = len(images), images.shape[-1]
    mask = (torch.rand(n, generator=generator) < prob).float()
    amount = mask * (torch.rand(n, generator=generator) * (MAX_SHARPEN + MAX_BLUR) - MAX_SHARPEN)
    noise = mask * MAX_NOISE * torch.rand(n, generator=generator)
    amount, noise = (item.to(images.device)[:, None, None, None] for item in (amount, noise))
    blurred = resize_images(resize_images(images, max(side // 2, 1)), side)
    grain = torch.randn(images.shape, generator=generator).to(images.device)
    return (images + amount * (blurred - images) + noise * grain).clamp(0, 1)


def _transfer_appearance(images: Tensor, generator: torch.Generator, prob: float) -> Tensor:
    n = len(images)
    for name, transfer in APPEARANCE_TRANSFERS.items():
        indices = torch.nonzero(torch.rand(n, generator=generator) < prob)[:, 0]
        others = torch.randperm(n, generator=generator)[: len(indices)]
        amount = torch.rand(len(indices), 1, 1, 1, generator=generator) if name in PARTIAL_TRANSFERS else torch.ones(1)
        indices, others, amount = (item.to(images.device) for item in (indices, others, amount))
        own = images[indices]
        if len(own):
            images = images.index_copy(0, indices, own + amount * (transfer(own, images[others]) - own))
    return images


def _rectangle_mask(images: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
    """Where a rectangle of each scan lies, bool (N, 1, H, W).

    Its upper left and its lower right corner are shares of height and width, (2, N) each.
    """
    (top, left), (bottom, right) = (item[:, :, None] for item in (starts, ends))  # (N, 1) each
    rows, columns = (torch.arange(size)[None] / size for size in images.shape[2:])
    in_rows, in_columns = (rows >= top) & (rows < bottom), (columns >= left) & (columns < right)
    return (in_rows[:, None, :, None] & in_columns[:, None, None, :]).to(images.device)


def _sample_uniform(n: int, limit: float, generator: torch.Generator) -> Tensor:
    """Evenly between -reach and reach, float32 (n,)."""
    return (2 * torch.rand(n, generator=generator) - 1) * limit
