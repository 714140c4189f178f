"""What is refused, corrected, in doubt, and the second looks at an answer."""

import re
from dataclasses import replace

import numpy as np
import pytest
import streamlit as st

from pages.shared.formatting import format_told_probability
from tests.pages.diagnose.page import as_png, button, changed, film, opened, texts, with_similar_open
from xrai.calibration import ConformalAbstention
from xrai.reading.reader import Reader
from xrai.reading.results import OcclusionTest, Reading, Refusal


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


@pytest.mark.parametrize(("fall", "warned"), [(0.0, True), (0.05, True), (0.3, False)])
def test_a_heatmap_whose_hot_area_makes_no_difference_is_not_to_be_used(model, monkeypatch, fall, warned):
    def occlude(reading, scan, class_name):
        rest = reading.probabilities[class_name] - fall
        after = replace(reading, probabilities=reading.probabilities | {class_name: rest})
        return OcclusionTest(scan.pixels, np.ones(scan.pixels.shape, bool), after)

    monkeypatch.setattr(Reading, "occlude", occlude)
    app = opened(("a.png", as_png(film())))
    assert any("Do not use this heatmap" in item.value for item in app.warning) == warned
    assert "before:" in " ".join(item.proto.text for item in app.get("progress"))


def test_a_scan_without_evidence_has_nothing_to_cover(model, monkeypatch):
    monkeypatch.setattr(
        Reading, "occlude", lambda reading, scan, _: OcclusionTest(scan.pixels, np.zeros((9, 9)), reading)
    )
    app = opened(("a.png", as_png(film())))
    assert not any("Do not use this heatmap" in item.value for item in app.warning)


@pytest.mark.parametrize(
    ("share", "told"),
    [(0.999, "above 95 %"), (0.951, "above 95 %"), (0.94, "94 %"), (0.051, "5 %"), (0.001, "below 5 %")],
)
def test_probabilities_are_told_no_finer_than_the_test_supports(share, told):
    assert format_told_probability(share) == told


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


def test_the_saved_card_says_that_the_scan_was_mended(model, monkeypatch):
    """It is made outside the session, where that once was not known any more."""
    saved, drawn = {}, []
    monkeypatch.setattr(st, "download_button", lambda label, data, *_, **__: saved.update({label: data}))
    monkeypatch.setattr("xrai.reading.result_card.draw_result_card", lambda *_, **words: drawn.append(words) or b"")
    app = opened(("turned.png", as_png(np.rot90(film()))))
    button(app, "Correct and read: turned 90").click().run()
    saved["Save this result (PNG)"]()
    assert "The scan was corrected before reading: turned 90° right." in drawn[0]["lines"]
