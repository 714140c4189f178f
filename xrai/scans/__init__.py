"""Image loading: `read_scan(path_or_bytes) -> Scan`, the only way from a file to pixels.

__init__       detects the format by the first bytes and calls the decoder
pictures       JPEG, JPEG 2000, PNG, TIFF, WebP, BMP
jpeg           lossless JPEG, JPEG-LS and JPEG of 12 bits
tiff           TIFF in forms that Pillow lacks
dicom          CR, DX and other single-frame projection images
header_checks  what the DICOM header says against a frontal chest X-ray
patient_age    ages and dates of the DICOM header
dicom_pixels   look-up tables, windows, photometric interpretation
grey_scale     the range of stored values, robust to outliers, markers and untagged padding
cropping       plain bars and frames at the edges
gdcm_process   decodes rare JPEGs in a process of its own, which may crash
scan           the `Scan` record, its limits, and intensity scaling
preprocessing  from pixels to the network's input
descriptor     thumbnail and HOG descriptor
phantoms       synthetic chest X-rays, drawn of `shapes`
"""

from __future__ import annotations

import logging
import stat
import threading
import warnings
from dataclasses import replace
from pathlib import Path

from xrai.core.errors import ScanError
from xrai.core.language import N_, say
from xrai.scans import pictures
from xrai.scans.cropping import crop_plain_borders
from xrai.scans.scan import MAX_FILE_BYTES, MAX_PIXELS, MIN_SIDE, Scan

__all__ = ["MAX_FILE_BYTES", "MAX_PIXELS", "MIN_SIDE", "Scan", "read_scan"]


def read_scan(source: Path | str | bytes, *, min_side: int | None = None, crop: bool = True) -> Scan:
    """Read one chest X-ray, from a file's path or a file's bytes, as upright grey pixels.

    The content determines the format, not the file's extension. 8-bit grey is kept as stored; colour becomes luma
    (ITU-R 601); higher bit depths are scaled by their robust range, or with a DICOM file's window where that shows the
    picture. Plain bars and frames are cropped. Thread-safe.

    Args:
        source: a path, or the file's content.
        min_side: a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, as long as both sides have this length.
            `Scan.width` and `Scan.height` keep the size in the file.
        crop: crop plain bars and frames, as models expect it.

    Returns:
        A `Scan`; its pixels are uint8 (H, W), 0 = air.

    Raises:
        ScanError: the file cannot be read as a chest X-ray. One sentence, with neither path nor patient data.
    """
    data = source if isinstance(source, bytes) else _read_bytes(Path(source))
    if not data:
        raise ScanError(
            "The file is empty, probably because a copy or a download did not finish: copy or export it again."
        )
    _check_file_size(len(data))
    form = _detect_format(data)
    try:
        with _muted_warnings:
            scan = _decode(data, form, min_side)
        return replace(scan, pixels=crop_plain_borders(scan.pixels)) if crop else scan
    except ScanError:
        raise
    # A damaged file can make the decoding libraries raise any exception. The cause is not chained, since pydicom quotes
    # values, which may name a patient.
    except Exception:
        raise ScanError(
            "The {form} file cannot be decoded, probably because it is damaged or was cut short while being "
            "copied: copy or export it again.",
            form=form,
        ) from None


def _decode(data: bytes, form: str, min_side: int | None) -> Scan:
    if form != "DICOM":
        return pictures.read_image_file(data, form, min_side=min_side)
    # Imported here, since pydicom takes 0.2 s and many sites never use DICOM.
    from xrai.scans import dicom

    return dicom.read_dicom(data)


def _read_bytes(path: Path) -> bytes:
    try:
        file_stat = path.stat()
        if not stat.S_ISREG(file_stat.st_mode):
            raise ScanError("This is a folder or a device rather than a file: choose the picture itself.")
        _check_file_size(file_stat.st_size)
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise ScanError("The file is not there, probably because it was moved or renamed: choose it again.") from None
    except PermissionError:
        raise ScanError(
            "The file may not be read by the account that runs XRAI: give that account the right to read it."
        ) from None
    except (OSError, ValueError):
        raise ScanError(
            "The file cannot be fetched from its disk or network folder, probably because that is disconnected or "
            "faulty: copy the file to this computer and try again."
        ) from None


def _check_file_size(n_bytes: int) -> None:
    if n_bytes > MAX_FILE_BYTES:
        raise ScanError(
            "The file has {size:,.0f} MB, more than the {limit} MB that XRAI reads, "
            "probably because it is no single X-ray: choose the picture itself or export it at a lower resolution.",
            size=n_bytes / 1e6,
            limit=MAX_FILE_BYTES // 1_000_000,
        )


# ---------------------------------------------------------------------------------------------------- format

_IMAGE_SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00": "TIFF",
    b"MM\x00+": "TIFF",
    b"\x00\x00\x00\x0cjP  ": "JPEG2000",
    b"\xff\x4f\xff\x51": "JPEG2000",
}

_OTHER_SIGNATURES = {
    b"%PDF": N_("a PDF document"),
    b"PK\x03\x04": N_("a zip archive or an office document"),
    b"\x1f\x8b": N_("a gzip archive"),
    b"7z\xbc\xaf": N_("a 7z archive"),
    b"Rar!": N_("a RAR archive"),
    b"GIF8": N_("a GIF picture, a format with too few greys for an X-ray"),
    b"8BPS": N_("a Photoshop document"),
    b"\x89HDF": N_("an HDF5 file"),
    b"\x93NUMPY": N_("a NumPy array"),
    b"{\\rtf": N_("a text document"),
    b"\xd0\xcf\x11\xe0": N_("an old office document"),
    b"MZ": N_("a program"),
    b"\x7fELF": N_("a program"),
}


def _detect_format(data: bytes) -> str:
    # DICOM first: its 128-byte preamble may legally be a TIFF header (PS3.10, 7.1).
    if data[128:132] == b"DICM" or _is_bare_dicom(data):
        return "DICOM"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:2] == b"BM" and data[14:18] in {bytes([size, 0, 0, 0]) for size in (12, 40, 52, 56, 64, 108, 124)}:
        return "BMP"
    for signature, form in _IMAGE_SIGNATURES.items():
        if data.startswith(signature):
            return form
    raise ScanError(
        "The file is {content}, whatever its name says: "
        "export the X-ray itself as DICOM, PNG, JPEG, TIFF, WebP or BMP.",
        content=_describe_content(data),
    )


def _is_bare_dicom(data: bytes) -> bool:
    """Whether this may be DICOM without preamble: a first element of group 2 or 8, with a VR or a short length."""
    is_little_endian = data[:1] in (b"\x02", b"\x08") and data[1:2] == data[3:4] == b"\x00" and data[2:3] <= b"\x18"
    is_big_endian = data[:3] == b"\x00\x08\x00" and data[3:4] <= b"\x18"
    has_vr = data[4:6].isalpha() and data[4:6].isupper()
    is_short = int.from_bytes(data[4:8], "little") <= 64
    return len(data) > 8 and ((is_little_endian and (has_vr or is_short)) or (is_big_endian and has_vr))


def _describe_content(data: bytes) -> str:
    for signature, name in _OTHER_SIGNATURES.items():
        if data.startswith(signature):
            return name
    if data[4:8] == b"ftyp":
        return say("a phone's HEIC or AVIF picture, or a video")
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<!doctype html", b"<html")):
        return say("a web page")
    if head.startswith((b"<?xml", b"<svg")):
        return say("an XML or SVG document")
    return N_("text") if _is_text(data[:1024]) else say("of a kind that XRAI does not know, or is damaged")


def _is_text(head: bytes) -> bool:
    printable = sum(byte >= 32 or byte in b"\t\r\n" for byte in head)
    return b"\x00" not in head and printable >= 0.97 * len(head)


# ---------------------------------------------------------------------------------------------------- warnings


class _MutedWarnings:
    """Mutes warnings and pydicom's log while any thread is reading: both may quote a patient's data.

    `warnings.catch_warnings` swaps filters of the whole process: two threads could restore them in the wrong order, and
    a lock around each read would decode one file at a time. So the first reader mutes, and the last one restores.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._readers += 1
            if self._readers == 1:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.simplefilter("ignore")
                logging.getLogger("pydicom").disabled = True

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._readers -= 1
            if self._readers == 0:
                logging.getLogger("pydicom").disabled = False
                self._filters.__exit__(None, None, None)


_muted_warnings = _MutedWarnings()
