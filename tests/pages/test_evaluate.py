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

from pages.lab.evaluate import calibration_view as trust_view
from pages.lab.evaluate import confusion, decision_effects, exports
from pages.shared.datasets import DatasetFacts
from xrai.calibration import ConformalAbstention, ThresholdGoal, threshold_points
from xrai.core import jobs
from xrai.core.json_files import append_record, write_json
from xrai.core.paths import PROJECT_DIR, checkpoints_dir, data_dir
from xrai.data.dataset import open_dataset
from xrai.evaluation.report import classification_report
from xrai.evaluation.store import REPORT_FILE, evaluation_folder, load_evaluation, save_evaluation, with_threshold
from xrai.metrics import predict
from xrai.models.artifacts import ARTIFACTS_FILE, Artifacts, ValidationOutputs, save_artifacts
from xrai.models.card import Card
from xrai.models.checkpoint import CARD, WEIGHTS, Checkpoint, calibration_folder
from xrai.models.operating_point import fit_operating_point, update_operating_point
from xrai.scans.preprocessing import Preprocessing
from xrai.training.config import TrainConfig

EVALUATE = "pages/lab/evaluate/page.py"
CLASSES = ("CLEAR", "OPACITY")
DOUBT = ConformalAbstention(alpha=0.1, thresholds=(0.4, 0.45), n_patients=(40, 40))
LATER = (
    "reliability",
    "expected_calibration_error_interval",
    "expected_calibration_error_by_chance",
    "calibration",
    "doubt",
    "answered",
)
CHOOSING, USE, BACK = "Decision threshold for Opacity", "Use this to read scans", "Reset"


def opened() -> AppTest:
    app = AppTest.from_file(str(PROJECT_DIR / "streamlit_app.py"), default_timeout=600).run()
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
    from xrai.networks.build import build_network

    config = TrainConfig(network="convnet", blocks=3, filters=4, image_size=32)
    known = {"name": "d", "population": "children of one hospital", "is_phantom": False} | dataset
    card = Card(
        name=model_name,
        created="2026-01-01T00:00:00+00:00",
        classes=tuple(classes),
        network=config.network_config,
        preprocessing=Preprocessing(64, 32, 0.5, 0.25),
        dataset=known,
        threshold={"class_name": classes[1], "value": 0.5, "description": "fixed"} if len(classes) == 2 else None,
        training={"best_epoch": 1, "settings": config.to_dict()},
        validation={"n": 20, "loss": 0.7, "accuracy": 0.5, "accuracy_interval": None, "auc": None, "auc_interval": None},
        heatmap_scale={method: dict.fromkeys(classes, 1.0) for method in ("HiResCAM", "Grad-CAM")},
        versions={},
        notes=("A note on the model.",),
    )
    checkpoint = Checkpoint(checkpoints_dir() / model_name)
    checkpoint.folder.mkdir(parents=True)
    checkpoint.write_card(card)
    checkpoint.save_network(build_network(config, len(classes)))
    return checkpoint


def make_ready(checkpoint: Checkpoint, only: int | None = None) -> None:
    """Give a model made-up answers to validation scans, and what follows from them."""
    n_classes = len(checkpoint.read_card().classes)
    rng = np.random.default_rng(3)
    labels = np.arange(160) % n_classes if only is None else np.full(160, only)
    logits = (1.5 * np.eye(n_classes)[labels] + rng.normal(0, 1, (160, n_classes))).astype(np.float32)
    patients = labels + n_classes * (np.arange(160) // n_classes // (4 // n_classes)) % 160
    validation = ValidationOutputs(logits, logits[None], labels, patients)
    save_artifacts(checkpoint, Artifacts(validation=validation), checkpoint.weights_sha256())
    checkpoint.write_card(fit_operating_point(checkpoint.read_card(), validation))


@pytest.fixture
def ready(model):
    """A model that chose threshold and doubt on its validation scans."""
    make_ready(model)
    return model


@pytest.fixture
def made_up_ready(ready, measurement):
    """The made-up measurement, as one of probabilities as the model has them now."""
    card = ready.read_card()
    same = replace(measurement, report=measurement.report | {"calibration": card.calibration.to_dict()})
    return with_threshold(same, card)


@pytest.fixture
def measured_ready(ready, dataset_here, made_up_ready):
    folder = evaluation_folder(ready, dataset_here, "test")
    save_evaluation(folder, made_up_ready)
    return folder


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
    from xrai.evaluation.store import EvaluationResult, Predictions

    with open_dataset(practice) as dataset:
        rows = np.concatenate([np.flatnonzero(dataset.labels == 0)[:14], np.flatnonzero(dataset.labels == 1)[:26]])
        labels, files, patients = dataset.labels[rows], dataset.files[rows], dataset.patients[rows]
        fingerprint = dataset.fingerprint
    rng = np.random.default_rng(5)
    share = np.clip(0.25 + 0.25 * labels + rng.normal(0, 0.15, len(rows)), 0.01, 0.99)
    shares = np.stack([1 - share, share], axis=1)
    found = classification_report(shares, labels, patients, CLASSES, 0.5)
    found |= {
        "split": "test",
        "dataset": "practice",
        "model": "chance",
        "fingerprint": fingerprint,
        "left_out": 0,
        "when": "2026-11-21T13:14:23+00:00",
        "seen": 0,
        "unseen": None,
        "measured_before": 0,
        "weights": "none",
        "calibration": None,
    }
    called = (share >= 0.5).astype(np.int64)
    assert (called != labels)[labels == 1].sum() > max((called != labels)[labels == 0].sum(), 7)
    return EvaluationResult(found, Predictions(rows, files, patients, labels, called, shares))


@pytest.fixture
def measurement(model, made_up):
    """The same, as one of the model's weights."""
    return replace(made_up, report=made_up.report | {"weights": model.weights_sha256()})


@pytest.fixture
def measured(model, dataset_here, measurement):
    folder = evaluation_folder(model, dataset_here, "test")
    save_evaluation(folder, measurement)
    return folder


@pytest.fixture
def started(monkeypatch):
    """Jobs that the page would start, without starting them."""
    calls = []
    monkeypatch.setattr(jobs, "start", lambda arguments, folder, **more: calls.append((list(arguments), folder, more)))
    return calls


@pytest.fixture
def no_cells(monkeypatch):
    """A page without the scans of the confusion matrix, whose heatmaps take most of its time."""
    monkeypatch.setattr(confusion, "show_confusion", lambda *_, **__: None)


def note_look(model, dataset_file, split="test", **more):
    with open_dataset(dataset_file) as dataset:
        fingerprint = dataset.fingerprint
    card = model.read_card()
    look = {
        "dataset": "practice",
        "split": split,
        "fingerprint": fingerprint,
        "when": "2026-02-03T04:05:06+00:00",
        "n": 20,
        "accuracy": 0.61,
        "accuracy_interval": [0.4, 0.8],
        "auc": 0.72,
        "auc_interval": [0.5, 0.9],
        "per_class": {},
    } | more
    model.write_card(card.replace(evaluations=[*card.evaluations, look]))


def change_report(folder, **values):
    report = json.loads((folder / REPORT_FILE).read_text(encoding="utf-8"))
    (folder / REPORT_FILE).write_text(json.dumps(report | values), encoding="utf-8")


class TestBefore:
    def test_without_a_dataset_says_what_to_do_next(self, home):
        assert is_on(opened(), "There is no dataset yet")

    def test_without_a_model_says_what_to_do_next(self, dataset_here):
        assert is_on(opened(), "There is no model yet")

    def test_classes_that_do_not_fit_are_named_instead_of_a_button(self, home, dataset_here):
        make_model("three", ("Normal", "Covid", "Viral Pneumonia"))
        app = opened()
        assert is_on(
            app,
            "“three” knows the classes Normal, Covid and Viral Pneumonia, but the dataset practice has "
            "Clear and Opacity",
        )
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
        assert is_on(app, "Measure on the test scans only once the model is final")
        box(app, "Split").select("val").run()
        assert not is_on(app, "Measure on the test scans only")

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

    def test_a_look_with_another_threshold_says_with_which(self, model, dataset_here):
        note_look(model, dataset_here, threshold=0.5)
        assert not is_on(opened(), "no longer in use")
        note_look(model, dataset_here, threshold=0.3)
        assert is_on(opened(), "(with Opacity from 30.0 %, no longer in use)")

    def test_measure_starts_a_job(self, model, dataset_here, started):
        app = opened()
        box(app, "Split").select("val").run()
        app.button[0].click().run()
        assert not app.exception
        arguments, folder, more = started[0]
        assert arguments == ["evaluate", "chance", str(dataset_here), "--split", "val"]
        assert folder == evaluation_folder(model, dataset_here, "val")
        assert more["title"] == "Measuring chance on practice, validation"

    @pytest.mark.parametrize("is_renamed", [True, False])
    def test_a_model_that_is_gone_when_it_is_to_be_measured_is_one_sentence(
        self, model, dataset_here, started, monkeypatch, is_renamed
    ):
        """A folder without a model was once left behind, which nobody saw and whose name nobody could use."""
        app = opened()

        def meanwhile(folder):
            model.folder.rename(model.folder.with_name("renamed")) if is_renamed else shutil.rmtree(model.folder)

        monkeypatch.setattr("xrai.evaluation.store.load_evaluation", meanwhile)
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

    @pytest.mark.parametrize(
        ("split", "words"),
        [
            ("train", "started from one that was **trained on these scans**"),
            ("val", "started from one that was **selected on these scans**"),
        ],
    )
    @pytest.mark.parametrize("is_older", [True, False])
    def test_that_an_ancestor_learned_from_these_scans_is_told(self, model, dataset_here, split, words, is_older):
        with open_dataset(dataset_here) as dataset:
            start = {"dataset": {"fingerprint": dataset.fingerprint}}
        if not is_older:
            start = {"dataset": {"fingerprint": "f"}, "learned_from": ["f", start["dataset"]["fingerprint"]]}
        model.write_card(model.read_card().replace(training={"best_epoch": 1, "started_from": start}))
        app = opened()
        assert "started from one" not in warned(app)
        box(app, "Split").select(split).run()
        assert words in warned(app)

    def test_a_start_that_is_refused_is_one_sentence(self, model, dataset_here):
        folder = evaluation_folder(model, dataset_here, "test")
        app = opened()
        folder.parent.write_text("in the way")
        app.button[0].click().run()
        assert not app.exception
        assert "cannot be written to" in app.error[0].value

    def test_drawings_warn_that_figures_say_nothing_of_patients(self, model, dataset_here):
        with h5py.File(dataset_here, "r+") as file:
            file.attrs["drawings"] = True
        assert "These figures say nothing about patients" in warned(opened())

    @pytest.mark.parametrize(
        ("population", "is_warned"),
        [
            ("COVID: adults, so that no accuracy on it has a clinical meaning", True),
            ("Made up. It has NO CLINICAL MEANING.", True),
            ("adults of one hospital", False),
            ("", False),
        ],
    )
    def test_a_population_that_takes_the_meaning_away_is_a_warning(self, model, dataset_here, population, is_warned):
        with h5py.File(dataset_here, "r+") as file:
            file.attrs["population"], file.attrs["drawings"] = population, False
        app = opened()
        assert ("These figures say nothing" in warned(app)) == is_warned
        assert is_on(app, population or "nobody described them")

    @pytest.mark.parametrize(
        ("split", "words"), [("train", "trained on these scans"), ("val", "selected on these scans")]
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
        app.switch_page("pages/lab/dataset/page.py").run()
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
        folder = evaluation_folder(model, dataset_here, "test")
        with jobs.run_job(folder, title="x") as job:
            app = opened()
            assert buttons(app) == ["Stop"]
            assert "about ten seconds" in app.get("progress")[0].proto.text
            job.emit({"kind": "progress", "done": 32, "total": 64})
            app.run()
            assert "32 of 64 scans" in app.get("progress")[0].proto.text
            job.emit({"kind": "progress", "done": 64, "total": 64})
            app.run()
            assert "95 % intervals" in app.get("progress")[0].proto.text
            assert not buttons(app), "there is nothing left to break off"

    def test_a_running_one_can_be_asked_to_stop(self, model, dataset_here):
        with jobs.run_job(evaluation_folder(model, dataset_here, "test"), title="x") as job:
            app = opened()
            app.button[0].click().run()
            assert not app.exception
            assert job.should_stop()
            assert buttons(app) == ["Stopping…"]

    def test_one_that_starts_shows_nothing_of_the_one_before(self, model, dataset_here):
        folder = evaluation_folder(model, dataset_here, "test")
        folder.mkdir(parents=True)
        append_record(folder / jobs.HISTORY_FILE, {"kind": "progress", "done": 64, "total": 64})
        write_json(folder / jobs.JOB_FILE, {"status": "starting", "time": time.time(), "title": "x"})
        assert "Starting" in opened().get("progress")[0].proto.text

    def test_a_failed_one_shows_its_sentence_and_can_be_started_again(self, model, dataset_here, started):
        folder = evaluation_folder(model, dataset_here, "test")
        folder.mkdir(parents=True)
        write_json(
            folder / jobs.JOB_FILE, {"status": "failed", "title": "x", "error": "The dataset is [damaged](http://x)."}
        )
        app = opened()
        assert r"The dataset is \[damaged\]" in app.error[0].value
        app.button[0].click().run()
        assert started

    def test_a_stopped_one_says_so_and_not_that_it_was_interrupted(self, model, dataset_here, started):
        folder = evaluation_folder(model, dataset_here, "test")
        folder.mkdir(parents=True)
        write_json(folder / jobs.JOB_FILE, {"status": "stopped", "title": "x"})
        app = opened()
        assert is_on(app, "Measuring was stopped")
        assert "interrupted" not in texts(app)
        app.button[0].click().run()
        assert started

    def test_an_interrupted_one_can_be_started_again(self, model, dataset_here, started):
        folder = evaluation_folder(model, dataset_here, "test")
        folder.mkdir(parents=True)
        write_json(folder / jobs.JOB_FILE, {"status": "running", "title": "x"})
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
        assert is_on(app, "Called Opacity from a probability of 31 % on.")
        predictions = load_evaluation(measured_ready).predictions
        moved = replace(predictions, predicted=predict(predictions.probabilities, 0.31))
        box(app, "Cell").set_value(1).run()
        assert shown_files(app) == predictions.files[moved.find_cell(0, 1)].tolist()[:6]

    def test_the_scans_of_a_cell_are_told_among_the_teams_patients_like_the_threshold(self, ready, measured_ready):
        update_operating_point(ready, prevalence=0.1)
        card, said = ready.read_card(), load_evaluation(measured_ready).predictions
        app = opened()
        assert is_on(app, "Called Opacity from a probability of 50 % on.")
        box(app, "Cell").set_value(2).run()
        worst = with_threshold(load_evaluation(measured_ready), card).predictions.find_cell(1, 0)[0]
        assert is_on(
            app, f"**Opacity** {100 * card.to_local_prevalence(said.probabilities[worst, 1]):.1f} %, the truth"
        )
        assert is_on(app, "Tables and reports hold the probabilities before the adjustment")
        assert is_on(app, "Shown before the adjustment")

    def test_a_model_calibrated_anew_is_to_be_measured_again(self, ready, measured_ready):
        calibration = ready.read_card().calibration
        ready.write_card(ready.read_card().replace(calibration=replace(calibration, slope=2 * calibration.slope)))
        app = opened()
        assert "calibrated anew since this was measured" in warned(app)
        assert not any(item.value.startswith("Called Opacity from") for item in app.caption)


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


@pytest.mark.usefixtures("no_cells")
class TestChoosing:
    """Threshold, doubt and prevalence: tried on the page, then put in force."""

    def test_what_is_in_force_is_told_and_the_controls_stand_at_it(self, ready, measured_ready):
        app = opened()
        assert is_on(app, "In use**: positive for Opacity at 50.0 % or above, chosen to call")
        assert goal_of(app).value == "argmax"
        assert (button(app, USE).disabled, button(app, BACK).disabled) == (True, True)
        assert is_on(app, "Set beforehand, and tried on 160 scans that the model did not learn from")
        assert is_on(app, "Of 100 children with the answer Opacity, about")

    @pytest.mark.parametrize(
        ("kind", "limit", "words"),
        [
            ("max_fnr", 12.5, "to miss at most 12.5 in 100 scans of Opacity"),
            ("max_fpr", 20.0, "to take at most 20 in 100 scans of Clear for Opacity"),
            ("fixed", 31.0, "to call Opacity from a probability of 31 % on"),
        ],
    )
    def test_a_goal_shows_at_once_what_comes_out_and_then_decides(self, ready, measured_ready, kind, limit, words):
        app, before = opened(), ready.read_card()
        goal_of(app).set_value(kind).run()
        slider(app, 0).set_value(limit).run()
        assert not app.exception
        assert is_on(app, words)
        assert ready.read_card() == before, "so far it is only tried"
        figures = shown_figures(app)
        button(app, USE).click().run()
        assert not app.exception
        card = ready.read_card()
        assert card.threshold.goal == {"kind": kind, "limit": limit / 100}
        assert card.abstention == before.abstention
        assert "New rule: positive for Opacity at" in app.success[0].value
        assert button(app, USE).disabled
        said = load_evaluation(measured_ready).predictions
        accuracy = (predict(said.probabilities, card.threshold_value) == said.labels).mean()
        assert shown_figures(app)["Accuracy"] == f"{100 * accuracy:.1f} %" != figures["Accuracy"]

    def test_the_first_choice_can_be_taken_back_to(self, ready, measured_ready):
        update_operating_point(ready, goal=ThresholdGoal(kind="max_fnr", limit=0.1))
        app = opened()
        assert (goal_of(app).value, slider(app, 0).value) == ("max_fnr", 10.0)
        goal_of(app).set_value("argmax").run()
        button(app, USE).click().run()
        assert ready.read_card().threshold.value == 0.5

    def test_fewer_wrong_answers_mean_fewer_answers(self, ready, measured_ready):
        app, before = opened(), ready.read_card()
        many = shown_figures(app)["Uncertain"]
        slider(app, -1).set_value(19.5).run()
        assert shown_figures(app)["Uncertain"] == many, "what was measured stays as it is in force"
        assert is_on(app, "at most 19.5 in 100 scans of each class get a wrong one")
        button(app, USE).click().run()
        assert ready.read_card().abstention.alpha == pytest.approx(0.195)
        assert ready.read_card().threshold == before.threshold
        assert int(shown_figures(app)["Uncertain"]) < int(many)

    def test_fewer_than_the_patients_allow_cannot_be_asked_for(self, ready, dataset_here):
        app = opened()
        assert slider(app, -1).min == pytest.approx(2.4), "of 40 patients 1 in 41"
        assert is_on(app, "Fewer than 2.4 cannot be promised from so few patients")

    def test_a_prevalence_moves_the_1000_at_once_and_is_kept(self, ready, measured_ready):
        app = opened()
        assert is_on(app, "Nobody has said yet: it begins at 50")
        prevalence(app).set_value(20.0).run()
        assert is_on(app, "1,000 children, of whom 20 in 100 have opacity")
        assert ready.read_card().local_prevalence is None
        before = ready.read_card()
        button(app, USE).click().run()
        card = ready.read_card()
        assert (card.local_prevalence, card.abstention) == (0.2, before.abstention)
        assert card.to_local_prevalence(card.threshold_value) == pytest.approx(0.5), (
            "likelier among the team's own patients"
        )
        assert is_on(app, "Probabilities are told for your children, of whom 20 in 100 have opacity.")

    def test_back_takes_the_controls_to_what_is_in_force(self, ready, dataset_here):
        app, before = opened(), ready.read_card()
        goal_of(app).set_value("fixed").run()
        slider(app, 0).set_value(80.0).run()
        slider(app, -1).set_value(15.0).run()
        prevalence(app).set_value(3.0).run()
        button(app, BACK).click().run()
        assert not app.exception
        assert (goal_of(app).value, prevalence(app).value) == ("argmax", 50.0)
        assert button(app, USE).disabled
        assert ready.read_card() == before

    def test_limits_that_were_set_elsewhere_fit_the_controls(self, ready, dataset_here):
        update_operating_point(ready, goal=ThresholdGoal(kind="max_fnr", limit=0.4444), alpha=0.5)
        app, before = opened(), ready.read_card()
        assert (slider(app, 0).value, slider(app, -1).value) == (44.4, 50.0)
        assert button(app, USE).disabled
        prevalence(app).set_value(7.0).run()
        button(app, USE).click().run()
        assert ready.read_card() == replace(before, prevalence=0.07), "to the last digit"  # a limit on errors stays

    def test_a_tab_that_tries_nothing_shows_what_another_put_in_force(self, ready, measured_ready):
        app = opened()
        update_operating_point(ready, goal=ThresholdGoal(kind="fixed", limit=0.31))
        app.run()
        assert not app.exception
        assert is_on(app, "positive for Opacity at 31.0 % or above")
        assert (goal_of(app).value, slider(app, 0).value) == ("fixed", 31.0)

    def test_of_two_who_choose_at_once_the_last_one_wins_and_is_told(self, ready, measured_ready):
        app = opened()
        goal_of(app).set_value("max_fnr").run()
        update_operating_point(ready, goal=ThresholdGoal(kind="fixed", limit=0.31))
        app.run()
        assert "somebody else changed these settings" in warned(app)
        assert is_on(app, "positive for Opacity at 31.0 % or above")
        assert is_on(app, "to miss at most 5 in 100 scans of Opacity"), "what was tried stays"
        button(app, USE).click().run()
        assert ready.read_card().threshold.goal == {"kind": "max_fnr", "limit": 0.05}
        assert "somebody else" not in warned(app)

    def test_a_click_counts_also_when_another_was_quicker(self, ready, measured_ready):
        app = opened()
        goal_of(app).set_value("max_fnr").run()
        update_operating_point(ready, alpha=0.3)
        button(app, USE).click().run()
        card = ready.read_card()
        assert (card.threshold.goal.kind, card.abstention.alpha) == ("max_fnr", 0.3)

    def test_looking_at_the_test_scans_is_warned_of(self, ready, measured_ready):
        app = opened()
        assert is_on(app, "never on the test scans")
        assert "Test scans of practice" in effects(app).columns
        assert is_on(app, "If they are like the test scans instead")

    def test_the_scans_that_it_is_chosen_on_are_shown_once(self, ready, dataset_here, made_up_ready):
        with open_dataset(dataset_here) as dataset:
            ready.write_card(
                ready.read_card().replace(dataset=ready.read_card().dataset | {"fingerprint": dataset.fingerprint})
            )
        found = replace(made_up_ready, report=made_up_ready.report | {"split": "val"})
        save_evaluation(evaluation_folder(ready, dataset_here, "val"), found)
        app = opened()
        box(app, "Split").select("val").run()
        assert not is_on(app, "never on the test scans")
        assert len(effects(app).columns) == 2

    def test_it_can_be_chosen_before_anything_is_measured(self, ready, dataset_here):
        app = opened()
        goal_of(app).set_value("max_fnr").run()
        assert len(effects(app).columns) == 2
        button(app, USE).click().run()
        assert not app.exception
        assert ready.read_card().threshold.goal.kind == "max_fnr"

    def test_several_classes_have_only_a_doubt(self, home, dataset_here):
        classes = ("Normal", "Covid", "Viral Pneumonia")
        checkpoint = make_model("three", classes)
        make_ready(checkpoint)
        with h5py.File(dataset_here, "r+") as file:
            file.attrs["classes"] = json.dumps(classes)
        app = opened()
        assert not app.exception
        assert is_on(app, "Uncertain answers")
        assert not app.radio
        slider(app, 0).set_value(19.0).run()
        button(app, USE).click().run()
        assert not app.exception
        assert checkpoint.read_card().abstention.alpha == pytest.approx(0.19)
        assert checkpoint.read_card().threshold is None
        assert "At most 19 in 100 scans of each class" in app.success[0].value

    def test_without_scans_of_a_class_nothing_can_be_chosen(self, model, dataset_here):
        make_ready(model, only=1)
        assert is_on(opened(), "a class has no validation scans")

    def test_threshold_and_zone_are_told_among_the_teams_patients_like_on_diagnose(self, ready, measured_ready):
        """One page once told them for the scans that the model was fitted on, the other for the team's patients."""
        update_operating_point(ready, goal=ThresholdGoal(kind="max_fnr", limit=0.1), prevalence=0.1)
        card = ready.read_card()
        value, (low, high) = (
            card.to_local_prevalence(card.threshold_value),
            map(card.to_local_prevalence, card.abstention.reject_zone(card.threshold_value)),
        )
        assert abs(value - card.threshold_value) > 0.05
        app = opened()
        assert is_on(app, f"positive for Opacity at {100 * value:.1f} % or above, chosen to miss at most 10")
        assert is_on(app, f"Between {100 * low:.1f} % and {100 * high:.1f} % the answer is “uncertain")
        first, last = (card.to_local_prevalence(end) for end in card.threshold.fit.interval)
        assert is_on(app, f"might have come out between {100 * first:.1f} % and {100 * last:.1f} %")
        layout = json.loads(app.get("plotly_chart")[0].proto.spec)["layout"]
        drawn = {shape["name"]: (shape["x0"], shape["x1"]) for shape in layout["shapes"]}
        assert drawn["chosen"] == pytest.approx((value, value))
        assert drawn["zone"] == pytest.approx((low, high))
        assert drawn["interval"] == pytest.approx((first, last))
        assert layout["title"]["subtitle"]["text"].replace("<br>", " ").endswith("of whom 10 in 100 have opacity.")

    def test_the_curves_of_the_threshold_are_drawn_over_told_probabilities(self, ready, measured_ready, monkeypatch):
        update_operating_point(ready, prevalence=0.1)
        card, drawn, draw = ready.read_card(), [], decision_effects.threshold_figure

        def watched(points, *args, **more):
            drawn.append(points)
            return draw(points, *args, **more)

        monkeypatch.setattr(decision_effects, "threshold_figure", watched)
        decision_effects.operating_point_figures(ready, card, ["x"])
        validation = decision_effects.load_validation(ready, decision_effects.artifacts_key(ready))
        fitted = threshold_points(card.to_probabilities(validation.logits)[:, 1], validation.labels)
        assert drawn[0]["threshold"] == pytest.approx(
            [card.to_local_prevalence(share) for share in fitted["threshold"]]
        )
        assert drawn[0]["sensitivity"] == fitted["sensitivity"]

    def test_a_probability_that_is_set_is_one_among_the_teams_patients(self, ready, measured_ready):
        update_operating_point(ready, prevalence=0.1)
        app = opened()
        goal_of(app).set_value("fixed").run()
        slider(app, 0).set_value(31.0).run()
        button(app, USE).click().run()
        card = ready.read_card()
        assert card.threshold_value == pytest.approx(card.from_local_prevalence(0.31)) != 0.31
        assert is_on(app, "positive for Opacity at 31.0 % or above")
        assert button(app, USE).disabled

    def test_another_prevalence_shows_at_once_that_other_scans_are_called(self, ready, measured_ready):
        """Whichever class is likelier among the team's patients: the page once said that what is called stays."""
        app = opened()
        before = effects(app)
        prevalence(app).set_value(10.0).run()
        assert effects(app).iloc[0, 1] != before.iloc[0, 1], "fewer are found where the disease is rare"
        assert is_on(app, "Between") and ready.read_card().local_prevalence is None
        assert "What is called and when it is not sure stays" not in prevalence(app).help
        assert "the answers change with it" in prevalence(app).help

    def test_a_full_disk_is_one_sentence(self, ready, measured_ready, monkeypatch):
        app = opened()
        goal_of(app).set_value("max_fnr").run()

        def full(*_, **__):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Checkpoint, "write_card", full)
        button(app, USE).click().run()
        assert not app.exception
        assert "No space left" in plainly(app.error[0].value)

    def test_what_is_chosen_goes_along(self, ready, measured_ready, monkeypatch):
        taken = {}
        monkeypatch.setattr(exports, "charts_html", lambda name, facts, measured, figures: taken.update(figures) or b"")
        about = {}
        monkeypatch.setattr(exports, "report_json", lambda measured, more: about.update(more) or b"")
        monkeypatch.setattr(exports.st, "download_button", lambda label, make, *_, **__: make())
        update_operating_point(ready, goal=ThresholdGoal(kind="max_fnr", limit=0.1), prevalence=0.2)
        opened()
        assert {"confusion", "threshold", "reliability-1"} <= taken.keys()
        assert (about["chosen"]["goal"]["kind"], about["prevalence"]) == ("max_fnr", 0.2)


@pytest.mark.usefixtures("no_cells")
class TestTrust:
    def test_the_probabilities_are_compared_with_what_came_true_and_with_chance(self, ready, measured_ready):
        app, report = opened(), load_evaluation(measured_ready).report
        assert shown_figures(app)["Calibration error (ECE)"] == f"{100 * report['expected_calibration_error']:.1f} %"
        assert is_on(app, f"would show {100 * report['expected_calibration_error_by_chance']:.1f} % by chance with")
        assert is_on(app, "Mean predicted probability of Opacity:")
        assert is_on(app, "calibrated for a prevalence of 50 % Opacity. The prevalence here is 65 %")

    @pytest.mark.parametrize(
        ("error", "interval", "chance", "words"),
        [
            (0.04, [0.03, 0.06], 0.01, "The error is larger"),
            (0.02, [0.005, 0.03], 0.01, "well calibrated"),
            (0.08, [0.04, 0.12], 0.07, "too few scans to tell"),
        ],
    )
    def test_what_is_off_is_weighed_against_chance(self, measured, error, interval, chance, words):
        change_report(
            measured,
            expected_calibration_error=error,
            expected_calibration_error_interval=interval,
            expected_calibration_error_by_chance=chance,
        )
        assert is_on(opened(), words)

    @pytest.mark.parametrize(
        ("p", "words"),
        [(0.9, "wrong more often than its probabilities say"), (0.6, "correct more often than its probabilities say")],
    )
    def test_in_which_direction_they_are_off_is_said(self, model, dataset_here, measurement, p, words):
        """Of ten scans about seven are called right, at whatever probability."""
        n = len(measurement.predictions.rows)
        labels = np.arange(n) % 2
        called = np.where(np.arange(n) % 10 < 7, labels, 1 - labels)
        shares = np.where(called[:, None] == [0, 1], p, 1 - p)
        found = classification_report(shares, labels, measurement.predictions.patients, CLASSES, 0.5)
        found |= {"expected_calibration_error_interval": [0.09, 0.3], "expected_calibration_error_by_chance": 0.01}
        predictions = replace(measurement.predictions, labels=labels, predicted=called, probabilities=shares)
        changed = replace(measurement, report=measurement.report | found, predictions=predictions)
        save_evaluation(evaluation_folder(model, dataset_here, "test"), changed)
        assert is_on(opened(), words)

    @pytest.mark.parametrize(
        ("share", "interval", "is_told"),
        [(0.4, [0.2, 0.6], True), (0.4, [0.2, 0.8], False), (0.68, [0.66, 0.69], False)],
    )
    def test_where_it_is_farthest_off_is_told_if_it_is_more_than_chance(self, measured, share, interval, is_told):
        point = {"low": 0.6, "high": 0.8, "mean": 0.7, "share": share, "n": 30, "interval": interval}
        change_report(measured, reliability={name: [point] for name in CLASSES})
        app = opened()
        assert (
            is_on(app, f"farthest off where it foretold about 70.0 %: there {100 * share:.1f} % came true") == is_told
        )

    @pytest.mark.parametrize(
        ("wrong", "interval", "kind", "words"),
        [
            (0.2, [0.15, 0.3], "error", "The error target is missed on these scans"),
            (0.2, [0.01, 0.3], "warning", "Slightly above the error target"),
            (0.02, [0.0, 0.3], "success", "The error target is met on these scans"),
            (None, None, "success", "The error target is met on these scans"),
        ],
    )
    def test_whether_the_promise_held_is_said_plainly(self, ready, measured_ready, wrong, interval, kind, words):
        report = load_evaluation(measured_ready).report
        per_class = [{"answered": 0.9, "answered_interval": [0.8, 1.0], "wrong": wrong, "wrong_interval": interval}]
        per_class += [per_class[0] | {"wrong": 0.0, "wrong_interval": [0.0, 0.1]}]
        change_report(measured_ready, answered=report["answered"] | {"per_class": per_class})
        app = opened()
        assert words in "".join(item.value for item in app.get(kind))
        assert report["doubt"]["alpha"] == pytest.approx(0.03)

    def test_more_than_half_left_to_a_radiologist_is_said(self, ready, measured_ready):
        report = load_evaluation(measured_ready).report
        answered = report["answered"] | {"answered": 0.4}
        change_report(measured_ready, answered=answered)
        assert "More than half of these scans" in warned(opened())

    def test_without_a_doubt_every_answer_is_firm(self, measured):
        assert is_on(opened(), "had no “uncertain” answer")

    def test_a_measurement_of_an_earlier_version_gets_its_figures_where_its_probabilities_are_the_models(
        self, measured
    ):
        drop_later(measured)
        app = opened()
        assert not app.exception
        assert "Calibration error (ECE)" in shown_figures(app)
        assert not is_on(app, trust_view.MEASURE_AGAIN)

    def test_else_it_still_opens_and_asks_to_be_made_again(self, ready, measured_ready):
        drop_later(measured_ready)
        app = opened()
        assert not app.exception
        assert "calibrated anew since this was measured" in warned(app)
        assert texts(app).count(trust_view.MEASURE_AGAIN) == 2
        assert "Accuracy" in shown_figures(app)
        assert len(effects(app).columns) == 2, "no effect on scans with other probabilities"


class TestCalibrating:
    @pytest.fixture
    def own(self, home, dataset_here):
        with open_dataset(dataset_here) as dataset:
            return make_model("own", name="practice", fingerprint=dataset.fingerprint)

    def test_a_model_without_kit_is_calibrated_with_its_dataset(self, own, dataset_here, started):
        app = opened()
        assert is_on(app, "not calibrated")
        assert not app.radio
        button(app, "Calibrate it with practice").click().run()
        assert not app.exception
        arguments, folder, _ = started[0]
        assert arguments == ["calibrate", "own", str(dataset_here)]
        assert folder == calibration_folder(own.folder)

    @pytest.mark.parametrize(
        ("name", "words"),
        [("elsewhere", "needs the dataset that it learned from, elsewhere,"), (None, "which its card does not name")],
    )
    def test_where_its_dataset_is_not_here_it_is_named(self, home, dataset_here, name, words):
        make_model("foreign", name=name, fingerprint="of another")
        app = opened()
        assert is_on(app, words)
        assert buttons(app) == ["Measure"]

    def test_a_running_one_is_watched(self, own, dataset_here):
        with jobs.run_job(calibration_folder(own.folder), title="x") as job:
            app = opened()
            assert "Starting to calibrate" in app.get("progress")[0].proto.text
            job.emit({"kind": "finalize", "stage": "reading the validation scans", "done": 3, "total": 10})
            app.run()
            assert "reading the validation scans" in app.get("progress")[0].proto.text
            assert buttons(app) == ["Measure"]

    def test_a_failed_one_shows_its_sentence_and_can_be_started_again(self, own, dataset_here, started):
        folder = calibration_folder(own.folder)
        folder.mkdir(parents=True)
        write_json(folder / jobs.JOB_FILE, {"status": "failed", "title": "x", "error": "The dataset is damaged."})
        app = opened()
        assert "The dataset is damaged" in app.error[0].value
        button(app, "Calibrate it with practice").click().run()
        assert started

    def test_a_damaged_kit_is_one_sentence_and_can_be_made_anew(self, own, dataset_here, started):
        make_ready(own)
        (own.folder / ARTIFACTS_FILE).write_bytes(b"x")
        app = opened()
        assert not app.exception
        assert ARTIFACTS_FILE in plainly(app.error[0].value)
        button(app, "Calibrate it with practice").click().run()
        assert started


def shown_figures(app: AppTest) -> dict[str, str]:
    return {item.label: item.value for item in app.metric}


def goal_of(app: AppTest):
    return app.radio[0]


def slider(app: AppTest, number: int):
    """0: the limit of the goal, where it has one; −1: the doubt."""
    return list(app.slider)[number]


def prevalence(app: AppTest):
    return next(item for item in app.number_input if "that you X-ray" in item.label)


def button(app: AppTest, label: str):
    return next(item for item in app.button if item.label == label)


def effects(app: AppTest):
    return next(item.value for item in app.table if "Effect" in item.value.columns)


def drop_later(folder):
    report = json.loads((folder / REPORT_FILE).read_text(encoding="utf-8"))
    for name in LATER:
        report.pop(name)
    (folder / REPORT_FILE).write_text(json.dumps(report), encoding="utf-8")


def shown_files(app: AppTest) -> list[str]:
    found = (re.fullmatch(r"(.+), patient .+", plainly(item.value)) for item in app.caption)
    return [match[1] for match in found if match]


def captions(app: AppTest) -> list[str]:
    """What stands below the titles of the charts."""
    return [json.loads(item.proto.spec)["layout"]["title"]["subtitle"]["text"] for item in app.get("plotly_chart")]


def selection(*cells: int):
    return {"selection": {"points": [{"point_index": cell} for cell in cells]}}
