"""Cropping of plain bars and frames."""

import numpy as np
import pytest

from tests.xrai.scans.scan_files import dicom, grey, saved
from xrai.scans import read_scan
from xrai.scans.cropping import crop_plain_borders

FILM = np.random.default_rng(3).integers(0, 256, (100, 80)).astype(np.uint8)


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("bars", [((0, 0), (30, 30)), ((25, 25), (0, 0)), ((40, 0), (0, 20)), ((9, 9), (9, 9))])
def test_plain_bars_are_cropped(bars, value):
    assert np.array_equal(crop_plain_borders(np.pad(FILM, bars, constant_values=value)), FILM)


def test_a_frame_within_bars_is_cropped():
    framed = np.pad(np.pad(np.pad(FILM, 8), 3, constant_values=255), 20, constant_values=90)
    assert np.array_equal(crop_plain_borders(framed), FILM)


def test_the_noise_of_a_jpeg_does_not_keep_a_bar():
    film = np.repeat(np.repeat(FILM, 2, 0), 2, 1)
    scan = read_scan(saved(np.pad(film, ((0, 0), (40, 40))), "JPEG", quality=85))
    assert abs(scan.pixels.shape[1] - film.shape[1]) <= 16
    assert (scan.width, scan.height) == (240, 200)  # of the file


@pytest.mark.parametrize("bars", [((0, 0), (3, 3)), ((5, 0), (0, 0))])
def test_narrow_edges_stay(bars):
    padded = np.pad(FILM, bars)
    assert crop_plain_borders(padded) is padded


def test_a_plain_picture_and_one_with_a_speck_stay():
    plain = np.full((90, 90), 7, np.uint8)
    assert crop_plain_borders(plain) is plain
    speck = plain.copy()
    speck[40:45, 40:45] = 200
    assert crop_plain_borders(speck) is speck


def test_nothing_within_the_film_is_cropped():
    film = FILM.copy()
    film[45:60] = 0
    assert crop_plain_borders(film) is film


def test_a_dicom_file_padded_to_a_square_reads_as_the_film():
    film = grey(96, 128)
    film[0], film[-1] = np.linspace(0, 255, 128), np.linspace(255, 0, 128)
    padded = read_scan(dicom(np.pad(film, ((40, 40), (0, 0)))))
    assert np.array_equal(padded.pixels, film)


def test_a_whole_picture_can_be_had():
    padded = np.pad(FILM, ((0, 0), (30, 30)))
    assert np.array_equal(read_scan(saved(padded, "PNG"), crop=False).pixels, padded)
