"""What a picture looks like in a few hundred numbers: a thumbnail, its greys, and its edges by place and direction."""

from __future__ import annotations

import numpy as np
from PIL import Image

SIDE = 64  # of a thumbnail, in pixels
GREYS = 16  # places along a side at which greys are compared
CELLS = 8  # places along a side at which edges are counted
DIRECTIONS = 8
N_NUMBERS = GREYS * GREYS + CELLS * CELLS * DIRECTIONS

_BATCH = 64  # as many thumbnails as a processor's cache holds while they are worked on
_CONTRAST = 48.0  # spread to which every thumbnail's greys are brought
_FAINT = 64.0  # edges in a cell that count for little


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """Squeeze a picture uint8 (H, W) into a square, uint8 (SIDE, SIDE), as `scans.preprocessing.to_square` does."""
    squeezed = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.array(squeezed)


def looks(thumbnails: np.ndarray) -> np.ndarray:
    """Describe thumbnails uint8 (N, SIDE, SIDE) -> float32 (N, N_NUMBERS).

    The same whatever the brightness and contrast. Edges are counted by place and direction as in histograms of
    oriented gradients (Dalal and Triggs 2005), but with dark-to-bright and bright-to-dark apart, lest a negative look
    like its picture; each place is measured against its surroundings.
    """
    batches = range(0, len(thumbnails), _BATCH)
    return np.concatenate([_described(thumbnails[start : start + _BATCH]) for start in batches])


def _described(thumbnails: np.ndarray) -> np.ndarray:
    greys = thumbnails.astype(np.float32)
    greys -= greys.mean(axis=(1, 2), keepdims=True)
    greys *= _CONTRAST / np.maximum(greys.std(axis=(1, 2), keepdims=True), 1)
    coarse = _pooled(greys, GREYS) / (SIDE // GREYS) ** 2 / _CONTRAST
    return np.concatenate([coarse.reshape(len(greys), -1), _edges(greys)], axis=1)


def _edges(greys: np.ndarray) -> np.ndarray:
    """(N, SIDE, SIDE) -> (N, CELLS · CELLS · DIRECTIONS)."""
    across, down = np.zeros_like(greys), np.zeros_like(greys)
    across[:, :, 1:-1] = greys[:, :, 2:] - greys[:, :, :-2]
    down[:, 1:-1] = greys[:, 2:] - greys[:, :-2]
    diagonal = np.float32(np.sqrt(0.5))
    slopes = [across, down, (across + down) * diagonal, (across - down) * diagonal]
    rising = [_pooled(np.maximum(slope, 0), CELLS) for slope in slopes]
    falling = [_pooled(np.maximum(-slope, 0), CELLS) for slope in slopes]
    counts = np.stack([*rising, *falling], axis=3)  # (N, CELLS, CELLS, DIRECTIONS)
    total = counts.sum(axis=3) / 2
    usual = _surroundings(total) + total.mean(axis=(1, 2), keepdims=True) / 2 + _FAINT
    return np.sqrt(counts / usual[..., None]).reshape(len(greys), -1)


def _pooled(values: np.ndarray, places: int) -> np.ndarray:
    """Sum squares of pixels: (N, SIDE, SIDE) -> (N, places, places)."""
    width = SIDE // places
    return values.reshape(len(values), places, width, places, width).sum(axis=(2, 4))


def _surroundings(total: np.ndarray) -> np.ndarray:
    """Mean over each cell and its eight neighbours, (N, CELLS, CELLS)."""
    wide = np.pad(total, ((0, 0), (1, 1), (1, 1)), mode="edge")
    return np.mean([wide[:, i : i + CELLS, j : j + CELLS] for i in range(3) for j in range(3)], axis=0)
