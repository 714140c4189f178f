import shutil

import pytest
import torch

from tests.xrai.training.runs import (
    BORDER,
    FINE,
    N_BATCHES,
    SMALL,
    assert_same_run,
    checkpoint_of,
    epochs_of,
    features_of,
    in_first_phase,
    run,
    stop_after,
)
from xrai import cli
from xrai.core.errors import CheckpointError, WeightsError
from xrai.core.json_files import append_record, read_records
from xrai.models.checkpoint import CARD, CONFIG, HISTORY_FILE, STATE, WEIGHTS, open_checkpoint
from xrai.training.config import TrainConfig
from xrai.training.fit import Trainer
from xrai.training.loop import learning_rate_at
from xrai.training.persistence import load_state


def test_the_history_tells_both_phases(home, easy, origin):
    card, checkpoint = run(
        easy,
        weights="origin",
        epochs=5,
        freeze_epochs=2,
        finetune_lr_scale=0.25,
        schedule="constant",
        learning_rate=1e-3,
    )
    start = read_records(checkpoint.folder / HISTORY_FILE)[0]
    assert (start["kind"], start["epochs"], start["freeze_epochs"]) == ("start", 5, 2)
    assert start["parameters"] == card.training.parameters == origin.read_card().training.parameters
    rates = [item["learning_rate"] for item in epochs_of(checkpoint)]
    assert rates == pytest.approx([1e-3, 1e-3, 2.5e-4, 2.5e-4, 2.5e-4])
    assert read_records(origin.folder / HISTORY_FILE)[0]["freeze_epochs"] == 0


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine"])
def test_each_phase_goes_through_its_schedule(home, easy, origin, monkeypatch, schedule):
    """Not only what is told: what the optimizer is given."""
    given = []
    real = torch.optim.AdamW.step

    def step(self, *arguments, **named):
        given.extend({group["lr"] for group in self.param_groups})
        return real(self, *arguments, **named)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    _, checkpoint = run(easy, weights="origin", epochs=3, freeze_epochs=1, finetune_lr_scale=0.25, schedule=schedule)
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
    settings = FINE | {"epochs": 4, "freeze_epochs": 2, "ema_decay": ema, "optimizer": optimizer, "weight_decay": 0.5}
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
        seen.append((self.training, self.p))
        return real(self, inputs)

    monkeypatch.setattr(torch.nn.Dropout, "forward", forward)
    run(easy, weights="origin", epochs=2, freeze_epochs=1, dropout=0.4, should_stop=stop_after(2))
    assert (True, 0.4) in seen
    assert (False, 0.4) not in seen


def test_patience_begins_with_the_second_phase(home, easy, origin, monkeypatch):
    real = Trainer.validate

    def never_better(self, *arguments, **named):
        found = real(self, *arguments, **named)
        return found and found.model_copy(update={"auc": 0.5, "loss": 1.0})

    monkeypatch.setattr(Trainer, "validate", never_better)
    card, checkpoint = run(easy, weights="origin", epochs=20, freeze_epochs=4, patience=2)
    assert card.training.end_reason == "early"
    assert card.training.best_epoch == 1
    assert len(epochs_of(checkpoint)) == 6


@pytest.mark.parametrize(
    "questions",
    [1, N_BATCHES, BORDER, BORDER + 1, BORDER + N_BATCHES, 3 * BORDER],
    ids=["first batch", "last batch of the head", "its validation", "first batch of all", "its last", "at the end"],
)
def test_a_run_of_two_phases_goes_on_as_if_nothing_had_been(home, easy, fine, questions):
    run(easy, "broken", **FINE, should_stop=stop_after(questions))
    card, broken = run(easy, "broken", **FINE, resume=True)
    assert card.training.end_reason == "finished"
    assert_same_run(fine, broken)
    assert card.training.source_model == fine.read_card().training.source_model
    assert card.notes == fine.read_card().notes
    assert card.preprocessing == fine.read_card().preprocessing


def test_a_run_killed_between_its_phases_goes_on(home, easy, fine, monkeypatch):
    real = Trainer._set_phase

    def killed(self):
        if self.state.epoch == 1:
            raise KeyboardInterrupt
        real(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_set_phase", killed)
        with pytest.raises(KeyboardInterrupt):
            run(easy, "broken", **FINE)
    broken = open_checkpoint("broken")
    assert load_state(broken.folder / STATE)[1].epoch == 1
    run(easy, "broken", **FINE, resume=True)
    assert_same_run(fine, broken)


def test_a_run_of_two_phases_can_be_stopped_again_and_again(home, easy, fine):
    run(easy, "broken", **FINE, should_stop=stop_after(1))
    for _ in range(30):
        card, broken = run(easy, "broken", **FINE, resume=True, should_stop=stop_after(2))
        if card and card.training.end_reason == "finished":
            break
    assert_same_run(fine, broken)


@pytest.mark.parametrize("questions", [2, BORDER + 2], ids=["in the first phase", "in the second"])
def test_a_run_goes_on_without_the_model_that_it_started_from(home, easy, fine, origin, questions):
    run(easy, "broken", **FINE, should_stop=stop_after(questions))
    shutil.rmtree(origin.folder)
    card, broken = run(easy, "broken", **FINE, resume=True)
    assert_same_run(fine, broken)
    assert card.training.source_model.model == "origin"
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
        run(easy, "m", weights="origin", epochs=2, freeze_epochs=1)
    assert "\n" not in str(error.value)
    assert [item.name for item in open_checkpoint("m").folder.iterdir()] == [CONFIG]


@pytest.mark.parametrize("other", [{"filters": 8}, {"dense_layers": 2}, {"network": "resnet18"}], ids=str)
def test_a_model_of_another_shape_is_one_sentence(home, easy, origin, other, capsys):
    with pytest.raises(WeightsError, match="keep the network, image size, ensemble size and convnet settings of that"):
        run(easy, "m", weights="origin", **other)
    assert [item.name for item in open_checkpoint("m").folder.iterdir()] == [CONFIG]
    config = TrainConfig(**SMALL | {"weights": "origin", "epochs": 1} | other)
    assert cli.main(["train", str(easy), "--name", "from the shell", *config.to_arguments()]) == 1
    said = capsys.readouterr().err.strip()
    assert "keep the network, image size" in said
    assert "Traceback" not in said
    checkpoint = open_checkpoint("from the shell")
    assert {item.name for item in checkpoint.folder.iterdir()} <= {CONFIG, "job.json", "job.lock", "log.txt"}
    assert not checkpoint.is_taken
