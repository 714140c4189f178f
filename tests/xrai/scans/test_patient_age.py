"""A patient's age from the DICOM header."""

import pytest

from tests.xrai.scans.scan_files import dicom
from xrai.scans import read_scan
from xrai.scans.patient_age import age_between, parse_age


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("045Y", 45),
        ("45Y", 45),
        ("45 y", 45),
        ("45 years", 45),
        ("045A", 45),
        ("45", 45),
        ("540M", 45),
        ("018M", 1.5),
        ("104W", 104 / 52.18),
        ("2 weeks", 2 / 52.18),
        ("010D", 10 / 365.25),
        ("000Y", 0),
    ],
)
def test_ages_are_understood(text, years):
    assert parse_age(text) == pytest.approx(years)


@pytest.mark.parametrize("text", ["", "Y", "999Y", "0450Y", "-3Y", "adult", "045X", "4.5Y"])
def test_what_tells_no_age(text):
    assert parse_age(text) is None


@pytest.mark.parametrize(
    ("birth", "study", "years"),
    [
        ("20150310", "20200310", 5),
        ("2015.03.10", "2020-03-10", 5),
        ("20200210", "20200310", 29 / 365.25),
        ("18500101", "20200101", None),
        ("20210101", "20200101", None),
        ("20159910", "20200101", None),
        ("", "20200101", None),
        ("2015", "20200101", None),
    ],
)
def test_dates_tell_the_age(birth, study, years):
    age = age_between(birth, study)
    assert age is None if years is None else age == pytest.approx(years, abs=0.01)


def test_a_file_with_dates_alone_tells_its_age_and_no_date():
    child = read_scan(dicom(PatientBirthDate="20180901", StudyDate="20200301")).metadata
    adult = read_scan(dicom(PatientBirthDate="19700101", AcquisitionDate="20200301")).metadata
    assert (child["PatientAge"], adult["PatientAge"]) == ("018M", "050Y")
    assert not any("2018" in text or "1970" in text for text in [*child.values(), *adult.values()])


def test_the_age_itself_counts_before_dates():
    assert (
        read_scan(dicom(PatientAge="004Y", PatientBirthDate="19700101", StudyDate="20200301")).metadata["PatientAge"]
        == "004Y"
    )
