"""JPEG in forms that Pillow lacks: lossless, JPEG-LS and 12 bits, in files of their own or within DICOM.

They are decoded by gdcm in a process of its own, since gdcm aborts or overruns its memory on damaged data.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xrai.scans.grey_scale import scale_robustly, to_luma
from xrai.scans.scan import check_size

TIMEOUT = 60
"""Seconds that decoding one picture may take."""

_LOSSLESS, _JPEG_LS = 0xC3, 0xF7


class JpegHeader(NamedTuple):
    """The frame header of JPEG or JPEG-LS (ISO 10918-1, B.2.2).

    Attributes:
        marker: second byte of the start of frame, which tells the process.
        precision: bits a sample.
    """

    marker: int
    precision: int
    height: int
    width: int
    n_components: int

    @property
    def is_rare(self) -> bool:
        """Whether Pillow cannot decode it."""
        return self.marker in (_LOSSLESS, _JPEG_LS) or self.precision > 8

    @property
    def bits_allocated(self) -> int:
        """Bits a sample takes when decoded."""
        return 8 if self.precision <= 8 else 16

    @property
    def transfer_syntax(self) -> str:
        """The DICOM transfer syntax of such a frame."""
        return {_LOSSLESS: "1.2.840.10008.1.2.4.57", _JPEG_LS: "1.2.840.10008.1.2.4.80"}.get(
            self.marker, "1.2.840.10008.1.2.4.51"
        )


def read_jpeg_header(frame: bytes) -> JpegHeader | None:
    """The frame header of a JPEG or JPEG-LS stream; None where there is none."""
    offset = 2
    while frame[:2] == b"\xff\xd8" and offset + 10 <= len(frame) and frame[offset] == 0xFF:
        marker = frame[offset + 1]
        if marker == _JPEG_LS or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            precision, *sizes = frame[offset + 4 : offset + 10]
            return JpegHeader(marker, precision, sizes[0] << 8 | sizes[1], sizes[2] << 8 | sizes[3], sizes[4])
        offset += 1 if marker == 0xFF else 2 + int.from_bytes(frame[offset + 2 : offset + 4])
    return None


def decode_rare_jpeg(data: bytes, header: JpegHeader) -> np.ndarray:
    """Decode a file of one rare JPEG to grey, uint8 (H, W).

    Raises:
        ScanError: the picture is too small or too large.
        subprocess.SubprocessError: the data are damaged.
        ValueError: likewise.
    """
    check_size(header.width, header.height)
    decoded = decode_in_process(
        data,
        header.transfer_syntax,
        (header.width, header.height),
        samples=header.n_components,
        bits_allocated=header.bits_allocated,
        bits_stored=header.precision,
    )
    values = np.frombuffer(decoded, np.uint8 if header.bits_allocated == 8 else "<u2")
    values = values.reshape(header.height, header.width, header.n_components)
    grey = values[..., 0] if header.n_components < 3 else to_luma(values[..., :3])
    return grey.astype(np.uint8) if header.bits_allocated == 8 else scale_robustly(grey)


def decode_in_process(
    frame: bytes,
    transfer_syntax: str,
    size: tuple[int, int],
    *,
    samples: int,
    bits_allocated: int,
    bits_stored: int,
    is_signed: bool = False,
) -> bytes:
    """Decode one frame with gdcm to little-endian pixels.

    Raises:
        subprocess.SubprocessError: gdcm failed, crashed, or took too long.
    """
    arguments = transfer_syntax, *size, samples, bits_allocated, bits_stored, int(is_signed)
    command = [sys.executable, "-I", str(Path(__file__).with_name("gdcm_process.py")), *map(str, arguments)]
    process = subprocess.run(
        command, input=frame, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=TIMEOUT, check=True
    )
    return process.stdout
