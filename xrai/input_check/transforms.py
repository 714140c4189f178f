"""Augmentations of scans, and transforms that turn a scan into a negative.

Each takes an image uint8 (S, S) and returns a thumbnail uint8 (SIDE, SIDE). Imports OpenCV: import this only to fit.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from xrai.scans.descriptor import THUMBNAIL_SIDE

Transform = Callable[[np.ndarray, np.random.Generator], np.ndarray]
Range = tuple[float, float]


def augment(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Augment a scan: small affine transform, mirroring, exposure, border and markers."""
    augmented = random_affine(image, rng, zoom=(0.85, 1.28), aspect=(0.8, 1.3), rotation=7, shift=0.08)
    if rng.random() < 0.25:
        augmented = _add_border(augmented, rng)
    return _add_markers(random_exposure(augmented, rng), rng) if rng.random() < 0.8 else augmented


def random_affine(
    image: np.ndarray,
    rng: np.random.Generator,
    *,
    zoom: Range = (1, 1),
    aspect: Range = (1, 1),
    rotation: float | Range = 0,
    shift: float = 0,
    offset: Range = (0, 0),
) -> np.ndarray:
    """Zoom, stretch, rotate, shift and perhaps mirror an image at random.

    Args:
        image: uint8 (S, S).
        rng: random generator.
        zoom: range of the scale factor.
        aspect: range of the ratio of width to height.
        rotation: largest angle, or range of its size, in degrees, in either direction.
        shift: largest shift in either direction, in image widths.
        offset: added to the shift, to the right and down, in image widths.
    """
    angle = (
        rng.uniform(-rotation, rotation)
        if isinstance(rotation, (int, float))
        else rng.choice([-1, 1]) * rng.uniform(*rotation)
    )
    zoom_factor, aspect_factor = _log_uniform(zoom, rng), _log_uniform(aspect, rng) ** 0.5
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    scale = (
        np.diag([zoom_factor * aspect_factor * rng.choice([-1, 1]), zoom_factor / aspect_factor])
        * THUMBNAIL_SIDE
        / len(image)
    )
    linear = np.array([[cos, -sin], [sin, cos]]) @ scale
    target = THUMBNAIL_SIDE * (0.5 + rng.uniform(-shift, shift, size=2) + offset)
    matrix = np.column_stack([linear, target - linear @ np.full(2, len(image) / 2)])
    border = cv2.BORDER_REPLICATE if rng.random() < 0.5 else cv2.BORDER_CONSTANT
    fill = float(rng.choice([0, 0, 0, 255]))
    return cv2.warpAffine(
        image, matrix, (THUMBNAIL_SIDE, THUMBNAIL_SIDE), flags=cv2.INTER_LINEAR, borderMode=border, borderValue=fill
    )


def random_exposure(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change brightness, contrast, sharpness and noise of a thumbnail, as X-ray machines differ."""
    greys = image.astype(np.float32) / 255
    low, high = np.percentile(greys, [rng.uniform(0, 6), rng.uniform(94, 100)])
    if high > low and rng.random() < 0.7:
        greys = np.clip((greys - low) / (high - low), 0, 1)
    greys = _random_tone(greys ** np.exp(rng.uniform(-0.7, 0.7)), rng)
    if rng.random() < 0.4:
        black, white = rng.uniform(0, 0.25), rng.uniform(0.6, 1)
        greys = black + (white - black) * greys
    return to_uint8(greys + rng.normal(0, rng.uniform(0, 0.03), greys.shape))


def augment_negative(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Augment a negative: affine transform and exposure."""
    return random_exposure(random_affine(image, rng, zoom=(0.7, 1.4), aspect=(0.7, 1.4), rotation=15, shift=0.15), rng)


def to_uint8(greys: np.ndarray) -> np.ndarray:
    """Clip to 0..1 and convert to uint8, truncating."""
    return (np.clip(greys, 0, 1) * 255).astype(np.uint8)


def _random_tone(greys: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    choice, image = rng.random(), to_uint8(greys)
    if choice < 0.15:
        return 1 / (1 + np.exp(-(greys - 0.5) * rng.uniform(4, 9)))
    if choice < 0.4:
        tiles = int(rng.integers(2, 6))
        return cv2.createCLAHE(rng.uniform(1, 4), (tiles, tiles)).apply(image) / 255
    if choice < 0.5:
        return cv2.equalizeHist(image) / 255
    if choice < 0.6:
        return greys + rng.uniform(0.5, 1.5) * (greys - cv2.GaussianBlur(greys, (0, 0), rng.uniform(1, 4)))
    return greys


def _add_border(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add a black or white border on some sides."""
    left, right, top, bottom = (int(width) for width in rng.integers(0, 7, size=4) * (rng.random(4) < 0.5))
    inner_image = cv2.resize(
        image, (THUMBNAIL_SIDE - left - right, THUMBNAIL_SIDE - top - bottom), interpolation=cv2.INTER_AREA
    )
    fill = float(rng.choice([0, 0, 255]))
    return cv2.copyMakeBorder(inner_image, top, bottom, left, right, cv2.BORDER_CONSTANT, value=fill)


def _add_markers(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add up to three markers."""
    for _ in range(rng.integers(0, 4)):
        height, width = rng.integers(1, 5), rng.integers(2, 12)
        row, column = rng.integers(0, THUMBNAIL_SIDE - height), rng.integers(0, THUMBNAIL_SIDE - width)
        image[row : row + height, column : column + width] = rng.choice([0, 230, 255])
    return image


def _log_uniform(bounds: Range, rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(np.log(bounds[0]), np.log(bounds[1]))))


# --- negatives --------------------------------------------------------------------------------------------------------


def _mild_affine(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return random_affine(image, rng, zoom=(0.85, 1.25), aspect=(0.8, 1.3), rotation=7, shift=0.06)


def _crop_part(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return random_affine(image, rng, zoom=(2, 4), aspect=(0.7, 1.4), rotation=20, shift=0.6)


def _shift_off_centre(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    large, small = rng.uniform(0.38, 0.75) * rng.choice([-1, 1]), rng.uniform(-0.3, 0.3)
    return random_affine(image, rng, zoom=(0.9, 1.3), offset=(large, small) if rng.random() < 0.6 else (small, large))


def _rotate_strongly(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return random_affine(image, rng, zoom=(0.7, 1.3), rotation=(30, 150), shift=0.1)


def _flip_upside_down(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _mild_affine(image, rng)[::-1]


def _rotate_quarter(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.rot90(_mild_affine(image, rng), rng.choice([1, 3]))


def _invert(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.rot90(255 - _mild_affine(image, rng), rng.choice([0, 0, 0, 1, 2, 3]))


def _shuffle_tiles(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    n = int(rng.choice([2, 4, 8]))
    tiles = (
        _mild_affine(image, rng).reshape(n, THUMBNAIL_SIDE // n, n, THUMBNAIL_SIDE // n).swapaxes(1, 2)
    )  # (n, n, height, width)
    order = np.roll(np.arange(n * n), rng.integers(1, n * n))  # no tile stays in place
    permutation = rng.permutation(n * n)
    shuffled = np.empty_like(tiles).reshape(n * n, THUMBNAIL_SIDE // n, THUMBNAIL_SIDE // n)
    shuffled[permutation] = tiles.reshape(shuffled.shape)[permutation[order]]
    return shuffled.reshape(tiles.shape).swapaxes(1, 2).reshape(THUMBNAIL_SIDE, THUMBNAIL_SIDE)


def _stretch_strongly(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    factor = rng.uniform(2.2, 4) ** rng.choice([-1, 1])
    return random_affine(image, rng, zoom=(0.9, 1.4), aspect=(factor, factor))


def _tile_copies(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    n = int(rng.integers(2, 4))
    copy = cv2.resize(
        _mild_affine(image, rng), (THUMBNAIL_SIDE // n + 1, THUMBNAIL_SIDE // n + 1), interpolation=cv2.INTER_AREA
    )
    return np.tile(copy, (n, n))[:THUMBNAIL_SIDE, :THUMBNAIL_SIDE]


def _swap_halves(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.roll(_mild_affine(image, rng), THUMBNAIL_SIDE // 2, axis=1)


def _show_half(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Show one lung, often overlaid with the other as in a lateral view, in a narrower frame."""
    moved_image = random_affine(image, rng, zoom=(1, 1.25), rotation=5)
    cut_column = THUMBNAIL_SIDE // 2 + int(rng.integers(-4, 7))
    side = moved_image[:, :cut_column]
    if rng.random() < 0.6:
        overlap = random_affine(moved_image[:, ::-1], rng, zoom=(0.95, 1.1), rotation=8, shift=0.05)[:, :cut_column]
        side = cv2.addWeighted(side, 0.5, overlap, 0.5, 0)
    width = int(rng.integers(36, THUMBNAIL_SIDE + 1))
    left = int(rng.integers(0, THUMBNAIL_SIDE - width + 1))
    canvas = np.full((THUMBNAIL_SIDE, THUMBNAIL_SIDE), rng.choice([0, 0, 0, 255]), np.uint8)
    canvas[:, left : left + width] = cv2.resize(np.ascontiguousarray(side), (width, THUMBNAIL_SIDE))
    return random_affine(canvas, rng, rotation=12, shift=0.05)


NEGATIVE_TRANSFORMS: tuple[Transform, ...] = (
    *(_crop_part, _shift_off_centre, _rotate_strongly, _flip_upside_down, _rotate_quarter, _invert),
    *(_shuffle_tiles, _stretch_strongly, _tile_copies, _swap_halves, _show_half, _show_half),
)
