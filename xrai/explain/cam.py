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

REFERENCE_PERCENTILE = 95
"""Full colour is the evidence that 95 of 100 validation scans called that class stay below at their hottest place."""

MIN_REFERENCE_SCALE = 0.1
"""Full colour is never less evidence than this, in log-odds: what a network hardly sees must not glow."""

HOOK_LOCK = threading.Lock()
"""Hooks are kept on the shared model, grad-cam's and others: two calls at once would swap their maps."""


class _UnscaledCAM(BaseCAM):
    """grad-cam without its scaling: maps as they come from the layer, in units of the target."""

    def compute_cam_per_layer(self, input_tensor: Tensor, targets: Any, eigen_smooth: bool) -> Any:
        recorder: Any = self.activations_and_grads
        activations, grads = (
            items[0].numpy() if items else None for items in (recorder.activations, recorder.gradients)
        )
        layer: Any = self.target_layers
        return self.get_cam_image(input_tensor, layer, targets, activations, grads, eigen_smooth)  # type: ignore[arg-type]

    def aggregate_multi_layers(self, cam_per_target_layer: np.ndarray) -> np.ndarray:
        return cam_per_target_layer


class _UnscaledGradCAM(_UnscaledCAM, GradCAM):
    """Grad-CAM times the number of places, so that, as with CAM, the map's mean is about the target's value."""

    def get_cam_weights(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, input_tensor: Any, target_layers: Any, targets: Any, activations: Any, grads: Any
    ) -> Any:
        weights = GradCAM.get_cam_weights(self, input_tensor, target_layers, targets, activations, grads)
        return weights * grads.shape[2] * grads.shape[3]


class _UnscaledHiResCAM(_UnscaledCAM, HiResCAM):
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


class _LinearHeadCAM(_UnscaledCAM):
    """CAM: feature maps weighted with the linear head's own weights; no backward pass."""

    def __init__(self, network: Network, target_layers: list[torch.nn.Module]) -> None:
        super().__init__(network, target_layers, uses_gradients=False)
        assert isinstance(network.head, torch.nn.Linear)
        self.head = network.head.weight.detach().float().cpu().numpy()  # (C, K)

    def get_cam_weights(self, input_tensor: Any, target_layers: Any, targets: Any, activations: Any, grads: Any) -> Any:
        return np.stack([_one_vs_rest(self.head, target.label) for target in targets])  # (N, K)


class _OneVsRestTarget:
    """grad-cam's target: the logit of a class less the mean of the others'."""

    def __init__(self, label: int) -> None:
        self.label = label

    def __call__(self, logits: Tensor) -> Tensor:
        return _one_vs_rest(logits, self.label)


def available_methods(network: Network) -> tuple[str, ...]:
    """The methods that fit a network, the best one first; how they were compared stands in docs/heatmaps.md."""
    if not network.has_global_pooling:
        return ("HiResCAM", "Grad-CAM")
    return (
        (say("Fused CAM"), "CAM", "Grad-CAM")
        if _last_downsampling(_flatten_modules(network.features))
        else ("CAM", "Grad-CAM")
    )


def compute_logits(network: Network, inputs: Tensor) -> Tensor:
    """Logits float (N, C) without a map; waits its turn, since another thread's map must not see these scans."""
    with HOOK_LOCK, torch.inference_mode():
        return network(inputs).float()


def compute_logits_and_features(network: Network, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Logits float (N, C), and what the last layer makes them of, float (N, K); waits its turn as `answers` does."""
    with HOOK_LOCK, torch.inference_mode():
        logits, features = network.forward_with_features(inputs)
    return logits.float(), features.float()


def compute_cams(network: Network, inputs: Tensor, labels: Sequence[int], method: str) -> tuple[Tensor, np.ndarray]:
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
        return _compute_fused_cams(network, inputs, labels)
    with HOOK_LOCK, torch.enable_grad(), _cam_class(method)(network, [network.features]) as cam:
        maps = cam(inputs, [_OneVsRestTarget(label) for label in labels])  # type: ignore[arg-type]
        logits = cam.outputs.detach().float()
        network.zero_grad(set_to_none=True)
    return logits, np.asarray(maps, np.float32)


def fit_reference_scales(
    network: Network,
    inputs_of: Callable[[np.ndarray], Tensor],
    rows: np.ndarray,
    n_classes: int,
    *,
    batch_size: int = 16,
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
    scales = {}
    for method in available_methods(network):
        peaks: dict[int, list[float]] = {label: [] for label in range(n_classes)}
        for start in range(0, len(rows), batch_size):
            inputs = inputs_of(rows[start : start + batch_size])
            with torch.inference_mode():
                predicted = network(inputs).argmax(dim=1).tolist()
            _, maps = compute_cams(network, inputs, predicted, method)
            for label, peak in zip(predicted, maps.max(axis=(1, 2)).tolist(), strict=True):
                peaks[label].append(peak)
        class_scales = {
            label: max(float(np.percentile(values, REFERENCE_PERCENTILE)), MIN_REFERENCE_SCALE)
            for label, values in peaks.items()
            if values
        }
        default_scale = float(np.mean(list(class_scales.values()))) if class_scales else 1.0
        scales[method] = {label: class_scales.get(label, default_scale) for label in range(n_classes)}
    return scales


def scale_cam(evidence: np.ndarray, reference_scale: float, shape: tuple[int, int]) -> np.ndarray:
    """A map as it is drawn, float32 of `shape` in 0 to 1, smooth: 0 is no evidence or evidence against, 1 the anchor.

    Evidence against is cut off first and the curve kept below the map's highest value: a cubic curve swings beyond
    the values that it joins, and would light up places between evidence against and none.
    """
    positive = torch.from_numpy(evidence).clamp_min(0)
    upsampled = torch.nn.functional.interpolate(positive[None, None], shape, mode="bicubic", align_corners=False)
    return (upsampled[0, 0].clamp(0, float(positive.max())) / reference_scale).clamp_max(1).numpy()


def _compute_fused_cams(network: Network, inputs: Tensor, labels: Sequence[int]) -> tuple[Tensor, np.ndarray]:
    """The geometric mean of two maps in log-odds: CAM of the end made finer, HiResCAM of the stage before.

    The end begins where maps become smaller for the last time: the last stage, and of the half ResNet the last two.
    """
    assert isinstance(network.head, nn.Linear)
    modules = _flatten_modules(network.features)
    split_index = _last_downsampling(modules)
    early, late = nn.Sequential(*modules[:split_index]), nn.Sequential(*modules[split_index:])
    fine = _dilate(late)
    with HOOK_LOCK, torch.enable_grad():
        features = early(inputs).detach().requires_grad_()  # (N, K', h', w'), twice the side of the last maps
        logits = network.head(network.pool(late(features)).flatten(1))
        targets = torch.stack([_one_vs_rest(row, label) for row, label in zip(logits, labels, strict=True)])
        (gradients,) = torch.autograd.grad(targets.sum(), features)
    with HOOK_LOCK, torch.inference_mode():
        early_cams = (features * gradients).sum(dim=1) * features.shape[2] * features.shape[3]
        weights = torch.stack([_one_vs_rest(network.head.weight, label) for label in labels])  # (N, K)
        late_cams = torch.einsum("nk,nkhw->nhw", weights, fine(features))
    shape = (2 * features.shape[2], 2 * features.shape[3])
    a = _align_to_scan(late_cams.cpu().numpy(), [early, fine], inputs.shape[2:], shape)
    b = _align_to_scan(early_cams.cpu().numpy(), [early], inputs.shape[2:], shape)
    return logits.detach().float(), np.sign(a) * np.sqrt(np.maximum(a * b, 0))


def _flatten_modules(features: nn.Module) -> list[nn.Module]:
    """What happens in `features` one after the other, sequences within sequences taken apart."""
    if type(features).forward is not nn.Sequential.forward:
        return [features]
    return [step for child in features.children() for step in _flatten_modules(child)]


def _last_downsampling(modules: Sequence[nn.Module]) -> int:
    """The number of the step that makes maps smaller for the last time; 0 where none but the first does."""
    downsampling = [
        i for i, step in enumerate(modules) if any(_first_side(layer.stride) > 1 for layer in _spatial_layers(step))
    ]
    return downsampling[-1] if downsampling else 0


def _spatial_layers(module: nn.Module) -> list[Any]:
    """The layers that look at more than one place at a time, in their order."""
    kinds = nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d
    layers: list[Any] = [layer for layer in module.modules() if isinstance(layer, kinds)]
    return [layer for layer in layers if _first_side(layer.kernel_size) > 1]


def _dilate(late: nn.Module) -> nn.Module:
    """The same steps, weights shared, whose first reduction of the maps is undone.

    The layer that makes them smaller goes on with every place, and what follows looks at as distant places as before
    ("à trous": Chen et al. 2018, IEEE TPAMI 40:834, section 3.1; Yu et al. 2017, CVPR). Of the new maps every second
    row and column is as it was; squeeze-and-excitation, which averages over all places, moves them a little.
    """
    fine = copy.deepcopy(late, {id(value): value for value in (*late.parameters(), *late.buffers())})
    factor = 1
    for layer in _spatial_layers(fine):
        if factor > 1:
            layer.dilation, layer.padding = factor * _first_side(layer.dilation), factor * _first_side(layer.padding)
        factor *= _first_side(layer.stride)
    for layer in fine.modules():
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            layer.stride = 1  # type: ignore[assignment]  # also of shortcuts, whose windows are 1 × 1
    return fine


def _align_to_scan(
    maps: np.ndarray, modules: Sequence[nn.Module], size: Sequence[int], shape: tuple[int, int]
) -> np.ndarray:
    """Maps (N, h, w) resampled to `shape` so that each value lies where its window in the scan has its middle.

    Drawn as a plain picture, a ResNet's maps lie half a place too far to the right and too low.
    """
    offset, spacing = 0.0, 1
    for layer in (layer for step in modules for layer in _spatial_layers(step)):
        reach = (_first_side(layer.kernel_size) - 1) * _first_side(getattr(layer, "dilation", 1)) / 2
        offset += (reach - _first_side(layer.padding)) * spacing
        spacing *= _first_side(layer.stride)
    rows, columns = (
        ((np.arange(count) + 0.5) * pixels / count - 0.5 - offset) / spacing
        for count, pixels in zip(shape, size, strict=True)
    )
    x, y = np.meshgrid(columns.astype(np.float32), rows.astype(np.float32))
    return np.stack([cv2.remap(cam, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE) for cam in maps])


def _first_side(size: Any) -> int:
    """Of the square that a layer's setting stands for, which torch keeps as a number or as a pair."""
    return int(size) if isinstance(size, int) else int(size[0])


def _cam_class(method: str) -> Any:
    return {"CAM": _LinearHeadCAM, "HiResCAM": _UnscaledHiResCAM, "Grad-CAM": _UnscaledGradCAM}[method]


def _one_vs_rest(values: Any, label: int) -> Any:
    """Row `label` less the mean of the other rows."""
    n = len(values)
    return (values[label] * n - values.sum(0)) / (n - 1)
