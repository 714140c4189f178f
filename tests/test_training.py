import errno
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file

from xrai import cli
from xrai.checkpoint import CARD, CONFIG, HISTORY, STATE, WEIGHTS, open_checkpoint
from xrai.config import TrainConfig
from xrai.dataset import BuildConfig, build_dataset, open_dataset
from xrai.errors import CheckpointError, SettingsError, TrainingError, WeightsError
from xrai.networks import build_network
from xrai.records import append_record, read_records, write_json
from xrai.settings import PROJECT, shown_path
from xrai.sources import open_source
from xrai.training import Outcome, run_epoch, train
from xrai.training.clock import Clock
from xrai.training.data import Batch, Feed, fit_preprocessing
from xrai.training.loop import Averaging, learning_rate_at, make_loss, make_optimizer
from xrai.training.state import load_state, optimizer_tensors, restore_optimizer, save_state

SMALL = {
    "network": "convnet", "blocks": 3, "filters": 4, "dense_units": 16, "image_size": 32, "batch_size": 16,
    "learning_rate": 3e-3, "precision": "32",
}  # fmt: skip
DEMANDING = SMALL | {"epochs": 3, "dropout": 0.3, "mixup": 0.2, "ema": 0.9, "flip": True}
N_BATCHES, N_VAL_BATCHES = 4, 1


def build_easy(folder, classes, n=40, side=64):
    """Noise, with a bright square whose place tells the class."""
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for number in range(n):
            pixels = np.random.default_rng([label, number]).integers(20, 90, (side, side), dtype=np.uint8)
            pixels[10:30, 20 * label : 20 * label + 15] += 120
            Image.fromarray(pixels).save(folder / name / f"patient{label}{number:03}_1.png")
    out = folder.with_suffix(".hdf5")
    with open_source(folder) as source:
        assert build_dataset(source, out, BuildConfig(size=side))
    return out


@pytest.fixture(scope="session")
def easy(tmp_path_factory):
    return build_easy(tmp_path_factory.mktemp("easy") / "easy", ("CLEAR", "OPACITY"))


@pytest.fixture(scope="session")
def three(tmp_path_factory):
    return build_easy(tmp_path_factory.mktemp("three") / "three", ("COVID", "Normal", "Viral"), n=25)


def changed_copy(dataset, out, change):
    shutil.copy(dataset, out)
    with h5py.File(out, "r+") as file:
        change(file)
    return out


def checkpoint_of(name, dataset, config):
    checkpoint = open_checkpoint(name)
    checkpoint.folder.mkdir(exist_ok=True)
    write_json(checkpoint.folder / CONFIG, {"dataset": shown_path(dataset), "train": config.to_dict()})
    return checkpoint


def run(dataset, name="m", *, resume=False, should_stop=lambda: False, **settings):
    """Train in this process with the history on disk; gives the card and the checkpoint."""
    config = TrainConfig(**SMALL | settings)
    checkpoint = checkpoint_of(name, dataset, config)

    def emit(record):
        json.dumps(record, allow_nan=False)
        append_record(checkpoint.folder / HISTORY, record)

    with open_dataset(dataset) as opened:
        card = train(config, opened, checkpoint, emit=emit, should_stop=should_stop, resume=resume)
    return card, checkpoint


def stop_after(n_questions):
    asked = iter(range(10**9))
    return lambda: next(asked) >= n_questions - 1


def epochs_of(checkpoint):
    """The records of the epochs without what depends on the clock."""
    records = read_records(checkpoint.folder / HISTORY)
    timed = ("time", "seconds")
    return [{k: v for k, v in item.items() if k not in timed} for item in records if item["kind"] == "epoch"]


def kinds_of(checkpoint):
    return [item["kind"] for item in read_records(checkpoint.folder / HISTORY) if item["kind"] != "step"]


def assert_same_run(one, other):
    assert epochs_of(one) == epochs_of(other)
    assert (one.folder / WEIGHTS).read_bytes() == (other.folder / WEIGHTS).read_bytes()
    states = [load_state(item.folder / STATE)[0] for item in (one, other)]
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
    cards = [item.card() for item in (one, other)]
    assert cards[0].validation == cards[1].validation
    assert cards[0].heatmap == cards[1].heatmap


@pytest.fixture
def whole(home, easy):
    """The run that others are compared with, from start to end without a break."""
    return run(easy, "whole", **DEMANDING)[1]


# --- learning ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [{"epochs": 6}, {"network": "resnet18", "epochs": 3, "learning_rate": 1e-3}],
    ids=["convnet", "resnet18"],
)
def test_networks_learn(home, easy, settings):
    card, checkpoint = run(easy, **settings, augment=0.3)
    epochs = epochs_of(checkpoint)
    assert epochs[-1]["train"]["loss"] < 0.6 * epochs[0]["train"]["loss"]
    assert card.validation["auc"] > 0.95
    assert card.validation["auc_interval"][0] <= card.validation["auc"] <= card.validation["auc_interval"][1]


def test_three_classes(home, three):
    card, _ = run(three, epochs=8, augment=0.0)
    assert card.classes == ("Normal", "COVID", "Viral")
    assert card.threshold is None
    assert set(card.heatmap["Grad-CAM"]) == set(card.classes)
    assert card.validation["accuracy"] > 0.6
    assert card.validation["auc"] > 0.8


@pytest.mark.parametrize("balance", ["none", "sampling", "loss"])
def test_balance(home, easy, balance):
    card, _ = run(easy, epochs=1, balance=balance)
    assert card.config.balance == balance
    assert math.isfinite(card.validation["loss"])


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_optimizers_and_schedules(home, easy, optimizer):
    schedule = {"adamw": "one-cycle", "adam": "cosine", "sgd": "constant"}[optimizer]
    card, checkpoint = run(easy, epochs=2, optimizer=optimizer, schedule=schedule)
    epochs = epochs_of(checkpoint)
    assert epochs[1]["train"]["loss"] < epochs[0]["train"]["loss"] + 0.1
    progress = (2 * N_BATCHES - 1) / (2 * N_BATCHES)
    assert epochs[1]["learning_rate"] == pytest.approx(learning_rate_at(card.config, progress))


def test_batch_larger_than_the_dataset(home, easy):
    card, checkpoint = run(easy, epochs=2, batch_size=512)
    assert read_records(checkpoint.folder / HISTORY)[0]["batches"] == 1
    assert card.training["epochs_run"] == 2


def test_same_seed_gives_the_same_run(home, easy, whole):
    _, again = run(easy, "again", **DEMANDING)
    assert_same_run(whole, again)


def test_another_seed_gives_another_run(home, easy, whole):
    _, other = run(easy, "other", **DEMANDING, seed=1)
    assert epochs_of(whole)[0]["train"]["loss"] != epochs_of(other)[0]["train"]["loss"]


def test_global_chance_is_not_seeded(home, easy):
    drawn = []
    for seed in (5, 6):
        torch.manual_seed(seed)
        run(easy, f"m{seed}", epochs=1)
        drawn.append(torch.rand(3))
    assert not torch.equal(*drawn)


# --- what is left -----------------------------------------------------------------------------------------------------


def test_card_and_history_tell_the_run(home, easy):
    (home / "data").mkdir()
    dataset = shutil.copy(easy, home / "data" / "easy set.hdf5")
    card, checkpoint = run(dataset, "my model", epochs=2, label_smoothing=0.1)
    assert checkpoint.card() == card
    assert card.classes == ("CLEAR", "OPACITY")
    assert card.config == TrainConfig(**SMALL | {"epochs": 2, "label_smoothing": 0.1})
    assert card.threshold == {"class": "OPACITY", "value": 0.5, "chosen": card.threshold["chosen"]}
    assert card.training["epochs_run"] == 2
    assert card.training["ended"] == "finished"
    assert card.training["best_epoch"] in (1, 2)
    with open_dataset(dataset) as opened:
        assert card.dataset == opened.describe()
        n_train, n_val = len(opened.rows("train")), len(opened.rows("val"))
    assert (card.preprocessing.stored_size, card.preprocessing.input_size) == (64, 32)
    assert card.validation["n"] == n_val
    assert min(card.heatmap["Grad-CAM"].values()) > 0
    start, *_, end = read_records(checkpoint.folder / HISTORY)
    assert (start["kind"], start["train"], start["val"], start["batches"]) == ("start", n_train, n_val, N_BATCHES)
    assert (end["kind"], end["reason"], end["best"]["epoch"]) == ("end", "finished", card.training["best_epoch"])
    assert kinds_of(checkpoint) == ["start", "epoch", "epoch", "end"]


def test_a_step_is_recorded_after_the_first_batch(home, easy):
    _, checkpoint = run(easy, epochs=1)
    step = read_records(checkpoint.folder / HISTORY)[1]
    assert (step["kind"], step["epoch"], step["progress"]) == ("step", 1, 1 / N_BATCHES)
    assert set(step) == {
        "kind", "progress", "epoch", "loss", "accuracy", "images_per_second", "seconds_left", "time"
    }  # fmt: skip


def test_the_history_of_a_long_run_stays_small(monkeypatch):
    """A step record a second would be 600,000 in a week; later ones come the rarer the longer it took so far."""
    now, told = [0.0], 0
    monkeypatch.setattr("xrai.training.clock.time.monotonic", lambda: now[0])
    clock = Clock(before=50.0)
    outcome = Outcome(0.0, [np.ones((1, 2), np.float32)], [np.zeros(1, np.int64)])
    for second in range(200_000):
        now[0] = float(second)
        if clock.is_time_to_tell:
            told += 1
            assert second >= 150 or told == second
            clock.mark(outcome)
    assert 150 < told < 2000


def test_nothing_that_is_kept_names_the_place_of_the_home(home, easy):
    """The folder can be copied to another machine, and tells nobody how this one is laid out."""
    (home / "data").mkdir()
    _, checkpoint = run(shutil.copy(easy, home / "data" / "easy.hdf5"), epochs=1)
    for name in (CARD, CONFIG, HISTORY, f"{STATE}/values.json"):
        assert str(home) not in (checkpoint.folder / name).read_text(encoding="utf-8")


def test_the_command_in_the_card_is_that_of_the_run(home, easy):
    (home / "data").mkdir()
    dataset = shutil.copy(easy, home / "data" / "easy set.hdf5")
    card, _ = run(dataset, "my model", epochs=1, flip=True)
    command = card.training["command"]
    assert command.startswith("python -m xrai train 'data/easy set.hdf5' --name 'my model' ")
    assert "--flip yes" in command
    assert TrainConfig.from_dict(card.config.to_dict()) == card.config


def test_weights_are_those_of_the_best_epoch(home, easy):
    card, checkpoint = run(easy, epochs=4, patience=0, learning_rate=0.02)
    epochs = epochs_of(checkpoint)
    best = [item["epoch"] for item in epochs if item["best"]][-1]
    assert card.training["best_epoch"] == best
    scores = [(round(item["val"]["auc"], 3), -item["val"]["loss"]) for item in epochs]
    assert scores[best - 1] == max(scores)
    assert card.validation["loss"] == pytest.approx(epochs[best - 1]["val"]["loss"], abs=5e-3)


def test_validation_that_lacks_a_class(home, easy, tmp_path):
    def change(file):
        label, split = file["label"][()], file["split"][()]
        split[(label == 1) & (split == 1)] = 2
        file["split"][...] = split

    card, checkpoint = run(changed_copy(easy, tmp_path / "lacking.hdf5", change), epochs=2)
    assert card.validation["auc"] is None
    assert card.validation["auc_interval"] is None
    assert 0 <= card.validation["accuracy"] <= 1
    assert all(item["train"]["auc"] is not None for item in epochs_of(checkpoint))


@pytest.mark.parametrize(("split", "words"), [(0, "no training scans of the class “OPACITY”"), (1, "no validation")])
def test_dataset_that_cannot_be_learned_from(home, easy, tmp_path, split, words):
    def change(file):
        label, splits = file["label"][()], file["split"][()]
        splits[(splits == split) & ((label == 1) | (split == 1))] = 2
        file["split"][...] = splits

    with pytest.raises(TrainingError, match=words):
        run(changed_copy(easy, tmp_path / "lacking.hdf5", change))
    assert not (open_checkpoint("m").folder / WEIGHTS).exists()


def test_early_stopping(home, easy, monkeypatch):
    """Validation that never gets better ends the run after `patience` more epochs, also when it is resumed."""
    import xrai.training.run as module

    real = module._Run._validate

    def never_better(self, *arguments, **named):
        found = real(self, *arguments, **named)
        return found and found | {"auc": 0.5, "loss": 1.0}

    monkeypatch.setattr(module._Run, "_validate", never_better)
    card, checkpoint = run(easy, epochs=20, patience=2)
    assert card.training["ended"] == "early"
    assert len(epochs_of(checkpoint)) == 3
    card, _ = run(easy, epochs=20, patience=2, resume=True)
    assert card.training["ended"] == "early"
    assert len(epochs_of(checkpoint)) == 3


# --- stopping and going on --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "questions", [1, 3, N_BATCHES, N_BATCHES + 1, N_BATCHES + 2, 3 * N_BATCHES + 3], ids=lambda n: f"question-{n}"
)
def test_stopped_run_goes_on_as_if_nothing_had_been(home, easy, whole, questions):
    """Stopped within an epoch, at its last batch, in validation, and in the last validation of all."""
    card, checkpoint = run(easy, "broken", **DEMANDING, should_stop=stop_after(questions))
    done = (questions - 1) // (N_BATCHES + N_VAL_BATCHES)
    assert len(epochs_of(checkpoint)) == done
    assert (card is None) == (done == 0)
    if card:
        assert card.training["ended"] == "stopped"
    assert kinds_of(checkpoint)[-1] == "end"
    card, checkpoint = run(easy, "broken", **DEMANDING, resume=True)
    assert card.training["ended"] == "finished"
    assert_same_run(whole, checkpoint)
    assert kinds_of(checkpoint) == ["start", *["epoch"] * done, "resume", *["epoch"] * (3 - done), "end"]


def test_run_can_be_stopped_again_and_again(home, easy, whole):
    run(easy, "broken", **DEMANDING, should_stop=stop_after(1))
    for _ in range(30):
        card, checkpoint = run(easy, "broken", **DEMANDING, resume=True, should_stop=stop_after(2))
        if card and card.training["ended"] == "finished":
            break
    run(easy, "broken", **DEMANDING, resume=True)
    assert_same_run(whole, checkpoint)


def test_resnet_goes_on_exactly(home, easy):
    settings = {"network": "resnet18", "epochs": 1}
    _, one = run(easy, "one", **settings)
    run(easy, "two", **settings, should_stop=stop_after(3))
    _, two = run(easy, "two", **settings, resume=True)
    assert_same_run(one, two)


def test_resuming_a_finished_run_changes_nothing(home, easy, whole):
    before = whole.card()
    weights = (whole.folder / WEIGHTS).read_bytes()
    measured = {name: before.validation[name] for name in ("n", "accuracy", "accuracy_interval", "auc", "auc_interval")}
    evaluation = measured | {"dataset": "d", "split": "test", "when": "2026-11-21", "fingerprint": "f"}
    whole.write_card(replace(before, evaluations=[evaluation]))
    card, _ = run(easy, "whole", **DEMANDING, resume=True)
    assert (whole.folder / WEIGHTS).read_bytes() == weights
    assert len(epochs_of(whole)) == 3
    assert card.validation == before.validation
    assert card.evaluations == [evaluation]
    assert kinds_of(whole) == ["start", "epoch", "epoch", "epoch", "resume", "end"]


def test_resuming_with_a_changed_dataset_is_refused(home, easy, tmp_path, whole):
    def change(file):
        file["label"][0] = 1 - file["label"][0]

    records = read_records(whole.folder / HISTORY)
    with pytest.raises(TrainingError, match="dataset has changed"):
        run(changed_copy(easy, tmp_path / "easy.hdf5", change), "whole", **DEMANDING, resume=True)
    assert read_records(whole.folder / HISTORY) == records


def test_run_that_saved_nothing_starts_anew(home, easy, whole):
    checkpoint = checkpoint_of("killed", easy, TrainConfig(**DEMANDING))
    append_record(checkpoint.folder / HISTORY, {"kind": "start"})
    _, checkpoint = run(easy, "killed", **DEMANDING, resume=True)
    assert_same_run(whole, checkpoint)
    assert kinds_of(checkpoint) == ["start", "epoch", "epoch", "epoch", "end"]


@pytest.mark.parametrize("damage", ["missing", "cut short", "foreign"])
def test_damaged_state_is_refused_and_the_model_kept(home, easy, whole, damage):
    """Above all, a model without its state, as the one in the box, is not trained over."""
    weights = (whole.folder / WEIGHTS).read_bytes()
    tensors = whole.folder / STATE / "tensors.safetensors"
    if damage == "missing":
        shutil.rmtree(whole.folder / STATE)
    elif damage == "cut short":
        tensors.write_bytes(tensors.read_bytes()[:1000])
    else:
        (whole.folder / STATE / "values.json").write_text("hello")
    with pytest.raises(CheckpointError, match="cannot go on"):
        run(easy, "whole", **DEMANDING, resume=True)
    assert (whole.folder / WEIGHTS).read_bytes() == weights
    assert whole.is_model


FOREIGN_VALUES = {
    "something else": {"x": 1},
    "a list": [1],
    "nothing": None,
    "counts in words": {"epoch": "1"},
    "an epoch beyond the last": {"epoch": 99},
    "a batch beyond the last": {"batch": 99},
    "an epoch trained through of which nothing is known": {"batch": N_BATCHES},
    "a best one in words": {"best": "the first"},
}


@pytest.mark.parametrize("values", FOREIGN_VALUES.values(), ids=FOREIGN_VALUES.keys())
def test_foreign_values_are_refused(home, easy, whole, values):
    file = whole.folder / STATE / "values.json"
    known = json.loads(file.read_text())
    is_change = isinstance(values, dict) and set(values) < set(known)
    write_json(file, known | values) if is_change else file.write_text(json.dumps(values))
    records = read_records(whole.folder / HISTORY)
    with pytest.raises(CheckpointError, match="cannot go on because"):
        run(easy, "whole", **DEMANDING, resume=True)
    assert read_records(whole.folder / HISTORY) == records


@pytest.mark.parametrize("other", [{"filters": 8}, {"optimizer": "sgd"}, {"network": "resnet18"}], ids=str)
def test_state_of_another_network_is_refused(home, easy, whole, other):
    _, foreign = run(easy, "other", **DEMANDING | other, should_stop=stop_after(2))
    shutil.rmtree(whole.folder / STATE)
    shutil.copytree(foreign.folder / STATE, whole.folder / STATE)
    with pytest.raises(CheckpointError, match="of another run: run it again under another name"):
        run(easy, "whole", **DEMANDING, resume=True)


def test_card_of_a_run_that_goes_on_tells_of_the_weights_beside_it(home, easy, monkeypatch):
    """Killed after a better epoch, a resumed run must not leave a card of the weights before."""
    run(easy, **DEMANDING | {"ema": 0.0}, should_stop=stop_after(N_BATCHES + N_VAL_BATCHES + 1))
    checkpoint = open_checkpoint("m")
    assert checkpoint.card().training["best_epoch"] == 1
    monkeypatch.setattr("xrai.training.run._Run.finish", lambda self, reason: None)
    run(easy, **DEMANDING | {"ema": 0.0}, resume=True)
    best = [item for item in epochs_of(checkpoint) if item["best"]][-1]
    assert checkpoint.card().training["best_epoch"] == best["epoch"] > 1
    assert checkpoint.card().validation["loss"] == best["val"]["loss"]


def wait_for(condition, process, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.01)


def start_training(dataset, name):
    flags = TrainConfig(**SMALL | {"epochs": 30, "dropout": 0.3}).arguments()
    return subprocess.Popen(
        [sys.executable, "-m", "xrai", "train", str(dataset), "--name", name, *flags],
        cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals of this kind")
def test_killed_run_goes_on_and_ctrl_c_stops_as_the_button_does(home, easy, monkeypatch, capsys):
    folder = home / "checkpoints" / "killed"
    with start_training(easy, "killed") as process:
        wait_for((folder / STATE / "values.json").is_file, process)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    saved = json.loads((folder / STATE / "values.json").read_text())
    assert 1 <= saved["epoch"] <= 27
    with (folder / HISTORY).open("a") as log:
        log.write('{"kind": "epoch", "epo')  # as a kill may leave it

    real = cli._print_progress

    def interrupt(record):
        real(record)
        if record["kind"] == "epoch" and record["epoch"] == saved["epoch"] + 2:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(cli, "_print_progress", interrupt)
        assert cli.main(["train", "--name", "killed", "--resume"]) == 0
    assert "go on with --resume" in capsys.readouterr().err
    assert json.loads((folder / "job.json").read_text())["status"] == "stopped"
    assert load_state(folder / STATE)[1]["epoch"] == saved["epoch"] + 2
    assert open_checkpoint("killed").card().training["ended"] == "stopped"

    assert cli.main(["train", "--name", "killed", "--resume"]) == 0
    _, never_broken = run(easy, "whole", epochs=30, dropout=0.3)
    killed = open_checkpoint("killed")
    assert [item["epoch"] for item in epochs_of(killed)] == list(range(1, 31))
    assert epochs_of(killed) == epochs_of(never_broken)
    assert (folder / WEIGHTS).read_bytes() == (never_broken.folder / WEIGHTS).read_bytes()


def test_two_processes_share_a_run(home, easy):
    flags = TrainConfig(**SMALL | {"epochs": 2, "devices": 2, "patience": 1}).arguments()
    done = subprocess.run(
        [sys.executable, "-m", "xrai", "train", str(easy), "--name", "two", "--json", *flags],
        cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    checkpoint = open_checkpoint("two")
    card = checkpoint.card()
    assert json.loads(done.stdout)["validation"]["auc"] == card.validation["auc"]
    assert kinds_of(checkpoint) == ["start", *["epoch"] * card.training["epochs_run"], "end"]
    assert [item["epoch"] for item in epochs_of(checkpoint)] == list(range(1, card.training["epochs_run"] + 1))
    with open_dataset(easy) as opened:
        assert card.validation["n"] == len(opened.rows("val"))
    steps = [item for item in read_records(checkpoint.folder / HISTORY) if item["kind"] == "step"]
    assert sum(item["progress"] == 1 / N_BATCHES for item in steps) == 1


@pytest.mark.parametrize("batch", [2, N_BATCHES], ids=["within an epoch", "at its last batch"])
def test_two_processes_stopped_and_gone_on(home, easy, monkeypatch, batch):
    """What the first process counted within an epoch is not taken for what the second one did."""
    flags = TrainConfig(**SMALL | {"epochs": 2, "devices": 2}).arguments()
    code = (
        "import sys; from xrai import cli, jobs; asked = iter(range(99)); "
        f"jobs.Running.should_stop = lambda self: setattr(self, 'told', next(asked) >= {batch} - 1) or self.told; "
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    script = home / "stop.py"
    script.write_text(code)

    def shell(*arguments):
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False,
            env=os.environ | {"PYTHONPATH": str(PROJECT)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    shell(script, "train", easy, "--name", "two", *flags)
    checkpoint = open_checkpoint("two")
    before = len(epochs_of(checkpoint))
    assert before == (batch == N_BATCHES)  # a validation that is shared is not broken off
    tensors, values = load_state(checkpoint.folder / STATE)
    assert values["batch"] > 0
    assert "outcome.labels" not in tensors
    shell("-m", "xrai", "train", "--name", "two", "--resume")
    assert kinds_of(checkpoint) == ["start", *["epoch"] * before, "resume", *["epoch"] * (2 - before), "end"]
    assert all(math.isfinite(item["train"]["loss"]) for item in epochs_of(checkpoint))


def test_processes_must_be_as_many_as_devices(home, easy, monkeypatch):
    """As when torchrun starts three and the setting says one: each would train a model of its own."""
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(SettingsError, match="3 processes were started, but the setting “devices” is 1"):
        run(easy)


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_loss_that_is_no_number_in_the_first_epoch(home, easy, monkeypatch):
    monkeypatch.setattr("xrai.training.run.learning_rate_at", lambda config, progress: float("inf"))
    with pytest.raises(TrainingError, match=r"no number any more in epoch 1.*learning rate 10 .*no usable weights"):
        run(easy, learning_rate=10.0, optimizer="sgd")
    checkpoint = open_checkpoint("m")
    assert not checkpoint.is_model
    assert read_records(checkpoint.folder / HISTORY)[-1]["reason"] == "failed"


@pytest.mark.parametrize("moment", [N_BATCHES + 1, 2 * N_BATCHES - 1], ids=["while training", "seen in validation"])
def test_loss_that_is_no_number_later_keeps_the_best_weights(home, easy, monkeypatch, moment):
    monkeypatch.setattr(
        "xrai.training.run.learning_rate_at",
        lambda config, progress: float("inf") if progress >= moment / (5 * N_BATCHES) else 1e-3,
    )
    with pytest.raises(TrainingError, match=r"no number any more in epoch 2.*best weights so far are kept"):
        run(easy, epochs=5, optimizer="sgd")
    checkpoint = open_checkpoint("m")
    card = checkpoint.card()
    assert card.training["best_epoch"] == 1
    assert card.training["ended"] == "failed"
    weights = load_file(checkpoint.folder / WEIGHTS)
    assert all(bool(value.isfinite().all()) for value in weights.values())
    json.loads((checkpoint.folder / CARD).read_text(), parse_constant=pytest.fail)


FULL = {
    "the system's": OSError(errno.ENOSPC, "No space left on device"),
    "safetensors'": SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
}


@pytest.mark.parametrize("error", FULL.values(), ids=FULL.keys())
def test_full_disk_keeps_what_was_saved_last(home, easy, whole, monkeypatch, error):
    import xrai.training.state as module

    real, saved = module.save_file, iter(range(10**9))

    def save_file(tensors, file, **named):
        if next(saved) >= 1:
            Path(file).write_bytes(b"half")
            raise error
        real(tensors, file, **named)

    with monkeypatch.context() as patch:
        patch.setattr(module, "save_file", save_file)
        with pytest.raises(TrainingError, match="disk is full: free some space and resume it"):
            run(easy, "full", **DEMANDING)
    checkpoint = open_checkpoint("full")
    assert not list(checkpoint.folder.glob("*.partial"))
    assert load_state(checkpoint.folder / STATE)[1]["epoch"] == 1
    run(easy, "full", **DEMANDING, resume=True)
    assert_same_run(whole, checkpoint)


@pytest.mark.parametrize("victim", ["save_network", "write_card"])
def test_disk_full_at_the_weights_or_the_card(home, easy, whole, monkeypatch, victim):
    def full(self, *arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(f"xrai.checkpoint.Checkpoint.{victim}", full)
        with pytest.raises(TrainingError, match="No space left on device"):
            run(easy, "full", **DEMANDING)
    assert not open_checkpoint("full").is_model
    run(easy, "full", **DEMANDING, resume=True)
    assert epochs_of(open_checkpoint("full")) == epochs_of(whole)


def test_a_folder_whose_rights_forbid_it_is_not_called_a_full_disk(home, easy, monkeypatch):
    def forbidden(self, *arguments):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("xrai.checkpoint.Checkpoint.save_network", forbidden)
    with pytest.raises(TrainingError, match=r"Permission denied.*rights") as error:
        run(easy)
    assert "disk" not in str(error.value)


NO_MEMORY = {
    "the card's": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "torch's": RuntimeError("[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory"),
    "Python's": MemoryError(),
}


@pytest.mark.parametrize("error", NO_MEMORY.values(), ids=NO_MEMORY.keys())
def test_too_little_memory(home, easy, monkeypatch, error):
    def forward(self, scans):
        raise error

    monkeypatch.setattr("xrai.networks.Network.forward", forward)
    with pytest.raises(TrainingError, match="memory: choose a smaller batch size"):
        run(easy)


def test_too_little_memory_for_the_network_itself(home, easy, monkeypatch):
    def build(*arguments, **named):
        raise MemoryError

    monkeypatch.setattr("xrai.training.run.build_network", build)
    with pytest.raises(TrainingError, match="does not fit into this machine's memory"):
        run(easy)


def test_an_error_in_xrai_itself_is_not_disguised(home, easy, monkeypatch):
    def forward(self, scans):
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr("xrai.networks.Network.forward", forward)
    with pytest.raises(RuntimeError, match="a bug of ours"):
        run(easy)


def test_imagenet_weights_without_internet(home, easy, monkeypatch):
    def offline(*arguments, **named):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", offline)
    with pytest.raises(WeightsError, match=r"no internet: choose “scratch”"):
        run(easy, network="resnet18", weights="imagenet")


# --- the parts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("total", [10, 77, 400])
def test_one_cycle_is_that_of_torch(total):
    config = TrainConfig(learning_rate=2e-3)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=2e-3, total_steps=total + 1, pct_start=(0.3 * total + 1) / (total + 1)
    )  # torch's first phase lasts pct_start * total_steps - 1 steps, ours 30 % of all
    for step in range(total):
        assert learning_rate_at(config, step / total) == pytest.approx(reference.get_last_lr()[0], rel=1e-6)
        optimizer.step()
        reference.step()


def test_one_cycle_at_its_corners():
    config = TrainConfig(learning_rate=1e-3)
    assert learning_rate_at(config, 0) == pytest.approx(1e-3 / 25)
    assert learning_rate_at(config, 0.3) == pytest.approx(1e-3)
    assert learning_rate_at(config, 1) == pytest.approx(1e-3 / 25 / 1e4)
    assert learning_rate_at(config, 0.15) == pytest.approx((1e-3 + 1e-3 / 25) / 2)


def test_other_schedules():
    cosine, constant = (TrainConfig(schedule=name) for name in ("cosine", "constant"))
    assert [learning_rate_at(cosine, share) for share in (0, 0.5, 1)] == pytest.approx([1e-3, 5e-4, 0])
    assert {learning_rate_at(constant, share) for share in (0, 0.5, 1)} == {1e-3}


@pytest.mark.parametrize("kind", ["adamw", "adam", "sgd"])
def test_optimizer_goes_on_exactly_where_it_was(kind):
    def steps(network, optimizer, first, last):
        for number in range(first, last):
            torch.manual_seed(number)
            optimizer.zero_grad()
            network(torch.rand(4, 1, 32, 32)).square().sum().backward()
            optimizer.step()

    config = TrainConfig(**SMALL | {"optimizer": kind, "dropout": 0.0})
    torch.manual_seed(0)
    network = build_network(config, 2)
    optimizer = make_optimizer(config, network)
    steps(network, optimizer, 0, 3)
    other = build_network(config, 2)
    other.load_state_dict(network.state_dict())
    restored = make_optimizer(config, other)
    restore_optimizer(restored, {name: value.clone() for name, value in optimizer_tensors(optimizer).items()})
    steps(network, optimizer, 3, 6)
    steps(other, restored, 3, 6)
    for name, value in network.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_weight_decay_spares_biases_and_normalisation():
    config = TrainConfig(**SMALL | {"weight_decay": 0.1})
    network = build_network(config, 2)
    decayed, free = make_optimizer(config, network).param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)
    assert {item.ndim for item in free["params"]} == {1}
    assert len(decayed["params"]) + len(free["params"]) == len(list(network.parameters()))


def test_run_epoch_measures_what_it_is_given():
    """Train and validation share it: the same batches give the same numbers, but only a step changes the network."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
    batches = [
        Batch(torch.rand(n, 1, 2, 2), torch.eye(2)[labels], labels)
        for n in (5, 3)
        for labels in [torch.randint(2, (n,))]
    ]
    loss_of = torch.nn.functional.cross_entropy
    before = {name: value.clone() for name, value in network.state_dict().items()}
    measured = run_epoch(network, batches, loss_of, Outcome.empty())
    assert measured.whole
    assert not network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    with torch.inference_mode():
        inputs, labels = torch.cat([b.inputs for b in batches]), torch.cat([b.labels for b in batches])
        logits = network(inputs)
    assert measured.n == 8
    assert measured.loss == pytest.approx(float(loss_of(logits, labels)), abs=1e-6)
    np.testing.assert_allclose(measured.arrays()[0], logits.softmax(1).numpy(), atol=1e-6)

    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    seen = []

    def step(loss):
        seen.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    run_epoch(network, batches, loss_of, Outcome.empty(), step=step)
    assert network.training
    assert len(seen) == 2
    assert any(not torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_run_epoch_breaks_off_when_told():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
    batches = [Batch(torch.rand(2, 1, 2, 2), torch.eye(2), torch.tensor([0, 1]))] * 5
    outcome = run_epoch(
        network, batches, torch.nn.functional.cross_entropy, Outcome.empty(), on_batch=lambda outcome: outcome.n < 6
    )
    assert not outcome.whole
    assert outcome.n == 6


def test_nothing_seen_is_no_number():
    assert math.isnan(Outcome.empty().loss)


def test_loss_counts_a_rare_class_more():
    labels = torch.tensor([0, 0, 0, 1])
    logits = torch.tensor([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [2.0, 0.0]])
    device, counts = torch.device("cpu"), np.array([3, 1])
    plain, balanced = (
        make_loss(TrainConfig(balance=name), counts, device)(logits, torch.eye(2)[labels]) for name in ("none", "loss")
    )
    assert float(plain) == pytest.approx(float(torch.nn.functional.cross_entropy(logits, labels)))
    each = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    assert float(balanced) == pytest.approx(float((each * torch.tensor([2 / 3] * 3 + [2.0])).mean()))


def feed_of(dataset, *, rank=0, world=1, **settings):
    config = TrainConfig(**SMALL | settings)
    return Feed(dataset, fit_preprocessing(dataset, config), config, torch.device("cpu"), rank, world)


def test_sampling_shows_a_rare_class_as_often(easy, tmp_path):
    def change(file):
        splits = file["split"][()]
        rare = np.flatnonzero((file["label"][()] == 1) & (splits == 0))[5:]
        splits[rare] = 2
        file["split"][...] = splits

    with open_dataset(changed_copy(easy, tmp_path / "rare.hdf5", change)) as dataset:
        shares = {}
        for balance in ("none", "sampling"):
            rows = np.concatenate([feed_of(dataset, balance=balance).train_rows(epoch) for epoch in range(40)])
            shares[balance] = float(dataset.labels[rows].mean())
            assert set(dataset.splits[rows]) == {0}
    assert shares["none"] == pytest.approx(5 / 34, abs=0.01)
    assert shares["sampling"] == pytest.approx(0.5, abs=0.05)


def test_every_scan_is_shown_once_an_epoch_without_sampling(easy):
    with open_dataset(easy) as dataset:
        feed = feed_of(dataset, balance="none")
        assert sorted(feed.train_rows(0)) == sorted(dataset.rows("train"))
        assert list(feed.train_rows(0)) != list(feed.train_rows(1))
        assert list(feed.train_rows(0)) == list(feed.train_rows(0))


def test_batches_from_the_middle_are_those_of_the_whole_epoch(easy):
    with open_dataset(easy) as dataset:
        feed = feed_of(dataset, mixup=0.2)
        whole, rest = list(feed.train_batches(3)), list(feed.train_batches(3, first=2))
    assert len(whole) == N_BATCHES
    assert len(rest) == N_BATCHES - 2
    for expected, found in zip(whole[2:], rest, strict=True):
        assert torch.equal(expected.inputs, found.inputs)
        assert torch.equal(expected.targets, found.targets)


def test_each_process_gets_its_part_of_each_batch(easy):
    with open_dataset(easy) as dataset:
        rows = dataset.rows("val")[:5]
        alone = torch.cat([item.inputs for item in feed_of(dataset).batches(rows)])
        parts = [list(feed_of(dataset, rank=rank, world=2, devices=2).batches(rows)) for rank in range(2)]
    inputs = [torch.cat([item.inputs for item in part]) for part in parts]
    assert [len(item) for item in inputs] == [3, 3]
    together = torch.stack(inputs, dim=1).flatten(0, 1)
    assert torch.equal(together[:5], alone)


def test_processes_vary_their_scans_each_in_its_own_way(easy, monkeypatch):
    seeds = []

    def augment(greys, generator, **named):
        seeds[-1].append(generator.initial_seed())
        return greys

    monkeypatch.setattr("xrai.training.data.augment", augment)
    with open_dataset(easy) as dataset:
        feeds = [feed_of(dataset, rank=rank, world=2, devices=2, erase=0.0) for rank in range(2)]
        for feed in (*feeds, feed_of(dataset)):
            seeds.append([])
            assert len(list(feed.train_batches(0))) == N_BATCHES
    first, second, alone = map(set, seeds)
    assert not first & second
    assert first == alone


def test_statistics_are_those_of_the_training_scans(easy):
    with open_dataset(easy) as dataset:
        steps = feed_of(dataset).preprocessing
        greys = dataset.images(dataset.rows("train")) / 255
    assert steps.mean == pytest.approx(greys.mean(), abs=1e-3)
    assert steps.std == pytest.approx(greys.std(), abs=1e-3)


def test_averaging_follows_quickly_then_slowly():
    mean, value = torch.zeros(1), torch.ones(1)
    Averaging(0.9)([mean], [value], 0)
    assert mean.item() == pytest.approx(0.9)
    mean = torch.zeros(1)
    Averaging(0.9)([mean], [value], 10_000)
    assert mean.item() == pytest.approx(0.1)
    counter = torch.tensor(3)
    Averaging(0.9)([counter], [torch.tensor(8)], 5)
    assert counter.item() == 8


def test_state_of_a_save_that_was_killed_between_its_renames(tmp_path):
    folder = tmp_path / "run" / "state"
    folder.parent.mkdir()
    save_state(folder, {"a": torch.ones(2)}, {"epoch": 1})
    folder.rename(folder.with_name("state.old"))
    assert load_state(folder)[1] == {"epoch": 1}
    save_state(folder, {"a": torch.zeros(2)}, {"epoch": 2})
    assert load_state(folder)[1] == {"epoch": 2}
    assert sorted(item.name for item in folder.parent.iterdir()) == ["state"]
