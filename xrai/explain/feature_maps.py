"""Feature maps of each layer, captured with forward hooks, and CAM as their weighted sum."""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xrai.explain.cam import HOOK_LOCK, one_vs_rest
from xrai.networks.build import Network
from xrai.networks.summary import Layer, Stage

_FLOAT16_MAX = float(np.finfo(np.float16).max)


@dataclass(frozen=True, eq=False)
class CamDecomposition:
    """The feature maps of the last convolution and their weights for a class.

    CAM is the sum of weight × map. With global average pooling and a linear head, the mean of CAM plus the bias is the
    logit (Zhou et al. 2016, CVPR, equation 2). Other networks get Grad-CAM's weights (Selvaraju et al. 2017, ICCV,
    equation 1) times the number of places, for which this does not hold.

    Attributes:
        maps: float32 (K, h, w).
        weights: float32 (K,).
        bias: of the class in the last layer; 0 where the sum is not exact.
        logits: of all classes, float32 (C,).
        target: the class's logit, or its one-vs-rest logit.
        is_exact: whether mean + bias equals the target.
    """

    maps: np.ndarray
    weights: np.ndarray
    bias: float
    logits: np.ndarray
    target: float
    is_exact: bool

    @cached_property
    def contributions(self) -> np.ndarray:
        """The contribution of each map to the mean of CAM, float32 (K,)."""
        return self.weights * self.maps.mean(axis=(1, 2))

    @cached_property
    def ranking(self) -> np.ndarray:
        """Indices of the maps by the size of their contribution, the largest first, int (K,)."""
        return np.argsort(-np.abs(self.contributions), kind="stable")

    def partial_sum(self, n: int) -> np.ndarray:
        """The weighted sum of the first `n` maps of the ranking, float32 (h, w)."""
        indices = self.ranking[:n]
        return np.einsum("k,khw->hw", self.weights[indices], self.maps[indices])

    def cumulative_means(self) -> np.ndarray:
        """The mean of `partial_sum(n)` plus the bias for n = 0 to K, float64 (K + 1,)."""
        return self.bias + np.concatenate([[0.0], np.cumsum(self.contributions[self.ranking], dtype=np.float64)])


def compute_feature_maps(
    network: Network, inputs: Tensor, layers: Sequence[Layer], layer_numbers: Collection[int] | None = None
) -> dict[int, np.ndarray]:
    """The outputs of the layers in one forward pass; safe to call from several threads.

    Args:
        network: in evaluation mode.
        inputs: one standardised image, float (1, 1, H, W).
        layers: of the network, as `networks.summary` lists them.
        layer_numbers: indices into that list; None for all.

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
    """The range of layer numbers of each stage."""
    ranges, start = [], 0
    for stage in stages:
        end = start + max(stage.n_layers, 1)  # the input stage has no layer of its own
        ranges.append(range(start, end))
        start = end
    return ranges


def get_first_filters(network: Network) -> np.ndarray:
    """The kernels of the first convolution, float32 (K, k, k)."""
    stem = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    return stem.weight.detach().float().cpu().numpy()[:, 0]


def rank_by_strength(maps: np.ndarray) -> np.ndarray:
    """Indices of maps (C, H, W) by their mean absolute value, the highest first, int (C,)."""
    strengths = np.abs(maps.astype(np.float32)).mean(axis=(1, 2))
    return np.argsort(-strengths, kind="stable")


def decompose_cam(network: Network, inputs: Tensor, label: int, *, against_rest: bool = False) -> CamDecomposition:
    """CAM of a class as the weighted sum of the last feature maps; safe to call from several threads.

    Args:
        network: in evaluation mode.
        inputs: one standardised image, float (1, 1, H, W).
        label: of the class.
        against_rest: explain the one-vs-rest logit, as `cam.compute_cams` does, instead of the logit.
    """
    select = one_vs_rest if against_rest else operator.getitem
    with HOOK_LOCK, torch.no_grad():
        maps = network.features(inputs)
    with HOOK_LOCK, torch.enable_grad():
        features = maps.detach().requires_grad_()
        logits = network.head(network.pool(features).flatten(1))[0]
        target = select(logits, label)
        (gradients,) = torch.autograd.grad(target, features)
    weights, bias = gradients[0].sum(dim=(1, 2)), 0.0  # the mean gradient times the number of places
    if network.has_global_pooling:
        assert isinstance(network.head, nn.Linear)
        weights = select(network.head.weight, label)
        bias = float(select(network.head.bias.detach(), label))
    arrays = [_to_numpy(item) for item in (maps[0], weights, logits)]
    return CamDecomposition(arrays[0], arrays[1], bias, arrays[2], float(target.detach()), network.has_global_pooling)


@contextmanager
def _capture_outputs(
    network: Network, layers: Sequence[Layer], layer_numbers: Collection[int]
) -> Iterator[dict[int, np.ndarray]]:
    """Record the outputs of some layers while the block runs, by layer number."""
    captured: dict[int, np.ndarray] = {}
    layer_counter = count(1)  # a module may run more than once, and the list holds every call

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
    """A float16 copy of the first output of a batch; later layers may overwrite the original in place."""
    return output[0].detach().float().clamp(-_FLOAT16_MAX, _FLOAT16_MAX).half().cpu().numpy()


def _to_numpy(values: Tensor) -> np.ndarray:
    return values.detach().float().cpu().numpy()
