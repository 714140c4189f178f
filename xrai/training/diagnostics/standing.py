"""Diagnostics on status: nothing found, too few epochs, selected epoch, early stopping, interruption."""

from __future__ import annotations

import math

from xrai.core.language import join_messages, say
from xrai.training.diagnostics.findings import CurveFinding
from xrai.training.diagnostics.history import nan_median, running_median
from xrai.training.diagnostics.learning_rate import detect_high_learning_rate
from xrai.training.diagnostics.overfitting import MIN_LOSS_RISE
from xrai.training.diagnostics.run import RunCurves

_SUGGESTED_EPOCHS = 10


def report_no_problem(run: RunCurves, *, has_few_scans: bool) -> list[CurveFinding]:
    """No other finding: it learned, as validation loss fell by `MIN_LOSS_RISE` or more; or nothing stands out.

    Args:
        run: the run.
        has_few_scans: whether the validation set is too small for conclusions.
    """
    losses = run.history.val_loss
    numbers = {
        "start": nan_median(losses[:2]),
        "best": float(running_median(losses).min()),
        "auc": run.final_median("val", "auc"),
    }
    if numbers["best"] > (1 - MIN_LOSS_RISE) * numbers["start"] or not math.isfinite(numbers["auc"]):
        sentence = say(
            "Nothing in these curves speaks for learning by heart, for too little learning or for a wrong learning "
            "rate."
        )
        return [CurveFinding("calm", "fine", say("Nothing stands out"), sentence, chart="loss")]
    title = say("Learns well")
    sentence = say(
        "The validation loss fell along with the training loss, from {start:.3f} to {best:.3f}, and the "
        "validation AUC is {auc:.3f} at the end: it learns what holds for new scans too.",
        **numbers,
    )
    if has_few_scans:
        title = say("Learns, as far as so few scans can tell")
        sentence = say(
            "The validation loss fell along with the training loss, from {start:.3f} to {best:.3f}, and the "
            "validation AUC is {auc:.3f} at the end; with so few validation scans both may be luck.",
            **numbers,
        )
    at, label = run.history.point(len(losses) // 3, "val"), say("Both lines fall together")
    return [CurveFinding("learning-well", "fine", title, sentence, chart="loss", at=at, label=label, numbers=numbers)]


def report_too_early(run: RunCurves) -> list[CurveFinding]:
    """Too few epochs for a trend; a learning rate that is far too high may show all the same."""
    findings = detect_high_learning_rate(run)
    if run.has_diverged:
        return findings
    n = len(run.history)
    sentences = {
        0: say("No epoch of the whole network is over yet: there is nothing to read."),
        1: say("One epoch is over: a single point makes no line."),
    }
    many = say("Only {n} epochs of the whole network are over: too few to tell a trend from chance.", n=n)
    advice = say("Wait for some more epochs.") if run.is_active else say("Train for more “Epochs”: ten tell more.")
    has_few_planned = run.config is not None and run.config.epochs < _SUGGESTED_EPOCHS
    changes = {"epochs": _SUGGESTED_EPOCHS} if has_few_planned and not run.is_active else {}
    title = say("Too early to say")
    return [*findings, CurveFinding("too-early", "open", title, sentences.get(n, many), advice, changes=changes)]


def report_selected_epoch(run: RunCurves) -> list[CurveFinding]:
    """Which epoch's weights are kept, and why."""
    index = run.history.selected_index
    if index is None or run.is_active or len(run.history) < 2:
        return []
    epoch, loss = run.history.point(index, "val")
    n = run.history.last_epoch
    keep = run.config.select_by if run.config else "auc"
    if keep == "last":
        sentence = say("Of {n} epochs the weights of the last one are kept, as was asked for.", n=n)
    elif keep == "loss":
        sentence = say(
            "Of {n} epochs the weights of epoch {epoch} are kept: its validation loss was the lowest.", n=n, epoch=epoch
        )
    else:
        sentence = say(
            "Of {n} epochs the weights of epoch {epoch} are kept: its validation AUC was the best.", n=n, epoch=epoch
        )
    title = say("Epoch {epoch} is kept", epoch=epoch)
    return [CurveFinding("kept", "fine", title, sentence, chart="loss", at=(epoch, loss), numbers={"epoch": epoch})]


def report_ending(run: RunCurves) -> list[CurveFinding]:
    """That the run is still active, stopped early, or was interrupted."""
    n, planned = run.history.last_epoch, run.history.planned_epochs
    if run.is_active and n:
        sentence = say("Epoch {n} of {planned} is over: what is said here may still change.", n=n, planned=planned)
        return [CurveFinding("running", "open", say("Still running"), sentence)]
    if run.history.end_reason == "early":
        return [CurveFinding("early", "fine", say("Stopped early"), _early_stopping_sentence(run))]
    if run.is_active or run.has_diverged or not 0 < n < planned:
        return []
    sentences = [say("The run broke off after epoch {n} of {planned}.", n=n, planned=planned)]
    if run.config and run.config.schedule != "constant":
        sentences.append(say("The learning rate had not come down yet, which is when a model gains most."))
    advice = say("Let it go on: “Go on training” on Train.")
    return [CurveFinding("broken-off", "open", say("Not run to its end"), join_messages(sentences), advice)]


def _early_stopping_sentence(run: RunCurves) -> str:
    n, planned = run.history.last_epoch, run.history.planned_epochs
    if not run.config or not run.config.patience:
        return say("Early stopping ended the run after epoch {n} of {planned}.", n=n, planned=planned)
    return say(
        "Early stopping ended the run after epoch {n} of {planned}: {patience} epochs in a row were no better.",
        n=n,
        planned=planned,
        patience=run.config.patience,
    )
