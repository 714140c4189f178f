"""Quick drawings of what people hand in by mistake: pages, charts, scenes, and X-rays and slices of other things.

Each takes a generator and gives a thumbnail uint8 (SIDE, SIDE). They need not be likely, only various: what a gate
learns from them is where chest films end. Lengths are in half picture widths from the middle, y down.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from xrai.scans.descriptor import SIDE

Drawing = Callable[[np.random.Generator], np.ndarray]

_LINE = np.linspace(-1, 1, SIDE, dtype=np.float32)
_X, _Y = np.meshgrid(_LINE, _LINE)
_SHEET = 4 * SIDE  # what has fine lines is drawn larger


# --- paper and screen -------------------------------------------------------------------------------------------------


def _clouds(rng: np.random.Generator) -> np.ndarray:
    return _bytes(_pattern(rng, rng.uniform(0, 2.6)))


def _gradient(rng: np.random.Generator) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi)
    slope = 0.5 + rng.uniform(0.2, 0.7) * (np.cos(angle) * _X + np.sin(angle) * _Y)
    glow = 1 - np.hypot(_X - rng.uniform(-0.5, 0.5), _Y - rng.uniform(-0.5, 0.5)) / rng.uniform(0.8, 2)
    shown = slope if rng.random() < 0.5 else glow
    return _bytes((shown if rng.random() < 0.5 else 1 - shown) + rng.normal(0, 0.02, shown.shape))


def _checkers(rng: np.random.Generator) -> np.ndarray:
    width, height = rng.integers(2, 33, size=2)
    rows, columns = np.indices((SIDE, SIDE))
    dark, bright = np.sort(rng.uniform(0, 1, size=2))
    return _bytes(np.where((rows // height + columns // width) % 2 > 0, bright + 0.1, dark))


def _page(rng: np.random.Generator) -> np.ndarray:
    paper, ink = int(rng.integers(190, 256)), int(rng.integers(0, 110))
    sheet = Image.new("L", (_SHEET, _SHEET), paper)
    draw = ImageDraw.Draw(sheet)
    line, margin, columns = int(rng.integers(6, 26)), int(rng.integers(4, 60)), int(rng.choice([1, 1, 2, 3]))
    width = (_SHEET - 2 * margin) // columns
    for top in range(int(rng.integers(4, 60)), int(rng.integers(120, _SHEET)), line):
        for column in range(columns):
            start = margin + column * width
            _words(draw, start, top, start + width - 6, line, ink, rng)
    if rng.random() < 0.3:
        left, top, right, bottom = _box(rng)
        draw.rectangle((left, top, right, bottom), fill=int(rng.integers(0, 256)))
    shown = _reduced(sheet)
    shown = 255 - shown if rng.random() < 0.15 else shown
    return np.rot90(shown, rng.choice([0, 0, 0, 1, 2, 3]))


def _words(
    draw: ImageDraw.ImageDraw, at: int, top: int, end: int, line: int, ink: int, rng: np.random.Generator
) -> None:
    end = end if rng.random() < 0.8 else at + int(rng.integers(10, 80))
    while at < end:
        width = int(rng.integers(3, 6 + 2 * line))
        draw.rectangle((at, top, min(at + width, max(at, end)), top + line // 2), fill=ink)
        at += width + max(2, line // 4)


def _chart(rng: np.random.Generator) -> np.ndarray:
    paper = int(rng.choice([255, 255, 240, 20, 0]))
    sheet = Image.new("L", (_SHEET, _SHEET), paper)
    draw = ImageDraw.Draw(sheet)
    rng.choice(np.array([_bars, _curves, _windows]))(draw, rng)
    draw.line([(20, 10), (20, 240), (250, 240)], fill=255 - paper, width=2)
    return _reduced(sheet)


def _panels(rng: np.random.Generator) -> np.ndarray:
    """Lay two to four charts out as in a figure of a paper."""
    rows, columns = ((1, 2), (2, 1), (2, 2))[rng.integers(3)]
    size = SIDE // columns, SIDE // rows
    charts = [Image.fromarray(_chart(rng)).resize(size, Image.Resampling.BOX) for _ in range(rows * columns)]
    return np.block([[np.array(charts[row * columns + column]) for column in range(columns)] for row in range(rows)])


def _bars(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    for left in range(24, 24 + 20 * int(rng.integers(3, 11)), 20):
        height, width = int(rng.integers(10, 220)), int(rng.integers(6, 18))
        draw.rectangle((left, 240 - height, left + width, 240), fill=int(rng.integers(0, 256)))


def _curves(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    for _ in range(rng.integers(1, 5)):
        heights = 128 + np.cumsum(rng.normal(rng.uniform(-2, 2), 8, size=30))
        points = [(20 + 7 * i, float(height)) for i, height in enumerate(heights)]
        draw.line(points, fill=int(rng.integers(0, 200)), width=int(rng.integers(1, 5)))


def _windows(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    for _ in range(rng.integers(3, 14)):
        draw.rectangle(_box(rng), fill=int(rng.integers(0, 256)), outline=int(rng.integers(0, 256)))


def _scene(rng: np.random.Generator) -> np.ndarray:
    """Draw rounded and square things before a background, as in a photograph."""
    shown = _pattern(rng, 1.5) * rng.uniform(0.1, 0.7) + rng.uniform(0, 0.4)
    if rng.random() < 0.4:
        sky = rng.uniform(-0.4, 0.5) + 0.2 * rng.normal() * _X > _Y
        shown = np.where(sky, np.minimum(1, shown + 0.4), shown * 0.5)
    for _ in range(rng.integers(1, 8)):
        x, y = rng.uniform(-1, 1, size=2)
        width, height = rng.uniform(0.08, 0.8, size=2)
        box = 1 - np.maximum(np.abs(_X - x) / width, np.abs(_Y - y) / height)
        thing = _ellipse(x, y, width, height, rng.uniform(0, np.pi)) if rng.random() < 0.6 else box
        there = _soft(thing, rng.uniform(0.02, 0.3))
        shade = rng.uniform(0, 1) + rng.uniform(-0.4, 0.4) * _X + rng.uniform(0, 0.5) * (_pattern(rng, 1) - 0.5)
        shown = shown * (1 - there) + there * shade
    return _bytes(shown)


# --- other parts of the body ------------------------------------------------------------------------------------------


def _limb(rng: np.random.Generator) -> np.ndarray:
    """Draw an arm or a leg: straight or bent at a joint, one or two bones in each half."""
    middle, angle = rng.normal(0, 0.25, size=2), np.pi / 2 + rng.normal(0, 0.15)
    angle = rng.uniform(0, np.pi) if rng.random() < 0.5 else angle
    bend = rng.uniform(0.5, 2) * rng.choice([-1, 1]) if rng.random() < 0.4 else rng.normal(0, 0.05)
    flesh, width, bone = rng.uniform(0.2, 0.6), rng.uniform(0.25, 0.8), rng.uniform(0.25, 0.6)
    shown = np.zeros_like(_X)
    bones = np.zeros_like(_X)
    for direction in (angle, angle + np.pi + bend):
        towards = np.array([np.cos(direction), np.sin(direction)])
        far = middle + 2 * towards
        shown = np.maximum(shown, flesh * _rod(middle, far, width * rng.uniform(0.8, 1.2)))
        aside = width * rng.uniform(0.3, 0.5) * np.array([-towards[1], towards[0]])
        for offset in [0 * aside] if rng.random() < 0.4 else [aside, -aside]:
            thick = width * rng.uniform(0.15, 0.4)
            bones = np.maximum(bones, bone * _bone(middle + 0.06 * towards + offset, far + offset * 0.6, thick))
    return _filmed(shown + bones, rng)


def _hand(rng: np.random.Generator) -> np.ndarray:
    size, low, flesh, bone = (
        rng.uniform(0.6, 1.3),
        rng.uniform(0.1, 0.5),
        rng.uniform(0.2, 0.5),
        rng.uniform(0.25, 0.55),
    )
    tilt, spread = rng.normal(0, 0.2), rng.uniform(0.05, 0.25)
    wrist = np.array([rng.normal(0, 0.1), 1.5])
    shown = flesh * np.maximum(
        _rod((0, low), wrist, 0.38 * size), _rod((-0.2 * size, low), (0.2 * size, low), 0.4 * size)
    )
    bones = np.zeros_like(_X)
    for finger, length in enumerate([0.75, 1.05, 1.15, 1.05, 0.85]):
        angle = -np.pi / 2 + tilt + (finger - 2) * spread - 0.35 * (finger == 0)
        towards = size * length * rng.uniform(0.85, 1.1) * np.array([np.cos(angle), np.sin(angle)])
        root = np.array([(finger - 2) * 0.16 * size, low])
        shown = np.maximum(shown, 0.9 * flesh * _rod(root, root + towards, 0.115 * size))
        for start, end in ((0.02, 0.40), (0.44, 0.66), (0.70, 0.84), (0.88, 1)):
            thick = 0.05 * size * (1.2 - 0.4 * start)
            bones += bone * _bone(root + start * towards, root + end * towards, thick)
    for x in (-0.14, 0.14):
        bones += bone * _bone((x * size, low + 0.3), wrist + np.array([x * size, 0]), 0.09 * size)
        bones += bone * _soft(_ellipse(x * size, low + 0.13, 0.17 * size, 0.1 * size, 0), 0.2)
    return np.rot90(_filmed(shown + bones, rng), rng.choice([0, 0, 0, 1, 2, 3]))


def _skull(rng: np.random.Generator) -> np.ndarray:
    x, y = rng.normal(0, 0.08, size=2)
    profile = 0.15 * (rng.random() < 0.5)
    head = _ellipse(x, y - 0.1, 0.72, 0.8, 0)
    shown = rng.uniform(0.35, 0.6) * _soft(head, 0.06) + 0.3 * _soft(0.06 - np.abs(head - 0.06), 0.04)
    shown += 0.4 * _rod((x + profile, y + 0.4), (x + profile, 1.6), 0.35)
    for side in (-1, 1):
        shown -= 0.2 * _soft(_ellipse(x + 2 * profile + 0.27 * side, y + 0.12, 0.17, 0.14, 0), 0.15)
    shown -= 0.2 * _soft(_ellipse(x + 3 * profile, y + 0.4, 0.1, 0.18, 0), 0.2)
    return _mirrored(_filmed(shown, rng), rng)


def _belly(rng: np.random.Generator) -> np.ndarray:
    """Draw an abdomen with gas, a spine and often a pelvis."""
    shown = rng.uniform(0.4, 0.65) * np.sqrt(np.clip(1 - (_X / rng.uniform(0.7, 1.1)) ** 2, 0, 1))
    shown += _spine(rng.normal(0, 0.03), rng.uniform(15, 30), rng) * (_Y < 0.75)
    for _ in range(rng.integers(3, 14)):
        x, y = rng.uniform(-0.7, 0.7), rng.uniform(-0.9, 0.8)
        gas = _ellipse(x, y, rng.uniform(0.05, 0.25), rng.uniform(0.05, 0.16), rng.uniform(0, np.pi))
        shown -= rng.uniform(0.05, 0.3) * _soft(gas, 0.3)
    hips = rng.uniform(0.2, 0.7)
    for side in (-1, 1) if rng.random() < 0.7 else ():
        shown += 0.25 * _soft(_ellipse(0.5 * side, hips, 0.35, 0.3, 0.6 * side), 0.15)
        shown += 0.25 * _bone((0.6 * side, hips + 0.45), (0.7 * side, 1.6), 0.12)
    return _filmed(shown, rng)


def _slice(rng: np.random.Generator) -> np.ndarray:
    """Draw a CT or MR slice: an oval body, with lungs or with patches, a vertebra, sometimes the table."""
    x, y = rng.normal(0, 0.05, size=2)
    width, height = rng.uniform(0.75, 1.15), rng.uniform(0.5, 1.1)
    body = _soft(_ellipse(x, y, width, height, 0), 0.03)
    shown = rng.uniform(0.4, 0.8) * body
    if rng.random() < 0.5:  # a bright wall
        shown += rng.uniform(0.1, 0.5) * _soft(0.08 - np.abs(_ellipse(x, y, width, height, 0) - 0.1), 0.04)
    if rng.random() < 0.75:
        shown -= _lungs(x, y, width, height, rng) * body
    for _ in range(rng.integers(3, 16)):
        at = x + rng.uniform(-0.6, 0.6), y + rng.uniform(-0.4, 0.4)
        patch = _ellipse(*at, rng.uniform(0.03, 0.25), rng.uniform(0.03, 0.2), rng.uniform(0, np.pi))
        shown += rng.uniform(-0.3, 0.3) * _soft(patch, 0.2) * body
    shown += rng.uniform(0.2, 0.4) * _soft(_ellipse(x, y + 0.55 * height, 0.12, 0.12, 0), 0.1)
    if rng.random() < 0.4:
        shown += 0.5 * _soft(0.03 - np.abs(_ellipse(x, -0.4, 1.2, height + 0.5, 0)), 0.02) * (_Y > 0)
    return _filmed(shown, rng)


def _coronal(rng: np.random.Generator) -> np.ndarray:
    """Draw a CT slice seen from the front: hard edges, white outside or black, two lungs with patches and vessels."""
    x, lean = rng.normal(0, 0.05), rng.uniform(-0.1, 0.25)
    body = _soft(rng.uniform(0.85, 1.3) - np.abs(_X - x), 0.02)
    shown = rng.uniform(0.7, 1) * body
    for side in (-1, 1):
        lung = _ellipse(
            x + 0.5 * side, rng.uniform(-0.1, 0.1), rng.uniform(0.3, 0.45), rng.uniform(0.7, 1), -lean * side
        )
        vessels = _soft(_pattern(rng, rng.uniform(0.7, 1.2)) - rng.uniform(0.5, 0.7), 0.05)
        shown -= _soft(lung, 0.02) * (rng.uniform(0.5, 0.9) - rng.uniform(0.2, 0.7) * vessels)
    shown -= rng.uniform(0.3, 0.9) * _rod((x, -1.2), (x + rng.normal(0, 0.05), -0.1), 0.08)
    outside = rng.choice([0, 1]) * (1 - body)
    return _filmed(np.clip(shown, 0, 1) + outside, rng)


def _lungs(x: float, y: float, width: float, height: float, rng: np.random.Generator) -> np.ndarray:
    air = np.zeros_like(_X)
    lean = rng.uniform(-0.3, 0.3)
    for side in (-1, 1):
        lung = _ellipse(x + 0.46 * width * side, y, 0.36 * width, rng.uniform(0.6, 0.75) * height, lean * side)
        air = np.maximum(air, _soft(lung, 0.08))
    heart = _soft(_ellipse(x + 0.1, y - 0.1, 0.3 * width, 0.4 * height, 0.4), 0.15)
    return rng.uniform(0.3, 0.75) * air * (1 - 0.8 * heart)


def _side_view(rng: np.random.Generator) -> np.ndarray:
    """Draw a chest from the side: one field of air, the heart before it, the spine behind, the shoulder above."""
    width = rng.uniform(0.55, 0.9)
    body = _soft(1 - ((_X - 0.1 * np.sin(2 * _Y)) / width) ** 2, 0.15)
    lung = _soft(
        _ellipse(rng.normal(0, 0.05), 0, width * rng.uniform(0.6, 0.85), rng.uniform(0.7, 1), rng.uniform(-0.3, 0.3)),
        0.15,
    )
    above = _soft(0.45 + rng.normal(0, 0.1) + rng.uniform(0.2, 0.6) * _X - _Y, 0.1)
    shown = body * (rng.uniform(0.45, 0.7) - rng.uniform(0.2, 0.5) * lung * above)
    shown += 0.25 * _soft(_ellipse(-0.35 * width, 0.25, 0.3, 0.35, 0.4), 0.25) * body
    shown += _spine(0.6 * width + 0.1 * np.sin(2 * _Y + rng.normal(0, 0.4)), 24, rng) * body
    shown += rng.uniform(0, 0.35) * _soft(0.3 * np.abs(_X) - 0.55 - _Y, 0.2) * body
    ribs = rng.uniform(-0.6, 0.6)
    for y in np.arange(-0.7, 0.9, 0.25):
        shown += 0.06 * _soft(0.04 - np.abs(_Y - y - ribs * _X), 0.03) * body
    return _mirrored(_filmed(shown, rng), rng)


def _breast(rng: np.random.Generator) -> np.ndarray:
    outline = _ellipse(-1.1, rng.normal(0, 0.2), rng.uniform(0.9, 1.7), rng.uniform(0.6, 1), 0)
    tissue = rng.uniform(0.4, 0.8) * (0.4 + 0.8 * _pattern(rng, 1.2))
    return _mirrored(_filmed(_soft(outline, 0.05) * tissue, rng), rng)


def _fan(rng: np.random.Generator) -> np.ndarray:
    """Draw an ultrasound picture."""
    far, angle = np.hypot(_X, _Y + 1.1), np.abs(np.arctan2(_X, _Y + 1.1))
    seen = (angle < rng.uniform(0.4, 0.9)) & (far > 0.2) & (far < rng.uniform(1.4, 2))
    return _bytes(seen * _pattern(rng, rng.uniform(0.3, 1.2)) * rng.uniform(0.5, 1.3))


DRAWINGS: tuple[Drawing, ...] = (
    *(_clouds, _gradient, _checkers, _page, _page, _chart, _panels, _panels, _scene, _scene, _scene),
    *(_limb, _limb, _limb, _limb, _hand, _hand, _skull, _belly, _belly),
    *(_slice, _slice, _slice, _coronal, _coronal, _side_view, _side_view, _side_view, _breast, _fan),
)


# --- shapes -----------------------------------------------------------------------------------------------------------


def _soft(inside: np.ndarray, edge: float) -> np.ndarray:
    """Rise from 0 to 1 where `inside` turns positive, over an edge that wide on both sides."""
    t = np.clip(inside / (2 * edge) + 0.5, 0, 1)
    return t * t * (3 - 2 * t)


def _ellipse(x: float, y: float, across: float, along: float, turn: float) -> np.ndarray:
    """Positive inside: 1 in the middle, 0 on the edge."""
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    dx, dy = _X - np.float32(x), _Y - np.float32(y)
    return 1 - np.hypot((cos * dx + sin * dy) / across, (cos * dy - sin * dx) / along)


def _along(start: np.ndarray | tuple, end: np.ndarray | tuple) -> tuple[np.ndarray, np.ndarray]:
    """How far along a line each pixel lies, 0..1, and how far from it."""
    (x, y), (dx, dy) = np.asarray(start), np.subtract(end, start)
    place = np.clip(((_X - x) * dx + (_Y - y) * dy) / (dx * dx + dy * dy), 0, 1)
    return place, np.hypot(_X - x - place * dx, _Y - y - place * dy)


def _rod(start: np.ndarray | tuple, end: np.ndarray | tuple, width: float) -> np.ndarray:
    """Draw flesh: thickest in the middle."""
    return np.sqrt(np.clip(1 - (_along(start, end)[1] / width) ** 2, 0, 1))


def _bone(start: np.ndarray | tuple, end: np.ndarray | tuple, width: float) -> np.ndarray:
    """Draw a bone: whitest at its rims, thicker at its ends."""
    place, away = _along(start, end)
    away = away / (width * (1 + 0.45 * (2 * place - 1) ** 4))
    return _soft(1 - away, 0.15) * (0.55 + 0.45 * np.minimum(away, 1) ** 2)


def _spine(x: float | np.ndarray, pitch: float, rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(0.1, 0.25) * _soft(0.1 - np.abs(_X - x), 0.05) * (0.8 + 0.2 * np.cos(_Y * pitch))


def _pattern(rng: np.random.Generator, slope: float) -> np.ndarray:
    """Make noise in 0..1 whose strength falls with frequency to the power `slope`: 0 is grain, 2 is clouds."""
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None])
    frequency[0, 0] = 1
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((SIDE, SIDE))) / frequency**slope)
    return ((noise - noise.min()) / np.ptp(noise)).astype(np.float32)


def _filmed(density: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Expose it like an X-ray: uneven, grainy, a little fogged."""
    density = density + rng.uniform(0, 0.12) * (_pattern(rng, 1.5) - 0.5) + rng.normal(0, 0.01, density.shape)
    fogged = np.clip(rng.uniform(0, 0.12) + rng.uniform(0.8, 1.3) * density, 0, 1)
    return _bytes(fogged ** np.exp(rng.uniform(-0.5, 0.5)))


def _mirrored(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return picture[:, ::-1] if rng.random() < 0.5 else picture


def _box(rng: np.random.Generator) -> tuple[int, int, int, int]:
    left, top, width, height = (int(value) for value in rng.integers(0, 200, size=4))
    return left, top, left + width // 2 + 10, top + height // 3 + 6


def _reduced(sheet: Image.Image) -> np.ndarray:
    return np.array(sheet.resize((SIDE, SIDE), Image.Resampling.BOX))


def _bytes(greys: np.ndarray) -> np.ndarray:
    return (np.clip(greys, 0, 1) * 255).astype(np.uint8)
