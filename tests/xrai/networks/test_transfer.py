"""Freezing, and taking over weights from another network."""

import pytest
import torch
from torch import nn

from tests.xrai.networks.networks import KINDS, copied, fresh, linears, made, scans, step, unlike
from xrai.core.errors import WeightsError
from xrai.networks.build import count_parameters, load_pretrained


class TestOnlyHeadLearns:
    @pytest.mark.parametrize("name", ["convnet", "resnet18", "densenet121", "mobilenet_v3_small", "efficientnet_b0"])
    def test_features_rest(self, name):
        network = made(name)
        network.freeze_features = True
        before = copied(network)
        step(network)
        assert {key.split(".")[0] for key, item in network.named_parameters() if item.grad is not None} == {"head"}
        assert unlike(network, before) == {"head"}  # not even the statistics of the features' normalisation
        assert any(isinstance(module, nn.BatchNorm2d) for module in network.features.modules())

    @pytest.mark.parametrize("name", ["convnet", "resnet18"])
    def test_and_learn_again(self, name):
        network = made(name)
        assert not network.freeze_features
        network.freeze_features = True
        network.train()
        network.freeze_features = False
        assert not network.freeze_features
        assert all(item.requires_grad for item in network.parameters())
        before = copied(network)
        step(network)
        assert unlike(network, before) == {"head", "features"}
        statistics = [key for key in before if key.endswith("running_mean")]
        assert all(not torch.equal(network.state_dict()[key], before[key]) for key in statistics)

    def test_it_takes_effect_in_whichever_mode_the_network_is(self):
        network = made("resnet18").train()
        network.freeze_features = True
        assert (network.training, network.dropout.training, network.features.training) == (True, True, False)
        network.freeze_features = False
        assert network.features.training
        network.eval().freeze_features = True
        assert not any(module.training for module in network.modules())
        network.train()
        assert not any(module.training for module in network.features.modules())
        assert network.dropout.training
        network.eval().freeze_features = False
        assert not any(module.training for module in network.modules())

    @pytest.mark.parametrize("name", ["convnet", "mobilenet_v3_small"])
    def test_parameters_that_rest_are_counted(self, name):
        network = made(name)
        count = count_parameters(network)
        network.freeze_features = True
        assert count_parameters(network) == count > sum(item.numel() for item in network.head.parameters())


class TestTakeOver:
    @pytest.mark.parametrize(("name", "options"), KINDS, ids=str)
    @pytest.mark.parametrize("outputs", [[0, 1, 2], [2, 0, 1]], ids=str)
    def test_the_same_classes_in_another_order(self, name, options, outputs):
        learned, network = fresh(name, **options), made(name, 3, **options).eval()
        with torch.inference_mode():
            expected, before = learned(scans()), network(scans())
            load_pretrained(network, learned, outputs)
            found = network(scans())
            assert torch.allclose(found, expected[:, outputs], rtol=1e-5, atol=1e-6)
            assert not torch.allclose(found, before, atol=1e-3)
            assert torch.equal(learned(scans()), expected)
        for key, value in learned.state_dict().items():
            kept = network.state_dict()[key]
            assert torch.equal(kept, value) or torch.equal(kept, value[outputs]), key

    @pytest.mark.parametrize(("name", "options"), KINDS, ids=str)
    @pytest.mark.parametrize("n_classes", [2, 3, 5])
    def test_other_classes(self, name, options, n_classes):
        """All but the last layer is taken over: of the convnet also the hidden dense layers."""
        learned, network = fresh(name, 3, **options), made(name, n_classes, **options)
        before = copied(network)
        load_pretrained(network, learned)
        last = linears(network)[-1]
        new = {key for key, value in network.state_dict().items() if torch.equal(value, before[key])}
        taken = {
            key for key, value in network.state_dict().items() if torch.equal(value, learned.state_dict().get(key))
        }
        assert len(linears(network)) == options.get("dense_layers", 0) + 1
        prefix = next(key for key, module in network.named_modules() if module is last)
        assert {f"{prefix}.weight", f"{prefix}.bias"} <= new
        assert taken == set(before) - {f"{prefix}.weight", f"{prefix}.bias"}
        assert last.out_features == n_classes

    def test_what_learns_on_leaves_the_other_as_it_is(self):
        learned, network = fresh("convnet", 2), made("convnet", 2)
        load_pretrained(network, learned, [0, 1])
        before = copied(learned)
        step(network)
        assert unlike(learned, before) == set()
        assert unlike(network, before) == {"features", "head"}

    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("resnet18", {}),
            ("convnet", {"blocks": 2}),
            ("convnet", {"filters": 8}),
            ("convnet", {"image_size": 96}),
            ("convnet", {"dense_layers": 0}),
            ("convnet", {"dense_layers": 2}),
            ("convnet", {"dense_units": 16}),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("outputs", [None, [2, 1, 0]], ids=["other classes", "the same classes"])
    def test_another_network_is_one_sentence(self, name, options, outputs):
        with pytest.raises(WeightsError) as error:
            load_pretrained(made("convnet", 3), fresh(name, 3, **options), outputs)
        assert "layers of another kind or size" in str(error.value)
        assert "\n" not in str(error.value)
        assert str(error.value).count(". ") == 0

    def test_a_convnet_with_fewer_dense_units_than_classes_is_one_sentence(self):
        """Its hidden layer stands where the other's last one does, and has no row of that number."""
        with pytest.raises(WeightsError, match="layers of another kind or size"):
            load_pretrained(made("convnet", 3, dense_layers=0), fresh("convnet", 3, dense_units=2), [2, 1, 0])

    def test_a_network_of_another_activation_is_refused(self):
        """Its weights would fit, and mean something else."""
        with pytest.raises(WeightsError, match="layers of another kind or size"):
            load_pretrained(made("convnet", 3), fresh("convnet", 3, activation="silu"), [0, 1, 2])
