"""Damaged files, warnings, threads and real scans."""

import io
import os
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from tests.xrai.scans.scan_files import SECRET, STORED, dicom, refused, samples, spread, written
from xrai.core.errors import ScanError
from xrai.scans import Scan, read_scan


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
        scan = read_scan(file, min_side=224, crop=False)
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
