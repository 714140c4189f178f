"""Decode DICOM files of one projection X-ray (CR, DX and similar): the file, its header and its stored values.

`dicom_pixels` converts the stored values to grey.
"""

from __future__ import annotations

import hashlib
import io
import re
import zlib

import numpy as np
from pydicom import Dataset, dcmread, uid
from pydicom.encaps import encapsulate, get_frame
from pydicom.multival import MultiValue
from pydicom.pixels.utils import pixel_array

from xrai.core.errors import ScanError
from xrai.core.language import N_, say
from xrai.scans.dicom_pixels import to_grey
from xrai.scans.grey_scale import jump_share
from xrai.scans.jpeg import decode_in_process, read_jpeg_header
from xrai.scans.patient_age import age_between, parse_age
from xrai.scans.scan import MAX_FILE_BYTES, Scan, check_size

# pydicom prefers gdcm for JPEG, but on damaged data gdcm aborts or overruns its memory, which would crash the server.
# So it decodes only what no other library can, in a process of its own.
_DECODER_PLUGINS = {
    uid.JPEGBaseline8Bit: "pillow",
    uid.JPEGExtended12Bit: "pillow",  # with up to 8 bits
    uid.JPEG2000Lossless: "pylibjpeg",
    uid.JPEG2000: "pylibjpeg",
    uid.HTJ2KLossless: "pylibjpeg",
    uid.HTJ2KLosslessRPCL: "pylibjpeg",
    uid.HTJ2K: "pylibjpeg",
    uid.RLELossless: "pydicom",
}
_GDCM_SYNTAXES = (uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEGLSNearLossless)

MIN_JUMPS = 0.006
"""Share of neighbouring pixels that jump, from which on the header's bits are doubted; a marker's outline has less."""

MAX_REMAINING_JUMPS = 0.3
"""The header's bits are wrong where at most this share of the jumps is left without them."""

BITS_WARNING = N_(
    "The file's header contradicts its values about how many bits they have, so XRAI went by the values: compare the "
    "picture with that on your viewer."
)

_PLACEHOLDER_ID = re.compile(
    r"|[\W_]*(anon(y\w*)?|unknown|unk|none|null|nil|n[\W_]*a|no[\W_]*(name|id)|patient([\W_]*id)?|removed|deleted|test"
    r"|de[\W_]?identified|identity|confidential|masked|hidden|redacted|default|dummy|x+|0+|1+|9+|12345\d*|[\W_]+)[\W_]*\d{0,2}",
    re.IGNORECASE,
)
"""Patient IDs that anonymisers write for everybody."""

_PIXEL_DATA_TAG = b"\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff"
_SEQUENCE_END = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"
_JPEG_2000_START = b"\xff\x4f\xff\x51"  # SOC and SIZ (ISO 15444-1, A.5.1)

_METADATA_KEYWORDS = (
    "Modality",
    "BodyPartExamined",
    "ViewPosition",
    "Laterality",
    "ImageLaterality",
    "PatientOrientation",
    "PatientAge",
    "PatientSex",
    "PresentationIntentType",  # "FOR PROCESSING" is raw detector data, not for reading
    "BurnedInAnnotation",
    "LossyImageCompression",
)

# Modalities (PS3.3 C.7.3.1.1.1) of projection images, and of images converted to DICOM.
_PROJECTIONS = {"CR", "DX", "DR", "RG", "RF", "OT", "SC", ""}

_X_RAY_CLASSES = {
    uid.ComputedRadiographyImageStorage,
    uid.DigitalXRayImageStorageForPresentation,
    uid.DigitalXRayImageStorageForProcessing,
    uid.XRayRadiofluoroscopicImageStorage,
    uid.SecondaryCaptureImageStorage,
}
_X_RAY_WORDS = {"XR", "RX", "XRAY", "X", "DXR", "CXR", "RAD", "RADIOGRAPHY", "RÖ"}
"""What people write as the modality of a projection X-ray."""

_OTHER_MODALITIES = {
    "CT": N_("a CT slice"),
    "MR": N_("an MRI slice"),
    "US": N_("an ultrasound picture"),
    "PT": N_("a PET slice"),
    "NM": N_("a nuclear medicine picture"),
    "XA": N_("an angiogram"),
    "MG": N_("a mammogram"),
    "IO": N_("a dental X-ray"),
    "PX": N_("a dental X-ray"),
    "XC": N_("a photograph"),
    "ES": N_("an endoscopy picture"),
    "SM": N_("a microscope slide"),
    "OP": N_("a photograph of an eye"),
    "ECG": N_("an electrocardiogram"),
    "BMD": N_("a bone density measurement"),
    "SEG": N_("a segmentation"),
    "SR": N_("a structured report"),
    "PR": N_("a presentation state"),
    "KO": N_("a list of chosen pictures"),
    "DOC": N_("a document"),
    "RTDOSE": N_("a radiotherapy dose"),
    "RTPLAN": N_("a radiotherapy plan"),
    "RTSTRUCT": N_("a radiotherapy contour"),
    "RTIMAGE": N_("a radiotherapy picture"),
}

_OTHER_CLASSES = {
    uid.MediaStorageDirectoryStorage: N_("the index of a disc (DICOMDIR)"),
    uid.EncapsulatedPDFStorage: N_("a PDF document"),
    uid.EncapsulatedCDAStorage: N_("a text document"),
    uid.CTImageStorage: N_("a CT slice"),
    uid.MRImageStorage: N_("an MRI slice"),
    uid.UltrasoundImageStorage: N_("an ultrasound picture"),
    uid.PositronEmissionTomographyImageStorage: N_("a PET slice"),
    uid.NuclearMedicineImageStorage: N_("a nuclear medicine picture"),
}

_GREY_INTERPRETATIONS = ("MONOCHROME1", "MONOCHROME2")
_COLOUR_INTERPRETATIONS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


def read_dicom(data: bytes) -> Scan:
    """Decode a DICOM file with one projection X-ray.

    Args:
        data: the file's content, with or without preamble and file meta information (PS3.10, 7.1).

    Returns:
        A `Scan`; 0 is air for every photometric interpretation, and padding pixels (PS3.3 C.7.5.1.1.2) are 0. With a
        VOI look-up table or window, the ends of its output range become 0 and 255; the first that shows the picture
        counts, and a table before a window. Without one, 8-bit values stay as stored, and higher bit depths are scaled
        by their robust range (`grey_scale`). Colour becomes luma. An image and its negative (values, window and
        MONOCHROME1 or 2 all reversed) give the same pixels; for this, a LINEAR window on MONOCHROME1 is shifted by one
        stored value.

    Raises:
        ScanError: no image, several images, or an unsupported kind, modality, size or encoding.
        Exception: whatever pydicom or a decoder raises on a damaged file; `xrai.scans.read_scan` words it.
    """
    _refuse_inflated(data)
    dataset = _parse(data)
    _refuse_other_kinds(dataset)
    width, height = int(dataset.Columns), int(dataset.Rows)
    check_size(width, height)
    _unwrap_jpeg_2000(dataset)
    _check_encoding(dataset)
    stored_values, bits_warnings = _decode_stored_values(dataset)  # (H, W) or (H, W, 3)
    pixels, window_warnings = to_grey(dataset, stored_values)
    return Scan(
        pixels,
        hashlib.sha256(data).hexdigest(),
        "DICOM",
        str(dataset.PhotometricInterpretation),
        width,
        height,
        len(data),
        _patient_key(dataset),
        _metadata(dataset),
        warnings=(*bits_warnings, *window_warnings),
    )


# ---------------------------------------------------------------------------------------------------- the file


def _refuse_inflated(data: bytes) -> None:
    """Refuse a deflated file that would fill the memory: pydicom inflates it before reading anything."""
    offset = 132 if data[128:132] == b"DICM" else 0
    while data[offset : offset + 2] == b"\x02\x00":  # skip the file meta information, always explicit little-endian
        has_long_length = data[offset + 4 : offset + 6] in (b"OB", b"UN")
        offset += (
            12 + int.from_bytes(data[offset + 8 : offset + 12], "little")
            if has_long_length
            else 8 + data[offset + 6] + 256 * data[offset + 7]
        )
    if uid.DeflatedExplicitVRLittleEndian.encode() not in data[:offset]:
        return
    if len(zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[offset:], MAX_FILE_BYTES + 1)) > MAX_FILE_BYTES:
        raise ScanError(
            "The DICOM file unpacks to more than XRAI reads, probably because it is no single X-ray: "
            "export the X-ray itself."
        )


def _parse(data: bytes) -> Dataset:
    dataset = dcmread(io.BytesIO(data), force=True)
    if "TransferSyntaxUID" not in dataset.file_meta:  # then use the encoding that the parser detected
        implicit, little = dataset.original_encoding
        explicit_syntax = uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian if implicit else explicit_syntax
    if "PixelData" not in dataset and dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        dataset = _recover_pixel_data(dataset, data)
    _complete_header(dataset)
    return dataset


def _recover_pixel_data(dataset: Dataset, data: bytes) -> Dataset:
    """Find compressed pixel data that a wrong length before them, or a missing end after them, hides from pydicom."""
    start, end = data.rfind(_PIXEL_DATA_TAG), data.rfind(_SEQUENCE_END)
    if start < 0:
        return dataset
    start += len(_PIXEL_DATA_TAG)
    header = dcmread(io.BytesIO(data), force=True, stop_before_pixels=True)
    header.PixelData = data[start : end if end > start else len(data)]
    header["PixelData"].is_undefined_length = True
    return header


def _complete_header(dataset: Dataset) -> None:
    """Set what describes the pixels where it is missing or in small letters, as far as there is one sensible value."""
    for name, value in {"SamplesPerPixel": 1, "PixelRepresentation": 0, "PlanarConfiguration": 0}.items():
        if dataset.get(name) is None:
            setattr(dataset, name, value)
    usual = "MONOCHROME2" if dataset.SamplesPerPixel == 1 else "RGB"
    dataset.PhotometricInterpretation = str(dataset.get("PhotometricInterpretation") or "").strip().upper() or usual
    if dataset.get("BitsStored") is None and dataset.get("BitsAllocated"):
        dataset.BitsStored = dataset.BitsAllocated
    if dataset.get("BitsStored"):
        dataset.HighBit = dataset.BitsStored - 1  # another one is a mistake; pydicom goes by the bits stored


def _refuse_other_kinds(dataset: Dataset) -> None:
    modality = str(dataset.get("Modality") or "").strip().upper().replace("-", "").replace(" ", "")
    sop_class = dataset.file_meta.get("MediaStorageSOPClassUID") or dataset.get("SOPClassUID")
    other = _OTHER_CLASSES.get(sop_class) or _OTHER_MODALITIES.get(modality)
    is_x_ray = modality in _PROJECTIONS | _X_RAY_WORDS or sop_class in _X_RAY_CLASSES
    if other or not is_x_ray:
        raise ScanError(
            "The DICOM file holds {other}, which XRAI does not read: "
            "choose the chest X-ray (modality CR or DX) from the examination.",
            other=other or say("something other than a projection X-ray"),
        )
    if "PixelData" not in dataset or "Rows" not in dataset:
        raise ScanError(
            "The DICOM file holds no picture, because it is a report or a note, or because it was cut short while "
            "being copied: choose the chest X-ray from the examination, or export it again."
        )
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise ScanError(
            "The DICOM file holds {frames} frames, so it is a series or a film rather than one "
            "X-ray: export the one frame that matters.",
            frames=int(dataset.NumberOfFrames),
        )


def _check_encoding(dataset: Dataset) -> None:
    """Refuse unsupported encodings, and a compressed image whose size differs from the header."""
    syntax = dataset.file_meta.TransferSyntaxUID
    is_known_syntax = not syntax.is_encapsulated or syntax in _DECODER_PLUGINS or syntax in _GDCM_SYNTAXES
    samples = {
        **dict.fromkeys(_GREY_INTERPRETATIONS, 1),
        **dict.fromkeys(_COLOUR_INTERPRETATIONS, 3),
        "PALETTE COLOR": 1,
    }
    is_usual = samples.get(dataset.PhotometricInterpretation) == dataset.SamplesPerPixel
    if not is_known_syntax or not is_usual or dataset.BitsAllocated not in (1, 8, 16):
        raise ScanError(
            "The DICOM picture is coded in a way that XRAI cannot decode, probably a rare compression: "
            "export it again, uncompressed and as greyscale."
        )
    if syntax.is_encapsulated and _encoded_size(_first_frame(dataset)) not in (None, (dataset.Columns, dataset.Rows)):
        raise ScanError(
            "The DICOM file's header and its picture disagree about the picture's size, so the file is probably "
            "damaged: export it again."
        )


def _unwrap_jpeg_2000(dataset: Dataset) -> None:
    """Take a JPEG 2000 codestream out of the boxes of a JP2 file, which DICOM does not allow (PS3.5 A.4.4).

    pydicom never ends on a box without a length, and boxes may hide how large the picture is.
    """
    if dataset.file_meta.TransferSyntaxUID not in uid.JPEG2000TransferSyntaxes:
        return
    frame = _first_frame(dataset)
    start = frame.find(_JPEG_2000_START)
    if start > 0:
        dataset.PixelData = encapsulate([frame[start:]])
    elif start < 0:
        raise ValueError("There is no JPEG 2000 codestream.")


def _encoded_size(frame: bytes) -> tuple[int, int] | None:
    """Width and height in a JPEG, JPEG-LS or JPEG 2000 stream, by which decoders allocate memory."""
    if frame.startswith(_JPEG_2000_START):
        right, bottom, left, top = np.frombuffer(frame, ">u4", 4, offset=8).tolist()
        return right - left, bottom - top
    if header := read_jpeg_header(frame):
        return header.width, header.height
    return None


def _first_frame(dataset: Dataset) -> bytes:
    return get_frame(dataset.PixelData, 0, number_of_frames=1)


def _decode_stored_values(dataset: Dataset) -> tuple[np.ndarray, list[str]]:
    """Decode the stored values -> (H, W), or RGB (H, W, 3) for colour; and a warning where the header is wrong.

    The header's number of bits and sign are not believed where they make rings of jumps.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax in _GDCM_SYNTAXES or (syntax == uid.JPEGExtended12Bit and dataset.BitsStored > 8):
        _decode_with_gdcm(dataset)
    declared = _decode(dataset)
    if declared.ndim != 2 or syntax.is_encapsulated or dataset.BitsAllocated != 16:
        return declared, []
    if (jumps := jump_share(declared)) < MIN_JUMPS:
        return declared, []
    bits_stored = dataset.BitsStored
    dataset.BitsStored = 16
    all_bits = _decode(dataset)
    candidates = (all_bits.view(np.uint16), all_bits.view(np.int16))
    remaining_jumps = list(map(jump_share, candidates))
    best = candidates[int(np.argmin(remaining_jumps))]
    if min(remaining_jumps) > MAX_REMAINING_JUMPS * jumps:
        dataset.BitsStored = bits_stored
        return declared, []
    return best, [BITS_WARNING]


def _decode(dataset: Dataset) -> np.ndarray:
    return pixel_array(dataset, decoding_plugin=_DECODER_PLUGINS.get(dataset.file_meta.TransferSyntaxUID, ""))


def _decode_with_gdcm(dataset: Dataset) -> None:
    """Replace compressed pixel data by the decoded ones."""
    frame = _first_frame(dataset)
    bits_stored = header.precision if (header := read_jpeg_header(frame)) else dataset.BitsStored
    bits_allocated = 8 if bits_stored <= 8 else 16
    decoded = decode_in_process(
        frame,
        dataset.file_meta.TransferSyntaxUID,
        (dataset.Columns, dataset.Rows),
        samples=dataset.SamplesPerPixel,
        bits_allocated=bits_allocated,
        bits_stored=bits_stored,
        is_signed=bool(dataset.PixelRepresentation),
    )
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.PixelData = decoded
    dataset.BitsAllocated = bits_allocated
    dataset.PlanarConfiguration = 0


def _patient_key(dataset: Dataset) -> str | None:
    """The patient by their ID and its issuer; by the study where the ID is a placeholder of anonymisers."""
    patient, issuer = (str(dataset.get(name) or "").strip() for name in ("PatientID", "IssuerOfPatientID"))
    if _PLACEHOLDER_ID.fullmatch(patient):
        study = str(dataset.get("StudyInstanceUID") or "").strip()
        return f"study {study}" if study else None
    return f"{patient}^^^{issuer}" if issuer else patient


def _metadata(dataset: Dataset) -> dict[str, str]:
    values = {name: dataset.get(name) for name in _METADATA_KEYWORDS}
    texts = {name: "\\".join(map(str, v)) if isinstance(v, MultiValue) else str(v or "") for name, v in values.items()}
    metadata = {name: text.strip() for name, text in texts.items() if text.strip()}
    if parse_age(metadata.get("PatientAge", "")) is None and (age := _age_by_dates(dataset)) is not None:
        metadata["PatientAge"] = f"{round(age * 12):03d}M" if age < 3 else f"{int(age):03d}Y"
    return metadata


def _age_by_dates(dataset: Dataset) -> float | None:
    """The patient's age in years at the study; the dates themselves are not kept."""
    birth = str(dataset.get("PatientBirthDate") or "")
    studies = (str(dataset.get(name) or "") for name in ("StudyDate", "AcquisitionDate", "SeriesDate", "ContentDate"))
    return next((age for study in studies if (age := age_between(birth, study)) is not None), None)
