"""What a scan may take from another one while its details stay its own: exposure, sharpness, border, broad shading.

In most datasets these tell the classes apart, as they were collected in different places, and no doctor should go by
them. Borrowed from any scan while training they tell less; borrowed from one of the other class, for a test, they show
how far a model goes by them.

All take and give greys, float32 (N, 1, H, W) in 0 to 1: the scans, and as many others.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Look = Callable[[Tensor, Tensor], Tensor]

BORDER = (0.1, 0.15)
"""From where to where a borrowed border fades out, from the nearest edge, in shares of the side."""

LEVELS = 1024
"""Greys that are told apart while they are borrowed."""

LOWEST = 4
"""The frequency from which on a spectrum is borrowed, in cycles a side."""

MAX_GAIN = 4.0
"""At most so many times as strong, or as weak, is a frequency made: what is all but absent is no more than noise."""

SHADING_SIDE = 8
"""Fields a side, whose mean grey comes to lie halfway between the scan's own and the other's."""


def with_greys(greys: Tensor, others: Tensor) -> Tensor:
    """Each with the grey values of another, the darkest where it is darkest: histograms matched.

    In `LEVELS` steps from black to white, so that what is of one grey, such as air, stays of one grey.
    """
    levels, theirs = ((item.flatten(1) * (LEVELS - 1)).round().long() for item in (greys, others))
    none, one = torch.zeros(len(greys), LEVELS, device=greys.device), torch.ones(levels.shape, device=greys.device)
    counts, their_counts = (none.scatter_add(1, item, one) for item in (levels, theirs))
    middles = counts.cumsum(dim=1) - counts / 2  # of each level's places, if they stood in order
    new = torch.searchsorted(their_counts.cumsum(dim=1), middles).clamp_max(LEVELS - 1) / (LEVELS - 1)
    return new.gather(1, levels).view_as(greys)


def with_spectrum(greys: Tensor, others: Tensor) -> Tensor:
    """Each as sharp and as grainy as another: the mean log amplitude at each frequency is that of the other.

    Phases stay, and so does what is broad: the other way round than in Fourier domain adaptation (Yang & Soatto 2020).
    """
    height, width = greys.shape[2:]
    down, across = torch.fft.fftfreq(height) * height, torch.fft.rfftfreq(width) * width
    ring = torch.hypot(down[:, None], across).round().long().flatten()
    size = torch.bincount(ring).to(greys.device)
    ring = ring.to(greys.device)
    own, other = torch.fft.rfft2(greys), torch.fft.rfft2(others)

    def profile(waves: Tensor) -> Tensor:  # (N, rings)
        logs = waves.abs().clamp_min(1e-6).log().flatten(1)
        return torch.zeros(len(waves), len(size), device=greys.device).index_add(1, ring, logs) / size

    gain = torch.exp(profile(other) - profile(own)).clamp(1 / MAX_GAIN, MAX_GAIN)
    gain[:, :LOWEST] = 1
    return torch.fft.irfft2(own * gain[:, ring].view(own.shape), s=(height, width)).clamp(0, 1)


def with_border(greys: Tensor, others: Tensor) -> Tensor:
    """Each in the border of another, faded in: letters, shoulders and the film's edge are those of the other."""
    start, end = BORDER
    rows, columns = (torch.minimum(places := (torch.arange(size) + 0.5) / size, 1 - places) for size in greys.shape[2:])
    depth = torch.minimum(rows[:, None], columns).to(greys.device)  # from the nearest edge, as a share of the side
    return torch.lerp(others, greys, ((depth - start) / (end - start)).clamp(0, 1).expand_as(greys))


def with_shading(greys: Tensor, others: Tensor) -> Tensor:
    """Each with broad light and shade halfway between its own and another's."""
    coarse = functional.adaptive_avg_pool2d(others - greys, SHADING_SIDE) / 2
    shading = functional.interpolate(coarse, greys.shape[2:], mode="bicubic", align_corners=False)
    return (greys + shading).clamp(0, 1)


LOOKS: dict[str, Look] = {
    "greys": with_greys,
    "spectrum": with_spectrum,
    "border": with_border,
    "shading": with_shading,
}
"""Every way to borrow, by what is borrowed."""
