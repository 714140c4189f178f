"""Grey scale: the same film gives the same grey however its values are stored."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.xrai.scans.scan_files import dicom, grey, saved, spread, window
from tests.xrai.scans.scan_files import read_whole as read_scan
from xrai.scans.dicom import BITS_WARNING
from xrai.scans.dicom_pixels import WINDOW_WARNING
from xrai.scans.grey_scale import robust_range, scale_robustly, shows_picture

FILM = grey()
"""Values 0 to 255."""


def deep(bits=12, film=FILM):
    return film.astype(np.uint16) << (bits - 8)


def png16(values):
    """A PNG of 16 bits a channel, (H, W, C), which Pillow does not write."""
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[values.shape[2]]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def assert_like_the_film(scan, tolerance=1):
    expected = spread(FILM)
    assert scan.pixels.shape == expected.shape
    assert np.abs(scan.pixels.astype(int) - expected).max() <= tolerance


class TestUnusedBits:
    @pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
    @pytest.mark.parametrize("channels", [2, 3, 4])
    def test_values_of_fewer_bits_in_channels_of_16_are_scaled(self, bits, channels):
        values = np.dstack([deep(bits)] * channels)
        if channels in (2, 4):
            values[..., -1] = 65535
        scan = read_scan(png16(values))
        assert_like_the_film(scan)
        assert scan.colour < 0.01

    def test_colour_of_few_bits_is_still_colour(self):
        values = np.dstack([deep(12), deep(12)[::-1], deep(12)[:, ::-1]])
        assert read_scan(png16(values)).colour > 0.04


class TestUnusedAlpha:
    @pytest.mark.parametrize("alpha", [0, 1, 128, 255])
    @pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
    def test_an_alpha_channel_that_is_the_same_everywhere_is_passed_over(self, form, alpha):
        rgba = np.dstack([FILM] * 3 + [np.full_like(FILM, alpha)])
        options = {"lossless": True, "exact": True} if form == "WEBP" else {}
        assert np.array_equal(read_scan(saved(Image.fromarray(rgba), form, **options)).pixels, FILM)

    def test_one_of_16_bits_too(self):
        assert_like_the_film(read_scan(png16(np.dstack([deep()] * 3 + [np.zeros_like(deep())]))))

    def test_one_that_differs_still_hides(self):
        alpha = np.zeros_like(FILM)
        alpha[:, 64:] = 255
        pixels = read_scan(saved(Image.fromarray(np.dstack([FILM] * 3 + [alpha])), "PNG")).pixels
        assert not pixels[:, :64].any() and np.array_equal(pixels[:, 64:], FILM[:, 64:])


class TestOutliers:
    @pytest.mark.parametrize("value", [8000, 16383, 65535])
    def test_hot_pixels_do_not_set_the_scale(self, value):
        values = deep()
        values[40, 50] = values[41, 90] = value
        pixels = read_scan(saved(values, "PNG")).pixels
        expected = spread(FILM)
        expected[40, 50] = expected[41, 90] = 255
        assert np.abs(pixels.astype(int) - expected).max() <= 1

    def test_nor_does_a_bright_marker(self):
        values = deep()
        values[30:40, 10:18] = 65535
        pixels = read_scan(dicom(values, BitsStored=16)).pixels
        assert np.abs(pixels[50:].astype(int) - spread(FILM)[50:]).max() <= 1
        assert (pixels[30:40, 10:18] == 255).all()

    def test_dead_pixels_of_a_signed_picture_are_black(self):
        values = deep().astype(np.int16) + 500
        values[40, 50] = -32768
        pixels = read_scan(dicom(values, BitsStored=16)).pixels
        assert pixels[40, 50] == 0 and np.abs(pixels[50:].astype(int) - spread(FILM)[50:]).max() <= 1

    def test_the_extremes_of_an_even_picture_are_no_outliers(self):
        values = np.linspace(0, 1, 5000)
        assert robust_range(values) == (0, 1)

    def test_a_picture_that_is_nearly_all_one_value_keeps_its_range(self):
        values = np.zeros((100, 100))
        values[50, 50] = 7
        assert robust_range(values.ravel()) == (0, 7)
        assert scale_robustly(values)[50, 50] == 255

    def test_no_numbers_at_all_are_black(self):
        assert not scale_robustly(np.full((70, 70), np.nan)).any()
        assert robust_range(np.empty(0)) == (0, 0)


class TestUntaggedPadding:
    @pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
    @pytest.mark.parametrize("value", [-32768, -2000, 32767])
    def test_padding_without_its_tag_is_black_and_sets_no_scale(self, photometric, value):
        film = 255 - FILM if photometric == "MONOCHROME1" else FILM
        values = deep(film=film).astype(np.int16) + 300
        values[:, :20] = value
        pixels = read_scan(dicom(values, BitsStored=16, PhotometricInterpretation=photometric)).pixels
        assert not pixels[:, :20].any()
        plain = read_scan(dicom(values[:, 20:].copy(), BitsStored=16, PhotometricInterpretation=photometric)).pixels
        assert np.abs(pixels[:, 20:].astype(int) - plain).max() <= 1

    def test_a_corner_of_a_turned_film_too(self):
        values = deep().astype(np.int32) + 3000
        y, x = np.mgrid[:96, :128]
        values[x + y < 60] = 0
        pixels = scale_robustly(values)
        assert not pixels[x + y < 60].any()
        assert pixels[x + y >= 60].min() < 20 and pixels.max() == 255

    def test_air_at_the_edge_is_no_padding(self):
        assert np.array_equal(scale_robustly(deep()), spread(deep()))


class TestWindowThatDoesNotFit:
    @pytest.mark.parametrize(
        "wrong", [window(128, 256), window(40, 400), window(60000, 10000), window(32768, 65536), window(-500, 300)]
    )
    def test_it_is_passed_over_with_a_warning(self, wrong):
        scan = read_scan(dicom(deep(), **wrong))
        assert_like_the_film(scan)
        assert scan.warnings == (WINDOW_WARNING,)

    def test_a_window_that_fits_the_8_bits_of_a_picture_is_obeyed_in_silence(self):
        assert read_scan(dicom(deep(), **window(2048, 4096))).warnings == ()

    def test_the_second_window_counts_where_the_first_shows_nothing(self):
        both = read_scan(dicom(deep(), **window([128, 2048], [256, 4096])))
        assert np.array_equal(both.pixels, read_scan(dicom(deep(), **window(2048, 4096))).pixels)

    def test_a_window_meant_for_the_stored_values_is_understood_so(self):
        rescaled = {"RescaleSlope": 1, "RescaleIntercept": -9000}
        pixels = read_scan(dicom(deep(), **rescaled, **window(2048, 4096))).pixels
        assert np.array_equal(pixels, read_scan(dicom(deep(), **window(2048, 4096))).pixels)

    def test_a_picture_half_of_air_may_be_black_there(self):
        counts = np.array([5000, *[10] * 200])
        assert shows_picture(np.clip(np.linspace(-0.1, 1, 201), 0, 1), counts)
        assert not shows_picture(np.ones(201), counts)


class TestBitsThatDoNotFit:
    @pytest.mark.parametrize("stored", [8, 9, 10, 11])
    def test_fewer_bits_than_the_values_have(self, stored):
        scan = read_scan(dicom(deep(), BitsStored=stored))
        assert_like_the_film(scan)
        assert scan.warnings == (BITS_WARNING,)

    def test_values_that_stand_in_the_high_bits(self):
        assert_like_the_film(read_scan(dicom(deep(16), BitsStored=12, HighBit=15)))

    def test_unsigned_values_that_are_called_signed(self):
        assert_like_the_film(read_scan(dicom(deep(16), BitsStored=16, PixelRepresentation=1)))

    def test_rubbish_in_unused_bits_is_left_out(self):
        rubbish = np.random.default_rng(0).integers(0, 16, FILM.shape).astype(np.uint16) << 12
        scan = read_scan(dicom(deep() | rubbish, BitsStored=12))
        assert_like_the_film(scan)
        assert scan.warnings == ()

    def test_more_bits_than_the_values_have(self):
        scan = read_scan(dicom(deep(), BitsStored=16))
        assert_like_the_film(scan)
        assert scan.warnings == ()

    def test_twelve_bits_of_a_sound_file_are_no_contradiction(self):
        signed = deep().astype(np.int16) - 2048
        for pixels in (deep(), signed):
            scan = read_scan(dicom(pixels, BitsStored=12))
            assert_like_the_film(scan)
            assert scan.warnings == ()


def test_a_picture_of_16_bits_of_grey_reads_as_its_tiff():
    buffer = io.BytesIO()
    Image.fromarray(deep()).save(buffer, "TIFF")
    assert_like_the_film(read_scan(buffer.getvalue()))
