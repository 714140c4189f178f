"""One pass over the dataset: a thumbnail and quality measurements of every scan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from xrai.data.audit.image_quality import ImageQuality, measure_image_quality
from xrai.data.dataset import Dataset

THUMBNAIL_SIDE = 64
"""Side of the thumbnails in pixels."""

_BATCH_SIZE = 128

T = TypeVar("T")

ProgressCallback = Callable[[float], None]
"""Takes the share of a check that is done, 0 to 1; raises `AuditStoppedError` where the audit shall stop."""


class AuditStoppedError(Exception):
    """The audit was asked to stop."""


def iterate_with_progress(items: Sequence[T], progress: ProgressCallback) -> Iterator[T]:
    """Iterate over items and report the progress before each."""
    for index, item in enumerate(items):
        progress(index / len(items))
        yield item


def sub_progress(progress: ProgressCallback, index: int, n: int) -> ProgressCallback:
    """The progress callback of part `index`, from 0, of `n` equal parts of a check."""
    return lambda share: progress((index + share) / n)


@dataclass(frozen=True, eq=False)
class DatasetPass:
    """A dataset with the results of one pass over its scans.

    Attributes:
        dataset: open.
        thumbnails: uint8 (N, 64, 64), by area averaging.
        quality: measurements, (N,) each.
    """

    dataset: Dataset
    thumbnails: np.ndarray
    quality: ImageQuality

    def thumbnails_at(self, side: int) -> np.ndarray:
        """The thumbnails at `side` pixels, a divisor of 64: float32 (N, side, side), 0 to 255."""
        k = THUMBNAIL_SIDE // side
        return self.thumbnails.reshape(-1, side, k, side, k).mean((2, 4), dtype=np.float32)

    @cached_property
    def n_pixels(self) -> np.ndarray:
        """Pixels of each original file, int64 (N,)."""
        metadata = self.dataset.file_metadata()
        return metadata["width"].astype(np.int64) * metadata["height"]


def run_dataset_pass(dataset: Dataset, progress: ProgressCallback) -> DatasetPass:
    """Read every scan once.

    Raises:
        AuditStoppedError: the audit was asked to stop.
    """
    n = len(dataset)
    thumbnails = np.empty((n, THUMBNAIL_SIDE, THUMBNAIL_SIDE), np.uint8)
    measurements = np.empty((3, n))
    for start in iterate_with_progress(range(0, n, _BATCH_SIZE), progress):
        rows = range(start, min(start + _BATCH_SIZE, n))
        for row, scan in zip(rows, dataset.images(rows), strict=True):
            thumbnails[row] = resize_image(scan, THUMBNAIL_SIDE)
            measurements[:, row] = measure_image_quality(scan)
    contrast, border, letters = measurements
    return DatasetPass(dataset, thumbnails, ImageQuality(contrast.astype(np.int64), border, letters.astype(np.int64)))


def resize_image(scan: np.ndarray, side: int) -> np.ndarray:
    """A scan uint8 (S, S) at `side` pixels, uint8 (side, side), up or down."""
    import cv2

    return cv2.resize(scan, (side, side), interpolation=cv2.INTER_AREA if scan.shape[0] >= side else cv2.INTER_LINEAR)
