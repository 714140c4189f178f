"""Occlusion: inpaint the hottest area of a heatmap, to read the image again; share of the heat outside the body.

Inpainting is noisy linear imputation (ROAD: Rong et al. 2022, ICML, arXiv:2202.00449).
"""

from __future__ import annotations

import cv2
import numpy as np

from xrai.scans.preprocessing import to_square

OCCLUDED_SHARE = 0.15
"""Largest share of the image that the occlusion test inpaints."""

FRAME_SHARE = 0.10
"""Width of the border that counts as outside the body, as a share of each side."""

MAX_OUTSIDE_BODY_SHARE = 0.45
"""A larger `outside_body_share` of the predicted class is warned of; evenly spread heat has about 0.36."""

MAX_AIR_GREY = 12
"""Grey value, 0 to 255, up to which pixels connected to the edge count as air around the body."""

MIN_PEAK_HEAT = 0.25
"""A heatmap whose maximum is lower is not judged: its location has no meaning."""

INPAINT_NOISE_STD = 0.01
"""Standard deviation of the noise on the inpainted area, 0 to 1: a smooth patch would itself be a feature."""

_NEIGHBOUR_KERNEL = np.array([[1, 2, 1], [2, 0, 2], [1, 2, 1]], np.float32) / 12

_MIN_ITERATIONS = 5
_ITERATION_BUDGET = 800  # divided by the width of the image

_BODY_SIDE = 224
"""Side of the square on which the body is segmented."""


def occlude(pixels: np.ndarray, heat: np.ndarray, share: float = OCCLUDED_SHARE) -> tuple[np.ndarray, np.ndarray]:
    """Inpaint the hottest area of an image.

    Args:
        pixels: uint8 (H, W).
        heat: heatmap, float (H, W), 0 for no evidence.
        share: largest share of the image that is inpainted, 0 to 1; less where less has heat above 0.

    Returns:
        The pixels, uint8 (H, W), the same at every call, and the inpainted area, bool (H, W), empty without heat.
    """
    # the heatmap saturates at 1: the middle of a saturated area ranks first
    coarse = cv2.GaussianBlur(cv2.resize(heat, (64, 64), interpolation=cv2.INTER_AREA), (0, 0), 4)
    rank = heat + 1e-3 * cv2.resize(coarse, heat.shape[::-1], interpolation=cv2.INTER_LINEAR)
    mask = hottest(rank, share) & (heat > 0)
    greys = hide(pixels.astype(np.float32), mask, 255 * INPAINT_NOISE_STD * noise_of(pixels.shape))
    return np.where(mask, greys.round().clip(0, 255), pixels).astype(np.uint8), mask


def inpaint(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Replace the pixels of float32 (H, W) in `mask`, bool (H, W), by the weighted mean of their eight neighbours.

    The linear imputation of ROAD (section 4.2), solved by relaxation from coarse to fine, in 1 ms instead of 25 to 450
    for the sparse linear system; the two differ by about 0.01 of the grey scale.
    """
    if not mask.any() or mask.all():
        return image
    estimate = np.where(mask, _coarse_estimate(image, mask), image)
    for _ in range(max(_MIN_ITERATIONS, _ITERATION_BUDGET // image.shape[1])):
        estimate = np.where(mask, cv2.filter2D(estimate, -1, _NEIGHBOUR_KERNEL, borderType=cv2.BORDER_REPLICATE), image)
    return estimate


def segment_body(pixels: np.ndarray) -> np.ndarray:
    """Segment the patient's body, bool (H, W): the largest connected component without the air around it.

    The air in the lungs is dark too, but enclosed; letters beside the body are components of their own.
    """
    smooth = cv2.GaussianBlur(pixels, (0, 0), max(pixels.shape) / 100)
    _, dark = cv2.connectedComponents((smooth <= MAX_AIR_GREY).astype(np.uint8))
    edge = np.concatenate([dark[0], dark[-1], dark[:, 0], dark[:, -1]])
    _, components = cv2.connectedComponents((~np.isin(dark, np.setdiff1d(edge, [0]))).astype(np.uint8))
    areas = np.bincount(components.ravel())
    return components == 1 + areas[1:].argmax() if len(areas) > 1 else components > 0


def outside_body_share(heat: np.ndarray, pixels: np.ndarray) -> float:
    """The share of the heat outside the body or in the border of the image, 0 to 1: see `MAX_OUTSIDE_BODY_SHARE`.

    Args:
        heat: scaled heatmap, float (H, W) in 0 to 1; the share is 0 where its maximum is below `MIN_PEAK_HEAT`.
        pixels: uint8 (H, W).
    """
    if heat.max() < MIN_PEAK_HEAT:
        return 0.0
    small_heat = cv2.resize(heat, (_BODY_SIDE, _BODY_SIDE), interpolation=cv2.INTER_AREA)
    return float(small_heat[_outside_body_mask(to_square(pixels, _BODY_SIDE))].sum() / small_heat.sum())


def hide(greys: np.ndarray, mask: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Inpaint grey values float32 (H, W) in `mask` and add noise there."""
    return np.where(mask, inpaint(greys, mask) + noise, greys)


def noise_of(shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal noise, the same at every call, so that an occlusion test is reproducible."""
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def hottest(heat: np.ndarray, share: float) -> np.ndarray:
    """The hottest pixels, bool (H, W), as many as make up `share` of the image."""
    mask, count = np.zeros(heat.size, bool), round(heat.size * share)
    mask[np.argpartition(-heat.ravel(), max(count - 1, 0))[:count]] = True
    return mask.reshape(heat.shape)


def _coarse_estimate(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """An initial estimate for the pixels in `mask` from the image at half its size; the mean for very small images."""
    if min(image.shape) <= 4:
        return np.full_like(image, image[~mask].mean())
    half, is_visible = (image.shape[1] // 2, image.shape[0] // 2), (~mask).astype(np.float32)
    weights = cv2.resize(is_visible, half, interpolation=cv2.INTER_AREA)
    means = cv2.resize(image * is_visible, half, interpolation=cv2.INTER_AREA) / np.maximum(weights, 1e-6)
    return cv2.resize(inpaint(means, weights == 0), image.shape[::-1], interpolation=cv2.INTER_LINEAR)


def _outside_body_mask(pixels: np.ndarray) -> np.ndarray:
    """The area outside the body and the border of the image, bool (H, W)."""
    is_outside = ~segment_body(pixels)
    rows, columns = (round(side * FRAME_SHARE) for side in pixels.shape)
    is_outside[:rows], is_outside[len(is_outside) - rows :] = True, True
    is_outside[:, :columns], is_outside[:, is_outside.shape[1] - columns :] = True, True
    return is_outside
