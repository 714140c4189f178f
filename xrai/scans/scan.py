"""The `Scan` record, its limits, and intensity scaling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from xrai.core.errors import ScanError
from xrai.core.language import say

MAX_FILE_BYTES = 256_000_000
MAX_PIXELS = 100_000_000
MIN_SIDE = 64


@dataclass(frozen=True, eq=False)
class Scan:
    """One upright greyscale image and the metadata of its file.

    Attributes:
        pixels: uint8 (H, W), C-contiguous; 0 = air (black), 255 = densest.
        sha256: hexadecimal, of the file's bytes.
        format: "JPEG", "JPEG2000", "PNG", "TIFF", "WEBP", "BMP" or "DICOM".
        mode: what the file holds: Pillow's mode ("L", "RGB", "I;16" ...) or DICOM's photometric interpretation.
        width: of the upright image in the file; `pixels` may be smaller when it was read with `min_side`, or when it
            had plain bars.
        height: likewise.
        n_bytes: the file's size.
        patient: DICOM Patient ID with its issuer, for grouping only: never show or log it.
        metadata: DICOM attributes that are relevant to a reading, by keyword ("Modality", "ViewPosition",
            "PatientAge" ...), as far as they are present. Empty for other formats.
        warnings: where the header and the values contradict each other, and how the file was read then.
        colour: 0..1, mean colourfulness beyond an even tint: 0 for grey, toned and DICOM images, below 0.02 for a
            scan with a few coloured marks, 0.04 and more for most photographs.
    """

    pixels: np.ndarray = field(repr=False)
    sha256: str
    format: str
    mode: str
    width: int
    height: int
    n_bytes: int
    patient: str | None = field(default=None, repr=False)
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)
    colour: float = 0.0
    warnings: tuple[str, ...] = ()


def check_size(width: int, height: int) -> None:
    """Refuse an image that is too small or too large, by the size in its header.

    Raises:
        ScanError: a side is shorter than `MIN_SIDE`, or there are more than `MAX_PIXELS` pixels.
    """
    if min(width, height) < MIN_SIDE:
        raise ScanError(
            "The picture is only {width} × {height} pixels, probably a thumbnail or an icon: "
            "choose the X-ray itself, with at least {min_side} pixels on each side.",
            width=width,
            height=height,
            min_side=MIN_SIDE,
        )
    if width * height > MAX_PIXELS:
        raise too_large_error(say("{width} × {height} pixels", width=width, height=height))


def too_large_error(size: str) -> ScanError:
    """The error for an image of more than `MAX_PIXELS` pixels; `size` is its size in words."""
    return ScanError(
        "The picture has {size}, more than the {limit} megapixels that XRAI reads, "
        "probably because it is no single X-ray: export the X-ray itself at a lower resolution.",
        size=size,
        limit=MAX_PIXELS // 1_000_000,
    )


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Convert 0..1 (float) to 0..255 (uint8), rounding to the nearest."""
    # To a millionth first, so that floating-point noise does not round an image and its negative differently.
    return np.rint(np.round(values * 255, 6)).astype(np.uint8)
