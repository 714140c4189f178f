"""Preprocessing and normalisation from pixels to the network's input tensor, stored with the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:  # torch takes seconds to import, and building a dataset does not need it
    import torch


MIN_STD = 0.03
"""Lower limit of an image's standard deviation: the noise of a nearly blank image is not amplified further."""


@dataclass(frozen=True)
class Preprocessing:
    """The parameters of the preprocessing.

    Attributes:
        stored_size: side in pixels of the square to which an image is first resized, as in the dataset.
        input_size: side in pixels of the network's input.
        mean: mean grey value, 0 to 1, subtracted.
        std: standard deviation of grey values, above 0, divided by.
        per_scan: standardise each image with its own mean and standard deviation instead, so that exposure and
            contrast make no difference.
    """

    stored_size: int
    input_size: int
    mean: float
    std: float
    per_scan: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The parameters as plain JSON-able values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """The parameters read back from a card."""
        return cls(
            int(values["stored_size"]),
            int(values["input_size"]),
            float(values["mean"]),
            float(values["std"]),
            values.get("per_scan", False),  # cards up to version 3 do not say
        )

    def standardise(self, images: torch.Tensor) -> torch.Tensor:
        """Standardise images (N, 1, H, W) in 0 to 1 to about zero mean and unit variance."""
        if self.per_scan:
            mean, std = images.mean(dim=(2, 3), keepdim=True), images.std(dim=(2, 3), keepdim=True)
            return (images - mean) / std.clamp_min(MIN_STD)
        return (images - self.mean) / self.std

    def __call__(self, pixels: np.ndarray) -> torch.Tensor:
        """Convert an image uint8 (H, W) to network input, float32 (1, 1, input_size, input_size)."""
        import torch

        square = to_square(pixels, self.stored_size)
        return self.standardise(to_grey_tensor(torch.tensor(square)[None], self.input_size))


def to_square(pixels: np.ndarray, size: int) -> np.ndarray:
    """Resize an image uint8 (H, W) to uint8 (size, size), not in proportion, with an antialiasing triangle filter.

    Public datasets are resized like this, and a scan must be read like its resized copy.
    """
    if pixels.shape == (size, size):
        return pixels
    return np.array(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))


def fitted_shape(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    """Height and width of an image of `shape` shrunk, in proportion, to at most `side` pixels each."""
    factor = min(side / max(shape), 1)
    height, width = (max(round(length * factor), 1) for length in shape)
    return height, width


def shrink_to_fit(pixels: np.ndarray, side: int) -> np.ndarray:
    """An image uint8 (H, W) shrunk, in proportion, to at most `side` pixels a side; smaller images stay as they are."""
    height, width = fitted_shape(pixels.shape, side)
    if (height, width) == pixels.shape:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0))


def to_grey_tensor(squares: torch.Tensor, size: int) -> torch.Tensor:
    """Convert squares uint8 (N, S, S) to float32 (N, 1, size, size) in 0 to 1, antialiased."""
    import torch

    return resize_images(squares.to(torch.float32)[:, None] / 255, size)


def resize_images(images: torch.Tensor, size: int) -> torch.Tensor:
    """Resize images float32 (N, 1, S, S) in 0 to 1 to (N, 1, size, size), antialiased."""
    import torch

    if images.shape[-1] == size:
        return images
    return torch.nn.functional.interpolate(images, (size, size), mode="bilinear", antialias=True).clamp_(0, 1)
