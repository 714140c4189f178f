"""The page Evaluate through Streamlit's own test runner."""

import csv
import io
import json
import re
import shutil
import time
from dataclasses import replace

import h5py
import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages.shared import confusion, exports
from pages.shared.datasets import Facts
from xrai import jobs
from xrai.checkpoint import CARD, WEIGHTS, Card, Checkpoint
from xrai.config import TrainConfig
from xrai.dataset import open_dataset
from xrai.measurements import REPORT, load_measurement, measurement_folder, save_measurement, weights_mark
from xrai.preprocessing import Preprocessing
from xrai.records import append_record, write_json
from xrai.settings import PROJECT, checkpoints_dir, data_dir

EVALUATE = "pages/lab/evaluate.py"
CLASSES = ("CLEAR", "OPACITY")


def opened() -> AppTest:
    app = AppTest.from_file(str(PROJECT / "streamlit_app.py"), default_timeout=60).run()
    app.switch_page(EVALUATE).run()
    assert not app.exception
    return app


def texts(app: AppTest) -> str:
    kinds = (app.markdown, app.caption, app.info, app.error, app.warning, app.success, app.subheader, app.title)
    return "\n".join(str(item.value) for kind in kinds for item in kind)


def warned(app: AppTest) -> str:
    return "\n".join(item.value for item in app.warning)


def box(app: AppTest, label: str):
    return next(item for item in app.selectbox if item.label == label)


def buttons(app: AppTest) -> list[str]:
    return [item.label for item in app.button]


def plainly(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def is_on(app: AppTest, text: str) -> bool:
    return text in plainly(texts(app))


def make_model(model_name: str, classes=CLASSES, **dataset) -> Checkpoint:
    """A network that never learned."""
    from xrai.networks import build_network

    config = TrainConfig(network="convnet", blocks=3, filters=4, image_size=32)
    known = {"name": "d", "population": "children of one hospital", "drawings": False} | dataset
    card = Card(
        name=model_name, created="2026-01-01T00:00:00+00:00", classes=tuple(classes), config=config,
        preprocessing=Preprocessing(64, 32, 0.5, 0.25), dataset=known,
        threshold={"class": classes[1], "value": 0.5, "chosen": "fixed"} if len(classes) == 2 else None,
        training={"best_epoch": 1},
        validation={"n": 20, "accuracy": 0.5, "accuracy_interval": None, "auc": None, "auc_interval": None},
        heatmap={method: dict.fromkeys(classes, 1.0) for method in ("HiResCAM", "Grad-CAM")}, versions={},
        notes=("A note on the model.",),
    )  # fmt: skip
    checkpoint = Checkpoint(checkpoints_dir() / model_name)
    checkpoint.folder.mkdir(parents=True)
    checkpoint.write_card(card)
    checkpoint.save_network(build_network(config, len(classes)))
    return checkpoint


@pytest.fixture
def model(home):
    return make_model("chance")


@pytest.fixture
def dataset_here(home, practice):
    (data_dir() / "practice.hdf5").write_bytes(practice.read_bytes())
    return data_dir() / "practice.hdf5"


@pytest.fixture(scope="session")
def made_up(practice, tmp_path_factory):
    """A measurement with made-up answers, of which OPACITY called CLEAR is the most frequent error."""
    from xrai.evaluation import report
    from xrai.measurements import Measurement, Predictions

    with open_dataset(practice) as dataset:
        rows = np.concatenate([np.flatnonzero(dataset.labels == 0)[:14], np.flatnonzero(dataset.labels == 1)[:26]])
        labels, files, patients = dataset.labels[rows], dataset.files[rows], dataset.patients[rows]
        fingerprint = dataset.fingerprint
    rng = np.random.default_rng(5)
    share = np.clip(0.25 + 0.25 * labels + rng.normal(0, 0.15, len(rows)), 0.01, 0.99)
    shares = np.stack([1 - share, share], axis=1)
    found = report(shares, labels, patients, CLASSES, 0.5)
    found |= {"split": "test", "dataset": "practice", "model": "chance", "fingerprint": fingerprint, "left_out": 0,
              "when": "2026-11-21T13:14:23+00:00", "seen": 0, "unseen": None, "measured_before": 0,
              "weights": "none"}  # fmt: skip
    called = (share >= 0.5).astype(np.int64)
    assert (called != labels)[labels == 1].sum() > max((called != labels)[labels == 0].sum(), 7)
    return Measurement(found, Predictions(rows, files, patients, labels, called, shares))


@pytest.fixture
def measurement(model, made_up):
    """The same, as one of the model's weights."""
    return replace(made_up, report=made_up.report | {"weights": weights_mark(model)})


@pytest.fixture
def measured(model, dataset_here, measurement):
    folder = measurement_folder(model, dataset_here, "test")
    save_measurement(folder, measurement)
    return folder


@pytest.fixture
def started(monkeypatch):
    """Jobs that the page would start, without starting them."""
    calls = []
    monkeypatch.setattr(jobs, "start", lambda arguments, folder, **more: calls.append((list(arguments), folder, more)))
    return calls


def note_look(model, dataset_file, split="test", **more):
    with open_dataset(dataset_file) as dataset:
        fingerprint = dataset.fingerprint
    card = model.card()
    look = {"dataset": "practice", "split": split, "fingerprint": fingerprint, "when": "2026-02-03T04:05:06+00:00",
            "n": 20, "accuracy": 0.61, "accuracy_interval": [0.4, 0.8], "auc": 0.72, "auc_interval": [0.5, 0.9],
            "per_class": {}} | more  # fmt: skip
    model.write_card(replace(card, evaluations=[*card.evaluations, look]))


def change_report(folder, **values):
    report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    (folder / REPORT).write_text(json.dumps(report | values), encoding="utf-8")


class TestBefore:
    def test_without_a_dataset_says_what_to_do_next(self, home):
        assert is_on(opened(), "There is no dataset yet")

    def test_without_a_model_says_what_to_do_next(self, dataset_here):
        assert is_on(opened(), "There is no model yet")

    def test_classes_that_do_not_fit_are_named_instead_of_a_button(self, home, dataset_here):
        make_model("three", ("Normal", "Covid", "Viral Pneumonia"))
        app = opened()
        assert is_on(app, "“three” knows the classes Normal, Covid and Viral Pneumonia, but the dataset practice has "
                     "Clear and Opacity")  # fmt: skip
        assert not buttons(app)

    def test_classes_in_another_spelling_and_order_fit(self, home, dataset_here):
        make_model("other", ("Opacity", "Clear"))
        assert buttons(opened()) == ["Measure"]

    def test_an_empty_split_has_no_button(self, model, dataset_here):
        with h5py.File(dataset_here, "r+") as file:
            file["split"][...] = 0
        app = opened()
        assert is_on(app, "has no scans in its test split")
        assert not buttons(app)

    def test_the_test_split_comes_first_with_why_looks_are_to_be_rare(self, model, dataset_here):
        app = opened()
        assert box(app, "Split").value == "test"
        assert is_on(app, "has not been measured yet on the")
        assert is_on(app, "Every look at the test scans makes them less of a surprise")
        box(app, "Split").select("val").run()
        assert not is_on(app, "Every look at the test scans")

    def test_looks_at_this_split_are_counted_and_the_last_is_told(self, model, dataset_here):
        note_look(model, dataset_here, accuracy=0.5)
        note_look(model, dataset_here)
        note_look(model, dataset_here, split="val")
        note_look(model, dataset_here, fingerprint="another dataset's")
        app = opened()
        assert is_on(app, "has been measured 2 times on the")
        assert is_on(app, "on 2026-02-03: 61.0 %")
        box(app, "Split").select("val").run()
        assert is_on(app, "has been measured once on the")

    def test_measure_starts_a_job(self, model, dataset_here, started):
        app = opened()
        box(app, "Split").select("val").run()
        app.button[0].click().run()
        assert not app.exception
        arguments, folder, more = started[0]
        assert arguments == ["evaluate", "chance", str(dataset_here), "--split", "val"]
        assert folder == measurement_folder(model, dataset_here, "val")
        assert more["title"] == "Measuring chance on practice, val"

    @pytest.mark.parametrize("is_renamed", [True, False])
    def test_a_model_that_is_gone_when_it_is_to_be_measured_is_one_sentence(
        self, model, dataset_here, started, monkeypatch, is_renamed
    ):
        """A folder without a model was once left behind, which nobody saw and whose name nobody could use."""
        app = opened()

        def meanwhile(folder):
            model.folder.rename(model.folder.with_name("renamed")) if is_renamed else shutil.rmtree(model.folder)

        monkeypatch.setattr("xrai.measurements.load_measurement", meanwhile)
        app.button[0].click().run()
        assert not app.exception
        assert "There is no model or run “chance” any more" in plainly(app.error[0].value)
        assert not started
        assert not model.folder.exists()

    def test_a_click_on_the_button_of_a_model_that_is_gone_measures_no_other(self, model, dataset_here, started):
        """The page of a stale tab once spent a look at the test split of whatever model came next."""
        another = make_model("another")
        app = opened()
        box(app, "Model").select("another").run()
        shutil.rmtree(another.folder)
        app.button[0].click().run()
        assert not app.exception
        assert box(app, "Model").value == "chance"
        assert not started

    def test_a_look_whose_figures_are_of_earlier_weights_is_counted_without_them(self, model, dataset_here):
        note_look(model, dataset_here, earlier_weights=True)
        app = opened()
        assert is_on(app, "has been measured once on the")
        assert not is_on(app, "61.0 %")
        note_look(model, dataset_here, accuracy=0.5)
        note_look(model, dataset_here, earlier_weights=True)
        app = opened()
        assert is_on(app, "has been measured 3 times on the")
        assert is_on(app, "on 2026-02-03: 50.0 %")

    @pytest.mark.parametrize(("split", "words"), [
        ("train", "started from one that **learned from these very scans**"),
        ("val", "started from one that **was chosen by these very scans**"),
    ])  # fmt: skip
    @pytest.mark.parametrize("is_older", [True, False])
    def test_that_an_ancestor_learned_from_these_scans_is_told(self, model, dataset_here, split, words, is_older):
        with open_dataset(dataset_here) as dataset:
            start = {"dataset": {"fingerprint": dataset.fingerprint}}
        if not is_older:
            start = {"dataset": {"fingerprint": "f"}, "learned_from": ["f", start["dataset"]["fingerprint"]]}
        model.write_card(replace(model.card(), training={"best_epoch": 1, "started_from": start}))
        app = opened()
        assert "started from one" not in warned(app)
        box(app, "Split").select(split).run()
        assert words in warned(app)

    def test_a_start_that_is_refused_is_one_sentence(self, model, dataset_here):
        folder = measurement_folder(model, dataset_here, "test")
        app = opened()
        folder.parent.write_text("in the way")
        app.button[0].click().run()
        assert not app.exception
        assert "cannot be written to" in app.error[0].value

    def test_drawings_warn_that_figures_say_nothing_of_patients(self, model, dataset_here):
        with h5py.File(dataset_here, "r+") as file:
            file.attrs["drawings"] = True
        assert "Take no figure below for how good the model is on patients" in warned(opened())

    @pytest.mark.parametrize(("population", "is_warned"), [
        ("COVID: adults, so that no accuracy on it has a clinical meaning", True),
        ("Made up. It has NO CLINICAL MEANING.", True),
        ("adults of one hospital", False),
        ("", False),
    ])  # fmt: skip
    def test_a_population_that_takes_the_meaning_away_is_a_warning(self, model, dataset_here, population, is_warned):
        with h5py.File(dataset_here, "r+") as file:
            file.attrs["population"], file.attrs["drawings"] = population, False
        app = opened()
        assert ("Take no figure" in warned(app)) == is_warned
        assert is_on(app, population or "nobody described them")

    @pytest.mark.parametrize(
        ("split", "words"), [("train", "learned from these very scans"), ("val", "chosen by these scans")]
    )
    def test_a_models_own_scans_are_told(self, home, dataset_here, split, words):
        with open_dataset(dataset_here) as dataset:
            make_model("own", fingerprint=dataset.fingerprint)
        app = opened()
        assert words not in warned(app)
        box(app, "Split").select(split).run()
        assert words in warned(app)

    def test_a_dataset_built_anew_since_the_training_is_told(self, home, dataset_here):
        make_model("own", name="practice", fingerprint="of an earlier build")
        assert "an earlier build" in warned(opened())

    def test_a_model_starts_with_the_dataset_that_it_learned_from(self, home, dataset_here):
        newer = data_dir() / "newer.hdf5"
        newer.write_bytes(dataset_here.read_bytes())
        with h5py.File(newer, "r+") as file:
            file["split"][0] = (file["split"][0] + 1) % 3
        with open_dataset(dataset_here) as dataset:
            make_model("own", fingerprint=dataset.fingerprint)
        assert box(opened(), "Dataset").value == str(dataset_here)

    def test_what_was_chosen_stays_when_the_reader_visits_another_page(self, model, dataset_here):
        make_model("another")
        app = opened()
        box(app, "Model").select("another").run()
        box(app, "Split").select("val").run()
        app.switch_page("pages/lab/dataset.py").run()
        app.switch_page(EVALUATE).run()
        assert (box(app, "Model").value, box(app, "Split").value) == ("another", "val")

    def test_a_choice_that_was_deleted_meanwhile_is_made_anew(self, model, dataset_here):
        another = make_model("another")
        app = opened()
        box(app, "Model").select("another").run()
        shutil.rmtree(another.folder)
        app.run()
        assert not app.exception
        assert box(app, "Model").value == "chance"

    def test_a_damaged_dataset_beside_a_good_one_is_not_the_first(self, model, dataset_here):
        (data_dir() / "broken.hdf5").write_bytes(b"no HDF5")
        app = opened()
        assert box(app, "Dataset").value == str(dataset_here)
        box(app, "Dataset").select(str(data_dir() / "broken.hdf5")).run()
        assert len(app.error) == 1

    def test_notes_on_model_and_dataset_are_shown(self, model, dataset_here):
        app = opened()
        assert is_on(app, "A note on the model.")
        assert is_on(app, "drawn at random by patient")


class TestJob:
    def test_a_running_one_is_watched(self, model, dataset_here):
        folder = measurement_folder(model, dataset_here, "test")
        with jobs.running(folder, title="x") as job:
            app = opened()
            assert buttons(app) == ["Stop"]
            assert "about ten seconds" in app.get("progress")[0].proto.text
            job.emit({"kind": "progress", "done": 32, "total": 64})
            app.run()
            assert "32 of 64 scans" in app.get("progress")[0].proto.text
            job.emit({"kind": "progress", "done": 64, "total": 64})
            app.run()
            assert "chance could have moved" in app.get("progress")[0].proto.text
            assert not buttons(app), "there is nothing left to break off"

    def test_a_running_one_can_be_asked_to_stop(self, model, dataset_here):
        with jobs.running(measurement_folder(model, dataset_here, "test"), title="x") as job:
            app = opened()
            app.button[0].click().run()
            assert not app.exception
            assert job.should_stop()
            assert buttons(app) == ["Stopping…"]

    def test_one_that_starts_shows_nothing_of_the_one_before(self, model, dataset_here):
        folder = measurement_folder(model, dataset_here, "test")
        folder.mkdir(parents=True)
        append_record(folder / jobs.HISTORY, {"kind": "progress", "done": 64, "total": 64})
        write_json(folder / jobs.JOB, {"status": "starting", "time": time.time(), "title": "x"})
        assert "Starting" in opened().get("progress")[0].proto.text

    def test_a_failed_one_shows_its_sentence_and_can_be_started_again(self, model, dataset_here, started):
        folder = measurement_folder(model, dataset_here, "test")
        folder.mkdir(parents=True)
        write_json(
            folder / jobs.JOB, {"status": "failed", "title": "x", "error": "The dataset is [damaged](http://x)."}
        )
        app = opened()
        assert r"The dataset is \[damaged\]" in app.error[0].value
        app.button[0].click().run()
        assert started

    def test_a_stopped_one_says_so_and_not_that_it_was_interrupted(self, model, dataset_here, started):
        folder = measurement_folder(model, dataset_here, "test")
        folder.mkdir(parents=True)
        write_json(folder / jobs.JOB, {"status": "stopped", "title": "x"})
        app = opened()
        assert is_on(app, "Measuring was stopped")
        assert "interrupted" not in texts(app)
        app.button[0].click().run()
        assert started

    def test_an_interrupted_one_can_be_started_again(self, model, dataset_here, started):
        folder = measurement_folder(model, dataset_here, "test")
        folder.mkdir(parents=True)
        write_json(folder / jobs.JOB, {"status": "running", "title": "x"})
        app = opened()
        assert "interrupted" in warned(app)
        app.button[0].click().run()
        assert started


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
        from xrai.evaluation import report

        shares = np.tile([0.9, 0.1], (40, 1))
        labels = np.zeros(40, np.int64)
        found = measurement.report | report(shares, labels, measurement.predictions.patients, CLASSES, 0.5)
        predictions = replace(measurement.predictions, labels=labels, called=labels, probabilities=shares)
        folder = measurement_folder(model, dataset_here, "test")
        save_measurement(folder, replace(measurement, report=found, predictions=predictions))
        app = opened()
        assert app.table[0].value.iloc[1, 1:5].tolist() == ["–"] * 4
        assert next(item.value for item in app.metric if item.label == "AUC") == "–"
        assert is_on(app, "No scan was called wrong")
        assert box(app, "Cell").options == ["Clear, called right: 40 scans"]
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
        assert box(app, "Cell").options[0] == f"Opacity called Clear: {matrix[1][0]} scans"
        assert box(app, "Cell").value == 2
        assert len(box(app, "Cell").options) == sum(count > 0 for row in matrix for count in row)

    def test_a_cells_scans_come_worst_first_and_page_by_page(self, measured, measurement):
        predictions = measurement.predictions
        order = predictions.files[predictions.cell(1, 0)].tolist()
        app = opened()
        assert shown_files(app) == order[:6]
        app.number_input[0].set_value(2).run()
        assert not app.exception
        assert shown_files(app) == order[6:12]
        box(app, "Cell").set_value(3).run()
        assert shown_files(app) == predictions.files[predictions.cell(1, 1)].tolist()[:6]

    def test_a_click_chooses_a_cell_and_a_second_one_on_it_counts_too(self, monkeypatch):
        state = {"m": selection(3), "c": 2}
        monkeypatch.setattr(confusion.st, "session_state", state)
        confusion._click("m", "c", [2, 3])
        assert state["c"] == 3
        state |= {"m": selection(), "c": 2}  # what the chart still had selected is unselected by the next click on it
        confusion._click("m", "c", [2, 3])
        assert state["c"] == 3
        state["m"] = selection(1)
        confusion._click("m", "c", [2, 3])
        assert state["c"] == 3, "an empty cell has no scans"

    def test_heatmaps_are_made_once_a_scan(self, measured, monkeypatch):
        from xrai.diagnosis import Reader

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
        assert len(app.metric) == 4

    @pytest.mark.parametrize("file", [REPORT, "predictions-*.csv"])
    def test_a_damaged_measurement_is_one_sentence_and_can_be_made_again(self, measured, started, file):
        next(measured.glob(file)).write_bytes(b"{")
        app = opened()
        assert len(app.error) == 1
        assert "damaged: measure again" in plainly(app.error[0].value)
        app.button[0].click().run()
        assert started

    def test_rows_that_the_dataset_does_not_have_are_one_sentence(self, measured, measurement):
        beyond = replace(measurement.predictions, rows=measurement.predictions.rows + 10**6)
        save_measurement(measured, replace(measurement, predictions=beyond))
        app = opened()
        assert not app.exception
        assert "measure again" in app.error[0].value

    def test_a_damaged_model_is_one_sentence_and_the_figures_stay(self, model, measured):
        (model.folder / WEIGHTS).write_bytes(b"x")
        change_report(measured, weights=weights_mark(model))
        app = opened()
        assert not app.exception
        assert len(app.error) == 1
        assert len(app.metric) == 4

    def test_a_damaged_card_is_one_sentence(self, model, measured):
        (model.folder / CARD).write_text("{}")
        assert len(opened().error) == 1

    def test_a_damaged_dataset_is_one_sentence(self, measured, dataset_here):
        dataset_here.write_bytes(dataset_here.read_bytes()[:3000])
        assert "damaged or cut short" in opened().error[0].value

    def test_file_names_are_shown_as_they_are(self, measured, measurement):
        files = np.array(["![x](http://example.org/x.png) $a$ <b>.png"] * 40, object)
        save_measurement(measured, replace(measurement, predictions=replace(measurement.predictions, files=files)))
        app = opened()
        assert any(r"\!\[x\]\(http\:" in item.value for item in app.caption)
        assert not any("![x](http" in item.value for item in (*app.caption, *app.markdown))

    def test_the_curves_of_its_training_are_shown_where_there_are_any(self, model, measured):
        assert "How it learned" not in texts(opened())
        values = {"loss": 0.5, "accuracy": 0.8, "auc": 0.9}
        val = values | {"accuracy_interval": [0.7, 0.9], "auc_interval": [0.8, 0.95], "n": 30}
        epoch = {"kind": "epoch", "epoch": 1, "train": values, "val": val, "best": True}
        append_record(model.folder / jobs.HISTORY, epoch)
        assert "How it learned" in texts(opened())
        append_record(model.folder / jobs.HISTORY, {"kind": "epoch", "epoch": 2})
        assert "damaged and cannot be drawn" in texts(opened())

    def test_a_saved_chart_says_what_it_is_of(self, measured):
        assert captions(opened()) == ["chance on practice, test split, 40 scans"] * 3

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


class TestExports:
    """What the buttons give, which the test runner cannot press."""

    def test_predictions_are_the_kept_file(self, measured):
        (kept,) = measured.glob("predictions-*.csv")
        assert exports.predictions_csv(load_measurement(measured)) == kept.read_bytes()

    def test_but_no_cell_is_a_formula(self, measured, measurement):
        files = measurement.predictions.files.copy()
        files[0] = "=HYPERLINK(1)"
        save_measurement(measured, replace(measurement, predictions=replace(measurement.predictions, files=files)))
        table = list(csv.reader(io.StringIO(exports.predictions_csv(load_measurement(measured)).decode())))
        assert table[1][1] == "'=HYPERLINK(1)"
        assert load_measurement(measured).predictions.files[0] == "=HYPERLINK(1)"

    def test_the_report_as_a_table(self, measured, measurement):
        facts = Facts(CLASSES, "=drawings", True, "f", {}, ())
        rows = list(csv.DictReader(io.StringIO(exports.report_csv(measurement, facts).decode("utf-8-sig"))))
        assert [row["class"] for row in rows] == ["all", *CLASSES]
        assert float(rows[0]["accuracy"]) == pytest.approx(measurement.report["accuracy"])
        assert float(rows[2]["recall_low"]) == pytest.approx(
            measurement.report["per_class"]["OPACITY"]["recall_interval"][0]
        )
        assert {row["population"] for row in rows} == {"'=drawings"}

    def test_the_report_as_json(self, measurement):
        told = json.loads(exports.report_json(measurement, {"population": "p"}))
        assert told["confusion_matrix"] == measurement.report["confusion_matrix"]
        assert told["population"] == "p"

    def test_all_charts_on_one_page_that_says_on_whom(self, measured, measurement):
        from xrai.figures import confusion_figure

        facts = Facts(CLASSES, "<script>", True, "f", {}, ())
        figures = {"confusion": confusion_figure(measurement.report["confusion_matrix"], CLASSES)}
        html = exports.charts_html("m-practice-test", facts, measurement, figures).decode()
        assert html.startswith("<!doctype html>")
        assert "Patients: &lt;script&gt;." in html
        assert "40 scans of" in html


def shown_files(app: AppTest) -> list[str]:
    found = (re.fullmatch(r"(.+), patient .+", plainly(item.value)) for item in app.caption)
    return [match[1] for match in found if match]


def captions(app: AppTest) -> list[str]:
    """What stands below the titles of the charts."""
    return [
        json.loads(item.proto.spec)["layout"]["title"]["subtitle"]["text"] for item in app.get("plotly_chart")
    ]  # fmt: skip


def selection(*cells: int):
    return {"selection": {"points": [{"point_index": cell} for cell in cells]}}
