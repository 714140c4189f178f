"""The page of all models through Streamlit's own test runner: the table, one of them, several, import."""

import io
import json
import os
import sys
import time
import zipfile

import pytest
from streamlit.testing.v1 import AppTest

from xrai import models
from xrai.core.json_files import HISTORY_FILE, JOB_FILE, append_record, write_json
from xrai.core.paths import PROJECT_DIR, checkpoints_dir
from xrai.models.card import Card
from xrai.models.checkpoint import CARD, CONFIG, WEIGHTS, open_checkpoint
from xrai.scans.preprocessing import Preprocessing
from xrai.training.config import TrainConfig

MODELS = "pages/lab/models/page.py"
TINY = TrainConfig(network="convnet", blocks=2, filters=2, dense_units=2, image_size=32)


def opened(chosen=()):
    app = AppTest.from_file(str(PROJECT_DIR / "streamlit_app.py"), default_timeout=600).run()
    app.switch_page(MODELS).run()
    assert not app.exception
    if chosen:
        app.multiselect(key="models_chosen").set_value(list(chosen)).run()
        assert not app.exception
    return app


def texts(app):
    kinds = (app.markdown, app.caption, app.info, app.error, app.warning, app.success, app.subheader, app.title)
    return "\n".join(str(item.value) for kind in kinds for item in kind).replace("\\", "")


def labelled(items, label):
    return next(item for item in items if item.label == label)


def labels(items):
    return [item.label for item in items]


def table(app):
    return app.dataframe[0].value


def side_by_side(app):
    """The table of the settings of the chosen runs."""
    return app.dataframe[2].value


def charts(app):
    return [json.loads(item.proto.spec) for item in app.get("plotly_chart")]


def titles(app):
    return [chart["layout"].get("title", {}).get("text") for chart in charts(app)]


def measures(auc=0.8, interval=(0.7, 0.9), n=40):
    return {
        "n": n,
        "accuracy": 0.75,
        "accuracy_interval": [0.6, 0.9],
        "auc": auc,
        "auc_interval": list(interval) if interval else None,
        "loss": 0.5,
    }


def write_run(name, config=TINY, *, status="done", dataset="data/practice.hdf5", error="", validation=None):
    """A run's folder as a process leaves it."""
    folder = checkpoints_dir() / name
    folder.mkdir(parents=True)
    write_json(folder / CONFIG, {"dataset": dataset, "train": config.to_dict()})
    write_json(folder / JOB_FILE, {"status": status, "title": name, "error": error, "time": time.time()})
    plan = {"epochs": 2, "batches": 3, "parameters": 10, "device": "cpu", "precision": "32", "train": 9, "val": 4}
    append_record(folder / HISTORY_FILE, {"kind": "start", "time": 1.8e9, **plan})
    train, val = {"loss": 0.6, "accuracy": 0.7, "auc": 0.8}, validation or measures()
    for epoch in (1, 2):
        record = {"kind": "epoch", "epoch": epoch, "time": 1.8e9, "train": train, "val": val, "best": epoch == 1}
        append_record(folder / HISTORY_FILE, record | {"learning_rate": 0.1, "seconds": 50.0})
    return open_checkpoint(name) if name.isascii() else None


def write_model(name, config=TINY, *, validation=None, **changes):
    """A finished model whose weights nobody looks at."""
    checkpoint = write_run(name, config, validation=validation)
    values = {
        "name": name,
        "created": "2026-01-01T00:00:00+00:00",
        "classes": ("NORMAL", "PNEUMONIA"),
        "network": config.network_config,
        "preprocessing": Preprocessing(64, config.image_size, 0.5, 0.25),
        "dataset": {"name": "practice"},
        "threshold": None,
        "training": {"epochs_run": 2, "seconds": 12_000.0, "settings": config.to_dict()},
        "validation": validation or measures(),
        "heatmap_scale": {"CAM": {"NORMAL": 1.0, "PNEUMONIA": 1.0}},
        "versions": {},
    }
    checkpoint.write_card(Card(**values | changes))
    (checkpoint.folder / WEIGHTS).write_bytes(b"0" * 1024**2)
    return checkpoint


@pytest.fixture
def three(home):
    """Three models of one dataset: two that differ in the learning rate, and one network of another kind."""
    os.utime(write_model("slow").folder / CARD, (3e9, 3e9))
    os.utime(write_model("fast", TINY.replace(learning_rate=0.1)).folder / CARD, (2e9, 2e9))
    deep = TrainConfig(network="resnet18", image_size=32)
    os.utime(write_model("deep", deep, validation=measures(0.99, (0.95, 1.0))).folder / CARD, (1e9, 1e9))


@pytest.fixture
def exported(home, tmp_path):
    """A real model as a zip."""
    from xrai.networks.build import build_network

    checkpoint = write_model("there")
    checkpoint.save_network(build_network(TINY, 2))
    models.export_model(checkpoint, tmp_path / "there.zip")
    models.delete(checkpoint)
    return (tmp_path / "there.zip").read_bytes()


class TestTable:
    def test_without_models_says_what_to_do_next_and_offers_to_import(self, home):
        app = opened()
        assert "There is no model yet" in texts(app)
        assert labels(app.file_uploader)
        assert not app.dataframe

    def test_shows_every_run_with_its_figures_as_numbers(self, three):
        found = table(opened())
        assert found["Name"].tolist() == ["slow", "fast", "deep"]
        assert found["AUC"].tolist() == [0.8, 0.8, 0.99]
        assert found["AUC, 95 %"].tolist() == ["0.700 to 0.900", "0.700 to 0.900", "0.950 to 1.000"]
        assert found["Accuracy"].tolist() == [0.75] * 3
        assert found["Accuracy, 95 %"].tolist()[0] == "60 % to 90 %"
        assert found["Network"].tolist() == ["Plain convnet", "Plain convnet", "ResNet-18"]
        assert found["Classes"].tolist()[0] == "Normal, Pneumonia"
        assert found["Dataset"].tolist()[0] == "practice"
        assert found["Time"].tolist()[0] == 12_000
        assert found["Size"].tolist()[0] == 1
        assert [list(item) for item in found["Status"]] == [["Done"]] * 3

    def test_has_a_column_for_each_setting_that_differs_and_no_other(self, three):
        found = table(opened())
        assert found["Learning rate"].tolist() == [0.001, 0.1, 0.001]
        assert "Optimizer" not in found
        assert "Seed" not in found

    def test_what_only_the_plain_convnet_has_is_blank_for_others(self, three):
        write_model("wide", TINY.replace(filters=8))
        found = table(opened()).set_index("Name")["Filters in the first block"]
        assert found["wide"] == 8
        assert found.isna()["deep"]

    def test_marks_the_default(self, three):
        models.set_default(open_checkpoint("fast"))
        assert table(opened())["Default"].tolist() == ["", "★", ""]

    def test_a_run_without_a_model_yet_is_listed_too(self, home):
        write_run("a", status="failed")
        write_run("b", status="running")  # and no process holds its lock
        found = table(opened()).set_index("Name")
        assert list(found["Status"]["a"]) == ["Failed"]
        assert list(found["Status"]["b"]) == ["Interrupted"]
        assert found["Epochs run"].tolist() == [2, 2]
        assert found["Time"].tolist() == [100, 100]
        assert found["Size"].isna().all()

    def test_a_run_that_goes_on_is_said_to(self, home):
        write_run("a", status="starting")
        app = opened()
        assert "“a” is being trained now" in texts(app)
        assert list(table(app)["Status"][0]) == ["Starting"]

    def test_a_broken_folder_is_one_sentence_and_the_others_stay(self, three):
        (checkpoints_dir() / "fast" / CARD).write_text("{}")
        app = opened(["fast"])
        assert len(app.warning) == 1
        assert "card.json" in app.warning[0].value
        found = table(app).set_index("Name")
        assert list(found["Status"]["fast"]) == ["Damaged"]
        assert found["AUC"]["slow"] == 0.8
        assert "Make it the default model" not in labels(app.button)
        assert "Delete" in labels(app.button)

    def test_a_dataset_can_be_chosen_and_comparing_across_is_warned_of(self, three):
        write_run("covid", dataset="data/covid.hdf5")
        app = opened()
        assert "cannot be compared" in texts(app)
        labelled(app.selectbox, "Trained on").select("covid").run()
        assert not app.exception
        assert table(app)["Name"].tolist() == ["covid"]
        assert "cannot be compared" not in texts(app)

    def test_one_dataset_needs_no_filter_and_few_runs_no_search(self, three):
        app = opened()
        assert not app.selectbox
        assert labels(app.text_input) == ["Name"]  # of the model to import

    def test_many_runs_can_be_searched(self, home):
        for number in range(9):
            write_run(f"run-{number}")
        app = opened(["run-1"])
        labelled(app.text_input, "Name contains").input("RUN-7").run()
        assert table(app)["Name"].tolist() == ["run-7"]
        assert app.multiselect(key="models_chosen").value == ["run-1"]
        labelled(app.text_input, "Name contains").input("no such").run()
        assert not app.exception
        assert "No model fits" in texts(app)

    def test_the_table_and_the_chosen_ones_are_in_step(self, three):
        app = opened(["deep", "slow"])
        assert sorted(app.session_state["models_table"]["selection"]["rows"]) == [0, 2]

    def test_hostile_names_and_notes_are_shown_as_they_are(self, home):
        write_run("![x](http:\uff0f\uff0fe.org)<b>")
        models.set_note(write_run("plain"), "=1+1 ![x](http://e.org/x.png)")
        app = opened(["![x](http:\uff0f\uff0fe.org)<b>"])
        assert app.subheader[0].value.startswith(r"\!\[x\]\(http\:")
        assert table(app).set_index("Name")["Note"]["plain"].startswith("'=1+1")
        for name in ("![x](http:\uff0f\uff0fe.org)<b>", "plain"):
            assert name in table(app)["Name"].tolist()
        app.multiselect(key="models_chosen").set_value(["![x](http:\uff0f\uff0fe.org)<b>", "plain"]).run()
        assert not app.exception
        assert charts(app)[0]["data"][0]["name"].endswith("&lt;b&gt;")

    @pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
    def test_a_name_that_is_no_text_breaks_nothing(self, home):
        write_run(os.fsdecode(b"a\xff"))
        assert table(opened())["Name"].tolist() == ["a\\udcff"]

    def test_a_history_that_is_rubbish_breaks_nothing(self, three):
        (checkpoints_dir() / "slow" / HISTORY_FILE).write_text('{"kind": "epoch", "val": 3}\n[]\n{"kind": 1}\n')
        app = opened(["slow", "fast"])
        assert "No learning curves for slow" in texts(app)


class TestOne:
    def test_shows_its_figures_and_what_can_be_done(self, three):
        app = opened(["fast"])
        assert {item.label: item.value for item in app.metric} == {
            "Validation AUC": "0.800",
            "Validation accuracy": "75.0 %",
            "Epochs run": "2",
            "Size": "1.0 MB",
        }
        said = texts(app)
        assert "95 % interval 0.700 to 0.900" in said
        assert "Distinguishes Normal and Pneumonia" in said
        assert "40 validation scans" in said
        assert {"Make it the default model", "Evaluate it", "See its training", "Delete", "Rename"} <= set(
            labels(app.button)
        )

    def test_a_note_is_kept_and_shown_in_the_table(self, three):
        app = opened(["slow"])
        labelled(app.text_area, "Note").input("for the *night* shift")
        labelled(app.button, "Save the note").click().run()
        assert not app.exception
        assert models.read_note(open_checkpoint("slow")) == "for the *night* shift"
        assert table(app)["Note"].tolist()[0] == "for the *night* shift"
        assert labelled(app.text_area, "Note").value == "for the *night* shift"
        assert len(app.success) == 1

    def test_rename_keeps_it_chosen(self, three):
        app = opened(["slow"])
        labelled(app.text_input, "Name").input("  night shift ")
        labelled(app.button, "Rename").click().run()
        assert not app.exception
        assert "night shift" in table(app)["Name"].tolist()
        assert app.multiselect(key="models_chosen").value == ["night shift"]
        assert "“night shift”" in app.success[0].value

    @pytest.mark.parametrize(("name", "words"), [("fast", "already taken"), ("../up", "cannot be a model's name")])
    def test_a_name_that_cannot_be_is_one_sentence(self, three, name, words):
        app = opened(["slow"])
        labelled(app.text_input, "Name").input(name)
        labelled(app.button, "Rename").click().run()
        assert not app.exception
        assert words in app.error[0].value
        assert open_checkpoint("slow").folder.is_dir()

    def test_it_can_be_made_the_default_and_diagnose_opens_on_it_and_says_so(self, three):
        app = opened(["fast"])
        labelled(app.button, "Make it the default model").click().run()
        assert not app.exception
        assert models.default_model().name == "fast"
        assert app.title[0].value == "Diagnose"
        assert labelled(app.selectbox, "Model").value == "fast"
        assert app.success[0].value == "The default model is now “fast”."
        app.switch_page(MODELS).run()
        assert not app.success
        assert "Make it the default model" not in labels(app.button)
        assert "Default model" in texts(app)

    def test_a_disk_error_is_one_sentence(self, three, monkeypatch):
        def broken(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(models, "set_default", broken)
        app = opened(["fast"])
        labelled(app.button, "Make it the default model").click().run()
        assert not app.exception
        assert "No space left on device" in app.error[0].value

    def test_its_training_opens_on_it(self, three):
        app = opened(["fast"])
        labelled(app.button, "See its training").click().run()
        assert not app.exception
        assert app.title[0].value == "Train"
        assert app.session_state["train_shown"] == "fast"

    def test_the_evaluation_opens_on_it(self, three):
        app = opened(["fast"])
        labelled(app.button, "Evaluate it").click().run()
        assert app.title[0].value == "Evaluate"
        assert app.session_state["evaluate_model"] == "fast"

    def test_the_default_leads_to_reading_scans(self, three):
        models.set_default(open_checkpoint("fast"))
        app = opened(["fast"])
        app.switch_page("pages/clinic/diagnose/page.py").run()
        labelled(app.selectbox, "Model").select("slow").run()
        app.switch_page(MODELS).run()
        labelled(app.button, "Read scans with it").click().run()
        assert app.title[0].value == "Diagnose"
        assert labelled(app.selectbox, "Model").value == "fast"

    def test_delete_asks_first_and_then_deletes(self, three):
        app = opened(["slow"])
        labelled(app.button, "Delete").click().run()
        assert open_checkpoint("slow").folder.exists()
        labelled(app.button, "Delete it").click().run()
        assert not app.exception
        assert not open_checkpoint("slow").folder.exists()
        assert app.multiselect(key="models_chosen").value == []
        assert "“slow” is deleted" in app.success[0].value

    def test_it_can_be_kept_after_all(self, three):
        app = opened(["slow"])
        labelled(app.button, "Delete").click().run()
        labelled(app.button, "Keep it").click().run()
        assert open_checkpoint("slow").folder.exists()
        assert app.multiselect(key="models_chosen").value == ["slow"]

    def test_one_that_is_gone_meanwhile_is_one_sentence(self, three):
        app = opened(["slow"])
        labelled(app.button, "Delete").click().run()
        models.delete(open_checkpoint("slow"))
        labelled(app.button, "Delete it").click().run()
        assert not app.exception
        assert "There is no model or run “slow” any more" in app.error[0].value

    def test_a_run_that_goes_on_is_left_alone_but_can_be_watched_and_noted(self, home):
        write_run("a", status="starting")
        app = opened(["a"])
        assert not {"Rename", "Delete"} & set(labels(app.button))
        assert {"Watch its training", "Save the note"} <= set(labels(app.button))
        assert not app.get("download_button")

    def test_only_a_whole_model_can_be_exported(self, three):
        write_run("run")
        assert not opened(["run"]).get("download_button")
        assert labels(opened(["slow"]).get("download_button")) == ["Export as zip"]


class TestSeveral:
    def test_two_have_three_charts_of_curves_and_one_of_intervals(self, three):
        app = opened(["slow", "fast"])
        assert titles(app)[:4] == [
            "Validation AUC",
            "Validation accuracy",
            "Validation loss",
            "Best validation AUC, 95 % interval",
        ]
        assert [item["name"] for item in charts(app)[0]["data"]] == ["slow", "fast"]
        labelled(app.toggle, "Also the training curves").set_value(True).run()
        assert len(charts(app)[0]["data"]) == 4

    def test_only_what_differs_is_shown_at_first_and_then_stands_out(self, three):
        app = opened(["slow", "fast"])
        assert side_by_side(app).index.tolist() == ["Learning rate"]
        assert side_by_side(app).loc["Learning rate"].tolist() == ["0.001", "0.1"]
        labelled(app.toggle, "Only differences").set_value(False).run()
        assert not app.exception
        assert side_by_side(app).index.tolist()[:2] == ["Learning rate", "Dataset"]
        assert len(side_by_side(app)) > 25
        styled = app.dataframe[2].proto.arrow_data.styler.styles
        assert "#" in styled
        assert "font-weight" in styled

    def test_the_same_settings_are_said_to_be(self, home):
        write_model("a")
        write_model("b")
        app = opened(["a", "b"])
        assert "have the same settings" in texts(app)

    def test_figures_stand_side_by_side(self, three):
        found = opened(["slow", "deep"]).dataframe[1].value
        assert found.columns.tolist() == ["slow", "deep"]
        assert found.loc["Validation AUC"].tolist() == ["0.800 (0.700 to 0.900)", "0.990 (0.950 to 1.000)"]
        assert found.loc["Time"].tolist() == ["3 h 20 min"] * 2

    def test_overlapping_intervals_may_be_chance(self, three):
        write_model("better", validation=measures(0.85, (0.75, 0.95)))
        said = texts(opened(["slow", "better"]))
        assert "“better” has the highest validation AUC, 0.850 (0.750 to 0.950)" in said
        assert "The intervals overlap: chance alone could explain the difference" in said

    def test_equal_figures_have_no_winner(self, three):
        assert "“slow” and “fast” have the same highest validation AUC, 0.800" in texts(opened(["slow", "fast"]))

    def test_an_interval_above_all_others_is_hardly_chance(self, three):
        assert "chance alone hardly explains the difference" in texts(opened(["slow", "fast", "deep"]))

    def test_some_intervals_may_overlap(self, three):
        write_model("near", validation=measures(0.95, (0.9, 0.98)))
        said = texts(opened(["slow", "near", "deep"]))
        assert "Its interval overlaps with that of “near”" in said

    def test_different_validation_scans_are_not_compared(self, three):
        write_model("other", validation=measures(0.99, (0.98, 1.0), n=41))
        said = texts(opened(["slow", "other"]))
        assert "measured on different validation scans" in said
        assert "highest" not in said

    def test_nothing_measured_is_nothing_to_compare(self, home):
        for name in ("a", "b"):
            write_run(name, validation=measures(None, None))
        app = opened(["a", "b"])
        assert "nothing to compare yet" in texts(app)
        assert "–" in app.dataframe[1].value.loc["Validation AUC"].tolist()

    def test_more_than_eight_are_cut_and_it_says_so(self, home):
        names = [f"run-{number}" for number in range(10)]
        for name in names:
            write_run(name)
        app = opened(names)
        assert "The first 8 of the 10" in texts(app)
        assert len(charts(app)[0]["data"]) == 8


class TestWhatSettingsLedTo:
    def axes(self, app):
        return [item["label"].replace("<br>", " ") for item in charts(app)[-1]["data"][0]["dimensions"]]

    def test_settings_that_differ_lead_to_the_auc(self, home):
        write_model("a")
        write_model("b", TINY.replace(learning_rate=0.1))
        assert self.axes(opened()) == ["Run", "Learning rate", "Validation AUC"]

    def test_which_of_many_settings_can_be_chosen(self, home):
        write_model("a")
        changed = TINY.replace(learning_rate=0.1, epochs=20, batch_size=8, optimizer="sgd", seed=3)
        write_model("b", changed)
        write_model("c", changed.replace(learning_rate=0.2, batch_size=4, seed=4))
        app = opened()
        assert self.axes(app) == ["Run", "Epochs", "Batch size", "Learning rate", "Validation AUC"]  # no seed
        labelled(app.multiselect, "Settings to draw").set_value(["optimizer"]).run()
        assert self.axes(app) == ["Run", "Optimizer", "Validation AUC"]
        labelled(app.multiselect, "Settings to draw").set_value([]).run()
        assert not app.exception

    def test_a_run_that_goes_on_is_not_drawn_yet(self, home):
        write_model("a")
        write_run("b", TINY.replace(learning_rate=0.1), status="starting")
        assert "Two runs with a validation AUC" in texts(opened())

    def test_too_few_runs_or_no_difference_is_said(self, home):
        write_model("a")
        assert "Two runs with a validation AUC" in texts(opened())
        write_model("b")
        assert "nothing to compare" in texts(opened())


class TestImport:
    def upload(self, content, name=""):
        app = opened()
        app.file_uploader[0].upload("there.zip", content, "application/zip")
        labelled(app.text_input, "Name").input(name)
        labelled(app.button, "Import it").click().run()
        assert not app.exception
        return app

    def test_a_model_is_taken_in_and_chosen(self, exported):
        app = self.upload(exported)
        assert app.multiselect(key="models_chosen").value == ["there"]
        assert "“there” is imported" in app.success[0].value
        assert app.file_uploader[0].value is None
        assert open_checkpoint("there").is_model

    def test_it_can_have_another_name(self, exported):
        assert self.upload(exported, " night ").multiselect(key="models_chosen").value == ["night"]

    def test_a_name_that_is_taken_is_one_sentence(self, exported):
        write_model("night")
        app = self.upload(exported, "night")
        assert "already taken" in app.error[0].value

    def test_a_file_that_is_no_model_is_one_sentence_and_leaves_nothing(self, home):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("x.txt", "hello")
        for content in (b"no zip", out.getvalue()):
            app = self.upload(content)
            assert len(app.error) == 1
            assert "there.zip" in app.error[0].value
            assert not list(checkpoints_dir().iterdir())

    def test_no_file_is_asked_for(self, home):
        app = opened()
        labelled(app.button, "Import it").click().run()
        assert "Choose a zip first" in app.warning[0].value
