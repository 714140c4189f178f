"""Diagnostics on overfitting: rising validation loss, and the generalization gap in AUC."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from xrai.core.language import join_messages, say
from xrai.training.config import TrainConfig
from xrai.training.diagnostics.findings import CurveFinding
from xrai.training.diagnostics.history import estimate_noise, nan_median, running_median
from xrai.training.diagnostics.run import RunCurves

MIN_LOSS_RISE = 0.10
"""Share of its minimum by which validation loss must have risen: twice the 5 % generalisation loss of Prechelt
(“Early stopping – but when?”, 1998), since a false alarm costs more here than a late one."""


def detect_overfitting(run: RunCurves) -> list[CurveFinding]:
    """Validation loss rose while training loss went on falling; else, a generalization gap in AUC.

    *Rose*: the median of the run's end (the last fifth of the epochs, at least three) lies above the minimum of the
    running median by `MIN_LOSS_RISE` of it, and by two standard errors. That error holds the noise between epochs and
    the sampling error of n scans whose losses spread about like their mean; it is cautious, as the scans are the same.
    *Onset*: the first epoch after which the running median stays above its minimum by more than noise.
    *Went on falling*: the training loss of the end is below that of the onset by 5 % or more.
    """
    onset = _overfitting_onset(run)
    return _detect_generalization_gap(run) if onset is None else [_overfitting_finding(run, onset)]


def _overfitting_onset(run: RunCurves) -> int | None:
    """Index of the first epoch of overfitting."""
    losses = run.history.val_loss
    tail, n_val = run.tail_length, run.history.n_val
    smoothed = running_median(losses)
    lowest = float(smoothed.min())
    end = run.final_median("val", "loss")
    if len(losses) < tail + 2 or not n_val or lowest <= 0:
        return None
    noise_std = estimate_noise(losses)
    error = math.sqrt(1.57 * noise_std**2 * (1 / tail + 1 / 3) + lowest * end / n_val)  # π/2: a median for a mean
    if end - lowest <= max(MIN_LOSS_RISE * lowest, 2 * error):
        return None
    near_minimum = lowest + min(max(0.02 * lowest, 0.6 * noise_std), (end - lowest) / 4)
    onset = int(np.flatnonzero(smoothed <= near_minimum)[-1]) + 1
    is_train_falling = run.final_median("train", "loss") <= 0.95 * _median_around(run.history.train_loss, onset)
    return onset if is_train_falling and onset <= len(losses) - tail else None


def _overfitting_finding(run: RunCurves, onset: int) -> CurveFinding:
    history = run.history
    selected = history.selected_index
    smoothed = running_median(history.val_loss)
    first = int(history.epochs[onset])
    train = (_median_around(history.train_loss, onset), run.final_median("train", "loss"))
    val = (float(smoothed.min()), run.final_median("val", "loss"))
    is_late = selected is not None and selected >= onset
    sentence = say(
        "From about epoch {epoch} on the validation loss rises, from {val_before:.3f} to {val_after:.3f}, while the "
        "training loss goes on falling, from {train_before:.3f} to {train_after:.3f}: the network learns its training "
        "scans by heart.",
        epoch=first,
        val_before=val[0],
        val_after=val[1],
        train_before=train[0],
        train_after=train[1],
    )
    sentences = [sentence, *_ranking_sentences(run, onset), *_selected_epoch_sentences(run, is_late=is_late)]
    changes, advice = _suggest_regularization(run, select_by_loss=is_late and not _has_stable_auc(run, onset))
    return CurveFinding(
        "overfitting",
        "serious" if is_late else "notable",
        say("Overfitting from epoch {epoch}", epoch=first),
        join_messages(sentences),
        advice,
        "loss",
        span=(first, history.last_epoch),
        at=(first, float(smoothed[onset])),
        changes=changes,
        numbers={"epoch": first, "train": train, "val": val},
    )


def _ranking_sentences(run: RunCurves, onset: int) -> list[str]:
    if not _has_stable_auc(run, onset):
        return []
    return [
        say(
            "The validation AUC has not fallen ({auc:.2f}): "
            "it ranks scans as well as before, but is too sure of its errors.",
            auc=run.final_median("val", "auc"),
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
    return run.final_median("val", "auc") >= _median_around(run.history.values["val"]["auc"], onset) - 0.005


def _median_around(values: np.ndarray, onset: int) -> float:
    return nan_median(values[max(onset - 2, 0) : onset + 1])


def _detect_generalization_gap(run: RunCurves) -> list[CurveFinding]:
    """At the end, training AUC exceeds the upper limit of validation's 95 % interval by 0.05 or more.

    Augmentation makes training scans harder, so that it can hardly be the reason. AUC, and not accuracy, as it does
    not depend on class frequencies.
    """
    numbers = {
        "train": run.final_median("train", "auc"),
        "val": run.final_median("val", "auc"),
        "most": nan_median(run.history.intervals["auc"][-run.tail_length :, 1]),
    }
    if not numbers["train"] >= numbers["most"] + 0.05:
        return []
    sentence = say(
        "At the end it tells its training scans apart with an AUC of {train:.2f}, new ones with {val:.2f}, at most "
        "{most:.2f}: much of what it learned is true of its training scans alone.",
        **numbers,
    )
    changes, advice = _suggest_regularization(run, select_by_loss=False)
    return [
        CurveFinding(
            "overfitting",
            "notable",
            say("Knows its training scans better than new ones"),
            sentence,
            advice,
            "auc",
            at=run.history.point(-1, "val", "auc"),
            changes=changes,
            numbers=numbers,
        )
    ]


def _suggest_regularization(run: RunCurves, *, select_by_loss: bool) -> tuple[dict[str, Any], str]:
    """Regularization that is not used yet; selection by loss where the selected weights are worse."""
    changes: dict[str, Any] = {}
    if config := run.config:
        targets = {"augment_strength": 1.0, "erase_prob": 0.25, "dropout": 0.2, "weight_decay": 0.05}
        changes = _raise_settings(config, targets) or _raise_settings(config, {"mixup_alpha": 0.2, "dropout": 0.4})
        if select_by_loss and config.select_by != "loss":
            changes["select_by"] = "loss"
    advice = say(
        "More scans help most. Else make learning by heart harder: more “Augmentation strength”, “Random erasing "
        "probability” or “Mixup alpha”, more “Dropout”, or a smaller network."
    )
    return changes, advice


def _raise_settings(config: TrainConfig, targets: Mapping[str, float]) -> dict[str, Any]:
    return {name: value for name, value in targets.items() if getattr(config, name) < value}
