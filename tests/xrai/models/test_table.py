"""The table of models."""

import json
import os
import subprocess
import sys

import pytest

from tests.xrai.models.model_folders import (
    EPOCH,
    LATER,
    MEASURED,
    START,
    STEP,
    TINY,
    be_active,
    make_model,
    make_run,
    refused,
    summary_of,
)
from xrai import models
from xrai.core.json_files import HISTORY_FILE, JOB_FILE, write_json
from xrai.core.paths import PROJECT_DIR
from xrai.models.checkpoint import CARD, CONFIG, WEIGHTS, open_checkpoint
from xrai.training.config import TrainConfig, differing_settings, read_train_config


class TestSummaries:
    def test_of_a_model(self, model):
        models.set_note(model, "mine")
        assert models.list_summaries() == [
            models.Summary(
                name="m",
                status="none",
                is_model=True,
                is_default=True,
                note="mine",
                dataset="data/d.hdf5",
                classes=("CLEAR", "OPACITY"),
                config=TINY.to_dict(),
                accuracy=0.8,
                accuracy_interval=(0.7, 0.9),
                auc=0.9,
                auc_interval=(0.8, 1.0),
                n_validation=9,
                epochs_run=2,
                seconds=12.5,
                size_bytes=(model.folder / WEIGHTS).stat().st_size,
                created="2026-11-21T09:00:00+00:00",
                problem="",
            )
        ]

    def test_of_a_run_that_is_no_model_yet(self, home):
        make_run("run", [START, STEP, EPOCH, LATER])
        assert models.list_summaries() == [
            models.Summary(
                name="run",
                status="none",
                is_model=False,
                is_default=False,
                note="",
                dataset="data/d.hdf5",
                classes=None,
                config=TINY.to_dict(),
                accuracy=0.8,
                accuracy_interval=(0.7, 0.9),
                auc=0.9,
                auc_interval=(0.8, 1.0),
                n_validation=9,
                epochs_run=2,
                seconds=9.0,
                size_bytes=None,
                created="2027-01-15T08:00:00+00:00",
                problem="",
            )
        ]

    def test_the_end_of_a_run_knows_how_long_it_took(self, home):
        make_run("run")
        assert summary_of("run").seconds == 12.0

    def test_of_a_run_that_is_just_starting(self, home):
        checkpoint = open_checkpoint("run")
        checkpoint.folder.mkdir()
        be_active(checkpoint)
        summary = summary_of("run")
        assert (summary.status, summary.config, summary.problem, summary.seconds) == ("starting", {}, "", None)

    def test_measures_that_are_not_defined(self, home):
        make_model("m", validation=MEASURED | {"auc": None, "auc_interval": None})
        assert (summary_of("m").auc, summary_of("m").auc_interval) == (None, None)

    def test_newest_first_and_one_default(self, model):
        for name in ("newer", "older"):
            at = 4e9 if name == "newer" else 1e9
            folder = make_model(name).folder
            for file in folder.iterdir():
                os.utime(file, (at, at))
        models.set_default(model)
        assert [(item.name, item.is_default) for item in models.list_summaries()] == [
            ("newer", False),
            ("m", True),
            ("older", False),
        ]

    @pytest.mark.parametrize("junk", [b"", b"{}", b"[1]", b"\xff", b"[[[["])
    @pytest.mark.parametrize("name", [CARD, CONFIG, HISTORY_FILE, JOB_FILE, models.NOTE, WEIGHTS])
    def test_a_broken_folder_breaks_nothing(self, model, name, junk):
        for checkpoint in (make_model("broken"), make_run("broken run")):
            (checkpoint.folder / name).write_bytes(junk)
        found = {item.name: item for item in models.list_summaries()}
        assert sorted(found) == ["broken", "broken run", "m"]
        assert found["m"].problem == ""
        assert bool(found["broken"].problem) == (name in (CARD, CONFIG))
        assert name not in (CARD, CONFIG) or name in found["broken"].problem
        assert found["broken"].accuracy == 0.8  # of the history, where there is no card
        assert found["broken run"].config == ({} if name == CONFIG else TINY.to_dict())

    @pytest.mark.parametrize("name", [CARD, CONFIG, HISTORY_FILE])
    def test_a_file_nested_without_end_breaks_nothing(self, model, name):
        (model.folder / name).write_bytes(b"[" * 10**5)
        assert name in summary_of("m").problem or name == HISTORY_FILE

    def test_a_card_with_numbers_beyond_counting(self, model):
        card = json.loads((model.folder / CARD).read_text())
        card["validation"]["accuracy"] = 10**400
        (model.folder / CARD).write_text(json.dumps(card))
        assert "card.json" in summary_of("m").problem

    def test_a_card_whose_version_is_beyond_counting(self, model):
        (model.folder / CARD).write_text('{"format": "xrai-model", "version": Infinity}')
        with refused("card.json"):
            model.read_card()

    def test_a_card_with_a_whole_number_beyond_all_floats(self, model):
        card = json.loads((model.folder / CARD).read_text())
        for name, value in (
            ("validation", MEASURED | {"auc": 10**400}),
            ("heatmap_scale", {"CAM": {"CLEAR": 10**400}}),
        ):
            (model.folder / CARD).write_text(json.dumps(card | {name: value}))
            with refused("card.json"):
                model.read_card()

    @pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "1" + "0" * 400, "1" + "0" * 5000])
    def test_a_config_with_numbers_beyond_counting(self, model, number):
        for name in TINY.to_dict():
            asked = {"dataset": "d", "train": TINY.to_dict() | {name: "?"}}
            (model.folder / CONFIG).write_text(json.dumps(asked).replace('"?"', number))
            with refused("config.json"):
                read_train_config(model)

    def test_a_moment_that_no_calendar_has(self, home):
        make_run("run", [START | {"time": 1e200}])
        assert summary_of("run").created is None

    def test_no_card_and_no_config(self, home):
        checkpoint = open_checkpoint("run")
        checkpoint.folder.mkdir()
        write_json(checkpoint.folder / JOB_FILE, {"status": "failed", "error": "x"})
        assert (summary_of("run").status, "config.json" in summary_of("run").problem) == ("failed", True)

    def test_needs_no_torch(self, model):
        code = "import sys; from xrai import models; models.list_summaries(); print('torch' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_DIR, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "False"


class TestDifferingSettings:
    def test_in_the_order_of_the_config(self):
        one = TrainConfig(epochs=3, network="convnet", seed=1)
        two = TrainConfig(epochs=4, network="resnet18", seed=1)
        assert differing_settings([one.to_dict(), two.to_dict(), one.to_dict()]) == ["network", "epochs"]

    def test_what_is_missing_has_its_default(self):
        assert differing_settings([{"epochs": TrainConfig().epochs}, {}]) == []
        assert differing_settings([{}, {"epochs": 99}]) == ["epochs"]

    def test_less_than_two(self):
        assert differing_settings([]) == differing_settings([{"epochs": 3}]) == []
