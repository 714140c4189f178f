"""Occlusion test and similar cases."""

import numpy as np
import pytest

from pages.clinic.diagnose import occlusion_test, similar_cases
from pages.clinic.diagnose.uploads import Upload
from tests.pages.diagnose.page import as_png, film, opened, reading_of, texts, with_similar_open
from xrai.core.errors import CheckpointError, DatasetError
from xrai.core.paths import PROJECT_DIR
from xrai.reading.reader import Reader
from xrai.reading.results import Reading


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

        monkeypatch.setattr(Reading, "occlude", damaged)
        app = opened(("a.png", as_png(film())))
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
