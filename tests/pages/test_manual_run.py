"""Chapter 5 of the manual through Streamlit's own test runner: the reader's run, read to them."""

import json

import numpy as np
import pytest

from pages.learn.manual.chapters import own_run
from pages.shared.language import CHOICE_KEY
from tests import apps
from tests.apps import texts
from tests.languages import find_untranslated, visible_texts
from xrai.core import jobs
from xrai.core.json_files import write_json
from xrai.data.dataset import open_dataset
from xrai.models.artifacts import Artifacts, ValidationOutputs, save_artifacts
from xrai.models.card import Card
from xrai.models.checkpoint import CONFIG, WEIGHTS, open_checkpoint
from xrai.models.history import StepRecord
from xrai.scans.preprocessing import Preprocessing
from xrai.training.config import TrainConfig
from xrai.training.diagnostics import make_textbook_run

TINY = TrainConfig(
    network="convnet", blocks=2, filters=2, dense_units=2, image_size=32, epochs=30, augment_strength=0.0
)
COUNTS = {"NORMAL": {"train": 100, "val": 40, "test": 0}, "PNEUMONIA": {"train": 300, "val": 120, "test": 0}}


def opened(**state):
    return apps.opened("pages/learn/manual/page.py", manual_chapter="run", **state)


def charts(app):
    """The charts of the page by their titles; of those with the same, the first."""
    drawn = [json.loads(item.proto.spec) for item in app.get("plotly_chart")]
    return {chart["layout"]["title"]["text"]: chart for chart in reversed(drawn)}


def pointed_at(chart):
    return [note["text"] for note in chart["layout"].get("annotations", [])]


def write_run(name, records, config=TINY):
    return apps.write_run(name, records, config)


def write_model(name, records=(), *, classes=("NORMAL", "PNEUMONIA"), called=None, truth=None):
    """A model without a network; its answers to validation are kept where they are given."""
    checkpoint = write_run(name, records)
    two = len(classes) == 2
    measured = {"n": 800, "loss": 0.3, "accuracy": 0.9, "accuracy_interval": [0.88, 0.92], "auc": None}
    checkpoint.write_card(
        Card(
            name=name,
            created="2026-01-01T00:00:00+00:00",
            classes=classes,
            network=TINY.network_config,
            preprocessing=Preprocessing(64, 32, 0.5, 0.25),
            dataset={"name": "practice", "counts": COUNTS},
            threshold={"class_name": classes[1], "value": 0.5, "description": "so"} if two else None,
            training={"settings": TINY.to_dict()},
            validation=measured | {"auc_interval": None},
            heatmap_scale={"CAM": dict.fromkeys(classes, 1.0)},
            versions={},
        )
    )
    (checkpoint.folder / WEIGHTS).write_bytes(b"weights")
    if called is not None:
        n = len(called)
        logits = 8 * np.eye(len(classes), dtype=np.float32)[np.array(called)]
        kept = ValidationOutputs(logits, np.zeros((0, *logits.shape), np.float32), np.array(truth), np.arange(n))
        save_artifacts(checkpoint, Artifacts(validation=kept), checkpoint.weights_sha256())
    return checkpoint


def test_without_a_run_it_leads_to_what_comes_first(home, practice):
    app = opened()
    assert "There is no run yet" in texts(app)
    assert any("dataset" in link.proto.page for link in app.get("page_link"))
    assert "Overfitting from epoch" in texts(app)  # the textbook is there all the same
    (home / "data").mkdir(exist_ok=True)
    (home / "data" / "practice.hdf5").write_bytes(practice.read_bytes())
    assert any("train" in link.proto.page for link in app.run().get("page_link"))


def test_a_run_is_read_and_pointed_at_with_the_gravest_first(home):
    write_run("mine", make_textbook_run("overfits"))
    app = opened()
    said = texts(app)
    assert "From about epoch" in said
    assert said.index("Overfitting from epoch") < said.index("Epoch 10 is kept")
    assert any("Overfitting" in words for words in pointed_at(charts(app)["Loss"]))
    assert "Augmentation strength: 1 instead of 0" in said


def test_steps_within_epochs_do_not_hide_the_lines(home):
    step = StepRecord(progress=0.5, epoch=1, loss=9.0, accuracy=0.1, images_per_second=10.0, seconds_left=1.0)
    records = make_textbook_run("well")
    write_run("mine", [records[0], step, *records[1:]])
    live = next(trace for trace in charts(opened())["Loss"]["data"] if trace["name"] == "Training, live")
    assert not len(live.get("x", []))


def test_the_reader_chooses_among_runs(home):
    write_run("heart", make_textbook_run("overfits"))
    write_run("good", make_textbook_run("well"))
    app = opened(manual_textbook="rate-too-high")
    app.selectbox(key="manual_run").set_value("good").run()
    assert "it learns what holds for new scans too" in texts(app)
    assert "overfitting" not in texts(app).partition("What these curves show")[2]
    app.selectbox(key="manual_run").set_value("heart").run()
    assert "From about epoch" in texts(app)


def test_a_run_that_is_gone_is_forgotten(home):
    write_run("good", make_textbook_run("well"))
    assert opened(manual_run="deleted").selectbox(key="manual_run").value == "good"


def test_what_follows_is_set_on_train(home, practice):
    (home / "data").mkdir(exist_ok=True)
    (home / "data" / "practice.hdf5").write_bytes(practice.read_bytes())
    write_run("mine", make_textbook_run("overfits"))
    app = opened()
    app.button(key="manual_overfitting_mine").click().run()
    assert not app.exception
    assert app.session_state["train_settings"]["augment_strength"] == 1.0
    assert app.session_state["train_settings"]["filters"] == 2
    assert app.session_state["train_dataset"].endswith("practice.hdf5")
    assert "Settings of “mine”, changed: augmentation strength 1" in texts(app)
    app.button(key="train_forget").click().run()
    assert "changed:" not in texts(app)


def test_a_run_that_goes_on_is_read_as_it_grows(home, monkeypatch):
    write_run("now", make_textbook_run("well")[:8])
    write_json(open_checkpoint("now").folder / jobs.JOB_FILE, {"status": "running", "title": "now"})
    monkeypatch.setattr(jobs.Job, "status", property(lambda job: "running"))
    app = opened()
    assert "what is said here may still change" in texts(app)
    assert "is kept" not in texts(app).partition("Compare")[0]


@pytest.mark.parametrize(("n", "said"), [(1, "nothing to read"), (2, "single point"), (3, "too few to tell")])
def test_a_run_of_few_epochs_is_too_early_to_read(home, n, said):
    write_run("new", make_textbook_run("well")[:n])
    assert said in texts(opened())


def test_damaged_settings_and_a_model_without_a_history_are_no_error(home):
    (write_run("odd", make_textbook_run("overfits")).folder / CONFIG).write_text("{", encoding="utf-8")
    write_model("bare", called=[0, 1, 1], truth=[0, 1, 0])
    app = opened(manual_run="odd")
    assert "From about epoch" in texts(app)
    app.selectbox(key="manual_run").set_value("bare").run()
    assert not app.exception
    assert "without the record of its training" in texts(app)
    assert "Its errors, counted" in texts(app)


def test_the_matrix_is_told_in_words_with_the_real_counts_and_intervals(home):
    write_model("m", called=[0] * 47 + [1] * 3 + [0] * 1 + [1] * 24, truth=[0] * 50 + [1] * 25)
    said = texts(opened())
    assert "Of 100 Pneumonia scans, **4** were missed." in said
    assert "Counted: 1 of 25, 95 % interval" in said
    assert "Of 100 Normal scans, **6** raised a false alarm." in said
    assert "Counted: 3 of 50, 95 % interval" in said
    assert said.index("missed") < said.index("false alarm")


def test_a_share_that_is_not_zero_is_not_called_zero(home):
    write_model("m", called=[1] + [0] * 299 + [1] * 10, truth=[0] * 300 + [1] * 10)
    said = texts(opened())
    assert "**fewer than 1** raised a false alarm" in said
    assert "**0** were missed" in said


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (0, "**0** were missed"),
        (1, "**fewer than 1** was missed"),
        (2, "**1** was missed"),
        (4, "**2** were missed"),
        (199, "**more than 99** were missed"),
        (200, "**100** were missed"),
    ],
)
def test_all_is_said_of_all_only_and_one_is_said_as_one(home, wrong, said):
    write_model("m", called=[0] * wrong + [1] * (200 - wrong) + [0] * 9, truth=[1] * 200 + [0] * 9)
    assert said in texts(opened())


def test_of_two_diseases_neither_is_missed_nor_a_false_alarm(home):
    write_model("m", classes=("BACTERIA", "VIRUS"), called=[0, 0, 1, 1], truth=[0, 1, 1, 0])
    said = texts(opened())
    assert "Of 100 Bacteria scans, **50** were called something else." in said
    assert "missed" not in said
    assert "false alarm" not in said


def test_answers_that_were_kept_later_are_seen(home):
    """As after “Ready” for a model of an older version: its card and its weights stay as they are."""
    checkpoint = write_model("m")
    app = opened()
    assert "was not kept" in texts(app)
    kept = ValidationOutputs(np.eye(2, dtype=np.float32), np.zeros((0, 2, 2), np.float32), np.arange(2), np.arange(2))
    save_artifacts(checkpoint, Artifacts(validation=kept), checkpoint.weights_sha256())
    app.run()
    assert "Counted: 0 of 1" in texts(app)


def test_a_damaged_epoch_does_not_keep_the_others_from_being_drawn(home):
    records = [record.to_dict() for record in make_textbook_run("overfits")]
    del records[3]["val"]["auc_interval"]
    records[4]["val"] = None
    write_run("mine", [*records[:5], {"kind": "step", "epoch": 5}, *records[5:]])
    app = opened()
    assert len(charts(app)["AUC"]["data"][1]["x"]) == 29
    assert "Overfitting from epoch" in texts(app)


def test_the_counts_of_a_run_that_goes_on_are_read_once(home, practice, monkeypatch):
    (home / "data").mkdir(exist_ok=True)
    (home / "data" / "practice.hdf5").write_bytes(practice.read_bytes())
    write_run("mine", make_textbook_run("well"))
    read = []
    monkeypatch.setattr(own_run, "open_dataset", lambda path: read.append(path) or open_dataset(path))
    app = opened()
    app.run()
    assert read == [str(home / "data" / "practice.hdf5")]


def test_of_more_than_two_classes_it_says_what_they_were_taken_for(home):
    write_model("m", classes=("A", "B", "C"), called=[0, 0, 1, 1, 2, 1], truth=[0, 0, 0, 1, 2, 2])
    said = texts(opened())
    assert "Of 100 C scans, **50** were called something else." in said
    assert "Most of them as B." in said


def test_a_model_that_calls_everything_the_same_is_told_so(home):
    write_model("m", called=[1] * 9, truth=[0] * 4 + [1] * 5)
    assert "It called every one of them Pneumonia" in texts(opened())


def test_where_no_answers_are_kept_it_leads_to_evaluate(home):
    write_model("m", make_textbook_run("well"))
    app = opened()
    assert "was not kept" in texts(app)
    assert app.button(key="manual_evaluate_m")


def test_class_shares_are_compared_with_accuracy(home):
    write_model("m", make_textbook_run("well"))
    app = opened()
    assert "Always calling “Pneumonia” would be right in 75 %" in texts(app)
    assert "Always calling “Pneumonia”: 75 %" in [
        words.replace("<br>", " ") for words in pointed_at(charts(app)["Accuracy"])
    ]


def test_textbook_runs_are_labelled_as_made_up_and_read_by_the_same_rules(home):
    app = opened()
    assert "no network learned these" in texts(app)
    app.segmented_control(key="manual_textbook").set_value("rate-too-high").run()
    assert "guessing without a look at the scans" in texts(app)
    app.segmented_control(key="manual_textbook").set_value("underfits").run()
    assert "it has not learned all that it could" in texts(app)


def test_in_french_nothing_is_left_in_english(home):
    write_model("m", make_textbook_run("overfits"), called=[0] * 4 + [1] * 2, truth=[0] * 3 + [1] * 3)
    app = opened(**{CHOICE_KEY: "fr"})
    said = texts(app)
    assert find_untranslated(visible_texts(app)) == []
    assert "À partir de l'époque" in said
    assert "Sur 100 clichés « Pneumonie »" in said.replace("\u202f", " ")
    assert any("Surapprentissage" in words for words in pointed_at(charts(app)["Perte"]))
