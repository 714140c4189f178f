"""Warnings beside a reading."""

from dataclasses import replace

import numpy as np
import pytest

from tests.xrai.reading.reading_models import encoded, film, make_model, ready
from xrai.data.sources import KAGGLE_SETS
from xrai.reading.reader import Reader
from xrai.reading.warnings import OUTSIDE_BODY_WARNING, scan_warnings
from xrai.scans import read_scan


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


@pytest.mark.parametrize(
    "view",
    [
        "PA",
        "AP",
        "pa",
        "AP SUPINE",
        "POSTEROANTERIOR",
        "ANTERO-POSTERIOR",
        "PA ERECT",
        "P.A.",
        "FRONTAL",
        "Face",
        "SUPINE",
    ],
)
@pytest.mark.parametrize("part", ["CHEST", "TORAX", "TÓRAX", "POITRINE", "BRUST", "Thorax PA", "LUNGS"])
def test_frontal_chests_are_known_in_many_spellings(view, part):
    scan = replace(read_scan(encoded(film())), metadata={"ViewPosition": view, "BodyPartExamined": part})
    assert scan_warnings(scan) == []


@pytest.mark.parametrize("view", ["LL", "LATERAL", "LAT", "Left lateral", "LLD", "PA OBLIQUE", "Profil", "AP LORDOTIC"])
def test_other_views_are_known_in_many_spellings(view):
    [warning] = scan_warnings(replace(read_scan(encoded(film())), metadata={"ViewPosition": view}))
    assert "another side" in warning


def test_a_dicom_of_a_frontal_chest_is_not_warned_of(reader, gate):
    reader = ready(reader, gate)
    facts = {"ViewPosition": "PA", "BodyPartExamined": "CHEST", "PresentationIntentType": "FOR PRESENTATION"}
    assert reader.read(replace(read_scan(encoded(film())), metadata=facts)).warnings == ()
