"""Rules on how much the scans can say: too few in validation, one class far more frequent, no better than guessing."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from xrai.core.language import join_messages, say
from xrai.metrics import IMBALANCE_RATIO
from xrai.training.diagnostics.findings import CurveFinding
from xrai.training.diagnostics.history import as_count, nan_median
from xrai.training.diagnostics.run import RunCurves

WIDE_INTERVAL, VERY_WIDE_INTERVAL = 0.15, 0.30
"""Of an accuracy's 95 % interval: 0.15 is what about 140 scans give at 70 %, 0.30 what some 35 give."""


def detect_small_validation(run: RunCurves) -> list[CurveFinding]:
    """The 95 % interval of validation accuracy is wide: its median width over the later half of the epochs.

    Beyond 0.15, differences of several scans in a hundred are within chance; beyond 0.30 a model cannot be told from
    one that is far better or worse. The intervals count patients and not scans (`metrics.bootstrap_intervals`).
    """
    intervals = run.history.intervals["accuracy"]
    half = intervals[len(intervals) // 2 :]
    width, index = nan_median(half[:, 1] - half[:, 0]), _reported_index(run, intervals.sum(axis=1))
    if index is None or not width > WIDE_INTERVAL:
        return []
    low, high = map(float, intervals[index])
    epoch, n = int(run.history.epochs[index]), run.history.n_val
    n_overlapping = int(np.sum((half[:, 1] >= low) & (half[:, 0] <= high)))
    sentences = [
        say(
            "On {n:,} validation scans the 95 % interval of the accuracy at epoch {epoch} reaches from {x:.0f} % "
            "to {x2:.0f} %: small ups and downs mean nothing.",
            n=n,
            epoch=epoch,
            x=100 * low,
            x2=100 * high,
        )
    ]
    if (later := len(half)) > 1:
        sentences += [
            say(
                "In the later half, {alike} of {later} epochs have one that overlaps it: which is best may be chance.",
                alike=n_overlapping,
                later=later,
            )
        ]
    advice = say(
        "Add patients, or build the dataset with a larger share for validation; until then believe no small "
        "difference, neither between epochs nor between runs."
    )
    return [
        CurveFinding(
            "small-validation", "serious" if width > VERY_WIDE_INTERVAL else "notable", say("Too few validation scans to say"),
            join_messages(sentences), advice, "accuracy", at=(epoch, high), label=say("Wide interval: too few scans"),
            numbers={"width": width, "n": n, "alike": n_overlapping},
        )
    ]  # fmt: skip


def detect_class_imbalance(run: RunCurves) -> list[CurveFinding]:
    """One class has many more scans, so that accuracy flatters who always calls it.

    Serious where validation accuracy is not surely above the share of the largest class, of at least half (the lower
    limit of its interval is not), and the largest has twice as many training scans as the smallest; notable where it
    has `UNEVEN` times as many, as in the check of a dataset, and nothing in the settings makes up for that.
    """
    train = {name: as_count(row.get("train")) for name, row in run.counts.items()}
    index = _reported_index(run, run.history.values["val"]["accuracy"])
    if index is None or max(train.values(), default=0) < max(2 * min(train.values(), default=0), 1):
        return []
    most, least = max(train, key=train.__getitem__), min(train, key=train.__getitem__)
    share, accuracy = _class_share(run, most), float(run.history.values["val"]["accuracy"][index])
    uneven = say(
        "Of “{most}” there are {train:,} training scans, of “{least}” {train2:,}.",
        most=most,
        train=train[most],
        least=least,
        train2=train[least],
    )
    sentence = say(
        "{uneven} Always calling “{most}” would be right in {x:.0f} % of the validation scans; "
        "this model is right in {x2:.0f} %.",
        uneven=uneven,
        most=most,
        x=100 * share,
        x2=100 * accuracy,
    )
    finding = CurveFinding(
        "imbalance",
        "fine",
        say("Uneven classes, no harm seen"),
        sentence,
        chart="accuracy",
        at=(int(run.history.epochs[index]), share),
        line=share,
        label=say("Always calling “{most}”: {x:.0f} %", most=most, x=100 * share),
        numbers={"training": train, "share": share, "accuracy": accuracy},
    )
    return [
        _majority_baseline_finding(run, finding, index, most, uneven)
        or _imbalance_finding(run, finding, uneven)
        or finding
    ]


def detect_chance_level(run: RunCurves) -> list[CurveFinding]:
    """The 95 % interval of the validation AUC at the epoch that is kept holds 0.5, which is guessing."""
    if run.is_active and not run.is_half_done:
        return []
    index = _selected_or_last(run)
    low, high = map(float, run.history.intervals["auc"][index])
    if not low <= 0.5:
        return []
    epoch = int(run.history.epochs[index])
    sentence = say(
        "The 95 % interval of the validation AUC at epoch {epoch} goes from {low:.2f} to {high:.2f}; 0.5 is guessing.",
        epoch=epoch,
        low=low,
        high=high,
    )
    advice = say("Do not read scans with this model. Train longer, on more scans, or with other settings.")
    details: dict[str, Any] = {"at": (epoch, low), "line": 0.5, "numbers": {"low": low, "high": high}}
    return [
        CurveFinding("guessing", "serious", say("Perhaps no better than guessing"), sentence, advice, "auc", **details)
    ]


def _selected_or_last(run: RunCurves) -> int:
    """The position of the epoch that is spoken of: the one that is kept, else the last."""
    selected = run.history.selected_index
    return len(run.history) - 1 if selected is None else selected


def _reported_index(run: RunCurves, values: np.ndarray) -> int | None:
    """The position of the epoch that is spoken of: the one that is kept, else the last; of those with a value only."""
    defined_indices = np.flatnonzero(np.isfinite(values)).tolist()
    return (
        _selected_or_last(run)
        if _selected_or_last(run) in defined_indices
        else defined_indices[-1]
        if defined_indices
        else None
    )


def _majority_baseline_finding(
    run: RunCurves, finding: CurveFinding, index: int, most: str, uneven: str
) -> CurveFinding | None:
    """The same where accuracy is not surely above what always calling one class gives."""
    share, accuracy = finding.numbers["share"], finding.numbers["accuracy"]
    low, high = map(float, run.history.intervals["accuracy"][index])
    low, high = (low, high) if math.isfinite(low) else (accuracy, accuracy)
    if share < 0.5 or low > share:
        return None
    sentence = say(
        "{uneven} Always calling “{most}” would be right in {x:.0f} % of the validation scans; this "
        "model is right in {x2:.0f} % ({x3:.0f} % to {x4:.0f} %), not surely more.",
        uneven=uneven,
        most=most,
        x=100 * share,
        x2=100 * accuracy,
        x3=100 * low,
        x4=100 * high,
    )
    advice = say(
        "Read sensitivity and specificity instead; set “Balance” to sampling, and add scans of the rarer class."
    )
    title, changes = say("No better than always calling “{most}”", most=most), _balance_changes(run)
    return replace(finding, severity="serious", title=title, sentence=sentence, advice=advice, changes=changes)


def _imbalance_finding(run: RunCurves, finding: CurveFinding, uneven: str) -> CurveFinding | None:
    """The same where one class is far more frequent and nothing makes up for that."""
    counts = finding.numbers["training"].values()
    if max(counts) < IMBALANCE_RATIO * min(counts) or not _balance_changes(run):
        return None
    title = say("Classes out of balance")
    advice = say("Set “Balance” to sampling, so that the rarer class gets its due, and read the figures of each class.")
    return replace(
        finding, severity="notable", title=title, sentence=uneven, advice=advice, changes=_balance_changes(run)
    )


def _balance_changes(run: RunCurves) -> dict[str, str]:
    return {"class_balance": "sampling"} if run.config.get("class_balance") == "none" else {}


def _class_share(run: RunCurves, name: str) -> float:
    """The share of a class among the validation scans; among the training scans where these are not counted."""
    split = "val" if any(as_count(row.get("val")) for row in run.counts.values()) else "train"
    return as_count(run.counts[name].get(split)) / sum(as_count(row.get(split)) for row in run.counts.values())
