"""Rules on how much the scans can say: too few in validation, one class far more frequent, no better than guessing."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from xrai.core.language import join_messages, say
from xrai.metrics import UNEVEN
from xrai.training.diagnostics.findings import Finding
from xrai.training.diagnostics.history import count, level
from xrai.training.diagnostics.run import Run

WIDE, TOO_WIDE = 0.15, 0.30
"""Of an accuracy's 95 % interval: 0.15 is what about 140 scans give at 70 %, 0.30 what some 35 give."""


def small_validation(run: Run) -> list[Finding]:
    """The 95 % interval of validation accuracy is wide: its median width over the later half of the epochs.

    Beyond 0.15, differences of several scans in a hundred are within chance; beyond 0.30 a model cannot be told from
    one that is far better or worse. The intervals count patients and not scans (`metrics.bootstrap_intervals`).
    """
    intervals = run.history.intervals["accuracy"]
    half = intervals[len(intervals) // 2 :]
    width, place = level(half[:, 1] - half[:, 0]), _spoken_of(run, intervals.sum(axis=1))
    if place is None or not width > WIDE:
        return []
    low, high = map(float, intervals[place])
    epoch, n = int(run.history.epochs[place]), run.history.n_val
    alike = int(np.sum((half[:, 1] >= low) & (half[:, 0] <= high)))
    said = [
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
        said += [
            say(
                "In the later half, {alike} of {later} epochs have one that overlaps it: which is best may be chance.",
                alike=alike,
                later=later,
            )
        ]
    advice = say(
        "Add patients, or build the dataset with a larger share for validation; until then believe no small "
        "difference, neither between epochs nor between runs."
    )
    return [
        Finding(
            "small-validation", "serious" if width > TOO_WIDE else "notable", say("Too few validation scans to say"),
            join_messages(said), advice, "accuracy", at=(epoch, high), label=say("Wide interval: too few scans"),
            numbers={"width": width, "n": n, "alike": alike},
        )
    ]  # fmt: skip


def class_shares(run: Run) -> list[Finding]:
    """One class has many more scans, so that accuracy flatters who always calls it.

    Serious where validation accuracy is not surely above the share of the largest class, of at least half (the lower
    limit of its interval is not), and the largest has twice as many training scans as the smallest; notable where it
    has `UNEVEN` times as many, as in the check of a dataset, and nothing in the settings makes up for that.
    """
    train = {name: count(row.get("train")) for name, row in run.counts.items()}
    place = _spoken_of(run, run.history.values["val"]["accuracy"])
    if place is None or max(train.values(), default=0) < max(2 * min(train.values(), default=0), 1):
        return []
    most, least = max(train, key=train.__getitem__), min(train, key=train.__getitem__)
    share, accuracy = _share_of(run, most), float(run.history.values["val"]["accuracy"][place])
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
    found = Finding(
        "imbalance",
        "fine",
        say("Uneven classes, no harm seen"),
        sentence,
        chart="accuracy",
        at=(int(run.history.epochs[place]), share),
        line=share,
        label=say("Always calling “{most}”: {x:.0f} %", most=most, x=100 * share),
        numbers={"training": train, "share": share, "accuracy": accuracy},
    )
    return [_no_better(run, found, place, most, uneven) or _unbalanced(run, found, uneven) or found]


def guessing(run: Run) -> list[Finding]:
    """The 95 % interval of the validation AUC at the epoch that is kept holds 0.5, which is guessing."""
    if run.is_active and not run.is_half_done:
        return []
    place = _shown(run)
    low, high = map(float, run.history.intervals["auc"][place])
    if not low <= 0.5:
        return []
    epoch = int(run.history.epochs[place])
    sentence = say(
        "The 95 % interval of the validation AUC at epoch {epoch} goes from {low:.2f} to {high:.2f}; 0.5 is guessing.",
        epoch=epoch,
        low=low,
        high=high,
    )
    advice = say("Do not read scans with this model. Train longer, on more scans, or with other settings.")
    more: dict[str, Any] = {"at": (epoch, low), "line": 0.5, "numbers": {"low": low, "high": high}}
    return [Finding("guessing", "serious", say("Perhaps no better than guessing"), sentence, advice, "auc", **more)]


def _shown(run: Run) -> int:
    """The position of the epoch that is spoken of: the one that is kept, else the last."""
    kept = run.history.kept
    return len(run.history) - 1 if kept is None else kept


def _spoken_of(run: Run, values: np.ndarray) -> int | None:
    """The position of the epoch that is spoken of: the one that is kept, else the last; of those with a value only."""
    known = np.flatnonzero(np.isfinite(values)).tolist()
    return _shown(run) if _shown(run) in known else known[-1] if known else None


def _no_better(run: Run, found: Finding, place: int, most: str, uneven: str) -> Finding | None:
    """The same where accuracy is not surely above what always calling one class gives."""
    share, accuracy = found.numbers["share"], found.numbers["accuracy"]
    low, high = map(float, run.history.intervals["accuracy"][place])
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
    title, changes = say("No better than always calling “{most}”", most=most), _balanced(run)
    return replace(found, severity="serious", title=title, sentence=sentence, advice=advice, changes=changes)


def _unbalanced(run: Run, found: Finding, uneven: str) -> Finding | None:
    """The same where one class is far more frequent and nothing makes up for that."""
    counts = found.numbers["training"].values()
    if max(counts) < UNEVEN * min(counts) or not _balanced(run):
        return None
    title = say("Classes out of balance")
    advice = say("Set “Balance” to sampling, so that the rarer class gets its due, and read the figures of each class.")
    return replace(found, severity="notable", title=title, sentence=uneven, advice=advice, changes=_balanced(run))


def _balanced(run: Run) -> dict[str, str]:
    return {"balance": "sampling"} if run.config.get("balance") == "none" else {}


def _share_of(run: Run, name: str) -> float:
    """The share of a class among the validation scans; among the training scans where these are not counted."""
    split = "val" if any(count(row.get("val")) for row in run.counts.values()) else "train"
    return count(run.counts[name].get(split)) / sum(count(row.get(split)) for row in run.counts.values())
