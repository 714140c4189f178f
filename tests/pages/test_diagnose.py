"""The Diagnose page: what is refused, mended, in doubt, and the second looks at an answer."""

import io
import re
from types import SimpleNamespace

import numpy as np
import pytest
import streamlit as st
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from pages.clinic.diagnose import occlusion_test, similar_cases
from pages.clinic.diagnose.uploads import Upload
from pages.shared.verdict import verdict_text
from tests.languages import find_untranslated, open_in_french, visible_texts
from xrai.calibration import Calibration, ConformalAbstention
from xrai.core.errors import CheckpointError, DatasetError
from xrai.core.language import use_language
from xrai.core.paths import PROJECT_DIR, checkpoints_dir
from xrai.explain.similar_cases import fit_neighbour_index
from xrai.models.artifacts import Artifacts, ValidationOutputs, save_artifacts
from xrai.models.card import Card
from xrai.models.checkpoint import Checkpoint
from xrai.networks.build import build_network
from xrai.reading.reader import Reader
from xrai.reading.results import Reading, Refusal
from xrai.reading.warnings import OUTSIDE_BODY_WARNING
from xrai.scans import read_scan
from xrai.scans.phantoms import draw_thorax
from xrai.scans.preprocessing import Preprocessing
from xrai.training.config import TrainConfig

MEASURED = {
    "n": 20,
    "accuracy": 0.5,
    "accuracy_interval": (0.3, 0.7),
    "auc": 0.5,
    "auc_interval": (0.3, 0.7),
    "loss": 1,
}


def film(seed=3):
    return draw_thorax(np.random.default_rng(seed), opacity=True, size=128)


def as_png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def model(home, gate):
    """A model that never learned, but has everything that a training leaves."""
    torch.manual_seed(0)
    config, steps = TrainConfig(network="resnet18", image_size=64), Preprocessing(64, 64, 0.5, 0.25)
    network = build_network(config, 2).eval()
    checkpoint = Checkpoint(checkpoints_dir() / "chance")
    checkpoint.folder.mkdir(parents=True)
    checkpoint.save_network(network)
    checkpoint.write_card(
        Card(
            name="chance",
            created="2026-01-01T00:00:00+00:00",
            classes=("NORMAL", "PNEUMONIA"),
            network=config.network_config,
            preprocessing=steps,
            threshold={"class_name": "PNEUMONIA", "value": 0.5, "description": "fixed"},
            training={"settings": config.to_dict()},
            dataset={
                "name": "chest",
                "population": "children of one hospital",
                "is_phantom": False,
                "fingerprint": "f",
            },
            validation=MEASURED,
            versions={},
            calibration=Calibration(slope=1.0, offsets=(0.0, 0.0), prevalence=(0.5, 0.5)),
            heatmap_scale={name: {"NORMAL": 0.1, "PNEUMONIA": 0.1} for name in ("Fused CAM", "CAM", "Grad-CAM")},
        )
    )
    inputs = torch.cat([steps(film(seed)) for seed in range(8)])
    with torch.inference_mode():
        logits, vectors = (item.numpy() for item in network.forward_with_features(inputs))
    labels = np.arange(8) % 2
    neighbours = fit_neighbour_index(vectors, labels, np.arange(8), np.arange(8))
    kit = Artifacts(gate, neighbours, ValidationOutputs(logits, logits[None], labels, labels))
    save_artifacts(checkpoint, kit, checkpoint.weights_sha256())
    return checkpoint


def changed(model, **values):
    model.write_card(model.read_card().replace(**values))


def opened(*files):
    app = AppTest.from_file(str(PROJECT_DIR / "streamlit_app.py"), default_timeout=600).run()
    if files:
        app.file_uploader[0].set_value([(name, content, "image/png") for name, content in files]).run()
    assert not app.exception
    return app


def texts(app):
    kinds = (app.markdown, app.caption, app.info, app.error, app.warning, app.success, app.subheader)
    return "\n".join(str(item.value) for kind in kinds for item in kind)


def button(app, label):
    return next(item for item in app.button if item.label.startswith(label))


def test_a_photo_is_refused_with_the_reason(model):
    rng = np.random.default_rng(0)
    photo = np.kron(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), np.ones((20, 20, 1), np.uint8))
    app = opened(("cat.png", as_png(photo)))
    assert "was not read" in app.error[0].value and "in colour" in app.error[0].value
    assert not app.subheader


def test_a_turned_film_is_offered_mended_and_read_then(model):
    app = opened(("turned.png", as_png(np.rot90(film()))))
    assert "not upright" in app.warning[0].value and not app.subheader
    button(app, "Correct and read: turned 90").click().run()
    assert not app.exception
    assert app.subheader and "Correction applied before reading, as you chose: turned 90° right." in texts(app)


def test_an_inverted_film_is_offered_mended(model):
    app = opened(("negative.png", as_png(255 - film())))
    assert "black and white exchanged" in app.warning[0].value
    button(app, "Correct and read: inverted").click().run()
    assert "Correction applied before reading, as you chose: inverted" in texts(app)


def test_of_several_files_those_that_can_be_are_read(model):
    noise = np.random.default_rng(0).integers(0, 256, (128, 128), dtype=np.uint8)
    app = opened(("a.png", as_png(film())), ("noise.png", as_png(noise)))
    table = app.dataframe[-1].value
    assert table["Diagnosis"].tolist()[1] == "not read"
    assert len(app.error) == 1 and len(app.subheader) == 1


def test_a_doubtful_scan_is_not_sure_and_says_where_it_leans(model):
    changed(model, abstention=ConformalAbstention(alpha=0.05, thresholds=(0.01, 0.01), n_patients=(100, 100)))
    app = opened(("a.png", as_png(film())))
    assert app.subheader[0].value.replace("\\", "") == "Uncertain: radiologist review needed"
    said = texts(app)
    assert re.search(r"More likely \*\*(Normal|Pneumonia)", said)
    assert "Between 1 % and 99 % the answer is “uncertain”" in said.replace("\\", "")
    assert "Set so that at most 5 in 100 validation scans of each class got a wrong answer" in said


def test_the_threshold_in_the_card_decides(model):
    called = {}
    for value in (0.001, 0.999):
        changed(model, threshold={"class_name": "PNEUMONIA", "value": value, "description": "in a test"})
        called[value] = opened(("a.png", as_png(film()))).subheader[0].value
    assert "pneumonia" in called[0.001].lower() and re.search("No sign|Normal", called[0.999])


def test_probabilities_come_in_natural_frequencies_for_the_readers_own_patients(model):
    said = texts(opened(("a.png", as_png(film()))))
    assert re.search(r"Of 100 children like this, about \d+ have pneumonia, where 50 of 100 who are X.?-rayed", said)
    changed(model, local_prevalence=0.1)
    assert "where 10 of 100" in texts(opened(("a.png", as_png(film()))))


def test_the_hot_area_is_hidden_and_the_scan_read_again(model):
    app = opened(("a.png", as_png(film())))
    assert "before:" not in texts(app)
    button(app, "Cover it and read again").click().run()
    assert not app.exception
    said = texts(app)
    assert "covered area" in said or "nothing to cover" in said


def with_similar_open(*files):
    app = opened(*files)
    app.session_state["diagnose_similar_open"] = True
    app.run()
    assert not app.exception
    return app


def test_similar_training_scans_and_their_labels_are_told(model):
    said = texts(with_similar_open(("a.png", as_png(film()))))
    assert "Labels of the 6 training scans that are most similar to this one for the model" in said
    assert "each of another patient where patients are known" in said
    assert "they are shown if the unchanged dataset “chest” is on this computer" in said


def test_what_a_check_of_the_data_found_and_what_was_measured_are_told(model):
    audit = [{"severity": "serious", "title": "Copies", "sentence": "Six scans stand in training and test."}]
    card = model.read_card()
    changed(
        model,
        dataset=card.dataset.replace(audit=audit),
        trust_report={"when": "2026-11-21", "rows": [{"what": "Test films refused", "value": "1 of 624", "aim": ""}]},
    )
    app = opened()
    assert "Six scans stand in training and test" in texts(app)
    assert "1 of 624" in app.dataframe[-1].value.to_string()


def test_the_words_that_doctors_need_not_know_are_explained(model):
    changed(model, abstention=ConformalAbstention(alpha=0.05, thresholds=(0.01, 0.01), n_patients=(100, 100)))
    app = opened(("a.png", as_png(film())))
    said = texts(app)
    assert all(f"**{word}**" in said for word in ("Decision threshold", "Uncertain", "Calibrated", "95 % interval"))
    assert any("**Validation scans** are held out" in str(item.proto.help) for item in app.caption)


def test_a_model_without_kit_says_that_it_does_not_notice_other_pictures(model):
    (model.folder / "artifacts.safetensors").unlink()
    assert "does not notice when a picture is no chest X" in texts(opened(("a.png", as_png(film()))))


class TestEqualUploads:
    def test_two_equal_turned_films_do_not_crash_the_page(self, model):
        turned = as_png(np.rot90(film()))
        app = opened(("a.png", turned), ("b.png", turned))
        assert [item.label for item in app.button].count("Correct and read: turned 90° right") == 2
        button(app, "Correct and read: turned 90").click().run()
        assert not app.exception
        assert len(app.subheader) == 1 and not app.warning[0].value.startswith("**a")


class TestAtHome:
    def test_threshold_and_zone_are_told_for_the_teams_patients_in_a_sentence_of_for_whom(self, model):
        changed(
            model,
            abstention=ConformalAbstention(alpha=0.03, thresholds=(0.1, 0.1), n_patients=(100, 100)),
            local_prevalence=0.1,
        )
        card = model.read_card()
        said = texts(opened(("a.png", as_png(film())))).replace("\\", "")
        low, high = (100 * card.to_local_prevalence(share) for share in (0.1, 0.9))
        assert "Positive at 10 % or above." in said
        assert f"Between {low:.1f} % and {high:.1f} % the answer is “uncertain”".replace(".0 %", " %") in said
        assert "Probabilities are adjusted to your prevalence: 10 in 100 children have pneumonia." in said


CLASSES = ("NORMAL", "PNEUMONIA")
NO_DRAWINGS = SimpleNamespace(is_phantom=False)


def reading_of(share, *, sure=True, diagnosis="PNEUMONIA"):
    other = "NORMAL" if diagnosis == "PNEUMONIA" else "PNEUMONIA"
    return SimpleNamespace(diagnosis=diagnosis, probabilities={diagnosis: share, other: 1 - share}, is_confident=sure)


class TestHeadlines:
    """Of a film called Pneumonia with 45 % among the team's patients it once said "In doubt, rather Pneumonia"."""

    @pytest.mark.parametrize(
        ("share", "firm", "without_doubt"),
        [
            (0.95, "Suspicious for pneumonia", "Suspicious for pneumonia"),
            (0.75, "Probable: pneumonia", "Probable: pneumonia"),
            (0.55, "Probable: pneumonia", "Uncertain, rather Pneumonia"),
            (0.45, "Positive by threshold: Pneumonia", "Uncertain, by threshold: Pneumonia"),
        ],
    )
    def test_the_headline_contradicts_neither_the_call_nor_the_numbers(self, share, firm, without_doubt):
        abstention = ConformalAbstention(alpha=0.03, thresholds=(0.1, 0.1), n_patients=(100, 100))
        card = SimpleNamespace(abstention=abstention, dataset=NO_DRAWINGS, classes=CLASSES)
        assert verdict_text(reading_of(share), card) == firm
        card_without = SimpleNamespace(abstention=None, dataset=NO_DRAWINGS, classes=CLASSES)
        assert verdict_text(reading_of(share), card_without) == without_doubt
        assert verdict_text(reading_of(share, sure=False), card) == "Uncertain: radiologist review needed"

    def test_what_is_not_sure_leans_only_where_the_numbers_do(self, model):
        changed(
            model,
            abstention=ConformalAbstention(alpha=0.03, thresholds=(0.001, 0.001), n_patients=(100, 100)),
            threshold={"class_name": "PNEUMONIA", "value": 0.01, "description": "x"},
        )
        said = texts(opened(("a.png", as_png(film()))))
        share = Reader.open(model).read(read_scan(as_png(film()))).probabilities["PNEUMONIA"]
        assert ("It More likely **Pneumonia**" in said) == (share >= 0.5)
        assert ("By the decision threshold alone: **Pneumonia**" in said) == (share < 0.5)


TRUST = {"when": "2026-11-21", "rows": [{"what": "x", "value": "1", "aim": ""}], "threshold": 0.5, "alpha": 0.03}
LOOK = {"dataset": "d", "split": "test", "when": "2026-01-01T00:00:00", "fingerprint": "f", "threshold": 0.5} | {
    name: value for name, value in MEASURED.items() if name != "loss"
}


class TestStaleFigures:
    def test_figures_of_what_is_in_force_say_nothing_more(self, model):
        changed(
            model,
            trust_report=TRUST,
            evaluations=[LOOK],
            abstention=ConformalAbstention(alpha=0.03, thresholds=(0.1, 0.1), n_patients=(100, 100)),
        )
        app = opened()
        assert "Now in use" not in texts(app)
        assert "Decision threshold" not in app.dataframe[0].value.columns

    def test_figures_of_another_threshold_and_doubt_say_which(self, model):
        changed(
            model,
            trust_report=TRUST,
            evaluations=[LOOK, LOOK | {"threshold": 0.3}],
            abstention=ConformalAbstention(alpha=0.05, thresholds=(0.1, 0.1), n_patients=(100, 100)),
            threshold={"class_name": "PNEUMONIA", "value": 0.3, "description": "x"},
        )
        app = opened()
        said = texts(app).replace("\\", "")
        assert "That was with Pneumonia from 50.0 % and at most 3 in 100 wrong answers." in said
        assert said.count("Now in use: Pneumonia from 30.0 %, at most 5 in 100 wrong answers.") == 2
        assert app.dataframe[0].value["Decision threshold"].tolist() == ["50.0 %", "30.0 %", "50.0 %"], (
            "validation: at even odds"
        )


class TestStray:
    def test_the_table_to_save_has_the_warning_too(self, model, monkeypatch):
        """The page once worked it out for the scan on screen alone."""
        monkeypatch.setattr("xrai.reading.reader.outside_body_share", lambda *_: 1.0)
        taken = []
        monkeypatch.setattr(st, "download_button", lambda label, data, *_, **__: taken.append((label, data)))
        app = opened(("a.png", as_png(film())), ("b.png", as_png(film(4))))
        assert sum(item.value.startswith(OUTSIDE_BODY_WARNING[:30]) for item in app.warning) == 1
        table = dict(taken)["Save this table (CSV)"].decode("utf-8-sig")
        assert table.count(OUTSIDE_BODY_WARNING) == 2


class TestWorkOnARerun:
    def test_a_refused_film_is_not_decoded_again(self, model, monkeypatch):
        app = opened(("turned.png", as_png(np.rot90(film()))))
        decoded = []
        monkeypatch.setattr(Upload, "corrected_scan", lambda upload: decoded.append(upload.name))
        app.run()
        assert not app.exception and "not upright" in app.warning[0].value
        assert not decoded

    def test_similar_scans_are_neither_sought_nor_read_before_they_are_asked_for(self, model, monkeypatch):
        sought = []
        similar = Reader.find_similar
        monkeypatch.setattr(Reader, "find_similar", lambda *args: sought.append(1) or similar(*args))
        monkeypatch.setattr(similar_cases, "find_training_dataset", lambda *_: sought.append(2))
        opened(("a.png", as_png(film())))
        assert not sought
        with_similar_open(("a.png", as_png(film())))
        assert sought == [1, 2]

    def test_a_damaged_dataset_of_similar_scans_does_not_swallow_what_follows(self, model, monkeypatch):
        def damaged(*_):
            raise DatasetError("The dataset is damaged.")

        monkeypatch.setattr(similar_cases, "find_training_dataset", lambda *_: PROJECT_DIR)
        monkeypatch.setattr(similar_cases, "open_dataset", damaged)
        app = with_similar_open(("a.png", as_png(film())))
        assert [item.value for item in app.error] == ["The dataset is damaged."]
        assert "Read by the model" in texts(app)
        assert [item.label for item in app.get("download_button")] == ["Save this result (PNG)"]

    def test_trouble_while_the_hot_area_is_hidden_is_a_sentence(self, model, monkeypatch):
        def damaged(*_):
            raise CheckpointError("The model gives no number.")

        app = opened(("a.png", as_png(film())))
        monkeypatch.setattr(Reading, "occlude", damaged)
        button(app, "Cover it and read again").click().run()
        assert not app.exception
        assert [item.value for item in app.error] == ["The model gives no number."]
        assert "Read by the model" in texts(app)


class TestWhatHidingShows:
    @pytest.mark.parametrize(
        ("before", "after", "shown", "rests"),
        [
            (reading_of(0.98), reading_of(0.88), "PNEUMONIA", False),
            (reading_of(0.98), reading_of(0.6, diagnosis="NORMAL"), "PNEUMONIA", True),
            (reading_of(0.55), reading_of(0.52, diagnosis="NORMAL"), "PNEUMONIA", True),
            (reading_of(0.6, diagnosis="NORMAL"), reading_of(0.9, diagnosis="NORMAL"), "PNEUMONIA", False),
            (reading_of(0.98), reading_of(0.97), "PNEUMONIA", False),
        ],
    )
    def test_an_answer_rests_on_the_hidden_place_only_where_the_call_changes(self, before, after, shown, rests):
        said = occlusion_test._occlusion_text(before, after, shown)
        assert ("rests largely" in said) == rests

    def test_a_fall_that_leaves_the_call_is_said_soberly(self):
        said = occlusion_test._occlusion_text(reading_of(0.98), reading_of(0.88), "PNEUMONIA")
        assert said.startswith("Lower, but the answer is the same")


def test_a_mended_scan_can_be_read_as_it_came_again(model):
    app = opened(("turned.png", as_png(np.rot90(film()))))
    button(app, "Correct and read: turned 90").click().run()
    assert app.subheader
    button(app, "Read without correction").click().run()
    assert not app.exception
    assert "not upright" in app.warning[0].value and not app.subheader


def test_a_scan_that_is_refused_although_mended_can_be_read_as_it_came_too(model, monkeypatch):
    app = opened(("turned.png", as_png(np.rot90(film()))))

    monkeypatch.setattr(Reader, "_check", lambda *_: Refusal("It is no film.", "inverted"))
    button(app, "Correct and read: turned 90").click().run()
    assert not app.exception
    assert "It is no film" in app.error[0].value
    assert [item.label for item in app.button if "correct" in item.label.lower()] == ["Read without correction"]


def test_the_scan_that_was_just_mended_is_shown(model):
    """The card below once stayed with another patient's film."""
    files = [(f"{seed}.png", as_png(film(seed))) for seed in (3, 4)]
    app = opened(*files, ("turned.png", as_png(np.rot90(film(5)))))
    assert app.selectbox(key="diagnose_shown").value == 0
    button(app, "Correct and read: turned 90").click().run()
    assert not app.exception
    assert app.selectbox(key="diagnose_shown").value == 2
    assert "Correction applied before reading, as you chose: turned 90° right" in texts(app)
    button(app, "Read without correction").click().run()
    assert not app.exception and app.selectbox(key="diagnose_shown").value in (0, 1)


def test_remarks_stand_in_the_table_of_scans(model):
    (model.folder / "artifacts.safetensors").unlink()
    app = opened(("a.png", as_png(film(3))), ("b.png", as_png(film(4))))
    assert "does not notice" in app.dataframe[-1].value["Remark"][0]


NAMES = ("Normal", "chance")
"""What reads the same in both languages."""


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
            hidden = visible_texts(button(app, "La masquer et relire").click().run())
            mended = visible_texts(button(app, "Corriger et lire\u00a0: tourné").click().run())
        assert not app.exception
        assert any("Pneumonie maintenant" in text or "rien à masquer" in text for text in hidden)
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


def test_the_saved_card_says_that_the_scan_was_mended(model, monkeypatch):
    """It is made outside the session, where that once was not known any more."""
    saved, drawn = {}, []
    monkeypatch.setattr(st, "download_button", lambda label, data, *_, **__: saved.update({label: data}))
    monkeypatch.setattr("xrai.reading.result_card.draw_result_card", lambda *_, **words: drawn.append(words) or b"")
    app = opened(("turned.png", as_png(np.rot90(film()))))
    button(app, "Correct and read: turned 90").click().run()
    saved["Save this result (PNG)"]()
    assert "The scan was corrected before reading: turned 90° right." in drawn[0]["lines"]
