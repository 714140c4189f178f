"""Diagnostics on the learning rate: too high (divergence, jumps, oscillation) or too low."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xrai.core.language import say
from xrai.training.diagnostics.findings import CurveFinding
from xrai.training.diagnostics.history import mann_kendall_z, nan_median
from xrai.training.diagnostics.run import FAR_FACTOR, RunCurves

Z_95 = 1.96
"""Standard deviations that a series without a trend exceeds once in twenty times."""

_BLOW_UP_FACTOR = 2.0
_JUMP_SHARE = 0.5
_SWING_LOG_STEP = 0.35


def detect_high_learning_rate(run: RunCurves) -> list[CurveFinding]:
    """The most severe sign of a learning rate that is too high, if any.

    - *Diverged*: the loss was not finite any more.
    - *Blew up*: the mean training loss of an epoch is above twice the chance loss (ln of the number of classes), which
      a network that knows nothing does not reach.
    - *Jumped*: the training loss of an epoch exceeds the lowest before it by half of that and by half of the chance
      loss. It is a mean over all training scans, so that it has little noise.
    - *Stuck*: poor at the end, training loss at least 0.95 of the chance loss, and over ten times the typical rate.
    - *Oscillates*: see `_detect_oscillation`.
    """
    rules = (_detect_divergence, _detect_blow_up, _detect_jump, _detect_stuck_loss, _detect_oscillation)
    return next(([finding] for rule in rules if (finding := rule(run))), [])


def _detect_divergence(run: RunCurves) -> CurveFinding | None:
    if not run.has_diverged:
        return None
    epoch = run.history.last_epoch + 1 if len(run.history) else run.history.freeze_epochs + 1
    sentence = say(
        "In epoch {epoch} the loss was not finite any more: the corrections were so large that the weights ran away.",
        epoch=epoch,
    )
    return _high_rate_finding(run, say("The loss broke down"), sentence, span=(epoch, epoch), numbers={"epoch": epoch})


def _detect_blow_up(run: RunCurves) -> CurveFinding | None:
    losses = run.history.train_loss
    if not len(losses) or losses.max() <= _BLOW_UP_FACTOR * run.chance_loss:
        return None
    epoch, loss = run.history.point(int(losses.argmax()), "train")
    numbers = {"epoch": epoch, "loss": loss, "chance": run.chance_loss}
    sentence = say(
        "In epoch {epoch} the training loss was {loss:.2f}; guessing without a look at the scans costs {chance:.2f}. "
        "The corrections overshoot.",
        **numbers,
    )
    is_mild = run.final_median("train", "loss") < 0.5 * run.chance_loss
    return _high_rate_finding(
        run,
        say("Learning rate too high"),
        sentence,
        span=(epoch, epoch),
        at=(epoch, loss),
        numbers=numbers,
        is_mild=is_mild,
    )


def _detect_jump(run: RunCurves) -> CurveFinding | None:
    losses = run.history.train_loss
    if len(losses) < 2:
        return None
    lowest = np.minimum.accumulate(losses)[:-1]
    jumps = (losses[1:] > (1 + _JUMP_SHARE) * lowest) & (losses[1:] - lowest > run.chance_loss / 2)
    if not jumps.any():
        return None
    first = int(np.flatnonzero(jumps)[0])
    low = float(lowest[first])
    epoch, high = run.history.point(first + 1, "train")
    numbers = {"epoch": epoch, "low": low, "high": high}
    sentence = say(
        "In epoch {epoch} the training loss jumped up, from {low:.3f} at its lowest to {high:.3f}: "
        "the corrections overshoot.",
        **numbers,
    )
    is_mild = run.final_median("train", "loss") < low
    return _high_rate_finding(
        run,
        say("Learning rate too high"),
        sentence,
        span=(epoch, epoch),
        at=(epoch, high),
        numbers=numbers,
        is_mild=is_mild,
    )


def _detect_stuck_loss(run: RunCurves) -> CurveFinding | None:
    rate = run.learning_rate
    loss = run.final_median("train", "loss")
    n = len(run.history)
    is_far_too_high = rate is not None and rate > FAR_FACTOR * run.typical_rate
    if not (is_far_too_high and run.is_poor and loss > 0.95 * run.chance_loss and run.is_half_done and n > 1):
        return None
    numbers = {"loss": loss, "rate": rate}
    sentence = say(
        "After {n} epochs the training loss is {loss:.2f}, as of guessing without a look at the scans, and the "
        "learning rate {rate:g} is far above the usual {typical_rate:g}: every correction undoes the one before.",
        n=n,
        typical_rate=run.typical_rate,
        **numbers,
    )
    return _high_rate_finding(
        run, say("Learning rate too high"), sentence, at=run.history.point(-1, "train"), numbers=numbers
    )


def _detect_oscillation(run: RunCurves) -> CurveFinding | None:
    """Validation loss oscillates by more than its few scans explain.

    The median step from one epoch to the next exceeds a factor of e^0.35 = 1.4 and three times 1/√n of the n
    validation scans, the standard error of a mean of losses whose spread equals their mean; at least six epochs, and
    more than half of the steps reverse the one before.
    """
    history = run.history
    if len(history) < 6 or not history.n_val or history.val_loss.min() <= 0:
        return None
    steps = np.diff(np.log(history.val_loss))
    typical_step = float(np.median(np.abs(steps)))
    reversals = float(np.mean(steps[1:] * steps[:-1] < 0))
    if typical_step <= max(_SWING_LOG_STEP, 3 / math.sqrt(history.n_val)) or reversals <= 0.5:
        return None
    sentence = say(
        "The validation loss swings up and down, typically by {percent:.0f} % from one epoch to the next, more than "
        "{n:,} scans explain: the corrections are too large to settle.",
        percent=100 * math.expm1(typical_step),
        n=history.n_val,
    )
    span = (history.first_epoch, history.last_epoch)
    return _high_rate_finding(run, say("Swings: learning rate perhaps too high"), sentence, is_mild=True, span=span)


def _high_rate_finding(
    run: RunCurves, title: str, sentence: str, *, is_mild: bool = False, **details: Any
) -> CurveFinding:
    if is_mild:
        advice = say("Lower “Learning rate” to a tenth: it went on learning, but would probably learn better.")
    else:
        advice = say("Lower “Learning rate” to a tenth, or to the usual one where it is far above that.")
    severity = "notable" if is_mild else "serious"
    changes = run.suggest_lower_rate()
    return CurveFinding("rate-too-high", severity, title, sentence, advice, "loss", changes=changes, **details)


def detect_low_learning_rate(run: RunCurves) -> list[CurveFinding]:
    """Poor at the end, and the training loss fell by less than a tenth; not before half of the epochs are over.

    Either it fell steadily (Mann–Kendall trend, 5 %) and the rate is unknown or at most a third of the typical one;
    or it did not move and the rate is known and at most a tenth of the typical one.
    """
    losses = run.history.train_loss
    rate = run.learning_rate
    first = nan_median(losses[:3])
    last = run.final_median("train", "loss")
    is_poor = run.is_poor or math.isnan(run.final_median("train", "auc"))
    if not is_poor or last < 0.9 * first or not run.is_half_done:
        return []
    numbers = {"first": first, "last": last, "rate": rate}
    if mann_kendall_z(losses) < -Z_95 and (rate is None or rate <= run.typical_rate / 3):
        sentence = say(
            "In {n} epochs the training loss fell steadily, but only from {first:.3f} to {last:.3f}: "
            "the corrections are too small.",
            n=len(losses),
            first=first,
            last=last,
        )
    elif rate is not None and rate <= run.typical_rate / FAR_FACTOR:
        sentence = say(
            "In {n} epochs the training loss has hardly moved, from {first:.3f} to {last:.3f}, and the learning rate "
            "{rate:g} is far below the usual {typical_rate:g}: the corrections are too small.",
            n=len(losses),
            typical_rate=run.typical_rate,
            **numbers,
        )
    else:
        return []
    return [
        CurveFinding(
            "rate-too-low",
            "serious",
            say("Learning rate too low"),
            sentence,
            say("Raise “Learning rate” tenfold, or to the usual one where it is far below that."),
            "loss",
            span=(run.history.first_epoch, run.history.last_epoch),
            changes=run.suggest_higher_rate(),
            numbers=numbers,
        )
    ]
