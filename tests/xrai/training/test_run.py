import errno
import hashlib
import json
import math
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file

from xrai import cli
from xrai.cli import output
from xrai.core.errors import CheckpointError, SettingsError, TrainingError, WeightsError
from xrai.core.json_files import append_record, read_records, write_json
from xrai.core.paths import PROJECT_DIR, display_path
from xrai.data.dataset import BuildConfig, build_dataset, open_dataset
from xrai.data.sources import open_source
from xrai.evaluation.evaluate import predict_probabilities
from xrai.models.checkpoint import CARD, CONFIG, HISTORY_FILE, STATE, WEIGHTS, open_checkpoint
from xrai.networks.build import build_network
from xrai.networks.config import TrainConfig
from xrai.scans.preprocessing import Preprocessing
from xrai.training.card import describe_origin
from xrai.training.recorder import ProgressTimer
from xrai.training.data import Batch, BatchLoader, fit_preprocessing
from xrai.training.loop import EpochOutputs, WarmupEma, learning_rate_at, make_loss, make_optimizer, run_epoch
from xrai.training.fit import Trainer
from xrai.training.run import train_model
from xrai.training.persistence import load_state, optimizer_to_tensors, restore_optimizer, save_state

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
    write_json(checkpoint.folder / CONFIG, {"dataset": display_path(dataset), "train": config.to_dict()})
    return checkpoint


def run(dataset, name="m", *, resume=False, should_stop=lambda: False, **settings):
    """Train in this process with the history on disk; gives the card and the checkpoint."""
    config = TrainConfig(**SMALL | settings)
    checkpoint = checkpoint_of(name, dataset, config)

    def emit(record):
        json.dumps(record, allow_nan=False)
        append_record(checkpoint.folder / HISTORY_FILE, record)

    with open_dataset(dataset) as opened:
        card = train_model(config, opened, checkpoint, emit=emit, should_stop=should_stop, resume=resume)
    return card, checkpoint


def stop_after(n_questions):
    asked = iter(range(10**9))
    return lambda: next(asked) >= n_questions - 1


def epochs_of(checkpoint):
    """The records of the epochs without what depends on the clock."""
    records = read_records(checkpoint.folder / HISTORY_FILE)
    timed = ("time", "seconds")
    return [{k: v for k, v in item.items() if k not in timed} for item in records if item["kind"] == "epoch"]


def kinds_of(checkpoint):
    return [
        item["kind"] for item in read_records(checkpoint.folder / HISTORY_FILE) if item["kind"] not in ("step", "ready")
    ]


def assert_same_run(one, other):
    assert epochs_of(one) == epochs_of(other)
    assert (one.folder / WEIGHTS).read_bytes() == (other.folder / WEIGHTS).read_bytes()
    states = [load_state(item.folder / STATE)[0] for item in (one, other)]
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
    cards = [item.read_card() for item in (one, other)]
    assert cards[0].validation == cards[1].validation
    assert cards[0].heatmap == cards[1].heatmap


@pytest.fixture
def whole(home, easy):
    """The run that others are compared with, from start to end without a break."""
    return run(easy, "whole", **DEMANDING)[1]


# --- learning ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": 6},
        {"network": "resnet18", "epochs": 3, "learning_rate": 1e-3},
        {"network": "resnet18_half", "epochs": 3, "learning_rate": 1e-3, "members": 2, "greys": "scan"},
    ],
    ids=["convnet", "resnet18", "two half resnet18"],
)
def test_networks_learn(home, easy, settings):
    card, checkpoint = run(easy, **settings, augment=0.3)
    epochs = epochs_of(checkpoint)
    assert epochs[-1]["train"]["loss"] < 0.6 * epochs[0]["train"]["loss"]
    assert card.validation["auc"] > 0.95
    assert card.validation["auc_interval"][0] <= card.validation["auc"] <= card.validation["auc_interval"][1]


class FixedAnswer(torch.nn.Module):
    """Answers the same whatever it sees."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, inputs):
        return self.logits


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_a_member_moves_as_it_would_alone(optimizer):
    config = TrainConfig(
        network="resnet18_half", image_size=32, dropout=0.0, optimizer=optimizer, learning_rate=0.01, weight_decay=0.2
    )
    scans = torch.randn(8, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    targets = torch.nn.functional.one_hot(torch.arange(8) % 2, 2).float()

    def after_a_step(config):
        torch.manual_seed(0)
        networks = [build_network(config, 2) for _ in range(1 if config.members > 1 else 3)]
        for network in networks:
            loss_of = make_loss(config, np.ones(2), torch.device("cpu"))
            with torch.no_grad():
                network.head.bias.zero_()
            loss_of(network.train()(scans), targets).backward()
            make_optimizer(config, network).step()
        return networks

    alone, (three,) = after_a_step(config), after_a_step(replace(config, members=3))
    heads = 3 * three.head.weight.detach().unflatten(1, (3, -1))
    for number, network in enumerate(alone):
        assert torch.allclose(heads[:, number], network.head.weight, atol=1e-4)
        for name, weights in network.features.named_parameters():
            own = three.features.get_parameter(name).detach().chunk(3)[number]
            assert float((own - weights.detach()).abs().median()) < 1e-5, name


def test_members_learn_each_for_itself_and_answer_together(home, easy):
    """They learn by the sum of their losses, not by that of their mean; what is told is of what they say together."""
    logits = torch.tensor([[[2.0, 0.0], [0.0, 4.0]]])  # (N, members, C)
    targets = torch.tensor([[1.0, 0.0]])
    loss_of = make_loss(TrainConfig(), np.ones(2), torch.device("cpu"))
    apart = [float(loss_of(logits[:, number], targets)) for number in range(2)]
    assert float(loss_of(logits, targets)) == pytest.approx(sum(apart))

    learned: list[float] = []
    batch = Batch(torch.zeros(1, 1), targets, torch.tensor([0]))
    outcome = run_epoch(
        FixedAnswer(logits), [batch], loss_of, EpochOutputs.empty(), step=lambda loss: learned.append(float(loss))
    )
    assert learned == [pytest.approx(sum(apart))]
    assert outcome.loss == pytest.approx(float(loss_of(torch.tensor([[1.0, 2.0]]), targets)))
    assert outcome.arrays()[0] == pytest.approx(torch.softmax(torch.tensor([[1.0, 2.0]]), dim=1).numpy())

    settings = {"network": "resnet18_half", "members": 2, "greys": "scan", "epochs": 2}
    card, checkpoint = run(easy, **settings)
    assert (card.config.members, card.preprocessing.per_scan) == (2, True)
    network = checkpoint.load_network(card)
    assert network.ensemble_size == 2
    with open_dataset(easy) as dataset:
        said = predict_probabilities(network, card, dataset, dataset.rows("val"))
        right = (said.argmax(axis=1) == dataset.labels[dataset.rows("val")]).mean()
    assert card.validation["accuracy"] == pytest.approx(right, abs=1e-4)
    whole = epochs_of(checkpoint)
    run(easy, "cut", **settings, should_stop=stop_after(3))
    _, cut = run(easy, "cut", **settings, resume=True)
    assert epochs_of(cut) == whole


@pytest.mark.parametrize("names", [("CLEAR", "OPACITY"), ("A", "B")], ids=["the same classes", "other classes"])
def test_members_go_on_from_members(home, easy, tmp_path, names):
    side_by_side = {"network": "resnet18_half", "members": 2}
    run(easy, "origin", **side_by_side, epochs=1)
    other = turned(easy, tmp_path / "other.hdf5", names)
    card, checkpoint = run(other, "next", **side_by_side, weights="origin", epochs=3, head_epochs=1, ema=0.9)
    assert (card.config.members, checkpoint.load_network(card).ensemble_size) == (2, 2)
    with pytest.raises(WeightsError, match="leave network, image size, members"):
        run(other, "alone", network="resnet18_half", weights="origin")


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
    assert read_records(checkpoint.folder / HISTORY_FILE)[0]["batches"] == 1
    assert card.training["epochs_run"] == 2


@pytest.mark.parametrize("balance", ["none", "sampling", "loss"])
def test_a_class_with_a_single_training_scan(home, easy, tmp_path, balance):
    def change(file):
        splits = file["split"][()]
        rare = np.flatnonzero((file["label"][()] == 1) & (splits == 0))[1:]
        splits[rare] = 2
        file["split"][...] = splits

    dataset = changed_copy(easy, tmp_path / "single.hdf5", change)
    with open_dataset(dataset) as opened:
        assert len(opened.rows("train", 1)) == 1
    card, checkpoint = run(dataset, epochs=2, balance=balance)
    assert card.training["epochs_run"] == 2
    assert all(math.isfinite(item["train"]["loss"]) for item in epochs_of(checkpoint))
    assert 0 <= card.validation["auc"] <= 1


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
    assert checkpoint.read_card() == card
    assert card.classes == ("CLEAR", "OPACITY")
    assert card.config == TrainConfig(**SMALL | {"epochs": 2, "label_smoothing": 0.1})
    assert (card.threshold["class"], card.threshold["value"]) == ("OPACITY", 0.5)
    assert card.calibration and card.doubt
    assert card.training["epochs_run"] == 2
    assert card.training["ended"] == "finished"
    assert card.training["best_epoch"] in (1, 2)
    with open_dataset(dataset) as opened:
        assert card.dataset == opened.describe() | {"audit": None}
        n_train, n_val = len(opened.rows("train")), len(opened.rows("val"))
    assert (card.preprocessing.stored_size, card.preprocessing.input_size) == (64, 32)
    assert card.validation["n"] == n_val
    assert min(card.heatmap["Grad-CAM"].values()) > 0
    start, *_, end = read_records(checkpoint.folder / HISTORY_FILE)
    assert (start["kind"], start["train"], start["val"], start["batches"]) == ("start", n_train, n_val, N_BATCHES)
    assert (end["kind"], end["reason"], end["best"]["epoch"]) == ("end", "finished", card.training["best_epoch"])
    assert kinds_of(checkpoint) == ["start", "epoch", "epoch", "end"]


def test_a_step_is_recorded_after_the_first_batch(home, easy):
    _, checkpoint = run(easy, epochs=1)
    step = read_records(checkpoint.folder / HISTORY_FILE)[1]
    assert (step["kind"], step["epoch"], step["progress"]) == ("step", 1, 1 / N_BATCHES)
    assert set(step) == {
        "kind", "progress", "epoch", "loss", "accuracy", "images_per_second", "seconds_left", "time"
    }  # fmt: skip


def test_the_history_of_a_long_run_stays_small(monkeypatch):
    """A step record a second would be 600,000 in a week; later ones come the rarer the longer it took so far."""
    now, told = [0.0], 0
    monkeypatch.setattr("xrai.training.recorder.time.monotonic", lambda: now[0])
    clock = ProgressTimer(previous_seconds=50.0)
    outcome = EpochOutputs(0.0, [np.ones((1, 2), np.float32)], [np.zeros(1, np.int64)])
    for second in range(200_000):
        now[0] = float(second)
        if clock.is_record_due:
            told += 1
            assert second >= 150 or told == second
            clock.mark_recorded(outcome)
    assert 150 < told < 2000


def test_nothing_that_is_kept_names_the_place_of_the_home(home, easy):
    """The folder can be copied to another machine, and tells nobody how this one is laid out."""
    (home / "data").mkdir()
    _, checkpoint = run(shutil.copy(easy, home / "data" / "easy.hdf5"), epochs=1)
    for name in (CARD, CONFIG, HISTORY_FILE, f"{STATE}/values.json"):
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


@pytest.mark.parametrize(("keep", "kept"), [("auc", 1), ("loss", 2), ("last", 3)])
def test_the_epoch_that_is_kept_can_be_chosen(home, easy, monkeypatch, keep, kept):
    measured = iter([(0.99, 0.9), (0.9, 0.2), (0.8, 0.5)])  # AUC and loss of the epochs
    real = Trainer.validate

    def validated(self, *arguments, is_stoppable=False, **named):
        found = real(self, *arguments, is_stoppable=is_stoppable, **named)
        if not is_stoppable:  # the last measurement, of the weights that were kept
            return found
        auc, loss = next(measured)
        return found | {"auc": auc, "loss": loss}

    monkeypatch.setattr(Trainer, "validate", validated)
    card, checkpoint = run(easy, epochs=3, keep=keep)
    assert card.training["best_epoch"] == kept
    assert [item["epoch"] for item in epochs_of(checkpoint) if item["best"]][-1] == kept


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

    real = module.Trainer.validate

    def never_better(self, *arguments, **named):
        found = real(self, *arguments, **named)
        return found and found | {"auc": 0.5, "loss": 1.0}

    monkeypatch.setattr(module.Trainer, "validate", never_better)
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
    before = whole.read_card()
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

    records = read_records(whole.folder / HISTORY_FILE)
    with pytest.raises(TrainingError, match="dataset has changed"):
        run(changed_copy(easy, tmp_path / "easy.hdf5", change), "whole", **DEMANDING, resume=True)
    assert read_records(whole.folder / HISTORY_FILE) == records


def test_run_that_saved_nothing_starts_anew(home, easy, whole):
    checkpoint = checkpoint_of("killed", easy, TrainConfig(**DEMANDING))
    append_record(checkpoint.folder / HISTORY_FILE, {"kind": "start"})
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


ORIGIN = {"model": "m", "created": "", "dataset": {"population": None}}
FOREIGN_VALUES = {
    "something else": {"x": 1},
    "a list": [1],
    "nothing": None,
    "counts in words": {"epoch": "1"},
    "an epoch beyond the last": {"epoch": 99},
    "a batch beyond the last": {"batch": 99},
    "an epoch trained through of which nothing is known": {"batch": N_BATCHES},
    "a best one in words": {"best": "the first"},
    "an origin in words": {"origin": "another model"},
    "an origin that is a number": {"origin": {"model": 3, "created": "", "dataset": {"population": None}}},
    "an origin that learned from nothing": {"origin": {"model": "m", "created": ""}},
    "an origin whose ancestors are a word": {"origin": ORIGIN | {"learned_from": "abc"}},
    "an origin whose ancestors are numbers": {"origin": ORIGIN | {"learned_from": [3]}},
    "a preprocessing in words": {"preprocessing": "as usual"},
    "half a preprocessing": {"preprocessing": {"stored_size": 64, "input_size": 32}},
    "a preprocessing to another size": {
        "preprocessing": {"stored_size": 64, "input_size": 48, "mean": 0.5, "std": 0.2}
    },
    "a preprocessing that divides by nothing": {
        "preprocessing": {"stored_size": 64, "input_size": 32, "mean": 0.5, "std": 0.0}
    },
}


@pytest.mark.parametrize("values", FOREIGN_VALUES.values(), ids=FOREIGN_VALUES.keys())
def test_foreign_values_are_refused(home, easy, whole, values):
    file = whole.folder / STATE / "values.json"
    known = json.loads(file.read_text())
    is_change = isinstance(values, dict) and set(values) < set(known)
    write_json(file, known | values) if is_change else file.write_text(json.dumps(values))
    records = read_records(whole.folder / HISTORY_FILE)
    with pytest.raises(CheckpointError, match="cannot go on because"):
        run(easy, "whole", **DEMANDING, resume=True)
    assert read_records(whole.folder / HISTORY_FILE) == records


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
    assert checkpoint.read_card().training["best_epoch"] == 1
    monkeypatch.setattr("xrai.training.run.finish_run", lambda trainer, reason, alpha: None)
    run(easy, **DEMANDING | {"ema": 0.0}, resume=True)
    best = [item for item in epochs_of(checkpoint) if item["best"]][-1]
    assert checkpoint.read_card().training["best_epoch"] == best["epoch"] > 1
    assert checkpoint.read_card().validation["loss"] == best["val"]["loss"]


def a_look(card, **named):
    """An entry of a card's evaluations."""
    names = ("n", "accuracy", "accuracy_interval", "auc", "auc_interval")
    look = {name: card.validation[name] for name in names} | named
    return look | {"dataset": "d", "split": "test", "when": "2026-11-21", "fingerprint": "f"}


@pytest.mark.parametrize("tells", [True, False], ids=["tells its weights", "from before they were told"])
def test_going_on_with_a_run_does_not_wipe_its_looks(home, easy, tells):
    """Training on after a look at the test split is just what the count must show."""
    settings = DEMANDING | {"keep": "last"}
    card, checkpoint = run(easy, **settings, should_stop=stop_after(N_BATCHES + N_VAL_BATCHES + 1))
    look = a_look(card) | ({"weights": checkpoint.weights_sha256()} if tells else {})
    checkpoint.write_card(replace(card, evaluations=[look]))
    card, _ = run(easy, **settings, resume=True, should_stop=stop_after(2))
    assert card.evaluations == [look]  # the weights are still those
    card, _ = run(easy, **settings, resume=True, should_stop=stop_after(N_BATCHES + N_VAL_BATCHES + 1))
    assert card.training["best_epoch"] == 2
    assert card.evaluations == [look | {"earlier_weights": True}]
    again = look | ({"weights": checkpoint.weights_sha256()} if tells else {})
    checkpoint.write_card(replace(card, evaluations=[*card.evaluations, again]))
    card, _ = run(easy, **settings, resume=True)
    assert card.training["ended"] == "finished"
    assert card.evaluations == [item | {"earlier_weights": True} for item in (look, again)]
    assert checkpoint.read_card() == card


def test_a_look_at_weights_that_a_killed_run_makes_again_is_still_of_them(home, easy, monkeypatch):
    settings = DEMANDING | {"keep": "last"}
    run(easy, **settings, should_stop=stop_after(2 * (N_BATCHES + N_VAL_BATCHES)))  # in the second validation
    checkpoint = open_checkpoint("m")
    shutil.copytree(checkpoint.folder / STATE, home / "state")
    card, _ = run(easy, **settings, resume=True, should_stop=stop_after(3))
    assert card.training["best_epoch"] == 2
    shutil.rmtree(checkpoint.folder / STATE)
    (home / "state").rename(checkpoint.folder / STATE)  # killed before the state of the second epoch was saved
    checkpoint.write_card(replace(card, evaluations=[a_look(card)]))
    card, _ = run(easy, **settings, resume=True, should_stop=stop_after(3))
    assert card.evaluations == [a_look(card)]


def wait_for(condition, process, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.01)


def start_training(dataset, name):
    flags = TrainConfig(**SMALL | {"epochs": 30, "dropout": 0.3}).to_arguments()
    return subprocess.Popen(
        [sys.executable, "-m", "xrai", "train", str(dataset), "--name", name, *flags],
        cwd=PROJECT_DIR, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
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
    with (folder / HISTORY_FILE).open("a") as log:
        log.write('{"kind": "epoch", "epo')  # as a kill may leave it

    real = output.print_progress

    def interrupt(record):
        real(record)
        if record["kind"] == "epoch" and record["epoch"] == saved["epoch"] + 2:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr("xrai.cli.runs.print_progress", interrupt)
        assert cli.main(["train", "--name", "killed", "--resume"]) == 0
    assert "go on with --resume" in capsys.readouterr().err
    assert json.loads((folder / "job.json").read_text())["status"] == "stopped"
    assert load_state(folder / STATE)[1]["epoch"] == saved["epoch"] + 2
    assert open_checkpoint("killed").read_card().training["ended"] == "stopped"

    assert cli.main(["train", "--name", "killed", "--resume"]) == 0
    _, never_broken = run(easy, "whole", epochs=30, dropout=0.3)
    killed = open_checkpoint("killed")
    assert [item["epoch"] for item in epochs_of(killed)] == list(range(1, 31))
    assert epochs_of(killed) == epochs_of(never_broken)
    assert (folder / WEIGHTS).read_bytes() == (never_broken.folder / WEIGHTS).read_bytes()


@pytest.mark.parametrize("network", [{}, {"network": "resnet18_half", "members": 2}], ids=["one", "two members"])
def test_two_processes_share_a_run(home, easy, network):
    flags = TrainConfig(**SMALL | {"epochs": 2, "devices": 2, "patience": 1} | network).to_arguments()
    done = subprocess.run(
        [sys.executable, "-m", "xrai", "train", str(easy), "--name", "two", "--json", *flags],
        cwd=PROJECT_DIR, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    checkpoint = open_checkpoint("two")
    card = checkpoint.read_card()
    assert json.loads(done.stdout)["validation"]["auc"] == card.validation["auc"]
    assert kinds_of(checkpoint) == ["start", *["epoch"] * card.training["epochs_run"], "end"]
    assert [item["epoch"] for item in epochs_of(checkpoint)] == list(range(1, card.training["epochs_run"] + 1))
    with open_dataset(easy) as opened:
        assert card.validation["n"] == len(opened.rows("val"))
    steps = [item for item in read_records(checkpoint.folder / HISTORY_FILE) if item["kind"] == "step"]
    assert sum(item["progress"] == 1 / N_BATCHES for item in steps) == 1


@pytest.mark.parametrize("batch", [2, N_BATCHES], ids=["within an epoch", "at its last batch"])
def test_two_processes_stopped_and_gone_on(home, easy, monkeypatch, batch):
    """What the first process counted within an epoch is not taken for what the second one did."""
    flags = TrainConfig(**SMALL | {"epochs": 2, "devices": 2}).to_arguments()
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
            cwd=PROJECT_DIR, capture_output=True, text=True, timeout=120, check=False,
            env=os.environ | {"PYTHONPATH": str(PROJECT_DIR)},
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


# --- from learned weights ---------------------------------------------------------------------------------------------

FINE = DEMANDING | {"weights": "origin", "head_epochs": 1, "fine_tune": 0.3}
FROZEN = {"learning_rate": 1e-7, "fine_tune": 0.001, "epochs": 2, "head_epochs": 1, "dropout": 0.0}
"""So slow that what is learned in the first phase is next to nothing."""


@pytest.fixture
def origin(home, easy):
    """A model that others start from."""
    return run(easy, "origin", epochs=4)[1]


@pytest.fixture
def fine(home, easy, origin):
    """A run from that model, first its head alone, from start to end without a break.

    The model sees scans in another way than one that starts from nothing on this dataset would.
    """
    origin.write_card(replace(origin.read_card(), preprocessing=Preprocessing(64, 32, 0.3, 0.25)))
    return run(easy, "fine", **FINE)[1]


def turned(dataset, out, names=("OPACITY", "CLEAR")):
    """The dataset with its two classes in the other order."""

    def turn(file):
        file["label"][...] = 1 - file["label"][()]
        file.attrs["classes"] = json.dumps(names)

    return changed_copy(dataset, out, turn)


def features_of(checkpoint, prefix="network.features."):
    """The weights and statistics before the head, as the run's state has them."""
    tensors = load_state(checkpoint.folder / STATE)[0]
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def in_first_phase(n_epochs=1):
    """Stops in the last validation of the epochs in which only the head learns."""
    return stop_after(n_epochs * (N_BATCHES + N_VAL_BATCHES))


@pytest.mark.parametrize("names", [("OPACITY", "CLEAR"), ("opacity", "Clear ")], ids=" ".join)
def test_a_run_starts_as_the_model_that_it_starts_from(home, easy, tmp_path, origin, names):
    """Also where the dataset has the classes in another order or spelling."""
    other = turned(easy, tmp_path / "turned.hdf5", names)
    card, checkpoint = run(other, weights="origin", **FROZEN, should_stop=stop_after(N_BATCHES + N_VAL_BATCHES + 1))
    assert (card.classes, card.training["best_epoch"]) == (names, 1)
    learned = origin.read_card()
    assert epochs_of(checkpoint)[0]["val"]["loss"] == pytest.approx(learned.validation["loss"], abs=1e-3)
    with open_dataset(easy) as straight, open_dataset(other) as dataset:
        rows = straight.rows("val")
        expected = predict_probabilities(origin.load_network(learned), learned, straight, rows)
        found = predict_probabilities(checkpoint.load_network(card), card, dataset, rows)
    assert np.ptp(expected, axis=0).min() > 0.1
    np.testing.assert_allclose(found, expected[:, ::-1], atol=2e-3)


@pytest.mark.parametrize("head_epochs", [0, 1])
def test_a_run_on_other_classes_takes_all_but_the_last_layer(home, three, origin, head_epochs):
    settings = FROZEN | {"head_epochs": head_epochs}
    card, checkpoint = run(three, weights="origin", **settings)
    assert card.classes == ("Normal", "COVID", "Viral")
    learned = origin.load_network(origin.read_card()).state_dict()
    found = checkpoint.load_network(card).state_dict()
    weights = [key for key in learned if not key.startswith("head.3.") and "running" not in key and "num_" not in key]
    assert {"features.block1.0.weight", "head.0.weight"} < set(weights)
    for key in weights:
        torch.testing.assert_close(found[key], learned[key], atol=1e-3, rtol=1e-3)
    assert found["head.3.weight"].shape == (3, 16)
    _, anew = run(three, "anew", **settings | {"head_epochs": 0})
    assert not torch.allclose(anew.load_network(anew.read_card()).state_dict()["head.0.weight"], found["head.0.weight"])


def test_a_run_learns_on(home, easy, origin):
    card, checkpoint = run(easy, weights="origin", epochs=3, head_epochs=1)
    epochs = epochs_of(checkpoint)
    assert epochs[0]["train"]["loss"] < 0.9 * epochs_of(origin)[0]["train"]["loss"]
    assert card.validation["auc"] >= origin.read_card().validation["auc"] - 0.02


@pytest.mark.parametrize("head_epochs", [0, 1])
def test_a_run_sees_scans_as_the_model_that_it_starts_from(home, three, origin, head_epochs):
    origin.write_card(replace(origin.read_card(), preprocessing=Preprocessing(96, 32, 0.125, 0.375)))
    card, checkpoint = run(three, weights="origin", epochs=2, head_epochs=head_epochs)
    assert card.preprocessing == Preprocessing(64, 32, 0.125, 0.375)
    saved = json.loads((checkpoint.folder / STATE / "values.json").read_text())
    assert saved["preprocessing"] == card.preprocessing.to_dict()


def test_the_card_tells_where_a_run_started(home, easy, origin):
    described = origin.read_card().dataset | {"population": "children of one hospital"}
    origin.write_card(replace(origin.read_card(), dataset=described))
    origin.folder.rename(origin.folder.with_name("children"))  # its name is the folder's
    card, checkpoint = run(easy, weights="children", epochs=1)
    assert card.training["started_from"] == {
        "model": "children",
        "created": origin_created(home, "children"),
        "dataset": {
            "name": described["name"], "fingerprint": described["fingerprint"], "population": "children of one hospital"
        },
        "learned_from": [described["fingerprint"]],
    }  # fmt: skip
    told = [note for note in card.notes if "children" in note]
    assert told == ["It started from the model “children”, which had learned from: children of one hospital."]
    assert checkpoint.read_card() == card


ANCESTORS = {
    "none": (None, ["own"]),
    "two": ({"dataset": {"fingerprint": "a"}, "learned_from": ["a", "b"]}, ["own", "a", "b"]),
    "itself": ({"dataset": {"fingerprint": "a"}, "learned_from": ["a", "own"]}, ["own", "a"]),
    "from before they were kept": ({"dataset": {"fingerprint": "a"}}, ["own", "a"]),
    "without a fingerprint": ({"dataset": {"fingerprint": None}}, ["own"]),
    "a number": (3, ["own"]),
    "foreign": ({"dataset": "a", "learned_from": [3, None, ["a"]]}, ["own"]),
}


@pytest.mark.parametrize(("before", "known"), ANCESTORS.values(), ids=ANCESTORS.keys())
def test_ancestors_of_more_than_one_generation_are_kept(home, before, known):
    """What the model learned from that its starting model started from was seen all the same."""
    card = SimpleNamespace(
        name="m", created="", dataset={"fingerprint": "own"}, training={"started_from": before} if before else {}
    )
    assert describe_origin(card)["learned_from"] == known  # type: ignore[arg-type]


def test_a_grandchild_tells_of_all_before_it(home, easy, three, origin):
    run(three, "child", weights="origin", epochs=1)
    card, _ = run(easy, "grandchild", weights="child", epochs=1, should_stop=stop_after(2))
    assert card is None
    card, _ = run(easy, "grandchild", weights="child", epochs=1, resume=True)
    prints = [open_checkpoint(name).read_card().dataset["fingerprint"] for name in ("child", "origin")]
    assert card.training["started_from"]["learned_from"] == prints
    assert len(set(prints)) == 2


def origin_created(home, name):
    return json.loads((home / "checkpoints" / name / CARD).read_text(encoding="utf-8"))["created"]


def test_the_card_tells_that_nobody_described_whom_the_model_knew(home, easy, origin):
    card, _ = run(easy, weights="origin", epochs=1)
    assert card.training["started_from"]["dataset"]["population"] in (None, "")
    assert any("“origin”, which had learned from: patients that nobody described." in note for note in card.notes)
    assert "started_from" not in origin.read_card().training
    assert not any("started from" in note for note in origin.read_card().notes)


def test_the_command_in_the_card_repeats_a_run_from_a_model(home, easy, capsys):
    """Also one whose settings that are the defaults differ from that model's."""
    (home / "data").mkdir()
    dataset = shutil.copy(easy, home / "data" / "easy set.hdf5")
    network = {"network": "mobilenet_v3_small"}
    run(dataset, "the origin", epochs=1, image_size=48, **network)
    card, one = run(dataset, "one", weights="the origin", epochs=2, head_epochs=1, image_size=128, **network)
    words = shlex.split(card.training["command"])
    assert words[:6] == ["python", "-m", "xrai", "train", "data/easy set.hdf5", "--name"]
    assert cli.main([*words[3:5], "--name", "again", *words[7:]]) == 0
    capsys.readouterr()
    assert open_checkpoint("again").read_card().config == card.config
    assert_same_run(one, open_checkpoint("again"))


# --- first the head alone, then the whole network ---------------------------------------------------------------------


def test_the_history_tells_both_phases(home, easy, origin):
    card, checkpoint = run(
        easy, weights="origin", epochs=5, head_epochs=2, fine_tune=0.25, schedule="constant", learning_rate=1e-3
    )
    start = read_records(checkpoint.folder / HISTORY_FILE)[0]
    assert (start["kind"], start["epochs"], start["head_epochs"]) == ("start", 5, 2)
    assert start["parameters"] == card.training["parameters"] == origin.read_card().training["parameters"]
    rates = [item["learning_rate"] for item in epochs_of(checkpoint)]
    assert rates == pytest.approx([1e-3, 1e-3, 2.5e-4, 2.5e-4, 2.5e-4])
    assert read_records(origin.folder / HISTORY_FILE)[0]["head_epochs"] == 0


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine"])
def test_each_phase_goes_through_its_schedule(home, easy, origin, monkeypatch, schedule):
    """Not only what is told: what the optimizer is given."""
    given = []
    real = torch.optim.AdamW.step

    def step(self, *arguments, **named):
        given.extend({group["lr"] for group in self.param_groups})
        return real(self, *arguments, **named)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    _, checkpoint = run(easy, weights="origin", epochs=3, head_epochs=1, fine_tune=0.25, schedule=schedule)
    phases = [TrainConfig(learning_rate=peak, schedule=schedule) for peak in (3e-3, 7.5e-4)]
    expected = [
        learning_rate_at(phase, step / (n * N_BATCHES))
        for phase, n in zip(phases, (1, 2), strict=True)
        for step in range(n * N_BATCHES)
    ]
    assert given == pytest.approx(expected)
    assert [item["learning_rate"] for item in epochs_of(checkpoint)] == pytest.approx(given[N_BATCHES - 1 :: N_BATCHES])


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_features_rest_in_the_first_phase_and_learn_in_the_second(home, easy, origin, ema, optimizer):
    """To the bit, with the statistics of their normalisation, whatever pulls at weights and averages them."""
    settings = FINE | {"epochs": 4, "head_epochs": 2, "ema": ema, "optimizer": optimizer, "weight_decay": 0.5}
    _, checkpoint = run(easy, **settings, should_stop=in_first_phase(2))
    learned = origin.load_network(origin.read_card())
    before = learned.features.state_dict()
    kept = [features_of(checkpoint)]
    kept += [features_of(checkpoint, "average.module.features.")] if ema else []
    tensors = load_state(checkpoint.folder / STATE)[0]
    for found in kept:
        assert found.keys() == before.keys()
        assert all(torch.equal(found[key], value) for key, value in before.items())
    for key in ("head.0.weight", "head.3.weight", "head.3.bias"):
        assert not torch.equal(tensors[f"network.{key}"], learned.state_dict()[key])
    _, checkpoint = run(easy, **settings, resume=True)
    for found in [features_of(checkpoint), *([features_of(checkpoint, "average.module.features.")] if ema else [])]:
        assert all(not torch.equal(found[key], value) for key, value in before.items())


def test_scans_are_dropped_out_of_the_head_while_it_learns_alone(home, easy, origin, monkeypatch):
    """The features are in evaluation mode, but the run is in training."""
    seen = []
    real = torch.nn.Dropout.forward

    def forward(self, inputs):
        seen.append((self.training, self.probabilities))
        return real(self, inputs)

    monkeypatch.setattr(torch.nn.Dropout, "forward", forward)
    run(easy, weights="origin", epochs=2, head_epochs=1, dropout=0.4, should_stop=stop_after(2))
    assert (True, 0.4) in seen
    assert (False, 0.4) not in seen


def test_patience_begins_with_the_second_phase(home, easy, origin, monkeypatch):
    import xrai.training.run as module

    real = module.Trainer.validate

    def never_better(self, *arguments, **named):
        found = real(self, *arguments, **named)
        return found and found | {"auc": 0.5, "loss": 1.0}

    monkeypatch.setattr(module.Trainer, "validate", never_better)
    card, checkpoint = run(easy, weights="origin", epochs=20, head_epochs=4, patience=2)
    assert card.training["ended"] == "early"
    assert card.training["best_epoch"] == 1
    assert len(epochs_of(checkpoint)) == 6


BORDER = N_BATCHES + N_VAL_BATCHES


@pytest.mark.parametrize(
    "questions",
    [1, N_BATCHES, BORDER, BORDER + 1, BORDER + N_BATCHES, 3 * BORDER],
    ids=["first batch", "last batch of the head", "its validation", "first batch of all", "its last", "at the end"],
)
def test_a_run_of_two_phases_goes_on_as_if_nothing_had_been(home, easy, fine, questions):
    run(easy, "broken", **FINE, should_stop=stop_after(questions))
    card, broken = run(easy, "broken", **FINE, resume=True)
    assert card.training["ended"] == "finished"
    assert_same_run(fine, broken)
    assert card.training["started_from"] == fine.read_card().training["started_from"]
    assert card.notes == fine.read_card().notes
    assert card.preprocessing == fine.read_card().preprocessing


def test_a_run_killed_between_its_phases_goes_on(home, easy, fine, monkeypatch):
    import xrai.training.run as module

    real = module.Trainer._enter_phase

    def killed(self):
        if self.epoch == 1:
            raise KeyboardInterrupt
        real(self)

    with monkeypatch.context() as patch:
        patch.setattr(module.Trainer, "_set_phase", killed)
        with pytest.raises(KeyboardInterrupt):
            run(easy, "broken", **FINE)
    broken = open_checkpoint("broken")
    assert load_state(broken.folder / STATE)[1]["epoch"] == 1
    run(easy, "broken", **FINE, resume=True)
    assert_same_run(fine, broken)


def test_a_run_of_two_phases_can_be_stopped_again_and_again(home, easy, fine):
    run(easy, "broken", **FINE, should_stop=stop_after(1))
    for _ in range(30):
        card, broken = run(easy, "broken", **FINE, resume=True, should_stop=stop_after(2))
        if card and card.training["ended"] == "finished":
            break
    assert_same_run(fine, broken)


@pytest.mark.parametrize("questions", [2, BORDER + 2], ids=["in the first phase", "in the second"])
def test_a_run_goes_on_without_the_model_that_it_started_from(home, easy, fine, origin, questions):
    run(easy, "broken", **FINE, should_stop=stop_after(questions))
    shutil.rmtree(origin.folder)
    card, broken = run(easy, "broken", **FINE, resume=True)
    assert_same_run(fine, broken)
    assert card.training["started_from"]["model"] == "origin"
    assert card.notes == fine.read_card().notes
    assert card.preprocessing == fine.read_card().preprocessing


def test_a_run_that_saved_nothing_needs_the_model_that_it_starts_from(home, easy, fine, origin):
    checkpoint = checkpoint_of("killed", easy, TrainConfig(**FINE))
    append_record(checkpoint.folder / HISTORY_FILE, {"kind": "start"})
    run(easy, "killed", **FINE, resume=True)
    assert_same_run(fine, checkpoint)
    checkpoint = checkpoint_of("later", easy, TrainConfig(**FINE))
    shutil.rmtree(origin.folder)
    with pytest.raises(CheckpointError, match="no model “origin”"):
        run(easy, "later", **FINE, resume=True)


@pytest.mark.parametrize("damage", ["missing", "damaged", "without weights", "damaged weights"])
def test_a_model_to_start_from_that_is_not_there_is_one_sentence(home, easy, request, damage):
    if damage != "missing":
        origin = request.getfixturevalue("origin")
        if damage == "without weights":
            (origin.folder / WEIGHTS).unlink()
        else:
            (origin.folder / (CARD if damage == "damaged" else WEIGHTS)).write_bytes(b"hello")
    with pytest.raises(CheckpointError, match="“origin”") as error:
        run(easy, "m", weights="origin", epochs=2, head_epochs=1)
    assert "\n" not in str(error.value)
    assert [item.name for item in open_checkpoint("m").folder.iterdir()] == [CONFIG]


@pytest.mark.parametrize("other", [{"filters": 8}, {"dense_layers": 2}, {"network": "resnet18"}], ids=str)
def test_a_model_of_another_shape_is_one_sentence(home, easy, origin, other, capsys):
    with pytest.raises(WeightsError, match="leave network, image size, members and convnet settings as that"):
        run(easy, "m", weights="origin", **other)
    assert [item.name for item in open_checkpoint("m").folder.iterdir()] == [CONFIG]
    config = TrainConfig(**SMALL | {"weights": "origin", "epochs": 1} | other)
    assert cli.main(["train", str(easy), "--name", "from the shell", *config.to_arguments()]) == 1
    said = capsys.readouterr().err.strip()
    assert "as that model has them" in said
    assert "Traceback" not in said
    checkpoint = open_checkpoint("from the shell")
    assert {item.name for item in checkpoint.folder.iterdir()} <= {CONFIG, "job.json", "job.lock", "log.txt"}
    assert not checkpoint.is_taken


def published(name, folder, monkeypatch):
    """Weights of chance where XRAI looks for those of ImageNet, by their true hash."""
    torch.manual_seed(5)
    folder.mkdir(parents=True)
    file = folder / "weights.pth"
    torch.save(torchvision.models.get_model(name, weights=None).state_dict(), file)
    file = file.rename(folder / f"{name}-{hashlib.sha256(file.read_bytes()).hexdigest()[:8]}.pth")
    weights = SimpleNamespace(DEFAULT=SimpleNamespace(url=f"https://nowhere.invalid/models/{file.name}"))
    monkeypatch.setattr(torchvision.models, "get_model_weights", lambda name: weights)
    return file


def test_an_imagenet_run_goes_on_without_the_file_of_its_weights(home, easy, monkeypatch, no_network):
    settings = {"network": "mobilenet_v3_small", "weights": "imagenet", "epochs": 2, "head_epochs": 1}
    file = published("mobilenet_v3_small", home / "checkpoints" / ".imagenet", monkeypatch)
    card, one = run(easy, "one", **settings)
    assert (card.preprocessing.mean, card.preprocessing.std) == (0.449, 0.226)
    assert "started_from" not in card.training
    run(easy, "two", **settings, should_stop=stop_after(BORDER + 2))
    file.unlink()
    _, two = run(easy, "two", **settings, resume=True)
    assert_same_run(one, two)
    with pytest.raises(WeightsError, match="no internet"):
        run(easy, "three", **settings)


SHARED = """
import os, sys, torch
from xrai import cli, jobs
from xrai.training.run import _Run

real, asked = _Run.go, iter(range(99))

def go(self):
    reason = real(self)
    own = torch.cat([item.detach().flatten() for item in self.network.parameters()])
    parts = [torch.empty_like(own) for _ in range(2)]
    torch.distributed.all_gather(parts, own)
    if not torch.equal(*parts):
        sys.exit("the processes have learned each something else")
    return reason

_Run.go = go
if stop := int(os.environ["STOP"]):
    jobs.Running.should_stop = lambda self: setattr(self, "told", next(asked) >= stop - 1) or self.told
sys.exit(cli.main(sys.argv[1:]))
"""


def test_two_processes_share_a_run_of_two_phases(home, easy, origin):
    """What shares gradients between processes must share those of the features too once these learn."""
    script = home / "share.py"
    script.write_text(SHARED)

    def shell(stop, *arguments):
        done = subprocess.run(
            [sys.executable, script, "train", *arguments],
            cwd=PROJECT_DIR, capture_output=True, text=True, timeout=120, check=False,
            env=os.environ | {"PYTHONPATH": str(PROJECT_DIR), "STOP": str(stop)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr

    settings = SMALL | {"weights": "origin", "epochs": 3, "head_epochs": 1, "devices": 2}
    # stopped in the second phase, so that the run enters it once by itself and once by going on
    shell(N_BATCHES + 2, easy, "--name", "two", *TrainConfig(**settings).to_arguments())
    two = open_checkpoint("two")
    assert load_state(two.folder / STATE)[1]["epoch"] == 1
    shell(0, "--name", "two", "--resume")
    assert [item["epoch"] for item in epochs_of(two)] == [1, 2, 3]
    card = two.read_card()
    assert card.training["ended"] == "finished"
    assert card.training["started_from"]["model"] == "origin"
    assert card.preprocessing == origin.read_card().preprocessing
    before = origin.load_network(origin.read_card()).features.state_dict()
    assert all(not torch.equal(value, before[key]) for key, value in features_of(two).items())


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_loss_that_is_no_number_in_the_first_epoch(home, easy, monkeypatch):
    monkeypatch.setattr("xrai.training.fit.learning_rate_at", lambda config, progress: float("inf"))
    with pytest.raises(TrainingError, match=r"no number any more in epoch 1.*learning rate 10 .*no usable weights"):
        run(easy, learning_rate=10.0, optimizer="sgd")
    checkpoint = open_checkpoint("m")
    assert not checkpoint.is_model
    assert read_records(checkpoint.folder / HISTORY_FILE)[-1]["reason"] == "failed"


@pytest.mark.parametrize("moment", [N_BATCHES + 1, 2 * N_BATCHES - 1], ids=["while training", "seen in validation"])
def test_loss_that_is_no_number_later_keeps_the_best_weights(home, easy, monkeypatch, moment):
    monkeypatch.setattr(
        "xrai.training.fit.learning_rate_at",
        lambda config, progress: float("inf") if progress >= moment / (5 * N_BATCHES) else 1e-3,
    )
    with pytest.raises(TrainingError, match=r"no number any more in epoch 2.*best weights so far are kept"):
        run(easy, epochs=5, optimizer="sgd")
    checkpoint = open_checkpoint("m")
    card = checkpoint.read_card()
    assert card.training["best_epoch"] == 1
    assert card.training["ended"] == "failed"
    weights = load_file(checkpoint.folder / WEIGHTS)
    assert all(bool(value.isfinite().all()) for value in weights.values())
    json.loads((checkpoint.folder / CARD).read_text(), parse_constant=pytest.fail)


def test_a_learning_rate_that_is_truly_too_high_keeps_the_best_weights(home, easy):
    """The loss grows beyond all numbers by itself."""
    settings = {"epochs": 40, "optimizer": "sgd", "schedule": "constant", "learning_rate": 10.0, "batch_size": 512}
    with pytest.raises(TrainingError, match=r"no number any more.*learning rate 10 .*best weights so far are kept"):
        run(easy, **settings)
    checkpoint = open_checkpoint("m")
    card = checkpoint.read_card()
    assert card.training["ended"] == "failed"
    assert card.training["best_epoch"] in [item["epoch"] for item in epochs_of(checkpoint)]
    assert all(bool(value.isfinite().all()) for value in checkpoint.load_network(card).state_dict().values())
    assert math.isfinite(card.validation["loss"])


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


def test_a_disk_full_at_the_very_first_state_can_be_resumed(home, easy, whole, monkeypatch):
    """It left weights of which nobody knew how to go on, and said “resume it”."""
    with monkeypatch.context() as patch:
        patch.setattr("xrai.training.persistence.save_file", raising(FULL["the system's"]))
        with pytest.raises(TrainingError, match="disk is full: free some space and resume it"):
            run(easy, "full", **DEMANDING)
    checkpoint = open_checkpoint("full")
    assert (checkpoint.is_taken, checkpoint.can_resume) == (False, True)
    run(easy, "full", **DEMANDING, resume=True)
    assert_same_run(whole, checkpoint)


@pytest.mark.parametrize(
    "victim", ["training.run.save_state", "checkpoint.Checkpoint.save_network", "training.run._Run._enter_phase"]
)
def test_a_kill_at_the_end_of_the_first_epoch_can_be_resumed(home, easy, whole, monkeypatch, victim):
    """Before its state, between that and the weights, and after both; `finish` runs in no killed process."""
    if victim.endswith("_set_phase"):
        real, kill = Trainer._set_phase, raising(KeyboardInterrupt())
        act = lambda self: kill() if self.epoch == 1 else real(self)  # noqa: E731
    else:
        act = raising(KeyboardInterrupt())
    with monkeypatch.context() as patch:
        patch.setattr(f"xrai.{victim}", act)
        with pytest.raises(KeyboardInterrupt):
            run(easy, "killed", **DEMANDING)
    checkpoint = open_checkpoint("killed")
    assert checkpoint.can_resume
    run(easy, "killed", **DEMANDING, resume=True)
    assert_same_run(whole, checkpoint)


@pytest.mark.parametrize("ended", ["finished", "early", "stopped", "failed"])
def test_a_model_without_a_state_is_never_trained_over(home, easy, whole, ended):
    """Such as those in the box, and imported ones, however their training ended."""
    card = whole.read_card()
    whole.write_card(replace(card, training=card.training | {"ended": ended, "epochs_run": 1}))
    shutil.rmtree(whole.folder / STATE)
    before = {name: (whole.folder / name).read_bytes() for name in (CARD, WEIGHTS, HISTORY_FILE)}
    assert (whole.is_taken, whole.can_resume) == (True, False)
    with pytest.raises(CheckpointError, match="cannot go on"):
        run(easy, "whole", **DEMANDING, resume=True)
    assert {name: (whole.folder / name).read_bytes() for name in before} == before


def raising(error):
    def act(*arguments, **named):
        raise error

    return act


@pytest.mark.parametrize("victim", ["save_network", "write_card"])
def test_disk_full_at_the_weights_or_the_card(home, easy, whole, monkeypatch, victim):
    def full(self, *arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(f"xrai.models.checkpoint.Checkpoint.{victim}", full)
        with pytest.raises(TrainingError, match="No space left on device"):
            run(easy, "full", **DEMANDING)
    assert not open_checkpoint("full").is_model
    run(easy, "full", **DEMANDING, resume=True)
    assert epochs_of(open_checkpoint("full")) == epochs_of(whole)


def test_a_folder_whose_rights_forbid_it_is_not_called_a_full_disk(home, easy, monkeypatch):
    def forbidden(self, *arguments):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("xrai.models.checkpoint.Checkpoint.save_network", forbidden)
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

    monkeypatch.setattr("xrai.networks.build.Network.forward", forward)
    with pytest.raises(TrainingError, match="memory: choose a smaller batch size"):
        run(easy)


def test_too_little_memory_for_the_network_itself(home, easy, monkeypatch):
    def build(*arguments, **named):
        raise MemoryError

    monkeypatch.setattr("xrai.training.state.build_network", build)
    with pytest.raises(TrainingError, match="does not fit into this machine's memory"):
        run(easy)


def test_an_error_in_xrai_itself_is_not_disguised(home, easy, monkeypatch):
    def forward(self, scans):
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr("xrai.networks.build.Network.forward", forward)
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


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "constant"])
def test_each_of_two_phases_is_a_schedule_of_its_own(schedule):
    config = TrainConfig(schedule=schedule, learning_rate=1e-2, weights="m", epochs=8, head_epochs=2, fine_tune=0.05)
    head, whole = (TrainConfig(schedule=schedule, learning_rate=peak) for peak in (1e-2, 5e-4))
    for share in np.linspace(0, 0.999, 37):
        assert learning_rate_at(config, 0.25 * share) == pytest.approx(learning_rate_at(head, share))
    for share in np.linspace(0, 1, 37):
        assert learning_rate_at(config, 0.25 + 0.75 * share) == pytest.approx(learning_rate_at(whole, share))


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "constant"])
def test_without_a_first_phase_the_share_for_the_second_means_nothing(schedule):
    one, other = (TrainConfig(schedule=schedule, weights="m", fine_tune=share) for share in (0.001, 1.0))
    for progress in np.linspace(0, 1, 37):
        assert learning_rate_at(one, progress) == learning_rate_at(other, progress)


@pytest.mark.parametrize(("epochs", "head_epochs"), [(15, 3), (47, 3), (49, 1), (49, 2), (77, 5)], ids=str)
@pytest.mark.parametrize("n_batches", [1, 4, 100])
def test_the_second_phase_begins_with_its_first_batch(epochs, head_epochs, n_batches):
    """The share of the run that is done, times its epochs, may fall short of a whole number by rounding."""
    config = TrainConfig(schedule="constant", weights="m", epochs=epochs, head_epochs=head_epochs)
    total = epochs * n_batches
    rates = [learning_rate_at(config, batch / total) for batch in range(total)]
    border = head_epochs * n_batches
    assert set(rates[:border]) == {1e-3}
    assert {round(rate, 9) for rate in rates[border:]} == {1e-4}


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
    restore_optimizer(restored, {name: value.clone() for name, value in optimizer_to_tensors(optimizer).items()})
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
    measured = run_epoch(network, batches, loss_of, EpochOutputs.empty())
    assert measured.is_complete
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

    run_epoch(network, batches, loss_of, EpochOutputs.empty(), step=step)
    assert network.training
    assert len(seen) == 2
    assert any(not torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_run_epoch_breaks_off_when_told():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
    batches = [Batch(torch.rand(2, 1, 2, 2), torch.eye(2), torch.tensor([0, 1]))] * 5
    outcome = run_epoch(
        network,
        batches,
        torch.nn.functional.cross_entropy,
        EpochOutputs.empty(),
        on_batch=lambda outcome: outcome.n < 6,
    )
    assert not outcome.is_complete
    assert outcome.n == 6


def test_nothing_seen_is_no_number():
    assert math.isnan(EpochOutputs.empty().loss)


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
    return BatchLoader(dataset, fit_preprocessing(dataset, config), config, torch.device("cpu"), rank, world)


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
        whole, rest = list(feed.train_batches(3)), list(feed.train_batches(3, first_batch=2))
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

    def augmented(greys, generator, config):
        seeds[-1].append(generator.initial_seed())
        return greys

    monkeypatch.setattr("xrai.training.data.augment_batch", augmented)
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


def test_statistics_are_those_that_the_weights_have_learned_with(easy):
    learned = Preprocessing(224, 32, 0.3, 0.15)
    with open_dataset(easy) as dataset:
        ways = {
            weights: fit_preprocessing(dataset, TrainConfig(**SMALL | {"network": "resnet18", "weights": weights}), way)
            for weights, way in (("scratch", None), ("imagenet", None), ("m", learned))
        }
    assert ways["imagenet"] == Preprocessing(64, 32, 0.449, 0.226)
    assert ways["m"] == Preprocessing(64, 32, 0.3, 0.15)
    assert len({(way.mean, way.std) for way in ways.values()}) == 3


def test_averaging_follows_quickly_then_slowly():
    mean, value = torch.zeros(1), torch.ones(1)
    WarmupEma(0.9)([mean], [value], 0)
    assert mean.item() == pytest.approx(0.9)
    mean = torch.zeros(1)
    WarmupEma(0.9)([mean], [value], 10_000)
    assert mean.item() == pytest.approx(0.1)
    counter = torch.tensor(3)
    WarmupEma(0.9)([counter], [torch.tensor(8)], 5)
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
