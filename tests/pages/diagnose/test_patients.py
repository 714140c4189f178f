"""Patients outside a model's ages, and mirrored films."""

import numpy as np
import pytest

from tests.pages.diagnose.page import as_png, button, changed, film, opened, texts
from xrai.input_check import MIRRORED, InputCheck
from xrai.scans import Scan

AGE = "Patients' age"


@pytest.fixture
def for_children(model):
    changed(model, intended_use={"min_age": 1, "max_age": 5})
    return model


def aged(monkeypatch, text):
    monkeypatch.setattr(Scan, "metadata", {"PatientAge": text}, raising=False)


def age_choice(app):
    return next(item for item in app.segmented_control if item.label.startswith(AGE))


def test_a_model_without_ages_does_not_ask(model):
    app = opened(("a.png", as_png(film())))
    assert not any(item.label.startswith(AGE) for item in app.segmented_control)


def test_an_unknown_age_is_a_warning_beside_the_answer(for_children):
    app = opened(("a.png", as_png(film())))
    assert age_choice(app).value == "Unknown"
    assert any("age is not known" in item.value for item in app.warning)
    assert "children like this" not in texts(app)


def test_the_age_that_is_said_lets_the_film_be_read(for_children):
    app = opened(("a.png", as_png(film())))
    age_choice(app).set_value("in_range").run()
    assert not app.exception and not any("age" in item.value for item in app.warning)
    assert "children like this" in texts(app)


def test_another_age_gets_no_answer_and_no_probability_for_research(for_children):
    app = opened(("a.png", as_png(film())), ("b.png", as_png(film(5))))
    age_choice(app).set_value("Other").run()
    assert app.error[0].value.startswith("**a.png** was not read. The patient's age is outside")
    assert not app.subheader
    button(app, "Show for research").click().run()
    assert app.subheader[0].value == r"No answer\: outside the ages of this model"
    assert not app.get("progress") and "%" not in app.subheader[0].value
    assert "More likely" in texts(app)
    shares = app.dataframe[-1].value["Pneumonia"]
    assert shares.isna().all()


def test_what_was_chosen_for_a_film_is_forgotten_with_the_films(for_children):
    app = opened(("a.png", as_png(film())))
    age_choice(app).set_value("Other").run()
    button(app, "Clear all scans").click().run()
    app.file_uploader[0].set_value([("a.png", as_png(film()), "image/png")]).run()
    assert age_choice(app).value == "Unknown"


def test_a_mirrored_film_is_offered_corrected(model, monkeypatch):
    mirrored = np.ascontiguousarray(film()[:, ::-1])
    monkeypatch.setattr(InputCheck, "looks_mirrored", lambda _, pixels: bool((pixels == mirrored).all()))
    app = opened(("a.png", as_png(mirrored)))
    assert any("Left and right" in item.value for item in app.warning)
    assert app.subheader[0].value == r"Uncertain\: radiologist review needed"
    button(app, f"Correct and read: {MIRRORED}").click().run()
    assert not app.exception and not any("Left and right" in item.value for item in app.warning)
    button(app, "Read without correction").click().run()
    assert any("Left and right" in item.value for item in app.warning)
