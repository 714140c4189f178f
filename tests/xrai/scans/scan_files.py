"""Image and DICOM files for the tests of scans."""

import io
import tempfile
import warnings
from functools import cache, partial
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import uid
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence

from xrai.core.errors import ScanError
from xrai.scans import read_scan

read_whole = partial(read_scan, crop=False)
"""Plain edges of the small test pictures stay."""

SECRET = "MUELLER^GRETA"  # stands in every generated DICOM file; no message may hold it


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


def dicom(
    pixels=None,
    *,
    syntax=uid.ExplicitVRLittleEndian,
    drop=(),
    sop_class=uid.ComputedRadiographyImageStorage,
    **elements,
):
    """A DICOM file's bytes: one CR picture of these stored values, with elements added, changed or dropped."""
    pixels = grey(dtype=np.uint16, top=4095) if pixels is None else pixels
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = sop_class
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


STORED = grey(dtype=np.uint16, top=4000) + 50


def spread(values):
    values = np.asarray(values, float)
    return np.rint((values - values.min()) / (values.max() - values.min()) * 255).astype(np.uint8)


def shipped(name):
    """One of the small files that come with pydicom, made to say that it is an X-ray."""
    ds = pydicom.dcmread(get_testdata_file(name, download=False))
    ds.Modality = "CR"
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = uid.ComputedRadiographyImageStorage
    return ds


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
