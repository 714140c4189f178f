"""Occlusion: hide the hottest area of a heatmap and read again; the share of heat off the body (stray heat).

The hidden area is filled in from its surroundings (noisy linear imputation, Rong et al. 2022, ICML, arXiv:2202.00449).
"""

from __future__ import annotations

import cv2
import numpy as np

from xrai.scans.preprocessing import to_square

OCCLUDED_SHARE = 0.15
"""How much of a film “hide the hot area and read again” hides."""

FRAME_SHARE = 0.10
"""How broad the frame is that counts as a picture's border, of each side."""

MAX_OUTSIDE_BODY_SHARE = 0.45
"""A larger `stray_share` of the called class's heat deserves an alarm: heat spread evenly has about 0.36."""

MAX_AIR_GREY = 12
"""Grey value, 0 to 255, up to which what joins the picture's edge is taken for air around the body."""

MIN_PEAK_HEAT = 0.25
"""Heat that nowhere reaches this share of full colour: of such remains of maps, the place says nothing."""

INPAINT_NOISE_STD = 0.01
"""Noise over what is filled in, as a share of the full grey scale: without it the smooth patch itself is a sign."""

_NEIGHBOUR_KERNEL = np.array([[1, 2, 1], [2, 0, 2], [1, 2, 1]], np.float32) / 12

_MIN_ITERATIONS, _ITERATION_BUDGET = 5, 800

_BODY_SIDE = 224
"""Side of the picture on which the body is looked for, whatever the film's size."""


def occlude(pixels: np.ndarray, heat: np.ndarray, share: float = OCCLUDED_SHARE) -> tuple[np.ndarray, np.ndarray]:
    """A scan with its hottest area filled in from around it, to be read again.

    Args:
        pixels: uint8 (H, W).
        heat: float (H, W), 0 where there is none.
        share: at most so much of the picture is hidden, 0 to 1: less where less of it is hot.

    Returns:
        The pixels, uint8 (H, W), the same at every call, and what was filled in, bool (H, W): nothing where no heat is.
    """
    # what is drawn in full colour is all equally hot: its middle goes first
    coarse = cv2.GaussianBlur(cv2.resize(heat, (64, 64), interpolation=cv2.INTER_AREA), (0, 0), 4)
    rank = heat + 1e-3 * cv2.resize(coarse, heat.shape[::-1], interpolation=cv2.INTER_LINEAR)
    mask = hottest(rank, share) & (heat > 0)
    greys = hide(pixels.astype(np.float32), mask, 255 * INPAINT_NOISE_STD * noise_of(pixels.shape))
    return np.where(mask, greys.round().clip(0, 255), pixels).astype(np.uint8), mask


def inpaint(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Greys float32 (H, W) with the places in `mask`, bool (H, W), as the weighted mean of their eight neighbours.

    The linear imputation of ROAD (section 4.2), solved by relaxation from coarse to fine, which takes 1 ms where the
    sparse equations take 25 to 450; the two differ by about 0.01 of the grey scale.
    """
    if not mask.any() or mask.all():
        return image
    estimate = np.where(mask, _coarse_estimate(image, mask), image)
    for _ in range(max(_MIN_ITERATIONS, _ITERATION_BUDGET // image.shape[1])):
        estimate = np.where(mask, cv2.filter2D(estimate, -1, _NEIGHBOUR_KERNEL, borderType=cv2.BORDER_REPLICATE), image)
    return estimate


def segment_body(pixels: np.ndarray) -> np.ndarray:
    """Where a scan shows the patient, bool (H, W): the largest piece without the nearly black around it.

    The air in the lungs is dark too, but enclosed, and letters beside the body are pieces of their own.
    """
    smooth = cv2.GaussianBlur(pixels, (0, 0), max(pixels.shape) / 100)
    _, dark = cv2.connectedComponents((smooth <= MAX_AIR_GREY).astype(np.uint8))
    edge = np.concatenate([dark[0], dark[-1], dark[:, 0], dark[:, -1]])
    _, components = cv2.connectedComponents((~np.isin(dark, np.setdiff1d(edge, [0]))).astype(np.uint8))
    areas = np.bincount(components.ravel())
    return components == 1 + areas[1:].argmax() if len(areas) > 1 else components > 0


def outside_body_share(heat: np.ndarray, pixels: np.ndarray) -> float:
    """How much of the heat lies where no disease of the chest can be, 0 to 1: see `STRAY_LIMIT`.

    That is off the `body`, or in the frame of the outer `FRAME` of each side.

    Args:
        heat: as it is drawn, float (H, W) in 0 to 1; where all of it is `FAINT`, there is nothing to judge: 0.
        pixels: the scan, uint8 (H, W).
    """
    if heat.max() < MIN_PEAK_HEAT:
        return 0.0
    small_heat = cv2.resize(heat, (_BODY_SIDE, _BODY_SIDE), interpolation=cv2.INTER_AREA)
    return float(small_heat[_outside_body_mask(to_square(pixels, _BODY_SIDE))].sum() / small_heat.sum())


def hide(greys: np.ndarray, mask: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Greys with the places in `mask` filled in from around them, plus noise; float32 (H, W)."""
    return np.where(mask, inpaint(greys, mask) + noise, greys)


def noise_of(shape: tuple[int, ...]) -> np.ndarray:
    """The same at every call, so that the same area hidden twice reads the same."""
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def hottest(heat: np.ndarray, share: float) -> np.ndarray:
    """The hottest places, bool (H, W), as many as make up `share` of the picture."""
    mask, count = np.zeros(heat.size, bool), round(heat.size * share)
    mask[np.argpartition(-heat.ravel(), max(count - 1, 0))[:count]] = True
    return mask.reshape(heat.shape)


def _coarse_estimate(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """What the same picture of half the size gives for the places in `mask`; the mean where it is very small."""
    if min(image.shape) <= 4:
        return np.full_like(image, image[~mask].mean())
    half, is_visible = (image.shape[1] // 2, image.shape[0] // 2), (~mask).astype(np.float32)
    weights = cv2.resize(is_visible, half, interpolation=cv2.INTER_AREA)
    means = cv2.resize(image * is_visible, half, interpolation=cv2.INTER_AREA) / np.maximum(weights, 1e-6)
    return cv2.resize(inpaint(means, weights == 0), image.shape[::-1], interpolation=cv2.INTER_LINEAR)


def _outside_body_mask(pixels: np.ndarray) -> np.ndarray:
    """Where no disease of the chest can be, bool (H, W)."""
    is_outside = ~segment_body(pixels)
    rows, columns = (round(side * FRAME_SHARE) for side in pixels.shape)
    is_outside[:rows], is_outside[len(is_outside) - rows :] = True, True
    is_outside[:, :columns], is_outside[:, is_outside.shape[1] - columns :] = True, True
    return is_outside
