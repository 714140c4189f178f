"""Every page through Streamlit's own test runner: alone, empty, at work, and with an error from the engine."""

import asyncio
import json
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from PIL import Image
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartParser
from streamlit.testing.v1 import AppTest

from pages.shared.navigation import DATASET, DIAGNOSE, EVALUATE, MANUAL, MODELS, TRAIN
from pages.shared.settings import setting_label
from xrai.core import jobs
from xrai.core.json_files import append_record, write_json
from xrai.core.paths import PROJECT_DIR, checkpoints_dir, data_dir, inbox_dir
from xrai.data.jobs import build_folder, download_folder
from xrai.models.card import Card
from xrai.models.checkpoint import Checkpoint
from xrai.scans.phantoms import draw_thorax
from xrai.scans.preprocessing import Preprocessing
from xrai.training import memory
from xrai.training.config import TrainConfig
from xrai.training.sweep import create_sweep, open_sweep


def opened(page: str | None = None) -> AppTest:
    app = AppTest.from_file(str(PROJECT_DIR / "streamlit_app.py"), default_timeout=600).run()
    if page:
        app.switch_page(page).run()
    assert not app.exception
    return app


def texts(app: AppTest) -> str:
    kinds = (app.markdown, app.caption, app.info, app.error, app.warning, app.success, app.subheader, app.title)
    return "\n".join(str(item.value) for kind in kinds for item in kind)


def button(app: AppTest, label: str):
    return next(item for item in app.button if item.label == label)


@pytest.fixture
def model(home):
    """A model that never learned: its answers are chance, but it is whole."""
    from xrai.networks.build import build_network

    config = TrainConfig(network="resnet18", image_size=64)
    card = Card(
        name="chance",
        created="2026-01-01T00:00:00+00:00",
        classes=("NORMAL", "PNEUMONIA"),
        network=config.network_config,
        preprocessing=Preprocessing(64, 64, 0.5, 0.25),
        dataset={"name": "d", "population": "children of one hospital", "is_phantom": False},
        threshold={"class_name": "PNEUMONIA", "value": 0.5, "description": "fixed"},
        training={"settings": config.to_dict()},
        validation={
            "n": 20,
            "accuracy": 0.5,
            "accuracy_interval": (0.3, 0.7),
            "auc": 0.5,
            "auc_interval": (0.3, 0.7),
            "loss": 0.7,
        },
        heatmap_scale={name: {"NORMAL": 1.0, "PNEUMONIA": 1.0} for name in ("CAM", "Grad-CAM")},
        versions={},
    )
    checkpoint = Checkpoint(checkpoints_dir() / "chance")
    checkpoint.folder.mkdir(parents=True)
    checkpoint.write_card(card)
    checkpoint.save_network(build_network(config, 2))
    return checkpoint


@pytest.fixture
def film(tmp_path):
    file = tmp_path / "film.png"
    Image.fromarray(draw_thorax(np.random.default_rng(3), opacity=True, size=128)).save(file)
    return file.read_bytes()


@pytest.fixture
def dataset_here(home, practice):
    (data_dir() / "practice.hdf5").write_bytes(practice.read_bytes())
    return data_dir() / "practice.hdf5"


@pytest.fixture
def started(monkeypatch):
    """Jobs that pages would start, without starting them."""
    calls = []
    monkeypatch.setattr(jobs, "start", lambda arguments, folder, **more: calls.append((list(arguments), folder)))
    return calls


class TestDiagnose:
    def test_is_the_page_that_opens_first(self, home):
        assert opened().title[0].value == "Diagnose"

    def test_without_a_model_says_what_to_do_next(self, home):
        assert "There is no model yet" in texts(opened())

    def test_says_whom_the_model_knows_and_that_it_is_no_medical_device(self, model):
        said = texts(opened())
        assert "children of one hospital" in said
        assert "not a medical device" in said

    def test_reads_an_uploaded_scan(self, model, film):
        app = opened()
        app.file_uploader[0].upload("film.png", film, "image/png").run()
        assert not app.exception
        assert re.search("normal|pneumonia", app.subheader[0].value, re.IGNORECASE)
        assert re.search("Uncertain, rather|Probabl|Suspicious|No sign", app.subheader[0].value)
        assert "No colour: no evidence" in texts(app)
        assert [item.label for item in app.get("download_button")] == ["Save this result (PNG)"]

    def test_opens_on_the_model_that_another_page_asked_for(self, model):
        shutil.copytree(model.folder, model.folder.with_name("other"))
        app = opened(DATASET)
        app.session_state["diagnose_model_wanted"] = "other"
        app.switch_page(DIAGNOSE).run()
        assert not app.exception
        assert app.selectbox[0].value == "other"
        app.selectbox[0].select("chance").run()
        assert app.selectbox[0].value == "chance"

    def test_one_that_was_asked_for_and_is_gone_changes_nothing(self, model):
        shutil.copytree(model.folder, model.folder.with_name("other"))
        app = opened(DATASET)
        app.session_state["diagnose_model_wanted"] = "gone"
        app.switch_page(DIAGNOSE).run()
        assert not app.exception
        assert app.selectbox[0].value == app.selectbox[0].options[0]

    def test_a_bad_file_is_one_sentence_and_the_others_go_on(self, model, film):
        app = opened()
        bad = ("bad.jpg", b"no picture at all", "image/jpeg")
        app.file_uploader[0].set_value([bad, ("film.png", film, "image/png")])
        app.run()
        assert not app.exception
        assert len(app.error) == 1
        assert "bad.jpg" in app.error[0].value
        assert len(app.subheader) == 1
        assert app.dataframe[-1].value["Diagnosis"].tolist()[0] == "not read"
        assert list(app.dataframe[-1].value) == ["File", "Diagnosis", "Pneumonia", "Remark"]

    def test_a_file_name_is_shown_as_it_is_and_fetches_nothing(self, model):
        app = opened()
        app.file_uploader[0].upload("![x](http://example.org/x.png).jpg", b"no picture", "image/jpeg").run()
        assert r"\!\[x\]\(http\:" in app.error[0].value

    def test_a_name_that_a_spreadsheet_would_compute_is_made_text(self, model, film):
        app = opened()
        app.file_uploader[0].set_value([("=1+1.png", film, "image/png"), ("b.png", film, "image/png")])
        app.run()
        assert app.dataframe[-1].value["File"].tolist() == ["'=1+1.png", "b.png"]

    def test_a_disk_error_is_one_sentence(self, model, monkeypatch):
        def broken(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Checkpoint, "read_card", broken)
        app = opened()
        assert "No space left on device" in app.error[0].value

    def test_scans_stay_when_the_reader_visits_another_page(self, model, film):
        app = opened()
        app.file_uploader[0].upload("film.png", film, "image/png").run()
        app.switch_page(DATASET).run()
        app.switch_page(DIAGNOSE).run()
        assert len(app.subheader) == 1

    def test_clear_forgets_the_scans(self, model, film):
        app = opened()
        app.file_uploader[0].upload("film.png", film, "image/png").run()
        button(app, "Clear all scans").click().run()
        assert not app.subheader
        for name in ("diagnose_uploads", "diagnose_readings", "diagnose_scan", "diagnose_heat"):
            assert name not in app.session_state

    def test_every_view_and_class_can_be_shown(self, model, film):
        app = opened()
        app.file_uploader[0].upload("film.png", film, "image/png").run()
        for option in next(item for item in app.selectbox if item.label == "Show evidence for").options:
            next(item for item in app.selectbox if item.label == "Show evidence for").select(option).run()
            assert not app.exception
        for view in ("Blended", "Scan only", "Side by side"):
            app.get("button_group")[0].set_value(view).run()
            assert not app.exception

    @pytest.mark.parametrize("file", ["card.json", "model.safetensors"])
    def test_a_damaged_model_is_one_sentence(self, model, film, file):
        (model.folder / file).write_bytes(b"{}")
        app = opened()
        if file == "model.safetensors":
            app.file_uploader[0].upload("film.png", film, "image/png").run()
        assert not app.exception
        assert len(app.error) == 1
        assert file in app.error[0].value


class TestDataset:
    def test_empty_offers_the_practice_drawings_with_what_was_found(self, home):
        said = texts(opened(DATASET))
        assert "New here?" in said
        assert "drawings" in said
        assert "files.**" in said

    def test_build_starts_a_job(self, home, started):
        app = opened(DATASET)
        button(app, "Build the dataset").click().run()
        assert not app.exception
        arguments, folder = started[0]
        assert arguments[:3] == ["build", "phantoms", str(data_dir() / "practice.hdf5")]
        assert folder == build_folder(data_dir() / "practice.hdf5")

    @pytest.mark.parametrize("name", ["", "../up", "a/b", "CON", "dot."])
    def test_a_bad_name_is_refused(self, home, started, name):
        app = opened(DATASET)
        next(item for item in app.text_input if item.label == "Name of the dataset").input(name)
        button(app, "Build the dataset").click().run()
        assert not started
        assert "name" in app.error[0].value

    def test_a_folder_in_the_inbox_is_found_and_shown(self, home, drawings):
        (inbox_dir() / "ward").symlink_to(drawings, target_is_directory=True)
        app = opened(DATASET)
        app.radio[0].set_value("A folder or zip on this computer").run()
        assert not app.exception
        assert "3. Build the dataset" in texts(app)

    def test_an_empty_inbox_says_what_to_do(self, home):
        app = opened(DATASET)
        app.radio[0].set_value("A folder or zip on this computer").run()
        assert "The inbox is empty" in texts(app)

    def test_the_finding_is_asked_for_where_the_names_do_not_tell_it(self, home, write_scan, started):
        for name in ("grade one", "grade two"):
            for number in range(5):
                write_scan(inbox_dir() / "ward" / name / f"{number}.png")
        app = opened(DATASET)
        app.radio[0].set_value("A folder or zip on this computer").run()
        build = next(item for item in app.button if item.label == "Build the dataset")
        build.click().run()
        assert not started and any("which class is the finding" in item.value for item in app.warning)
        next(item for item in app.selectbox if item.label == "Which class is the finding?").select("grade one")
        next(item for item in app.button if item.label == "Build the dataset").click().run()
        assert "--finding=grade one" in started[0][0]

    def test_a_folder_with_one_class_is_one_sentence(self, home, write_scan):
        write_scan(inbox_dir() / "ward" / "NORMAL" / "a.png")
        app = opened(DATASET)
        app.radio[0].set_value("A folder or zip on this computer").run()
        assert not app.exception
        assert "at least two" in app.error[0].value

    def test_an_uploaded_zip_is_kept_and_looked_at(self, home, drawings, tmp_path):
        archive = shutil.make_archive(str(tmp_path / "my scans"), "zip", drawings)
        app = opened(DATASET)
        app.radio[0].set_value("Upload a zip").run()
        app.file_uploader[0].upload("my scans.zip", Path(archive).read_bytes(), "application/zip").run()
        assert not app.exception
        assert (inbox_dir() / "my-scans.zip").is_file()
        assert "3. Build the dataset" in texts(app)

    def test_a_file_that_is_no_zip_is_one_sentence(self, home):
        app = opened(DATASET)
        app.radio[0].set_value("Upload a zip").run()
        app.file_uploader[0].upload("x.zip", b"not a zip", "application/zip").run()
        assert not app.exception
        first = app.error[0].value
        assert not list(inbox_dir().glob("*.zip"))
        app.run()  # a second look must not find the zip missing instead
        assert [item.value for item in app.error] == [first]

    def test_an_uploaded_zip_never_replaces_another_of_its_name(self, home, drawings, tmp_path):
        (inbox_dir() / "scans.zip").write_bytes(b"precious")
        archive = Path(shutil.make_archive(str(tmp_path / "scans"), "zip", drawings))
        app = opened(DATASET)
        app.radio[0].set_value("Upload a zip").run()
        app.file_uploader[0].upload("scans.zip", archive.read_bytes(), "application/zip").run()
        assert not app.exception
        assert (inbox_dir() / "scans.zip").read_bytes() == b"precious"
        assert (inbox_dir() / "scans-2.zip").read_bytes() == archive.read_bytes()

    def test_kaggle_offers_its_sets_with_population_and_licence(self, home):
        app = opened(DATASET)
        app.radio[0].set_value("Kaggle").run()
        assert "Licence: CC BY 4.0" in texts(app)
        assert button(app, "Download it")

    def test_a_failed_download_shows_its_sentence(self, home):
        folder = download_folder("kaggle:a/b")
        folder.mkdir(parents=True)
        write_json(
            folder / jobs.JOB_FILE, {"status": "failed", "title": "Download", "error": "Kaggle cannot be reached."}
        )
        app = opened(DATASET)
        assert "Kaggle cannot be reached." in app.error[0].value
        button(app, "Dismiss").click().run()
        assert not app.error

    def test_an_interrupted_build_can_be_started_again(self, home, started):
        folder = build_folder(data_dir() / "x.hdf5")
        folder.mkdir(parents=True)
        noted = {"status": "running", "title": "x", "details": {"arguments": ["build", "phantoms", "x.hdf5"]}}
        write_json(folder / jobs.JOB_FILE, noted)
        app = opened(DATASET)
        assert "interrupted" in app.warning[0].value
        button(app, "Start it again").click().run()
        assert started[0][0] == ["build", "phantoms", "x.hdf5"]

    def test_browse_shows_counts_and_searches(self, dataset_here):
        app = opened(DATASET)
        assert {item.label for item in app.metric} == {"Scans", "Patients", "Stored size", "File"}
        next(item for item in app.text_input if item.label == "File name contains").input("patient0001").run()
        assert not app.exception
        shown = next(item.value for item in app.caption if "shown" in item.value)
        assert int(shown.split()[0]) <= 3
        next(item for item in app.text_input if item.label == "File name contains").input("no such file").run()
        assert "No scan fits" in texts(app)

    def test_the_dataset_just_built_is_the_one_that_is_shown(self, dataset_here, started, drawings):
        """The page once showed the older dataset, beside the button that deletes it."""
        app = opened(DATASET)
        app.get("button_group")[0].set_value("Build a new dataset").run()
        button(app, "Build the dataset").click().run()
        target = Path(started[0][0][2])
        app.run()
        shutil.copy(dataset_here, target)
        app.run()
        assert next(item for item in app.selectbox if item.label == "Dataset").value == str(target)

    def test_a_dataset_cut_short_is_one_sentence(self, dataset_here):
        dataset_here.write_bytes(dataset_here.read_bytes()[:3000])
        app = opened(DATASET)
        assert "damaged or cut short" in app.error[0].value

    def test_delete_asks_first_and_then_deletes(self, dataset_here):
        app = opened(DATASET)
        button(app, "Delete this dataset").click().run()
        assert dataset_here.exists()
        button(app, "Delete it").click().run()
        assert not dataset_here.exists()

    def test_a_dataset_that_a_run_learns_from_is_not_deleted(self, dataset_here):
        write_run("a", "starting")
        app = opened(DATASET)
        button(app, "Delete this dataset").click().run()
        button(app, "Delete it").click().run()
        assert dataset_here.exists()
        assert "being trained on it" in app.error[0].value


class TestTrain:
    def test_without_a_dataset_says_what_to_do_next(self, home):
        assert "There is no dataset yet" in texts(opened(TRAIN))

    def test_start_hands_every_setting_to_the_command_line(self, dataset_here, started):
        app = opened(TRAIN)
        app.radio[0].set_value("Best").run()
        next(item for item in app.number_input if item.label == "Epochs").set_value(7)
        button(app, "Start training").click().run()
        assert not app.exception
        arguments, folder = started[0]
        assert arguments[0] == "train"
        assert arguments[arguments.index("--epochs") + 1] == "7"
        assert arguments[arguments.index("--ensemble-size") + 1] == "4"
        assert folder == checkpoints_dir() / "model-1"

    def test_settings_that_cannot_go_together_are_one_sentence(self, dataset_here, started):
        app = opened(TRAIN)
        next(item for item in app.selectbox if item.label == "Initial weights").select("imagenet")
        button(app, "Start training").click().run()
        assert not started
        assert "convnet has no ImageNet weights" in app.error[0].value

    def test_a_name_that_leaves_the_folder_is_refused(self, dataset_here, started):
        app = opened(TRAIN)
        next(item for item in app.text_input if item.label == "Name of the model").input("../evil")
        button(app, "Start training").click().run()
        assert not started
        assert "cannot be a model's name" in app.error[0].value

    def test_every_setting_has_a_control_with_an_explanation(self, dataset_here):
        app = opened(TRAIN)
        controls = [*app.number_input, *app.selectbox, *app.checkbox]
        labels = {item.label for item in controls}
        assert labels >= set(map(setting_label, TrainConfig.model_fields))
        assert all(item.help for item in controls if item.label not in ("Dataset", "Run"))

    def test_a_run_from_a_model_takes_over_its_network(self, dataset_here, model, started):
        app = opened(TRAIN)
        app.radio[0].set_value("Fine-tune one of your models").run()
        network = next(item for item in app.selectbox if item.label == "Network architecture")
        assert (network.value, network.disabled) == ("resnet18", True)
        assert "trained on children of one hospital; the network is fixed by them" in texts(app)
        button(app, "Start training").click().run()
        arguments = started[0][0]
        assert arguments[arguments.index("--weights") + 1] == "chance"
        assert arguments[arguments.index("--image-size") + 1] == "64"
        assert arguments[arguments.index("--freeze-epochs") + 1] == "2"

    def test_networks_side_by_side_are_for_resnets(self, dataset_here, started):
        def named(kind, label):
            return next(item for item in getattr(app, kind) if item.label == label)

        app = opened(TRAIN)
        assert named("number_input", "Ensemble size").disabled  # the plain convnet
        named("selectbox", "Network architecture").select("resnet18_half").run()
        named("number_input", "Ensemble size").set_value(3).run()
        named("selectbox", "Network architecture").select("densenet121").run()
        members = named("number_input", "Ensemble size")
        assert (members.value, members.disabled) == (1, True)
        named("selectbox", "Network architecture").select("resnet18_half").run()
        named("number_input", "Ensemble size").set_value(3).run()
        button(app, "Start training").click().run()
        arguments = started[0][0]
        assert arguments[arguments.index("--ensemble-size") + 1] == "3"

    def test_run_again_keeps_the_runs_own_greys_though_it_started_from_a_model(self, dataset_here, model, started):
        write_run("child", "done")
        asked = json.loads((checkpoints_dir() / "child" / "config.json").read_text())
        own = {"network": "resnet18", "weights": "chance", "normalize": "image", "image_size": 96}
        write_json(checkpoints_dir() / "child" / "config.json", asked | {"train": asked["train"] | own})
        app = opened(TRAIN)
        app.get("button_group")[0].set_value("Watch a run").run()
        button(app, "Run again with other settings").click().run()
        button(app, "Start training").click().run()
        arguments = started[0][0]
        assert arguments[arguments.index("--normalize") + 1] == "image"
        assert arguments[arguments.index("--image-size") + 1] == "96"

    def test_a_run_whose_start_is_gone_can_be_run_again(self, dataset_here, started):
        """The form once gave way to a red box when the starting model had been renamed."""
        write_run("child", "done")
        asked = json.loads((checkpoints_dir() / "child" / "config.json").read_text())
        network = {"network": "resnet18", "weights": "gone", "freeze_epochs": 1}
        write_json(checkpoints_dir() / "child" / "config.json", asked | {"train": asked["train"] | network})
        app = opened(TRAIN)
        app.get("button_group")[0].set_value("Watch a run").run()
        button(app, "Run again with other settings").click().run()
        assert "The run started from the model “gone”, which no longer exists under that name" in app.warning[0].value
        button(app, "Start training").click().run()
        assert started

    def test_without_a_model_none_is_offered_as_a_start(self, dataset_here):
        assert "Fine-tune one of your models" not in opened(TRAIN).radio[0].options

    def test_from_scratch_the_last_layer_never_learns_alone(self, dataset_here, model, started):
        """Going back from a model to scratch once left two epochs of the head alone, which scratch refuses."""
        app = opened(TRAIN)
        app.radio[0].set_value("Fine-tune one of your models").run()
        next(item for item in app.selectbox if item.label == "Initial weights").select("scratch").run()
        head = next(item for item in app.number_input if item.label == "Freeze epochs")
        assert (head.value, head.disabled) == (0, True)
        button(app, "Start training").click().run()
        assert started

    def test_the_network_is_drawn_as_configured(self, dataset_here):
        app = opened(TRAIN)
        app.session_state["layers_Quick look_0"] = True
        app.run()
        before = app.dataframe[-1].value
        assert len(app.get("plotly_chart")) == 1
        next(item for item in app.number_input if item.label == "Convolution blocks").set_value(3).run()
        assert not app.exception
        assert len(app.dataframe[-1].value) == len(before) - 8  # two blocks of four layers less

    def test_a_run_that_will_not_fit_is_said_before_and_can_be_started_all_the_same(
        self, dataset_here, started, monkeypatch
    ):
        monkeypatch.setattr(memory, "read_machine_memory", lambda: memory.MachineMemory(2**20, 2**20, "cpu"))
        app = opened(TRAIN)
        button(app, "Start training").click().run()
        assert not started
        assert "choose a smaller batch size" in app.warning[0].value
        button(app, "Start anyway").click().run()
        assert started[0][0][0] == "train"

    def test_a_sweep_is_planned_and_started(self, dataset_here, started):
        app = opened(TRAIN)
        vary(app, learning_rate="0.001, 0.003", dropout="0, 0.2, 0.4")
        assert "6 runs, one after another" in texts(app)
        button(app, "Start the sweep").click().run()
        assert not app.exception
        assert started[0][0] == ["sweep", "--name", "model-1", "--resume"]
        assert [run.name for run in open_sweep("model-1").runs] == [f"model-1-{number}" for number in range(1, 7)]

    def test_a_sweep_of_ten_thousand_runs_is_one_sentence(self, dataset_here, started):
        app = opened(TRAIN)
        vary(app, seed=", ".join(map(str, range(100))), epochs=", ".join(map(str, range(1, 101))))
        assert not app.exception
        assert "10,000" in app.error[0].value
        assert not [item for item in app.button if item.label == "Start the sweep"]

    def test_a_sweep_shows_what_came_out_and_goes_on(self, dataset_here, started):
        sweep = create_sweep("s", dataset_here, {"epochs": 2}, {"dropout": [0.0, 0.2]})
        found = {"epoch": 1, "accuracy": 0.9, "accuracy_interval": [0.8, 1.0], "auc": 0.95, "auc_interval": None}
        told = {"kind": "run", "number": 1, "runs": 2, "name": "s-1", "settings": {"dropout": 0.0}, "error": ""}
        append_record(sweep.folder / "history.jsonl", told | {"status": "done", "val": found})
        failed = told | {"name": "s-2", "status": "failed", "val": None, "error": "No memory is left."}
        append_record(sweep.folder / "history.jsonl", failed)
        write_json(sweep.folder / jobs.JOB_FILE, {"status": "stopped", "title": "s", "time": time.time()})
        app = opened(TRAIN)
        app.get("button_group")[0].set_value("Watch a run").run()
        assert not app.exception
        table = app.dataframe[0].value
        assert table["AUC (95 % interval)"].tolist() == ["0.950", ""]
        assert table["Status"].tolist() == ["Done", "Failed"]
        assert "No memory is left" in texts(app)
        (checkpoints_dir() / "s-1").mkdir()
        button(app, "Compare its runs").click().run()
        assert app.title[0].value == "Models"
        app.switch_page(TRAIN).run()
        button(app, "Resume the sweep").click().run()
        assert started[0] == (["sweep", "--name", "s", "--resume"], sweep.folder)

    def test_both_phases_of_transfer_learning_are_told(self, dataset_here):
        write_run("a", "done", freeze_epochs=2)
        app = opened(TRAIN)
        app.get("button_group")[0].set_value("Watch a run").run()
        assert "only the last layer learns" in texts(app)

    def test_preview_shows_scans_and_their_variations(self, dataset_here):
        app = opened(TRAIN)
        button(app, "Preview augmentation").click().run()
        assert not app.exception
        assert len(app.get("image")) == 12

    def test_a_done_run_is_shown_with_its_curves_and_ways_on(self, dataset_here):
        write_run("a", "done")
        app = opened(TRAIN)
        app.get("button_group")[0].set_value("Watch a run").run()
        assert not app.exception
        assert len(app.get("plotly_chart")) == 3
        labels = {item.label for item in app.get("download_button")}
        assert labels == {"History (CSV)", "Charts (HTML)"}

    @pytest.mark.parametrize(
        ("label", "title"),
        [("Read scans with it", "Diagnose"), ("Measure it on test scans", "Evaluate"), ("Compare models", "Models")],
    )
    def test_each_way_on_opens_on_the_model_just_trained(self, dataset_here, model, label, title):
        write_run("new", "done")
        for file in ("card.json", "model.safetensors"):
            shutil.copy(model.folder / file, checkpoints_dir() / "new")
        app = opened(TRAIN)
        app.get("button_group")[0].set_value("Watch a run").run()
        button(app, label).click().run()
        assert not app.exception
        assert app.title[0].value == title
        assert "new" in [item.value for item in app.selectbox] or app.multiselect[0].value == ["new"]

    def test_a_finished_run_shows_the_figures_of_its_card(self, dataset_here, model):
        """The tiles once told another accuracy than the sentence above them."""
        write_run("a", "done")
        for file in ("card.json", "model.safetensors"):
            shutil.copy(model.folder / file, checkpoints_dir() / "a" / file)
        app = opened(TRAIN)
        app.get("button_group")[0].set_value("Watch a run").run()
        tiles = {item.label: item.value for item in app.metric}
        assert tiles["Validation accuracy"] == "50.0 %"
        assert tiles["Best epoch"] == "1 of 3"

    def test_an_interrupted_run_never_looks_alive(self, dataset_here):
        write_run("a", "running")
        app = opened(TRAIN)
        app.get("button_group")[0].set_value("Watch a run").run()
        assert "interrupted" in app.warning[0].value
        assert not [item for item in app.button if item.label == "Stop"]

    def test_a_click_on_a_run_that_has_just_ended_is_not_lost(self, dataset_here, monkeypatch):
        """Its buttons were once drawn in the part that is drawn anew every second, which swallowed a click."""
        write_run("a", "running")
        draw, looks, open_parts, in_part = st.button, iter(()), [], []

        def fragment(part=None, **more):
            def noted(*values):
                open_parts.append(part)
                try:
                    part(*values)
                finally:
                    open_parts.pop()

            return noted if part else fragment

        def button_of(label, **more):
            in_part.extend([label] * len(open_parts))
            return draw(label, **more)

        monkeypatch.setattr(jobs.Job, "status", property(lambda job: next(looks, "done")))
        monkeypatch.setattr(st, "fragment", fragment)
        monkeypatch.setattr(st, "button", button_of)
        app = opened(TRAIN)
        for n_looks in range(1, 8):
            looks = iter(["running"] * n_looks)  # it ends after so many looks at it
            app.run()
            labels = {item.label for item in app.button}
            assert not app.exception
            assert len(labels & {"Stop", "Run again with other settings"}) == 1
        assert "Stop" in in_part
        assert "Run again with other settings" not in in_part

    def test_a_failed_run_shows_its_sentence(self, dataset_here):
        write_run("a", "failed", error="The loss is no number any more.")
        app = opened(TRAIN)
        app.get("button_group")[0].set_value("Watch a run").run()
        assert "The loss is no number any more." in app.error[0].value

    def test_run_again_puts_the_settings_into_the_form(self, dataset_here, started):
        write_run("a", "done", epochs=9)
        app = opened(TRAIN)
        app.get("button_group")[0].set_value("Watch a run").run()
        button(app, "Run again with other settings").click().run()
        assert not app.exception
        assert next(item for item in app.number_input if item.label == "Epochs").value == 9

    def test_a_run_that_goes_on_can_be_watched_from_the_form(self, dataset_here):
        write_run("a", "starting")
        app = opened(TRAIN)
        app.get("button_group")[0].set_value("Start a run").run()
        assert "“a” is being trained now" in texts(app)
        button(app, "Watch it").click().run()
        assert "Stop" in [item.label for item in app.button]

    def test_a_second_run_at_once_is_refused(self, dataset_here, started):
        write_run("a", "starting")
        app = opened(TRAIN)
        app.get("button_group")[0].set_value("Start a run").run()
        button(app, "Start training").click().run()
        assert not started
        assert "is being trained now" in app.error[0].value


def vary(app: AppTest, **values: str) -> None:
    """Ask for a sweep over some settings."""
    next(item for item in app.multiselect if item.label == "Settings to vary").set_value(list(values)).run()
    for name, written in values.items():
        label = f"Values of “{setting_label(name).lower()}”"
        next(item for item in app.text_input if item.label == label).input(written)
    app.run()


def write_run(name: str, status: str, *, error: str = "", epochs: int = 3, freeze_epochs: int = 0) -> None:
    """A run's folder as a process leaves it."""
    folder = checkpoints_dir() / name
    folder.mkdir(parents=True)
    config = TrainConfig(network="convnet", image_size=64, epochs=epochs)
    write_json(folder / "config.json", {"dataset": "data/practice.hdf5", "train": config.to_dict()})
    write_json(folder / jobs.JOB_FILE, {"status": status, "title": name, "error": error, "time": time.time()})
    plan = {
        "epochs": epochs,
        "freeze_epochs": freeze_epochs,
        "batches": 3,
        "parameters": 10,
        "device": "cpu",
        "precision": "32",
        "train": 9,
        "val": 4,
    }
    append_record(folder / "history.jsonl", {"kind": "start", **plan})
    step = {"progress": 0.5, "epoch": 1, "loss": 0.7, "accuracy": 0.5, "images_per_second": 9.0, "seconds_left": 5.0}
    append_record(folder / "history.jsonl", {"kind": "step", **step})
    measured = {"loss": 0.6, "accuracy": 0.7, "auc": 0.8}
    validation = measured | {"accuracy_interval": [0.5, 0.9], "auc_interval": None, "n": 4}
    for epoch in range(1, epochs + 1):
        record = {"kind": "epoch", "epoch": epoch, "train": measured, "val": validation, "best": epoch == 1}
        append_record(folder / "history.jsonl", record | {"learning_rate": 0.1, "seconds": 1.0})
    assert json.loads((folder / "history.jsonl").read_text().splitlines()[0])


def test_every_page_has_a_flat_file_for_deep_links_on_a_fresh_server():
    pages = [DIAGNOSE, DATASET, TRAIN, EVALUATE, MODELS, MANUAL]
    assert {str(file.relative_to(PROJECT_DIR)) for file in (PROJECT_DIR / "pages").rglob("page.py")} >= set(pages)
    for page in pages:
        assert (PROJECT_DIR / "pages" / f"{Path(page).parent.name}.py").is_file()


def test_what_is_uploaded_never_touches_the_disk(home):
    """Starlette puts uploads above 1 MB into a temporary file unless the front door says otherwise."""
    opened()
    boundary = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.dcm"\r\n\r\n'

    async def stream():
        yield boundary + b"0" * 3_000_000 + b"\r\n--x--\r\n"

    headers = Headers({"content-type": "multipart/form-data; boundary=x"})
    form = asyncio.run(MultiPartParser(headers, stream()).parse())
    assert not form["file"].file._rolled
    form["file"].file.close()
