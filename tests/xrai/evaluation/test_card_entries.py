"""What a card keeps of evaluations, and the scans that a model had seen."""

import errno
import shutil
import threading
import time

import numpy as np
import pytest
import torch

from tests.xrai.evaluation.models import KEYS, changed_copy, descended, measured
from xrai.core.errors import CheckpointError, DatasetError
from xrai.data.dataset import open_dataset
from xrai.evaluation.evaluate import NotSavedError, evaluate
from xrai.evaluation.store import evaluation_folder, load_evaluation
from xrai.models.checkpoint import Checkpoint
from xrai.networks.build import build_network


def test_the_card_keeps_every_measurement_and_counts_them(model, dataset):
    first = measured(model, dataset, "test")
    assert first["measured_before"] == 0
    assert measured(model, dataset, "val")["measured_before"] == 0
    assert measured(model, dataset, "test")["measured_before"] == 1
    assert measured(model, dataset, "test")["measured_before"] == 2
    kept = model.read_card().evaluations
    assert [item.split for item in kept] == ["test", "val", "test", "test"]
    assert {item.fingerprint for item in kept} == {dataset.fingerprint}
    for name in ("accuracy", "auc", "threshold", "n", "n_patients", "dataset"):
        assert getattr(kept[0], name) == first[name]
    assert model.read_card().threshold_value == 0.5


def test_a_measurement_that_cannot_be_noted_is_said(model, dataset, monkeypatch):
    def full(self, card):
        raise OSError(errno.ENOSPC, "No space left on device")

    before = (model.folder / "card.json").read_bytes()
    monkeypatch.setattr("xrai.models.checkpoint.Checkpoint.write_card", full)
    with pytest.raises(NotSavedError, match=r"cannot be kept in the folder of the model “m” \(No space left") as stated:
        evaluate(model, dataset)
    assert (model.folder / "card.json").read_bytes() == before
    found = stated.value.result.report
    assert set(found) == KEYS
    assert f"accuracy {found['accuracy']:.3f}, AUC {found['auc']:.3f}, on {found['n']} scans" in str(stated.value)


def test_a_measurement_that_cannot_be_kept_keeps_the_earlier_one_and_counts(model, dataset, monkeypatch):
    """People read its figures in the sentence, so it was a look."""
    earlier = evaluate(model, dataset)

    def full(folder, found):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("xrai.evaluation.evaluate.save_evaluation", full)
    with pytest.raises(NotSavedError) as stated:
        evaluate(model, dataset)
    assert stated.value.result.report["measured_before"] == 1
    kept = load_evaluation(evaluation_folder(model, dataset.path, "test"))
    assert kept.report["when"] == earlier.report["when"]
    assert kept.report["measured_before"] == 0
    assert len(model.read_card().evaluations) == 2


def test_two_that_end_at_once_are_both_counted(model, dataset, monkeypatch):
    """Each once wrote the card with its own look alone."""
    real, begun = Checkpoint.write_card, threading.Barrier(2)

    def slowly(checkpoint, card):
        time.sleep(0.2)  # in which the other would read the card as it was
        real(checkpoint, card)

    def together(done, total):
        if done == total:
            begun.wait(600)

    monkeypatch.setattr(Checkpoint, "write_card", slowly)

    def measure(split):
        with open_dataset(dataset.path) as opened:
            evaluate(model, opened, split, progress=together)

    users = [threading.Thread(target=measure, args=(split,)) for split in ("val", "test")]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert sorted(item.split for item in model.read_card().evaluations) == ["test", "val"]


def test_a_model_that_is_deleted_meanwhile_leaves_nothing_behind(model, dataset):
    with pytest.raises(CheckpointError, match="There is no model “m”"):
        evaluate(model, dataset, progress=lambda done, total: shutil.rmtree(model.folder, ignore_errors=True))
    assert not model.folder.exists()


def test_what_others_noted_in_the_card_meanwhile_is_kept(model, dataset):
    """Two measurements at once: the second to end must not write over the first."""
    inner = []

    def meanwhile(done, total):
        if not inner:
            inner.append(None)
            evaluate(model, dataset, "val")

    assert measured(model, dataset, "test", progress=meanwhile)["measured_before"] == 0
    assert [item.split for item in model.read_card().evaluations] == ["val", "test"]


def test_a_model_that_is_trained_on_meanwhile_is_to_be_measured_again(model, dataset):
    later = model.read_card().replace(training={"best_epoch": 2})
    with pytest.raises(CheckpointError, match=r"“m” was trained on while it was measured.*measure it again"):
        evaluate(model, dataset, "test", progress=lambda done, total: model.write_card(later))
    assert model.read_card() == later


def test_weights_that_change_while_they_are_measured_are_to_be_measured_again(model, dataset):
    def train_on(done, total):
        torch.manual_seed(9)
        model.save_network(build_network(model.read_card().network, 2))

    with pytest.raises(CheckpointError, match="measure it again"):
        evaluate(model, dataset, progress=train_on)


def test_the_card_tells_the_weights_that_were_measured(model, dataset):
    found = evaluate(model, dataset)
    assert found.has_weights_of(model)
    assert model.read_card().evaluations[0].weights_sha256 == found.report["weights"] == model.weights_sha256()


@pytest.mark.parametrize("how", ["near", "far"])
def test_scans_that_an_ancestor_learned_from_were_seen(model, dataset, how):
    """A model that started from one trained on these very scans once claimed to have seen none of them."""
    assert measured(model, dataset, "val")["seen"] == 0
    model.write_card(descended(model, dataset, how))
    for split in ("train", "val"):
        found = measured(model, dataset, split)
        assert (found["seen"], found["unseen"]) == (found["n"], None)
    assert measured(model, dataset, "test")["seen"] == 0


def test_files_that_are_the_same_as_one_that_an_ancestor_learned_from_were_seen(model, practice, tmp_path):
    def copy(file):
        splits, hashes = file["split"][()], file["sha256"]
        hashes[int(np.flatnonzero(splits == 2)[0])] = hashes[int(np.flatnonzero(splits == 0)[0])]

    with open_dataset(changed_copy(practice, tmp_path / "d.hdf5", copy)) as dataset:
        model.write_card(descended(model, dataset, "far"))
        found = measured(model, dataset, "test")
        assert found["seen"] == 1
        assert found["unseen"]["n"] == found["n"] - 1


def test_a_name_that_fits_several_files_leaves_none_of_them_out(model, practice, tmp_path):
    """It once left out every scan of that name, in whatever folder."""

    def rename(file):
        first, second, third = np.flatnonzero(file["split"][()] == 2)[:3]
        for row, name in ((first, "a/film.png"), (second, "b/film.png"), (third, "film.png")):
            file["file"][int(row)] = name

    with open_dataset(changed_copy(practice, tmp_path / "d.hdf5", rename)) as dataset:
        names = dataset.files[dataset.rows("test")].tolist()
        assert measured(model, dataset, excluded_files=["a/film.png"])["left_out"] == 1
        kept = evaluate(model, dataset, excluded_files=["film.png"]).predictions.files
        assert set(names) - set(kept) == {"film.png"}, "a whole path is no last part"

    def nest(file):
        rename(file)
        file["file"][int(np.flatnonzero(file["split"][()] == 2)[2])] = "c/film.png"

    with (
        open_dataset(changed_copy(practice, tmp_path / "e.hdf5", nest)) as dataset,
        pytest.raises(DatasetError, match=r"“film.png”.* fits 3 files of the test split.*write its whole path"),
    ):
        evaluate(model, dataset, excluded_files=["film.png", "a/film.png"])
