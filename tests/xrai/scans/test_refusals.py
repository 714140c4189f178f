"""Files that are refused, with one sentence each."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from tests.xrai.scans.scan_files import dicom, grey, refused, samples, saved
from xrai.scans import MAX_FILE_BYTES, MAX_PIXELS, MIN_SIDE, read_scan


def zipped():
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("film.png", b"x" * 500)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "look"),
    [
        (b"%PDF-1.7\n...", "PDF"),
        (zipped(), "zip"),
        (b"<!DOCTYPE html>\n<html><body>Log in</body></html>", "web page"),
        (b"\n  <html lang='en'>", "web page"),
        (b"<?xml version='1.0'?><svg/>", "XML"),
        (b"Dear colleague,\r\nplease find the film attached.\r\n", "text"),
        ("Übergröße, bitte prüfen".encode(), "text"),
        (saved(grey(), "GIF"), "GIF"),
        (saved(grey(), "PPM"), "does not know"),
        (b"\x00\x00\x00\x1cftypheic" + b"\0" * 90, "HEIC"),
        (b"\x1f\x8b\x08" + b"\0" * 90, "gzip"),
        (b"\x00" * 500, "does not know"),
        (bytes(range(1, 256)) * 4, "does not know"),
        (b"BMW sends its regards and a picture", "text"),
    ],
)
def test_what_is_no_picture_is_named(data, look, tmp_path):
    (tmp_path / "film.jpg").write_bytes(data)
    sentence = refused(tmp_path / "film.jpg")
    assert look in sentence and "film" not in sentence


def test_an_empty_file(tmp_path):
    (tmp_path / "film.jpg").touch()
    assert "empty" in refused(tmp_path / "film.jpg")
    assert "empty" in refused(b"")


def test_paths_that_lead_nowhere(tmp_path):
    assert "not there" in refused(tmp_path / "none.png")
    assert "folder" in refused(tmp_path)
    assert "folder or a device" in refused(Path(os.devnull))
    assert "fetched" in refused("x" * 5000)
    assert "fetched" in refused("a\0b")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    (tmp_path / "film.png").write_bytes(saved(grey(), "PNG"))

    def forbid(*_args, **_options):
        raise PermissionError(13, "Permission denied", "film.png")

    monkeypatch.setattr(Path, "open", forbid)  # no file mode stops root, who runs CI
    assert "may not be read" in refused(tmp_path / "film.png")


def test_a_file_that_is_too_large_is_not_even_opened(tmp_path, monkeypatch):
    with (tmp_path / "film.dcm").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    monkeypatch.setattr(Path, "open", None)
    assert "256 MB" in refused(tmp_path / "film.dcm")


def test_bytes_that_are_too_many(monkeypatch):
    monkeypatch.setattr("xrai.scans.MAX_FILE_BYTES", 1000)
    assert "MB" in refused(saved(grey(), "BMP"))


def png_of(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    body = b"IDAT" + zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (chunk, body, b"IEND")
    )


@pytest.mark.parametrize("size", [(60_000, 60_000), (10_001, 10_000), (9_600, 9_600 + 900)])
def test_too_many_pixels_are_refused_from_the_header(size):
    assert size[0] * size[1] > MAX_PIXELS
    assert "100 megapixels" in refused(png_of(*size))


def test_between_pillows_warning_and_our_limit_it_is_only_decoded():
    assert "damaged" in refused(png_of(9_700, 9_700))  # its data is missing, but its size is no reason


@pytest.mark.parametrize("form", ["JPEG", "TIFF", "WEBP", "BMP", "PNG"])
def test_a_large_picture_of_each_format(form, monkeypatch):
    monkeypatch.setattr("xrai.scans.scan.MAX_PIXELS", 10_000)
    assert "128 × 96" in refused(saved(grey(), form))


@pytest.mark.parametrize("size", [(MIN_SIDE - 1, 500), (500, MIN_SIDE - 1), (1, 1)])
def test_too_small(size):
    for data in (saved(np.zeros(size, np.uint8), "PNG"), dicom(np.zeros(size, np.uint16))):
        assert f"{MIN_SIDE} pixels" in refused(data)
    assert read_scan(saved(np.zeros((MIN_SIDE, MIN_SIDE), np.uint8), "PNG")).pixels.shape == (MIN_SIDE, MIN_SIDE)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP", "BMP"])
def test_a_picture_that_was_cut_short(form, share):
    noise = np.random.default_rng(0).integers(0, 255, (200, 200), np.uint8)
    data = saved(noise, form)
    assert "damaged" in refused(data[: int(share * len(data))])


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("syntax", ["plain", "rle", "jpeg", "jpeg lossless", "jpeg 2000", "deflated"])
def test_a_dicom_file_that_was_cut_short(syntax, share):
    data = samples()[f"DICOM {syntax}"]
    assert "cut short" in refused(data[: int(share * len(data))])


def test_a_jpeg_with_garbage_behind_its_header():
    assert "damaged" in refused(b"\xff\xd8\xff\xe0" + b"\x55" * 1000)
