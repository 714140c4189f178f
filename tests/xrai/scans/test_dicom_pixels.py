"""DICOM pixels: windows, look-up tables, padding and colour."""

import io

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.pixels import apply_windowing
from pydicom.sequence import Sequence

from tests.xrai.scans.scan_files import STORED, dicom, grey, shipped, spread, table, window, written
from tests.xrai.scans.scan_files import read_whole as read_scan
from xrai.scans import dicom_pixels


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


@pytest.fixture
def any_window(monkeypatch):
    """Windows count although they show nearly all black or white."""
    monkeypatch.setattr(dicom_pixels, "shows_picture", lambda brightness, counts: True)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("centre", "width"), [(2048, 4096), (1000, 500), (3000, 3000), (700.5, 1), (-50, 200)])
def test_a_window_is_pydicoms(function, centre, width, any_window):
    chosen = window([centre, 1], [width, 2], function)  # the first of two counts
    with np.errstate(over="ignore"):
        shown = apply_windowing(STORED, pydicom.dcmread(io.BytesIO(dicom(STORED, **chosen)))) / 4095 * 255
    assert np.abs(read_scan(dicom(STORED, **chosen)).pixels - shown).max() <= 0.5001
    negative = read_scan(dicom(STORED, PhotometricInterpretation="MONOCHROME1", **chosen)).pixels
    step = 256 if width == 1 else 255 / width + 0.5001  # beside it by one stored value, see read_dicom
    assert np.abs(negative - (255 - shown)).max() <= step


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("centre", "width"), [(2000, 3000), (1000, 400), (700, 1)])
def test_a_picture_and_its_negative_give_the_same_pixels(function, centre, width, any_window):
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
    data = dicom(STORED, RescaleSlope=2, RescaleIntercept=-1000, **window(2 * 2000 - 1000, 6000, "LINEAR_EXACT"))
    assert np.array_equal(read_scan(data).pixels, read_scan(dicom(STORED, **window(2000, 3000, "LINEAR_EXACT"))).pixels)


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
    assert np.array_equal(read_scan(dicom(rgb, Modality="OT", BitsStored=16)).pixels, spread(grey()))


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
