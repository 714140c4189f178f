"""Films as another hospital would have taken them, and films made into what is no upright chest film any more.

All take a film uint8 (S, S) and give a thumbnail uint8 (SIDE, SIDE). OpenCV does the warping: import this only to fit.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from xrai.scans.descriptor import SIDE

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
Range = tuple[float, float]


def altered(film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Take the film again: a little nearer, aside or askew, or mirrored; exposed otherwise; framed, with marks."""
    taken = moved(film, rng, zoom=(0.85, 1.28), aspect=(0.8, 1.3), turn=7, shift=0.08)
    if rng.random() < 0.25:
        taken = _framed(taken, rng)
    return _marked(exposed(taken, rng), rng) if rng.random() < 0.8 else taken


def moved(
    film: np.ndarray,
    rng: np.random.Generator,
    *,
    zoom: Range = (1, 1),
    aspect: Range = (1, 1),
    turn: float | Range = 0,
    shift: float = 0,
    aside: Range = (0, 0),
) -> np.ndarray:
    """Zoom, stretch (width by height), turn (degrees either way, or from and to), shift and perhaps mirror a film.

    `shift` is drawn either way, in film widths, and `aside` (to the right, down) is added to it.
    """
    angle = rng.uniform(-turn, turn) if isinstance(turn, (int, float)) else rng.choice([-1, 1]) * rng.uniform(*turn)
    nearer, wider = _between(zoom, rng), _between(aspect, rng) ** 0.5
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    scale = np.diag([nearer * wider * rng.choice([-1, 1]), nearer / wider]) * SIDE / len(film)
    linear = np.array([[cos, -sin], [sin, cos]]) @ scale
    target = SIDE * (0.5 + rng.uniform(-shift, shift, size=2) + aside)
    matrix = np.column_stack([linear, target - linear @ np.full(2, len(film) / 2)])
    border = cv2.BORDER_REPLICATE if rng.random() < 0.5 else cv2.BORDER_CONSTANT
    fill = float(rng.choice([0, 0, 0, 255]))
    return cv2.warpAffine(film, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=border, borderValue=fill)


def exposed(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change brightness, contrast, sharpness and grain of a thumbnail, as makers of X-ray machines do."""
    greys = picture.astype(np.float32) / 255
    low, high = np.percentile(greys, [rng.uniform(0, 6), rng.uniform(94, 100)])
    if high > low and rng.random() < 0.7:
        greys = np.clip((greys - low) / (high - low), 0, 1)
    greys = _processed(greys ** np.exp(rng.uniform(-0.7, 0.7)), rng)
    if rng.random() < 0.4:
        black, white = rng.uniform(0, 0.25), rng.uniform(0.6, 1)
        greys = black + (white - black) * greys
    return to_bytes(greys + rng.normal(0, rng.uniform(0, 0.03), greys.shape))


def taken_otherwise(drawing: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Take what is no chest film nearer or aside, stretched or askew, and exposed otherwise."""
    return exposed(moved(drawing, rng, zoom=(0.7, 1.4), aspect=(0.7, 1.4), turn=15, shift=0.15), rng)


def to_bytes(greys: np.ndarray) -> np.ndarray:
    """Turn 0..1, clipped, into uint8."""
    return (np.clip(greys, 0, 1) * 255).astype(np.uint8)


def _processed(greys: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    way, stored = rng.random(), to_bytes(greys)
    if way < 0.15:
        return 1 / (1 + np.exp(-(greys - 0.5) * rng.uniform(4, 9)))
    if way < 0.4:
        tiles = int(rng.integers(2, 6))
        return cv2.createCLAHE(rng.uniform(1, 4), (tiles, tiles)).apply(stored) / 255
    if way < 0.5:
        return cv2.equalizeHist(stored) / 255
    if way < 0.6:
        return greys + rng.uniform(0.5, 1.5) * (greys - cv2.GaussianBlur(greys, (0, 0), rng.uniform(1, 4)))
    return greys


def _framed(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Put a black or white border on some of the four sides."""
    left, right, top, bottom = (int(width) for width in rng.integers(0, 7, size=4) * (rng.random(4) < 0.5))
    inside = cv2.resize(picture, (SIDE - left - right, SIDE - top - bottom), interpolation=cv2.INTER_AREA)
    fill = float(rng.choice([0, 0, 255]))
    return cv2.copyMakeBorder(inside, top, bottom, left, right, cv2.BORDER_CONSTANT, value=fill)


def _marked(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lay up to three letters or plates on it."""
    for _ in range(rng.integers(0, 4)):
        height, width = rng.integers(1, 5), rng.integers(2, 12)
        row, column = rng.integers(0, SIDE - height), rng.integers(0, SIDE - width)
        picture[row : row + height, column : column + width] = rng.choice([0, 230, 255])
    return picture


def _between(ends: Range, rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(np.log(ends[0]), np.log(ends[1]))))


# --- no upright chest film any more -----------------------------------------------------------------------------------


def _taken(film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return moved(film, rng, zoom=(0.85, 1.25), aspect=(0.8, 1.3), turn=7, shift=0.06)


def _part(film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return moved(film, rng, zoom=(2, 4), aspect=(0.7, 1.4), turn=20, shift=0.6)


def _far_aside(film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    far, little = rng.uniform(0.38, 0.75) * rng.choice([-1, 1]), rng.uniform(-0.3, 0.3)
    return moved(film, rng, zoom=(0.9, 1.3), aside=(far, little) if rng.random() < 0.6 else (little, far))


def _askew(film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return moved(film, rng, zoom=(0.7, 1.3), turn=(30, 150), shift=0.1)


def _upside_down(film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _taken(film, rng)[::-1]


def _lying(film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.rot90(_taken(film, rng), rng.choice([1, 3]))


def _negative(film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.rot90(255 - _taken(film, rng), rng.choice([0, 0, 0, 1, 2, 3]))


def _shuffled(film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    n = int(rng.choice([2, 4, 8]))
    tiles = _taken(film, rng).reshape(n, SIDE // n, n, SIDE // n).swapaxes(1, 2)  # (n, n, height, width)
    order = np.roll(np.arange(n * n), rng.integers(1, n * n))  # no tile stays where it was
    mixed = rng.permutation(n * n)
    shown = np.empty_like(tiles).reshape(n * n, SIDE // n, SIDE // n)
    shown[mixed] = tiles.reshape(shown.shape)[mixed[order]]
    return shown.reshape(tiles.shape).swapaxes(1, 2).reshape(SIDE, SIDE)


def _stretched(film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    by = rng.uniform(2.2, 4) ** rng.choice([-1, 1])
    return moved(film, rng, zoom=(0.9, 1.4), aspect=(by, by))


def _several(film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    n = int(rng.integers(2, 4))
    small = cv2.resize(_taken(film, rng), (SIDE // n + 1, SIDE // n + 1), interpolation=cv2.INTER_AREA)
    return np.tile(small, (n, n))[:SIDE, :SIDE]


def _outside_in(film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.roll(_taken(film, rng), SIDE // 2, axis=1)


def _one_side(film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One lung, often with the other laid over it as in a view from the side, in a narrower frame."""
    taken = moved(film, rng, zoom=(1, 1.25), turn=5)
    cut = SIDE // 2 + int(rng.integers(-4, 7))
    side = taken[:, :cut]
    if rng.random() < 0.6:
        over = moved(taken[:, ::-1], rng, zoom=(0.95, 1.1), turn=8, shift=0.05)[:, :cut]
        side = cv2.addWeighted(side, 0.5, over, 0.5, 0)
    width = int(rng.integers(36, SIDE + 1))
    left = int(rng.integers(0, SIDE - width + 1))
    shown = np.full((SIDE, SIDE), rng.choice([0, 0, 0, 255]), np.uint8)
    shown[:, left : left + width] = cv2.resize(np.ascontiguousarray(side), (width, SIDE))
    return moved(shown, rng, turn=12, shift=0.05)


SPOILINGS: tuple[Change, ...] = (
    *(_part, _far_aside, _askew, _upside_down, _lying, _negative),
    *(_shuffled, _stretched, _several, _outside_in, _one_side, _one_side),
)
