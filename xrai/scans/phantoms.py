"""Phantoms: synthetic chest X-rays, with or without opacities, for practice and tests; without medical meaning.

An image is simulated as a projection: tissues add attenuation, air in the lungs reduces it, and the sum is exposed with
random brightness, contrast and noise. Lengths are in half image widths, x to the right and y down from the centre of
the patient; `density` is 0 in air and about 1 behind the spine.

All variation between patients and images has the same distribution with and without opacities, so that only the opacity
determines the class.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from xrai.core.errors import SettingsError, SourceError, system_reason
from xrai.scans.shapes import Field, ellipse_radius, smooth_step

CLASSES = ("CLEAR", "OPACITY")

_LABEL = "DRAWING"


def draw_thorax(rng: np.random.Generator, *, opacity: bool, size: int = 256) -> NDArray[np.uint8]:
    """Draw one image of a new patient, uint8 (size, size), 0 = air.

    A generator in the same state gives the same image with and without opacities, apart from these.

    Raises:
        SettingsError: the size is too small for the label in the image.
    """
    return _draw_image(_draw_patient(rng, opacity=opacity), rng, size)


def write_practice_set(folder: Path, *, n_patients: int = 150, seed: int = 0, size: int = 256) -> int:
    """Write `folder/CLEAR/*.png` and `folder/OPACITY/*.png`, one to three images per patient; returns their number.

    Half of the patients have opacities, in all their images. Files are named `patient0012_1.png`: the number of the
    patient, then of the image. The same arguments write the same pixels.

    Raises:
        SettingsError: fewer than two patients, or a size too small for the label.
        SourceError: the folder holds other files, or cannot be written.
    """
    if n_patients < len(CLASSES):
        raise SettingsError(
            "A practice set needs at least {minimum} patients, one of each class: not {n_patients}.",
            minimum=len(CLASSES),
            n_patients=n_patients,
        )
    rng = np.random.default_rng(seed)
    classes = rng.permutation(n_patients) % len(CLASSES)
    counts = rng.integers(1, 4, size=n_patients)
    files = [
        [folder / CLASSES[label] / f"patient{number:04}_{index}.png" for index in range(1, count + 1)]
        for number, (label, count) in enumerate(zip(classes, counts, strict=True), start=1)
    ]
    _refuse_other_files(folder, {file for patient_files in files for file in patient_files})
    for patient_files, label, patient_rng in zip(files, classes, rng.spawn(n_patients), strict=True):
        patient = _draw_patient(patient_rng, opacity=CLASSES[label] == "OPACITY")
        for file in patient_files:
            _write_png(file, _draw_image(patient, patient_rng, size))
    return int(counts.sum())


# --- the patient ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Patch:
    """An opacity: centre, semi-axes, rotation, softness of its edge and added density."""

    x: float
    y: float
    across: float
    along: float
    angle: float
    softness: float
    density: float


@dataclass(frozen=True)
class _Patient:
    """The anatomy that all images of a patient share."""

    girth: float  # half width of the chest
    shoulder: float  # height at which the shoulders slope
    fat: float  # attenuation of soft tissue over the lungs
    lung: tuple[float, float, float]  # half width, half height, taper towards the apex
    dome: tuple[float, float]  # height of the diaphragm on the left and right of the image
    heart: tuple[float, float, float, float]  # x, half axes, turn
    mediastinum: float  # half width
    ribs: tuple[float, float, float]  # offset, distance, slope
    bone: float  # brightness of bones
    clavicle: tuple[float, float]  # height, slope
    texture: int  # seed of the patient's own texture
    patches: tuple[_Patch, ...] = ()


def _draw_patient(rng: np.random.Generator, *, opacity: bool) -> _Patient:
    u = rng.uniform
    clear_patient = _Patient(
        girth=u(0.82, 0.96),
        shoulder=u(-0.80, -0.68),
        fat=u(0.0, 0.14),
        lung=(u(0.31, 0.37), u(0.72, 0.86), u(0.15, 0.35)),
        dome=(u(0.36, 0.50), u(0.40, 0.56)),
        heart=(u(0.09, 0.17), u(0.28, 0.37), u(0.20, 0.26), u(0.4, 0.9)),
        mediastinum=u(0.11, 0.16),
        ribs=(u(0, 1), u(0.135, 0.165), u(0.5, 0.8)),
        bone=u(0.05, 0.10),
        clavicle=(u(-0.52, -0.44), u(0.10, 0.28)),
        texture=int(rng.integers(2**32)),
    )
    # For both classes, so that one seed gives the same image with and without opacities.
    patches = _place_patches(clear_patient, rng)
    return replace(clear_patient, patches=patches) if opacity else clear_patient


def _place_patches(patient: _Patient, rng: np.random.Generator) -> tuple[_Patch, ...]:
    """Place one or two opacities, obvious or subtle, over lung only."""
    x, y = np.meshgrid(*[np.linspace(-1, 1, 64, dtype=np.float32)] * 2)
    positions = np.argwhere(_draw_lung_air(patient, x, y) > 0.9)
    return tuple(
        _draw_patch(float(x[i, j]), float(y[i, j]), rng) for i, j in rng.choice(positions, size=rng.integers(1, 3))
    )


def _draw_patch(x: float, y: float, rng: np.random.Generator) -> _Patch:
    u = rng.uniform
    across = u(0.08, 0.20)
    along = across * u(1.0, 1.6)
    return _Patch(x, y, across, along, angle=u(0, np.pi), softness=u(0.35, 0.8), density=u(0.14, 0.36))


# --- the image --------------------------------------------------------------------------------------------------------


def _draw_image(patient: _Patient, rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    if size < 48:
        raise SettingsError(
            "A drawing of {size} pixels has no room for its label: choose a size of 48 or more.", size=size
        )
    x, y = _patient_coordinates(rng, size)
    texture_rng = np.random.default_rng(patient.texture)
    wavy, fine = _smooth_noise(texture_rng, 6, size), _smooth_noise(texture_rng, 24, size)
    air = _draw_lung_air(patient, x + 0.012 * wavy, y + 0.012 * wavy)
    body = _draw_body(patient, x, y)
    density = _draw_soft_tissue(patient, x, y) - (0.50 - patient.fat) * air
    density += _draw_vessels(x, y, wavy, fine) * air
    density += patient.bone * _draw_bones(patient, x, y)
    for patch in patient.patches:
        density += _draw_opacity(patch, x, y, wavy, fine) * air
    return _add_label(_expose(density * body, rng))


def _patient_coordinates(rng: np.random.Generator, size: int) -> tuple[Field, Field]:
    """The x and y of each pixel in a slightly rotated, shifted and scaled patient."""
    turn, zoom = rng.normal(0, 0.03), rng.uniform(0.93, 1.05)
    shift_x, shift_y = rng.normal(0, 0.03, size=2)
    line = np.linspace(-1, 1, size, dtype=np.float32)
    across, down = (line - np.float32(shift_x))[None, :], (line - np.float32(shift_y))[:, None]
    cos, sin = np.float32(np.cos(turn) / zoom), np.float32(np.sin(turn) / zoom)
    return cos * across + sin * down, cos * down - sin * across


def _expose(density: Field, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Convert density to grey levels with random brightness, contrast, unevenness and noise."""
    size = len(density)
    brightness, contrast = rng.uniform(0.80, 1.08), rng.uniform(0.85, 1.35)
    fog, grain = rng.uniform(0.0, 0.04), rng.uniform(0.008, 0.03)
    uneven = np.linspace(-1, 1, size, dtype=np.float32) * np.float32(rng.normal(0, 0.03))
    light = np.clip(density, 0, None) ** np.float32(contrast) * (np.float32(brightness) + uneven) + np.float32(fog)
    light += np.float32(grain) * rng.standard_normal((size, size), dtype=np.float32)
    return (np.clip(light, 0, 1) * 255).astype(np.uint8)


def _add_label(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = Image.fromarray(pixels)
    size = image.width
    font = ImageFont.load_default(max(7, size / 22))
    ImageDraw.Draw(image).text(
        (size * 0.97, size * 0.98), _LABEL, fill=235, font=font, anchor="rs", stroke_width=1, stroke_fill=20
    )
    return np.asarray(image)


# --- anatomy ----------------------------------------------------------------------------------------------------------


def _draw_body(patient: _Patient, x: Field, y: Field) -> Field:
    """Draw the outline of neck, shoulders and chest: 1 inside, 0 in the air around."""
    shoulder = smooth_step((y - patient.shoulder) / 0.2)
    half_width = 0.20 + (patient.girth - 0.20) * shoulder
    return smooth_step((half_width - np.abs(x)) / 0.05)


def _draw_soft_tissue(patient: _Patient, x: Field, y: Field) -> Field:
    """Draw a body without lungs: thicker towards the middle and the abdomen, with spine and trachea."""
    thickness = np.sqrt(np.clip(1 - (x / 1.05) ** 2, 0, 1))
    belly = smooth_step((y - _diaphragm_height(patient, x)) / 0.1)
    spine = smooth_step((0.085 - np.abs(x)) / 0.05) * (0.85 + 0.15 * np.cos(y * 55))
    windpipe = smooth_step((0.045 - np.abs(x)) / 0.03) * smooth_step((-0.30 - y) / 0.1)
    return 0.44 + 0.24 * thickness + 0.10 * belly + 0.10 * spine - 0.13 * windpipe


def _draw_lung_air(patient: _Patient, x: Field, y: Field) -> Field:
    """Draw the share of lung in the beam: 1 for lung alone, less where heart or diaphragm overlap, 0 elsewhere."""
    half_width, half_height, taper = patient.lung
    u, v = (np.abs(x) - 0.42) / (half_width * (1 + taper * y)), (y - 0.12) / half_height
    lungs = smooth_step((1 - np.sqrt(u * u + v * v * np.abs(v))) / 0.08)
    above = smooth_step((_diaphragm_height(patient, x) - y) / 0.05)
    return lungs * above * (1 - 0.92 * _draw_heart(patient, x, y))


def _diaphragm_height(patient: _Patient, x: Field) -> Field:
    left, right = patient.dome
    return left + (right - left) * smooth_step(x / 0.15) + 1.1 * (np.abs(x) - 0.34) ** 2


def _draw_heart(patient: _Patient, x: Field, y: Field) -> Field:
    """Draw heart, great vessels and aortic knob."""
    middle, long, short, turn = patient.heart
    heart = smooth_step((1 - ellipse_radius(x - middle, y - 0.32, long, short, turn)) / 0.12)
    vessels = smooth_step((patient.mediastinum + 0.03 * y - np.abs(x)) / 0.06)
    knob = smooth_step((1 - ellipse_radius(x - 0.10, y + 0.22, 0.10, 0.10, 0)) / 0.3)
    return np.maximum(np.maximum(heart, vessels), knob)


def _draw_bones(patient: _Patient, x: Field, y: Field) -> Field:
    """Draw posterior and anterior ribs and clavicles; 1 is the thickest bone."""
    offset, distance, slope = patient.ribs
    u = np.abs(x)
    visibility = 1 - 0.75 * smooth_step((y - _diaphragm_height(patient, x)) / 0.1)  # low behind the abdomen
    cage = (
        visibility
        * smooth_step((0.80 - np.sqrt(u * u + 0.55 * (y + 0.05) ** 2)) / 0.08)
        * smooth_step((u - 0.06) / 0.06)
    )
    behind = _draw_bands((y - slope * u * u) / distance + offset, 0.21)
    before = _draw_bands((y + 0.45 * u) / distance - offset, 0.17) * smooth_step((u - 0.25) / 0.2)
    height, lean = patient.clavicle
    along = height - lean * u - 0.05 * np.sin(u * 8)
    clavicle = (
        smooth_step((0.035 - np.abs(y - along)) / 0.02)
        * smooth_step((u - 0.08) / 0.04)
        * smooth_step((0.72 - u) / 0.06)
    )
    return cage * (behind + 0.5 * before) + 1.2 * clavicle


def _draw_vessels(x: Field, y: Field, wavy: Field, fine: Field) -> Field:
    """Draw lung vessels that leave each hilum and thin out, over a faint texture."""
    u, v = np.abs(x) - 0.16, y - 0.02
    angle, distance = np.arctan2(v, u), np.hypot(u, v)
    strands = np.clip(np.cos(angle * 9 + 2.5 * wavy + 0.9 * fine + np.sign(x)), 0, 1) ** 3
    return np.exp(-distance / 0.2) * (0.12 + 0.16 * strands) + 0.015 * fine


def _draw_opacity(patch: _Patch, x: Field, y: Field, wavy: Field, fine: Field) -> Field:
    radius = ellipse_radius(x - patch.x, y - patch.y, patch.across, patch.along, patch.angle)
    return patch.density * smooth_step((1 - radius + 0.25 * wavy + 0.10 * fine) / patch.softness) * (1 + 0.12 * fine)


# --- patterns ---------------------------------------------------------------------------------------------------------


def _draw_bands(phase: Field, half_width: float) -> Field:
    """Draw a band at each whole number, brighter at its rims."""
    off = np.abs(phase - np.rint(phase)) / half_width
    return smooth_step((1 - off) / 0.25) * (0.6 + 0.4 * np.minimum(off, 1) ** 2)


def _smooth_noise(rng: np.random.Generator, cells: int, size: int) -> Field:
    """Smooth noise of about −1 to 1 with a grain of 1 / `cells` of the image width."""
    coarse = Image.fromarray(rng.normal(0, 0.6, size=(cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))


# --- files ------------------------------------------------------------------------------------------------------------


def _refuse_other_files(folder: Path, files: set[Path]) -> None:
    """Refuse a folder with other files, so that phantoms are not mixed with real scans."""
    existing_files = {file for file in folder.rglob("*") if not file.is_dir() and not file.name.startswith(".")}
    other_files = existing_files - files
    if other_files:
        raise SourceError(
            "The folder {folder} already holds other files ({name}): "
            "choose an empty folder, so that drawings do not mix with scans.",
            folder=folder,
            name=min(other_files).name,
        )


def _write_png(file: Path, pixels: NDArray[np.uint8]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file, compress_level=1)
    except OSError as error:
        raise SourceError(
            "The drawing {file} cannot be written ({reason}): free some disk space or choose another folder.",
            file=file,
            reason=system_reason(error),
        ) from error
