import errno
import json
import math
import shutil
import urllib.error
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.xrai.training.runs import DEMANDING, FULL, N_BATCHES, assert_same_run, epochs_of, raising, run
from xrai.core.errors import CheckpointError, TrainingError, WeightsError
from xrai.core.json_files import read_records
from xrai.models.checkpoint import CARD, HISTORY_FILE, STATE, WEIGHTS, open_checkpoint
from xrai.training.fit import Trainer
from xrai.training.persistence import load_state


def test_loss_that_is_no_number_in_the_first_epoch(home, easy, monkeypatch):
    monkeypatch.setattr("xrai.training.fit.learning_rate_at", lambda config, progress: float("inf"))
    with pytest.raises(TrainingError, match=r"not finite in epoch 1.*learning rate 10 .*no usable weights"):
        run(easy, learning_rate=10.0, optimizer="sgd")
    checkpoint = open_checkpoint("m")
    assert not checkpoint.is_model
    assert read_records(checkpoint.folder / HISTORY_FILE)[-1]["reason"] == "diverged"


@pytest.mark.parametrize("moment", [N_BATCHES + 1, 2 * N_BATCHES - 1], ids=["while training", "seen in validation"])
def test_loss_that_is_no_number_later_keeps_the_best_weights(home, easy, monkeypatch, moment):
    monkeypatch.setattr(
        "xrai.training.fit.learning_rate_at",
        lambda config, progress: float("inf") if progress >= moment / (5 * N_BATCHES) else 1e-3,
    )
    with pytest.raises(TrainingError, match=r"not finite in epoch 2.*best weights so far are kept"):
        run(easy, epochs=5, optimizer="sgd")
    checkpoint = open_checkpoint("m")
    card = checkpoint.read_card()
    assert card.training.best_epoch == 1
    assert card.training.end_reason == "failed"
    weights = load_file(checkpoint.folder / WEIGHTS)
    assert all(bool(value.isfinite().all()) for value in weights.values())
    json.loads((checkpoint.folder / CARD).read_text(), parse_constant=pytest.fail)


def test_a_learning_rate_that_is_truly_too_high_keeps_the_best_weights(home, easy):
    """The loss grows beyond all numbers by itself."""
    settings = {"epochs": 40, "optimizer": "sgd", "schedule": "constant", "learning_rate": 10.0, "batch_size": 512}
    with pytest.raises(TrainingError, match=r"not finite.*learning rate 10 .*best weights so far are kept"):
        run(easy, **settings)
    checkpoint = open_checkpoint("m")
    card = checkpoint.read_card()
    assert card.training.end_reason == "failed"
    assert card.training.best_epoch in [item["epoch"] for item in epochs_of(checkpoint)]
    assert all(bool(value.isfinite().all()) for value in checkpoint.load_network(card).state_dict().values())
    assert math.isfinite(card.validation.loss)


@pytest.mark.parametrize("error", FULL.values(), ids=FULL.keys())
def test_full_disk_keeps_what_was_saved_last(home, easy, whole, monkeypatch, error):
    import xrai.training.persistence as module

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
    assert load_state(checkpoint.folder / STATE)[1].epoch == 1
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
    "victim",
    ["training.persistence.save_state", "models.checkpoint.Checkpoint.save_network", "training.fit.Trainer._set_phase"],
)
def test_a_kill_at_the_end_of_the_first_epoch_can_be_resumed(home, easy, whole, monkeypatch, victim):
    """Before its state, between that and the weights, and after both; `finish` runs in no killed process."""
    if victim.endswith("_set_phase"):
        real, kill = Trainer._set_phase, raising(KeyboardInterrupt())
        act = lambda self: kill() if self.state.epoch == 1 else real(self)  # noqa: E731
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
    whole.write_card(card.replace(training=card.training.replace(end_reason=ended, epochs_run=1)))
    shutil.rmtree(whole.folder / STATE)
    before = {name: (whole.folder / name).read_bytes() for name in (CARD, WEIGHTS, HISTORY_FILE)}
    assert (whole.is_taken, whole.can_resume) == (True, False)
    with pytest.raises(CheckpointError, match="cannot go on"):
        run(easy, "whole", **DEMANDING, resume=True)
    assert {name: (whole.folder / name).read_bytes() for name in before} == before


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
