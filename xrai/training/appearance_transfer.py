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

AppearanceTransfer = Callable[[Tensor, Tensor], Tensor]

BORDER_FADE = (0.1, 0.15)
"""From where to where a borrowed border fades out, from the nearest edge, in shares of the side."""

HISTOGRAM_BINS = 1024
"""Greys that are told apart while they are borrowed."""

MIN_FREQUENCY = 4
"""The frequency from which on a spectrum is borrowed, in cycles a side."""

MAX_GAIN = 4.0
"""At most so many times as strong, or as weak, is a frequency made: what is all but absent is no more than noise."""

SHADING_GRID_SIZE = 8
"""Fields a side, whose mean grey comes to lie halfway between the scan's own and the other's."""


def match_histogram(images: Tensor, references: Tensor) -> Tensor:
    """Each with the grey values of another, the darkest where it is darkest: histograms matched.

    In `LEVELS` steps from black to white, so that what is of one grey, such as air, stays of one grey.
    """
    levels, reference_levels = (
        (item.flatten(1) * (HISTOGRAM_BINS - 1)).round().long() for item in (images, references)
    )
    zeros, ones = (
        torch.zeros(len(images), HISTOGRAM_BINS, device=images.device),
        torch.ones(levels.shape, device=images.device),
    )
    counts, reference_counts = (zeros.scatter_add(1, item, ones) for item in (levels, reference_levels))
    midranks = counts.cumsum(dim=1) - counts / 2  # of each level's places, if they stood in order
    lookup = torch.searchsorted(reference_counts.cumsum(dim=1), midranks).clamp_max(HISTOGRAM_BINS - 1) / (
        HISTOGRAM_BINS - 1
    )
    return lookup.gather(1, levels).view_as(images)


def match_amplitude_spectrum(images: Tensor, references: Tensor) -> Tensor:
    """Each as sharp and as grainy as another: the mean log amplitude at each frequency is that of the other.

    Phases stay, and so does what is broad: the other way round than in Fourier domain adaptation (Yang & Soatto 2020).
    """
    height, width = images.shape[2:]
    row_frequencies, column_frequencies = torch.fft.fftfreq(height) * height, torch.fft.rfftfreq(width) * width
    ring = torch.hypot(row_frequencies[:, None], column_frequencies).round().long().flatten()
    ring_sizes = torch.bincount(ring).to(images.device)
    ring = ring.to(images.device)
    spectrum, reference_spectrum = torch.fft.rfft2(images), torch.fft.rfft2(references)

    def radial_profile(waves: Tensor) -> Tensor:  # (N, rings)
        logs = waves.abs().clamp_min(1e-6).log().flatten(1)
        return torch.zeros(len(waves), len(ring_sizes), device=images.device).index_add(1, ring, logs) / ring_sizes

    gain = torch.exp(radial_profile(reference_spectrum) - radial_profile(spectrum)).clamp(1 / MAX_GAIN, MAX_GAIN)
    gain[:, :MIN_FREQUENCY] = 1
    return torch.fft.irfft2(spectrum * gain[:, ring].view(spectrum.shape), s=(height, width)).clamp(0, 1)


def transfer_border(images: Tensor, references: Tensor) -> Tensor:
    """Each in the border of another, faded in: letters, shoulders and the film's edge are those of the other."""
    start, end = BORDER_FADE
    rows, columns = (
        torch.minimum(positions := (torch.arange(size) + 0.5) / size, 1 - positions) for size in images.shape[2:]
    )
    depth = torch.minimum(rows[:, None], columns).to(images.device)  # from the nearest edge, as a share of the side
    return torch.lerp(references, images, ((depth - start) / (end - start)).clamp(0, 1).expand_as(images))


def transfer_shading(images: Tensor, references: Tensor) -> Tensor:
    """Each with broad light and shade halfway between its own and another's."""
    coarse = functional.adaptive_avg_pool2d(references - images, SHADING_GRID_SIZE) / 2
    shading = functional.interpolate(coarse, images.shape[2:], mode="bicubic", align_corners=False)
    return (images + shading).clamp(0, 1)


APPEARANCE_TRANSFERS: dict[str, AppearanceTransfer] = {
    "greys": match_histogram,
    "spectrum": match_amplitude_spectrum,
    "border": transfer_border,
    "shading": transfer_shading,
}
"""Every way to borrow, by what is borrowed."""
