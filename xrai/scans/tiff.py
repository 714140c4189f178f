"""Decode TIFF files in forms that Pillow lacks or reads in part: 64-bit floats, 16-bit channels, packed bits."""

from __future__ import annotations

import io

import numpy as np
import tifffile

from xrai.core.errors import ScanError
from xrai.scans.scan import check_size

_ALPHA = (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA)


def decode_tiff(data: bytes) -> tuple[np.ndarray, str]:
    """Decode the first page.

    Returns:
        Values of any real dtype, black at the lowest: grey (H, W), RGB (H, W, 3) or RGB with alpha (H, W, 4), not yet
        oriented; and the form of the file in words.

    Raises:
        ScanError: the form cannot be decoded; the picture is too small or too large.
        Exception: whatever tifffile raises on a damaged file.
    """
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        check_size(page.imagewidth, page.imagelength)
        kind = f"{page.bitspersample}-bit {page.dtype or 'packed'}"
        values = _decode_page(page, data)
        axes, photometric, extra = page.axes, page.photometric, tuple(page.extrasamples)
    if values is None or values.dtype.kind not in "buif" or axes not in ("YX", "YXS", "SYX"):
        raise ScanError(
            "The TIFF file holds a picture in a form that XRAI cannot decode ({kind}): export it as PNG, or as TIFF "
            "with 8 or 16 bits of grey.",
            kind=kind,
        )
    channels = _select_channels(values.transpose(1, 2, 0) if axes == "SYX" else values, photometric, extra)
    return (-channels.astype(np.float64) if photometric == tifffile.PHOTOMETRIC.MINISWHITE else channels), kind


def _decode_page(page: tifffile.TiffPage, data: bytes) -> np.ndarray | None:
    """The stored values; None where no decoder knows their form."""
    try:
        return page.asarray()
    except (NotImplementedError, ValueError):  # tifffile leaves rare packings and compressions to other libraries
        import cv2

        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_GRAYSCALE)


def _select_channels(values: np.ndarray, photometric: int, extra: tuple[int, ...]) -> np.ndarray:
    """Grey, RGB, or RGB with alpha, from all channels (H, W, C); other channels are passed over."""
    if values.ndim == 2:
        return values
    if photometric != tifffile.PHOTOMETRIC.RGB:
        return values[..., 0]
    return values[..., :4] if extra[:1] and extra[0] in _ALPHA else values[..., :3]
