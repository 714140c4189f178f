"""A flaw beside the picture never makes a good picture unreadable, and rare forms are read."""

import io
import struct
import zlib

import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence

from tests.xrai.scans.scan_files import STORED, compressed, dicom, grey, refused, saved, spread, transcoded, window
from tests.xrai.scans.scan_files import read_whole as read_scan

BASELINE = uid.JPEGBaseline8Bit


def jpeg_dicom(**elements):
    return compressed(dicom(grey(), **elements), BASELINE, frame=saved(grey(), "JPEG", quality=95))


def item(**elements):
    dataset = Dataset()
    for name, value in elements.items():
        setattr(dataset, name, value)
    return dataset


class TestHeader:
    @pytest.mark.parametrize(
        "name", ["PhotometricInterpretation", "SamplesPerPixel", "PixelRepresentation", "BitsStored"]
    )
    def test_one_missing_description_of_the_pixels(self, name):
        assert np.array_equal(read_scan(dicom(grey(), drop=[name])).pixels, grey())

    def test_colour_without_its_interpretation(self):
        rgb = np.stack([grey()] * 3, axis=-1)
        assert np.array_equal(read_scan(dicom(rgb, drop=["PhotometricInterpretation"])).pixels, grey())

    @pytest.mark.parametrize("photometric", ["monochrome2", " MONOCHROME2 ", "Monochrome2"])
    def test_the_interpretation_in_other_letters(self, photometric):
        assert np.array_equal(read_scan(dicom(grey(), PhotometricInterpretation=photometric)).pixels, grey())

    @pytest.mark.parametrize("modality", ["XR", "RX", "X-RAY", "cr", "dx ", "RG", "DXR", "QQ"])
    def test_odd_modalities_of_an_x_ray(self, modality):
        assert np.array_equal(read_scan(dicom(grey(), Modality=modality)).pixels, grey())

    @pytest.mark.parametrize("name", ["VOILUTSequence", "ModalityLUTSequence"])
    @pytest.mark.parametrize("table", [{}, {"LUTExplanation": "NORMAL"}, {"LUTDescriptor": [4096, 0, 12]}])
    def test_a_table_that_is_none(self, name, table):
        expected = read_scan(dicom(STORED, **window(2000, 3000))).pixels
        data = dicom(STORED, **{name: Sequence([item(**table)])}, **window(2000, 3000))
        assert np.array_equal(read_scan(data).pixels, expected)
        assert np.array_equal(read_scan(dicom(STORED, **{name: Sequence([])})).pixels, spread(STORED))


class TestFrames:
    def test_no_closing_item(self):
        whole = jpeg_dicom()
        assert whole.endswith(b"\xfe\xff\xdd\xe0\0\0\0\0")
        assert np.array_equal(read_scan(whole[:-8]).pixels, read_scan(whole).pixels)

    @pytest.mark.parametrize("missing", [24, -24, 8])
    def test_an_icon_whose_item_has_another_length(self, missing):
        icon = item(Rows=32, Columns=32, SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2")
        icon.BitsAllocated = icon.BitsStored = 8
        icon.HighBit, icon.PixelRepresentation = 7, 0
        icon.PixelData = encapsulate([saved(grey(32, 32), "JPEG") + b"\0"])
        icon["PixelData"].VR = "OB"
        icon["PixelData"].is_undefined_length = True
        data = bytearray(jpeg_dicom(IconImageSequence=Sequence([icon])))
        at = data.find(b"\x88\x00\x00\x02SQ")
        for place in (at + 8, at + 16):
            length = struct.unpack("<I", data[place : place + 4])[0]
            data[place : place + 4] = struct.pack("<I", length - missing)
        assert np.array_equal(read_scan(bytes(data)).pixels, read_scan(jpeg_dicom()).pixels)

    def test_a_frame_that_was_cut_short_is_damage(self):
        assert "damaged" in refused(jpeg_dicom()[: -len(saved(grey(), "JPEG", quality=95)) // 2])

    def test_jpeg_2000_in_the_boxes_of_a_file(self):
        plain = compressed(dicom(grey()), uid.JPEG2000Lossless, frame=saved(grey(), "JPEG2000", no_jp2=True))
        boxed = compressed(dicom(grey()), uid.JPEG2000Lossless, frame=saved(grey(), "JPEG2000"))
        assert np.array_equal(read_scan(boxed).pixels, read_scan(plain).pixels)

    def test_a_box_without_a_length_does_not_hang(self):
        frame = b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\0free" + saved(grey(), "JPEG2000", no_jp2=True)
        data = compressed(dicom(grey()), uid.JPEG2000Lossless, frame=frame)
        assert np.array_equal(read_scan(data).pixels, grey())
        empty = compressed(dicom(grey()), uid.JPEG2000Lossless, frame=frame[:20] + b"\0" * 400)
        assert "damaged" in refused(empty)

    def test_boxes_do_not_hide_how_large_a_picture_is(self):
        large = saved(np.zeros((600, 700), np.uint8), "JPEG2000", no_jp2=True)
        frame = b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\x02\x00free" + b"\0" * 504 + large
        assert "size" in refused(compressed(dicom(grey()), uid.JPEG2000Lossless, frame=frame))

    def test_a_deflated_file_is_measured_wherever_it_says_that_it_is_one(self, monkeypatch):
        monkeypatch.setattr("xrai.scans.dicom.MAX_FILE_BYTES", 10_000)
        data = dicom(grey())
        offset = data.index(b"\x08\x00\x16\x00")
        meta = data[132:offset].replace(b"1.2.840.10008.1.2.1\x00", b"1.2.840.10008.1.2.1.99"[:22])
        assert "unpacks" in refused(_deflated(data[offset:])) and meta


def _deflated(body):
    """A deflated file whose transfer syntax stands behind a very long class."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = compressor.compress(body + b"\0" * 50_000) + compressor.flush()

    def element(group, number, text):
        return struct.pack("<HH2sH", group, number, b"UI", len(text)) + text

    meta = element(2, 2, b"1.2.3" + b".4" * 2500 + b"\0") + element(2, 0x10, b"1.2.840.10008.1.2.1.99")
    return b"\0" * 128 + b"DICM" + meta + packed


class TestPng:
    @pytest.mark.parametrize("kind", [b"zTXt", b"iCCP", b"iTXt", b"tEXt"])
    def test_long_texts_and_profiles_are_no_damage(self, kind):
        long = zlib.compress(b"x" * (2 << 20), 9)
        body = {b"iTXt": b"Comment\0\1\0\0\0" + long, b"tEXt": b"Comment\0" + b"x" * (2 << 20)}.get(
            kind, b"icc\0\0" + long
        )
        data = saved(grey(), "PNG")
        chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        assert np.array_equal(read_scan(data[:33] + chunk + data[33:]).pixels, grey())


class TestTiff:
    @pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int32, np.uint32, np.int64, ">u2", ">f8"])
    def test_numbers_of_every_kind(self, dtype):
        values = grey(top=120).astype(dtype)
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, values, byteorder=">" if ">" in str(dtype) else "<")
        expected = spread(grey(top=120))
        assert np.abs(read_scan(buffer.getvalue()).pixels.astype(int) - expected).max() <= 1

    @pytest.mark.parametrize("planar", ["contig", "separate"])
    @pytest.mark.parametrize("channels", [2, 3, 4])
    def test_channels_of_16_bits(self, channels, planar):
        layers = [STORED] * min(channels, 3) + [np.full_like(STORED, 65535)] * (channels > 3)
        values = np.stack(layers, axis=-1 if planar == "contig" else 0)
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, values, photometric="minisblack" if channels == 2 else "rgb", planarconfig=planar)
        assert np.abs(read_scan(buffer.getvalue()).pixels.astype(int) - spread(STORED)).max() <= 1

    def test_white_is_zero(self):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, 1.0 - grey() / 255, photometric="miniswhite")
        assert np.abs(read_scan(buffer.getvalue()).pixels.astype(int) - spread(grey())).max() <= 1

    def test_a_small_copy_as_second_page_is_passed_over(self):
        film, buffer = Image.fromarray(grey()), io.BytesIO()
        film.save(buffer, "TIFF", save_all=True, append_images=[film.resize((64, 48)), film.resize((32, 24))])
        assert np.array_equal(read_scan(buffer.getvalue()).pixels, grey())

    def test_another_picture_as_second_page_is_refused(self):
        other = Image.fromarray(np.rot90(grey(), 2).copy())
        for page in (other, other.resize((64, 48))):
            buffer = io.BytesIO()
            Image.fromarray(grey()).save(buffer, "TIFF", save_all=True, append_images=[page])
            assert "several pictures" in refused(buffer.getvalue())

    def test_a_form_that_nothing_decodes_is_named(self):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, grey().astype(np.complex64))
        sentence = refused(buffer.getvalue())
        assert "form that XRAI cannot decode" in sentence and "damaged" not in sentence


class TestBareStreams:
    @pytest.mark.parametrize("syntax", [uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless])
    def test_a_lossless_jpeg_file(self, syntax, tmp_path):
        dataset = pydicom.dcmread(io.BytesIO(transcoded(dicom(STORED), syntax, tmp_path)))
        frame = pydicom.encaps.get_frame(dataset.PixelData, 0, number_of_frames=1)
        assert np.array_equal(read_scan(frame).pixels, spread(STORED))
        assert "damaged" in refused(frame[:200])

    @pytest.mark.parametrize("no_jp2", [True, False])
    def test_a_jpeg_2000_file(self, no_jp2):
        assert np.array_equal(read_scan(saved(grey(), "JPEG2000", no_jp2=no_jp2)).pixels, grey())
        deep = read_scan(saved(STORED, "JPEG2000", no_jp2=no_jp2)).pixels
        assert np.abs(deep.astype(int) - spread(STORED)).max() <= 1
