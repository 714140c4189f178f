"""Checks of the manual's five exercises: each says how far the user's attempt is from the solution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from xrai.core.language import say
from xrai.manual.convolution import output_size

SIDE = 224
TARGET_SIDE = 112
"""Exercise 2: side of the input, and of the required output."""

MAXIMUM = 5.0
AVERAGE = 2.0
"""Exercise 3: required results of max and average pooling."""

PNEUMONIA_PROBABILITIES = (0.35, 0.41, 0.55, 0.66, 0.74, 0.82, 0.88, 0.91, 0.93, 0.97)
NORMAL_PROBABILITIES = (0.02, 0.04, 0.07, 0.11, 0.15, 0.22, 0.30, 0.38, 0.46, 0.58)
"""Exercise 4: made-up predicted probabilities of pneumonia of twenty patients."""

EPOCH_TOLERANCE = 2
"""Exercise 5: accepted distance in epochs from the solution, as curves are noisy."""


@dataclass(frozen=True)
class ExerciseResult:
    """The result of an exercise.

    Attributes:
        is_solved: whether the attempt is a solution.
        sentence: what the attempt does and, unless it is solved, what to try.
    """

    is_solved: bool
    sentence: str


def check_zero_sum_filter(kernel: ArrayLike) -> ExerciseResult:
    """Exercise 1: a filter that gives 0 for an even region, so one whose numbers sum to 0."""
    numbers = np.asarray(kernel, float)
    total = float(numbers.sum())
    if not numbers.any():
        return _unsolved(
            say("All zeros turn everything black, edges too: put a number in, and take as much away again.")
        )
    if abs(total) < 1e-9:
        return _solved(
            say("The numbers sum to 0, so that an even region gives 0: only where the grey changes something is left.")
        )
    if total < 0:
        return _unsolved(
            say(
                "The numbers sum to {total:.4g}: an even region of grey 100 becomes {result:.4g}. Below 0 is drawn "
                "black here, but it is not 0: make the sum 0.",
                total=total,
                result=100 * total,
            )
        )
    return _unsolved(
        say(
            "The numbers sum to {total:.4g}, so an even region of grey 100 becomes {result:.4g}: make the sum 0.",
            total=total,
            result=100 * total,
        )
    )


def check_halving_layer(kernel: int, stride: int, padding: int) -> ExerciseResult:
    """Exercise 2: a layer with an output of 112 pixels for an input of 224."""
    side = output_size(SIDE, kernel, stride, padding)
    if side == TARGET_SIDE:
        return _solved(
            say("The layer makes {side} × {side} of {input} × {input}: a quarter of the values.", side=side, input=SIDE)
        )
    if side > 2 * TARGET_SIDE - 10:
        return _unsolved(say("That makes {side} × {side}: a larger stride takes fewer steps.", side=side))
    if abs(side - TARGET_SIDE) < 5:
        return _unsolved(
            say("That makes {side} × {side}, nearly there: the padding adds pixels at the border.", side=side)
        )
    return _unsolved(say("That makes {side} × {side}, too small: a smaller stride takes more steps.", side=side))


def check_pooling_window(window: ArrayLike) -> ExerciseResult:
    """Exercise 3: four numbers whose maximum is 5 and whose average is 2."""
    numbers = np.asarray(window, float)
    largest, average = float(numbers.max()), float(numbers.mean())
    if abs(largest - MAXIMUM) >= 1e-9:
        return _unsolved(
            say(
                "Max pooling gives {largest:.4g}: make the largest of the four {maximum:.4g}.",
                largest=largest,
                maximum=MAXIMUM,
            )
        )
    if abs(average - AVERAGE) < 1e-9:
        return _solved(
            say(
                "Max pooling keeps {largest:.4g}, average pooling {average:.4g}: the first keeps a small bright spot.",
                largest=largest,
                average=average,
            )
        )
    return _unsolved(
        say(
            "The largest is {maximum:.4g}, but the average {average:.4g}: the other three sum to {others:.4g}, "
            "and must sum to {required:.4g}.",
            maximum=MAXIMUM,
            average=average,
            others=float(numbers.sum()) - MAXIMUM,
            required=4 * AVERAGE - MAXIMUM,
        )
    )


def check_threshold(threshold: float) -> ExerciseResult:
    """Exercise 4: the threshold without false negatives that has the fewest false positives."""
    missed = sum(p < threshold for p in PNEUMONIA_PROBABILITIES)
    alarms = sum(p >= threshold for p in NORMAL_PROBABILITIES)
    min_alarms = sum(p >= min(PNEUMONIA_PROBABILITIES) for p in NORMAL_PROBABILITIES)
    n_sick, n_healthy = len(PNEUMONIA_PROBABILITIES), len(NORMAL_PROBABILITIES)
    if missed:
        return _unsolved(
            say("Of {n} with pneumonia, missed: {missed}. Move the threshold down.", n=n_sick, missed=missed)
        )
    if alarms > min_alarms:
        return _unsolved(
            say(
                "Nobody is missed, but of {n} without, false alarms: {alarms}. It goes with fewer.",
                n=n_healthy,
                alarms=alarms,
            )
        )
    return _solved(
        say(
            "Nobody is missed, and of {n} without, false alarms: {alarms}. No threshold does better.",
            n=n_healthy,
            alarms=alarms,
        )
    )


def check_overfitting_epoch(epoch: int, best_epoch: int) -> ExerciseResult:
    """Exercise 5: the epoch at which overfitting starts, where validation loss is lowest."""
    if abs(epoch - best_epoch) <= EPOCH_TOLERANCE:
        return _solved(
            say(
                "Validation loss is lowest at epoch {best_epoch}; from there on only training loss falls: learned by "
                "heart.",
                best_epoch=best_epoch,
            )
        )
    if epoch < best_epoch:
        return _unsolved(
            say(
                "After epoch {epoch} validation loss still falls: what is learned there helps with new scans.",
                epoch=epoch,
            )
        )
    return _unsolved(
        say("At epoch {epoch} validation loss has been rising for some time: look for its lowest point.", epoch=epoch)
    )


def _solved(sentence: str) -> ExerciseResult:
    return ExerciseResult(is_solved=True, sentence=sentence)


def _unsolved(sentence: str) -> ExerciseResult:
    return ExerciseResult(is_solved=False, sentence=sentence)
