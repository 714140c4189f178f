"""Headlines, decision rule and figures of the model."""

from types import SimpleNamespace

import pytest
import streamlit as st

from pages.shared.verdict import verdict_text
from tests.pages.diagnose.page import LOOK, TRUST, as_png, changed, film, opened, reading_of, texts
from xrai.calibration import ConformalAbstention
from xrai.reading.reader import Reader
from xrai.reading.warnings import OUTSIDE_BODY_WARNING
from xrai.scans import read_scan


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
