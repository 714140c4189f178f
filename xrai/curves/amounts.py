"""Rules on how much the scans can say: too few in validation, one class far more frequent, no better than guessing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xrai.audit.balance import UNEVEN
from xrai.curves.findings import Finding
from xrai.curves.history import level
from xrai.curves.run import Run

WIDE, TOO_WIDE = 0.15, 0.30
"""Of an accuracy's 95 % interval: 0.15 is what about 140 scans give at 70 %, 0.30 what some 35 give."""


def small_validation(run: Run) -> list[Finding]:
    """The 95 % interval of validation accuracy is wide: its median width over the later half of the epochs.

    Beyond 0.15, differences of several scans in a hundred are within chance; beyond 0.30 a model cannot be told from
    one that is far better or worse. The intervals count patients and not scans (`metrics.bootstrap_intervals`).
    """
    intervals = run.history.intervals["accuracy"]
    half = slice(len(intervals) // 2, None)
    width = level(intervals[half, 1] - intervals[half, 0])
    if not width > WIDE:
        return []
    place = _shown(run)
    low, high, n = float(intervals[place, 0]), float(intervals[place, 1]), run.history.n_val
    epoch, alike = (
        int(run.history.epochs[place]),
        int(np.sum((intervals[half, 1] >= low) & (intervals[half, 0] <= high))),
    )
    said = [
        f"On {n:,} validation scans the 95 % interval of the accuracy at epoch {epoch} reaches from {100 * low:.0f} % "
        f"to {100 * high:.0f} %: small ups and downs mean nothing."
    ]
    if (later := len(intervals[half])) > 1:
        said += [
            f"In the later half, {alike} of {later} epochs have one that overlaps it: which is best may be chance."
        ]
    title = "Too few validation scans to say"
    advice = (
        "Add patients, or build the dataset with a larger share for validation; until then believe no small "
        "difference, neither between epochs nor between runs."
    )
    severity, numbers = "serious" if width > TOO_WIDE else "notable", {"width": width, "n": n, "alike": alike}
    more: dict[str, Any] = {"at": (epoch, high), "label": "Wide interval: too few scans", "numbers": numbers}
    return [Finding("small-validation", severity, title, " ".join(said), advice, "accuracy", **more)]


def class_shares(run: Run) -> list[Finding]:
    """One class has many more scans, so that accuracy flatters who always calls it.

    Serious where validation accuracy is not surely above the share of the largest class, of at least half (the lower
    limit of its interval is not), and the largest has twice as many training scans as the smallest; notable where it
    has `UNEVEN` times as many, as in the check of a dataset, and nothing in the settings makes up for that.
    """
    train = {name: row.get("train", 0) for name, row in run.counts.items()}
    if len(train) < 2 or max(train.values()) < 2 * min(train.values()) or not len(run.history):
        return []
    most, least = max(train, key=train.__getitem__), min(train, key=train.__getitem__)
    place, share = _shown(run), _share_of(run, most)
    accuracy = float(run.history.values["val"]["accuracy"][place])
    low, high = map(float, run.history.intervals["accuracy"][place])
    low, high = (low, high) if math.isfinite(low) else (accuracy, accuracy)
    at: dict[str, Any] = {
        "chart": "accuracy", "at": (int(run.history.epochs[place]), share), "line": share,
        "label": f"Always calling “{most}”: {100 * share:.0f} %",
        "numbers": {"training": train, "share": share, "accuracy": accuracy},
    }  # fmt: skip
    balance: dict[str, Any] = {"changes": {"balance": "sampling"} if run.config.get("balance") == "none" else {}}
    uneven = f"Of “{most}” there are {train[most]:,} training scans, of “{least}” {train[least]:,}."
    if share >= 0.5 and not low > share:
        sentence = (
            f"{uneven} Always calling “{most}” would be right in {100 * share:.0f} % of the validation scans; this "
            f"model is right in {100 * accuracy:.0f} % ({100 * low:.0f} % to {100 * high:.0f} %), not surely more."
        )
        advice = (
            "Read sensitivity and specificity instead; set “Balance” to sampling, and add scans of the rarer class."
        )
        title = f"No better than always calling “{most}”"
        return [Finding("imbalance", "serious", title, sentence, advice, **at, **balance)]
    if max(train.values()) >= UNEVEN * min(train.values()) and run.config.get("balance") == "none":
        advice = "Set “Balance” to sampling, so that the rarer class gets its due, and read the figures of each class."
        return [Finding("imbalance", "notable", "Classes out of balance", uneven, advice, **at, **balance)]
    sentence = (
        f"{uneven} Always calling “{most}” would be right in {100 * share:.0f} % of the validation scans; "
        f"this model is right in {100 * accuracy:.0f} %."
    )
    return [Finding("imbalance", "fine", "Uneven classes, no harm seen", sentence, **at)]


def guessing(run: Run) -> list[Finding]:
    """The 95 % interval of the validation AUC at the epoch that is kept holds 0.5, which is guessing."""
    if run.is_active and not run.is_half_done:
        return []
    place = _shown(run)
    low, high = map(float, run.history.intervals["auc"][place])
    if not low <= 0.5:
        return []
    epoch = int(run.history.epochs[place])
    sentence = (
        f"The 95 % interval of the validation AUC at epoch {epoch} goes from {low:.2f} to {high:.2f}; 0.5 is guessing."
    )
    advice = "Do not read scans with this model. Train longer, on more scans, or with other settings."
    more: dict[str, Any] = {"at": (epoch, low), "line": 0.5, "numbers": {"low": low, "high": high}}
    return [Finding("guessing", "serious", "Perhaps no better than guessing", sentence, advice, "auc", **more)]


def _shown(run: Run) -> int:
    """The position of the epoch that is spoken of: the one that is kept, else the last."""
    kept = run.history.kept
    return len(run.history) - 1 if kept is None else kept


def _share_of(run: Run, name: str) -> float:
    """The share of a class among the validation scans; among the training scans where these are not counted."""
    split = "val" if sum(row.get("val", 0) for row in run.counts.values()) else "train"
    return run.counts[name].get(split, 0) / sum(row.get(split, 0) for row in run.counts.values())
