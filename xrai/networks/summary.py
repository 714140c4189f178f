"""A network before anything is trained: its layers, its stages for a diagram, and whether training it fits the machine.

The network is built on torch's meta device, where tensors have shapes but no numbers: that takes no memory, hardly any
time, and never the weights that a run would start from.
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

from xrai.core.language import N_, say, tr, translate, trn
from xrai.networks.build import Network, build_network
from xrai.networks.config import NetworkConfig

INPUT = N_("Input")

MAX_STAGES = 12
"""A diagram with more boxes than that is not taken in at a glance."""


@dataclass(frozen=True)
class Layer:
    """One layer, at one of the times that data passes it.

    Attributes:
        stage: name of the part of the network that it belongs to: "conv1", "layer1", "block2", "pool", "head".
        name: its dotted path in the network.
        kind: what it is, in plain English words: "Convolution 3×3, stride 2"; screens tell it.
        shape: of its output, without the batch: (C, H, W) or (C,).
        parameters: trainable numbers of its own; 0 where they were counted at an earlier pass.
        in_sum: whether it lies in a block that adds what came into it to what leaves it.
    """

    stage: str
    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    in_sum: bool = False


@dataclass(frozen=True)
class Stage:
    """Several layers as one box of a diagram.

    Attributes:
        name: in words: "Residual stage 1 (3 blocks)".
        shape: of what leaves it, without the batch: (C, H, W) or (C,).
        parameters: trainable numbers.
        n_layers: layers within; 0 for the input.
        explanation: what it is for, in a line.
        has_residual: whether a block in it adds what came into it to what leaves it.
    """

    name: str
    shape: tuple[int, ...]
    parameters: int
    n_layers: int
    explanation: str
    has_residual: bool


def list_layers(config: NetworkConfig, n_classes: int) -> list[Layer]:
    """Every layer of the network as configured, in the order in which data passes, the input first.

    What does nothing (no dropout, for one) is left out. Parameters add up to `networks.n_parameters`.
    """
    network = build_on_meta(config, n_classes).eval()  # one scan is too few for normalisation layers that learn
    table = [Layer("input", "input", INPUT, (1, config.image_size, config.image_size), 0)]
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
    """The layers as the boxes of a diagram, from input to output, at most `MOST_STAGES`."""
    groups = _group_layers(layers)
    if len(groups) > MAX_STAGES:
        groups = _merge_dense_layers(groups)
    grouped_stages, n_inverted = [], 0
    for number, group in enumerate(groups):
        n_inverted += _has_inverted_residual(group)
        name, explanation = _describe_stage(
            group, is_stem=number == 1, is_last=number == len(groups) - 1, n_inverted=n_inverted
        )
        n_layers = 0 if number == 0 else len(group)
        n_parameters, in_sum = sum(layer.parameters for layer in group), any(layer.in_sum for layer in group)
        grouped_stages.append(Stage(name, group[-1].shape, n_parameters, n_layers, explanation, in_sum))
    return grouped_stages


def build_on_meta(config: NetworkConfig, n_classes: int) -> Network:
    """The network with shapes but no numbers."""
    with torch.device("meta"):
        return build_network(config, n_classes)


def _is_residual_block(module: nn.Module) -> bool:
    """Whether it is a block whose input is added, as it came, to what leaves it."""
    if isinstance(module, BasicBlock | Bottleneck):
        return module.downsample is None
    return getattr(module, "use_res_connect", False)  # torchvision's inverted residual blocks say so themselves


def _stage_of(path: str) -> str:
    """The top-level part that a layer belongs to; torchvision only numbers some, which are then "part3"."""
    first = next(word for word in path.split(".") if word != "features")
    return f"part{first}" if first.isdigit() else first


def _is_identity(module: nn.Module, path: str) -> bool:
    """Whether what comes in goes out as it was, which is worth a line only where a picture becomes a row of numbers."""
    if isinstance(module, nn.Dropout | StochasticDepth):
        return module.p == 0
    return isinstance(module, nn.Identity | nn.Sequential) and path != "pool"


_LAYER_NAMES: dict[type[nn.Module], str] = {
    nn.AdaptiveAvgPool2d: N_("Global average pooling"),
    nn.BatchNorm2d: N_("Batch normalisation"),
    nn.ELU: N_("ELU"),
    nn.GELU: N_("GELU"),
    nn.Hardsigmoid: N_("Hard sigmoid"),
    nn.Hardswish: N_("Hard swish"),
    nn.Identity: N_("Flatten"),
    nn.LeakyReLU: N_("Leaky ReLU"),
    nn.Linear: N_("Dense"),
    nn.ReLU: N_("ReLU"),
    nn.SiLU: N_("SiLU"),
    nn.Sigmoid: N_("Sigmoid"),
}


def _describe_layer(module: nn.Module) -> str:
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
    return _LAYER_NAMES.get(type(module), type(module).__name__)


def _format_window(size: int | tuple[int, ...], stride: int | tuple[int, ...], default_stride: int) -> str:
    """Such as "3×3, stride 2"; a stride that goes without saying is not said."""
    side, step = _first_size(size), _first_size(stride)
    return (
        f"{side}×{side}"
        if step == default_stride
        else say("{side}×{side2}, stride {step}", side=side, side2=side, step=step)
    )


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
    """Neighbours of the same part; each dense layer begins a run."""
    run: LayerGroup = []
    for layer in layers:
        if run and (layer.stage != run[0].stage or (layer.kind == "Dense" and _is_dense(run))):
            yield run
            run = []
        run.append(layer)
    yield run


_STAGE_START = re.compile(r"(block|layer|denseblock)\d+|pool|dropout")


def _belongs_to_group(run: LayerGroup, group: LayerGroup) -> bool:
    """Whether a run of layers goes into the box before it."""
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
    """The hidden dense layers, those before the last, in one box."""
    front = [group for group in groups[:-1] if not _is_dense(group)]
    hidden = [layer for group in groups[:-1] if _is_dense(group) for layer in group]
    return [*front, hidden, groups[-1]]


def _describe_stage(group: LayerGroup, *, is_stem: bool, is_last: bool, n_inverted: int) -> tuple[str, str]:
    """Name and explanation of a box."""
    stage_name, kinds = group[0].stage, " ".join(layer.kind for layer in group)
    if stage_name == "input":
        return tr(INPUT), tr("The scan as the network sees it: one grey value for each pixel.")
    if stage_name == "pool":
        return translate(group[0].kind), tr(_POOLING_TEXTS[group[0].kind == "Flatten"])
    if is_last:
        return tr("Output"), tr("One number for each class; together they become the probabilities of the diagnosis.")
    if _is_dense(group):
        n = kinds.split().count("Dense")
        units = next(layer.shape[0] for layer in group if layer.kind == "Dense")
        name = trn("Dense layer {units}", "{n} dense layers of {units}", n, units=units)
        return name, tr(
            "Every unit weighs up all the numbers before it, and so combines what was found all over the scan."
        )
    return _describe_convolution_stage(group, stage_name, kinds, is_stem, n_inverted)


_POOLING_TEXTS = (
    N_("The average of each map over the whole picture: what was found counts, no longer where."),
    N_("The maps written out in one row of numbers, as dense layers need them."),
)


def _describe_convolution_stage(
    group: LayerGroup, stage_name: str, kinds: str, is_stem: bool, n_inverted: int
) -> tuple[str, str]:
    number, n = re.sub(r"\D", "", stage_name), _count_blocks(group)
    if stage_name.startswith("block"):
        return tr("Convolution block {number}", number=number), tr(
            "Filters look for small patterns, normalisation keeps their answers in a steady range, and pooling keeps "
            "the strongest of each 2×2 pixels, so that the next block sees more of the scan at once."
        )
    if is_stem:
        name = tr("First convolution and pooling") if "pooling" in kinds else tr("First convolution")
        return name, tr("The first filters look for edges and brightness, and make the picture smaller.")
    if stage_name.startswith("denseblock"):
        name = trn("Dense block {number} ({n} layer)", "Dense block {number} ({n} layers)", n, number=number)
        words = tr("Each layer sees what all layers before it in the block have found, and adds its own.")
        return name, f"{words} {tr('Then a transition halves the picture.')}" if "Average pooling" in kinds else words
    if stage_name.startswith("layer"):
        name = trn("Residual stage {number} ({n} block)", "Residual stage {number} ({n} blocks)", n, number=number)
        return name, tr("Each block adds corrections to what it was given, so that even deep networks can learn.")
    if _has_inverted_residual(group):
        name = trn(
            "Inverted residual stage {number} ({n} block)",
            "Inverted residual stage {number} ({n} blocks)",
            n,
            number=n_inverted,
        )
        return name, tr(
            "Blocks that widen, filter each map by itself and narrow again: much seeing for little calculation."
        )
    return tr("Last convolution"), tr("Combines what was found at each place into many maps for the decision.")


_BLOCK_PATTERN = re.compile(r"(.*\.layer\d+\.\d+|.*\.denselayer\d+|.*?(?=\.block\.))")


def _count_blocks(group: LayerGroup) -> int:
    """How many blocks of the same make are in a box."""
    return len({match[0] for layer in group if (match := _BLOCK_PATTERN.match(layer.name))})
