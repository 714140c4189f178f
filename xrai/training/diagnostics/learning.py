"""Rules on how a run learned: the learning rate, learning by heart, learning too little, learning well."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from xrai.core.language import join_messages, say
from xrai.training.diagnostics.findings import CurveFinding
from xrai.training.diagnostics.history import estimate_noise, mann_kendall_z, nan_median, running_median
from xrai.training.diagnostics.run import FAR_FACTOR, RunCurves

Z_95 = 1.96
"""Standard deviations that chance alone exceeds once in twenty times."""

MIN_LOSS_RISE = 0.10
"""Of its lowest, by which validation loss must have risen: twice what Prechelt's mildest useful rule asks
(“Early stopping – but when?”, 1998: generalisation loss of 5 %), as a wrong alarm costs more here than a late one."""

_BLOW_UP_FACTOR, _JUMP_SHARE, _SWING_LOG_STEP = 2.0, 0.5, 0.35


# ---------------------------------------------------------------- the learning rate


def detect_high_learning_rate(run: RunCurves) -> list[CurveFinding]:
    """The loss broke down, blew up, jumped, stayed at guessing under a huge rate, or swings; the gravest of these.

    - *Broke down*: it was no number any more.
    - *Blew up*: the mean training loss of an epoch above twice that of guessing (ln of the number of classes), which a
      network that merely knows nothing does not reach.
    - *Jumped*: the training loss of an epoch lies above the lowest before it by half of that and by half of the loss of
      guessing. It is a mean over all training scans, so that chance hardly moves it.
    - *Stuck*: poor at the end, its training loss no lower than 0.95 of guessing, with over ten times the usual rate.
    - *Swings*: see `_swings`.
    """
    rules = (_detect_divergence, _detect_blow_up, _detect_jump, _detect_stuck_loss, _detect_oscillation)
    return next(([finding] for rule in rules if (finding := rule(run))), [])


def _detect_divergence(run: RunCurves) -> CurveFinding | None:
    history = run.history
    is_not_finite = ~(np.isfinite(history.train_loss) & np.isfinite(history.val_loss))
    if not is_not_finite.any() and not run.has_diverged:
        return None
    epoch = int(history.epochs[is_not_finite][0]) if is_not_finite.any() else _next_epoch(run)
    sentence = say(
        "In epoch {epoch} the loss was no number any more: the corrections were so large that the weights ran away.",
        epoch=epoch,
    )
    return _high_rate_finding(run, say("The loss broke down"), sentence, span=(epoch, epoch), numbers={"epoch": epoch})


def _detect_blow_up(run: RunCurves) -> CurveFinding | None:
    losses, chance = run.history.train_loss, run.chance_loss
    if not len(losses) or losses.max() <= _BLOW_UP_FACTOR * chance:
        return None
    worst = int(losses.argmax())
    epoch, high = int(run.history.epochs[worst]), float(losses[worst])
    sentence = say(
        "In epoch {epoch} the training loss was {high:.2f}; guessing without a look at the scans costs {chance:.2f}. "
        "The corrections overshoot.",
        epoch=epoch,
        high=high,
        chance=chance,
    )
    return _high_rate_finding(
        run, say("Learning rate too high"), sentence, span=(epoch, epoch), at=(epoch, high),
        numbers={"epoch": epoch, "loss": high, "chance": chance}, is_mild=run.final_median("train", "loss") < 0.5 * chance,
    )  # fmt: skip


def _detect_jump(run: RunCurves) -> CurveFinding | None:
    losses = run.history.train_loss
    if len(losses) < 2:
        return None
    running_minimum = np.minimum.accumulate(losses)[:-1]
    jumps = np.flatnonzero(
        (losses[1:] > (1 + _JUMP_SHARE) * running_minimum) & (losses[1:] - running_minimum > run.chance_loss / 2)
    )
    if not len(jumps):
        return None
    first = int(jumps[0])
    epoch, low, high = int(run.history.epochs[first + 1]), float(running_minimum[first]), float(losses[first + 1])
    sentence = say(
        "In epoch {epoch} the training loss jumped up, from {low:.3f} at its lowest to {high:.3f}: "
        "the corrections overshoot.",
        epoch=epoch,
        low=low,
        high=high,
    )
    return _high_rate_finding(
        run, say("Learning rate too high"), sentence, span=(epoch, epoch), at=(epoch, high),
        numbers={"epoch": epoch, "low": low, "high": high}, is_mild=run.final_median("train", "loss") < low,
    )  # fmt: skip


def _detect_stuck_loss(run: RunCurves) -> CurveFinding | None:
    rate, loss, n = run.learning_rate, run.final_median("train", "loss"), len(run.history)
    is_far_too_high = rate is not None and rate > FAR_FACTOR * run.typical_rate
    if not (is_far_too_high and run.is_poor and loss > 0.95 * run.chance_loss and run.is_half_done and n > 1):
        return None
    sentence = say(
        "After {n} epochs the training loss is {loss:.2f}, as of guessing without a look at the scans, and the "
        "learning rate {rate:g} is far above the usual {usual_rate:g}: every correction undoes the one before.",
        n=n,
        loss=loss,
        rate=rate,
        usual_rate=run.typical_rate,
    )
    return _high_rate_finding(
        run, say("Learning rate too high"), sentence, at=_last_point(run, "train"), numbers={"loss": loss, "rate": rate}
    )


def _detect_oscillation(run: RunCurves) -> CurveFinding | None:
    """Validation loss goes up and down by much more than so few scans explain.

    Typically, by the median, by more than a factor of e^0.35 = 1.4 from one epoch to the next, and by more than three
    times 1/√n of the n validation scans, which is how far chance throws a mean of losses that spread like their mean;
    at least six epochs, of which more than half turn back on the one before.
    """
    history = run.history
    if len(history) < 6 or not history.n_val or history.val_loss.min() <= 0:
        return None
    steps = np.diff(np.log(history.val_loss))
    typical, turns = float(np.median(np.abs(steps))), float(np.mean(steps[1:] * steps[:-1] < 0))
    if typical <= max(_SWING_LOG_STEP, 3 / math.sqrt(history.n_val)) or turns <= 0.5:
        return None
    share = 100 * math.expm1(typical)
    sentence = say(
        "The validation loss swings up and down, typically by {share:.0f} % from one epoch to the next, more than "
        "{n_val:,} scans explain: the corrections are too large to settle.",
        share=share,
        n_val=history.n_val,
    )
    return _high_rate_finding(
        run, say("Swings: learning rate perhaps too high"), sentence, is_mild=True, span=_epoch_span(run)
    )


def _high_rate_finding(
    run: RunCurves, title: str, sentence: str, *, is_mild: bool = False, **details: Any
) -> CurveFinding:
    changes = run.suggest_lower_rate()
    advice = say("Lower “Learning rate” to a tenth, or to the usual one where it is far above that.")
    if is_mild:
        advice = say("Lower “Learning rate” to a tenth: it went on learning, but would probably learn better.")
    return CurveFinding(
        "rate-too-high",
        "notable" if is_mild else "serious",
        title,
        sentence,
        advice,
        "loss",
        changes=changes,
        **details,
    )


def detect_low_learning_rate(run: RunCurves) -> list[CurveFinding]:
    """Poor at the end, as the training loss fell steadily but hardly, or did not move and the rate is far below usual.

    *Hardly*: by less than a tenth. *Steadily*: so sure a trend (Mann's test) that chance gives it once in twenty times.
    A steady one is not blamed on the rate where that is known and above a third of the usual one, and one that does not
    move only where it is known and a tenth of the usual one or less. Says nothing before half of the epochs are over.
    """
    losses, rate, usual, n = run.history.train_loss, run.learning_rate, run.typical_rate, len(run.history)
    first, last = nan_median(losses[:3]), run.final_median("train", "loss")
    if not (run.is_poor or math.isnan(run.final_median("train", "auc"))) or last < 0.9 * first or not run.is_half_done:
        return []
    advice = say("Raise “Learning rate” tenfold, or to the usual one where it is far below that.")
    title, numbers = say("Learning rate too low"), {"first": first, "last": last, "rate": rate}
    details: dict[str, Any] = {
        "chart": "loss",
        "span": _epoch_span(run),
        "changes": run.suggest_higher_rate(),
        "numbers": numbers,
    }
    if mann_kendall_z(losses) < -Z_95 and (rate is None or rate <= usual / 3):
        sentence = say(
            "In {n} epochs the training loss fell steadily, but only from {first:.3f} to {last:.3f}: "
            "the corrections are too small.",
            n=n,
            first=first,
            last=last,
        )
        return [CurveFinding("rate-too-low", "serious", title, sentence, advice, **details)]
    if rate is not None and rate <= usual / FAR_FACTOR:
        sentence = say(
            "In {n} epochs the training loss has hardly moved, from {first:.3f} to {last:.3f}, and the learning rate "
            "{rate:g} is far below the usual {usual:g}: the corrections are too small.",
            n=n,
            first=first,
            last=last,
            rate=rate,
            usual=usual,
        )
        return [CurveFinding("rate-too-low", "serious", title, sentence, advice, **details)]
    return []


# ---------------------------------------------------------------- by heart


def detect_overfitting(run: RunCurves) -> list[CurveFinding]:
    """Validation loss rose for good while training loss went on falling; else, new scans are told apart far worse.

    *Rose for good*: the median of the run's end (the last fifth of the epochs, at least three) lies above the lowest
    running median by `RISE` of it, and by two standard errors. That error holds the noise between epochs, and what
    chance makes of n scans whose losses spread about like their mean; being of the same scans in both, it is cautious.
    *From epoch*: the first after which the running median never again comes as near to its lowest as noise would.
    *Went on falling*: the training loss of the end is below that of the turn by 5 % or more.
    """
    onset = _overfitting_onset(run)
    return _detect_generalization_gap(run) if onset is None else [_overfitting_finding(run, onset)]


def _overfitting_onset(run: RunCurves) -> int | None:
    """The position of the first epoch of overfitting."""
    losses, tail, n_val = run.history.val_loss, run.tail_length, run.history.n_val
    smoothed = running_median(losses)
    lowest, end = float(smoothed.min()), run.final_median("val", "loss")
    if len(losses) < tail + 2 or not n_val or lowest <= 0:
        return None
    noise_std = estimate_noise(losses)
    error = math.sqrt(1.57 * noise_std**2 * (1 / tail + 1 / 3) + lowest * end / n_val)  # π/2: a median for a mean
    if end - lowest <= max(MIN_LOSS_RISE * lowest, 2 * error):
        return None
    near_minimum = lowest + min(max(0.02 * lowest, 0.6 * noise_std), (end - lowest) / 4)
    onset = int(np.flatnonzero(smoothed <= near_minimum)[-1]) + 1
    train_loss_before = nan_median(run.history.train_loss[max(onset - 2, 0) : onset + 1])
    is_train_falling = run.final_median("train", "loss") <= 0.95 * train_loss_before
    return onset if is_train_falling and onset <= len(losses) - tail else None


def _overfitting_finding(run: RunCurves, onset: int) -> CurveFinding:
    history, selected = run.history, run.history.selected_index
    first, last = int(history.epochs[onset]), int(history.epochs[-1])
    train = (nan_median(history.train_loss[max(onset - 2, 0) : onset + 1]), run.final_median("train", "loss"))
    val = (float(running_median(history.val_loss).min()), run.final_median("val", "loss"))
    is_late = selected is not None and selected >= onset
    sentences = [
        say(
            "From about epoch {first} on the validation loss rises, from {val:.3f} to {val2:.3f}, while the training "
            "loss goes on falling, from {train:.3f} to {train2:.3f}: the network learns its training scans by heart.",
            first=first,
            val=val[0],
            val2=val[1],
            train=train[0],
            train2=train[1],
        ),
        *_ranking_sentences(run, onset),
        *_selected_epoch_sentences(run, is_late=is_late),
    ]
    changes, advice = _suggest_regularization(run, is_worse_kept=is_late and not _has_stable_auc(run, onset))
    return CurveFinding(
        "overfitting",
        "serious" if is_late else "notable",
        say("Overfitting from epoch {first}", first=first),
        join_messages(sentences),
        advice,
        "loss",
        (first, last),
        (first, float(running_median(history.val_loss)[onset])),
        changes=changes,
        numbers={"epoch": first, "train": train, "val": val},
    )


def _ranking_sentences(run: RunCurves, onset: int) -> list[str]:
    if not _has_stable_auc(run, onset):
        return []
    area = run.final_median("val", "auc")
    return [
        say(
            "The validation AUC has not fallen ({area:.2f}): "
            "it ranks scans as well as before, but is too sure of its errors.",
            area=area,
        )
    ]


def _selected_epoch_sentences(run: RunCurves, *, is_late: bool) -> list[str]:
    selected = run.history.selected_index
    if selected is None or run.is_active:
        return []
    epoch = int(run.history.epochs[selected])
    if is_late:
        return [say("The weights that are kept are those of epoch {epoch}, after that turn.", epoch=epoch)]
    return [say("The weights that are kept are those of epoch {epoch}, before that turn.", epoch=epoch)]


def _has_stable_auc(run: RunCurves, onset: int) -> bool:
    aucs = run.history.values["val"]["auc"]
    return run.final_median("val", "auc") >= nan_median(aucs[max(onset - 2, 0) : onset + 1]) - 0.005


def _detect_generalization_gap(run: RunCurves) -> list[CurveFinding]:
    """Training AUC lies above even the upper limit of validation's 95 % interval by 0.05 or more, at the end.

    What is done to training scans makes them harder, so that this can hardly come from it. AUC, and not accuracy, as
    it does not depend on how often a class is shown.
    """
    train, val = run.final_median("train", "auc"), run.final_median("val", "auc")
    most = nan_median(run.history.intervals["auc"][-run.tail_length :, 1])
    if not train >= most + 0.05:
        return []
    sentence = say(
        "At the end it tells its training scans apart with an AUC of {train:.2f}, new ones with {val:.2f}, at most "
        "{most:.2f}: much of what it learned is true of its training scans alone.",
        train=train,
        val=val,
        most=most,
    )
    changes, advice = _suggest_regularization(run, is_worse_kept=False)
    title = say("Knows its training scans better than new ones")
    numbers, at = {"train": train, "val": val, "most": most}, _last_point(run, "val", "auc")
    return [
        CurveFinding(
            "overfitting", "notable", title, sentence, advice, "auc", None, at, changes=changes, numbers=numbers
        )
    ]


def _suggest_regularization(run: RunCurves, *, is_worse_kept: bool) -> tuple[dict[str, Any], str]:
    """What makes learning by heart harder, of what was not used yet; the loss as judge where worse weights are kept."""
    config, changes = run.config, {}
    if "augment_strength" in config:
        targets = {"augment_strength": 1.0, "erase_prob": 0.25, "dropout": 0.2, "weight_decay": 0.05}
        changes = _raise_settings(config, targets) or _raise_settings(config, {"mixup_alpha": 0.2, "dropout": 0.4})
        changes |= {"select_by": "loss"} if is_worse_kept and config.get("select_by") != "loss" else {}
    advice = say(
        "More scans help most. Else make learning by heart harder: more “Strength of variation”, “Hidden patches” or "
        "“Mixing of scans”, more “Dropout”, or a smaller network."
    )
    return changes, advice


def _raise_settings(config: Mapping[str, Any], targets: Mapping[str, float]) -> dict[str, Any]:
    return {name: value for name, value in targets.items() if config.get(name, value) < value}


# ---------------------------------------------------------------- too little, and well


def detect_underfitting(run: RunCurves) -> list[CurveFinding]:
    """Poor even on training scans and no longer falling; or both losses still falling when the run was finished.

    *Still falling*: over the last third of the epochs (at least four) the training loss falls with a trend that chance
    gives once in twenty times and validation loss with one that it gives once in ten, the latter by 5 % or more from
    the beginning to the end of them; and a tenth of the loss of guessing is left to gain.
    """
    if run.is_active or not run.is_half_done:
        return []
    window = max(4, len(run.history) // 3)
    n_edge = max(2, window // 3)
    train, val = run.history.train_loss[-window:], run.history.val_loss[-window:]
    start, end = nan_median(val[:n_edge]), nan_median(val[-n_edge:])
    if (
        mann_kendall_z(train) < -Z_95
        and mann_kendall_z(val) < -1.64
        and end <= 0.95 * start
        and end > 0.1 * run.chance_loss
    ):
        return [_still_learning_finding(run, window, start, end)]
    return [_underfitting_finding(run)] if run.is_poor else []


def _still_learning_finding(run: RunCurves, window: int, start: float, end: float) -> CurveFinding:
    epochs = int(run.history.epochs[-1])
    first, more = epochs - window + 1, min(2 * max(run.history.planned_epochs, epochs), 1000)
    sentence = say(
        "Training and validation loss still fall together at the end, validation from {start:.3f} to {end:.3f} over "
        "the last {window} epochs: it has not learned all that it could.",
        start=start,
        end=end,
        window=window,
    )
    advice = say("Train longer: double “Epochs”, or raise “Learning rate” a little.")
    return CurveFinding(
        "underfitting", "notable", say("Still learning when it ended"), sentence, advice, "loss", (first, epochs),
        _last_point(run, "val"), changes={"epochs": more} if run.config else {},
        numbers={"start": start, "end": end, "window": window},
    )  # fmt: skip


def _underfitting_finding(run: RunCurves) -> CurveFinding:
    n, area, loss = len(run.history), run.final_median("train", "auc"), run.final_median("train", "loss")
    sentence = say(
        "After {n} epochs it tells even its training scans apart poorly, with an AUC of {area:.2f} and a loss of "
        "{loss:.3f}: it has learned little.",
        n=n,
        area=area,
        loss=loss,
    )
    advice = say(
        "Train longer (“Epochs”), with a larger network (“Network”) on finer pictures (“Image size”), or a higher "
        "“Learning rate”. If that does not help, the difference may not be visible in these scans."
    )
    return CurveFinding(
        "underfitting", "serious", say("Has learned little"), sentence, advice, "loss", _epoch_span(run), _last_point(run, "train"),
        changes=_suggest_larger_network(run), numbers={"auc": area, "loss": loss},
    )  # fmt: skip


def _suggest_larger_network(run: RunCurves) -> dict[str, Any]:
    config, changes = run.config, {}
    if not config:
        return {}
    if run.history.planned_epochs < 25:
        changes["epochs"] = 25
    if config.get("image_size", 128) < 128:
        changes["image_size"] = 128
    if config.get("network") == "convnet" and not changes:
        changes["network"] = "resnet18"
    return changes or run.suggest_higher_rate()


def report_no_problem(run: RunCurves, *, has_few_scans: bool) -> list[CurveFinding]:
    """Nothing else was found: it learned, as validation loss fell by `RISE` or more; or its curves are simply calm.

    Args:
        run: the run.
        few: whether validation has so few scans that not much can be said.
    """
    losses, area = run.history.val_loss, run.final_median("val", "auc")
    start, best = nan_median(losses[:2]), float(running_median(losses).min())
    if best <= (1 - MIN_LOSS_RISE) * start and math.isfinite(area):
        title, sentence = (
            say("Learns well"),
            say(
                "The validation loss fell along with the training loss, from {start:.3f} to {best:.3f}, and the "
                "validation AUC is {area:.3f} at the end: it learns what holds for new scans too.",
                start=start,
                best=best,
                area=area,
            ),
        )
        if has_few_scans:
            title, sentence = (
                say("Learns, as far as so few scans can tell"),
                say(
                    "The validation loss fell along with the training loss, from {start:.3f} to {best:.3f}, and the "
                    "validation AUC is {area:.3f} at the end; with so few validation scans both may be luck.",
                    start=start,
                    best=best,
                    area=area,
                ),
            )
        third = len(losses) // 3
        at, label = (int(run.history.epochs[third]), float(losses[third])), say("Both lines fall together")
        numbers = {"start": start, "best": best, "auc": area}
        return [
            CurveFinding("learning-well", "fine", title, sentence, "", "loss", None, at, label=label, numbers=numbers)
        ]
    sentence = say(
        "Nothing in these curves speaks for learning by heart, for too little learning or for a wrong learning rate."
    )
    return [CurveFinding("calm", "fine", say("Nothing stands out"), sentence, chart="loss")]


# ---------------------------------------------------------------- where


def _epoch_span(run: RunCurves) -> tuple[int, int]:
    return int(run.history.epochs[0]), int(run.history.epochs[-1])


def _last_point(run: RunCurves, split: str, name: str = "loss") -> tuple[float, float]:
    return float(run.history.epochs[-1]), float(run.history.values[split][name][-1])


def _next_epoch(run: RunCurves) -> int:
    return int(run.history.epochs[-1]) + 1 if len(run.history) else run.history.freeze_epochs + 1
