"""The gate from a file to pixels: every format, depth and coding, every refusal, and what damage may do."""

import io
import os
import struct
import subprocess
import sys
import tempfile
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image, ImageOps
from pydicom import uid
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_windowing
from pydicom.sequence import Sequence

from xrai.core.errors import ScanError
from xrai.scans import MAX_FILE_BYTES, MAX_PIXELS, MIN_SIDE, Scan, pictures, read_scan

SECRET = "MUELLER^GRETA"  # stands in every generated DICOM file; no message may hold it


# ---------------------------------------------------------------------------------------------------- made files


def grey(height=96, width=128, dtype=np.uint8, top=255):
    """A field that differs in every direction, so that no turn or flip goes unseen."""
    y, x = np.mgrid[:height, :width]
    field = (2 * x / width + (y / height) ** 2) / 3
    field[: height // 4, : width // 8] = 1
    return (field * top).round().astype(dtype)


def saved(array_or_image, form, **options):
    image = array_or_image if isinstance(array_or_image, Image.Image) else Image.fromarray(array_or_image)
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def dicom(pixels=None, *, syntax=uid.ExplicitVRLittleEndian, drop=(), **elements):
    """A DICOM file's bytes: one CR picture of these stored values, with elements added, changed or dropped."""
    pixels = grey(dtype=np.uint16, top=4095) if pixels is None else pixels
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = uid.ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = uid.generate_uid()
    ds = Dataset()
    ds.file_meta, ds.preamble = meta, b"\0" * 128
    bits = 12 if pixels.dtype.itemsize == 2 else 8
    described = {
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "PatientName": SECRET,
        "Modality": "CR",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": 3 if pixels.ndim == 3 else 1,
        "PhotometricInterpretation": "RGB" if pixels.ndim == 3 else "MONOCHROME2",
        "BitsAllocated": 8 * pixels.dtype.itemsize,
        "BitsStored": bits,
        "HighBit": elements.get("BitsStored", bits) - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        **({"PlanarConfiguration": 0} if pixels.ndim == 3 else {}),
    } | elements
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of the values are wrong on purpose
        for keyword in described.keys() - set(drop):
            setattr(ds, keyword, described[keyword])
    if "PixelData" not in drop:
        stored = pixels.astype(pixels.dtype.newbyteorder(">")) if syntax == uid.ExplicitVRBigEndian else pixels
        ds.PixelData = stored.tobytes()
        ds["PixelData"].VR = "OW" if pixels.dtype.itemsize == 2 else "OB"
    return written(ds)


def written(ds, **options):
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds.save_as(buffer, **options)
    return buffer.getvalue()


def compressed(data, syntax, frame=None):
    """The same file with its picture in another transfer syntax: by pydicom, or with a frame that is coded already."""
    ds = pydicom.dcmread(io.BytesIO(data))
    if frame is None:
        ds.compress(syntax)
    else:
        ds.file_meta.TransferSyntaxUID = syntax
        ds.PixelData = encapsulate([frame])
        ds["PixelData"].VR = "OB"
    return written(ds)


def transcoded(data, syntax, folder):
    """The same file in another transfer syntax, by gdcm, which knows the JPEG ones."""
    import gdcm

    before, after = folder / "before.dcm", folder / "after.dcm"
    before.write_bytes(data)
    reader = gdcm.ImageReader()
    reader.SetFileName(str(before))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str(syntax))))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(after))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return after.read_bytes()


def window(centre, width, function=None):
    shape = {"VOILUTFunction": function} if function else {}
    return {"WindowCenter": centre, "WindowWidth": width, **shape}


def table(entries, first=0, bits=16):
    item = Dataset()
    item.LUTDescriptor = [len(entries) % 65536, first, bits]
    item["LUTDescriptor"].VR = "US" if first >= 0 else "SS"
    item.LUTData = [int(entry) for entry in entries]
    item["LUTData"].VR = "US"
    return Sequence([item])


def refused(source):
    """The one sentence with which a source is refused."""
    with pytest.raises(ScanError) as caught:
        read_scan(source)
    sentence = str(caught.value)
    assert sentence.endswith(".") and ". " not in sentence and "\n" not in sentence and len(sentence) < 250
    assert ": " in sentence, "what to do is missing"
    assert SECRET not in sentence
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return sentence


# ---------------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize(
    ("form", "options"),
    [("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("BMP", {}), ("WEBP", {"lossless": True})],
)
def test_8_bit_grey_is_kept_exactly_as_stored(form, options):
    pixels = grey(top=200) + 20
    data = saved(pixels, form, **options)
    scan = read_scan(data)
    assert np.array_equal(scan.pixels, pixels)
    assert scan.pixels.dtype == np.uint8 and scan.pixels.flags.c_contiguous and scan.pixels.flags.writeable
    assert (scan.format, scan.width, scan.height, scan.n_bytes) == (form, 128, 96, len(data))
    assert scan.patient is None and scan.metadata == {}


def test_jpeg_grey_is_what_the_decoder_gives():
    data = saved(grey(), "JPEG")
    assert np.array_equal(read_scan(data).pixels, np.asarray(Image.open(io.BytesIO(data))))


def test_path_text_and_bytes_give_the_same(tmp_path):
    data = saved(grey(), "PNG")
    file = tmp_path / "film.png"
    file.write_bytes(data)
    import hashlib

    for source in (file, str(file), data):
        scan = read_scan(source)
        assert np.array_equal(scan.pixels, grey()) and scan.sha256 == hashlib.sha256(data).hexdigest()


def test_a_scan_shows_neither_pixels_nor_patient():
    shown = repr(read_scan(dicom(PatientID="4711", BodyPartExamined="CHEST")))
    assert "4711" not in shown and "CHEST" not in shown and "array" not in shown


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP", "JPEG", "WEBP"])
def test_colour_becomes_luma(form):
    rgb = np.zeros((80, 90, 3), np.uint8)
    rgb[:, :30, 0], rgb[:, 30:60, 1], rgb[:, 60:, 2] = 255, 255, 255
    scan = read_scan(saved(rgb, form, **({"quality": 95} if form == "JPEG" else {"lossless": True})))
    assert scan.mode == "RGB"
    assert np.allclose(scan.pixels[40, [15, 45, 75]].astype(int), [76, 150, 29], atol=2)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_alpha_is_composited_on_black(mode, form):
    alpha = np.full((96, 128), 255, np.uint8)
    alpha[:, 100:] = 0
    alpha[50:, :100] = 128
    image = Image.merge(mode, [Image.fromarray(grey())] * (len(mode) - 1) + [Image.fromarray(alpha)])
    pixels = read_scan(saved(image, form)).pixels
    assert (pixels[:, 100:] == 0).all()
    assert np.array_equal(pixels[:50, :100], grey()[:50, :100])
    assert np.allclose(pixels[50:, :100], grey()[50:, :100] * (128 / 255), atol=1)


def test_premultiplied_alpha():
    image = Image.merge("LA", [Image.fromarray(grey()), Image.new("L", (128, 96), 255)])
    data = saved(image, "TIFF")
    extra_samples = struct.pack("<HHIH", 338, 3, 1, 2)
    assert data.count(extra_samples) == 1
    scan = read_scan(data.replace(extra_samples, struct.pack("<HHIH", 338, 3, 1, 1)))
    assert scan.mode == "La" and np.array_equal(scan.pixels, grey())


def test_palette_and_its_transparency():
    image = Image.fromarray((grey() // 64).astype(np.uint8))
    image.putpalette([10, 10, 10, 90, 90, 90, 180, 180, 180, 250, 250, 250])
    expected = np.array([10, 90, 180, 250], np.uint8)[grey() // 64]
    scan = read_scan(saved(image, "PNG"))
    assert scan.mode == "P" and np.array_equal(scan.pixels, expected)
    seen_through = read_scan(saved(image, "PNG", transparency=3)).pixels
    assert np.array_equal(seen_through, np.where(expected == 250, 0, expected))


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_cmyk_is_not_inverted(form):
    rgb = Image.merge("RGB", [Image.fromarray(grey())] * 3)
    scan = read_scan(saved(rgb.convert("CMYK"), form, **({"quality": 95} if form == "JPEG" else {})))
    assert scan.mode == "CMYK"
    assert np.abs(scan.pixels.astype(int) - grey()).mean() < 2
    if form == "JPEG":
        data = saved(rgb.convert("CMYK"), form, quality=95)
        assert b"Adobe" in data, "the file is one of the inverted kind"


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP"])
def test_1_bit(form):
    black_and_white = Image.fromarray(grey() > 128)
    scan = read_scan(saved(black_and_white, form))
    assert scan.mode in ("1", "P") and np.array_equal(scan.pixels, np.where(grey() > 128, 255, 0))


DEEP = {
    "PNG 16": ("PNG", grey(dtype=np.uint16, top=3000) + 500, {}),
    "TIFF 16": ("TIFF", grey(dtype=np.uint16, top=3000) + 500, {}),
    "TIFF 16, LZW": ("TIFF", grey(dtype=np.uint16, top=3000) + 500, {"compression": "tiff_lzw"}),
    "TIFF 32": ("TIFF", grey(dtype=np.int32, top=3_000_000) - 1_000_000, {}),
    "TIFF float": ("TIFF", grey(dtype=np.float32, top=3000) / np.float32(7) - 100, {}),
}


@pytest.mark.parametrize("kind", DEEP)
def test_deeper_than_8_bit_goes_from_its_least_to_its_greatest(kind):
    form, values, options = DEEP[kind]
    scan = read_scan(saved(values, form, **options))
    values = values.astype(float)
    expected = (values - values.min()) / (values.max() - values.min()) * 255
    assert scan.pixels.min() == 0 and scan.pixels.max() == 255
    assert np.abs(scan.pixels - expected).max() <= 0.5001


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_a_constant_deep_picture_is_black(dtype):
    assert not read_scan(saved(np.full((80, 80), 700, dtype), "TIFF")).pixels.any()


def test_big_endian_16_bit_tiff():
    values = grey(dtype=np.uint16, top=3000)
    big = Image.frombytes("I;16B", (128, 96), values.astype(">u2").tobytes())
    assert np.array_equal(read_scan(saved(big, "TIFF")).pixels, read_scan(saved(values, "TIFF")).pixels)


def test_unsigned_32_bit_beyond_the_signed_range():
    data = saved(np.zeros((96, 128), np.int32), "TIFF")
    values = (grey().astype(np.uint64) * 16_800_000).astype("<u4")
    signed = struct.pack("<HHIHH", 339, 3, 1, 2, 0)
    assert data.count(signed) == 1
    assert data.endswith(b"\0" * values.nbytes)
    data = data[: -values.nbytes].replace(signed, struct.pack("<HHIHH", 339, 3, 1, 1, 0)) + values.tobytes()
    assert np.array_equal(read_scan(data).pixels, spread(grey()))


def test_nan_and_infinity_do_not_set_the_scale():
    values = grey(dtype=np.float32, top=100)
    plain = read_scan(saved(values, "TIFF")).pixels
    values[10, 50], values[11, 51], values[12, 52] = np.nan, np.inf, -np.inf
    pixels = read_scan(saved(values, "TIFF")).pixels
    assert (pixels[10, 50], pixels[11, 51], pixels[12, 52]) == (0, 255, 0)
    pixels[10, 50], pixels[11, 51], pixels[12, 52] = plain[10, 50], plain[11, 51], plain[12, 52]
    assert np.array_equal(pixels, plain)
    assert not read_scan(saved(np.full((80, 80), np.nan, np.float32), "TIFF")).pixels.any()


def test_huge_floats():
    values = grey(dtype=np.float32, top=100) / np.float32(50) - 1
    huge = read_scan(saved(values * np.float32(3e38), "TIFF")).pixels
    assert np.abs(huge.astype(int) - read_scan(saved(values, "TIFF")).pixels).max() <= 1


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_tiff_white_is_zero(dtype, compression):
    values = grey(dtype=dtype, top=255)
    data = saved(values, "TIFF", compression=compression)
    black_is_zero = struct.pack("<HHIHH", 262, 3, 1, 1, 0)
    assert data.count(black_is_zero) == 1
    white_is_zero = data.replace(black_is_zero, struct.pack("<HHIHH", 262, 3, 1, 0, 0))
    assert np.array_equal(read_scan(white_is_zero).pixels, 255 - values if dtype == np.uint8 else spread(-1.0 * values))


def test_1_bit_white_is_zero():
    image = Image.fromarray(grey() > 128)
    data = saved(image, "TIFF")
    flipped = data.replace(struct.pack("<HHIHH", 262, 3, 1, 1, 0), struct.pack("<HHIHH", 262, 3, 1, 0, 0))
    assert flipped != data and np.array_equal(read_scan(flipped).pixels, np.where(grey() > 128, 0, 255))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation(form, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(grey(), form, exif=exif, **({"lossless": True} if form == "WEBP" else {}))
    scan = read_scan(data)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("L")
    assert np.array_equal(scan.pixels, np.asarray(upright))
    assert (scan.width, scan.height) == ((96, 128) if orientation >= 5 else (128, 96))
    assert scan.pixels.flags.c_contiguous


@pytest.mark.parametrize("values", [grey(dtype=np.uint16, top=3000), grey(dtype=np.float32, top=1)])
def test_exif_orientation_of_a_deep_tiff(values):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = read_scan(saved(values, "TIFF", exif=exif)).pixels
    assert np.array_equal(turned, np.rot90(read_scan(saved(values, "TIFF")).pixels, -1))


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\xff\xff"]
)
def test_broken_exif_does_not_refuse_a_good_film(exif):
    assert read_scan(saved(grey(), "JPEG", exif=exif)).pixels.shape == (96, 128)


@pytest.mark.parametrize(
    ("min_side", "scale"), [(None, 1), (700, 1), (401, 1), (400, 2), (201, 2), (200, 4), (90, 8), (10, 8)]
)
def test_min_side_decodes_a_jpeg_no_finer_than_needed(min_side, scale):
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = grey(800, 1200)
    rgb = Image.merge("RGB", [Image.fromarray(pixels)] * 3)
    scan = read_scan(saved(rgb, "JPEG", exif=exif, quality=95), min_side=min_side)
    assert scan.pixels.shape == (1200 // scale, 800 // scale)
    assert (scan.width, scan.height, scan.mode) == (800, 1200, "RGB")
    smaller = np.asarray(Image.fromarray(np.rot90(pixels, -1)).reduce(scale)).astype(int)
    assert np.abs(scan.pixels - smaller).mean() < 2
    assert min_side is None or min_side > 800 or min(scan.pixels.shape) >= min_side


def test_min_side_leaves_an_odd_size_exact():
    scan = read_scan(saved(grey(2000, 2001), "JPEG", exif=oriented(8)), min_side=200)
    assert (scan.width, scan.height) == (2000, 2001) and scan.pixels.shape == (251, 250)


def oriented(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def test_min_side_changes_nothing_but_jpeg():
    assert read_scan(saved(grey(800, 1200), "PNG"), min_side=100).pixels.shape == (800, 1200)
    assert read_scan(dicom(grey(800, 1200)), min_side=100).pixels.shape == (800, 1200)


def test_progressive_and_cmyk_jpeg_at_reduced_size():
    progressive = read_scan(saved(grey(800, 1200), "JPEG", progressive=True), min_side=100)
    cmyk = read_scan(saved(Image.fromarray(grey(800, 1200)).convert("CMYK"), "JPEG"), min_side=100)
    assert progressive.pixels.shape == cmyk.pixels.shape == (100, 150)
    assert np.abs(progressive.pixels.astype(int) - cmyk.pixels).mean() < 3


def test_a_phones_jpeg_with_a_second_picture_is_its_first_one():
    first, second = Image.fromarray(grey()), Image.fromarray(255 - grey())
    data = saved(first, "MPO", save_all=True, append_images=[second])
    scan = read_scan(data)
    assert scan.format == "JPEG" and np.abs(scan.pixels.astype(int) - grey()).mean() < 2


@pytest.mark.parametrize("form", ["TIFF", "WEBP", "PNG"])
def test_several_pictures_in_one_file(form):
    second = Image.fromarray(255 - grey())
    assert "several pictures" in refused(saved(grey(), form, save_all=True, append_images=[second]))


def test_the_content_decides_and_not_the_files_ending(tmp_path):
    for name, data in {"a.jpg": saved(grey(), "PNG"), "b.dcm": saved(grey(), "PNG"), "c.png": dicom(grey())}.items():
        (tmp_path / name).write_bytes(data)
        assert np.array_equal(read_scan(tmp_path / name).pixels, grey())


def test_only_the_one_plugin_sees_the_file(monkeypatch):
    seen = []
    opened = Image.open
    monkeypatch.setattr(
        pictures.Image, "open", lambda file, formats: seen.append(formats) or opened(file, formats=formats)
    )
    for form in ("JPEG", "PNG", "TIFF", "WEBP", "BMP"):
        read_scan(saved(grey(), form))
    # a WebP is opened once more for its colour, since it always holds three channels
    assert seen == [("JPEG",), ("PNG",), ("TIFF",), ("WEBP",), ("WEBP",), ("BMP",)]


# ---------------------------------------------------------------------------------------------------- refusals


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
        (saved(grey(), "JPEG2000"), "JPEG 2000"),
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


# ---------------------------------------------------------------------------------------------------- DICOM


STORED = grey(dtype=np.uint16, top=4000) + 50


def spread(values):
    values = np.asarray(values, float)
    return np.rint((values - values.min()) / (values.max() - values.min()) * 255).astype(np.uint8)


@pytest.mark.parametrize(
    "syntax",
    [
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian,
    ],
)
def test_plain_transfer_syntaxes(syntax):
    scan = read_scan(dicom(STORED, syntax=syntax))
    assert np.array_equal(scan.pixels, spread(STORED))
    assert (scan.format, scan.mode, scan.width, scan.height) == ("DICOM", "MONOCHROME2", 128, 96)
    assert scan.pixels.dtype == np.uint8 and scan.pixels.flags.c_contiguous


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEG2000Lossless])
def test_syntaxes_that_pydicom_writes(syntax):
    assert np.array_equal(read_scan(compressed(dicom(STORED), syntax)).pixels, spread(STORED))


@pytest.mark.parametrize("syntax", [uid.JPEGLosslessSV1, uid.JPEGLossless, uid.JPEGLSLossless, uid.JPEG2000Lossless])
def test_lossless_syntaxes_that_gdcm_writes(syntax, tmp_path):
    data = transcoded(dicom(STORED), syntax, tmp_path)
    assert pydicom.dcmread(io.BytesIO(data)).file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(read_scan(data).pixels, spread(STORED))


@pytest.mark.parametrize("syntax", [uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless])
def test_lossless_8_bit(syntax, tmp_path):
    assert np.array_equal(read_scan(transcoded(dicom(grey()), syntax, tmp_path)).pixels, grey())


def test_jpeg_baseline_and_lossy_jpeg_2000():
    baseline = compressed(dicom(grey()), uid.JPEGBaseline8Bit, frame=saved(grey(), "JPEG", quality=95))
    assert np.array_equal(read_scan(baseline).pixels, read_scan(saved(grey(), "JPEG", quality=95)).pixels)
    codestream = saved(grey(), "JPEG2000", no_jp2=True, irreversible=True, quality_mode="rates", quality_layers=[4])
    lossy = read_scan(compressed(dicom(grey()), uid.JPEG2000, frame=codestream)).pixels
    assert np.abs(lossy.astype(int) - grey()).mean() < 2


def shipped(name):
    """One of the small files that come with pydicom, made to say that it is an X-ray."""
    ds = pydicom.dcmread(get_testdata_file(name, download=False))
    ds.Modality = "CR"
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = uid.ComputedRadiographyImageStorage
    return ds


def test_jpeg_extended_of_12_bits_which_pydicom_alone_cannot_decode():
    ds = shipped("JPEG-lossy.dcm")
    ds.RescaleSlope, ds.RescaleIntercept = 1, 0
    assert ds.file_meta.TransferSyntaxUID == uid.JPEGExtended12Bit and ds.BitsStored == 12
    for name in ("WindowCenter", "WindowWidth"):
        ds.pop(name, None)
    pixels = read_scan(written(ds)).pixels
    # 264 is the greatest value; pydicom's tests, which have another decoder, give 244 and 95 for these two pixels
    assert pixels.shape == (1024, 256)
    assert (pixels[420, 140], pixels[230, 120]) == (round(244 / 264 * 255), round(95 / 264 * 255))


def test_near_lossless_jpeg_ls():
    ds = shipped("SC_rgb_jls_lossy_line.dcm")
    assert ds.file_meta.TransferSyntaxUID == uid.JPEGLSNearLossless
    assert read_scan(written(ds)).pixels.max() == 255


@pytest.mark.parametrize("syntax", [uid.HTJ2K, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL])
def test_high_throughput_jpeg_2000_has_a_decoder(syntax):
    from pydicom.pixels.decoders import pylibjpeg

    # Nothing here encodes it. The decoder for both is one and the same, and looks at the stream, not at the syntax.
    assert pylibjpeg.is_available(syntax)
    codestream = saved(grey(), "JPEG2000", no_jp2=True)
    assert np.array_equal(read_scan(compressed(dicom(grey()), syntax, frame=codestream)).pixels, grey())


def test_a_crash_of_gdcm_is_a_sentence(tmp_path, monkeypatch):
    data = transcoded(dicom(STORED), uid.JPEGLosslessSV1, tmp_path)
    crash = tmp_path / "gdcm_process.py"
    crash.write_text("import os; os.abort()")
    monkeypatch.setattr("xrai.scans.dicom.__file__", str(tmp_path / "dicom.py"))
    assert "damaged" in refused(data)


@pytest.mark.parametrize("preamble", [b"\0" * 128, b"II*\0" + b"\0" * 124])
def test_the_preamble_may_be_anything(preamble):
    data = dicom(STORED)
    assert np.array_equal(read_scan(preamble + data[128:]).pixels, spread(STORED))


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_no_preamble_and_no_file_meta(syntax):
    data = dicom(STORED, syntax=syntax)
    assert np.array_equal(read_scan(data[132:]).pixels, spread(STORED)), "with file meta"
    ds = pydicom.dcmread(io.BytesIO(data))
    buffer = io.BytesIO()
    implicit, little = syntax == uid.ImplicitVRLittleEndian, syntax != uid.ExplicitVRBigEndian
    pydicom.dcmwrite(buffer, without_meta(ds), implicit_vr=implicit, little_endian=little, force_encoding=True)
    bare = buffer.getvalue()
    assert b"DICM" not in bare[:200]
    assert np.array_equal(read_scan(bare).pixels, spread(STORED)), "without"


def without_meta(ds):
    plain = Dataset()
    plain.update(ds)
    return plain


def test_8_bit_dicom_is_kept_like_any_other_8_bit_picture():
    pixels = grey(top=150) + 30
    assert np.array_equal(read_scan(dicom(pixels)).pixels, pixels)
    assert np.array_equal(read_scan(dicom(pixels, RescaleSlope=1, RescaleIntercept=0)).pixels, pixels)
    negative = dicom(255 - pixels, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(read_scan(negative).pixels, pixels)
    assert np.array_equal(read_scan(dicom(pixels, RescaleSlope=2, RescaleIntercept=-5)).pixels, spread(pixels))


def test_monochrome1_is_inverted():
    negative = read_scan(dicom(4095 - STORED, PhotometricInterpretation="MONOCHROME1"))
    assert negative.mode == "MONOCHROME1"
    assert np.array_equal(negative.pixels, read_scan(dicom(STORED)).pixels)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_constant_dicom_picture_is_black(photometric):
    data = dicom(np.full((80, 80), 700, np.uint16), PhotometricInterpretation=photometric)
    assert not read_scan(data).pixels.any()


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("centre", "width"), [(2048, 4096), (1000, 500), (3000, 3000), (700.5, 1), (-50, 200)])
def test_a_window_is_pydicoms(function, centre, width):
    chosen = window([centre, 1], [width, 2], function)  # the first of two counts
    with np.errstate(over="ignore"):
        shown = apply_windowing(STORED, pydicom.dcmread(io.BytesIO(dicom(STORED, **chosen)))) / 4095 * 255
    assert np.abs(read_scan(dicom(STORED, **chosen)).pixels - shown).max() <= 0.5001
    negative = read_scan(dicom(STORED, PhotometricInterpretation="MONOCHROME1", **chosen)).pixels
    step = 256 if width == 1 else 255 / width + 0.5001  # beside it by one stored value, see read_dicom
    assert np.abs(negative - (255 - shown)).max() <= step


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("centre", "width"), [(2000, 3000), (1000, 400), (700, 1)])
def test_a_picture_and_its_negative_give_the_same_pixels(function, centre, width):
    positive = read_scan(dicom(STORED, **window(centre, width, function))).pixels
    negative = dicom(4095 - STORED, PhotometricInterpretation="MONOCHROME1", **window(4095 - centre, width, function))
    assert np.array_equal(read_scan(negative).pixels, positive)


def test_the_full_8_bit_window_changes_nothing():
    assert np.array_equal(read_scan(dicom(grey(), **window(128, 256))).pixels, grey())


def test_a_window_wider_than_the_picture_is_not_stretched():
    pixels = read_scan(dicom(np.clip(STORED, 1000, 2000), **window(2048, 4096))).pixels
    assert abs(int(pixels.min()) - 1000 / 4095 * 255) < 1 and abs(int(pixels.max()) - 2000 / 4095 * 255) < 1


@pytest.mark.parametrize("nonsense", [window(100, 0), window(100, -5), {"WindowCenter": 100}, {"WindowWidth": 100}])
def test_a_window_that_is_none(nonsense):
    assert np.array_equal(read_scan(dicom(STORED, **nonsense)).pixels, spread(STORED))


def test_slope_and_intercept_come_before_the_window():
    data = dicom(STORED, RescaleSlope=2, RescaleIntercept=-1000, **window(2 * 1500 - 1000, 2000, "LINEAR_EXACT"))
    assert np.array_equal(read_scan(data).pixels, read_scan(dicom(STORED, **window(1500, 1000, "LINEAR_EXACT"))).pixels)


def test_a_negative_slope_turns_black_and_white():
    falling = {"RescaleSlope": -1, "RescaleIntercept": 4095}
    assert np.array_equal(read_scan(dicom(4095 - STORED, **falling)).pixels, spread(STORED))
    with_window = read_scan(dicom(4095 - STORED, **falling, **window(2000, 2000))).pixels
    assert np.array_equal(with_window, read_scan(dicom(STORED, **window(2000, 2000))).pixels)


def test_modality_table_then_window_then_inversion():
    squares = (np.arange(4096) ** 2 // 4096).astype(int)
    expected = read_scan(dicom(squares[STORED].astype(np.uint16), **window(1000, 1500, "LINEAR_EXACT"))).pixels
    same = dicom(
        STORED,
        ModalityLUTSequence=table(squares),
        PhotometricInterpretation="MONOCHROME1",
        **window(1000, 1500, "LINEAR_EXACT"),
    )
    assert np.abs(read_scan(same).pixels.astype(int) - (255 - expected.astype(int))).max() <= 1


def test_voi_table_comes_before_a_window_and_keeps_its_own_range():
    falling = np.arange(4095, -1, -1)
    data = dicom(np.clip(STORED, 1000, 2000), VOILUTSequence=table(falling, bits=12), **window(5, 5))
    expected = np.rint((4095 - np.clip(STORED, 1000, 2000)) / 4095 * 255)
    assert np.array_equal(read_scan(data).pixels, expected)


def test_a_voi_table_of_8_bit_entries_where_pydicom_wraps():
    entries = np.arange(4096) // 16
    for syntax in (uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian):
        data = dicom(STORED, syntax=syntax, VOILUTSequence=table(entries, bits=8))
        assert np.array_equal(read_scan(data).pixels, STORED // 16)


def test_a_voi_table_packed_two_entries_to_a_word():
    item = Dataset()
    item.LUTDescriptor = [4096, 0, 8]
    item["LUTDescriptor"].VR = "US"
    item.LUTData = (np.arange(4096) // 16).astype(np.uint8).tobytes()
    item["LUTData"].VR = "OW"
    assert np.array_equal(read_scan(dicom(STORED, VOILUTSequence=Sequence([item]))).pixels, STORED // 16)


def test_a_table_that_starts_below_zero():
    signed = STORED.astype(np.int16) - 2000
    data = dicom(signed, BitsStored=13, VOILUTSequence=table(np.arange(4096), first=-2000, bits=12))
    assert np.array_equal(read_scan(data).pixels, np.rint(STORED / 4095 * 255))


def test_signed_values():
    assert np.array_equal(read_scan(dicom(STORED.astype(np.int16) - 2000, BitsStored=13)).pixels, spread(STORED))
    full = np.array([[-32768, 32767]] * 64, np.int16).repeat(32, axis=1)
    assert np.array_equal(read_scan(dicom(full, BitsStored=16)).pixels, np.where(full < 0, 0, 255))


def test_what_lies_in_unused_high_bits_is_ignored():
    assert np.array_equal(read_scan(dicom(STORED | 0xF000)).pixels, spread(STORED))


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("scale", [{}, window(2000, 3000), {"RescaleSlope": 3, "RescaleIntercept": -7}])
def test_padding_is_air_and_does_not_stretch_the_scale(photometric, scale):
    framed, frame = STORED.copy(), np.zeros(STORED.shape, bool)
    frame[:10], frame[:, -9:] = True, True
    inside = np.clip(STORED, 600, 3000)
    inside[50, 50], inside[60, 60] = 600, 3000
    for padding, limit in ((4095, None), (0, None), (4000, 4095), (4095, 4000)):
        framed = np.where(frame, 4095 if padding else 0, inside).astype(np.uint16)
        ends = {"PixelPaddingValue": padding} | ({"PixelPaddingRangeLimit": limit} if limit else {})
        plain = np.where(frame, 600, inside).astype(np.uint16)
        pixels = read_scan(dicom(framed, PhotometricInterpretation=photometric, **ends, **scale)).pixels
        wanted = read_scan(dicom(plain, PhotometricInterpretation=photometric, **scale)).pixels
        assert not pixels[frame].any()
        assert np.array_equal(pixels[~frame], wanted[~frame])


def test_signed_padding_that_was_written_as_unsigned():
    values = STORED.astype(np.int16)
    values[:10] = -2000
    ds = pydicom.dcmread(io.BytesIO(dicom(values, BitsStored=16)))
    ds.PixelPaddingValue = 63536
    ds["PixelPaddingValue"].VR = "US"
    pixels = read_scan(written(ds)).pixels
    assert not pixels[:10].any() and np.array_equal(pixels[10:], spread(STORED[10:]))


def test_all_padding():
    assert not read_scan(dicom(np.full((80, 80), 7, np.uint16), PixelPaddingValue=7)).pixels.any()


def test_rgb_secondary_capture():
    rgb = np.stack([grey(), grey() // 2, grey() // 4], axis=-1)
    luma = np.asarray(Image.fromarray(rgb).convert("L"))
    scan = read_scan(dicom(rgb, Modality="OT"))
    assert scan.mode == "RGB" and np.array_equal(scan.pixels, luma)
    planes = np.ascontiguousarray(rgb.transpose(2, 0, 1)).reshape(rgb.shape)
    assert np.array_equal(read_scan(dicom(planes, Modality="OT", PlanarConfiguration=1)).pixels, luma)


def test_rgb_of_16_bits():
    rgb = np.stack([grey().astype(np.uint16) * 257] * 3, axis=-1)
    assert np.array_equal(read_scan(dicom(rgb, Modality="OT", BitsStored=16)).pixels, grey())


def test_ybr_secondary_capture():
    rgb = Image.fromarray(np.stack([grey(), grey() // 2, grey() // 4], axis=-1))
    ycbcr = np.asarray(rgb.convert("YCbCr"))
    scan = read_scan(dicom(ycbcr, Modality="OT", PhotometricInterpretation="YBR_FULL"))
    assert np.abs(scan.pixels.astype(int) - np.asarray(rgb.convert("L"))).max() <= 2
    assert read_scan(written(shipped("SC_ybr_full_422_uncompressed.dcm"))).mode == "YBR_FULL_422"


@pytest.mark.parametrize("bits", [8, 16])
def test_palette_colour(bits):
    entries = np.arange(256, dtype=np.uint16)[::-1] * (257 if bits == 16 else 1)
    palette = {"Descriptor": [256, 0, bits], "Data": entries.astype(f"<u{bits // 8}").tobytes()}
    elements = {
        f"{colour}PaletteColorLookupTable{part}": value
        for colour in ("Red", "Green", "Blue")
        for part, value in palette.items()
    }
    scan = read_scan(dicom(grey(), Modality="OT", PhotometricInterpretation="PALETTE COLOR", **elements))
    assert scan.mode == "PALETTE COLOR" and np.array_equal(scan.pixels, 255 - grey())


@pytest.mark.parametrize("name", ["SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_dcmtk_+eb+cy+s2.dcm", "GDCMJ2K_TextGBR.dcm"])
def test_compressed_colour(name):
    ds = shipped(name)
    assert read_scan(written(ds)).pixels.shape == (ds.Rows, ds.Columns)


@pytest.mark.parametrize("modality", ["CR", "DX", "DR", "RG", "RF", "OT", "SC", "", "dx "])
def test_modalities_that_are_read(modality):
    assert np.array_equal(read_scan(dicom(STORED, Modality=modality)).pixels, spread(STORED))
    assert np.array_equal(read_scan(dicom(STORED, drop=["Modality"])).pixels, spread(STORED))


@pytest.mark.parametrize(
    ("modality", "name"),
    [
        ("CT", "CT slice"),
        ("MR", "MRI"),
        ("US", "ultrasound"),
        ("PT", "PET"),
        ("NM", "nuclear"),
        ("XA", "angiogram"),
        ("MG", "mammogram"),
        ("SR", "report"),
        ("PR", "presentation state"),
        ("KO", "chosen"),
        ("QQ", "something other"),
        (SECRET, "something other"),
    ],
)
def test_modalities_that_are_refused(modality, name):
    assert name in refused(dicom(STORED, Modality=modality))


def test_a_ct_slice_that_does_not_say_its_modality():
    ds = pydicom.dcmread(io.BytesIO(dicom(STORED, drop=["Modality"])))
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = uid.CTImageStorage
    assert "CT slice" in refused(written(ds))


def test_dicom_without_a_picture():
    assert "no picture" in refused(dicom(drop=["PixelData", "Rows", "Columns"]))
    assert "report" in refused(written(pydicom.dcmread(get_testdata_file("test-SR.dcm", download=False))))
    ds = pydicom.dcmread(io.BytesIO(dicom(drop=["PixelData", "Modality"])))
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = uid.EncapsulatedPDFStorage
    ds.EncapsulatedDocument = b"%PDF-1.4"
    assert "PDF" in refused(written(ds))
    index = Path(get_testdata_file("DICOMDIR", download=False))
    assert "index of a disc" in refused(index)


def test_several_frames():
    frames = np.stack([STORED] * 3)
    ds = pydicom.dcmread(io.BytesIO(dicom(STORED)))
    ds.NumberOfFrames, ds.PixelData = 3, frames.tobytes()
    assert "3 frames" in refused(written(ds))
    assert read_scan(dicom(STORED, NumberOfFrames=1)).pixels.shape == STORED.shape


def test_a_coding_that_no_decoder_takes():
    ds = pydicom.dcmread(io.BytesIO(dicom(STORED)))
    ds.file_meta.TransferSyntaxUID = uid.MPEG2MPML
    ds.PixelData = encapsulate([b"\0\0\1\xb3" * 50])
    ds["PixelData"].VR = "OB"
    assert "cannot decode" in refused(written(ds))
    assert "cannot decode" in refused(dicom(grey(), PhotometricInterpretation="YBR_PARTIAL_420"))
    assert "cannot decode" in refused(dicom(grey(), PhotometricInterpretation="RGB"))


def test_too_many_dicom_pixels_are_refused_from_the_header():
    assert "100 megapixels" in refused(dicom(STORED, Rows=60_000, Columns=60_000))


def jpeg_that_says(width, height):
    data = bytearray(saved(grey(), "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def jpeg_2000_that_says(width, height):
    data = bytearray(saved(grey(), "JPEG2000", no_jp2=True))
    data[8:16] = struct.pack(">II", width, height)
    return bytes(data)


def test_a_compressed_picture_larger_than_its_dicom_header_says():
    jpeg = compressed(dicom(grey()), uid.JPEGBaseline8Bit, frame=jpeg_that_says(60_000, 60_000))
    assert "disagree" in refused(jpeg)
    jpeg_2000 = compressed(dicom(grey()), uid.JPEG2000Lossless, frame=jpeg_2000_that_says(60_000, 60_000))
    assert "disagree" in refused(jpeg_2000)


def test_a_deflated_file_that_would_fill_the_memory(monkeypatch):
    data = dicom(np.zeros((900, 900), np.uint16), syntax=uid.DeflatedExplicitVRLittleEndian)
    assert len(data) < 20_000 and read_scan(data).pixels.shape == (900, 900)
    monkeypatch.setattr("xrai.scans.dicom.MAX_FILE_BYTES", 1_000_000)
    assert "unpacks" in refused(data)


def test_the_patient_groups_and_the_facts_describe():
    scan = read_scan(
        dicom(PatientID=" 4711 ", PatientAge="047Y", PatientSex="F", ViewPosition="AP", PatientOrientation=["L", "F"])
    )
    assert scan.patient == "4711"
    assert dict(scan.metadata) == {
        "Modality": "CR",
        "ViewPosition": "AP",
        "PatientOrientation": "L\\F",
        "PatientAge": "047Y",
        "PatientSex": "F",
    }
    assert read_scan(dicom(PatientID="4711", IssuerOfPatientID="North")).patient == "4711^^^North"
    assert read_scan(dicom(PatientID="")).patient is None and read_scan(dicom()).patient is None


# ---------------------------------------------------------------------------------------------------- silence


def test_broken_values_warn_nobody_and_reach_no_log(caplog, recwarn):
    ds = pydicom.dcmread(io.BytesIO(dicom(STORED)))
    ds.add_new("PatientBirthDate", "DA", "01.02.1934 " + SECRET)
    ds.add_new("StudyInstanceUID", "UI", "1.2." + "x" * 70)
    ds.PixelData += b"\0" * 4000
    ds.PatientAge = "47 years, " + SECRET
    data = written(ds)
    caplog.clear()
    recwarn.clear()
    assert np.array_equal(read_scan(data).pixels, spread(STORED))
    assert not caplog.records and not recwarn.list


def test_the_first_reader_to_finish_does_not_wake_the_warnings_of_the_others():
    from xrai.scans import _muted_warnings

    with _muted_warnings:
        with _muted_warnings:
            pass
        warnings.warn("still silent", stacklevel=1)
    with pytest.raises(UserWarning):
        warnings.warn("awake again", stacklevel=1)


def test_reading_leaves_no_trace_in_warnings_logging_or_pillow():
    import logging

    before = list(warnings.filters), Image.MAX_IMAGE_PIXELS
    for data in samples().values():
        read_scan(data)
    refused(b"\xff\xd8\xff\xe0")
    assert (list(warnings.filters), Image.MAX_IMAGE_PIXELS) == before
    assert not logging.getLogger("pydicom").disabled


def test_importing_the_gate_does_not_import_pydicom():
    code = "import sys, xrai.scans; sys.exit('pydicom' in sys.modules or 'gdcm' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


# ---------------------------------------------------------------------------------------------------- all at once


@cache
def samples():
    """One small file of every kind that can be made in a moment."""
    noisy = grey() // 2 + np.random.default_rng(1).integers(0, 100, (96, 128)).astype(np.uint8)
    deep = noisy.astype(np.uint16) * 16
    with tempfile.TemporaryDirectory() as folder:
        lossless = transcoded(dicom(deep), uid.JPEGLosslessSV1, Path(folder))
    return {
        "JPEG": saved(noisy, "JPEG"),
        "JPEG, progressive RGB": saved(Image.fromarray(noisy).convert("RGB"), "JPEG", progressive=True),
        "JPEG, CMYK": saved(Image.fromarray(noisy).convert("CMYK"), "JPEG"),
        "PNG": saved(noisy, "PNG"),
        "PNG 16": saved(deep, "PNG"),
        "TIFF": saved(noisy, "TIFF"),
        "TIFF, LZW": saved(deep, "TIFF", compression="tiff_lzw"),
        "TIFF, JPEG": saved(noisy, "TIFF", compression="jpeg"),
        "WEBP": saved(noisy, "WEBP"),
        "BMP": saved(noisy, "BMP"),
        "DICOM plain": dicom(deep, **window(2000, 3000)),
        "DICOM implicit": dicom(deep, syntax=uid.ImplicitVRLittleEndian),
        "DICOM deflated": dicom(deep, syntax=uid.DeflatedExplicitVRLittleEndian),
        "DICOM rle": compressed(dicom(deep), uid.RLELossless),
        "DICOM jpeg 2000": compressed(dicom(deep), uid.JPEG2000Lossless),
        "DICOM jpeg lossless": lossless,
        "DICOM jpeg": compressed(dicom(noisy), uid.JPEGBaseline8Bit, frame=saved(noisy, "JPEG")),
    }


def damaged(data, rng):
    """The file cut short, or with bytes changed: anywhere, or where the headers are."""
    kind = rng.integers(3)
    if kind == 0:
        return data[: rng.integers(len(data))]
    reach = len(data) if kind == 1 else min(len(data), 600)
    changed = np.frombuffer(data, np.uint8).copy()
    at = rng.integers(reach, size=rng.integers(1, 12))
    changed[at] = rng.integers(256, size=len(at))
    return changed.tobytes()


@pytest.mark.parametrize("kind", samples())
def test_damage_gives_a_scan_or_a_sentence_and_nothing_else(kind):
    rng = np.random.default_rng(list(kind.encode()))
    outcomes = {"scan": 0, "sentence": 0}
    for _ in range(40):
        data = damaged(samples()[kind], rng)
        try:
            scan = read_scan(data)
        except ScanError as error:
            outcomes["sentence"] += 1
            assert str(error).endswith(".") and SECRET not in str(error)
        else:
            outcomes["scan"] += 1
            assert isinstance(scan, Scan) and scan.pixels.dtype == np.uint8 and scan.pixels.ndim == 2
    assert outcomes["sentence"]


def test_many_threads_read_what_one_reads():
    data = [*samples().values(), b"text", dicom(Modality="CT"), samples()["PNG"][:300]] * 6

    def outcome(item):
        try:
            return read_scan(item).pixels.tobytes()
        except ScanError as error:
            return str(error)

    expected = [outcome(item) for item in data]
    filters = list(warnings.filters)
    start = threading.Barrier(8)
    with ThreadPoolExecutor(8, initializer=start.wait) as pool:
        assert list(pool.map(outcome, data)) == expected
    assert list(warnings.filters) == filters


# ---------------------------------------------------------------------------------------------------- real scans


@pytest.fixture
def real():
    if not (folder := os.environ.get("XRAI_REAL_DATA")):
        pytest.skip("XRAI_REAL_DATA does not name a folder of real scans")
    return Path(folder)


@pytest.mark.real
def test_seven_codings_of_one_film_give_the_same_pixels(real):
    files = sorted((real / "samples/dicom_chest").glob("panimg_*"))
    first, *others = [read_scan(file) for file in files]
    assert len(others) == 6 and all(np.array_equal(first.pixels, other.pixels) for other in others)
    assert first.pixels[80:120, 60:120].mean() + 30 < first.pixels[200:300, 215:235].mean(), "lung darker than spine"


@pytest.mark.real
def test_nih_films_in_a_dicom_header(real):
    files = sorted((real / "samples/dicom_chest").glob("nihwrap_*"))
    assert len(files) == 3
    for file in files:
        scan = read_scan(file)
        assert scan.pixels.shape == (1024, 1024) and scan.metadata["ViewPosition"] == "PA" and scan.patient


@pytest.mark.real
def test_every_original_film(real):
    files = sorted(file for file in (real / "datasets/originals").rglob("*") if file.is_file())
    assert len(files) >= 100
    for file in files:
        scan = read_scan(file, min_side=224)
        own = (scan.height, scan.width)
        assert min(scan.pixels.shape) >= min(224, *own)
        assert scan.pixels.shape in [tuple(-(-side // scale) for side in own) for scale in (1, 2, 4, 8)]


@pytest.mark.real
def test_thirty_films_of_the_small_copy(real):
    files = sorted((real / "datasets/chest_xray").rglob("*.jpeg"))
    for file in files[:: len(files) // 30][:30]:
        scan = read_scan(file)
        assert scan.pixels.shape == (224, 224)
        assert np.array_equal(scan.pixels, np.asarray(Image.open(file).convert("L")))


@pytest.mark.real
def test_other_pictures_are_read_or_refused(real):
    files = [file for file in (real / "samples/not_frontal_chest").rglob("*") if file.suffix not in ("", ".csv")]
    assert len(files) >= 54
    for file in files:
        try:
            assert read_scan(file, min_side=224).pixels.ndim == 2
        except ScanError as error:
            assert str(error).endswith(".")


# ---------------------------------------------------------------------------------------------------- colour


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP", "BMP"])
def test_colour_is_told_from_a_tint(form):
    rng = np.random.default_rng(0)
    film = grey(96, 128)
    things = np.kron(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), np.ones((16, 16, 1), np.uint8))
    sepia = (film[..., None] * np.array([1.0, 0.8, 0.6])).astype(np.uint8)
    marked = np.repeat(film[..., None], 3, axis=2)
    marked[4:10, 4:20] = 255, 0, 0
    assert read_scan(saved(film, form)).colour < 0.002
    assert read_scan(saved(sepia, form)).colour < 0.01
    assert 0 < read_scan(saved(marked, form)).colour < 0.02
    assert read_scan(saved(things, form)).colour > 0.1


def test_a_dicom_file_has_no_colour():
    assert read_scan(dicom()).colour == 0
