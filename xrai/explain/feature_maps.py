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

from xrai.explain.cam import LOCK
from xrai.networks.build import Network
from xrai.networks.summary import Layer, Stage

_LARGEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True, eq=False)
class Weighing:
    """The maps of the last convolution, and how much each counts for a class.

    The sum of weight × map is the class activation map. Where a network ends in averaging and a linear layer, the
    mean of that sum over all places plus the bias is the class's logit (Zhou et al. 2016, CVPR, equation 2). Elsewhere
    the weights are Grad-CAM's (Selvaraju et al. 2017, ICCV, equation 1) times the number of places, and it is not.

    Attributes:
        maps: float32 (K, h, w).
        weights: float32 (K,).
        bias: of the class in the last layer; 0 where the sum is not exact.
        logits: of all classes, float32 (C,).
        answer: what is explained: the class's logit, or its logit less the mean of the others'.
        exact: whether mean + bias is the answer.
    """

    maps: np.ndarray
    weights: np.ndarray
    bias: float
    logits: np.ndarray
    answer: float
    exact: bool

    @cached_property
    def means(self) -> np.ndarray:
        """What each map adds to the sum's mean, float32 (K,)."""
        return self.weights * self.maps.mean(axis=(1, 2))

    @cached_property
    def order(self) -> np.ndarray:
        """The maps' numbers, the one that adds or takes away most first, int (K,)."""
        return np.argsort(-np.abs(self.means), kind="stable")

    def first(self, n: int) -> np.ndarray:
        """The sum of the first `n` in that order, float32 (h, w)."""
        chosen = self.order[:n]
        return np.einsum("k,khw->hw", self.weights[chosen], self.maps[chosen])

    def sums(self) -> np.ndarray:
        """The mean of `first(n)` plus the bias for n = 0 to K, float64 (K + 1,)."""
        return self.bias + np.concatenate([[0.0], np.cumsum(self.means[self.order], dtype=np.float64)])


def feature_maps(
    network: Network, inputs: Tensor, layers: Sequence[Layer], wanted: Collection[int] | None = None
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
    chosen = range(len(layers)) if wanted is None else wanted
    with LOCK, torch.inference_mode(), _listening(network, layers, chosen) as heard:
        network(inputs)
    if 0 in chosen:
        heard[0] = _kept(inputs)
    return {number: values.reshape(layers[number].shape) for number, values in heard.items()}


def parts(stages: Sequence[Stage]) -> list[range]:
    """For each of the stages of a list of layers, the numbers of its layers in that list."""
    found, start = [], 0
    for stage in stages:
        end = start + max(stage.n_layers, 1)  # the input counts as none
        found.append(range(start, end))
        start = end
    return found


def first_filters(network: Network) -> np.ndarray:
    """What the first convolution has learned, float32 (K, k, k)."""
    stem = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    return stem.weight.detach().float().cpu().numpy()[:, 0]


def by_strength(maps: np.ndarray) -> np.ndarray:
    """The numbers of maps (C, H, W), the one with the highest mean size of its values first, int (C,)."""
    strengths = np.abs(maps.astype(np.float32)).mean(axis=(1, 2))
    return np.argsort(-strengths, kind="stable")


def weigh(network: Network, inputs: Tensor, label: int, *, against_others: bool = False) -> Weighing:
    """How the maps of the last convolution make up the answer for a class; safe to call from several threads.

    Args:
        network: in evaluation mode.
        inputs: one standardised scan, float (1, 1, H, W).
        label: of the class.
        against_others: explain its logit less the mean of the others', as `explanation.evidence_maps` does.
    """
    with LOCK, torch.no_grad():
        maps = network.features(inputs)
    with LOCK, torch.enable_grad():
        seen = maps.detach().requires_grad_()
        logits = network.head(network.pool(seen).flatten(1))[0]
        answer = _picked(logits, label, against_others)
        (slopes,) = torch.autograd.grad(answer, seen)
    weights, bias = slopes[0].sum(dim=(1, 2)), 0.0  # the mean slope times the number of places
    if network.pools_globally:
        assert isinstance(network.head, nn.Linear)
        weights = _picked(network.head.weight, label, against_others)
        bias = float(_picked(network.head.bias.detach(), label, against_others))
    kept = [_numbers(item) for item in (maps[0], weights, logits)]
    return Weighing(kept[0], kept[1], bias, kept[2], float(answer.detach()), network.pools_globally)


@contextmanager
def _listening(network: Network, layers: Sequence[Layer], wanted: Collection[int]) -> Iterator[dict[int, np.ndarray]]:
    """What leaves the wanted layers while the block runs, by number."""
    heard: dict[int, np.ndarray] = {}
    passed = count(1)  # a layer may be passed more than once, and the list holds each of these times

    def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
        if (number := next(passed)) in wanted:
            heard[number] = _kept(output)

    handles = [network.get_submodule(path).register_forward_hook(keep) for path in {layer.name for layer in layers[1:]}]
    try:
        yield heard
    finally:
        for handle in handles:
            handle.remove()


def _kept(output: Tensor) -> np.ndarray:
    """A copy of a layer's output of one scan, which later layers may write over."""
    return output[0].detach().float().clamp(-_LARGEST, _LARGEST).half().cpu().numpy()


def _picked(values: Any, label: int, against_others: bool) -> Any:
    """Row `label`, or what it is more than the mean of the other rows."""
    if not against_others:
        return values[label]
    n = len(values)
    return (values[label] * n - values.sum(0)) / (n - 1)


def _numbers(values: Tensor) -> np.ndarray:
    return values.detach().float().cpu().numpy()
