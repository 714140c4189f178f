"""The weights file."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.xrai.models.checkpoint.checkpoints import CONFIG_OF, a_card, a_network, assert_one_sentence
from xrai.core.errors import CheckpointError
from xrai.models.checkpoint import CARD, WEIGHTS, open_checkpoint
from xrai.networks.build import build_network, count_parameters
from xrai.networks.config import NETWORKS
from xrai.training.config import TrainConfig


def test_network_comes_back_in_half_precision(model):
    scans = torch.rand(3, 1, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(model.load_network(model.read_card())(scans), a_network()(scans), atol=5e-3)


@pytest.mark.parametrize("weights", ["imagenet", "another model", "m"])
def test_a_network_comes_back_whatever_it_started_from(model, no_network, weights):
    """The weights are its own: neither those that it started from nor the internet is needed."""
    config = CONFIG_OF.replace(network="resnet18", weights=weights, freeze_epochs=2)
    model.save_network(a_network(config))
    model.write_card(a_card(config))
    network = model.load_network(model.read_card())
    assert model.read_card().network == config.network_config
    assert not network.freeze_features
    assert all(item.requires_grad for item in network.parameters())


def test_loaded_network_is_ready_to_read(model):
    network = model.load_network(model.read_card())
    assert not network.training
    assert {value.dtype for value in network.parameters()} == {torch.float32}


def test_weights_take_two_bytes_a_number(home):
    config = TrainConfig(network="resnet18", image_size=32)
    checkpoint = open_checkpoint("resnet")
    checkpoint.folder.mkdir()
    network = a_network(config)
    checkpoint.save_network(network)
    size = (checkpoint.folder / WEIGHTS).stat().st_size
    assert 2 * count_parameters(network) < size < 2.02 * count_parameters(network)
    assert size < 25 * 1024**2


def test_a_weight_too_large_for_half_precision_is_kept_in_full(model):
    network = a_network()
    with torch.no_grad():
        network.head[0].weight[0, 0] = 1e6
    model.save_network(network)
    assert model.load_network(model.read_card()).head[0].weight[0, 0] == 1e6


@pytest.mark.skipif(os.name == "nt", reason="rights are of another kind on Windows")
def test_weights_can_be_read_by_whoever_can_read_the_card(model):
    rights = {name: (model.folder / name).stat().st_mode & 0o777 for name in (CARD, WEIGHTS)}
    assert rights[WEIGHTS] == rights[CARD]


def test_weights_are_saved_whole_or_not_at_all(model, monkeypatch):
    before = (model.folder / WEIGHTS).read_bytes()

    def full(self, data):
        with self.open("wb") as file:
            file.write(data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        model.save_network(a_network())
    assert (model.folder / WEIGHTS).read_bytes() == before
    assert sorted(item.name for item in model.folder.iterdir()) == [CARD, WEIGHTS]


def test_whoever_is_reading_the_weights_keeps_the_old_ones(model):
    before = (model.folder / WEIGHTS).read_bytes()
    os.link(model.folder / WEIGHTS, model.folder / "read")
    torch.manual_seed(1)
    model.save_network(build_network(CONFIG_OF, 2))
    assert (model.folder / "read").read_bytes() == before != (model.folder / WEIGHTS).read_bytes()


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x04\x95", b"\xff" * 1000])
def test_foreign_weights(model, content):
    (model.folder / WEIGHTS).write_bytes(content)
    with pytest.raises(CheckpointError) as error:
        model.load_network(model.read_card())
    assert_one_sentence(error, WEIGHTS)


def test_pickled_weights_are_not_read(model, tmp_path):
    """A pickle runs whatever its maker wants: it must be refused before it is opened."""
    trace = tmp_path / "ran"

    class Harm:
        def __reduce__(self):
            return (os.mkdir, (str(trace),))

    torch.save({"head.weight": Harm()}, model.folder / WEIGHTS)
    with pytest.raises(CheckpointError):
        model.load_network(model.read_card())
    assert not trace.exists()


def test_weights_cut_short(model):
    whole = (model.folder / WEIGHTS).read_bytes()
    (model.folder / WEIGHTS).write_bytes(whole[:-10])
    with pytest.raises(CheckpointError) as error:
        model.load_network(model.read_card())
    assert_one_sentence(error, WEIGHTS)


@pytest.mark.parametrize("changes", [{"blocks": 3}, {"filters": 8}, {"dense_units": 16}])
def test_weights_of_another_network(model, changes):
    model.save_network(a_network(TrainConfig(**CONFIG_OF.to_dict() | changes)))
    with pytest.raises(CheckpointError) as error:
        model.load_network(model.read_card())
    assert_one_sentence(error, WEIGHTS)


def test_weights_with_a_tensor_too_few_or_too_many(model):
    tensors = load_file(model.folder / WEIGHTS)
    tensors = {name: value.clone() for name, value in tensors.items()}
    fewer = {name: value for name, value in tensors.items() if name != "head.0.bias"}
    for changed in (fewer, tensors | {"more": torch.zeros(1)}):
        save_file(changed, model.folder / WEIGHTS)
        with pytest.raises(CheckpointError):
            model.load_network(model.read_card())


def test_weights_that_are_no_numbers(model):
    """They fit in shape, and every reading with them would fail."""
    tensors = {name: value.clone() for name, value in load_file(model.folder / WEIGHTS).items()}
    tensors["head.0.bias"][0] = float("nan")
    save_file(tensors, model.folder / WEIGHTS)
    with pytest.raises(CheckpointError) as error:
        model.load_network(model.read_card())
    assert_one_sentence(error, WEIGHTS)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_comes_back_just_as_when_it_was_built_with_numbers(home, name):
    config = TrainConfig(network=name, image_size=64)
    checkpoint = open_checkpoint("m")
    checkpoint.folder.mkdir()
    checkpoint.save_network(a_network(config, 3))
    card = a_card(config, classes=("A", "B", "C"), threshold=None, heatmap_scale={})
    found, expected = checkpoint.load_network(card), build_network(config, 3)
    expected.load_state_dict(load_file(checkpoint.folder / WEIGHTS))
    expected.float().eval()
    assert str(found) == str(expected)
    for one, other in zip(found.modules(), expected.modules(), strict=True):
        assert one.training is other.training is False
    for items in ("named_parameters", "named_buffers"):
        pairs = list(zip(getattr(found, items)(), getattr(expected, items)(), strict=True))
        assert pairs
        for (one, value), (other, wanted) in pairs:
            assert one == other
            assert type(value) is type(wanted)
            assert torch.equal(value, wanted)
            assert (value.dtype, value.requires_grad, value.stride(), value.device, value.is_leaf) == (
                wanted.dtype,
                wanted.requires_grad,
                wanted.stride(),
                wanted.device,
                wanted.is_leaf,
            )
    scans = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        assert torch.equal(found(scans), expected(scans))


def test_a_card_that_speaks_of_a_huge_network_fills_no_memory(model):
    """A few kilobytes of an import made the server build 33.6 GB of weights before it looked at the weights file."""
    resource = pytest.importorskip("resource")
    huge = CONFIG_OF.replace(blocks=1, filters=128, image_size=512, dense_layers=0)
    card = a_card(huge, classes=tuple(map(str, range(1000))), threshold=None, heatmap_scale={})
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (24 * 1024**3, before[1]))
    try:
        with pytest.raises(CheckpointError) as error:
            model.load_network(card)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert_one_sentence(error, WEIGHTS)


def test_what_is_loaded_does_not_look_into_its_file(model):
    """A file that somebody looks into cannot be replaced on Windows."""
    network = model.load_network(model.read_card())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    file = model.folder / WEIGHTS
    with file.open("r+b") as opened:
        opened.write(b"\x01" * file.stat().st_size)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    "odd",
    [
        torch.ones(2, dtype=torch.int64),
        torch.ones(2, dtype=torch.bool),
        torch.ones(2, dtype=torch.complex64),
        torch.full((2,), 1e300, dtype=torch.float64),
        torch.ones(1, 2),
        torch.ones(0),
    ],
    ids=lambda value: f"{value.dtype} {tuple(value.shape)}",
)
def test_weights_of_another_kind(model, odd):
    tensors = {name: value.clone() for name, value in load_file(model.folder / WEIGHTS).items()}
    save_file(tensors | {"head.3.bias": odd}, model.folder / WEIGHTS)
    with pytest.raises(CheckpointError) as error:
        model.load_network(model.read_card())
    assert_one_sentence(error, WEIGHTS)


def test_weights_wait_for_a_reader_as_other_files_do(model, monkeypatch):
    """On Windows a file that somebody reads cannot be replaced for that moment."""
    real, refusals = Path.replace, iter([True, True])

    def replace(self, target):
        if next(refusals, False):
            raise PermissionError(13, "in use")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    model.save_network(a_network())
    assert next(refusals, None) is None
    assert model.is_model
