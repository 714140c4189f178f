"""Model summary: the table of a network's layers, and their grouping into the stages of a diagram.

The network is built on torch's meta device, which allocates no memory and loads no weights.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.ops import StochasticDepth

from xrai.core.language import Message, join_messages, say, say_plural
from xrai.networks.build import Network, build_network
from xrai.networks.config import NetworkConfig

MAX_STAGES = 12
"""The largest number of boxes in a diagram."""


@dataclass(frozen=True)
class Layer:
    """One call of a layer in the forward pass.

    Attributes:
        stage: the top-level part of the network that holds it: "conv1", "layer1", "block2", "pool", "head".
        name: dotted path in the network.
        kind: the type in plain words: "Convolution 3×3, stride 2".
        shape: of the output without the batch: (C, H, W) or (C,).
        parameters: number of trainable weights; 0 at a repeated call.
        in_sum: whether it lies in a block with an identity shortcut.
    """

    stage: str
    name: str
    kind: Message
    shape: tuple[int, ...]
    parameters: int
    in_sum: bool = False


@dataclass(frozen=True)
class Stage:
    """Consecutive layers as one box of a diagram.

    Attributes:
        name: such as "Residual stage 1 (3 blocks)".
        shape: of the output without the batch: (C, H, W) or (C,).
        parameters: number of trainable weights.
        n_layers: number of layers; 0 for the input.
        explanation: one sentence.
        has_residual: whether a block in it has an identity shortcut.
    """

    name: Message
    shape: tuple[int, ...]
    parameters: int
    n_layers: int
    explanation: Message
    has_residual: bool


def list_layers(config: NetworkConfig, n_classes: int) -> list[Layer]:
    """Every layer of the configured network in the order of the forward pass, the input first.

    Layers without effect, such as a dropout of 0, are left out. Parameters add up to `build.count_parameters`.
    """
    network = build_on_meta(config, n_classes).eval()  # batch normalisation cannot train on a single scan
    table = [Layer("input", "input", say("Input"), (1, config.image_size, config.image_size), 0)]
    counted_modules: set[nn.Module] = set()
    residual_prefixes = tuple(f"{path}." for path, module in network.named_modules() if _is_residual_block(module))

    def make_hook(path: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            n = 0 if module in counted_modules else sum(item.numel() for item in module.parameters())
            counted_modules.add(module)
            # Network flattens what its pool gives
            shape = (output[0].numel(),) if path == "pool" else tuple(output.shape[1:])
            table.append(
                Layer(_stage_of(path), path, _describe_layer(module), shape, n, path.startswith(residual_prefixes))
            )

        return hook

    for path, module in network.named_modules():
        if next(module.children(), None) is None and not _is_identity(module, path):
            module.register_forward_hook(make_hook(path))
    with torch.no_grad():
        network(torch.empty(1, 1, config.image_size, config.image_size, device="meta"))
    return table


def group_stages(layers: Sequence[Layer]) -> list[Stage]:
    """The layers grouped into the boxes of a diagram, from input to output, at most `MAX_STAGES`."""
    groups = _group_layers(layers)
    if len(groups) > MAX_STAGES:
        groups = _merge_dense_layers(groups)
    stages: list[Stage] = []
    inverted_number = 0
    for number, group in enumerate(groups):
        inverted_number += _has_inverted_residual(group)
        name, explanation = _describe_stage(
            group, is_stem=number == 1, is_last=number == len(groups) - 1, inverted_number=inverted_number
        )
        stages.append(
            Stage(
                name,
                group[-1].shape,
                sum(layer.parameters for layer in group),
                len(group) if number else 0,
                explanation,
                any(layer.in_sum for layer in group),
            )
        )
    return stages


def build_on_meta(config: NetworkConfig, n_classes: int) -> Network:
    """The network with the shapes of its weights, but no values."""
    with torch.device("meta"):
        return build_network(config, n_classes)


def _is_residual_block(module: nn.Module) -> bool:
    """Whether it is a block whose unchanged input is added to its output."""
    if isinstance(module, BasicBlock | Bottleneck):
        return module.downsample is None
    return getattr(module, "use_res_connect", False)  # of torchvision's inverted residual blocks


def _stage_of(path: str) -> str:
    """The top-level part that holds a layer; parts that torchvision only numbers are called "part3"."""
    first = next(word for word in path.split(".") if word != "features")
    return f"part{first}" if first.isdigit() else first


def _is_identity(module: nn.Module, path: str) -> bool:
    """Whether its output is its input; flattening in place of pooling counts as a layer."""
    if isinstance(module, nn.Dropout | StochasticDepth):
        return module.p == 0
    return isinstance(module, nn.Identity | nn.Sequential) and path != "pool"


_LAYER_NAMES: dict[type[nn.Module], Message] = {
    nn.AdaptiveAvgPool2d: say("Global average pooling"),
    nn.BatchNorm2d: say("Batch normalisation"),
    nn.ELU: say("ELU"),
    nn.GELU: say("GELU"),
    nn.Hardsigmoid: say("Hard sigmoid"),
    nn.Hardswish: say("Hard swish"),
    nn.Identity: say("Flatten"),
    nn.LeakyReLU: say("Leaky ReLU"),
    nn.Linear: say("Dense"),
    nn.ReLU: say("ReLU"),
    nn.SiLU: say("SiLU"),
    nn.Sigmoid: say("Sigmoid"),
}


def _describe_layer(module: nn.Module) -> Message:
    """The type of a layer, with its size."""
    if isinstance(module, nn.Conv2d):
        window = _format_window(module.kernel_size, module.stride, default_stride=1)
        if module.groups == module.in_channels > 1:
            return say("Depthwise convolution {window}", window=window)
        groups = module.groups
        return (
            say("Convolution {window} in {groups} groups", window=window, groups=groups)
            if groups > 1
            else say("Convolution {window}", window=window)
        )
    if isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
        window = _format_window(module.kernel_size, module.stride, default_stride=_first_size(module.kernel_size))
        return (
            say("Max pooling {window}", window=window)
            if isinstance(module, nn.MaxPool2d)
            else say("Average pooling {window}", window=window)
        )
    if isinstance(module, nn.Dropout):
        return say("Dropout {x:.0f} %", x=100 * module.p)
    if isinstance(module, StochasticDepth):
        return say("Block skipped at random {x:.1f} %", x=100 * module.p)
    return _LAYER_NAMES.get(type(module)) or Message(type(module).__name__)


def _format_window(size: int | tuple[int, ...], stride: int | tuple[int, ...], default_stride: int) -> str:
    """Such as "3×3, stride 2"; the default stride is left out."""
    side, step = _first_size(size), _first_size(stride)
    return f"{side}×{side}" if step == default_stride else say("{side}×{side}, stride {step}", side=side, step=step)


def _first_size(value: int | tuple[int, ...]) -> int:
    return value if isinstance(value, int) else value[0]


LayerGroup = list[Layer]


def _group_layers(layers: Sequence[Layer]) -> list[LayerGroup]:
    groups: list[LayerGroup] = []
    for run in _split_runs(layers):
        if groups and _belongs_to_group(run, groups[-1]):
            groups[-1].extend(run)
        else:
            groups.append(run)
    return groups


def _split_runs(layers: Sequence[Layer]) -> Iterator[LayerGroup]:
    """Consecutive layers of the same part; each dense layer begins a new run."""
    run: LayerGroup = []
    for layer in layers:
        if run and (layer.stage != run[0].stage or (layer.kind == "Dense" and _is_dense(run))):
            yield run
            run = []
        run.append(layer)
    yield run


_STAGE_START = re.compile(r"(block|layer|denseblock)\d+|pool|dropout")


def _belongs_to_group(run: LayerGroup, group: LayerGroup) -> bool:
    """Whether a run of layers joins the group before it."""
    stage_name = run[0].stage
    if group[0].stage == "input" or _STAGE_START.fullmatch(stage_name):
        return False
    if stage_name == "head":
        return group[-1].stage == "dropout"
    if stage_name.startswith("part"):
        return (
            _has_inverted_residual(run) and _has_inverted_residual(group) and run[-1].shape[1:] == group[-1].shape[1:]
        )
    return True


def _has_inverted_residual(group: LayerGroup) -> bool:
    return any(".block." in layer.name for layer in group)


def _is_dense(group: LayerGroup) -> bool:
    return any(layer.kind == "Dense" for layer in group)


def _merge_dense_layers(groups: list[LayerGroup]) -> list[LayerGroup]:
    """All hidden dense layers in one group."""
    front = [group for group in groups[:-1] if not _is_dense(group)]
    hidden = [layer for group in groups[:-1] if _is_dense(group) for layer in group]
    return [*front, hidden, groups[-1]]


def _describe_stage(
    group: LayerGroup, *, is_stem: bool, is_last: bool, inverted_number: int
) -> tuple[Message, Message]:
    """Name and explanation of a stage."""
    stage_name, kinds = group[0].stage, " ".join(layer.kind for layer in group)
    if stage_name == "input":
        return say("Input"), say("The scan as the network sees it: one grey value for each pixel.")
    if stage_name == "pool":
        return group[0].kind, _POOLING_TEXTS[group[0].kind == "Flatten"]
    if is_last:
        return say("Output"), say("One number for each class; together they become the probabilities of the diagnosis.")
    if _is_dense(group):
        units = next(layer.shape[0] for layer in group if layer.kind == "Dense")
        return (
            say_plural("Dense layer {units}", "{n} dense layers of {units}", kinds.split().count("Dense"), units=units),
            say("Every unit weighs up all the numbers before it, and so combines what was found all over the scan."),
        )
    return _describe_convolution_stage(group, kinds, is_stem=is_stem, inverted_number=inverted_number)


_POOLING_TEXTS = (
    say("The average of each map over the whole picture: what was found counts, no longer where."),
    say("The maps written out in one row of numbers, as dense layers need them."),
)


def _describe_convolution_stage(
    group: LayerGroup, kinds: str, *, is_stem: bool, inverted_number: int
) -> tuple[Message, Message]:
    stage_name, n = group[0].stage, _count_blocks(group)
    number = re.sub(r"\D", "", stage_name)
    if stage_name.startswith("block"):
        return say("Convolution block {number}", number=number), say(
            "Filters look for small patterns, normalisation keeps their answers in a steady range, and pooling keeps "
            "the strongest of each 2×2 pixels, so that the next block sees more of the scan at once."
        )
    if is_stem:
        name = say("First convolution and pooling") if "pooling" in kinds else say("First convolution")
        return name, say("The first filters look for edges and brightness, and make the picture smaller.")
    if stage_name.startswith("denseblock"):
        name = say_plural("Dense block {number} ({n} layer)", "Dense block {number} ({n} layers)", n, number=number)
        text = say("Each layer sees what all layers before it in the block have found, and adds its own.")
        transition = say("Then a transition halves the picture.")
        return name, join_messages([text, transition]) if "Average pooling" in kinds else text
    if stage_name.startswith("layer"):
        name = say_plural(
            "Residual stage {number} ({n} block)", "Residual stage {number} ({n} blocks)", n, number=number
        )
        return name, say("Each block adds corrections to what it was given, so that even deep networks can learn.")
    if _has_inverted_residual(group):
        name = say_plural(
            "Inverted residual stage {number} ({n} block)",
            "Inverted residual stage {number} ({n} blocks)",
            n,
            number=inverted_number,
        )
        return name, say(
            "Blocks that widen, filter each map by itself and narrow again: much seeing for little calculation."
        )
    return say("Last convolution"), say("Combines what was found at each place into many maps for the decision.")


_BLOCK_PATTERN = re.compile(r"(.*\.layer\d+\.\d+|.*\.denselayer\d+|.*?(?=\.block\.))")


def _count_blocks(group: LayerGroup) -> int:
    """The number of repeated blocks in a stage."""
    return len({match[0] for layer in group if (match := _BLOCK_PATTERN.match(layer.name))})
