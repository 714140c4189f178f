"""Warnings beside a reading."""

from dataclasses import replace

import numpy as np
import pytest

from tests.xrai.reading.reading_models import encoded, film, make_model, ready
from xrai.calibration import Calibration
from xrai.data.sources import KAGGLE_SETS
from xrai.reading.reader import Reader
from xrai.reading.warnings import OUTSIDE_BODY_WARNING
from xrai.scans import read_scan


def test_a_patient_outside_the_population_is_not_counted_among_it(reader):
    card = reader.card.replace(calibration=Calibration(slope=1.0, offsets=(0.0, 0.0), prevalence=(0.5, 0.5)))
    card = card.replace(dataset={"population": "children of one hospital"})
    scan = read_scan(encoded(film()))
    assert "children like this" in Reader(card, reader.network).read(scan).frequency
    assert Reader(card, reader.network).read(replace(scan, metadata={"PatientAge": "047Y"})).frequency == ""


@pytest.mark.parametrize(
    ("place", "is_warned"), [(np.s_[:0], False), (np.s_[:20], True), (np.s_[100:150, 60:110], False)]
)
def test_heat_at_the_border_raises_an_alarm(reader, monkeypatch, place, is_warned):
    heat = np.zeros((128, 128), np.float32)
    heat[place] = 1
    monkeypatch.setattr(Reader, "scale_evidence", lambda *_: heat)
    assert (OUTSIDE_BODY_WARNING in reader.read(read_scan(encoded(film()))).warnings) == is_warned


def test_warnings(home, gate):
    reader = ready(Reader.open(make_model(drawings=True)), gate)
    (warning,) = reader.read(read_scan(encoded(film()))).warnings
    assert "drawings" in warning
    reader = ready(Reader.open(make_model("small")), gate)
    assert reader.read(read_scan(encoded(film()))).warnings == ()
    card = reader.card.replace(
        network=reader.card.network.replace(image_size=300),
        preprocessing=replace(reader.card.preprocessing, input_size=300),
    )
    (warning,) = Reader(card, reader.network, reader.artifacts).read(read_scan(encoded(film()))).warnings
    assert "256 × 256" in warning


def test_what_a_model_learned_from_may_rob_its_answers_of_meaning(home, gate):
    reader = ready(Reader.open(make_model()), gate)
    covid = next(known.population for known in KAGGLE_SETS if "covid" in known.handle)
    card = reader.card.replace(dataset=reader.card.dataset.replace(population=covid))
    (warning,) = Reader(card, reader.network, reader.artifacts).read(read_scan(encoded(film()))).warnings
    assert "no clinical meaning" in warning
    card = reader.card.replace(dataset=reader.card.dataset.replace(population="adults of two hospitals"))
    assert not Reader(card, reader.network, reader.artifacts).read(read_scan(encoded(film()))).warnings


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"ViewPosition": "LL"}, "from another side"),
        ({"BodyPartExamined": "KNEE"}, "another part of the body"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "raw picture"),
    ],
)
def test_a_dicom_that_says_it_is_no_frontal_chest_is_warned_of(reader, facts, words, gate):
    reader = ready(reader, gate)
    [warning] = reader.read(replace(read_scan(encoded(film())), metadata=facts)).warnings
    assert words in warning


def test_an_adult_is_warned_of_where_the_model_knows_children(reader, gate):
    reader = ready(reader, gate)
    card = reader.card.replace(dataset=reader.card.dataset.replace(population="children of one to five years"))
    scan = read_scan(encoded(film()))
    [warning] = (
        Reader(card, reader.network, reader.artifacts).read(replace(scan, metadata={"PatientAge": "047Y"})).warnings
    )
    assert "47 years old" in warning
    for age in ("004Y", "030M", "odd"):
        assert (
            Reader(card, reader.network, reader.artifacts).read(replace(scan, metadata={"PatientAge": age})).warnings
            == ()
        )
    assert reader.read(replace(scan, metadata={"PatientAge": "047Y"})).warnings == ()


def test_a_dicom_of_a_frontal_chest_is_not_warned_of(reader, gate):
    reader = ready(reader, gate)
    facts = {"ViewPosition": "PA", "BodyPartExamined": "CHEST", "PresentationIntentType": "FOR PRESENTATION"}
    assert reader.read(replace(read_scan(encoded(film())), metadata=facts)).warnings == ()
