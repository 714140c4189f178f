"""Diagnostics on underfitting: poor on training scans too, or both losses still falling at the end."""

from __future__ import annotations

from typing import Any

from xrai.core.language import say
from xrai.training.diagnostics.findings import CurveFinding
from xrai.training.diagnostics.history import mann_kendall_z, nan_median
from xrai.training.diagnostics.learning_rate import Z_95
from xrai.training.diagnostics.run import RunCurves

Z_90 = 1.64
"""Standard deviations that a series without a trend exceeds once in ten times."""


def detect_underfitting(run: RunCurves) -> list[CurveFinding]:
    """Poor even on training scans and no longer falling; or both losses still falling when the run was finished.

    *Still falling*: over the last third of the epochs (at least four) the training loss has a falling Mann–Kendall
    trend at 5 %, and validation loss at 10 %; validation loss fell by 5 % or more, and is above a tenth of the chance
    loss.
    """
    if run.is_active or not run.is_half_done:
        return []
    window = max(4, len(run.history) // 3)
    n_edge = max(2, window // 3)
    train = run.history.train_loss[-window:]
    val = run.history.val_loss[-window:]
    start, end = nan_median(val[:n_edge]), nan_median(val[-n_edge:])
    is_falling = mann_kendall_z(train) < -Z_95 and mann_kendall_z(val) < -Z_90
    if is_falling and end <= 0.95 * start and end > 0.1 * run.chance_loss:
        return [_still_learning_finding(run, {"start": start, "end": end, "window": window})]
    return [_underfitting_finding(run)] if run.is_poor else []


def _still_learning_finding(run: RunCurves, numbers: dict[str, Any]) -> CurveFinding:
    last = run.history.last_epoch
    more_epochs = min(2 * max(run.history.planned_epochs, last), 1000)
    sentence = say(
        "Training and validation loss still fall together at the end, validation from {start:.3f} to {end:.3f} over "
        "the last {window} epochs: it has not learned all that it could.",
        **numbers,
    )
    return CurveFinding(
        "underfitting",
        "notable",
        say("Still learning when it ended"),
        sentence,
        say("Train longer: double “Epochs”, or raise “Learning rate” a little."),
        "loss",
        span=(last - numbers["window"] + 1, last),
        at=run.history.point(-1, "val"),
        changes={"epochs": more_epochs} if run.config else {},
        numbers=numbers,
    )


def _underfitting_finding(run: RunCurves) -> CurveFinding:
    numbers = {"auc": run.final_median("train", "auc"), "loss": run.final_median("train", "loss")}
    sentence = say(
        "After {n} epochs it tells even its training scans apart poorly, with an AUC of {auc:.2f} and a loss of "
        "{loss:.3f}: it has learned little.",
        n=len(run.history),
        **numbers,
    )
    advice = say(
        "Train longer (“Epochs”), with a larger “Network architecture” on finer images (“Image size”), or a higher "
        "“Learning rate”. If that does not help, the difference may not be visible in these scans."
    )
    return CurveFinding(
        "underfitting",
        "serious",
        say("Has learned little"),
        sentence,
        advice,
        "loss",
        span=(run.history.first_epoch, run.history.last_epoch),
        at=run.history.point(-1, "train"),
        changes=_suggest_larger_network(run),
        numbers=numbers,
    )


def _suggest_larger_network(run: RunCurves) -> dict[str, Any]:
    config = run.config
    changes: dict[str, Any] = {}
    if config is None:
        return changes
    if run.history.planned_epochs < 25:
        changes["epochs"] = 25
    if config.image_size < 128:
        changes["image_size"] = 128
    if config.network == "convnet" and not changes:
        changes["network"] = "resnet18"
    return changes or run.suggest_higher_rate()
