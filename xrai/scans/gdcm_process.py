"""Decode one JPEG (lossless, JPEG-LS, 12 bits) with gdcm, in a process of its own that a damaged file may crash.

Run by `dicom.py` as `python gdcm_process.py SYNTAX WIDTH HEIGHT SAMPLES ALLOCATED STORED SIGNED`, with the encoded
frame on standard input and little-endian pixels on standard output. It imports only gdcm, so it starts in 50 ms.
"""

from __future__ import annotations

import sys

import gdcm


def decode(frame: bytes, syntax: str, width: int, height: int, format_: gdcm.PixelFormat) -> bytes:
    """Decode one frame; on damaged data gdcm returns garbage or crashes."""
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(frame)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((width, height, 1))
    image.SetDataElement(element)
    colour = gdcm.PhotometricInterpretation.RGB  # avoids a colour conversion
    grey = gdcm.PhotometricInterpretation.MONOCHROME2
    image.SetPhotometricInterpretation(
        gdcm.PhotometricInterpretation(colour if format_.GetSamplesPerPixel() > 1 else grey)
    )
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    image.SetPixelFormat(format_)
    return image.GetBuffer().encode("utf-8", "surrogateescape")  # gdcm returns bytes as str


if __name__ == "__main__":
    width, height, samples, allocated, stored, signed = map(int, sys.argv[2:])
    format_ = gdcm.PixelFormat(samples, allocated, stored, stored - 1, signed)
    sys.stdout.buffer.write(decode(sys.stdin.buffer.read(), sys.argv[1], width, height, format_))
