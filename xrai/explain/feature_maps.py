"""What each layer of a network makes of one scan, and the class activation map as the sum of maps that it is."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xrai.explain.cam import HOOK_LOCK
from xrai.networks.build import Network
from xrai.networks.summary import Layer, Stage

_FLOAT16_MAX = float(np.finfo(np.float16).max)


@dataclass(frozen=True, eq=False)
class CamDecomposition:
    """The maps of the last convolution, and how much each counts for a class.

    The sum of weight × map is the class activation map. Where a network ends in averaging and a linear layer, the
    mean of that sum over all places plus the bias is the class's logit (Zhou et al. 2016, CVPR, equation 2). Elsewhere
    the weights are Grad-CAM's (Selvaraju et al. 2017, ICCV, equation 1) times the number of places, and it is not.

    Attributes:
        maps: float32 (K, h, w).
        weights: float32 (K,).
        bias: of the class in the last layer; 0 where the sum is not exact.
        logits: of all classes, float32 (C,).
        target: what is explained: the class's logit, or its logit less the mean of the others'.
        is_exact: whether mean + bias is the answer.
    """

    maps: np.ndarray
    weights: np.ndarray
    bias: float
    logits: np.ndarray
    target: float
    is_exact: bool

    @cached_property
    def contributions(self) -> np.ndarray:
        """What each map adds to the sum's mean, float32 (K,)."""
        return self.weights * self.maps.mean(axis=(1, 2))

    @cached_property
    def ranking(self) -> np.ndarray:
        """The maps' numbers, the one that adds or takes away most first, int (K,)."""
        return np.argsort(-np.abs(self.contributions), kind="stable")

    def partial_sum(self, n: int) -> np.ndarray:
        """The sum of the first `n` in that order, float32 (h, w)."""
        indices = self.ranking[:n]
        return np.einsum("k,khw->hw", self.weights[indices], self.maps[indices])

    def cumulative_means(self) -> np.ndarray:
        """The mean of `first(n)` plus the bias for n = 0 to K, float64 (K + 1,)."""
        return self.bias + np.concatenate([[0.0], np.cumsum(self.contributions[self.ranking], dtype=np.float64)])


def compute_feature_maps(
    network: Network, inputs: Tensor, layers: Sequence[Layer], layer_numbers: Collection[int] | None = None
) -> dict[int, np.ndarray]:
    """What leaves each layer, in one pass through the network; safe to call from several threads.

    Args:
        network: in evaluation mode.
        inputs: one standardised scan, float (1, 1, H, W).
        layers: of the network, as `blueprint.layers` lists them.
        wanted: numbers of layers in that list; None for all.

    Returns:
        {number: values}, float16 of the layer's shape, (C, H, W) or (C,); the input is layer 0.
    """
    numbers = range(len(layers)) if layer_numbers is None else layer_numbers
    with HOOK_LOCK, torch.inference_mode(), _capture_outputs(network, layers, numbers) as outputs:
        network(inputs)
    if 0 in numbers:
        outputs[0] = _copy_to_half(inputs)
    return {number: values.reshape(layers[number].shape) for number, values in outputs.items()}


def layer_ranges(stages: Sequence[Stage]) -> list[range]:
    """For each of the stages of a list of layers, the numbers of its layers in that list."""
    ranges, start = [], 0
    for stage in stages:
        end = start + max(stage.n_layers, 1)  # the input counts as none
        ranges.append(range(start, end))
        start = end
    return ranges


def get_first_filters(network: Network) -> np.ndarray:
    """What the first convolution has learned, float32 (K, k, k)."""
    stem = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    return stem.weight.detach().float().cpu().numpy()[:, 0]


def rank_by_strength(maps: np.ndarray) -> np.ndarray:
    """The numbers of maps (C, H, W), the one with the highest mean size of its values first, int (C,)."""
    strengths = np.abs(maps.astype(np.float32)).mean(axis=(1, 2))
    return np.argsort(-strengths, kind="stable")


def decompose_cam(network: Network, inputs: Tensor, label: int, *, one_vs_rest: bool = False) -> CamDecomposition:
    """How the maps of the last convolution make up the answer for a class; safe to call from several threads.

    Args:
        network: in evaluation mode.
        inputs: one standardised scan, float (1, 1, H, W).
        label: of the class.
        against_others: explain its logit less the mean of the others', as `explanation.evidence_maps` does.
    """
    with HOOK_LOCK, torch.no_grad():
        maps = network.features(inputs)
    with HOOK_LOCK, torch.enable_grad():
        features = maps.detach().requires_grad_()
        logits = network.head(network.pool(features).flatten(1))[0]
        target = _select_logit(logits, label, one_vs_rest)
        (gradients,) = torch.autograd.grad(target, features)
    weights, bias = gradients[0].sum(dim=(1, 2)), 0.0  # the mean slope times the number of places
    if network.has_global_pooling:
        assert isinstance(network.head, nn.Linear)
        weights = _select_logit(network.head.weight, label, one_vs_rest)
        bias = float(_select_logit(network.head.bias.detach(), label, one_vs_rest))
    arrays = [_to_numpy(item) for item in (maps[0], weights, logits)]
    return CamDecomposition(arrays[0], arrays[1], bias, arrays[2], float(target.detach()), network.has_global_pooling)


@contextmanager
def _capture_outputs(
    network: Network, layers: Sequence[Layer], layer_numbers: Collection[int]
) -> Iterator[dict[int, np.ndarray]]:
    """What leaves the wanted layers while the block runs, by number."""
    captured: dict[int, np.ndarray] = {}
    layer_counter = count(1)  # a layer may be passed more than once, and the list holds each of these times

    def store_output(module: nn.Module, inputs: Any, output: Tensor) -> None:
        if (number := next(layer_counter)) in layer_numbers:
            captured[number] = _copy_to_half(output)

    handles = [
        network.get_submodule(path).register_forward_hook(store_output) for path in {layer.name for layer in layers[1:]}
    ]
    try:
        yield captured
    finally:
        for handle in handles:
            handle.remove()


def _copy_to_half(output: Tensor) -> np.ndarray:
    """A copy of a layer's output of one scan, which later layers may write over."""
    return output[0].detach().float().clamp(-_FLOAT16_MAX, _FLOAT16_MAX).half().cpu().numpy()


def _select_logit(values: Any, label: int, one_vs_rest: bool) -> Any:
    """Row `label`, or what it is more than the mean of the other rows."""
    if not one_vs_rest:
        return values[label]
    n = len(values)
    return (values[label] * n - values.sum(0)) / (n - 1)


def _to_numpy(values: Tensor) -> np.ndarray:
    return values.detach().float().cpu().numpy()
