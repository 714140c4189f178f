"""Ordinary image files: every format, depth and orientation."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.xrai.scans.scan_files import dicom, grey, refused, saved, spread
from tests.xrai.scans.scan_files import read_whole as read_scan
from xrai.scans import pictures


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
