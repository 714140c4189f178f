"""Diagnostics on data: small validation set, class imbalance, chance-level AUC."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from xrai.core.language import join_messages, say
from xrai.metrics import IMBALANCE_RATIO
from xrai.training.diagnostics.findings import CurveFinding
from xrai.training.diagnostics.history import nan_median
from xrai.training.diagnostics.run import RunCurves

WIDE_INTERVAL, VERY_WIDE_INTERVAL = 0.15, 0.30
"""Width of an accuracy's 95 % interval: 0.15 is that of about 140 scans at 70 %, 0.30 that of about 35."""


def detect_small_validation(run: RunCurves) -> list[CurveFinding]:
    """The 95 % interval of validation accuracy is wide: median width over the later half of the epochs.

    Beyond 0.15, differences of several percent are within chance; beyond 0.30 a model cannot be told from a far better
    or worse one. The intervals are by patient, not by scan (`metrics.bootstrap_intervals`).
    """
    intervals = run.history.intervals["accuracy"]
    later_half = intervals[len(intervals) // 2 :]
    width = nan_median(later_half[:, 1] - later_half[:, 0])
    index = _reported_index(run, intervals.sum(axis=1))
    if index is None or not width > WIDE_INTERVAL:
        return []
    low, high = map(float, intervals[index])
    epoch = int(run.history.epochs[index])
    n_overlapping = int(np.sum((later_half[:, 1] >= low) & (later_half[:, 0] <= high)))
    sentences = [
        say(
            "On {n:,} validation scans the 95 % interval of the accuracy at epoch {epoch} reaches from {low:.0f} % "
            "to {high:.0f} %: small ups and downs mean nothing.",
            n=run.history.n_val,
            epoch=epoch,
            low=100 * low,
            high=100 * high,
        )
    ]
    if len(later_half) > 1:
        overlap = say(
            "In the later half, {alike} of {later} epochs have one that overlaps it: which is best may be chance.",
            alike=n_overlapping,
            later=len(later_half),
        )
        sentences.append(overlap)
    return [
        CurveFinding(
            "small-validation",
            "serious" if width > VERY_WIDE_INTERVAL else "notable",
            say("Too few validation scans to say"),
            join_messages(sentences),
            say(
                "Add patients, or build the dataset with a larger share for validation; until then believe no small "
                "difference, neither between epochs nor between runs."
            ),
            "accuracy",
            at=(epoch, high),
            label=say("Wide interval: too few scans"),
            numbers={"width": width, "n": run.history.n_val, "alike": n_overlapping},
        )
    ]


def detect_class_imbalance(run: RunCurves) -> list[CurveFinding]:
    """One class has at least twice the training scans of another, so that accuracy alone misleads.

    Serious if the lower limit of validation accuracy is not above the share of the largest class, of at least half;
    notable if the largest class has `IMBALANCE_RATIO` times the training scans of the smallest and the run does not
    balance them.
    """
    train = {name: row.get("train", 0) for name, row in run.counts.items()}
    index = _reported_index(run, run.history.values["val"]["accuracy"])
    if index is None or max(train.values(), default=0) < max(2 * min(train.values(), default=0), 1):
        return []
    largest, smallest = max(train, key=train.__getitem__), min(train, key=train.__getitem__)
    epoch, accuracy = run.history.point(index, "val", "accuracy")
    share = _class_share(run, largest)
    uneven = say(
        "Of “{largest}” there are {n_largest:,} training scans, of “{smallest}” {n_smallest:,}.",
        largest=largest,
        n_largest=train[largest],
        smallest=smallest,
        n_smallest=train[smallest],
    )
    finding = CurveFinding(
        "imbalance",
        "fine",
        say("Uneven classes, no harm seen"),
        say(
            "{uneven} Always calling “{largest}” would be right in {share:.0f} % of the validation scans; "
            "this model is right in {accuracy:.0f} %.",
            uneven=uneven,
            largest=largest,
            share=100 * share,
            accuracy=100 * accuracy,
        ),
        chart="accuracy",
        at=(epoch, share),
        line=share,
        label=say("Always calling “{largest}”: {share:.0f} %", largest=largest, share=100 * share),
        numbers={"training": train, "share": share, "accuracy": accuracy},
    )
    changed = _majority_baseline_finding(run, finding, index, largest, uneven) or _imbalance_finding(
        run, finding, uneven
    )
    return [changed or finding]


def detect_chance_level(run: RunCurves) -> list[CurveFinding]:
    """The 95 % interval of the validation AUC at the selected epoch includes 0.5, the chance level."""
    if run.is_active and not run.is_half_done:
        return []
    index = run.history.reported_index
    low, high = map(float, run.history.intervals["auc"][index])
    if not low <= 0.5:
        return []
    numbers = {"low": low, "high": high}
    epoch = int(run.history.epochs[index])
    sentence = say(
        "The 95 % interval of the validation AUC at epoch {epoch} goes from {low:.2f} to {high:.2f}; 0.5 is guessing.",
        epoch=epoch,
        **numbers,
    )
    return [
        CurveFinding(
            "guessing",
            "serious",
            say("Perhaps no better than guessing"),
            sentence,
            say("Do not read scans with this model. Train longer, on more scans, or with other settings."),
            "auc",
            at=(epoch, low),
            line=0.5,
            numbers=numbers,
        )
    ]


def _reported_index(run: RunCurves, values: np.ndarray) -> int | None:
    """Index of the epoch to report on if its value is defined, or else of the last with one; None if there is none."""
    defined_indices = np.flatnonzero(np.isfinite(values)).tolist()
    if not defined_indices:
        return None
    index = run.history.reported_index
    return index if index in defined_indices else defined_indices[-1]


def _majority_baseline_finding(
    run: RunCurves, finding: CurveFinding, index: int, largest: str, uneven: str
) -> CurveFinding | None:
    """The finding if accuracy is not significantly above that of always calling the largest class."""
    share, accuracy = finding.numbers["share"], finding.numbers["accuracy"]
    low, high = map(float, run.history.intervals["accuracy"][index])
    if not math.isfinite(low):
        low = high = accuracy
    if share < 0.5 or low > share:
        return None
    sentence = say(
        "{uneven} Always calling “{largest}” would be right in {share:.0f} % of the validation scans; this "
        "model is right in {accuracy:.0f} % ({low:.0f} % to {high:.0f} %), not surely more.",
        uneven=uneven,
        largest=largest,
        share=100 * share,
        accuracy=100 * accuracy,
        low=100 * low,
        high=100 * high,
    )
    return replace(
        finding,
        severity="serious",
        title=say("No better than always calling “{largest}”", largest=largest),
        sentence=sentence,
        advice=say(
            "Read sensitivity and specificity instead; set “Class balancing” to sampling, and add scans of the rarer "
            "class."
        ),
        changes=_balance_changes(run),
    )


def _imbalance_finding(run: RunCurves, finding: CurveFinding, uneven: str) -> CurveFinding | None:
    """The finding if one class is far more frequent and the run does not balance them."""
    counts = finding.numbers["training"].values()
    changes = _balance_changes(run)
    if max(counts) < IMBALANCE_RATIO * min(counts) or not changes:
        return None
    advice = say(
        "Set “Class balancing” to sampling, so that the rarer class gets its due, and read the figures of each class."
    )
    return replace(
        finding,
        severity="notable",
        title=say("Classes out of balance"),
        sentence=uneven,
        advice=advice,
        changes=changes,
    )


def _balance_changes(run: RunCurves) -> dict[str, Any]:
    return {"class_balance": "sampling"} if run.config and run.config.class_balance == "none" else {}


def _class_share(run: RunCurves, name: str) -> float:
    """The share of a class among the validation scans, or the training scans if those are unknown."""
    split = "val" if any(row.get("val") for row in run.counts.values()) else "train"
    return run.counts[name].get(split, 0) / sum(row.get(split, 0) for row in run.counts.values())
