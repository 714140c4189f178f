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

from xrai.explain.cam import answers, evidence_maps, methods_for
from xrai.explain.occlusion import GRAIN, hide, hottest, noise_of, stray_share
from xrai.networks.build import Network
from xrai.scans.preprocessing import Preprocessing, to_square

PER_CENT = (5, 15, 30, 50)
"""How much of a picture is hidden or shown, in steps."""

BATCH = 16

_BASELINES = {"Random": "random", "Centre": "centre", "Another scan": "another"}


@dataclass(frozen=True, eq=False)
class Curves:
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


def curves(network: Network, inputs: Tensor, evidence: np.ndarray, labels: Sequence[int]) -> Curves:
    """Hide and show the places of a map, step by step, and read again.

    Args:
        network: in evaluation mode.
        inputs: standardised scans, float (N, 1, S, S).
        evidence: maps float (N, h, w): only which places are hotter than which matters.
        labels: the class each map is for.
    """
    heats = _upsampled(evidence, inputs.shape[-1])
    scans = inputs[:, 0].numpy()
    found = []
    for scan, heat, label in zip(scans, heats, labels, strict=True):
        logits = answers(network, torch.from_numpy(_altered(scan, heat))[:, None])
        found.append(logits.softmax(dim=1)[:, label].numpy().reshape(3, len(PER_CENT)))
    return Curves(*np.stack(found, axis=1))


def likeness_under_other_weights(
    network: Network, inputs: Tensor, labels: Sequence[int], method: str, seed: int = 0
) -> dict[str, np.ndarray]:
    """Spearman's correlation of each scan's map with that of the same network whose weights were shuffled.

    Weights change places within their tensor, so that their sizes stay believable: of the head alone, then also of
    the later half of the layers, then of all (the cascade of Adebayo et al. 2018).

    Returns:
        {"head": (N,), "half": (N,), "all": (N,)}, −1 to 1; about 0 is what a faithful map gives.
    """
    _, maps = evidence_maps(network, inputs, labels, method)
    n = len(list(network.parameters()))
    found = {}
    for name, first in {"head": n - len(list(network.head.parameters())), "half": n // 2, "all": 0}.items():
        _, others = evidence_maps(_shuffled(network, first, seed), inputs, labels, method)
        found[name] = _rank_correlation(maps, others)
    return found


def measure_heatmaps(
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
    labels = _labels(network, inputs)
    methods = methods or _different_methods(network)
    maps = {method: _maps(network, inputs, labels, method) for method in methods}
    maps |= _baselines(maps[methods[0]], labels, seed)
    found = {name: curves(network, inputs, evidence, labels) for name, evidence in maps.items()}
    squares = [to_square(scan, preprocessing.input_size) for scan in scans]
    return {
        "n": len(scans),
        "per_cent": list(PER_CENT),
        "maps": {name: _summary(name, found, _stray(evidence, squares)) for name, evidence in maps.items()},
        "other_weights": {
            method: {
                part: _with_interval(values)
                for part, values in likeness_under_other_weights(network, inputs, labels, method, seed).items()
            }
            for method in methods
        },
    }


def _different_methods(network: Network) -> tuple[str, ...]:
    """Grad-CAM of a network that pools is CAM, found the long way."""
    methods = methods_for(network)
    return tuple(method for method in methods if method != "Grad-CAM" or "CAM" not in methods)


def _labels(network: Network, inputs: Tensor) -> list[int]:
    return [int(answers(network, scan[None]).argmax()) for scan in inputs]


def _maps(network: Network, inputs: Tensor, labels: Sequence[int], method: str) -> np.ndarray:
    """Evidence maps float32 (N, h, w), a few scans at a time."""
    batches = [slice(start, start + BATCH) for start in range(0, len(inputs), BATCH)]
    return np.concatenate([evidence_maps(network, inputs[some], labels[some], method)[1] for some in batches])


def _baselines(maps: np.ndarray, labels: Sequence[int], seed: int) -> dict[str, np.ndarray]:
    """Maps that know nothing of the scan, (N, h, w) each, as smooth as the measured ones."""
    n, *shape = maps.shape
    rows, columns = (np.linspace(-1, 1, size) for size in shape)
    centre = np.exp(-2 * (rows[:, None] ** 2 + columns**2))
    noise = np.random.default_rng(seed).normal(size=maps.shape)
    return {"Random": noise, "Centre": np.stack([centre] * n), "Another scan": maps[_partners(labels)]}


def _partners(labels: Sequence[int]) -> np.ndarray:
    """For each scan the next one that is called the same; itself where there is no other."""
    partners = np.arange(len(labels))
    for label in set(labels):
        same = np.flatnonzero(np.asarray(labels) == label)
        partners[same] = np.roll(same, -1)
    return partners


def _altered(scan: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A standardised scan (S, S) in its 3 × len(PER_CENT) changed forms, float32, in the order of `Curves`."""
    noise, blurred = GRAIN / 0.25 * noise_of(scan.shape), cv2.GaussianBlur(scan, (0, 0), scan.shape[0] / 16)
    shares = [per_cent / 100 for per_cent in PER_CENT]
    changed = [hide(scan, hottest(order, share), noise) for order in (heat, -heat) for share in shares]
    changed += [np.where(hottest(heat, share), scan, blurred) for share in shares]
    return np.stack(changed).astype(np.float32)


def _upsampled(maps: np.ndarray, size: int) -> np.ndarray:
    """Maps (N, h, w) as smooth float32 (N, size, size), evidence against included."""
    found = torch.from_numpy(np.asarray(maps, np.float32))[:, None]
    return torch.nn.functional.interpolate(found, (size, size), mode="bicubic", align_corners=False)[:, 0].numpy()


def _stray(evidence: np.ndarray, squares: Sequence[np.ndarray]) -> np.ndarray:
    heats = _upsampled(evidence, len(squares[0])).clip(0)
    heats /= heats.max(axis=(1, 2), keepdims=True).clip(1e-9)
    return np.array([stray_share(heat, square) for heat, square in zip(heats, squares, strict=True)])


def _shuffled(network: Network, first: int, seed: int) -> Network:
    """A copy in which the values of each weight tensor from the `first` on have changed places."""
    other, chance = copy.deepcopy(network), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in list(other.parameters())[first:]:
            value.copy_(value.flatten()[torch.randperm(value.numel(), generator=chance)].view_as(value))
    return other


def _rank_correlation(maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Spearman's, of each pair of maps, (N,); 0 where one of the two is flat."""
    from scipy.stats import rankdata

    ranks = [rankdata(found.reshape(len(found), -1), axis=1) for found in (maps, others)]
    a, b = (values - values.mean(axis=1, keepdims=True) for values in ranks)
    spread = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.where(spread > 0, (a * b).sum(axis=1) / np.where(spread > 0, spread, 1), 0)


def _summary(name: str, found: Mapping[str, Curves], stray: np.ndarray) -> dict[str, Any]:
    own = found[name]
    measured = own.scores | {"stray_share": stray}
    if name not in _BASELINES:
        measured |= {f"over_{key}": own.scores["road"] - found[base].scores["road"] for base, key in _BASELINES.items()}
    shapes = {"hot_hidden": own.hot_hidden, "cold_hidden": own.cold_hidden, "hot_shown": own.hot_shown}
    return {key: _with_interval(values) for key, values in measured.items()} | {
        "curves": {key: values.mean(axis=0).round(4).tolist() for key, values in shapes.items()}
    }


def _with_interval(values: np.ndarray) -> list[float]:
    """Mean, and the limits of its 95 % interval by Student's t."""
    from scipy.stats import t

    mean, reach = values.mean(), t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return [round(float(value), 4) for value in (mean, mean - reach, mean + reach)]
