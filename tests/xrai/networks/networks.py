"""Small networks and weights files."""

import io
from typing import Any

import pytest
import torch
import torchvision
from torch import nn

from xrai.core.errors import WeightsError
from xrai.networks.build import build_network
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


THREE_CHANNELS = {
    "resnet18": lambda backbone, x: nn.Sequential(*list(backbone.children())[:-2])(x),
    "resnet50": lambda backbone, x: nn.Sequential(*list(backbone.children())[:-2])(x),
    "resnet101": lambda backbone, x: nn.Sequential(*list(backbone.children())[:-2])(x),
    "densenet121": lambda backbone, x: nn.functional.relu(backbone.features(x)),
    "mobilenet_v3_small": lambda backbone, x: backbone.features(x),
    "efficientnet_b0": lambda backbone, x: backbone.features(x),
}


"""The feature maps of torchvision's own networks."""
