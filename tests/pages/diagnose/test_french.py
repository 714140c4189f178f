"""The page in French."""

import re

import numpy as np
import pytest
import streamlit as st

from tests.languages import find_untranslated, open_in_french, visible_texts
from tests.pages.diagnose.page import LOOK, NAMES, TRUST, as_png, button, changed, film, opened
from xrai.calibration import ConformalAbstention
from xrai.core.language import use_language
from xrai.core.paths import PROJECT_DIR
from xrai.models.checkpoint import Checkpoint


@pytest.fixture
def well_known(model):
    """The model with all that a card may tell."""
    shipped = Checkpoint(PROJECT_DIR / "checkpoints" / "pneumonia").read_card()
    known = {"population": shipped.dataset.population, "audit": shipped.dataset.audit}
    per_class = {name: {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 10} for name in ("NORMAL", "PNEUMONIA")}
    changed(
        model,
        notes=shipped.notes,
        dataset=model.read_card().dataset.replace(**known),
        local_prevalence=0.1,
        abstention=ConformalAbstention(alpha=0.05, thresholds=(0.1, 0.1), n_patients=(100, 100)),
        trust_report=TRUST | {"rows": shipped.trust_report.rows},
        evaluations=[LOOK | {"per_class": per_class, "threshold": 0.3}],
    )
    return model


def opened_in_french(*files, **state):
    app = open_in_french(state).run()
    if files:
        app.file_uploader[0].set_value([(name, content, "image/png") for name, content in files]).run()
    assert not app.exception
    return app


class TestInFrench:
    def test_without_a_model(self, home):
        assert not find_untranslated(visible_texts(opened_in_french()), NAMES)

    def test_what_is_known_of_a_model(self, well_known):
        said = visible_texts(opened_in_french())
        assert "À propos de ce modèle" in said
        assert "0,017 (0,013 à 0,035 ; 0,018 par le seul hasard)" in [text.replace("\u202f", " ") for text in said]
        assert not find_untranslated(said, NAMES)

    def test_readings_refusals_and_second_looks(self, well_known):
        noise = np.random.default_rng(0).integers(0, 256, (128, 128), dtype=np.uint8)
        app = opened_in_french(
            ("a.png", as_png(film())),
            ("b.png", as_png(film(4))),
            ("noise.png", as_png(noise)),
            ("turned.png", as_png(np.rot90(film(5)))),
            ("negative.png", as_png(255 - film(6))),
            diagnose_similar_open=True,
        )
        with use_language("fr"):
            hidden = visible_texts(app)
            mended = visible_texts(button(app, "Corriger et lire\u00a0: tourné").click().run())
        assert not app.exception
        assert any("Pneumonie maintenant" in text for text in hidden)
        assert "Correction appliquée avant la lecture, à votre demande\u00a0: tourné de 90° vers la droite." in mended
        assert not find_untranslated([*hidden, *mended], NAMES)

    def test_what_is_saved(self, well_known, monkeypatch):
        saved = {}
        monkeypatch.setattr(st, "download_button", lambda label, data, *_, **__: saved.update({label: data}))
        drawn = []
        monkeypatch.setattr("xrai.reading.result_card.draw_result_card", lambda *_, **words: drawn.append(words) or b"")
        opened_in_french(("a.png", as_png(film())), ("b.png", as_png(film(4))))
        table = saved["Enregistrer ce tableau (CSV)"].decode("utf-8-sig")
        assert table.startswith("Fichier;Diagnostic;Normal;Pneumonie;Remarque;Modèle;")
        assert re.search(r";0,\d+;0,\d+;", table)
        assert not find_untranslated(table.splitlines(), NAMES)
        saved["Enregistrer ce résultat (PNG)"]()
        words = drawn[0]
        assert words["lines"][0].startswith("Fichier a.png, lu le")
        shown = [
            words["title"],
            words["heat_caption"],
            *words["lines"],
            *(text for _, _, text in words["probabilities"]),
        ]
        assert not find_untranslated(shown, NAMES)

    def test_a_change_of_language_keeps_what_was_chosen(self, model):
        app = opened(("a.png", as_png(film())), ("b.png", as_png(film(4))))
        app.selectbox(key="diagnose_shown").select(1).run()
        app.slider(key="diagnose_opacity").set_value(40).run()
        app.segmented_control(key="diagnose_view").set_value("Blended").run()
        app.segmented_control(key="language").set_value("fr").run()
        assert not app.exception
        assert app.title[0].value == "Diagnostic"
        assert app.selectbox(key="diagnose_shown").value == 1
        assert app.slider(key="diagnose_opacity").value == 40
        assert app.segmented_control(key="diagnose_view").value == "Blended"
