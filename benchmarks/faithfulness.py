"""How far a heatmap says what a network uses: its hot places hidden or shown alone, other weights, heat off the body.

- **ROAD** (Rong et al. 2022, ICML, arXiv:2202.00449): the hottest places are filled in from their surroundings, then
  the coldest, so many per cent of the picture each; the probability should fall with the first and stay with the
  second. The score is half the difference, averaged over `PER_CENT`: 0 for a map that knows nothing.
- **Deletion and insertion** (Petsiuk et al. 2018, BMVC): the mean probability while the hottest places are hidden,
  which should be low, and while they alone are sharp in a blurred picture, which should be high.
- **Other weights** (Adebayo et al. 2018, NeurIPS): a map that stays the same when the network forgets what it learned
  shows the picture, not the network.

Smooth random maps and a hot centre are measured alike, since pixel noise is too weak an opponent, and so is the map of
another scan that is called the same.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from xrai.explain.cam import available_methods, compute_cams, compute_logits
from xrai.explain.occlusion import INPAINT_NOISE_STD, hide, hottest, noise_of, outside_body_share
from xrai.networks.build import Network
from xrai.scans.preprocessing import Preprocessing, to_square

OCCLUDED_PERCENTS = (5, 15, 30, 50)
"""How much of a picture is hidden or shown, in steps."""

BATCH_SIZE = 16

_BASELINES = {"Random": "random", "Centre": "centre", "Another scan": "another"}


@dataclass(frozen=True, eq=False)
class OcclusionCurves:
    """The probability of one class a scan while more and more of the picture is changed; float (N, len(PER_CENT)) each.

    Attributes:
        hot_hidden: with the hottest places filled in.
        cold_hidden: with the coldest places filled in.
        hot_shown: with the hottest places sharp and the rest blurred.
    """

    hot_hidden: np.ndarray
    cold_hidden: np.ndarray
    hot_shown: np.ndarray

    @property
    def scores(self) -> dict[str, np.ndarray]:
        """`road` in −0.5 to 0.5, `deletion` and `insertion` in 0 to 1, one value a scan, (N,) each."""
        hot, cold, shown = (values.mean(axis=1) for values in (self.hot_hidden, self.cold_hidden, self.hot_shown))
        return {"road": (cold - hot) / 2, "deletion": hot, "insertion": shown}


def compute_occlusion_curves(
    network: Network, inputs: Tensor, evidence: np.ndarray, labels: Sequence[int]
) -> OcclusionCurves:
    """Hide and show the places of a map, step by step, and read again.

    Args:
        network: in evaluation mode.
        inputs: standardised scans, float (N, 1, S, S).
        evidence: maps float (N, h, w): only which places are hotter than which matters.
        labels: the class each map is for.
    """
    heats = _upsample(evidence, inputs.shape[-1])
    scans = inputs[:, 0].numpy()
    probabilities = []
    for scan, heat, label in zip(scans, heats, labels, strict=True):
        logits = compute_logits(network, torch.from_numpy(_occlusion_series(scan, heat))[:, None])
        probabilities.append(logits.softmax(dim=1)[:, label].numpy().reshape(3, len(OCCLUDED_PERCENTS)))
    return OcclusionCurves(*np.stack(probabilities, axis=1))


def run_randomisation_check(
    network: Network, inputs: Tensor, labels: Sequence[int], method: str, seed: int = 0
) -> dict[str, np.ndarray]:
    """Spearman's correlation of each scan's map with that of the same network whose weights were shuffled.

    Weights change places within their tensor, so that their sizes stay believable: of the head alone, then also of
    the later half of the layers, then of all (the cascade of Adebayo et al. 2018).

    Returns:
        {"head": (N,), "half": (N,), "all": (N,)}, −1 to 1; about 0 is what a faithful map gives.
    """
    _, maps = compute_cams(network, inputs, labels, method)
    n = len(list(network.parameters()))
    correlations = {}
    for name, first in {"head": n - len(list(network.head.parameters())), "half": n // 2, "all": 0}.items():
        _, others = compute_cams(_shuffle_weights(network, first, seed), inputs, labels, method)
        correlations[name] = _rank_correlation(maps, others)
    return correlations


def measure_faithfulness(
    network: Network,
    preprocessing: Preprocessing,
    scans: np.ndarray,
    *,
    methods: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything that this module measures, on the maps of the class that each scan is called.

    Args:
        network: in evaluation mode.
        preprocessing: of the model.
        scans: uint8 (N, H, W), two or more; intervals take each for a case of its own, so draw one a patient.
        methods: to measure; all that fit, but Grad-CAM where it is the same map as CAM.
        seed: of random maps and shuffled weights.

    Returns:
        JSON-able: {"n", "per_cent", "maps": {method or baseline: scores}, "other_weights": {method: {part: …}}}. The
        baselines are "Random", "Centre" and "Another scan". Scores are [mean, low, high] with 95 % limits: `road`,
        `deletion`, `insertion`, `stray_share`; of a method also `over_random`, `over_centre` and `over_another`, by
        how much its road lies above theirs on the same scans; and `curves`, three lists over `per_cent`.
    """
    inputs = torch.cat([preprocessing(scan) for scan in scans])
    labels = _predict_labels(network, inputs)
    methods = methods or _distinct_methods(network)
    maps = {method: _compute_maps(network, inputs, labels, method) for method in methods}
    maps |= _baseline_maps(maps[methods[0]], labels, seed)
    map_curves = {name: compute_occlusion_curves(network, inputs, evidence, labels) for name, evidence in maps.items()}
    squares = [to_square(scan, preprocessing.input_size) for scan in scans]
    return {
        "n": len(scans),
        "per_cent": list(OCCLUDED_PERCENTS),
        "maps": {
            name: _summarise(name, map_curves, _outside_body_shares(evidence, squares))
            for name, evidence in maps.items()
        },
        "other_weights": {
            method: {
                part: _mean_with_interval(values)
                for part, values in run_randomisation_check(network, inputs, labels, method, seed).items()
            }
            for method in methods
        },
    }


def _distinct_methods(network: Network) -> tuple[str, ...]:
    """Grad-CAM of a network that pools is CAM, found the long way."""
    methods = available_methods(network)
    return tuple(method for method in methods if method != "Grad-CAM" or "CAM" not in methods)


def _predict_labels(network: Network, inputs: Tensor) -> list[int]:
    return [int(compute_logits(network, scan[None]).argmax()) for scan in inputs]


def _compute_maps(network: Network, inputs: Tensor, labels: Sequence[int], method: str) -> np.ndarray:
    """Evidence maps float32 (N, h, w), a few scans at a time."""
    batches = [slice(start, start + BATCH_SIZE) for start in range(0, len(inputs), BATCH_SIZE)]
    return np.concatenate([compute_cams(network, inputs[batch], labels[batch], method)[1] for batch in batches])


def _baseline_maps(maps: np.ndarray, labels: Sequence[int], seed: int) -> dict[str, np.ndarray]:
    """Maps that know nothing of the scan, (N, h, w) each, as smooth as the measured ones."""
    n, *shape = maps.shape
    rows, columns = (np.linspace(-1, 1, size) for size in shape)
    centre = np.exp(-2 * (rows[:, None] ** 2 + columns**2))
    noise = np.random.default_rng(seed).normal(size=maps.shape)
    return {"Random": noise, "Centre": np.stack([centre] * n), "Another scan": maps[_same_label_partners(labels)]}


def _same_label_partners(labels: Sequence[int]) -> np.ndarray:
    """For each scan the next one that is called the same; itself where there is no other."""
    partners = np.arange(len(labels))
    for label in set(labels):
        same = np.flatnonzero(np.asarray(labels) == label)
        partners[same] = np.roll(same, -1)
    return partners


def _occlusion_series(scan: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A standardised scan (S, S) in its 3 × len(PER_CENT) changed forms, float32, in the order of `Curves`."""
    noise, blurred = INPAINT_NOISE_STD / 0.25 * noise_of(scan.shape), cv2.GaussianBlur(scan, (0, 0), scan.shape[0] / 16)
    shares = [per_cent / 100 for per_cent in OCCLUDED_PERCENTS]
    changed = [hide(scan, hottest(order, share), noise) for order in (heat, -heat) for share in shares]
    changed += [np.where(hottest(heat, share), scan, blurred) for share in shares]
    return np.stack(changed).astype(np.float32)


def _upsample(maps: np.ndarray, size: int) -> np.ndarray:
    """Maps (N, h, w) as smooth float32 (N, size, size), evidence against included."""
    map_tensor = torch.from_numpy(np.asarray(maps, np.float32))[:, None]
    return torch.nn.functional.interpolate(map_tensor, (size, size), mode="bicubic", align_corners=False)[:, 0].numpy()


def _outside_body_shares(evidence: np.ndarray, squares: Sequence[np.ndarray]) -> np.ndarray:
    heats = _upsample(evidence, len(squares[0])).clip(0)
    heats /= heats.max(axis=(1, 2), keepdims=True).clip(1e-9)
    return np.array([outside_body_share(heat, square) for heat, square in zip(heats, squares, strict=True)])


def _shuffle_weights(network: Network, first: int, seed: int) -> Network:
    """A copy in which the values of each weight tensor from the `first` on have changed places."""
    randomised, rng = copy.deepcopy(network), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in list(randomised.parameters())[first:]:
            value.copy_(value.flatten()[torch.randperm(value.numel(), generator=rng)].view_as(value))
    return randomised


def _rank_correlation(maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Spearman's, of each pair of maps, (N,); 0 where one of the two is flat."""
    from scipy.stats import rankdata

    ranks = [rankdata(map_stack.reshape(len(map_stack), -1), axis=1) for map_stack in (maps, others)]
    a, b = (values - values.mean(axis=1, keepdims=True) for values in ranks)
    spread = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.where(spread > 0, (a * b).sum(axis=1) / np.where(spread > 0, spread, 1), 0)


def _summarise(name: str, map_curves: Mapping[str, OcclusionCurves], outside_shares: np.ndarray) -> dict[str, Any]:
    curves_here = map_curves[name]
    metrics = curves_here.scores | {"stray_share": outside_shares}
    if name not in _BASELINES:
        metrics |= {
            f"over_{key}": curves_here.scores["road"] - map_curves[base].scores["road"]
            for base, key in _BASELINES.items()
        }
    curve_points = {
        "hot_hidden": curves_here.hot_hidden,
        "cold_hidden": curves_here.cold_hidden,
        "hot_shown": curves_here.hot_shown,
    }
    return {key: _mean_with_interval(values) for key, values in metrics.items()} | {
        "curves": {key: values.mean(axis=0).round(4).tolist() for key, values in curve_points.items()}
    }


def _mean_with_interval(values: np.ndarray) -> list[float]:
    """Mean, and the limits of its 95 % interval by Student's t."""
    from scipy.stats import t

    mean, half_width = values.mean(), t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return [round(float(value), 4) for value in (mean, mean - half_width, mean + half_width)]
