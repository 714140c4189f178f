import math

import numpy as np
import pytest
import torch

from tests.xrai.training.runs import SMALL
from xrai.networks.build import build_network
from xrai.scans.preprocessing import Preprocessing
from xrai.training.config import TrainConfig
from xrai.training.data import Batch
from xrai.training.loop import EpochOutputs, WarmupEma, learning_rate_at, make_loss, make_optimizer, run_epoch
from xrai.training.persistence import StateValues, load_state, optimizer_to_tensors, restore_optimizer, save_state


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
    config = TrainConfig(
        schedule=schedule, learning_rate=1e-2, weights="m", epochs=8, freeze_epochs=2, finetune_lr_scale=0.05
    )
    head, whole = (TrainConfig(schedule=schedule, learning_rate=peak) for peak in (1e-2, 5e-4))
    for share in np.linspace(0, 0.999, 37):
        assert learning_rate_at(config, 0.25 * share) == pytest.approx(learning_rate_at(head, share))
    for share in np.linspace(0, 1, 37):
        assert learning_rate_at(config, 0.25 + 0.75 * share) == pytest.approx(learning_rate_at(whole, share))


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "constant"])
def test_without_a_first_phase_the_share_for_the_second_means_nothing(schedule):
    one, other = (TrainConfig(schedule=schedule, weights="m", finetune_lr_scale=share) for share in (0.001, 1.0))
    for progress in np.linspace(0, 1, 37):
        assert learning_rate_at(one, progress) == learning_rate_at(other, progress)


@pytest.mark.parametrize(("epochs", "head_epochs"), [(15, 3), (47, 3), (49, 1), (49, 2), (77, 5)], ids=str)
@pytest.mark.parametrize("n_batches", [1, 4, 100])
def test_the_second_phase_begins_with_its_first_batch(epochs, head_epochs, n_batches):
    """The share of the run that is done, times its epochs, may fall short of a whole number by rounding."""
    config = TrainConfig(schedule="constant", weights="m", epochs=epochs, freeze_epochs=head_epochs)
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
        make_loss(TrainConfig(class_balance=name), counts, device)(logits, torch.eye(2)[labels])
        for name in ("none", "loss")
    )
    assert float(plain) == pytest.approx(float(torch.nn.functional.cross_entropy(logits, labels)))
    each = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    assert float(balanced) == pytest.approx(float((each * torch.tensor([2 / 3] * 3 + [2.0])).mean()))


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


VALUES = StateValues(
    epoch=0,
    batch=0,
    best=None,
    epochs_since_best=0,
    loss_sum=0.0,
    seconds=0.0,
    fingerprint="f",
    preprocessing=Preprocessing(64, 32, 0.5, 0.2),
    origin=None,
    n_records=0,
)


def test_state_of_a_save_that_was_killed_between_its_renames(tmp_path):
    folder = tmp_path / "run" / "state"
    folder.parent.mkdir()
    save_state(folder, {"a": torch.ones(2)}, VALUES.replace(epoch=1))
    folder.rename(folder.with_name("state.old"))
    assert load_state(folder)[1].epoch == 1
    save_state(folder, {"a": torch.zeros(2)}, VALUES.replace(epoch=2))
    assert load_state(folder)[1].epoch == 2
    assert sorted(item.name for item in folder.parent.iterdir()) == ["state"]
