import math

import numpy as np
import pytest
import torch

from tests.xrai.training.runs import (
    DEMANDING,
    N_BATCHES,
    assert_same_run,
    changed_copy,
    epochs_of,
    run,
    settings_of,
    stop_after,
    turned,
)
from xrai.core.errors import WeightsError
from xrai.core.json_files import read_records
from xrai.data.dataset import open_dataset
from xrai.evaluation.evaluate import predict_probabilities
from xrai.models.checkpoint import HISTORY_FILE
from xrai.networks.build import build_network
from xrai.training.config import TrainConfig
from xrai.training.data import Batch
from xrai.training.loop import EpochOutputs, learning_rate_at, make_loss, make_optimizer, run_epoch


@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": 6},
        {"network": "resnet18", "epochs": 3, "learning_rate": 1e-3},
        {"network": "resnet18_half", "epochs": 3, "learning_rate": 1e-3, "ensemble_size": 2, "normalize": "image"},
    ],
    ids=["convnet", "resnet18", "two half resnet18"],
)
def test_networks_learn(home, easy, settings):
    card, checkpoint = run(easy, **settings, augment_strength=0.3)
    epochs = epochs_of(checkpoint)
    assert epochs[-1]["train"]["loss"] < 0.6 * epochs[0]["train"]["loss"]
    assert card.validation.auc > 0.95
    assert card.validation.auc_interval[0] <= card.validation.auc <= card.validation.auc_interval[1]


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
        networks = [build_network(config, 2) for _ in range(1 if config.ensemble_size > 1 else 3)]
        for network in networks:
            loss_of = make_loss(config, np.ones(2), torch.device("cpu"))
            with torch.no_grad():
                network.head.bias.zero_()
            loss_of(network.train()(scans), targets).backward()
            make_optimizer(config, network).step()
        return networks

    alone, (three,) = after_a_step(config), after_a_step(config.replace(ensemble_size=3))
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

    settings = {"network": "resnet18_half", "ensemble_size": 2, "normalize": "image", "epochs": 2}
    card, checkpoint = run(easy, **settings)
    assert (settings_of(card).ensemble_size, card.preprocessing.per_scan) == (2, True)
    network = checkpoint.load_network(card)
    assert network.ensemble_size == 2
    with open_dataset(easy) as dataset:
        said = predict_probabilities(network, card, dataset, dataset.rows("val"))
        right = (said.argmax(axis=1) == dataset.labels[dataset.rows("val")]).mean()
    assert card.validation.accuracy == pytest.approx(right, abs=1e-4)
    whole = epochs_of(checkpoint)
    run(easy, "cut", **settings, should_stop=stop_after(3))
    _, cut = run(easy, "cut", **settings, resume=True)
    assert epochs_of(cut) == whole


@pytest.mark.parametrize("names", [("CLEAR", "OPACITY"), ("A", "B")], ids=["the same classes", "other classes"])
def test_members_go_on_from_members(home, easy, tmp_path, names):
    side_by_side = {"network": "resnet18_half", "ensemble_size": 2}
    run(easy, "origin", **side_by_side, epochs=1)
    other = turned(easy, tmp_path / "other.hdf5", names)
    card, checkpoint = run(other, "next", **side_by_side, weights="origin", epochs=3, freeze_epochs=1, ema_decay=0.9)
    assert (settings_of(card).ensemble_size, checkpoint.load_network(card).ensemble_size) == (2, 2)
    with pytest.raises(WeightsError, match="keep the network, image size, ensemble size"):
        run(other, "alone", network="resnet18_half", weights="origin")


def test_three_classes(home, three):
    card, _ = run(three, epochs=8, augment_strength=0.0)
    assert card.classes == ("Normal", "COVID", "Viral")
    assert card.threshold is None
    assert set(card.heatmap_scale["Grad-CAM"]) == set(card.classes)
    assert card.validation.accuracy > 0.6
    assert card.validation.auc > 0.8


@pytest.mark.parametrize("balance", ["none", "sampling", "loss"])
def test_balance(home, easy, balance):
    card, _ = run(easy, epochs=1, class_balance=balance)
    assert settings_of(card).class_balance == balance
    assert math.isfinite(card.validation.loss)


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_optimizers_and_schedules(home, easy, optimizer):
    schedule = {"adamw": "one-cycle", "adam": "cosine", "sgd": "constant"}[optimizer]
    card, checkpoint = run(easy, epochs=2, optimizer=optimizer, schedule=schedule)
    epochs = epochs_of(checkpoint)
    assert epochs[1]["train"]["loss"] < epochs[0]["train"]["loss"] + 0.1
    progress = (2 * N_BATCHES - 1) / (2 * N_BATCHES)
    assert epochs[1]["learning_rate"] == pytest.approx(learning_rate_at(settings_of(card), progress))


def test_batch_larger_than_the_dataset(home, easy):
    card, checkpoint = run(easy, epochs=2, batch_size=512)
    assert read_records(checkpoint.folder / HISTORY_FILE)[0]["batches"] == 1
    assert card.training.epochs_run == 2


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
    card, checkpoint = run(dataset, epochs=2, class_balance=balance)
    assert card.training.epochs_run == 2
    assert all(math.isfinite(item["train"]["loss"]) for item in epochs_of(checkpoint))
    assert 0 <= card.validation.auc <= 1


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
