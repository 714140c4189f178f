"""Patients whom a model may be used for: the others get no answer."""

from dataclasses import replace

import pytest

from tests.xrai.reading.reading_models import encoded, film, ready
from xrai.calibration import Calibration
from xrai.reading.reader import Reader
from xrai.reading.results import Reading, Refusal
from xrai.scans import read_scan


@pytest.fixture
def children(reader, gate):
    """A model for children of one to five years, with calibrated probabilities."""
    card = reader.card.replace(
        calibration=Calibration(slope=1.0, offsets=(0.0, 0.0), prevalence=(0.5, 0.5)),
        dataset=reader.card.dataset.replace(population="children of one to five years"),
        intended_use={"min_age": 1, "max_age": 5},
    )
    return Reader(card, reader.network, ready(reader, gate).artifacts)


@pytest.fixture(scope="module")
def scan():
    return read_scan(encoded(film(40)))


def aged(scan, text):
    return replace(scan, metadata={"PatientAge": text})


@pytest.mark.parametrize("text", ["001Y", "005Y", "4Y", "018M", "71M", "60W", "4"])
def test_a_patient_within_the_ages_is_read(children, scan, text):
    reading = children.examine(aged(scan, text))
    assert isinstance(reading, Reading) and reading.warnings == ()
    assert "children like this" in reading.frequency


@pytest.mark.parametrize("text", ["045Y", "45Y", "540M", "006Y", "011M", "010D", "45"])
def test_a_patient_outside_the_ages_gets_no_answer(children, scan, text):
    refusal = children.examine(aged(scan, text), correct=True, any_image=True)
    assert isinstance(refusal, Refusal) and refusal.is_outside_population
    assert "1 to 5 years" in refusal.reason


def test_the_file_is_believed_rather_than_who_asks(children, scan):
    assert isinstance(children.examine(aged(scan, "045Y"), in_age_range=True), Refusal)
    assert isinstance(children.examine(aged(scan, "004Y"), in_age_range=False), Reading)


def test_a_patient_of_unknown_age_is_read_with_a_warning(children, scan):
    for text in ("", "odd", "999Y"):
        reading = children.examine(aged(scan, text))
        assert "age is not known" in reading.warnings[0] and reading.frequency == ""


def test_who_knows_the_age_can_say_it(children, scan):
    reading = children.examine(scan, in_age_range=True)
    assert reading.warnings == () and "children like this" in reading.frequency
    assert children.examine(scan, in_age_range=False).is_outside_population


def test_for_research_anybody_is_read_but_never_for_certain(children, scan):
    reading = children.examine(aged(scan, "045Y"), any_age=True)
    assert isinstance(reading, Reading) and reading.is_outside_population
    assert "45 years old" in reading.warnings[0]
    assert (reading.is_confident, reading.frequency) == (False, "")
    assert reading.probabilities == children.read(scan).probabilities


def test_a_picture_that_is_no_chest_stays_refused_at_any_age(children, scan):
    photo = replace(aged(scan, "045Y"), colour=0.3)
    refusal = children.examine(photo, any_age=True)
    assert isinstance(refusal, Refusal) and not refusal.is_outside_population


def test_a_model_without_ages_reads_everybody(reader, gate, scan):
    reading = ready(reader, gate).examine(aged(scan, "045Y"))
    assert isinstance(reading, Reading) and not reading.is_outside_population
