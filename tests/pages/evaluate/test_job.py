"""The page Evaluate while it measures, and when that ends."""

import time

import pytest

from tests.pages.evaluate.page import button, buttons, is_on, make_model, make_ready, opened, plainly, texts, warned
from xrai.core import jobs
from xrai.core.json_files import append_record, write_json
from xrai.data.dataset import open_dataset
from xrai.evaluation.store import evaluation_folder
from xrai.models.artifacts import ARTIFACTS_FILE
from xrai.models.checkpoint import calibration_folder


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
        [("elsewhere", "needs the dataset that it learned from, elsewhere,"), ("", "which its card does not name")],
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
