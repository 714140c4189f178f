"""The fitted input check: OOD log-odds from a descriptor, and the correction (rotate, invert, mirror) that helps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from xrai.core.language import N_, say
from xrai.scans.descriptor import DESCRIPTOR_SIZE, GREY_GRID, compute_descriptors, make_thumbnail

# Quarter turns to the left, and whether black and white are exchanged.
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
"""The corrections that an input check may offer for an image that it refuses."""

MIRRORED = N_("mirrored left to right")
"""The correction that it may offer for an image that it accepts: left and right are exchanged."""

_MAX_MIRROR_LOG_ODDS = 2.0

GREY_AXES = 64  # principal components of grey values
EDGE_AXES = 160  # and of edges
N_FEATURES = GREY_AXES + EDGE_AXES + 4  # inputs of the network

_MAX_FEATURE = 8.0  # features are clipped to so many standard deviations
_LOG_DISTANCE_SCALE = 4.0  # brings log distances to about unit standard deviation
_MAX_COLOUR = 0.04  # of `Scan.colour`; measured scans stay below 0.02
_MIN_CONTRAST = 6.0  # grey levels between the 1st and 99th percentile of a thumbnail

_BLANK_MESSAGE = N_(
    "The picture is nearly all one grey, probably because the exposure failed or an empty page was exported: "
    "choose the chest X-ray itself."
)
_COLOUR_MESSAGE = N_(
    "The picture is in colour, so it is probably a photo, a screenshot or an overlay rather than an X-ray: "
    "choose the chest X-ray itself."
)
_FOREIGN_MESSAGE = N_(
    "The picture does not look like a chest X-ray seen from the front (perhaps a photo, a document, another part of "
    "the body, or a side view): choose an upright frontal chest X-ray."
)
_INVERTED_MESSAGE = N_(
    "The picture looks like a chest X-ray with black and white exchanged, probably because it was exported as a "
    "negative: invert it, then check that bones are white."
)


@dataclass(frozen=True, eq=False)
class InputCheckResult:
    """The result of an input check.

    Attributes:
        is_accepted: whether the image looks like an upright frontal chest X-ray.
        reason: empty when accepted; else one sentence: what it looks like, the probable cause, what to do.
        correction: one of `CORRECTIONS` after which the image would be accepted, for `apply_correction`; else None.
        ood_score: 0 to 2; above 1 is refused, and blank and coloured images have 2.
    """

    is_accepted: bool
    reason: str
    correction: str | None
    ood_score: float


@dataclass(frozen=True, eq=False)
class InputCheck:
    """An OOD detector fitted on a set of training scans; small, and safe to share between threads.

    A network with one hidden layer on the principal components of the descriptor, and on the distances from the
    training scans within and beyond them. Its output is the log-odds that an image is not an upright frontal scan.

    Attributes:
        mean: float32 (DESCRIPTOR_SIZE,), mean descriptor of the training scans.
        axes: float32 (DESCRIPTOR_SIZE, K), unit principal axes, `GREY_AXES` of grey values, then `EDGE_AXES` of edges.
        spread: float32 (K,), standard deviation of the training scans along each axis, above 0.
        beyond: float32 (2,), residual variance of grey values and of edges beyond the axes, above 0.
        hidden: float32 (N_FEATURES + 1, H), weights of the hidden layer, biases in the last row.
        output: float32 (H + 1,), weights of the output, the bias last.
        limits: float32 (2,), highest log-odds that are accepted, and highest at which a correction is offered.
        mirror: float32 (DESCRIPTOR_SIZE,), weights of a descriptor's difference from that of the mirror image, for the
            log-odds that left and right are exchanged: by the heart, the side marker and the stomach bubble.
    """

    mean: np.ndarray
    axes: np.ndarray
    spread: np.ndarray
    beyond: np.ndarray
    hidden: np.ndarray
    output: np.ndarray
    limits: np.ndarray
    mirror: np.ndarray

    def check(self, pixels: np.ndarray, *, colour: float = 0.0) -> InputCheckResult:
        """Check an image.

        Args:
            pixels: uint8 (H, W), 0 = air.
            colour: as in `Scan.colour`.
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
        """Log-odds float32 (N,) that thumbnails uint8 (N, SIDE, SIDE) are out of distribution."""
        descriptors = compute_descriptors(thumbnails)
        features = extract_features(descriptors, self.mean, self.axes, self.spread, self.beyond)  # (N, N_FEATURES)
        activations = np.maximum(features @ self.hidden[:-1] + self.hidden[-1], 0)  # (N, H)
        return activations @ self.output[:-1] + self.output[-1]

    def looks_mirrored(self, pixels: np.ndarray) -> bool:
        """Whether left and right of an accepted image uint8 (H, W) seem to be exchanged."""
        asymmetry = compute_asymmetry(make_thumbnail(pixels)[None])
        return float((asymmetry @ self.mirror)[0]) > _MAX_MIRROR_LOG_ODDS

    def to_tensors(self) -> dict[str, np.ndarray]:
        """The arrays by name, float32, for a safetensors file."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray]) -> InputCheck:
        """The input check read back from a safetensors file.

        Raises:
            ValueError: an array is missing, unknown, of another shape or dtype, or not finite.
        """
        if set(tensors) != {field.name for field in fields(cls)}:
            raise ValueError("The input check has other arrays than XRAI writes.")
        arrays = {name: np.asarray(values) for name, values in tensors.items()}
        if any(values.dtype != np.float32 or not np.isfinite(values).all() for values in arrays.values()):
            raise ValueError("The input check holds something other than finite float32 numbers.")
        input_check = cls(**arrays)
        if not input_check._has_valid_shapes():
            raise ValueError("The input check's arrays do not fit together.")
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
            "mirror": (DESCRIPTOR_SIZE,),
        }
        shapes_match = all(getattr(self, name).shape == shape for name, shape in expected_shapes.items())
        return shapes_match and n_hidden > 0 and bool((self.spread > 0).all() and (self.beyond > 0).all())

    def _find_correction(self, small: np.ndarray) -> str | None:
        """The correction with the lowest log-odds, if they are low enough."""
        log_odds = self.ood_log_odds(np.stack([apply_correction(small, correction) for correction in CORRECTIONS]))
        best = int(log_odds.argmin())
        return CORRECTIONS[best] if log_odds[best] <= self.limits[1] else None


def apply_correction(pixels: np.ndarray, correction: str) -> np.ndarray:
    """Rotate and invert an image, or mirror it.

    Args:
        pixels: uint8 (H, W).
        correction: one of `CORRECTIONS`, `MIRRORED`, or "" for none.

    Returns:
        uint8, C-contiguous; (W, H) after a rotation by 90°.

    Raises:
        KeyError: the correction is unknown.
    """
    if not correction:
        return pixels
    if correction == MIRRORED:
        return np.ascontiguousarray(pixels[:, ::-1])
    quarter_turns, is_inverted = _CORRECTION_STEPS[correction]
    return np.ascontiguousarray(np.rot90(255 - pixels if is_inverted else pixels, quarter_turns))


def compute_asymmetry(thumbnails: np.ndarray) -> np.ndarray:
    """How descriptors of thumbnails uint8 (N, SIDE, SIDE) differ from those of their mirror images -> (N, SIZE)."""
    return compute_descriptors(thumbnails) - compute_descriptors(thumbnails[:, :, ::-1])


def extract_features(
    descriptors: np.ndarray, mean: np.ndarray, axes: np.ndarray, spread: np.ndarray, beyond: np.ndarray
) -> np.ndarray:
    """Network features float32 (N, N_FEATURES) from descriptors float32 (N, DESCRIPTOR_SIZE).

    Coordinates along the principal axes; then, for grey values and for edges, the log distances from the training mean
    beyond and along the axes. The other arguments are those of an `InputCheck`.
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
        return _FOREIGN_MESSAGE
    quarter_turns, is_inverted = _CORRECTION_STEPS[correction]
    if not quarter_turns:
        return _INVERTED_MESSAGE
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
