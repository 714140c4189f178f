"""Where in a scan a network sees evidence for a class: class activation maps in units that can be compared.

A map's value at a place is the evidence found there for the class against the mean of the other classes, in
log-odds. It is anchored: drawn in full colour is the `anchor` kept in the model's card, so that a map without
evidence stays dark. grad-cam's own scaling, which makes every map reach full red, is not used.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from pytorch_grad_cam import GradCAM, HiResCAM
from pytorch_grad_cam.base_cam import BaseCAM
from torch import Tensor, nn

from xrai.core.language import N_, say
from xrai.networks.build import Network

METHODS: dict[str, str] = {
    "Fused CAM": N_("What the end of the network, looked at twice as finely as in CAM, and the stage before agree on"),
    N_("CAM"): (
        N_("Class activation map (Zhou 2016): what each place adds to the answer, for networks that end in averaging")
    ),
    N_("HiResCAM"): (
        N_("High-resolution class activation map (Draelos & Carin 2020): the same for networks with dense layers")
    ),
    N_("Grad-CAM"): (
        N_("Gradient-weighted class activation map (Selvaraju 2017): well known, vague where dense layers follow")
    ),
}

ANCHOR_PERCENTILE = 95
"""Full colour is the evidence that 95 of 100 validation scans called that class stay below at their hottest place."""

MIN_ANCHOR = 0.1
"""Full colour is never less evidence than this, in log-odds: what a network hardly sees must not glow."""

LOCK = threading.Lock()
"""Hooks are kept on the shared model, grad-cam's and others: two calls at once would swap their maps."""


class _RawCAM(BaseCAM):
    """grad-cam without its scaling: maps as they come from the layer, in units of the target."""

    def compute_cam_per_layer(self, input_tensor: Tensor, targets: Any, eigen_smooth: bool) -> Any:
        kept: Any = self.activations_and_grads
        activations, grads = (items[0].numpy() if items else None for items in (kept.activations, kept.gradients))
        layer: Any = self.target_layers
        return self.get_cam_image(input_tensor, layer, targets, activations, grads, eigen_smooth)  # type: ignore[arg-type]

    def aggregate_multi_layers(self, cam_per_target_layer: np.ndarray) -> np.ndarray:
        return cam_per_target_layer


class _RawGradCAM(_RawCAM, GradCAM):
    """Grad-CAM times the number of places, so that, as with CAM, the map's mean is about the target's value."""

    def get_cam_weights(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, input_tensor: Any, target_layers: Any, targets: Any, activations: Any, grads: Any
    ) -> Any:
        weights = GradCAM.get_cam_weights(self, input_tensor, target_layers, targets, activations, grads)
        return weights * grads.shape[2] * grads.shape[3]


class _RawHiResCAM(_RawCAM, HiResCAM):
    """HiResCAM times the number of places: what each place adds to the target, wherever dense layers follow."""

    def get_cam_image(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        input_tensor: Any,
        target_layer: Any,
        targets: Any,
        activations: Any,
        grads: Any,
        eigen_smooth: bool = False,
    ) -> Any:
        maps = HiResCAM.get_cam_image(self, input_tensor, target_layer, targets, activations, grads, eigen_smooth)
        return maps * grads.shape[2] * grads.shape[3]


class _ClassActivationMap(_RawCAM):
    """CAM: feature maps weighted with the linear head's own weights; no backward pass."""

    def __init__(self, network: Network, target_layers: list[torch.nn.Module]) -> None:
        super().__init__(network, target_layers, uses_gradients=False)
        assert isinstance(network.head, torch.nn.Linear)
        self.head = network.head.weight.detach().float().cpu().numpy()  # (C, K)

    def get_cam_weights(self, input_tensor: Any, target_layers: Any, targets: Any, activations: Any, grads: Any) -> Any:
        return np.stack([_against_rest(self.head, target.label) for target in targets])  # (N, K)


class _Evidence:
    """grad-cam's target: the logit of a class less the mean of the others'."""

    def __init__(self, label: int) -> None:
        self.label = label

    def __call__(self, logits: Tensor) -> Tensor:
        return _against_rest(logits, self.label)


def methods_for(network: Network) -> tuple[str, ...]:
    """The methods that fit a network, the best one first; how they were compared stands in docs/heatmaps.md."""
    if not network.pools_globally:
        return ("HiResCAM", "Grad-CAM")
    return (say("Fused CAM"), "CAM", "Grad-CAM") if _last_halving(_steps(network.features)) else ("CAM", "Grad-CAM")


def answers(network: Network, inputs: Tensor) -> Tensor:
    """Logits float (N, C) without a map; waits its turn, since another thread's map must not see these scans."""
    with LOCK, torch.inference_mode():
        return network(inputs).float()


def answers_and_vectors(network: Network, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Logits float (N, C), and what the last layer makes them of, float (N, K); waits its turn as `answers` does."""
    with LOCK, torch.inference_mode():
        logits, vectors = network.answer(inputs)
    return logits.float(), vectors.float()


def evidence_maps(network: Network, inputs: Tensor, labels: Sequence[int], method: str) -> tuple[Tensor, np.ndarray]:
    """Logits, and where the evidence for one class a scan lies.

    Safe to call from several threads, also on one network.

    Args:
        network: in evaluation mode.
        inputs: standardised scans, float (N, 1, H, W).
        labels: the class to explain for each scan.
        method: one of `methods_for(network)`.

    Returns:
        Logits float (N, C), and maps float32 (N, h, w) at the last convolution's size, in log-odds, positive where
        a place speaks for the class. With CAM and HiResCAM a map's mean is the target's value less what biases add.
        Fused CAM's maps are four times as fine, and nothing where two stages disagree.
    """
    if method == "Fused CAM":
        return _fused_maps(network, inputs, labels)
    with LOCK, torch.enable_grad(), _explainer(method)(network, [network.features]) as explain:
        maps = explain(inputs, [_Evidence(label) for label in labels])  # type: ignore[arg-type]
        logits = explain.outputs.detach().float()
        network.zero_grad(set_to_none=True)
    return logits, np.asarray(maps, np.float32)


def anchors(
    network: Network, inputs_of: Callable[[np.ndarray], Tensor], rows: np.ndarray, n_classes: int, *, batch: int = 16
) -> dict[str, dict[int, float]]:
    """The evidence that is to be drawn in full colour, per method and class.

    Args:
        network: in evaluation mode.
        inputs_of: gives the standardised inputs of some rows.
        rows: validation scans to look at.
        n_classes: number of classes.
        batch: scans at a time.

    Returns:
        {method: {label: anchor}}, at least `MIN_ANCHOR`; for a class that no scan is called, the mean of the others.
    """
    found = {}
    for method in methods_for(network):
        peaks: dict[int, list[float]] = {label: [] for label in range(n_classes)}
        for start in range(0, len(rows), batch):
            inputs = inputs_of(rows[start : start + batch])
            with torch.inference_mode():
                called = network(inputs).argmax(dim=1).tolist()
            _, maps = evidence_maps(network, inputs, called, method)
            for label, peak in zip(called, maps.max(axis=(1, 2)).tolist(), strict=True):
                peaks[label].append(peak)
        known = {
            label: max(float(np.percentile(values, ANCHOR_PERCENTILE)), MIN_ANCHOR)
            for label, values in peaks.items()
            if values
        }
        usual = float(np.mean(list(known.values()))) if known else 1.0
        found[method] = {label: known.get(label, usual) for label in range(n_classes)}
    return found


def intensity(evidence: np.ndarray, anchor: float, shape: tuple[int, int]) -> np.ndarray:
    """A map as it is drawn, float32 of `shape` in 0 to 1, smooth: 0 is no evidence or evidence against, 1 the anchor.

    Evidence against is cut off first and the curve kept below the map's highest value: a cubic curve swings beyond
    the values that it joins, and would light up places between evidence against and none.
    """
    found = torch.from_numpy(evidence).clamp_min(0)
    upsampled = torch.nn.functional.interpolate(found[None, None], shape, mode="bicubic", align_corners=False)
    return (upsampled[0, 0].clamp(0, float(found.max())) / anchor).clamp_max(1).numpy()


def _fused_maps(network: Network, inputs: Tensor, labels: Sequence[int]) -> tuple[Tensor, np.ndarray]:
    """The geometric mean of two maps in log-odds: CAM of the end made finer, HiResCAM of the stage before.

    The end begins where maps become smaller for the last time: the last stage, and of the half ResNet the last two.
    """
    assert isinstance(network.head, nn.Linear)
    steps = _steps(network.features)
    split = _last_halving(steps)
    early, late = nn.Sequential(*steps[:split]), nn.Sequential(*steps[split:])
    fine = _finer(late)
    with LOCK, torch.enable_grad():
        seen = early(inputs).detach().requires_grad_()  # (N, K', h', w'), twice the side of the last maps
        logits = network.head(network.pool(late(seen)).flatten(1))
        wanted = torch.stack([_against_rest(row, label) for row, label in zip(logits, labels, strict=True)])
        (slopes,) = torch.autograd.grad(wanted.sum(), seen)
    with LOCK, torch.inference_mode():
        before = (seen * slopes).sum(dim=1) * seen.shape[2] * seen.shape[3]
        weights = torch.stack([_against_rest(network.head.weight, label) for label in labels])  # (N, K)
        last = torch.einsum("nk,nkhw->nhw", weights, fine(seen))
    shape = (2 * seen.shape[2], 2 * seen.shape[3])
    a = _placed(last.cpu().numpy(), [early, fine], inputs.shape[2:], shape)
    b = _placed(before.cpu().numpy(), [early], inputs.shape[2:], shape)
    return logits.detach().float(), np.sign(a) * np.sqrt(np.maximum(a * b, 0))


def _steps(features: nn.Module) -> list[nn.Module]:
    """What happens in `features` one after the other, sequences within sequences taken apart."""
    if type(features).forward is not nn.Sequential.forward:
        return [features]
    return [step for part in features.children() for step in _steps(part)]


def _last_halving(steps: Sequence[nn.Module]) -> int:
    """The number of the step that makes maps smaller for the last time; 0 where none but the first does."""
    halving = [i for i, step in enumerate(steps) if any(_side(layer.stride) > 1 for layer in _windows(step))]
    return halving[-1] if halving else 0


def _windows(module: nn.Module) -> list[Any]:
    """The layers that look at more than one place at a time, in their order."""
    kinds = nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d
    layers: list[Any] = [layer for layer in module.modules() if isinstance(layer, kinds)]
    return [layer for layer in layers if _side(layer.kernel_size) > 1]


def _finer(late: nn.Module) -> nn.Module:
    """The same steps, weights shared, whose first reduction of the maps is undone.

    The layer that makes them smaller goes on with every place, and what follows looks at as distant places as before
    ("à trous": Chen et al. 2018, IEEE TPAMI 40:834, section 3.1; Yu et al. 2017, CVPR). Of the new maps every second
    row and column is as it was; squeeze-and-excitation, which averages over all places, moves them a little.
    """
    fine = copy.deepcopy(late, {id(value): value for value in (*late.parameters(), *late.buffers())})
    factor = 1
    for layer in _windows(fine):
        if factor > 1:
            layer.dilation, layer.padding = factor * _side(layer.dilation), factor * _side(layer.padding)
        factor *= _side(layer.stride)
    for layer in fine.modules():
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            layer.stride = 1  # type: ignore[assignment]  # also of shortcuts, whose windows are 1 × 1
    return fine


def _placed(maps: np.ndarray, steps: Sequence[nn.Module], size: Sequence[int], shape: tuple[int, int]) -> np.ndarray:
    """Maps (N, h, w) resampled to `shape` so that each value lies where its window in the scan has its middle.

    Drawn as a plain picture, a ResNet's maps lie half a place too far to the right and too low.
    """
    middle, apart = 0.0, 1
    for layer in (layer for step in steps for layer in _windows(step)):
        reach = (_side(layer.kernel_size) - 1) * _side(getattr(layer, "dilation", 1)) / 2
        middle += (reach - _side(layer.padding)) * apart
        apart *= _side(layer.stride)
    rows, columns = (
        ((np.arange(count) + 0.5) * pixels / count - 0.5 - middle) / apart
        for count, pixels in zip(shape, size, strict=True)
    )
    x, y = np.meshgrid(columns.astype(np.float32), rows.astype(np.float32))
    return np.stack([cv2.remap(one, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE) for one in maps])


def _side(size: Any) -> int:
    """Of the square that a layer's setting stands for, which torch keeps as a number or as a pair."""
    return int(size) if isinstance(size, int) else int(size[0])


def _explainer(method: str) -> Any:
    return {"CAM": _ClassActivationMap, "HiResCAM": _RawHiResCAM, "Grad-CAM": _RawGradCAM}[method]


def _against_rest(values: Any, label: int) -> Any:
    """Row `label` less the mean of the other rows."""
    n = len(values)
    return (values[label] * n - values.sum(0)) / (n - 1)
