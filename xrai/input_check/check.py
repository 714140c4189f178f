"""The verdict on one picture: accepted, or refused with a sentence for the reader and perhaps a way to mend it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from xrai.core.language import N_, say
from xrai.scans.descriptor import DESCRIPTOR_SIZE, GREY_GRID, compute_descriptors, make_thumbnail

# The turns to the left and the inversion that make the picture right.
_CORRECTION_STEPS = {
    N_("turned 90° left"): (1, False),
    N_("turned 180°"): (2, False),
    N_("turned 90° right"): (3, False),
    N_("inverted"): (0, True),
    N_("inverted and turned 90° left"): (1, True),
    N_("inverted and turned 180°"): (2, True),
    N_("inverted and turned 90° right"): (3, True),
}
CORRECTIONS = tuple(_CORRECTION_STEPS)
"""The changes that a gate may propose."""

GREY_AXES, EDGE_AXES = 64, 160  # principal components
N_FEATURES = GREY_AXES + EDGE_AXES + 4  # what a gate's network is given

_MAX_FEATURE = 8.0  # how far from the training scans a number may seem, in standard deviations
_LOG_DISTANCE_SCALE = 4.0  # brings logarithms of distances to about the same spread
_MAX_COLOUR = 0.04  # of `Scan.colour`; the films that it was measured on stay below 0.02
_MIN_CONTRAST = 6.0  # greys between the darkest and the brightest hundredth of a thumbnail

_BLANK_MESSAGE = N_(
    "The picture is nearly all one grey, probably because the exposure failed or an empty page was exported: "
    "choose the chest X-ray itself."
)
_COLOUR_MESSAGE = N_(
    "The picture is in colour, so it is probably a photo, a screenshot or an overlay rather than an X-ray: "
    "choose the chest X-ray itself."
)
_IS_FOREIGN = N_(
    "The picture does not look like a chest X-ray seen from the front (perhaps a photo, a document, another part of "
    "the body, or a side view): choose an upright frontal chest X-ray."
)
_IS_INVERTED = N_(
    "The picture looks like a chest X-ray with black and white exchanged, probably because it was exported as a "
    "negative: invert it, then check that bones are white."
)


@dataclass(frozen=True, eq=False)
class InputCheckResult:
    """What a gate says of a picture.

    Attributes:
        is_accepted: whether it looks like an upright frontal chest film.
        reason: empty when accepted; else one sentence: what it looks like, the probable cause, what to do.
        correction: one of `MENDS` if the picture looks right after it, for `mended`; else None.
        ood_score: 0 to 2, how unlike the training scans; above 1 is refused, and so are blank and coloured pictures, at 2.
    """

    is_accepted: bool
    reason: str
    correction: str | None
    ood_score: float


@dataclass(frozen=True, eq=False)
class InputCheck:
    """Knows what a set of training scans looks like; small, and safe to share between threads.

    A network of one hidden layer on principal components of `looks`, and on how far a picture lies from the training
    scans within and beyond these. Its answer is the log-odds that the picture is no upright film of this kind.

    Attributes:
        mean: float32 (N_NUMBERS,), of the training scans' looks.
        axes: float32 (N_NUMBERS, K), of length 1: first `GREY_AXES` components of greys, then `EDGE_AXES` of edges.
        spread: float32 (K,), of the training scans along each, above 0.
        beyond: float32 (2,), mean square of what the components leave over, of greys and of edges, above 0.
        hidden: float32 (N_SEEN + 1, H), weights of the hidden layer, the last row its biases.
        output: float32 (H + 1,), weights of the answer, the last one its bias.
        limits: float32 (2,), the greatest log-odds that are accepted, and those up to which a mend is offered.
    """

    mean: np.ndarray
    axes: np.ndarray
    spread: np.ndarray
    beyond: np.ndarray
    hidden: np.ndarray
    output: np.ndarray
    limits: np.ndarray

    def check(self, pixels: np.ndarray, *, colour: float = 0.0) -> InputCheckResult:
        """Judge a picture.

        Args:
            pixels: uint8 (H, W), 0 = air.
            colour: as in `xrai.scans.Scan.colour`.
        """
        small = make_thumbnail(pixels)
        if np.ptp(np.percentile(small, [1, 99])) < _MIN_CONTRAST:
            return InputCheckResult(False, _BLANK_MESSAGE, None, 2.0)
        if colour > _MAX_COLOUR:
            return InputCheckResult(False, _COLOUR_MESSAGE, None, 2.0)
        log_odds = float(self.ood_log_odds(small[None])[0])
        score = float(2 / (1 + np.exp(np.clip(self.limits[0] - log_odds, -50, 50))))
        if log_odds <= self.limits[0]:
            return InputCheckResult(True, "", None, score)
        correction = self._find_correction(small)
        return InputCheckResult(False, _refusal_reason(correction), correction, score)

    def ood_log_odds(self, thumbnails: np.ndarray) -> np.ndarray:
        """Log-odds float32 (N,) that thumbnails uint8 (N, SIDE, SIDE) show something else."""
        features = extract_features(
            compute_descriptors(thumbnails), self.mean, self.axes, self.spread, self.beyond
        )  # (N, N_SEEN)
        activations = np.maximum(features @ self.hidden[:-1] + self.hidden[-1], 0)  # (N, H)
        return activations @ self.output[:-1] + self.output[-1]

    def to_tensors(self) -> dict[str, np.ndarray]:
        """The gate as float32 arrays by name, for a safetensors file."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray]) -> InputCheck:
        """The gate read back.

        Raises:
            ValueError: an array is missing, foreign, of another shape or type, or holds what is no number.
        """
        if set(tensors) != {field.name for field in fields(cls)}:
            raise ValueError("The gate's arrays are not those that XRAI writes.")
        arrays = {name: np.asarray(values) for name, values in tensors.items()}
        if any(values.dtype != np.float32 or not np.isfinite(values).all() for values in arrays.values()):
            raise ValueError("The gate's arrays hold something other than finite 32-bit numbers.")
        input_check = cls(**arrays)
        if not input_check._has_valid_shapes():
            raise ValueError("The gate's arrays do not fit together.")
        return input_check

    def _has_valid_shapes(self) -> bool:
        k, n_hidden = GREY_AXES + EDGE_AXES, self.output.size - 1
        expected_shapes = {
            "mean": (DESCRIPTOR_SIZE,),
            "axes": (DESCRIPTOR_SIZE, k),
            "spread": (k,),
            "beyond": (2,),
            "hidden": (N_FEATURES + 1, n_hidden),
            "output": (n_hidden + 1,),
            "limits": (2,),
        }
        shapes_match = all(getattr(self, name).shape == shape for name, shape in expected_shapes.items())
        return shapes_match and n_hidden > 0 and bool((self.spread > 0).all() and (self.beyond > 0).all())

    def _find_correction(self, small: np.ndarray) -> str | None:
        """Find the change after which the picture looks most like a training scan, if clearly so."""
        log_odds = self.ood_log_odds(np.stack([apply_correction(small, correction) for correction in CORRECTIONS]))
        best = int(log_odds.argmin())
        return CORRECTIONS[best] if log_odds[best] <= self.limits[1] else None


def apply_correction(pixels: np.ndarray, correction: str) -> np.ndarray:
    """Rotate and invert an image.

    Args:
        pixels: uint8 (H, W).
        correction: one of `CORRECTIONS`, or "" for none.

    Returns:
        uint8, C-contiguous; (W, H) after a rotation by 90°.

    Raises:
        KeyError: the correction is unknown.
    """
    if not correction:
        return pixels
    quarter_turns, is_inverted = _CORRECTION_STEPS[correction]
    return np.ascontiguousarray(np.rot90(255 - pixels if is_inverted else pixels, quarter_turns))


def extract_features(
    descriptors: np.ndarray, mean: np.ndarray, axes: np.ndarray, spread: np.ndarray, beyond: np.ndarray
) -> np.ndarray:
    """What a gate's network is given of looks float32 (N, N_NUMBERS) -> float32 (N, N_SEEN).

    Places along the components, then for greys and for edges the distances from the training scans' middle along
    these and beyond these, as logarithms. The other arguments are a `Gate`'s.
    """
    centred = descriptors - mean
    along = centred @ axes  # (N, K)
    coordinates = along / spread
    blocks = [coordinates]
    slices = (
        (slice(GREY_GRID * GREY_GRID), slice(GREY_AXES)),
        (slice(GREY_GRID * GREY_GRID, None), slice(GREY_AXES, None)),
    )
    for (descriptor_slice, axis_slice), usual_residual in zip(slices, beyond, strict=True):
        residual = (centred[:, descriptor_slice] ** 2).sum(axis=1) - (along[:, axis_slice] ** 2).sum(axis=1)
        distances = np.stack([residual / usual_residual, (coordinates[:, axis_slice] ** 2).mean(axis=1)], axis=1)
        blocks.append(_LOG_DISTANCE_SCALE * np.log(np.maximum(distances, 1e-6)))
    return np.clip(np.concatenate(blocks, axis=1), -_MAX_FEATURE, _MAX_FEATURE)


def _refusal_reason(correction: str | None) -> str:
    if correction is None:
        return _IS_FOREIGN
    quarter_turns, is_inverted = _CORRECTION_STEPS[correction]
    if not quarter_turns:
        return _IS_INVERTED
    turn = {1: say("90° to the left"), 2: "180°", 3: say("90° to the right")}[quarter_turns]
    if is_inverted:
        return say(
            "The picture looks like a chest X-ray that is not upright and has black and white exchanged, probably "
            "because of how it was scanned or exported: invert it and turn it by {turn}, then check it.",
            turn=turn,
        )
    lying = say("upside down") if quarter_turns == 2 else say("lying on its side")
    return say(
        "The picture looks like a chest X-ray that is not upright, probably because it was scanned or exported "
        "{lying}: turn it by {turn}, then check that the neck is at the top.",
        lying=lying,
        turn=turn,
    )
