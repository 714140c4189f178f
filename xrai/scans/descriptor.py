"""Image descriptor: thumbnail, grey values and a histogram of oriented gradients (HOG)."""

from __future__ import annotations

import numpy as np
from PIL import Image

THUMBNAIL_SIDE = 64  # pixels
GREY_GRID = 16  # cells along a side for grey values
HOG_CELLS = 8  # cells along a side for edges
HOG_DIRECTIONS = 8
DESCRIPTOR_SIZE = GREY_GRID * GREY_GRID + HOG_CELLS * HOG_CELLS * HOG_DIRECTIONS

_BATCH = 64  # thumbnails that fit into the processor's cache
_TARGET_STD = 48.0  # standard deviation to which grey values are scaled
_HOG_REGULARISER = 64.0  # edge energy of a cell that is negligible


def make_thumbnail(pixels: np.ndarray) -> np.ndarray:
    """Resize an image uint8 (H, W) to uint8 (SIDE, SIDE), not in proportion, as `preprocessing.to_square` does."""
    resized = Image.fromarray(pixels).resize(
        (THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0
    )
    return np.array(resized)


def compute_descriptors(thumbnails: np.ndarray) -> np.ndarray:
    """Describe thumbnails uint8 (N, SIDE, SIDE) -> float32 (N, DESCRIPTOR_SIZE).

    Invariant to brightness and contrast. Edges are histograms of oriented gradients (Dalal and Triggs 2005), but
    signed, so that an inverted image differs from the original; each cell is normalised by its neighbourhood.
    """
    batches = range(0, len(thumbnails), _BATCH)
    return np.concatenate([_describe_batch(thumbnails[start : start + _BATCH]) for start in batches])


def _describe_batch(thumbnails: np.ndarray) -> np.ndarray:
    images = thumbnails.astype(np.float32)
    images -= images.mean(axis=(1, 2), keepdims=True)
    images *= _TARGET_STD / np.maximum(images.std(axis=(1, 2), keepdims=True), 1)
    coarse = _sum_pool(images, GREY_GRID) / (THUMBNAIL_SIDE // GREY_GRID) ** 2 / _TARGET_STD
    return np.concatenate([coarse.reshape(len(images), -1), _edge_histograms(images)], axis=1)


def _edge_histograms(images: np.ndarray) -> np.ndarray:
    """(N, SIDE, SIDE) -> (N, CELLS · CELLS · DIRECTIONS)."""
    gradient_x, gradient_y = np.zeros_like(images), np.zeros_like(images)
    gradient_x[:, :, 1:-1] = images[:, :, 2:] - images[:, :, :-2]
    gradient_y[:, 1:-1] = images[:, 2:] - images[:, :-2]
    diagonal = np.float32(np.sqrt(0.5))
    gradients = [gradient_x, gradient_y, (gradient_x + gradient_y) * diagonal, (gradient_x - gradient_y) * diagonal]
    positive = [_sum_pool(np.maximum(slope, 0), HOG_CELLS) for slope in gradients]
    negative = [_sum_pool(np.maximum(-slope, 0), HOG_CELLS) for slope in gradients]
    histograms = np.stack([*positive, *negative], axis=3)  # (N, CELLS, CELLS, DIRECTIONS)
    energy = histograms.sum(axis=3) / 2
    norm = _neighbourhood_mean(energy) + energy.mean(axis=(1, 2), keepdims=True) / 2 + _HOG_REGULARISER
    return np.sqrt(histograms / norm[..., None]).reshape(len(images), -1)


def _sum_pool(values: np.ndarray, n_cells: int) -> np.ndarray:
    """Sum over cells: (N, SIDE, SIDE) -> (N, n_cells, n_cells)."""
    width = THUMBNAIL_SIDE // n_cells
    return values.reshape(len(values), n_cells, width, n_cells, width).sum(axis=(2, 4))


def _neighbourhood_mean(energy: np.ndarray) -> np.ndarray:
    """Mean over each cell and its eight neighbours, (N, CELLS, CELLS)."""
    padded = np.pad(energy, ((0, 0), (1, 1), (1, 1)), mode="edge")
    return np.mean([padded[:, i : i + HOG_CELLS, j : j + HOG_CELLS] for i in range(3) for j in range(3)], axis=0)
