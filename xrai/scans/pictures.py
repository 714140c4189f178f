"""Decode JPEG, JPEG 2000, PNG, TIFF, WebP and BMP files to upright grey pixels."""

from __future__ import annotations

import hashlib
import io
import struct
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from xrai.core.errors import ScanError
from xrai.core.language import say
from xrai.scans.grey_scale import robust_range, scale_robustly, scale_to_range, to_luma
from xrai.scans.jpeg import decode_rare_jpeg, read_jpeg_header
from xrai.scans.scan import Scan, check_size, to_uint8, too_large_error

_ORIENTATION = 0x0112  # EXIF and TIFF 6.0
_PHOTOMETRIC = 262
_BITS_PER_SAMPLE = 258
_SAMPLE_FORMAT = 339
_WHITE_IS_ZERO = 0
_UNSIGNED = 1

_GREY_MODES = {"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"}
_PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
_MAX_COPIES = 8  # pages of a TIFF file that are looked at
_COPY_GRID = 32  # side of the grid on which pages are compared
_MIN_COPY_CORRELATION = 0.95
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
        form: the Pillow plugin to use: "JPEG", "JPEG2000", "PNG", "TIFF", "WEBP" or "BMP".
        min_side: see `xrai.scans.read_scan`.

    Returns:
        A `Scan`: 8-bit grey as stored; colour as luma; transparency on black, unless it is the same everywhere; 16 and
        32 bits and floats scaled as in `grey_scale.scale_robustly`.

    Raises:
        ScanError: too small, too large, or several images in one file.
        Exception: whatever Pillow raises on a damaged file; `xrai.scans.read_scan` converts it.
    """
    decoded = _decode(data, form, min_side)
    digest = hashlib.sha256(data).hexdigest()
    return Scan(
        decoded.pixels, digest, form, decoded.mode, decoded.width, decoded.height, len(data), colour=decoded.colour
    )


class _Decoded(NamedTuple):
    """Pixels and facts of a picture: see `Scan`."""

    pixels: np.ndarray
    mode: str
    width: int
    height: int
    colour: float = 0.0


def _decode(data: bytes, form: str, min_side: int | None) -> _Decoded:
    """Decode with Pillow, or a form that Pillow lacks with another library."""
    if form == "JPEG" and (header := read_jpeg_header(data)) and header.is_rare:
        pixels = decode_rare_jpeg(data, header)
        return _Decoded(pixels, f"{header.precision}-bit JPEG", header.width, header.height)
    if form == "PNG":
        data = _without_texts(data)
    image = _open_unless_rare(data, form)
    if image is None:
        return _decode_rare_tiff(data)
    with image:
        check_size(*image.size)
        _refuse_multiple_images(image, form)
        if _has_deep_channels(image, data):
            return _decode_deep_channels(image, data)
        return _decode_with_pillow(image, data, form, min_side)


def _decode_with_pillow(image: Image.Image, data: bytes, form: str, min_side: int | None) -> _Decoded:
    (width, height), mode = image.size, image.mode
    colour = _measure_colour(data, form) if mode not in _GREY_MODES else 0.0
    # "L" takes the luma channel of a JPEG as stored, without a conversion to RGB and back.
    image.draft("L", (min_side, min_side) if min_side else None)
    image.load()
    orientation = _exif_orientation(image)
    if orientation >= 5:
        width, height = height, width
    upright = _transpose(image, orientation)
    pixels = _to_grey_high_depth(upright, image) if mode[0] in "IF" else _to_grey_8_bit(upright)
    return _Decoded(pixels, mode, width, height, colour)


def _transpose(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_EXIF_TRANSPOSES[orientation]) if orientation in _EXIF_TRANSPOSES else image


def _has_deep_channels(image: Image.Image, data: bytes) -> bool:
    """Whether a picture has several channels of 16 bits, of which Pillow reads the high byte only."""
    if image.format == "PNG":
        bit_depth, colour_type = data[24], data[25]
        return bit_depth == 16 and colour_type != 0
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, ())
    return len(bits) > 1 and max(bits) == 16


def _decode_deep_channels(image: Image.Image, data: bytes) -> _Decoded:
    """Decode a PNG or TIFF with channels of 16 bits."""
    if image.format == "TIFF":
        return _decode_rare_tiff(data)
    import cv2  # takes 0.1 s, and few pictures need it

    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)  # BGR or BGRA
    if values is None:
        raise ValueError("The picture cannot be decoded.")
    rgb = np.dstack([values[..., 2::-1], values[..., 3:]])
    return _to_decoded(rgb, image.mode, _exif_orientation(image))


def _decode_rare_tiff(data: bytes) -> _Decoded:
    from xrai.scans.tiff import decode_tiff  # takes 0.1 s, and few pictures need it

    values, mode = decode_tiff(data)
    return _to_decoded(values, mode)


def _to_decoded(values: np.ndarray, mode: str, orientation: int = 1) -> _Decoded:
    """Grey and facts of values (H, W), RGB (H, W, 3) or RGB with alpha (H, W, 4), of any real dtype."""
    colour = 0.0
    if values.ndim == 3:
        rgb = values[..., :3].astype(np.float32)
        if values.shape[2] == 4 and np.ptp(values[..., 3]):
            rgb *= values[..., 3:] / np.float32(values[..., 3].max())
        scaled = Image.fromarray(to_uint8(scale_to_range(rgb, *robust_range(rgb.reshape(-1)))))
        colour, values = _colourfulness(scaled), to_luma(rgb)
    pixels = np.array(_transpose(Image.fromarray(scale_robustly(values)), orientation))
    return _Decoded(pixels, mode, pixels.shape[1], pixels.shape[0], colour)


def _open_unless_rare(data: bytes, form: str) -> Image.Image | None:
    """The image; None for a TIFF in a form that Pillow does not know."""
    try:
        return _open(data, form)
    except UnidentifiedImageError:
        if form == "TIFF":
            return None
        raise


def _open(data: bytes, form: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=(form,))
    except Image.DecompressionBombError:  # Pillow's own, higher limit, raised before the size is known
        raise too_large_error(say("far too many pixels")) from None


def _without_texts(data: bytes) -> bytes:
    """A PNG without texts and colour profile, of which Pillow refuses long ones."""
    kept, offset = [data[:8]], 8
    while offset + 8 <= len(data):
        end = offset + 12 + int.from_bytes(data[offset : offset + 4])
        if data[offset + 4 : offset + 8] not in _PNG_TEXTS:
            kept.append(data[offset:end])
        offset = end
    return b"".join(kept)


def _refuse_multiple_images(image: Image.Image, form: str) -> None:
    # A phone's JPEG may have a preview as second image (MPO); the first one is used.
    if form != "JPEG" and getattr(image, "is_animated", False) and not _has_copies_only(image):
        raise ScanError(
            "The {form} file holds several pictures, probably the pages of a document or an animation: "
            "export the one X-ray as a file of its own.",
            form=form,
        )


def _has_copies_only(image: Image.Image) -> bool:
    """Whether all further pages of a TIFF are the first one made small, as viewers add them."""
    n_frames = getattr(image, "n_frames", 1)
    if image.format != "TIFF" or n_frames > _MAX_COPIES:
        return False
    size = (_COPY_GRID, _COPY_GRID)
    first, (width, height) = np.asarray(image.convert("F").resize(size)).ravel(), image.size
    is_copy = []
    for number in range(1, n_frames):
        image.seek(number)
        page = np.asarray(image.convert("F").resize(size)).ravel()
        is_smaller = image.width < width and image.height < height
        is_copy.append(is_smaller and float(np.corrcoef(first, page)[0, 1]) > _MIN_COPY_CORRELATION)
    image.seek(0)
    return all(is_copy)


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
    with _open(data, form) as image:
        image.draft("RGB", (_COLOUR_GRID, _COLOUR_GRID))
        return _colourfulness(_on_black(image).convert("RGB"))


def _colourfulness(image: Image.Image) -> float:
    """`Scan.colour` of an image of mode "RGB"."""
    rgb = np.asarray(image.resize((_COLOUR_GRID, _COLOUR_GRID), Image.Resampling.BOX)).reshape(-1, 3) / 255
    luma = rgb.mean(axis=1, keepdims=True)
    # Colour that depends on brightness alone is the tint of a toned print or a coloured lamp, not colour of objects.
    tint = np.hstack([np.ones_like(luma), luma, luma**2])
    residual = rgb - luma - tint @ np.linalg.lstsq(tint, rgb - luma, rcond=None)[0]
    return float(np.ptp(residual, axis=1).mean())


def _on_black(image: Image.Image) -> Image.Image:
    """An image without transparency: on black, or as it is where all pixels are equally transparent."""
    if image.mode == "La":  # premultiplied; Pillow cannot convert it to RGBA directly
        image = image.convert("LA")
    if not image.has_transparency_data:
        return image
    rgba = image.convert("RGBA")
    lowest, highest = rgba.getchannel("A").getextrema()
    if lowest == highest:  # an unused channel
        return rgba.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "black"), rgba)


def _to_grey_8_bit(image: Image.Image) -> np.ndarray:
    """Convert an image of up to 8 bits per channel to grey, uint8 (H, W)."""
    return np.array(_on_black(image).convert("L"))


def _to_grey_high_depth(image: Image.Image, source_image: Image.Image) -> np.ndarray:
    """Scale 16 or 32 bits or floats -> uint8 (H, W)."""
    tags = getattr(source_image, "tag_v2", {})
    values = np.asarray(image)
    if image.mode == "I" and tags.get(_BITS_PER_SAMPLE) == (32,) and tags.get(_SAMPLE_FORMAT, (1,)) == (_UNSIGNED,):
        values = values.view(np.uint32)  # Pillow reads unsigned 32-bit values as signed
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # Pillow inverts only up to 8 bits
        values = -values.astype(np.float64)
    return scale_robustly(values)
