"""Building networks: convolutional features, pooling, and a classification head with one logit per class."""

from __future__ import annotations

import errno
import hashlib
import re
import socket
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from xrai.core.errors import WeightsError
from xrai.core.language import say
from xrai.networks.config import NETWORKS, WITHOUT_IMAGENET, NetworkConfig, convnet_filters

IMAGENET_GREY_STATS = (0.449, 0.226)
"""Mean and standard deviation of ImageNet's grey values, averaged over torchvision's three channels."""

HALF_FILTERS = 32
"""Filters of the half ResNet's first stage; they double in each next stage."""

DOWNLOAD_TIMEOUT_SECONDS = 10.0
"""Timeout of a silent download server."""

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}


class Network(nn.Module):
    """A classifier of one-channel scans.

    `features` turns scans (N, 1, H, W) into feature maps (N, K, h, w), `pool` turns these into vectors, and `head`
    into one logit per class, (N, C). Class activation maps use the output of `features`.

    With `ensemble_size` above 1 it is an ensemble of networks as grouped convolutions (Laurent et al. 2023), each
    with its share of the channels. In training each network gives its own logits, so that they stay different; in
    evaluation the output is their mean (deep ensembles, Lakshminarayanan et al. 2017), which the linear head computes.
    """

    def __init__(
        self, features: nn.Module, pool: nn.Module, head: nn.Module, dropout: float, ensemble_size: int = 1
    ) -> None:
        super().__init__()
        self.features = features
        self.pool = pool
        self.dropout = nn.Dropout(dropout)
        self.head = head
        self.ensemble_size = ensemble_size
        self._freeze_features = False

    @property
    def freeze_features(self) -> bool:
        """Whether `features` are frozen in training, including the statistics of batch normalisation."""
        return self._freeze_features

    @freeze_features.setter
    def freeze_features(self, is_frozen: bool) -> None:
        self._freeze_features = is_frozen
        self.features.requires_grad_(not is_frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Switch between training and evaluation mode; frozen features stay in evaluation mode."""
        super().train(mode)
        if self._freeze_features:
            self.features.eval()
        return self

    @property
    def has_global_pooling(self) -> bool:
        """Whether a linear head follows global average pooling, as class activation maps (Zhou et al. 2016) need."""
        return isinstance(self.pool, nn.AdaptiveAvgPool2d) and isinstance(self.head, nn.Linear)

    def forward(self, scans: Tensor) -> Tensor:
        """Logits (N, C) of normalised scans, float (N, 1, H, W); of an ensemble in training (N, members, C)."""
        maps = self.features(scans)  # (N, K, h, w)
        features = self.dropout(self.pool(maps).flatten(1))
        return self._member_logits(features) if self.training and self.ensemble_size > 1 else self.head(features)

    def _member_logits(self, features: Tensor) -> Tensor:
        """The logits of each member, (N, members, C); their mean is the output of the head."""
        assert isinstance(self.head, nn.Linear)
        member_features = features.unflatten(1, (self.ensemble_size, -1))  # (N, members, K / members)
        weights = self.head.weight.unflatten(1, (self.ensemble_size, -1))  # (C, members, K / members)
        return (
            self.ensemble_size * torch.einsum("nmk,cmk->nmc", member_features, weights.to(member_features.dtype))
            + self.head.bias
        )

    @property
    def num_features(self) -> int:
        """The number of inputs of the last layer."""
        last = self.head[-1] if isinstance(self.head, nn.Sequential) else self.head
        assert isinstance(last, nn.Linear)
        return last.in_features

    def forward_with_features(self, scans: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, C) of normalised scans, float (N, 1, H, W), and the inputs of the last layer (N, K).

        Only in evaluation mode.
        """
        features = self.pool(self.features(scans)).flatten(1)
        if isinstance(self.head, nn.Sequential):
            features = self.head[:-1](features)
            return self.head[-1](features), features
        return self.head(features), features


def build_network(config: NetworkConfig, n_classes: int, *, imagenet_dir: Path | None = None) -> Network:
    """A new network.

    Args:
        config: names the network, and for `convnet` its shape.
        n_classes: outputs of the head.
        imagenet_dir: the folder of downloaded ImageNet weights, which are loaded; None for random weights.

    Raises:
        WeightsError: the ImageNet weights cannot be downloaded, or the file is damaged or of another network.
    """
    if config.ensemble_size > 1:
        member_config = config.replace(ensemble_size=1)
        return _grouped_ensemble([build_network(member_config, n_classes) for _ in range(config.ensemble_size)])
    if config.network == "convnet":
        return _convnet(config, n_classes)
    if config.network == "resnet18_half":
        return _half_resnet(n_classes, config.dropout)
    backbone = torchvision.models.get_model(config.network, weights=None)
    if imagenet_dir:
        _load_imagenet(backbone, config.network, imagenet_dir)
    _use_one_channel(backbone)
    return _with_linear_head(backbone, config.network, n_classes, config.dropout)


def load_pretrained(network: Network, pretrained: Network, class_permutation: Sequence[int] | None = None) -> None:
    """Copy the weights of a network with the same layers (transfer learning).

    Args:
        network: changed in place.
        pretrained: the network to copy from.
        class_permutation: for each output of `network`, the output of `pretrained` for the same class; None where
            the classes differ, so that the last layer keeps its random weights.

    Raises:
        WeightsError: the two differ in more than the last layer.
    """
    head_prefix, state_dict = _head_prefix(network), pretrained.state_dict()
    try:
        if list(map(type, network.modules())) != list(map(type, pretrained.modules())):
            raise ValueError("layers")  # for example another activation function, which has no weights
        if class_permutation is None:
            state_dict |= {name: value for name, value in network.state_dict().items() if name.startswith(head_prefix)}
        else:
            state_dict |= {
                name: value[list(class_permutation)]
                for name, value in state_dict.items()
                if name.startswith(head_prefix)
            }
        network.load_state_dict(state_dict)
    except (IndexError, RuntimeError, ValueError) as error:
        raise WeightsError(
            "The model to start from has layers of another kind or size than this run asks for: "
            "keep the network, image size, ensemble size and convnet settings of that model."
        ) from error


def count_parameters(network: nn.Module) -> int:
    """The number of trainable weights, including frozen ones."""
    return sum(parameter.numel() for parameter in network.parameters())


def _head_prefix(network: Network) -> str:
    """The prefix of the names of the last layer's weights."""
    return f"head.{len(network.head) - 1}." if isinstance(network.head, nn.Sequential) else "head."


def _convnet(config: NetworkConfig, n_classes: int) -> Network:
    """`blocks` x (convolution 3x3, normalisation, activation, max pooling 2x2), then dense layers."""
    activation = _ACTIVATIONS[config.activation]
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels = 1
    for block in range(config.blocks):
        filters = convnet_filters(config.filters, block)
        layers[f"block{block + 1}"] = nn.Sequential(
            nn.Conv2d(channels, filters, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(filters),
            activation(),
            nn.MaxPool2d(2),
        )
        channels = filters
    side = config.image_size // 2**config.blocks
    head, width = nn.Sequential(), channels * side * side
    for _ in range(config.dense_layers):
        head.extend([nn.Linear(width, config.dense_units), activation(), nn.Dropout(config.dropout)])
        width = config.dense_units
    head.append(nn.Linear(width, n_classes))
    # with hidden layers the dropout stands before the last one; without, before the only one
    return Network(nn.Sequential(layers), nn.Identity(), head, dropout=0.0 if config.dense_layers else config.dropout)


def _half_resnet(n_classes: int, dropout: float) -> Network:
    """ResNet-18 (He et al. 2016) for one-channel scans with half the filters, initialised as in torchvision.

    The last stage keeps the resolution, so that the stride of the feature maps is 16 pixels instead of 32 and class
    activation maps are twice as fine.
    """
    filters = HALF_FILTERS
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=nn.Conv2d(1, filters, kernel_size=7, stride=2, padding=3, bias=False),
        bn1=nn.BatchNorm2d(filters),
        relu=nn.ReLU(inplace=True),
        maxpool=nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        layer1=nn.Sequential(BasicBlock(filters, filters), BasicBlock(filters, filters)),
    )
    for stage in (2, 3, 4):
        in_filters, filters, stride = filters, 2 * filters, 1 if stage == 4 else 2
        shortcut = nn.Sequential(nn.Conv2d(in_filters, filters, 1, stride=stride, bias=False), nn.BatchNorm2d(filters))
        layers[f"layer{stage}"] = nn.Sequential(
            BasicBlock(in_filters, filters, stride=stride, downsample=shortcut), BasicBlock(filters, filters)
        )
    features = nn.Sequential(layers)
    for module in features.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return Network(features, nn.AdaptiveAvgPool2d(1), nn.Linear(filters, n_classes), dropout)


def _grouped_ensemble(members: Sequence[Network]) -> Network:
    """Several residual networks as one network with grouped convolutions.

    Reuses the modules of the first one.
    """
    features = members[0].features
    for name, module in list(features.named_modules()):
        member_layers = [member.features.get_submodule(name) for member in members]
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
            features.set_submodule(name, _grouped_layer(module, member_layers))  # type: ignore[arg-type]
    heads = [member.head for member in members]
    num_features = sum(member.num_features for member in members)
    head = nn.Linear(num_features, members[0].head.out_features)  # type: ignore[arg-type]
    with torch.no_grad():
        head.weight.copy_(torch.cat([item.weight for item in heads], dim=1) / len(members))  # type: ignore[arg-type]
        head.bias.copy_(torch.stack([item.bias for item in heads]).mean(dim=0))  # type: ignore[arg-type]
    return Network(features, members[0].pool, head, members[0].dropout.p, len(members))


def _grouped_layer(layer: nn.Conv2d | nn.BatchNorm2d, members: Sequence[nn.Module]) -> nn.Module:
    """One layer of all members as a grouped layer with their initial weights and no connections between members."""
    n = len(members)
    if isinstance(layer, nn.BatchNorm2d):
        grouped: nn.Module = nn.BatchNorm2d(n * layer.num_features)
    else:
        has_shared_input = layer.in_channels == 1  # the scan itself
        grouped = nn.Conv2d(
            layer.in_channels if has_shared_input else n * layer.in_channels,
            n * layer.out_channels,
            layer.kernel_size,  # type: ignore[arg-type]
            layer.stride,  # type: ignore[arg-type]
            layer.padding,  # type: ignore[arg-type]
            groups=1 if has_shared_input else n,
            bias=False,
        )
    with torch.no_grad():
        grouped.weight.copy_(torch.cat([member.weight for member in members]))  # type: ignore[operator, arg-type]
    return grouped


_CLASSIFIERS = {
    "resnet18": "fc",
    "resnet50": "fc",
    "resnet101": "fc",
    "densenet121": "classifier",
    "mobilenet_v3_small": "classifier.0",
    "efficientnet_b0": "classifier.1",
}
"""The first linear layer of the classifier of each of torchvision's networks."""
_RESNET_LAYERS = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")


def _with_linear_head(backbone: nn.Module, name: str, n_classes: int, dropout: float) -> Network:
    """Global average pooling and a new linear head in place of the backbone's own classifier."""
    classifier = backbone.get_submodule(_CLASSIFIERS[name])
    assert isinstance(classifier, nn.Linear)
    if name.startswith("resnet"):
        features = nn.Sequential(OrderedDict((layer, backbone.get_submodule(layer)) for layer in _RESNET_LAYERS))
    elif name == "densenet121":
        features = nn.Sequential(OrderedDict(features=backbone.get_submodule("features"), relu=nn.ReLU()))
    else:
        features = backbone.get_submodule("features")
    return Network(features, nn.AdaptiveAvgPool2d(1), nn.Linear(classifier.in_features, n_classes), dropout)


assert {*WITHOUT_IMAGENET, *_CLASSIFIERS} == set(NETWORKS)


def _use_one_channel(backbone: nn.Module) -> None:
    """Replace the first convolution by one for grey scans, with its filters summed over the colour channels.

    The output equals that of the three-channel network on a grey image repeated in each channel.
    """
    name, stem = next((name, module) for name, module in backbone.named_modules() if isinstance(module, nn.Conv2d))
    assert stem.padding_mode == "zeros" and stem.groups == 1
    grey_conv = nn.Conv2d(1, stem.out_channels, stem.kernel_size, stem.stride, stem.padding, bias=stem.bias is not None)  # type: ignore[arg-type]
    with torch.no_grad():
        grey_conv.weight.copy_(stem.weight.sum(dim=1, keepdim=True))
        if stem.bias is not None and grey_conv.bias is not None:
            grey_conv.bias.copy_(stem.bias)
    backbone.set_submodule(name, grey_conv)


def _load_imagenet(backbone: nn.Module, name: str, folder: Path) -> None:
    """Fill a backbone with torchvision's ImageNet weights, from `folder` or, the first time, from its server."""
    url = torchvision.models.get_model_weights(name).DEFAULT.url  # type: ignore[attr-defined]
    file = folder / url.rsplit("/", 1)[-1]
    if not file.exists():
        _download(url, file, name)
    try:
        with file.open("rb") as stream:  # opened once, so that the checked bytes are the ones that are read
            if not hashlib.file_digest(stream, "sha256").hexdigest().startswith(_hash_from_name(file)):
                raise WeightsError(
                    "The ImageNet weights file {file} is not the one that torchvision publishes under that name, "
                    "probably because it is cut short or was changed: "
                    "delete it so that it is downloaded again, or choose “scratch”.",
                    file=file,
                )
            stream.seek(0)
            # weights_only: unpickles tensors only
            weights = torch.load(stream, map_location="cpu", weights_only=True)
        backbone.load_state_dict({_current_name(key): value for key, value in weights.items()})
    except WeightsError:
        raise
    except Exception as error:  # a damaged file raises whatever its broken bytes lead to
        raise WeightsError(
            "The ImageNet weights file {file} cannot be used, probably because it is damaged or of another "
            "network: "
            "delete it so that it is downloaded again, or choose “scratch”.",
            file=file,
        ) from error


def _hash_from_name(file: Path) -> str:
    """The start of the SHA-256 that torchvision writes into the name of a weights file."""
    return re.findall(r"-([0-9a-f]{8,})\.", file.name)[0]


def _download(url: str, file: Path, name: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with _socket_timeout(DOWNLOAD_TIMEOUT_SECONDS):
            torch.hub.download_url_to_file(
                url, str(file), _hash_from_name(file), progress=False
            )  # to a temporary name first
    except Exception as error:  # no network, a proxy's own page, a connection that breaks off
        is_disk_full = getattr(error, "errno", None) == errno.ENOSPC
        raise WeightsError(
            "The ImageNet weights of {name} cannot be downloaded, "
            "{reason}: "
            "choose “scratch”, or put the file {file} from another machine into {parent}.",
            name=name,
            reason=say("because the disk is full")
            if is_disk_full
            else say("probably because this machine has no internet"),
            file=file.name,
            parent=file.parent,
        ) from error


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Set the timeout of all connections made inside; torch.hub has none."""
    previous_timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(previous_timeout)


def _current_name(key: str) -> str:
    """The name that a weight has today: DenseNet's file still says `denselayer1.norm.1` for `denselayer1.norm1`."""
    return re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)", r"\1\2", key)
