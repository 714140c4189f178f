"""Decode JPEG, PNG, TIFF, WebP and BMP files to upright grey pixels."""

from __future__ import annotations

import hashlib
import io
import struct

import numpy as np
from PIL import Image, UnidentifiedImageError

from xrai.core.errors import ScanError
from xrai.core.language import say
from xrai.scans.scan import Scan, check_size, scale_to_unit_range, to_uint8, too_large_error

_ORIENTATION = 0x0112  # EXIF and TIFF 6.0
_PHOTOMETRIC = 262
_BITS_PER_SAMPLE = 258
_SAMPLE_FORMAT = 339
_WHITE_IS_ZERO = 0
_UNSIGNED = 1

_GREY_MODES = {"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"}
_COLOUR_GRID = 64  # side of the grid on which colours are measured

# The transpose that makes each EXIF orientation upright.
_EXIF_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image_file(data: bytes, form: str, *, min_side: int | None = None) -> Scan:
    """Decode an image file: check its header, decode, orient and convert to grey.

    Args:
        data: the file's content.
        form: the Pillow plugin to use: "JPEG", "PNG", "TIFF", "WEBP" or "BMP".
        min_side: see `xrai.scans.read_scan`.

    Returns:
        A `Scan`: 8-bit grey as stored; colour as luma; transparency on black; 16 and 32 bits and floats scaled from
        minimum to maximum, a constant image to 0.

    Raises:
        ScanError: too small, too large, or several images in one file.
        Exception: whatever Pillow raises on a damaged file; `xrai.scans.read_scan` converts it.
    """
    with _open(data, form) as image:
        check_size(*image.size)
        _refuse_multiple_images(image, form)
        (width, height), mode = image.size, image.mode
        colour = _measure_colour(data, form) if image.mode not in _GREY_MODES else 0.0
        # "L" takes the luma channel of a JPEG as stored, without a conversion to RGB and back.
        image.draft("L", (min_side, min_side) if min_side else None)
        image.load()
        orientation = _exif_orientation(image)
        if orientation >= 5:
            width, height = height, width
        upright = image.transpose(_EXIF_TRANSPOSES[orientation]) if orientation in _EXIF_TRANSPOSES else image
        pixels = _to_grey_high_depth(upright, image) if mode[0] in "IF" else _to_grey_8_bit(upright)
    digest = hashlib.sha256(data).hexdigest()
    return Scan(pixels, digest, form, mode, width, height, len(data), colour=colour)


def _open(data: bytes, form: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=(form,))
    except Image.DecompressionBombError:  # Pillow's own, higher limit, raised before the size is known
        raise too_large_error(say("far too many pixels")) from None


def _refuse_multiple_images(image: Image.Image, form: str) -> None:
    # A phone's JPEG may have a preview as second image (MPO); the first one is used.
    if form != "JPEG" and getattr(image, "is_animated", False):
        raise ScanError(
            "The {form} file holds several pictures, probably the pages of a document or an animation: "
            "export the one X-ray as a file of its own.",
            form=form,
        )


def _exif_orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where it is absent or unreadable.

    Pillow itself orients a TIFF when loading it, so 1 is left there.
    """
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, struct.error, UnidentifiedImageError):
        return 1
    return orientation if orientation in _EXIF_TRANSPOSES else 1


def _measure_colour(data: bytes, form: str) -> float:
    """Measure `Scan.colour`; decodes the file again, a JPEG at its lowest resolution."""
    size = (_COLOUR_GRID, _COLOUR_GRID)
    with _open(data, form) as image:
        image.draft("RGB", size)
        decoded_image = image.convert("RGBA") if image.has_transparency_data else image.convert("RGB")
    opaque_image = (
        Image.alpha_composite(Image.new("RGBA", decoded_image.size, "black"), decoded_image)
        if decoded_image.mode == "RGBA"
        else decoded_image
    )
    rgb = np.asarray(opaque_image.convert("RGB").resize(size, Image.Resampling.BOX)).reshape(-1, 3) / 255
    luma = rgb.mean(axis=1, keepdims=True)
    # Colour that depends on brightness alone is the tint of a toned print or a coloured lamp, not colour of objects.
    tint = np.hstack([np.ones_like(luma), luma, luma**2])
    residual = rgb - luma - tint @ np.linalg.lstsq(tint, rgb - luma, rcond=None)[0]
    return float(np.ptp(residual, axis=1).mean())


def _to_grey_8_bit(image: Image.Image) -> np.ndarray:
    """Convert an image of up to 8 bits per channel to grey, uint8 (H, W)."""
    if image.mode == "La":  # premultiplied; Pillow cannot convert it to RGBA directly
        image = image.convert("LA")
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image.convert("RGBA"))
    return np.array(image.convert("L"))


def _to_grey_high_depth(image: Image.Image, source_image: Image.Image) -> np.ndarray:
    """Scale 16 or 32 bits or floats from minimum to maximum -> uint8 (H, W)."""
    tags = getattr(source_image, "tag_v2", {})
    values = np.asarray(image)
    if image.mode == "I" and tags.get(_BITS_PER_SAMPLE) == (32,) and tags.get(_SAMPLE_FORMAT, (1,)) == (_UNSIGNED,):
        values = values.view(np.uint32)  # Pillow reads unsigned 32-bit values as signed
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # Pillow inverts only up to 8 bits
        values = -values.astype(np.float64)
    return to_uint8(scale_to_unit_range(values))
