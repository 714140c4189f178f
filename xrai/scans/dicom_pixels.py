"""Stored values of a DICOM file -> grey: modality LUT, VOI LUT or window, photometric interpretation.

The steps are those of the standard (PS3.4 N.2): modality transform (PS3.3 C.11.1), VOI look-up table or window
(C.11.2), photometric interpretation (C.7.6.3.1.2). Each depends on the stored value alone, so it is computed once per
value, at most 65,536 times, and not once per pixel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from PIL import Image
from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_color_lut

from xrai.core.language import N_
from xrai.scans.grey_scale import (
    find_padding_values,
    robust_range,
    scale_robustly,
    scale_to_range,
    shows_picture,
    to_luma,
)
from xrai.scans.scan import to_uint8

WINDOW_WARNING = N_(
    "The window in the file does not fit its values, so XRAI shows the whole range of the values: compare the picture "
    "with that on your viewer."
)


def to_grey(dataset: Dataset, stored_values: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Convert stored values (H, W) or RGB (H, W, 3) to uint8 (H, W), 0 = air; and warnings about the header."""
    if dataset.PhotometricInterpretation in ("MONOCHROME1", "MONOCHROME2"):
        return _monochrome_to_grey(dataset, stored_values)
    return _colour_to_grey(dataset, stored_values), []


def _monochrome_to_grey(dataset: Dataset, stored_values: np.ndarray) -> tuple[np.ndarray, list[str]]:
    low, high = int(stored_values.min()), int(stored_values.max())
    level_index = stored_values.astype(np.int32) - low  # (H, W), index into `levels`
    levels = np.arange(low, high + 1)  # (L,), all possible stored values
    is_padding = _tagged_padding(dataset, levels, stored_values.dtype)  # (L,)
    is_padding |= np.isin(levels, find_padding_values(stored_values, ~is_padding[level_index]))
    counts = np.bincount(level_index.ravel(), minlength=len(levels))
    counts[is_padding] = 0
    brightness, warnings = _to_brightness(dataset, levels, counts)
    grey = to_uint8(brightness)
    grey[is_padding] = 0
    return grey[level_index], warnings


def _tagged_padding(dataset: Dataset, levels: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The stored values that are padding: Pixel Padding Value to its Range Limit, inclusive, bool (L,)."""
    if (first := dataset.get("PixelPaddingValue")) is None:
        return np.zeros(len(levels), dtype=bool)
    last = dataset.get("PixelPaddingRangeLimit")
    # Cast to the pixels' dtype, since some writers store −2000 as the unsigned 63536.
    ends = np.array([first, first if last is None else last]).astype(dtype).astype(np.int64)
    return (levels >= ends.min()) & (levels <= ends.max())


def _to_brightness(dataset: Dataset, levels: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Convert stored values (L,) to brightness 0..1 (L,); and warnings.

    Args:
        dataset: its first table or window that shows the picture counts.
        levels: stored values, ascending.
        counts: int (L,), pixels of each value, 0 for padding. They set the scale where no table or window does.
    """
    is_negative = dataset.PhotometricInterpretation == "MONOCHROME1"
    values = _apply_modality_lut(dataset, levels)
    warnings: list[str] = []
    for brightness in _voi_transforms(dataset, values, levels, is_negative=is_negative):
        if shows_picture(brightness, counts):
            return (1 - brightness if is_negative else brightness), warnings
        warnings = [WINDOW_WARNING]
    is_8_bit = dataset.BitsStored == 8 and dataset.PixelRepresentation == 0 and levels[-1] <= 255
    if values is levels and is_8_bit:
        brightness = np.clip(levels / 255, 0, 1)
        return (1 - brightness if is_negative else brightness), warnings
    signed_values = -values if is_negative else values
    return scale_to_range(signed_values, *robust_range(np.repeat(signed_values, counts))), warnings


def _apply_modality_lut(dataset: Dataset, levels: np.ndarray) -> np.ndarray:
    """Apply the table, or slope and intercept, of C.11.1; returns the same array where there are none."""
    if tables := _usable_tables(dataset, "ModalityLUTSequence"):
        entries = _read_lut_entries(dataset, tables[0])
        return entries[_lut_positions(dataset, tables[0], levels, len(entries))]
    slope, intercept = _read_number(dataset.get("RescaleSlope")), _read_number(dataset.get("RescaleIntercept"))
    if not slope or intercept is None or (slope, intercept) == (1, 0):
        return levels
    return levels * slope + intercept


def _voi_transforms(
    dataset: Dataset, values: np.ndarray, levels: np.ndarray, *, is_negative: bool
) -> Iterator[np.ndarray]:
    """Brightness 0..1 (L,) by the first table, then by each window of C.11.2.

    A window counts for the values after the modality transform, as the standard has it; then for the stored values, as
    some writers mean it.
    """
    if tables := _usable_tables(dataset, "VOILUTSequence"):
        entries = _read_lut_entries(dataset, tables[0])
        low, high = float(entries.min()), float(entries.max())
        yield scale_to_range(entries, low, high)[_lut_positions(dataset, tables[0], values, len(entries))]
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    windows = list(_windows(dataset, function))
    for scale in [values] if values is levels else [values, levels]:
        for centre, width in windows:
            yield _apply_window(scale, centre, width, function, is_negative=is_negative)


def _windows(dataset: Dataset, function: str) -> Iterator[tuple[float, float]]:
    """The valid windows of a file, centre and width."""
    min_width = 0.0 if function in ("LINEAR_EXACT", "SIGMOID") else 1.0
    for centre, width in zip(_numbers(dataset, "WindowCenter"), _numbers(dataset, "WindowWidth"), strict=False):
        if centre is not None and width is not None and width > 0 and width >= min_width:
            yield centre, width


def _apply_window(values: np.ndarray, centre: float, width: float, function: str, *, is_negative: bool) -> np.ndarray:
    """Brightness 0..1 of values (L,) in a window."""
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700)))  # C.11.2.1.3.1
    if function != "LINEAR_EXACT":
        # C.11.2.1.2.1 puts the window half a step below its centre. For MONOCHROME1 it is half a step above here, so
        # that an image and its negative (value v as top − v, the centre likewise) give the same pixels.
        centre, width = centre + 0.5 if is_negative else centre - 0.5, width - 1
    if width == 0:
        return (values >= centre if is_negative else values > centre).astype(np.float64)
    return np.clip((values - centre) / width + 0.5, 0, 1)  # C.11.2.1.3.2


def _usable_tables(dataset: Dataset, name: str) -> list[Dataset]:
    """The items of a sequence of look-up tables that hold a whole table."""
    return [
        table
        for table in dataset.get(name) or []
        if len(table.get("LUTDescriptor") or ()) == 3 and table.get("LUTData")
    ]


def _read_lut_entries(dataset: Dataset, table: Dataset) -> np.ndarray:
    """Read a table (C.11.1.1, C.11.2.1.1), stored as numbers, 16-bit words or two entries per word -> int64 (n,).

    pydicom's `apply_voi` fails for tables of more than 256 entries of 8 bits.
    """
    count = int(table.LUTDescriptor[0]) or 1 << 16
    byte_order = "<u2" if dataset.file_meta.TransferSyntaxUID.is_little_endian else ">u2"
    data = table.LUTData
    words = np.frombuffer(data, byte_order) if isinstance(data, bytes) else np.asarray(data)
    entries = words if len(words) >= count else words.astype("<u2").view(np.uint8)
    return entries[:count].astype(np.int64)


def _lut_positions(dataset: Dataset, table: Dataset, values: np.ndarray, count: int) -> np.ndarray:
    """The index of each value in a table, clipped to its first and last entry."""
    first = int(table.LUTDescriptor[1])
    if dataset.PixelRepresentation == 1 and first >= 1 << 15:
        first -= 1 << 16  # wrongly stored as unsigned
    return np.clip(np.rint(values) - first, 0, count - 1).astype(np.intp)


def _numbers(dataset: Dataset, name: str) -> list[float | None]:
    """The values of a decimal string; None for what is no finite number."""
    value = dataset.get(name)
    return [_read_number(one) for one in (value if isinstance(value, (MultiValue, list)) else [value])]


def _read_number(value: object) -> float | None:
    """A decimal string's first value; None where it is absent or no finite number."""
    first = next(iter(value), None) if isinstance(value, (MultiValue, list)) else value
    try:
        number = float(first)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _colour_to_grey(dataset: Dataset, stored_values: np.ndarray) -> np.ndarray:
    """Convert RGB (H, W, 3) or palette indices (H, W) to luma, uint8 (H, W)."""
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        stored_values = apply_color_lut(stored_values, dataset)[..., :3]
        if stored_values.dtype.itemsize > 1:
            stored_values = (stored_values >> 8).astype(np.uint8)
    if stored_values.dtype == np.uint8:
        return np.array(Image.fromarray(stored_values).convert("L"))
    return scale_robustly(to_luma(stored_values))
