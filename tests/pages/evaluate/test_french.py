"""The page Evaluate for somebody who reads French: nothing on it is English, and nothing chosen is lost."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages.lab.evaluate import exports
from pages.shared.datasets import DatasetFacts
from pages.shared.verdict import population_text
from tests.languages import find_untranslated, open_in_french, visible_texts
from tests.pages.evaluate.page import CLASSES, EVALUATE, make_model, make_ready, note_look
from xrai.calibration import ThresholdGoal, choose_threshold, describe_natural_frequency, fit_abstention
from xrai.core import jobs
from xrai.core.errors import DatasetError
from xrai.core.json_files import write_json
from xrai.core.language import language, translate, use_language
from xrai.data.dataset import open_dataset
from xrai.data.description import DatasetDescription
from xrai.evaluation.evaluate import _select_rows
from xrai.evaluation.store import REPORT_FILE, measuring_title
from xrai.figures import confusion_figure
from xrai.models.operating_point import update_operating_point

GIVEN = ("chance", "practice", "children of one hospital", "A note on the model.")
"""What people wrote or named: it stays as it is."""


def opened(**state) -> AppTest:
    app = open_in_french(state).run()
    app.switch_page(EVALUATE).run()
    assert not app.exception
    return app


def said(app: AppTest) -> str:
    return re.sub(r"\\(.)", r"\1", "\n".join(visible_texts(app)))


def left(app: AppTest, *names: str) -> list[str]:
    given = (*GIVEN, *names)
    return find_untranslated([text for text in visible_texts(app) if text not in given], given)


def keyed(kind, part: str):
    return next(item for item in kind if part in (item.key or ""))


class TestNoEnglish:
    def test_without_a_dataset_or_a_model(self, home, request):
        assert not left(opened())
        request.getfixturevalue("dataset_here")
        assert not left(opened())

    @pytest.mark.parametrize("split", ["train", "val", "test"])
    def test_before_it_is_measured(self, model, dataset_here, split):
        note_look(model, dataset_here, split=split, threshold=0.3)
        app = opened(evaluate_split=split)
        assert not left(app)
        assert "Ce modèle a été mesuré une fois sur les" in said(app)

    def test_where_the_classes_do_not_fit(self, home, dataset_here):
        make_model("three", ("Normal", "Covid", "Viral Pneumonia"))
        app = opened()
        assert not left(app, "three")
        assert "Normal, Covid et Pneumonie virale" in said(app)

    def test_measured_with_scans_and_heatmaps(self, ready, measured_ready):
        app = opened()
        assert not left(app)
        assert re.search(r"Entre \d+,\d\u202f% et \d+,\d\u202f%, la réponse est", said(app))

    @pytest.mark.usefixtures("no_cells")
    @pytest.mark.parametrize(
        "goal",
        [
            ThresholdGoal(kind="max_fnr", limit=0.125),
            ThresholdGoal(kind="max_fpr", limit=0.2),
            ThresholdGoal(kind="fixed", limit=0.31),
        ],
    )
    def test_every_goal_that_is_in_force(self, ready, measured_ready, goal):
        update_operating_point(ready, goal=goal, alpha=0.05, prevalence=0.055)
        app = opened()
        assert not left(app)
        assert "5,5" in said(app)

    @pytest.mark.usefixtures("no_cells")
    def test_a_threshold_that_was_moved_and_then_put_in_force(self, ready, measured_ready):
        app = opened()
        app.radio[0].set_value("max_fnr").run()
        keyed(app.slider, "_max_fnr").set_value(12.5).run()
        assert not left(app)
        assert "manquer au plus 12,5\u202f% des clichés de la classe Opacité" in said(app)
        keyed(app.button, "decide_use").click().run()
        assert not left(app)
        assert "positif pour Opacité à partir" in app.success[0].value

    def test_three_classes(self, home, dataset_here):
        make_ready(make_model("three", ("Normal", "Covid", "Viral Pneumonia")))
        with h5py.File(dataset_here, "r+") as file:
            file.attrs["classes"] = json.dumps(["Normal", "Covid", "Viral Pneumonia"])
        app = opened()
        assert not left(app, "three")
        assert "la classe la plus probable est retenue" in said(app)

    def test_what_is_damaged_or_was_interrupted(self, ready, measured_ready):
        (measured_ready / REPORT_FILE).write_text("{}", encoding="utf-8")
        write_json(measured_ready / jobs.JOB_FILE, {"status": "stopped"})
        app = opened()
        assert not left(app, "practice-test", measured_ready.name)
        assert "est endommagée\u00a0: mesurez à nouveau" in said(app)
        assert "La mesure a été arrêtée" in said(app)


class TestSwitched:
    @pytest.mark.usefixtures("no_cells")
    def test_what_was_chosen_and_tried_stays(self, ready, measured_ready, dataset_here):
        make_model("another", CLASSES)
        app = opened(evaluate_model="chance")
        app.radio[0].set_value("fixed").run()
        keyed(app.slider, "_fixed").set_value(31.0).run()
        keyed(app.slider, "_doubt").set_value(19.5).run()
        keyed(app.number_input, "_prevalence").set_value(7.5).run()
        keyed(app.toggle, "evaluate_both").set_value(True).run()
        for code in ("en", "fr"):
            app.session_state["language"] = code
            app.run()
            assert not app.exception
            assert keyed(app.selectbox, "evaluate_model").value == "chance"
            assert (app.radio[0].value, keyed(app.slider, "_fixed").value) == ("fixed", 31.0)
            assert keyed(app.slider, "_doubt").value == 19.5
            assert keyed(app.number_input, "_prevalence").value == 7.5
            assert keyed(app.toggle, "evaluate_both").value
        assert not left(app)

    def test_the_split_stays(self, model, dataset_here):
        app = opened()
        keyed(app.selectbox, "evaluate_split").select("val").run()
        for code in ("en", "fr"):
            app.session_state["language"] = code
            app.run()
            assert keyed(app.selectbox, "evaluate_split").value == "val"
            assert keyed(app.selectbox, "evaluate_dataset").value == str(dataset_here)


class TestExports:
    def test_the_charts_are_in_french_wherever_they_are_made(self, made_up, monkeypatch):
        made = {}
        monkeypatch.setattr(
            exports.st, "download_button", lambda label, make, name, *_, **__: made.update({name: make})
        )
        facts = DatasetFacts(CLASSES, "computer drawings", True, "f", {}, ())
        card = SimpleNamespace(
            notes=(),
            threshold=None,
            threshold_value=None,
            local_prevalence=None,
            calibration=None,
            dataset=DatasetDescription(),
        )
        with use_language("fr"):
            figures = {"confusion": confusion_figure(made_up.report["confusion_matrix"], CLASSES)}
            exports.show_exports("m", card, facts, made_up, figures)
        assert language() == "en"
        page = made["m-charts.html"]().decode()
        assert "Logiciel de recherche, pas un dispositif médical." in page
        assert "Matrice de confusion" in page
        assert made["m-report.csv"]().decode("utf-8-sig").startswith("class,scans,accuracy"), "for machines"
        assert json.loads(made["m-report.json"]())["n"] == made_up.report["n"]


def test_what_the_engine_says_is_told_whole():
    classes, rng = ("Normal", "COVID"), np.random.default_rng(1)
    labels = np.arange(40) % 2
    p = np.clip(0.3 + 0.4 * labels + rng.normal(0, 0.2, 40), 0, 1)
    sentences = [
        choose_threshold(p, labels, range(40), goal, n_rounds=50).sentence(classes)
        for goal in (
            ThresholdGoal(kind="max_fnr", limit=0.01),
            ThresholdGoal(kind="max_fpr", limit=0.125),
            ThresholdGoal(kind="fixed", limit=0.31),
        )
    ]
    sentences.append(fit_abstention(np.stack([1 - p, p], axis=1), labels, 0.01, range(40)).sentence(classes))
    sentences += [describe_natural_frequency(share, "VIRAL_PNEUMONIA", "children") for share in (0, 0.01, 0.62, 1)]
    with use_language("fr"):
        french = [translate(sentence) for sentence in sentences]
    assert not find_untranslated(french)
    assert "manquer au plus 1\u202f% des clichés de la classe COVID" in french[0]
    assert "sont trop peu nombreux" in french[0] and "sont trop peu nombreux" in french[3]
    assert french[6] == "Sur 100 enfants ayant un tel cliché, on en compte environ 62 avec une pneumonie virale"


@pytest.mark.parametrize(("split", "word"), [("train", "entraînement"), ("val", "validation"), ("test", "test")])
def test_splits_have_french_names_in_what_the_engine_says(practice, split, word):
    said = [measuring_title("m", Path("d.hdf5"), split)]
    with open_dataset(practice) as dataset, pytest.raises(DatasetError) as caught:
        _select_rows(dataset, split, ["nobody.png"])
    with use_language("fr"):
        title, error = (translate(sentence) for sentence in [*said, caught.value.message])
    assert title == f"Évaluation de m sur d, {word}"
    assert f"n'est pas un fichier de la partie {word} de practice.hdf5" in error


def test_whom_a_dataset_shows_is_told_as_somebody_typed_it():
    with use_language("fr"):
        for typed in ("children; 40 % of them", "at most 18 years old", "head of ward, half of them, all adults"):
            assert population_text(SimpleNamespace(dataset=DatasetDescription(population=typed))) == typed
        assert population_text(SimpleNamespace(dataset=DatasetDescription())).startswith("patients que personne")
