"""The manual's five questions: what was done is looked at, and a sentence says how far it is from the answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from xrai.core.language import say
from xrai.manual.convolution import output_size

SIDE, TARGET_SIDE = 224, 112
"""Of the second question: the picture's side, and the one that is asked for."""

MAXIMUM, AVERAGE = 5.0, 2.0
"""Of the third question: what the two ways of pooling are to give."""

PNEUMONIA_PROBABILITIES = (0.35, 0.41, 0.55, 0.66, 0.74, 0.82, 0.88, 0.91, 0.93, 0.97)
NORMAL_PROBABILITIES = (0.02, 0.04, 0.07, 0.11, 0.15, 0.22, 0.30, 0.38, 0.46, 0.58)
"""Of the fourth question: probabilities of pneumonia that a model gave twenty made-up patients."""

EPOCH_TOLERANCE = 2
"""Of the fifth question: so many epochs beside the turning point are near enough, as curves are uneven."""


@dataclass(frozen=True)
class ExerciseResult:
    """What came of a question.

    Attributes:
        is_solved: whether that is what was asked for.
        sentence: what was done and, unless it is solved, what to try.
    """

    is_solved: bool
    sentence: str


def check_zero_sum_filter(kernel: ArrayLike) -> ExerciseResult:
    """The first: a filter that gives 0 wherever the picture is flat, so one whose numbers sum to 0."""
    numbers = np.asarray(kernel, float)
    total = float(numbers.sum())
    if not numbers.any():
        return ExerciseResult(
            False, say("All zeros turn everything black, edges too: put a number in, and take as much away again.")
        )
    if abs(total) < 1e-9:
        return ExerciseResult(
            True,
            say("The numbers sum to 0, so that an even region gives 0: only where the grey changes something is left."),
        )
    if total < 0:
        return ExerciseResult(
            False,
            say(
                "The numbers sum to {total:.4g}: an even region of grey 100 becomes {x:.4g}. Below 0 is drawn "
                "black here, but it is not 0: make the sum 0.",
                total=total,
                x=100 * total,
            ),
        )
    return ExerciseResult(
        False,
        say(
            "The numbers sum to {total:.4g}, so an even region of grey 100 becomes {x:.4g}: make the sum 0.",
            total=total,
            x=100 * total,
        ),
    )


def check_halving_layer(kernel: int, stride: int, padding: int) -> ExerciseResult:
    """The second: a layer that makes 112 pixels of 224."""
    side = output_size(SIDE, kernel, stride, padding)
    if side == TARGET_SIDE:
        return ExerciseResult(
            True,
            say(
                "The layer makes {side} × {side2} of {SIDE} × {SIDE2}: a quarter of the values.",
                side=side,
                side2=side,
                SIDE=SIDE,
                SIDE2=SIDE,
            ),
        )
    if side > 2 * TARGET_SIDE - 10:
        return ExerciseResult(
            False, say("That makes {side} × {side2}: a larger stride takes fewer steps.", side=side, side2=side)
        )
    if abs(side - TARGET_SIDE) < 5:
        return ExerciseResult(
            False,
            say(
                "That makes {side} × {side2}, nearly there: the padding adds pixels at the border.",
                side=side,
                side2=side,
            ),
        )
    return ExerciseResult(
        False, say("That makes {side} × {side2}, too small: a smaller stride takes more steps.", side=side, side2=side)
    )


def check_pooling_window(window: ArrayLike) -> ExerciseResult:
    """The third: four numbers whose largest is 5 and whose average is 2."""
    numbers = np.asarray(window, float)
    largest, average = float(numbers.max()), float(numbers.mean())
    if abs(largest - MAXIMUM) < 1e-9 and abs(average - AVERAGE) < 1e-9:
        return ExerciseResult(
            True,
            say(
                "Max pooling keeps {largest:.4g}, average pooling {average:.4g}: the first keeps a small bright spot.",
                largest=largest,
                average=average,
            ),
        )
    if abs(largest - MAXIMUM) < 1e-9:
        return ExerciseResult(False, _explain_average(average, numbers))
    return ExerciseResult(
        False,
        say(
            "Max pooling gives {largest:.4g}: make the largest of the four {MAXIMUM:.4g}.",
            largest=largest,
            MAXIMUM=MAXIMUM,
        ),
    )


def check_threshold(threshold: float) -> ExerciseResult:
    """The fourth: the threshold that misses nobody with as few false alarms as can be."""
    missed = sum(p < threshold for p in PNEUMONIA_PROBABILITIES)
    alarms = sum(p >= threshold for p in NORMAL_PROBABILITIES)
    min_alarms = sum(p >= min(PNEUMONIA_PROBABILITIES) for p in NORMAL_PROBABILITIES)
    if missed:
        return ExerciseResult(
            False,
            say(
                "Of {len} with pneumonia, missed: {missed}. Move the threshold down.",
                len=len(PNEUMONIA_PROBABILITIES),
                missed=missed,
            ),
        )
    if alarms > min_alarms:
        return ExerciseResult(
            False,
            say(
                "Nobody is missed, but of {len} without, false alarms: {alarms}. It goes with fewer.",
                len=len(NORMAL_PROBABILITIES),
                alarms=alarms,
            ),
        )
    return ExerciseResult(
        True,
        say(
            "Nobody is missed, and of {len} without, false alarms: {alarms}. No threshold does better.",
            len=len(NORMAL_PROBABILITIES),
            alarms=alarms,
        ),
    )


def check_overfitting_epoch(epoch: int, best_epoch: int) -> ExerciseResult:
    """The fifth: the epoch from which a run learns its scans by heart, where validation loss turns."""
    if abs(epoch - best_epoch) <= EPOCH_TOLERANCE:
        return ExerciseResult(
            True,
            say(
                "Validation loss is lowest at epoch {turning}; from there on only training loss falls: learned by "
                "heart.",
                turning=best_epoch,
            ),
        )
    if epoch < best_epoch:
        return ExerciseResult(
            False,
            say(
                "After epoch {epoch} validation loss still falls: what is learned there helps with new scans.",
                epoch=epoch,
            ),
        )
    return ExerciseResult(
        False,
        say("At epoch {epoch} validation loss has been rising for some time: look for its lowest point.", epoch=epoch),
    )


def _explain_average(average: float, numbers: np.ndarray) -> str:
    required = 4 * AVERAGE - MAXIMUM
    others = float(numbers.sum()) - MAXIMUM
    return say(
        "The largest is {MAXIMUM:.4g}, but the average {average:.4g}: the other three sum to {others:.4g}, "
        "and must sum to {wanted:.4g}.",
        MAXIMUM=MAXIMUM,
        average=average,
        others=others,
        wanted=required,
    )
