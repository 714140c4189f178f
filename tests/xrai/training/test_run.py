import shutil

import pytest

from tests.xrai.training.runs import N_BATCHES, SMALL, changed_copy, epochs_of, kinds_of, run, settings_of
from xrai.core.errors import TrainingError
from xrai.core.json_files import read_records
from xrai.data.dataset import open_dataset
from xrai.models.checkpoint import CARD, CONFIG, HISTORY_FILE, STATE, WEIGHTS, open_checkpoint
from xrai.training.config import TrainConfig
from xrai.training.fit import Trainer


def test_card_and_history_tell_the_run(home, easy):
    (home / "data").mkdir()
    dataset = shutil.copy(easy, home / "data" / "easy set.hdf5")
    card, checkpoint = run(dataset, "my model", epochs=2, label_smoothing=0.1)
    assert checkpoint.read_card() == card
    assert card.classes == ("CLEAR", "OPACITY")
    assert settings_of(card) == TrainConfig(**SMALL | {"epochs": 2, "label_smoothing": 0.1})
    assert (card.threshold.class_name, card.threshold.value) == ("OPACITY", 0.5)
    assert card.calibration and card.abstention
    assert card.training.epochs_run == 2
    assert card.training.end_reason == "finished"
    assert card.training.best_epoch in (1, 2)
    with open_dataset(dataset) as opened:
        assert card.dataset.to_dict() == opened.describe().to_dict() | {"audit": None}
        n_train, n_val = len(opened.rows("train")), len(opened.rows("val"))
    assert (card.preprocessing.stored_size, card.preprocessing.input_size) == (64, 32)
    assert card.validation.n == n_val
    assert min(card.heatmap_scale["Grad-CAM"].values()) > 0
    start, *_, end = read_records(checkpoint.folder / HISTORY_FILE)
    assert (start["kind"], start["train"], start["val"], start["batches"]) == ("start", n_train, n_val, N_BATCHES)
    assert (end["kind"], end["reason"]) == ("end", "finished")
    assert epochs_of(checkpoint)[card.training.best_epoch - 1]["best"]
    assert kinds_of(checkpoint) == ["start", "epoch", "epoch", "end"]


def test_nothing_that_is_kept_names_the_place_of_the_home(home, easy):
    """The folder can be copied to another machine, and tells nobody how this one is laid out."""
    (home / "data").mkdir()
    _, checkpoint = run(shutil.copy(easy, home / "data" / "easy.hdf5"), epochs=1)
    for name in (CARD, CONFIG, HISTORY_FILE, f"{STATE}/values.json"):
        assert str(home) not in (checkpoint.folder / name).read_text(encoding="utf-8")


def test_the_command_in_the_card_is_that_of_the_run(home, easy):
    (home / "data").mkdir()
    dataset = shutil.copy(easy, home / "data" / "easy set.hdf5")
    card, _ = run(dataset, "my model", epochs=1, hflip=True)
    command = card.training.command
    assert command.startswith("python -m xrai train 'data/easy set.hdf5' --name 'my model' ")
    assert "--hflip yes" in command
    assert settings_of(card).hflip


def test_weights_are_those_of_the_best_epoch(home, easy):
    card, checkpoint = run(easy, epochs=4, patience=0, learning_rate=0.02)
    epochs = epochs_of(checkpoint)
    best = [item["epoch"] for item in epochs if item["best"]][-1]
    assert card.training.best_epoch == best
    scores = [(round(item["val"]["auc"], 3), -item["val"]["loss"]) for item in epochs]
    assert scores[best - 1] == max(scores)
    assert card.validation.loss == pytest.approx(epochs[best - 1]["val"]["loss"], abs=5e-3)


@pytest.mark.parametrize(("keep", "kept"), [("auc", 1), ("loss", 2), ("last", 3)])
def test_the_epoch_that_is_kept_can_be_chosen(home, easy, monkeypatch, keep, kept):
    measured = iter([(0.99, 0.9), (0.9, 0.2), (0.8, 0.5)])  # AUC and loss of the epochs
    real = Trainer.validate

    def validated(self, *arguments, is_stoppable=False, **named):
        found = real(self, *arguments, is_stoppable=is_stoppable, **named)
        if not is_stoppable:  # the last measurement, of the weights that were kept
            return found
        auc, loss = next(measured)
        return found.model_copy(update={"auc": auc, "loss": loss})

    monkeypatch.setattr(Trainer, "validate", validated)
    card, checkpoint = run(easy, epochs=3, select_by=keep)
    assert card.training.best_epoch == kept
    assert [item["epoch"] for item in epochs_of(checkpoint) if item["best"]][-1] == kept


def test_validation_that_lacks_a_class(home, easy, tmp_path):
    def change(file):
        label, split = file["label"][()], file["split"][()]
        split[(label == 1) & (split == 1)] = 2
        file["split"][...] = split

    card, checkpoint = run(changed_copy(easy, tmp_path / "lacking.hdf5", change), epochs=2)
    assert card.validation.auc is None
    assert card.validation.auc_interval is None
    assert 0 <= card.validation.accuracy <= 1
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
    real = Trainer.validate

    def never_better(self, *arguments, **named):
        found = real(self, *arguments, **named)
        return found and found.model_copy(update={"auc": 0.5, "loss": 1.0})

    monkeypatch.setattr(Trainer, "validate", never_better)
    card, checkpoint = run(easy, epochs=20, patience=2)
    assert card.training.end_reason == "early"
    assert len(epochs_of(checkpoint)) == 3
    card, _ = run(easy, epochs=20, patience=2, resume=True)
    assert card.training.end_reason == "early"
    assert len(epochs_of(checkpoint)) == 3
