"""The networks: their shapes, what the plain one is made of, and ImageNet weights, whole, damaged or hostile."""

import hashlib
import io
import os
import pickle
import re
import socket
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torchvision
from torch import nn

from xrai.core.errors import WeightsError
from xrai.explain.cam import available_methods, compute_cams
from xrai.networks import build as networks
from xrai.networks.build import Network, build_network, count_parameters, load_pretrained
from xrai.networks.config import NETWORKS, WITHOUT_IMAGENET, NetworkConfig

PRETRAINED = [name for name in NETWORKS if name not in WITHOUT_IMAGENET]
SMALL: dict[str, Any] = {"image_size": 64, "blocks": 3, "filters": 4, "dense_units": 8}


def made(name, n_classes=2, **options: Any) -> Any:
    torch.manual_seed(0)
    return build_network(NetworkConfig(network=name, **(SMALL | options)), n_classes)


def scans(n=2, side=64):
    return torch.randn(n, 1, side, side, generator=torch.Generator().manual_seed(1))


def weights_file(name, folder):
    weights: Any = torchvision.models.get_model_weights(name)
    return folder / weights.DEFAULT.url.rsplit("/", 1)[-1]


def trained(name, folder, **options) -> Any:
    """A three-channel backbone with weights of chance, and those weights where XRAI looks for them."""
    torch.manual_seed(3)
    backbone = torchvision.models.get_model(name, weights=None).eval()
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):  # as if it had seen something
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.8, 1.2)
    torch.save(backbone.state_dict(), weights_file(name, folder), **options)
    return backbone


@pytest.fixture
def publish(monkeypatch):
    """Makes the file that lies where XRAI looks for weights the one that torchvision publishes: by its true hash."""

    def publish(name, folder):
        file = weights_file(name, folder)
        true = file.with_name(f"{name}-{hashlib.sha256(file.read_bytes()).hexdigest()[:8]}.pth")
        weights = SimpleNamespace(DEFAULT=SimpleNamespace(url=f"https://nowhere.invalid/models/{true.name}"))
        monkeypatch.setattr(torchvision.models, "get_model_weights", lambda name: weights)
        return file.rename(true)

    return publish


def from_imagenet(name, folder) -> Any:
    return build_network(NetworkConfig(network=name, image_size=64), 2, imagenet_dir=folder).eval()


def refused(name, folder):
    with pytest.raises(WeightsError) as error:
        from_imagenet(name, folder)
    assert "\n" not in str(error.value)
    assert "choose “scratch”" in str(error.value)
    return str(error.value)


def unsafe_load(content):
    return torch.load(io.BytesIO(content), weights_only=False)


def linears(network):
    return [module for module in network.head.modules() if isinstance(module, nn.Linear)]


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


def copied(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def unlike(network, before):
    """The parts whose weights or statistics are not what they were."""
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    return {name.split(".")[0] for name in changed}


def step(network):
    """Learn a little from some scans."""
    optimizer = torch.optim.SGD([item for item in network.parameters() if item.requires_grad], 0.1)
    nn.functional.cross_entropy(network.train()(scans(4)), torch.tensor([0, 1, 0, 1])).backward()
    optimizer.step()


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


def fresh(name, n_classes=3, *, seed=9, **options: Any) -> Any:
    """A network that knows something else than those that `made` gives."""
    torch.manual_seed(seed)
    network = build_network(NetworkConfig(network=name, **(SMALL | options)), n_classes)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.8, 1.2)
    return network.eval()


KINDS = [("resnet18", {}), *[("convnet", {"dense_layers": layers}) for layers in (0, 1, 3)]]


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


THREE_CHANNELS = {
    "resnet18": lambda backbone, x: nn.Sequential(*list(backbone.children())[:-2])(x),
    "resnet50": lambda backbone, x: nn.Sequential(*list(backbone.children())[:-2])(x),
    "resnet101": lambda backbone, x: nn.Sequential(*list(backbone.children())[:-2])(x),
    "densenet121": lambda backbone, x: nn.functional.relu(backbone.features(x)),
    "mobilenet_v3_small": lambda backbone, x: backbone.features(x),
    "efficientnet_b0": lambda backbone, x: backbone.features(x),
}
"""The feature maps of torchvision's own networks."""


class TestImagenet:
    @pytest.mark.parametrize("name", THREE_CHANNELS)
    def test_one_channel_sees_what_three_see_of_grey(self, name, tmp_path, no_network, publish):
        """And weights that are there need no network."""
        backbone = trained(name, tmp_path)
        publish(name, tmp_path)
        network = from_imagenet(name, tmp_path)
        with torch.inference_mode():
            expected = THREE_CHANNELS[name](backbone, scans().expand(-1, 3, -1, -1))
            found = network.features(scans())
        assert float(expected.std()) > 0
        assert torch.allclose(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))

    def test_the_names_of_the_first_densenet_file(self, tmp_path, no_network, publish):
        """Torchvision's file is of 2017: `denselayer1.norm.1`, no count of batches, and not a zip inside."""
        backbone = trained("densenet121", tmp_path)
        new = {key: value for key, value in backbone.state_dict().items() if "num_batches_tracked" not in key}
        old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): value for key, value in new.items()}
        assert "features.denseblock1.denselayer1.norm.1.weight" in old
        torch.save(old, weights_file("densenet121", tmp_path), _use_new_zipfile_serialization=False)
        publish("densenet121", tmp_path)
        network = from_imagenet("densenet121", tmp_path)
        with torch.inference_mode():
            expected = nn.functional.relu(backbone.features(scans().expand(-1, 3, -1, -1)))
            assert torch.allclose(network.features(scans()), expected, rtol=1e-3, atol=1e-4 * float(expected.max()))

    def test_scratch_needs_neither_file_nor_network(self, no_network, tmp_path):
        assert isinstance(build_network(NetworkConfig(), 2), Network)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("name", PRETRAINED)
    def test_offline_is_one_sentence(self, name, tmp_path, no_network):
        message = refused(name, tmp_path / "new")
        assert "probably because this machine has no internet" in message
        assert weights_file(name, tmp_path).name in message
        assert list((tmp_path / "new").iterdir()) == []

    def test_a_silent_server_is_given_up(self, tmp_path, monkeypatch):
        """A firewall that swallows everything: connected, but never a word."""
        monkeypatch.setattr(networks, "DOWNLOAD_TIMEOUT_SECONDS", 0.3)
        before = socket.getdefaulttimeout()
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.serve(monkeypatch, f"http://127.0.0.1:{server.getsockname()[1]}/resnet18-00000000.pth")
            assert "no internet" in refused("resnet18", tmp_path)
        assert socket.getdefaulttimeout() == before

    def serve(self, monkeypatch, url):
        weights = SimpleNamespace(DEFAULT=SimpleNamespace(url=url))
        monkeypatch.setattr(torchvision.models, "get_model_weights", lambda name: weights)

    def test_a_download_is_kept_for_the_next_time(self, tmp_path, monkeypatch):
        backbone = trained("mobilenet_v3_small", tmp_path)
        content = weights_file("mobilenet_v3_small", tmp_path).read_bytes()
        server = tmp_path / f"small-{hashlib.sha256(content).hexdigest()[:8]}.pth"
        server.write_bytes(content)
        self.serve(monkeypatch, server.as_uri())
        for _ in range(2):
            network = from_imagenet("mobilenet_v3_small", tmp_path / "kept")
            assert torch.equal(network.features[1].block[0][0].weight, backbone.features[1].block[0][0].weight)
            server.unlink(missing_ok=True)
        assert [file.name for file in (tmp_path / "kept").iterdir()] == [server.name]

    def test_a_download_that_is_not_what_it_should_be_is_thrown_away(self, tmp_path, monkeypatch):
        trained("mobilenet_v3_small", tmp_path)
        server = tmp_path / "small-00000000.pth"
        weights_file("mobilenet_v3_small", tmp_path).rename(server)
        self.serve(monkeypatch, server.as_uri())
        assert "cannot be downloaded" in refused("mobilenet_v3_small", tmp_path / "kept")
        assert list((tmp_path / "kept").iterdir()) == []

    def test_a_full_disk_is_no_missing_network(self, tmp_path, monkeypatch):
        def full(*args, **options):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(torch.hub, "download_url_to_file", full)
        assert "because the disk is full" in refused("resnet18", tmp_path)

    def test_a_folder_that_cannot_be_made(self, tmp_path, no_network):
        (tmp_path / "file").touch()
        assert "cannot be downloaded" in refused("resnet18", tmp_path / "file" / "below")

    @pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.9, 0.9999])
    def test_a_file_cut_short(self, tmp_path, no_network, share):
        trained("mobilenet_v3_small", tmp_path)
        file = weights_file("mobilenet_v3_small", tmp_path)
        content = file.read_bytes()
        file.write_bytes(content[: int(share * len(content))])
        assert "probably because it is cut short" in refused("mobilenet_v3_small", tmp_path)

    @pytest.mark.parametrize("change", ["one number", "another file"])
    def test_what_torchvision_did_not_publish_is_not_even_opened(
        self, tmp_path, no_network, publish, monkeypatch, change
    ):
        """Somebody laid the file there by hand; it would load without complaint."""
        backbone = trained("mobilenet_v3_small", tmp_path)
        file = publish("mobilenet_v3_small", tmp_path)
        from_imagenet("mobilenet_v3_small", tmp_path)
        if change == "one number":
            backbone.classifier[0].bias.data[0] += 1
            torch.save(backbone.state_dict(), file)
        else:
            file.write_bytes(pickle.dumps({}))
        monkeypatch.setattr(torch, "load", lambda *args, **options: pytest.fail("it was unpickled"))
        assert "is not the one that torchvision publishes" in refused("mobilenet_v3_small", tmp_path)

    def test_a_folder_in_its_place(self, tmp_path, no_network):
        weights_file("resnet18", tmp_path).mkdir()
        assert "cannot be used" in refused("resnet18", tmp_path)

    @pytest.mark.parametrize(
        "content",
        [
            b"<html>Sign in to the hospital's network</html>",
            {"no": torch.zeros(1)},
            [1, 2],
            torch.zeros(3),
            {"a": 1},
            {1: torch.zeros(1)},
        ],
        ids=lambda content: type(content).__name__,
    )
    def test_a_foreign_file(self, tmp_path, no_network, publish, content):
        file = weights_file("resnet18", tmp_path)
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            torch.save(content, file)
        publish("resnet18", tmp_path)
        assert "damaged or of another network" in refused("resnet18", tmp_path)

    def test_the_weights_of_another_network(self, tmp_path, no_network, publish):
        trained("resnet18", tmp_path)
        weights_file("resnet18", tmp_path).rename(weights_file("resnet50", tmp_path))
        publish("resnet50", tmp_path)
        assert "damaged or of another network" in refused("resnet50", tmp_path)

    @pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
    def test_code_in_a_weights_file_is_never_run(self, tmp_path, no_network, publish, form):
        """Whoever made it, even if its hash is right."""

        class Payload:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "payload has run"),)

        weights = torchvision.models.resnet18().state_dict() | {"fc.bias": Payload()}
        file = weights_file("resnet18", tmp_path)
        if form == "pickle":
            file.write_bytes(pickle.dumps(Payload()))
        else:
            torch.save(weights, file, _use_new_zipfile_serialization=form == "zip")
        file = publish("resnet18", tmp_path)
        assert "cannot be used" in refused("resnet18", tmp_path)
        assert not (tmp_path / "payload has run").exists()
        (pickle.loads if form == "pickle" else unsafe_load)(file.read_bytes())
        assert (tmp_path / "payload has run").exists()  # the payload is one
