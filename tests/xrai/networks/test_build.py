"""Building networks: outputs, ensembles, the convnet."""

import pytest
import torch
from torch import nn

from tests.xrai.networks.networks import SMALL, linears, made, scans
from xrai.explain.cam import available_methods, compute_cams
from xrai.networks.build import build_network, count_parameters
from xrai.networks.config import NETWORKS, NetworkConfig


class TestEveryNetwork:
    @pytest.mark.parametrize("name", NETWORKS)
    @pytest.mark.parametrize("n_classes", [2, 3])
    def test_shapes(self, name, n_classes):
        network = made(name, n_classes).eval()
        with torch.inference_mode():
            logits, maps = network(scans()), network.features(scans())
            assert logits.shape == (2, n_classes)
            assert logits.dtype == torch.float32
            assert torch.isfinite(logits).all()
            assert maps.ndim == 4
            assert maps.shape[2] == maps.shape[3] >= 2
            assert torch.equal(logits, network.head(network.pool(maps).flatten(1)))
            if name == "convnet":
                return
            # global average pooling: the class activation map (Zhou 2016) averages to the logit
            assert network.has_global_pooling
            activation = torch.einsum("nkhw,ck->nchw", maps, network.head.weight)
            found = activation.mean(dim=(2, 3)) + network.head.bias
            assert torch.allclose(found, logits, rtol=1e-3, atol=1e-4 * float(logits.abs().max()))

    @pytest.mark.parametrize("name", ["convnet", "resnet18", "densenet121", "mobilenet_v3_small", "efficientnet_b0"])
    def test_every_parameter_is_trained(self, name):
        network = made(name, 3).train()
        network(scans(4)).logsumexp(dim=1).sum().backward()
        idle = [key for key, parameter in network.named_parameters() if parameter.grad is None]
        assert idle == []
        assert count_parameters(network) == sum(parameter.numel() for parameter in network.parameters())

    @pytest.mark.parametrize("name", ["convnet", "resnet18"])
    def test_repeatable_by_seed(self, name):
        first, again = made(name).state_dict(), made(name).state_dict()
        assert all(torch.equal(first[key], again[key]) for key in first)

    def test_dropout_silences_only_while_training(self):
        network = made("resnet18", dropout=0.5)
        assert network.dropout.p == 0.5
        network.eval()
        assert torch.equal(network(scans()), network(scans()))
        network.features.eval()
        network.dropout.train()
        assert not torch.equal(network(scans()), network(scans()))

    @pytest.mark.parametrize("name", ["convnet", "resnet18", "efficientnet_b0"])
    def test_other_sizes_of_image(self, name):
        for side in (32, 97):
            network = made(name, image_size=side).eval()
            assert network(scans(1, side)).shape == (1, 2)


class TestHalfResNet:
    def test_the_layers_of_resnet_18_with_half_the_filters_and_finer_maps(self):
        half, whole = made("resnet18_half"), made("resnet18")
        assert [type(module) for module in half.modules()] == [type(module) for module in whole.modules()]
        n_convolutions = 0
        for (name, ours), theirs in zip(half.named_modules(), whole.modules(), strict=True):
            if isinstance(theirs, nn.Conv2d):
                stride = (1, 1) if name.startswith("features.layer4") else theirs.stride
                assert 2 * ours.out_channels == theirs.out_channels
                assert (ours.kernel_size, ours.stride, ours.padding) == (theirs.kernel_size, stride, theirs.padding)
                n_convolutions += 1
        assert n_convolutions == 20
        assert half.eval().features(scans(1, 64)).shape == (1, 256, 4, 4)
        assert whole.eval().features(scans(1, 64)).shape == (1, 512, 2, 2)

    def test_it_begins_as_torchvisions_does(self):
        half, whole = made("resnet18_half"), made("resnet18")
        stages = [part.features[4:].parameters() for part in (half, whole)]  # the first filters take one channel, not 3
        for ours, theirs in zip(*stages, strict=True):
            if ours.ndim > 1:  # variance 2 over outputs: half the filters, twice the variance
                assert float(ours.detach().std() / theirs.detach().std()) == pytest.approx(2**0.5, rel=0.08)
            else:
                assert torch.equal(ours, theirs[: len(ours)])


class TestMembers:
    @pytest.fixture
    def alone(self):
        """Three networks by themselves, drawn one after another."""
        torch.manual_seed(0)
        config = NetworkConfig(network="resnet18_half", **SMALL)
        return [build_network(config, 3) for _ in range(3)]

    def test_the_answer_is_the_mean_of_theirs(self, alone):
        together = made("resnet18_half", 3, ensemble_size=3).eval()
        with torch.inference_mode():
            expected = torch.stack([network.eval()(scans()) for network in alone]).mean(dim=0)
            assert torch.allclose(together(scans()), expected, atol=1e-4)
            assert together.num_features == 3 * alone[0].num_features
            # so that a class activation map still averages to the logit
            maps = torch.einsum("nkhw,ck->nchw", together.features(scans()), together.head.weight)
            assert torch.allclose(maps.mean(dim=(2, 3)) + together.head.bias, expected, atol=1e-4)

    def test_in_training_each_answers_for_itself(self, alone):
        together = made("resnet18_half", 3, ensemble_size=3, dropout=0.0).train()
        each, shared = together(scans(4)), together.head.bias
        assert each.shape == (4, 3, 3)
        for number, network in enumerate(alone):
            network.dropout.p = 0.0
            expected = network.train()(scans(4)) - network.head.bias + shared
            assert torch.allclose(each[:, number], expected, atol=1e-3)

    def test_no_member_learns_from_another(self):
        together = made("resnet18_half", ensemble_size=2).train()
        together(scans(4))[:, 0].sum().backward()
        for name, parameter in together.features.named_parameters():
            first, second = parameter.grad.chunk(2)
            assert float(first.abs().sum()) > 0, name
            assert float(second.abs().sum()) == 0, name

    def test_every_method_of_explaining_fits(self):
        together = made("resnet18_half", ensemble_size=2).eval()
        assert available_methods(together) == available_methods(made("resnet18_half"))
        with torch.inference_mode():
            expected = together(scans())
        for method in available_methods(together):
            logits, maps = compute_cams(together, scans(), [0, 1], method)
            assert torch.allclose(logits, expected, atol=1e-4)
            assert maps.shape[0] == 2

    @pytest.mark.parametrize("name", ["resnet18", "resnet50"])
    def test_of_the_other_resnets(self, name):
        one, two = made(name), made(name, ensemble_size=2).eval()
        assert count_parameters(two) == 2 * count_parameters(one) - 2  # their two biases are one
        assert two(scans()).shape == (2, 2)


class TestConvnet:
    @pytest.mark.parametrize(("blocks", "filters", "side"), [(1, 2, 32), (3, 8, 64), (4, 16, 100), (7, 32, 256)])
    def test_blocks(self, blocks, filters, side):
        network = made("convnet", blocks=blocks, filters=filters, image_size=side, dense_layers=1)
        found = list(network.features.children())
        assert len(found) == blocks
        channels = 1
        for i, block in enumerate(found):
            convolution, norm, activation, pooling = block
            expected = min(filters * 2**i, 512)
            assert (convolution.in_channels, convolution.out_channels) == (channels, expected)
            assert convolution.kernel_size == (3, 3)
            assert norm.num_features == expected
            assert isinstance(activation, nn.ReLU)
            assert (type(pooling), pooling.kernel_size) == (nn.MaxPool2d, 2)
            channels = expected
        maps = network.eval().features(scans(1, side))
        assert maps.shape == (1, channels, side // 2**blocks, side // 2**blocks)
        assert linears(network)[0].in_features == maps[0].numel()

    @pytest.mark.parametrize("layers", [0, 1, 3])
    def test_dense_layers(self, layers):
        network = made("convnet", 3, dense_layers=layers, dense_units=24)
        widths = [(layer.in_features, layer.out_features) for layer in linears(network)]
        into = 16 * 8 * 8
        assert widths == [*[(into, 24), *[(24, 24)] * 2][:layers], (24 if layers else into, 3)]

    @pytest.mark.parametrize("layers", [0, 1, 3])
    def test_dropout_stands_before_the_last_layer(self, layers):
        network = made("convnet", dense_layers=layers, dropout=0.4)
        kinds = [type(module) for module in (network.dropout, *network.head.modules()) if list(module.children()) == []]
        silenced = [
            network.dropout.p,
            *(module.p for module in network.head.modules() if isinstance(module, nn.Dropout)),
        ]
        assert kinds[-2:] == [nn.Dropout, nn.Linear]
        assert silenced == ([0.4] if layers == 0 else [0.0, *[0.4] * layers])

    @pytest.mark.parametrize(
        ("name", "kind"),
        [("relu", nn.ReLU), ("leaky_relu", nn.LeakyReLU), ("elu", nn.ELU), ("gelu", nn.GELU), ("silu", nn.SiLU)],
    )
    def test_activation(self, name, kind):
        network = made("convnet", activation=name, dense_layers=2)
        assert sum(type(module) is kind for module in network.modules()) == SMALL["blocks"] + 2

    def test_parameters_by_hand(self):
        network = made("convnet", blocks=2, filters=4, image_size=32, dense_layers=1, dense_units=8)
        blocks = (1 * 4 * 9 + 2 * 4) + (4 * 8 * 9 + 2 * 8)
        dense = (8 * 8 * 8 * 8 + 8) + (8 * 2 + 2)
        assert count_parameters(network) == blocks + dense

    def test_it_keeps_places_apart(self):
        """It flattens its maps, so that CAM (Zhou 2016) does not fit it."""
        assert not made("convnet").has_global_pooling
        assert not made("convnet", dense_layers=0).has_global_pooling

    def test_it_learns(self):
        network = made("convnet", dropout=0.0).train()
        greys, labels = scans(8), torch.arange(8) % 2
        optimizer = torch.optim.Adam(network.parameters(), 0.01)
        losses = []
        for _ in range(12):
            loss = nn.functional.cross_entropy(network(greys), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        assert losses[-1] < 0.2 * losses[0]
