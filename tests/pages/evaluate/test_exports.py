"""What the page Evaluate gives to download."""

import csv
import io
import json
from dataclasses import replace

import pytest

from pages.lab.evaluate import exports
from pages.shared.datasets import DatasetFacts
from tests.pages.evaluate.page import CLASSES, DOUBT, LATER
from xrai.evaluation.store import load_evaluation, save_evaluation, with_threshold
from xrai.models.checkpoint import Checkpoint


class TestExports:
    """What the buttons give, which the test runner cannot press."""

    def test_predictions_are_the_kept_file_and_whether_they_are_firm(self, measured, measurement):
        (kept,) = measured.glob("predictions-*.csv")
        table = list(csv.reader(io.StringIO(kept.read_text())))
        told = list(csv.reader(io.StringIO(exports.predictions_csv(load_evaluation(measured)).decode())))
        assert [row[:5] + row[6:] for row in told] == table
        assert [row[5] for row in told] == ["answer"] + ["firm"] * 40
        doubting = with_threshold(measurement, Checkpoint(measured.parent.parent).read_card().replace(abstention=DOUBT))
        told = list(csv.reader(io.StringIO(exports.predictions_csv(doubting).decode())))
        assert [row[5] == "firm" for row in told[1:]] == doubting.is_confident.tolist()
        assert 0 < doubting.is_confident.sum() < 40

    def test_but_no_cell_is_a_formula(self, measured, measurement):
        files = measurement.predictions.files.copy()
        files[0] = "=HYPERLINK(1)"
        save_evaluation(measured, replace(measurement, predictions=replace(measurement.predictions, files=files)))
        table = list(csv.reader(io.StringIO(exports.predictions_csv(load_evaluation(measured)).decode())))
        assert table[1][1] == "'=HYPERLINK(1)"
        assert load_evaluation(measured).predictions.files[0] == "=HYPERLINK(1)"

    def test_the_report_as_a_table(self, measured, measurement):
        facts = DatasetFacts(CLASSES, "=drawings", True, "f", {}, ())
        rows = list(csv.DictReader(io.StringIO(exports.report_csv(measurement, facts).decode("utf-8-sig"))))
        assert [row["class"] for row in rows] == ["all", *CLASSES]
        assert float(rows[0]["accuracy"]) == pytest.approx(measurement.report["accuracy"])
        assert float(rows[2]["recall_low"]) == pytest.approx(
            measurement.report["per_class"]["OPACITY"]["recall_interval"][0]
        )
        assert {row["population"] for row in rows} == {"'=drawings"}
        assert float(rows[0]["expected_calibration_error_high"]) == pytest.approx(
            measurement.report["expected_calibration_error_interval"][1]
        )
        assert rows[0]["answered"] == rows[1]["wrong"] == ""

    def test_the_report_as_a_table_tells_what_firm_answers_are_worth(self, model, measurement):
        facts = DatasetFacts(CLASSES, "p", True, "f", {}, ())
        doubting = with_threshold(measurement, model.read_card().replace(abstention=DOUBT))
        rows = list(csv.DictReader(io.StringIO(exports.report_csv(doubting, facts).decode("utf-8-sig"))))
        answered = doubting.report["answered"]
        assert float(rows[0]["right"]) == pytest.approx(answered["right"])
        assert float(rows[2]["wrong_high"]) == pytest.approx(answered["per_class"][1]["wrong_interval"][1])
        assert {row["promised_wrong"] for row in rows} == {"0.1"}

    def test_the_report_of_an_earlier_version_as_a_table(self, measurement):
        lacking = {name: value for name, value in measurement.report.items() if name not in LATER}
        facts = DatasetFacts(CLASSES, "p", True, "f", {}, ())
        found = exports.report_csv(replace(measurement, report=lacking), facts).decode("utf-8-sig")
        assert {row["expected_calibration_error_low"] for row in csv.DictReader(io.StringIO(found))} == {""}

    def test_the_report_as_json(self, measurement):
        told = json.loads(exports.report_json(measurement, {"population": "p"}))
        assert told["confusion_matrix"] == measurement.report["confusion_matrix"]
        assert told["population"] == "p"

    def test_all_charts_on_one_page_that_says_on_whom(self, measured, measurement):
        from xrai.figures import confusion_figure

        facts = DatasetFacts(CLASSES, "<script>", True, "f", {}, ())
        figures = {"confusion": confusion_figure(measurement.report["confusion_matrix"], CLASSES)}
        html = exports.charts_html("m-practice-test", facts, measurement, figures).decode()
        assert html.startswith("<!doctype html>")
        assert "Patients: &lt;script&gt;." in html
        assert "40 scans of" in html
        assert "Answered" not in html
        doubting = with_threshold(measurement, Checkpoint(measured.parent.parent).read_card().replace(abstention=DOUBT))
        assert "Answered: " in exports.charts_html("m", facts, doubting, figures).decode()
