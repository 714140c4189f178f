"""The results on the page Evaluate."""

import shutil
from dataclasses import replace

import h5py
import numpy as np
import pytest

from pages.lab.evaluate import confusion
from tests.pages.evaluate.page import (
    CLASSES,
    USE,
    box,
    button,
    buttons,
    captions,
    change_report,
    goal_of,
    is_on,
    make_model,
    opened,
    plainly,
    selection,
    shown_figures,
    shown_files,
    slider,
    texts,
    warned,
)
from xrai.core import jobs
from xrai.core.json_files import append_record
from xrai.evaluation.report import classification_report
from xrai.evaluation.store import REPORT_FILE, evaluation_folder, load_evaluation, save_evaluation, with_threshold
from xrai.metrics import predict
from xrai.models.checkpoint import CARD, WEIGHTS
from xrai.models.operating_point import update_operating_point


class TestResults:
    def test_figures_stand_with_their_intervals(self, measured, measurement):
        app, report = opened(), measurement.report
        shown = {item.label: item.value for item in app.metric}
        assert shown["Accuracy"] == f"{100 * report['accuracy']:.1f} %"
        assert shown["AUC"] == f"{report['auc']:.3f}"
        assert shown["Scans"] == "40"
        low, high = report["accuracy_interval"]
        assert is_on(app, f"95 % interval {100 * low:.1f} % to {100 * high:.1f} %")
        assert is_on(app, "Measured on 21 November 2026")
        assert buttons(app) == ["Measure again", "Read scans with this model", "Train another one"]

    def test_the_table_has_a_line_for_each_class(self, measured, measurement):
        table = opened().table[0].value
        assert table["Class"].tolist() == ["**Clear**", "**Opacity**"]
        row = measurement.report["per_class"]["OPACITY"]
        assert table["Recall (sensitivity)"][1].startswith(f"{100 * row['recall']:.1f}\u00a0% (")

    def test_what_is_not_defined_is_a_dash(self, model, dataset_here, measurement):
        """scikit-learn's report, and so ours, says 0 where nothing was called."""
        shares = np.tile([0.9, 0.1], (40, 1))
        labels = np.zeros(40, np.int64)
        found = measurement.report | classification_report(
            shares, labels, measurement.predictions.patients, CLASSES, 0.5
        )
        predictions = replace(measurement.predictions, labels=labels, predicted=labels, probabilities=shares)
        folder = evaluation_folder(model, dataset_here, "test")
        save_evaluation(folder, replace(measurement, report=found, predictions=predictions))
        app = opened()
        assert app.table[0].value.iloc[1, 1:5].tolist() == ["–"] * 4
        assert next(item.value for item in app.metric if item.label == "AUC") == "–"
        assert is_on(app, "No scan is wrong")
        assert box(app, "Cell").options == ["Clear, correct: 40 scans"]
        assert is_on(app, "There is no curve of Opacity")

    def test_scans_that_were_seen_in_training_are_told_with_the_figures_without_them(self, measured, measurement):
        unseen = {
            "n": 34,
            "n_patients": 20,
            "accuracy": 0.5,
            "accuracy_interval": [0.3, 0.7],
            "auc": None,
            "auc_interval": None,
        }
        change_report(measured, seen=6, unseen=unseen)
        assert "6 scans of these 40 the model, or one that it goes back to, had seen in training" in warned(opened())
        assert "Without them, on 34 scans of 20 patients: accuracy 50.0 %" in plainly(warned(opened()))

    def test_the_largest_error_is_shown_first(self, measured, measurement):
        app, matrix = opened(), measurement.report["confusion_matrix"]
        assert box(app, "Cell").options[0] == f"Opacity predicted as Clear: {matrix[1][0]} scans"
        assert box(app, "Cell").value == 2
        assert len(box(app, "Cell").options) == sum(count > 0 for row in matrix for count in row)

    def test_a_cells_scans_come_worst_first_and_page_by_page(self, measured, measurement):
        predictions = measurement.predictions
        order = predictions.files[predictions.find_cell(1, 0)].tolist()
        app = opened()
        assert shown_files(app) == order[:6]
        app.number_input[0].set_value(2).run()
        assert not app.exception
        assert shown_files(app) == order[6:12]
        box(app, "Cell").set_value(3).run()
        assert shown_files(app) == predictions.files[predictions.find_cell(1, 1)].tolist()[:6]

    def test_a_click_chooses_a_cell_and_a_second_one_on_it_counts_too(self, monkeypatch):
        state = {"m": selection(3), "c": 2}
        monkeypatch.setattr(confusion.st, "session_state", state)
        confusion._store_clicked_cell("m", "c", [2, 3])
        assert state["c"] == 3
        state |= {"m": selection(), "c": 2}  # what the chart still had selected is unselected by the next click on it
        confusion._store_clicked_cell("m", "c", [2, 3])
        assert state["c"] == 3
        state["m"] = selection(1)
        confusion._store_clicked_cell("m", "c", [2, 3])
        assert state["c"] == 3, "an empty cell has no scans"

    def test_heatmaps_are_made_once_a_scan(self, measured, monkeypatch):
        from xrai.reading.reader import Reader

        made = []
        heatmap = Reader.heatmap
        monkeypatch.setattr(Reader, "heatmap", lambda *args, **more: made.append(args[2]) or heatmap(*args, **more))
        app = opened()
        assert made == ["CLEAR"] * 6
        app.number_input[0].set_value(2).run()
        n = len(made)
        app.number_input[0].set_value(1).run()
        assert len(made) == n > 6

    def test_a_model_trained_on_since_is_told_and_explains_nothing(self, model, measured):
        make_model("trained on")
        shutil.copy(model.folder.with_name("trained on") / WEIGHTS, model.folder)
        app = opened()
        box(app, "Model").select("chance").run()
        assert "trained on since this was measured" in warned(app)
        assert is_on(app, "No heatmaps")
        assert len(shown_files(app)) == 6

    def test_a_dataset_built_anew_is_told_and_opens_no_scans(self, measured, dataset_here):
        with h5py.File(dataset_here, "r+") as file:
            file["split"][0] = (file["split"][0] + 1) % 3
        app = opened()
        assert "built anew since this was measured" in warned(app)
        assert not shown_files(app)
        assert is_on(app, "can be opened once the model is measured")
        assert "Accuracy" in shown_figures(app)

    @pytest.mark.parametrize("file", [REPORT_FILE, "predictions-*.csv"])
    def test_a_damaged_measurement_is_one_sentence_and_can_be_made_again(self, measured, started, file):
        next(measured.glob(file)).write_bytes(b"{")
        app = opened()
        assert len(app.error) == 1
        assert "damaged: measure again" in plainly(app.error[0].value)
        app.button[0].click().run()
        assert started

    def test_rows_that_the_dataset_does_not_have_are_one_sentence(self, measured, measurement):
        beyond = replace(measurement.predictions, rows=measurement.predictions.rows + 10**6)
        save_evaluation(measured, replace(measurement, predictions=beyond))
        app = opened()
        assert not app.exception
        assert "measure again" in app.error[0].value

    def test_a_damaged_model_is_one_sentence_and_the_figures_stay(self, model, measured):
        (model.folder / WEIGHTS).write_bytes(b"x")
        change_report(measured, weights=model.weights_sha256())
        app = opened()
        assert not app.exception
        assert len(app.error) == 1
        assert "Accuracy" in shown_figures(app)

    def test_a_damaged_card_is_one_sentence(self, model, measured):
        (model.folder / CARD).write_text("{}")
        assert len(opened().error) == 1

    def test_a_damaged_dataset_is_one_sentence(self, measured, dataset_here):
        dataset_here.write_bytes(dataset_here.read_bytes()[:3000])
        assert "damaged or cut short" in opened().error[0].value

    def test_file_names_are_shown_as_they_are(self, measured, measurement):
        files = np.array(["![x](http://example.org/x.png) $a$ <b>.png"] * 40, object)
        save_evaluation(measured, replace(measurement, predictions=replace(measurement.predictions, files=files)))
        app = opened()
        assert any(r"\!\[x\]\(http\:" in item.value for item in app.caption)
        assert not any("![x](http" in item.value for item in (*app.caption, *app.markdown))

    def test_the_curves_of_its_training_are_shown_where_there_are_any(self, model, measured):
        assert "Learning curves" not in texts(opened())
        values = {"loss": 0.5, "accuracy": 0.8, "auc": 0.9}
        val = values | {"accuracy_interval": [0.7, 0.9], "auc_interval": [0.8, 0.95], "n": 30}
        epoch = {"kind": "epoch", "epoch": 1, "train": values, "val": val, "best": True}
        epoch |= {"learning_rate": 0.001, "seconds": 1.0}
        append_record(model.folder / jobs.HISTORY_FILE, epoch)
        assert "Learning curves" in texts(opened())
        append_record(model.folder / jobs.HISTORY_FILE, {"kind": "epoch", "epoch": 2})
        assert "damaged" not in texts(opened())  # what is whole is drawn
        (model.folder / jobs.HISTORY_FILE).unlink()
        append_record(model.folder / jobs.HISTORY_FILE, {"kind": "epoch", "epoch": 2})
        assert "damaged and cannot be drawn" in texts(opened())

    def test_a_saved_chart_says_what_it_is_of(self, measured):
        assert captions(opened()) == ["chance on practice, test split, 40 scans"] * 4

    def test_and_that_figures_on_drawings_have_no_clinical_meaning(self, measured, dataset_here):
        with h5py.File(dataset_here, "r+") as file:
            file.attrs["drawings"] = True
        for caption in captions(opened()):
            assert caption.endswith("<br>These figures have no clinical meaning.")

    def test_scans_can_be_read_with_the_model(self, measured):
        make_model("another")
        app = opened()
        box(app, "Model").select("chance").run()
        next(item for item in app.button if item.label == "Read scans with this model").click().run()
        assert not app.exception
        assert app.title[0].value == "Diagnose"
        assert box(app, "Model").value == "chance"

    def test_everything_can_be_taken_along(self, measured):
        labels = [item.label for item in opened().get("download_button")]
        assert labels == ["Predictions (CSV)", "Report (CSV)", "Report (JSON)", "Charts (HTML)"]

    def test_the_scans_of_a_cell_follow_the_threshold(self, ready, measured_ready):
        app = opened()
        goal_of(app).set_value("fixed").run()
        slider(app, 0).set_value(31.0).run()
        button(app, USE).click().run()
        assert is_on(app, "Positive for Opacity at 31 % or above.")
        predictions = load_evaluation(measured_ready).predictions
        moved = replace(predictions, predicted=predict(predictions.probabilities, 0.31))
        box(app, "Cell").set_value(1).run()
        assert shown_files(app) == predictions.files[moved.find_cell(0, 1)].tolist()[:6]

    def test_the_scans_of_a_cell_are_told_among_the_teams_patients_like_the_threshold(self, ready, measured_ready):
        update_operating_point(ready, prevalence=0.1)
        card, said = ready.read_card(), load_evaluation(measured_ready).predictions
        app = opened()
        assert is_on(app, "Positive for Opacity at 50 % or above.")
        box(app, "Cell").set_value(2).run()
        worst = with_threshold(load_evaluation(measured_ready), card).predictions.find_cell(1, 0)[0]
        assert is_on(
            app, f"**Opacity** {100 * card.to_local_prevalence(said.probabilities[worst, 1]):.1f} %, true class"
        )
        assert is_on(app, "Tables and reports hold the probabilities before the adjustment")
        assert is_on(app, "Shown before the adjustment")

    def test_a_model_calibrated_anew_is_to_be_measured_again(self, ready, measured_ready):
        calibration = ready.read_card().calibration
        ready.write_card(ready.read_card().replace(calibration=calibration.replace(slope=2 * calibration.slope)))
        app = opened()
        assert "calibrated anew since this was measured" in warned(app)
        assert not any(item.value.startswith("Positive for Opacity at") for item in app.caption)
