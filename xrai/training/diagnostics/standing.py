"""How a run stands: too early to say, which epoch is kept, how it ended."""

from __future__ import annotations

from xrai.core.language import join_messages, say
from xrai.training.diagnostics.findings import CurveFinding
from xrai.training.diagnostics.learning import detect_high_learning_rate
from xrai.training.diagnostics.run import RunCurves

_SUGGESTED_EPOCHS = 10


def report_too_early(run: RunCurves) -> list[CurveFinding]:
    """Fewer epochs than a trend can be told from chance in; a rate far too high may be seen in them all the same."""
    rate_findings = detect_high_learning_rate(run)
    n, title = len(run.history), say("Too early to say")
    sentences = {
        0: say("No epoch of the whole network is over yet: there is nothing to read."),
        1: say("One epoch is over: a single point makes no line."),
    }
    sentence = sentences.get(
        n, say("Only {n} epochs of the whole network are over: too few to tell a trend from chance.", n=n)
    )
    suggested_changes = (
        {"epochs": _SUGGESTED_EPOCHS} if run.config and run.config.get("epochs", 0) < _SUGGESTED_EPOCHS else {}
    )
    advice = say("Wait for some more epochs.") if run.is_active else say("Train for more “Epochs”: ten tell more.")
    if run.has_diverged:
        return rate_findings
    return [
        *rate_findings,
        CurveFinding("too-early", "open", title, sentence, advice, changes={} if run.is_active else suggested_changes),
    ]


def report_selected_epoch(run: RunCurves) -> list[CurveFinding]:
    """Which epoch's weights are kept, and why."""
    index = run.history.selected_index
    if index is None or run.is_active or len(run.history) < 2:
        return []
    epoch, n = int(run.history.epochs[index]), int(run.history.epochs[-1])
    sentence = {
        "loss": say(
            "Of {n} epochs the weights of epoch {epoch} are kept: its validation loss was the lowest.", n=n, epoch=epoch
        ),
        "last": say("Of {n} epochs the weights of the last one are kept, as was asked for.", n=n),
    }.get(
        str(run.config.get("select_by", "auc")),
        say("Of {n} epochs the weights of epoch {epoch} are kept: its validation AUC was the best.", n=n, epoch=epoch),
    )
    at = (epoch, float(run.history.val_loss[index]))
    return [
        CurveFinding(
            "kept",
            "fine",
            say("Epoch {epoch} is kept", epoch=epoch),
            sentence,
            chart="loss",
            at=at,
            numbers={"epoch": epoch},
        )
    ]


def report_ending(run: RunCurves) -> list[CurveFinding]:
    """That it still goes on, stopped early because nothing better came, or broke off."""
    n = int(run.history.epochs[-1]) if len(run.history) else 0
    planned, reason = run.history.planned_epochs, run.history.end_reason
    if run.is_active and n:
        sentence = say("Epoch {n} of {planned} is over: what is said here may still change.", n=n, planned=planned)
        return [CurveFinding("running", "open", say("Still running"), sentence)]
    if reason == "early":
        sentence = say("Early stopping ended the run after epoch {n} of {planned}.", n=n, planned=planned)
        if patience := run.config.get("patience"):
            sentence = say(
                "Early stopping ended the run after epoch {n} of {planned}: {patience} epochs in a row were no better.",
                n=n,
                planned=planned,
                patience=patience,
            )
        return [CurveFinding("early", "fine", say("Stopped early"), sentence)]
    if not run.is_active and not run.has_diverged and 0 < n < planned:
        sentences = [say("The run broke off after epoch {n} of {planned}.", n=n, planned=planned)]
        if run.config.get("schedule", "constant") != "constant":
            sentences += [say("The learning rate had not come down yet, which is when a model gains most.")]
        return [
            CurveFinding(
                "broken-off",
                "open",
                say("Not run to its end"),
                join_messages(sentences),
                say("Let it go on: “Go on training” on Train."),
            )
        ]
    return []
