"""Scans that their header calls doubtful, and patients that nobody tells."""

import numpy as np
import pytest

from tests.xrai.scans.scan_files import dicom, grey
from xrai.data.dataset import BuildConfig, build_dataset, open_dataset
from xrai.data.sources import open_source


@pytest.fixture
def build(tmp_path):
    def make(headers, **settings):
        for number, header in enumerate(headers):
            folder = tmp_path / "in" / ("NORMAL" if number % 2 else "PNEUMONIA")
            folder.mkdir(parents=True, exist_ok=True)
            pixels = np.roll(grey(80, 80), number, axis=1)
            (folder / f"{number}.dcm").write_bytes(dicom(pixels, **header))
        out = tmp_path / "out.hdf5"
        out.unlink(missing_ok=True)
        with open_source(tmp_path / "in") as source:
            assert build_dataset(source, out, BuildConfig(size=32, **settings))
        return open_dataset(out)

    return make


LATERALS = [{"PatientID": f"id{n}", "ViewPosition": "LATERAL" if n % 3 == 0 else "PA"} for n in range(12)]


def test_scans_that_say_that_they_are_lateral_are_told(build):
    with build(LATERALS) as dataset:
        assert len(dataset) == 12
        assert any(note.startswith("4 scans are doubtful by their headers") for note in map(str, dataset.notes))


def test_they_can_be_left_out(build):
    with build(LATERALS, exclude_doubtful=True) as dataset:
        assert len(dataset) == 8 and len(dataset.skipped) == 4
        assert "another side" in dataset.skipped[0].reason


@pytest.mark.parametrize("name", ["ANONYMOUS", "anon", "Unknown", "0000", "N/A", "", "XXXX", "No Name", "anonymized"])
def test_a_placeholder_is_nobodys_patient_id(build, name):
    with build([{"PatientID": name, "StudyInstanceUID": f"1.2.3.{n // 2}"} for n in range(12)]) as dataset:
        assert len(set(dataset.patients)) == 6


def test_real_patient_ids_count(build):
    with build([{"PatientID": f"A{n // 3}", "StudyInstanceUID": f"1.2.{n}"} for n in range(12)]) as dataset:
        assert len(set(dataset.patients)) == 4
