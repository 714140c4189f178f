"""Class activation maps (CAM, Grad-CAM, HiResCAM) on a common log-odds scale.

A map's value at a place is the evidence there for a class against the mean of the other classes, in log-odds. Maps are
drawn relative to a reference scale from the model's card, so that a map without evidence stays dark; grad-cam's own
scaling, by which every map reaches full red, is not used.
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
from torch import Tensor, nn

from xrai.core.language import N_, say
from xrai.networks.build import Network

METHODS: dict[str, str] = {
    N_("Fused CAM"): N_(
        "What the end of the network, looked at twice as finely as in CAM, and the stage before agree on"
    ),
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
"""The reference scale is this percentile of the maps' maxima over the validation scans predicted as the class."""

MIN_REFERENCE_SCALE = 0.1
"""Lower limit of a reference scale, in log-odds: negligible evidence must not be drawn in full colour."""

HOOK_LOCK = threading.Lock()
"""Forward hooks, grad-cam's and others, sit on the shared network: concurrent calls would swap their maps."""


def available_methods(network: Network) -> tuple[str, ...]:
    """The methods that fit a network, the best one first; docs/heatmaps.md compares them."""
    if not network.has_global_pooling:
        return ("HiResCAM", "Grad-CAM")
    if _last_downsampling(_flatten_modules(network.features)):
        return (say("Fused CAM"), "CAM", "Grad-CAM")
    return ("CAM", "Grad-CAM")


def one_vs_rest(values: Any, label: int) -> Any:
    """Row `label` of an array or tensor (C, ...) minus the mean of the other rows."""
    n = len(values)
    return (values[label] * n - values.sum(0)) / (n - 1)


def compute_logits(network: Network, inputs: Tensor) -> Tensor:
    """Logits float (N, C), without maps; holds `HOOK_LOCK`, so that no other thread's hooks record these inputs."""
    with HOOK_LOCK, torch.inference_mode():
        return network(inputs).float()


def compute_logits_and_features(network: Network, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Logits float (N, C) and the last layer's input features, float (N, K); holds `HOOK_LOCK`."""
    with HOOK_LOCK, torch.inference_mode():
        logits, features = network.forward_with_features(inputs)
    return logits.float(), features.float()


def compute_cams(network: Network, inputs: Tensor, labels: Sequence[int], method: str) -> tuple[Tensor, np.ndarray]:
    """Logits, and a map of the evidence for one class per input.

    Safe to call from several threads on the same network.

    Args:
        network: in evaluation mode.
        inputs: standardised images, float (N, 1, H, W).
        labels: the class to explain for each input.
        method: one of `available_methods(network)`.

    Returns:
        Logits float (N, C), and maps float32 (N, h, w) at the size of the last feature maps, in log-odds, positive
        where a place supports the class. With CAM and HiResCAM the mean of a map is the one-vs-rest logit without the
        biases. Maps of Fused CAM have four times the side, and are 0 where the two stages disagree.
    """
    if method == "Fused CAM":
        return _compute_fused_cams(network, inputs, labels)
    if method == "CAM":
        return _compute_linear_cams(network, inputs, labels)
    return _compute_gradient_cams(network, inputs, labels, GradCAM if method == "Grad-CAM" else HiResCAM)


def fit_reference_scales(
    network: Network,
    inputs_of: Callable[[np.ndarray], Tensor],
    rows: np.ndarray,
    n_classes: int,
    *,
    batch_size: int = 16,
) -> dict[str, dict[int, float]]:
    """Fit the reference scale, drawn in full colour, of every method and class.

    Args:
        network: in evaluation mode.
        inputs_of: returns the standardised inputs of some rows.
        rows: validation scans.
        n_classes: number of classes.
        batch_size: inputs per forward pass.

    Returns:
        {method: {label: scale}} in log-odds, at least `MIN_REFERENCE_SCALE`; a class that is never predicted gets the
        mean of the other classes.
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
    """A map upsampled for display, float32 of `shape` in 0 to 1: 0 is no evidence, 1 the reference scale or more.

    Negative evidence is clipped before, and overshoot above the map's maximum after, the bicubic interpolation:
    otherwise its overshoot would light up places between negative and no evidence.
    """
    positive = torch.from_numpy(evidence).clamp_min(0)
    upsampled = torch.nn.functional.interpolate(positive[None, None], shape, mode="bicubic", align_corners=False)
    return (upsampled[0, 0].clamp(0, float(positive.max())) / reference_scale).clamp_max(1).numpy()


def _compute_linear_cams(network: Network, inputs: Tensor, labels: Sequence[int]) -> tuple[Tensor, np.ndarray]:
    """CAM (Zhou et al. 2016): feature maps weighted with the linear head's weights; no backward pass."""
    assert isinstance(network.head, nn.Linear)
    with HOOK_LOCK, torch.no_grad():
        features = network.features(inputs)  # (N, K, h, w)
        logits = network.head(network.pool(features).flatten(1))
    head = network.head.weight.detach().float().cpu().numpy()  # (C, K)
    weights = np.stack([one_vs_rest(head, label) for label in labels])  # (N, K)
    return logits.float(), _weighted_sum(weights, features.cpu().numpy())


def _compute_gradient_cams(
    network: Network, inputs: Tensor, labels: Sequence[int], cam_class: type[GradCAM | HiResCAM]
) -> tuple[Tensor, np.ndarray]:
    """Grad-CAM or HiResCAM of grad-cam, times the number of places, so that the mean is on the scale of the logit."""
    with HOOK_LOCK, torch.enable_grad(), cam_class(network, [network.features]) as cam:
        recorder = cam.activations_and_grads
        logits = recorder(inputs)
        torch.stack([one_vs_rest(row, label) for row, label in zip(logits, labels, strict=True)]).sum().backward()
        network.zero_grad(set_to_none=True)
        activations, gradients = recorder.activations[0].numpy(), recorder.gradients[0].numpy()
        height, width = activations.shape[2:]
        if isinstance(cam, HiResCAM):
            maps = cam.get_cam_image(inputs, network.features, [], activations, gradients, False)
            return logits.detach().float(), maps * height * width
        weights = cam.get_cam_weights(inputs, network.features, [], activations, gradients)  # (N, K)
    return logits.detach().float(), _weighted_sum(weights * height * width, activations)


def _weighted_sum(weights: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Sum feature maps (N, K, h, w) with weights (N, K) -> (N, h, w)."""
    return (weights[:, :, None, None] * maps).sum(axis=1)


def _compute_fused_cams(network: Network, inputs: Tensor, labels: Sequence[int]) -> tuple[Tensor, np.ndarray]:
    """The geometric mean of two maps: CAM of the late stage at twice its resolution, HiResCAM of the early stage.

    The late stage begins at the last downsampling: the last stage of a ResNet, the last two of the half ResNet.
    """
    assert isinstance(network.head, nn.Linear)
    modules = _flatten_modules(network.features)
    split_index = _last_downsampling(modules)
    early, late = nn.Sequential(*modules[:split_index]), nn.Sequential(*modules[split_index:])
    fine = _dilate(late)
    with HOOK_LOCK, torch.enable_grad():
        features = early(inputs).detach().requires_grad_()  # (N, K', h', w'), twice the side of the last maps
        logits = network.head(network.pool(late(features)).flatten(1))
        targets = torch.stack([one_vs_rest(row, label) for row, label in zip(logits, labels, strict=True)])
        (gradients,) = torch.autograd.grad(targets.sum(), features)
    with HOOK_LOCK, torch.inference_mode():
        early_cams = (features * gradients).sum(dim=1) * features.shape[2] * features.shape[3]
        weights = torch.stack([one_vs_rest(network.head.weight, label) for label in labels])  # (N, K)
        late_cams = torch.einsum("nk,nkhw->nhw", weights, fine(features))
    shape = (2 * features.shape[2], 2 * features.shape[3])
    a = _align_to_scan(late_cams.cpu().numpy(), [early, fine], inputs.shape[2:], shape)
    b = _align_to_scan(early_cams.cpu().numpy(), [early], inputs.shape[2:], shape)
    return logits.detach().float(), np.sign(a) * np.sqrt(np.maximum(a * b, 0))


def _flatten_modules(features: nn.Module) -> list[nn.Module]:
    """The modules of a network's `features` in order, with nested `Sequential` modules flattened."""
    if type(features).forward is not nn.Sequential.forward:
        return [features]
    return [step for child in features.children() for step in _flatten_modules(child)]


def _last_downsampling(modules: Sequence[nn.Module]) -> int:
    """The index of the last module that downsamples; 0 where only the first one does, or none."""
    downsampling = [
        i for i, step in enumerate(modules) if any(_first_side(layer.stride) > 1 for layer in _spatial_layers(step))
    ]
    return downsampling[-1] if downsampling else 0


def _spatial_layers(module: nn.Module) -> list[Any]:
    """The convolutions and pooling layers with a window of more than one pixel, in order."""
    kinds = nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d
    layers: list[Any] = [layer for layer in module.modules() if isinstance(layer, kinds)]
    return [layer for layer in layers if _first_side(layer.kernel_size) > 1]


def _dilate(late: nn.Module) -> nn.Module:
    """A copy of a module with shared weights whose first downsampling is undone by dilation.

    Its layers keep their receptive fields ("à trous": Chen et al. 2018, IEEE TPAMI 40:834, section 3.1; Yu et al. 2017,
    CVPR). Every second row and column of the new maps equals the original; squeeze-and-excitation, which averages over
    all places, changes them slightly.
    """
    fine = copy.deepcopy(late, {id(value): value for value in (*late.parameters(), *late.buffers())})
    factor = 1
    for layer in _spatial_layers(fine):
        if factor > 1:
            layer.dilation, layer.padding = factor * _first_side(layer.dilation), factor * _first_side(layer.padding)
        factor *= _first_side(layer.stride)
    for layer in fine.modules():
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            layer.stride = 1  # type: ignore[assignment]  # also in shortcuts, whose windows are 1 × 1
    return fine


def _align_to_scan(
    maps: np.ndarray, modules: Sequence[nn.Module], size: Sequence[int], shape: tuple[int, int]
) -> np.ndarray:
    """Resample maps (N, h, w) to `shape` so that each value lies at the centre of its receptive field.

    Resized without this, a ResNet's maps lie half a place too far to the right and too low.
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
    """The first value of a layer's setting, which torch stores as a number or as a pair."""
    return int(size) if isinstance(size, int) else int(size[0])
