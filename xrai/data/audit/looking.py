"""One look at every scan: a thumbnail, and what can be measured of a film by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from xrai.data.audit.measuring import count_letters_in_line, measure_uniform_border
from xrai.data.dataset import Dataset

THUMBNAIL_SIDE = 64
"""Side of the thumbnails in pixels."""

_BATCH_SIZE = 128

T = TypeVar("T")

ProgressCallback = Callable[[float], None]
"""Told by a check what share of it is done, from 0 to 1; raises `StoppedError` where the audit is to stop."""


class AuditStoppedError(Exception):
    """The audit was told to stop."""


def iterate_with_progress(items: Sequence[T], progress: ProgressCallback) -> Iterator[T]:
    """Go through items, and tell before each what share of them is done."""
    for index, item in enumerate(items):
        progress(index / len(items))
        yield item


def sub_progress(progress: ProgressCallback, index: int, n: int) -> ProgressCallback:
    """Tells of a check's part `number` of `n`, from 0."""
    return lambda share: progress((index + share) / n)


@dataclass(frozen=True, eq=False)
class DatasetPass:
    """A dataset with what one pass over its scans gave.

    Attributes:
        dataset: open.
        thumbnails: uint8 (N, 64, 64), each pixel the mean of what it covers.
        contrast: grey values between the darkest and the brightest hundredth of each scan, int (N,).
        border: share of the width or height, whichever is more, that plain black or white bands take, float (N,).
        letters: the longest line of letter-like bright spots, int (N,).
    """

    dataset: Dataset
    thumbnails: np.ndarray
    contrast: np.ndarray
    border: np.ndarray
    letters: np.ndarray

    def thumbnails_at(self, side: int) -> np.ndarray:
        """The thumbnails at `side` pixels, a divisor of 64: float32 (N, side, side), 0 to 255."""
        k = THUMBNAIL_SIDE // side
        return self.thumbnails.reshape(-1, side, k, side, k).mean((2, 4), dtype=np.float32)

    @cached_property
    def n_pixels(self) -> np.ndarray:
        """Pixels of each original file, int64 (N,)."""
        facts = self.dataset.file_metadata()
        return facts["width"].astype(np.int64) * facts["height"]


def run_dataset_pass(dataset: Dataset, progress: ProgressCallback) -> DatasetPass:
    """Look at every scan once.

    Raises:
        StoppedError: it was told to stop.
    """
    n = len(dataset)
    thumbnails = np.empty((n, THUMBNAIL_SIDE, THUMBNAIL_SIDE), np.uint8)
    measurements = np.empty((3, n))
    for start in iterate_with_progress(range(0, n, _BATCH_SIZE), progress):
        rows = range(start, min(start + _BATCH_SIZE, n))
        for row, scan in zip(rows, dataset.images(rows), strict=True):
            thumbnails[row] = resize_image(scan, THUMBNAIL_SIDE)
            measurements[:, row] = _contrast(scan), measure_uniform_border(scan), count_letters_in_line(scan)
    contrast, border, letters = measurements
    return DatasetPass(dataset, thumbnails, contrast.astype(np.int64), border, letters.astype(np.int64))


def resize_image(scan: np.ndarray, side: int) -> np.ndarray:
    """A scan uint8 (S, S) at `side` pixels, uint8 (side, side); a smaller one is enlarged."""
    import cv2

    return cv2.resize(scan, (side, side), interpolation=cv2.INTER_AREA if scan.shape[0] >= side else cv2.INTER_LINEAR)


def _contrast(scan: np.ndarray) -> int:
    cumulative = np.bincount(scan.ravel(), minlength=256).cumsum() / scan.size
    return int(np.searchsorted(cumulative, 0.99) - np.searchsorted(cumulative, 0.01))
