"""DICOM files: transfer syntaxes, modalities, sizes and metadata."""

import io
import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from tests.xrai.scans.scan_files import (
    SECRET,
    STORED,
    compressed,
    dicom,
    grey,
    refused,
    saved,
    shipped,
    spread,
    transcoded,
    written,
)
from tests.xrai.scans.scan_files import read_whole as read_scan


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


def test_jpeg_extended_of_12_bits_which_pydicom_alone_cannot_decode():
    ds = shipped("JPEG-lossy.dcm")
    ds.RescaleSlope, ds.RescaleIntercept = 1, 0
    assert ds.file_meta.TransferSyntaxUID == uid.JPEGExtended12Bit and ds.BitsStored == 12
    ds.WindowCenter, ds.WindowWidth, ds.VOILUTFunction = 132, 264, "LINEAR_EXACT"
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
    monkeypatch.setattr("xrai.scans.jpeg.__file__", str(tmp_path / "jpeg.py"))
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
    assert name in refused(dicom(STORED, Modality=modality, sop_class=uid.GeneralECGWaveformStorage))


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


def test_a_dicom_file_has_no_colour():
    assert read_scan(dicom()).colour == 0
