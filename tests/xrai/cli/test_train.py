import json
import shutil
import subprocess
import sys

import pytest

from tests.xrai.cli.support import LITTLE, TINY, TINY_SHAPE, assert_one_sentence, no_space
from xrai.calibration import ThresholdGoal
from xrai.core import jobs
from xrai.core.json_files import read_records
from xrai.core.paths import PROJECT_DIR
from xrai.models.artifacts import ARTIFACTS_FILE, load_artifacts
from xrai.models.checkpoint import CARD, CONFIG, HISTORY_FILE, STATE, WEIGHTS, open_checkpoint


def test_train(call, home, practice):
    printed = call("train", practice, "--name", "Mein Modell", *TINY, "--hflip", "yes", "--json")
    assert printed.status == 0, printed.err
    result = json.loads(printed.out)
    assert result["model"] == "Mein Modell"
    assert result["classes"] == ["CLEAR", "OPACITY"]
    assert result["ended"] == "finished"
    assert 0 <= result["validation"]["accuracy"] <= 1
    assert "epoch 1: loss" in printed.err
    assert "done after 1 epoch, the best one was 1: checkpoints/Mein Modell" in printed.err
    checkpoint = open_checkpoint("Mein Modell")
    assert sorted(item.name for item in checkpoint.folder.iterdir() if item.suffix != ".lock") == sorted(
        [CARD, CONFIG, HISTORY_FILE, ARTIFACTS_FILE, WEIGHTS, STATE, jobs.JOB_FILE]
    )
    assert checkpoint.read_config()["train"]["hflip"] is True
    assert jobs.Job(checkpoint.folder).status == "done"
    kinds = [item["kind"] for item in read_records(checkpoint.folder / HISTORY_FILE)]
    assert list(dict.fromkeys(kinds)) == ["start", "step", "epoch", "finalize", "end"]


def test_train_finds_a_dataset_by_its_name(call, home, practice):
    (home / "data").mkdir()
    shutil.copy(practice, home / "data" / "chest.hdf5")
    for number, given in enumerate(("chest", "chest.hdf5", "data/chest.hdf5")):
        assert call("train", given, "--name", f"m{number}", *TINY).status == 0
        assert open_checkpoint(f"m{number}").read_config()["dataset"] == "data/chest.hdf5"


def test_what_another_network_has_no_use_for_is_not_taken_over(call, home, practice):
    """Members of a starting model once gave a sentence on a setting that nobody had made."""
    two = ["--network", "resnet18_half", "--ensemble-size", 2, "--image-size", 32, "--epochs", 1, "--batch-size", 16]
    assert call("train", practice, "--name", "two", *two).status == 0
    printed = call("train", practice, "--name", "d", "--weights", "two", "--network", "densenet121", "--epochs", 1)
    assert_one_sentence(printed, "layers of another kind or size")


def test_a_run_takes_over_the_network_of_the_model_it_starts_from(call, model, practice):
    usual = ["--weights", "m", "--epochs", 1, "--batch-size", 16]
    assert call("train", practice, "--name", "a", *usual).status == 0
    assert open_checkpoint("a").read_card().network.shape == TINY_SHAPE
    assert (
        call("train", practice, "--name", "b", *usual, "--image-size", 64).status == 1
    )  # its dense layer does not fit
    assert open_checkpoint("b").read_config()["train"]["image_size"] == 64
    assert_one_sentence(call("train", practice, "--name", "c", "--weights", "gone", "--json"), "no model “gone”")
    assert not open_checkpoint("c").folder.exists()


def test_train_warns_where_the_memory_will_not_do(call, home, practice, monkeypatch):
    assert "of memory" not in call("train", practice, "--name", "a", *TINY).err
    monkeypatch.setattr("xrai.training.memory.read_machine_memory", lambda: LITTLE)
    printed = call("train", practice, "--name", "b", *TINY, "--json")
    assert printed.status == 0
    assert json.loads(printed.out)["ended"] == "finished"
    line, guess = [line for line in printed.err.splitlines() if line.startswith("warning: ")]
    assert "batches of 16 at 32 pixels" in line
    assert "choose a smaller batch size" in line
    assert "no better than guessing" in guess  # one epoch of a tiny network


def test_a_batch_larger_than_the_training_split_is_said(call, home, practice):
    printed = call("train", practice, "--name", "big", *TINY, "--batch-size", "1000")
    assert printed.status == 0
    assert "is larger than the" in printed.err


def test_name_already_used(call, model, practice):
    before = {item.name: item.read_bytes() for item in model.iterdir() if item.is_file()}
    assert_one_sentence(call("train", practice, "--name", "m", *TINY, "--json"), "already", "--resume")
    assert {item.name: item.read_bytes() for item in model.iterdir() if item.is_file()} == before


def test_name_of_a_run_that_left_nothing_is_free(call, home, practice, monkeypatch):
    """ImageNet weights cannot be had: the same name with --weights scratch must do."""
    from urllib.error import URLError

    def offline(*arguments, **named):
        raise URLError("no route to host")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", offline)
    wanted = ["train", practice, "--name", "m", "--network", "mobilenet_v3_small", "--image-size", 32, "--epochs", 1]
    assert_one_sentence(call(*wanted, "--weights", "imagenet", "--json"), "no internet", "scratch")
    assert jobs.Job(home / "checkpoints" / "m").status == "failed"
    assert call(*wanted, "--weights", "scratch").status == 0
    assert open_checkpoint("m").read_card().training.settings["weights"] == "scratch"
    assert jobs.Job(home / "checkpoints" / "m").error == ""


def test_a_run_killed_while_it_saved_keeps_its_name(call, home, practice):
    state = home / "checkpoints" / "m" / "state.old"
    state.mkdir(parents=True)
    (state / "values.json").write_text("{}")
    assert_one_sentence(call("train", practice, "--name", "m", *TINY, "--json"), "already", "--resume")


def test_a_training_is_known_to_run_before_the_slow_imports(home, practice):
    code = (
        "import sys; from xrai.core import jobs; real = jobs.run_job; "
        "jobs.run_job = lambda *a, **k: (print('torch' in sys.modules), real(*a, **k))[1]; "
        "from xrai import cli; cli.main(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "train", str(practice), "--name", "m", *TINY],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[0] == "False", done.stderr
    assert open_checkpoint("m").is_model


def test_a_run_that_goes_on_elsewhere_is_not_started_again(call, home, practice, monkeypatch):
    folder = home / "checkpoints" / "m"
    with jobs.run_job(folder, title="m"):
        printed = call("train", practice, "--name", "m", *TINY, "--json")
    assert_one_sentence(printed, "already running")
    assert not (folder / CONFIG).exists()


@pytest.mark.parametrize(
    ("flag", "value", "word"),
    [
        ("--epochs", 0, "“Epochs” is 0"),
        ("--learning-rate", "nan", "“Learning rate” is nan"),
        ("--devices", 3, "shared equally"),
        ("--image-size", 8, "“Image size” is 8"),
        ("--weights", "imagenet", "convnet"),
    ],
)
def test_settings_out_of_their_limits(call, home, practice, flag, value, word):
    assert_one_sentence(call("train", practice, "--name", "x", "--network", "convnet", flag, value, "--json"), word)
    assert not (home / "checkpoints" / "x").exists()


def test_disk_full_while_training(call, home, practice, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("xrai.training.persistence.save_file", no_space)
        assert_one_sentence(call("train", practice, "--name", "x", *TINY, "--json"), "disk is full", "resume")
    assert jobs.Job(home / "checkpoints" / "x").status == "failed"


def test_loss_that_is_no_number(call, home, practice, monkeypatch):
    monkeypatch.setattr("xrai.training.fit.learning_rate_at", lambda config, progress: float("inf"))
    assert_one_sentence(call("train", practice, "--name", "x", *TINY, "--json"), "is not finite", "a tenth")
    assert "is not finite" in jobs.Job(home / "checkpoints" / "x").error


def test_a_training_leaves_what_readings_need(call, model):
    card = open_checkpoint("m").read_card()
    assert card.calibration and card.abstention and card.threshold.goal == ThresholdGoal(kind="argmax")
    kit = load_artifacts(open_checkpoint("m"), card)
    assert kit.input_check and kit.neighbour_index and kit.validation
    assert card.dataset.audit is None  # nobody checked the dataset before
