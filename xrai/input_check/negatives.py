"""Synthetic negatives: pages, charts, scenes, and X-rays and slices of other parts of the body.

Each generator returns a thumbnail uint8 (SIDE, SIDE). Variety matters more than realism: the input check learns from
them where chest X-rays end. Lengths are in half image widths from the centre, y down.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from xrai.scans.descriptor import THUMBNAIL_SIDE
from xrai.scans.shapes import ellipse_radius, smooth_step

NegativeGenerator = Callable[[np.random.Generator], np.ndarray]

_LINE = np.linspace(-1, 1, THUMBNAIL_SIDE, dtype=np.float32)
_X, _Y = np.meshgrid(_LINE, _LINE)
_SHEET_SIDE = 4 * THUMBNAIL_SIDE  # images with fine lines are drawn larger and downsampled


# --- paper and screen -------------------------------------------------------------------------------------------------


def _draw_clouds(rng: np.random.Generator) -> np.ndarray:
    return _to_uint8(_power_law_noise(rng, rng.uniform(0, 2.6)))


def _draw_gradient(rng: np.random.Generator) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi)
    slope = 0.5 + rng.uniform(0.2, 0.7) * (np.cos(angle) * _X + np.sin(angle) * _Y)
    glow = 1 - np.hypot(_X - rng.uniform(-0.5, 0.5), _Y - rng.uniform(-0.5, 0.5)) / rng.uniform(0.8, 2)
    image = slope if rng.random() < 0.5 else glow
    return _to_uint8((image if rng.random() < 0.5 else 1 - image) + rng.normal(0, 0.02, image.shape))


def _draw_checkers(rng: np.random.Generator) -> np.ndarray:
    width, height = rng.integers(2, 33, size=2)
    rows, columns = np.indices((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    dark, bright = np.sort(rng.uniform(0, 1, size=2))
    return _to_uint8(np.where((rows // height + columns // width) % 2 > 0, bright + 0.1, dark))


def _draw_page(rng: np.random.Generator) -> np.ndarray:
    paper_grey, ink_grey = int(rng.integers(190, 256)), int(rng.integers(0, 110))
    sheet = Image.new("L", (_SHEET_SIDE, _SHEET_SIDE), paper_grey)
    draw = ImageDraw.Draw(sheet)
    line, margin, columns = int(rng.integers(6, 26)), int(rng.integers(4, 60)), int(rng.choice([1, 1, 2, 3]))
    width = (_SHEET_SIDE - 2 * margin) // columns
    for top in range(int(rng.integers(4, 60)), int(rng.integers(120, _SHEET_SIDE)), line):
        for column in range(columns):
            start = margin + column * width
            _draw_words(draw, start, top, start + width - 6, line, ink_grey, rng)
    if rng.random() < 0.3:
        left, top, right, bottom = _random_box(rng)
        draw.rectangle((left, top, right, bottom), fill=int(rng.integers(0, 256)))
    image = _downsample(sheet)
    image = 255 - image if rng.random() < 0.15 else image
    return np.rot90(image, rng.choice([0, 0, 0, 1, 2, 3]))


def _draw_words(
    draw: ImageDraw.ImageDraw, left: int, top: int, end: int, line: int, ink_grey: int, rng: np.random.Generator
) -> None:
    end = end if rng.random() < 0.8 else left + int(rng.integers(10, 80))
    while left < end:
        width = int(rng.integers(3, 6 + 2 * line))
        draw.rectangle((left, top, min(left + width, max(left, end)), top + line // 2), fill=ink_grey)
        left += width + max(2, line // 4)


def _draw_chart(rng: np.random.Generator) -> np.ndarray:
    paper_grey = int(rng.choice([255, 255, 240, 20, 0]))
    sheet = Image.new("L", (_SHEET_SIDE, _SHEET_SIDE), paper_grey)
    draw = ImageDraw.Draw(sheet)
    rng.choice(np.array([_draw_bars, _draw_curves, _draw_windows]))(draw, rng)
    draw.line([(20, 10), (20, 240), (250, 240)], fill=255 - paper_grey, width=2)
    return _downsample(sheet)


def _draw_panels(rng: np.random.Generator) -> np.ndarray:
    """Arrange two to four charts as in a figure of a paper."""
    rows, columns = ((1, 2), (2, 1), (2, 2))[rng.integers(3)]
    size = THUMBNAIL_SIDE // columns, THUMBNAIL_SIDE // rows
    charts = [Image.fromarray(_draw_chart(rng)).resize(size, Image.Resampling.BOX) for _ in range(rows * columns)]
    return np.block([[np.array(charts[row * columns + column]) for column in range(columns)] for row in range(rows)])


def _draw_bars(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    for left in range(24, 24 + 20 * int(rng.integers(3, 11)), 20):
        height, width = int(rng.integers(10, 220)), int(rng.integers(6, 18))
        draw.rectangle((left, 240 - height, left + width, 240), fill=int(rng.integers(0, 256)))


def _draw_curves(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    for _ in range(rng.integers(1, 5)):
        heights = 128 + np.cumsum(rng.normal(rng.uniform(-2, 2), 8, size=30))
        points = [(20 + 7 * i, float(height)) for i, height in enumerate(heights)]
        draw.line(points, fill=int(rng.integers(0, 200)), width=int(rng.integers(1, 5)))


def _draw_windows(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    for _ in range(rng.integers(3, 14)):
        draw.rectangle(_random_box(rng), fill=int(rng.integers(0, 256)), outline=int(rng.integers(0, 256)))


def _draw_scene(rng: np.random.Generator) -> np.ndarray:
    """Draw rounded and square objects in front of a background, as in a photograph."""
    image = _power_law_noise(rng, 1.5) * rng.uniform(0.1, 0.7) + rng.uniform(0, 0.4)
    if rng.random() < 0.4:
        sky = rng.uniform(-0.4, 0.5) + 0.2 * rng.normal() * _X > _Y
        image = np.where(sky, np.minimum(1, image + 0.4), image * 0.5)
    for _ in range(rng.integers(1, 8)):
        x, y = rng.uniform(-1, 1, size=2)
        width, height = rng.uniform(0.08, 0.8, size=2)
        box = 1 - np.maximum(np.abs(_X - x) / width, np.abs(_Y - y) / height)
        shape = _ellipse_depth(x, y, width, height, rng.uniform(0, np.pi)) if rng.random() < 0.6 else box
        mask = _soft_edge(shape, rng.uniform(0.02, 0.3))
        shade = rng.uniform(0, 1) + rng.uniform(-0.4, 0.4) * _X + rng.uniform(0, 0.5) * (_power_law_noise(rng, 1) - 0.5)
        image = image * (1 - mask) + mask * shade
    return _to_uint8(image)


# --- other parts of the body ------------------------------------------------------------------------------------------


def _draw_limb(rng: np.random.Generator) -> np.ndarray:
    """Draw an arm or a leg: straight or bent at a joint, one or two bones in each half."""
    middle, angle = rng.normal(0, 0.25, size=2), np.pi / 2 + rng.normal(0, 0.15)
    angle = rng.uniform(0, np.pi) if rng.random() < 0.5 else angle
    bend = rng.uniform(0.5, 2) * rng.choice([-1, 1]) if rng.random() < 0.4 else rng.normal(0, 0.05)
    flesh, width, bone = rng.uniform(0.2, 0.6), rng.uniform(0.25, 0.8), rng.uniform(0.25, 0.6)
    image = np.zeros_like(_X)
    bones = np.zeros_like(_X)
    for direction in (angle, angle + np.pi + bend):
        towards = np.array([np.cos(direction), np.sin(direction)])
        far = middle + 2 * towards
        image = np.maximum(image, flesh * _draw_rod(middle, far, width * rng.uniform(0.8, 1.2)))
        aside = width * rng.uniform(0.3, 0.5) * np.array([-towards[1], towards[0]])
        for offset in [0 * aside] if rng.random() < 0.4 else [aside, -aside]:
            thick = width * rng.uniform(0.15, 0.4)
            bones = np.maximum(bones, bone * _draw_bone(middle + 0.06 * towards + offset, far + offset * 0.6, thick))
    return _expose(image + bones, rng)


def _draw_hand(rng: np.random.Generator) -> np.ndarray:
    size, low, flesh, bone = (
        rng.uniform(0.6, 1.3),
        rng.uniform(0.1, 0.5),
        rng.uniform(0.2, 0.5),
        rng.uniform(0.25, 0.55),
    )
    tilt, spread = rng.normal(0, 0.2), rng.uniform(0.05, 0.25)
    wrist = np.array([rng.normal(0, 0.1), 1.5])
    image = flesh * np.maximum(
        _draw_rod((0, low), wrist, 0.38 * size), _draw_rod((-0.2 * size, low), (0.2 * size, low), 0.4 * size)
    )
    bones = np.zeros_like(_X)
    for finger, length in enumerate([0.75, 1.05, 1.15, 1.05, 0.85]):
        angle = -np.pi / 2 + tilt + (finger - 2) * spread - 0.35 * (finger == 0)
        towards = size * length * rng.uniform(0.85, 1.1) * np.array([np.cos(angle), np.sin(angle)])
        root = np.array([(finger - 2) * 0.16 * size, low])
        image = np.maximum(image, 0.9 * flesh * _draw_rod(root, root + towards, 0.115 * size))
        for start, end in ((0.02, 0.40), (0.44, 0.66), (0.70, 0.84), (0.88, 1)):
            thick = 0.05 * size * (1.2 - 0.4 * start)
            bones += bone * _draw_bone(root + start * towards, root + end * towards, thick)
    for x in (-0.14, 0.14):
        bones += bone * _draw_bone((x * size, low + 0.3), wrist + np.array([x * size, 0]), 0.09 * size)
        bones += bone * _soft_edge(_ellipse_depth(x * size, low + 0.13, 0.17 * size, 0.1 * size, 0), 0.2)
    return np.rot90(_expose(image + bones, rng), rng.choice([0, 0, 0, 1, 2, 3]))


def _draw_skull(rng: np.random.Generator) -> np.ndarray:
    x, y = rng.normal(0, 0.08, size=2)
    profile = 0.15 * (rng.random() < 0.5)
    head = _ellipse_depth(x, y - 0.1, 0.72, 0.8, 0)
    image = rng.uniform(0.35, 0.6) * _soft_edge(head, 0.06) + 0.3 * _soft_edge(0.06 - np.abs(head - 0.06), 0.04)
    image += 0.4 * _draw_rod((x + profile, y + 0.4), (x + profile, 1.6), 0.35)
    for side in (-1, 1):
        image -= 0.2 * _soft_edge(_ellipse_depth(x + 2 * profile + 0.27 * side, y + 0.12, 0.17, 0.14, 0), 0.15)
    image -= 0.2 * _soft_edge(_ellipse_depth(x + 3 * profile, y + 0.4, 0.1, 0.18, 0), 0.2)
    return _mirror_randomly(_expose(image, rng), rng)


def _draw_abdomen(rng: np.random.Generator) -> np.ndarray:
    """Draw an abdomen with gas, a spine and often a pelvis."""
    image = rng.uniform(0.4, 0.65) * np.sqrt(np.clip(1 - (_X / rng.uniform(0.7, 1.1)) ** 2, 0, 1))
    image += _draw_spine(rng.normal(0, 0.03), rng.uniform(15, 30), rng) * (_Y < 0.75)
    for _ in range(rng.integers(3, 14)):
        x, y = rng.uniform(-0.7, 0.7), rng.uniform(-0.9, 0.8)
        gas = _ellipse_depth(x, y, rng.uniform(0.05, 0.25), rng.uniform(0.05, 0.16), rng.uniform(0, np.pi))
        image -= rng.uniform(0.05, 0.3) * _soft_edge(gas, 0.3)
    hips = rng.uniform(0.2, 0.7)
    for side in (-1, 1) if rng.random() < 0.7 else ():
        image += 0.25 * _soft_edge(_ellipse_depth(0.5 * side, hips, 0.35, 0.3, 0.6 * side), 0.15)
        image += 0.25 * _draw_bone((0.6 * side, hips + 0.45), (0.7 * side, 1.6), 0.12)
    return _expose(image, rng)


def _draw_axial_slice(rng: np.random.Generator) -> np.ndarray:
    """Draw a CT or MR slice: an oval body, with lungs or with patches, a vertebra, sometimes the table."""
    x, y = rng.normal(0, 0.05, size=2)
    width, height = rng.uniform(0.75, 1.15), rng.uniform(0.5, 1.1)
    body = _soft_edge(_ellipse_depth(x, y, width, height, 0), 0.03)
    image = rng.uniform(0.4, 0.8) * body
    if rng.random() < 0.5:  # a bright wall
        image += rng.uniform(0.1, 0.5) * _soft_edge(0.08 - np.abs(_ellipse_depth(x, y, width, height, 0) - 0.1), 0.04)
    if rng.random() < 0.75:
        image -= _draw_lungs(x, y, width, height, rng) * body
    for _ in range(rng.integers(3, 16)):
        centre = x + rng.uniform(-0.6, 0.6), y + rng.uniform(-0.4, 0.4)
        patch = _ellipse_depth(*centre, rng.uniform(0.03, 0.25), rng.uniform(0.03, 0.2), rng.uniform(0, np.pi))
        image += rng.uniform(-0.3, 0.3) * _soft_edge(patch, 0.2) * body
    image += rng.uniform(0.2, 0.4) * _soft_edge(_ellipse_depth(x, y + 0.55 * height, 0.12, 0.12, 0), 0.1)
    if rng.random() < 0.4:
        image += 0.5 * _soft_edge(0.03 - np.abs(_ellipse_depth(x, -0.4, 1.2, height + 0.5, 0)), 0.02) * (_Y > 0)
    return _expose(image, rng)


def _draw_coronal_slice(rng: np.random.Generator) -> np.ndarray:
    """Draw a CT slice seen from the front: hard edges, white outside or black, two lungs with patches and vessels."""
    x, lean = rng.normal(0, 0.05), rng.uniform(-0.1, 0.25)
    body = _soft_edge(rng.uniform(0.85, 1.3) - np.abs(_X - x), 0.02)
    image = rng.uniform(0.7, 1) * body
    for side in (-1, 1):
        lung = _ellipse_depth(
            x + 0.5 * side, rng.uniform(-0.1, 0.1), rng.uniform(0.3, 0.45), rng.uniform(0.7, 1), -lean * side
        )
        vessels = _soft_edge(_power_law_noise(rng, rng.uniform(0.7, 1.2)) - rng.uniform(0.5, 0.7), 0.05)
        image -= _soft_edge(lung, 0.02) * (rng.uniform(0.5, 0.9) - rng.uniform(0.2, 0.7) * vessels)
    image -= rng.uniform(0.3, 0.9) * _draw_rod((x, -1.2), (x + rng.normal(0, 0.05), -0.1), 0.08)
    outside = rng.choice([0, 1]) * (1 - body)
    return _expose(np.clip(image, 0, 1) + outside, rng)


def _draw_lungs(x: float, y: float, width: float, height: float, rng: np.random.Generator) -> np.ndarray:
    air = np.zeros_like(_X)
    lean = rng.uniform(-0.3, 0.3)
    for side in (-1, 1):
        lung = _ellipse_depth(x + 0.46 * width * side, y, 0.36 * width, rng.uniform(0.6, 0.75) * height, lean * side)
        air = np.maximum(air, _soft_edge(lung, 0.08))
    heart = _soft_edge(_ellipse_depth(x + 0.1, y - 0.1, 0.3 * width, 0.4 * height, 0.4), 0.15)
    return rng.uniform(0.3, 0.75) * air * (1 - 0.8 * heart)


def _draw_lateral_view(rng: np.random.Generator) -> np.ndarray:
    """Draw a chest from the side: one field of air, the heart before it, the spine behind, the shoulder above."""
    width = rng.uniform(0.55, 0.9)
    body = _soft_edge(1 - ((_X - 0.1 * np.sin(2 * _Y)) / width) ** 2, 0.15)
    lung = _soft_edge(
        _ellipse_depth(
            rng.normal(0, 0.05), 0, width * rng.uniform(0.6, 0.85), rng.uniform(0.7, 1), rng.uniform(-0.3, 0.3)
        ),
        0.15,
    )
    above = _soft_edge(0.45 + rng.normal(0, 0.1) + rng.uniform(0.2, 0.6) * _X - _Y, 0.1)
    image = body * (rng.uniform(0.45, 0.7) - rng.uniform(0.2, 0.5) * lung * above)
    image += 0.25 * _soft_edge(_ellipse_depth(-0.35 * width, 0.25, 0.3, 0.35, 0.4), 0.25) * body
    image += _draw_spine(0.6 * width + 0.1 * np.sin(2 * _Y + rng.normal(0, 0.4)), 24, rng) * body
    image += rng.uniform(0, 0.35) * _soft_edge(0.3 * np.abs(_X) - 0.55 - _Y, 0.2) * body
    ribs = rng.uniform(-0.6, 0.6)
    for y in np.arange(-0.7, 0.9, 0.25):
        image += 0.06 * _soft_edge(0.04 - np.abs(_Y - y - ribs * _X), 0.03) * body
    return _mirror_randomly(_expose(image, rng), rng)


def _draw_breast(rng: np.random.Generator) -> np.ndarray:
    outline = _ellipse_depth(-1.1, rng.normal(0, 0.2), rng.uniform(0.9, 1.7), rng.uniform(0.6, 1), 0)
    tissue = rng.uniform(0.4, 0.8) * (0.4 + 0.8 * _power_law_noise(rng, 1.2))
    return _mirror_randomly(_expose(_soft_edge(outline, 0.05) * tissue, rng), rng)


def _draw_ultrasound(rng: np.random.Generator) -> np.ndarray:
    """Draw an ultrasound picture."""
    far, angle = np.hypot(_X, _Y + 1.1), np.abs(np.arctan2(_X, _Y + 1.1))
    in_fan = (angle < rng.uniform(0.4, 0.9)) & (far > 0.2) & (far < rng.uniform(1.4, 2))
    return _to_uint8(in_fan * _power_law_noise(rng, rng.uniform(0.3, 1.2)) * rng.uniform(0.5, 1.3))


_FREQUENCIES: tuple[tuple[NegativeGenerator, int], ...] = (
    (_draw_clouds, 1),
    (_draw_gradient, 1),
    (_draw_checkers, 1),
    (_draw_page, 2),
    (_draw_chart, 1),
    (_draw_panels, 2),
    (_draw_scene, 3),
    (_draw_limb, 4),
    (_draw_hand, 2),
    (_draw_skull, 1),
    (_draw_abdomen, 2),
    (_draw_axial_slice, 3),
    (_draw_coronal_slice, 2),
    (_draw_lateral_view, 3),
    (_draw_breast, 1),
    (_draw_ultrasound, 1),
)

SYNTHETIC_NEGATIVES = tuple(generator for generator, count in _FREQUENCIES for _ in range(count))
"""The generators, each as often as it is to be drawn from."""


# --- shapes -----------------------------------------------------------------------------------------------------------


def _soft_edge(inside: np.ndarray, edge: float) -> np.ndarray:
    """Rise from 0 to 1 where `inside` becomes positive, over `edge` on both sides."""
    return smooth_step(inside / edge)


def _ellipse_depth(x: float, y: float, across: float, along: float, turn: float) -> np.ndarray:
    """Depth in an ellipse: 1 at the centre, 0 at the edge, negative outside."""
    return 1 - ellipse_radius(_X - np.float32(x), _Y - np.float32(y), across, along, turn)


def _segment_coordinates(start: np.ndarray | tuple, end: np.ndarray | tuple) -> tuple[np.ndarray, np.ndarray]:
    """The position of each pixel along a line segment, 0..1, and its distance from it."""
    (x, y), (dx, dy) = np.asarray(start), np.subtract(end, start)
    place = np.clip(((_X - x) * dx + (_Y - y) * dy) / (dx * dx + dy * dy), 0, 1)
    return place, np.hypot(_X - x - place * dx, _Y - y - place * dy)


def _draw_rod(start: np.ndarray | tuple, end: np.ndarray | tuple, width: float) -> np.ndarray:
    """Draw soft tissue, thickest in the middle."""
    return np.sqrt(np.clip(1 - (_segment_coordinates(start, end)[1] / width) ** 2, 0, 1))


def _draw_bone(start: np.ndarray | tuple, end: np.ndarray | tuple, width: float) -> np.ndarray:
    """Draw a bone, brightest at its rims and thicker at its ends."""
    place, distance = _segment_coordinates(start, end)
    distance = distance / (width * (1 + 0.45 * (2 * place - 1) ** 4))
    return _soft_edge(1 - distance, 0.15) * (0.55 + 0.45 * np.minimum(distance, 1) ** 2)


def _draw_spine(x: float | np.ndarray, pitch: float, rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(0.1, 0.25) * _soft_edge(0.1 - np.abs(_X - x), 0.05) * (0.8 + 0.2 * np.cos(_Y * pitch))


def _power_law_noise(rng: np.random.Generator, slope: float) -> np.ndarray:
    """Noise in 0..1 with a 1/f^`slope` amplitude spectrum: 0 is white noise, 2 is clouds."""
    frequency = np.hypot(np.fft.fftfreq(THUMBNAIL_SIDE)[:, None], np.fft.rfftfreq(THUMBNAIL_SIDE)[None])
    frequency[0, 0] = 1
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((THUMBNAIL_SIDE, THUMBNAIL_SIDE))) / frequency**slope)
    return ((noise - noise.min()) / np.ptp(noise)).astype(np.float32)


def _expose(density: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Simulate the exposure of an X-ray: uneven, noisy, slightly fogged."""
    density = density + rng.uniform(0, 0.12) * (_power_law_noise(rng, 1.5) - 0.5) + rng.normal(0, 0.01, density.shape)
    fogged = np.clip(rng.uniform(0, 0.12) + rng.uniform(0.8, 1.3) * density, 0, 1)
    return _to_uint8(fogged ** np.exp(rng.uniform(-0.5, 0.5)))


def _mirror_randomly(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return image[:, ::-1] if rng.random() < 0.5 else image


def _random_box(rng: np.random.Generator) -> tuple[int, int, int, int]:
    left, top, width, height = (int(value) for value in rng.integers(0, 200, size=4))
    return left, top, left + width // 2 + 10, top + height // 3 + 6


def _downsample(sheet: Image.Image) -> np.ndarray:
    return np.array(sheet.resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX))


def _to_uint8(image: np.ndarray) -> np.ndarray:
    return (np.clip(image, 0, 1) * 255).astype(np.uint8)
