"""Shift: whether scans of one class can be told apart by the split they stand in."""

from __future__ import annotations

import numpy as np

from xrai.core.language import say
from xrai.data.audit.findings import Finding, Severity, scans
from xrai.data.audit.guessing import Guess, guess, some
from xrai.data.audit.looking import Look, Tell, part
from xrai.data.audit.shortcuts import CLEAR, STRONG
from xrai.data.sources import SPLITS

KIND = "shift"


def shifts(look: Look, tell: Tell) -> list[Finding]:
    """A finding per class; one in all where there is no test split."""
    dataset = look.dataset
    if not len(dataset.rows("test")):
        sentence = say("There is no test split, so that nothing can have shifted between training and test.")
        return [Finding(KIND, "notable", say("No test split"), sentence, say("Keep some patients apart for a test."))]
    pictures = look.greys(32).reshape(len(dataset), -1)
    n = len(dataset.classes)
    found = [_told_apart(look, pictures, label, part(tell, label, n)) for label in range(n)]
    return [_finding(*pair) for pair in zip(dataset.classes, found, strict=True)]


def _told_apart(look: Look, pictures: np.ndarray, label: int, tell: Tell) -> Guess | None:
    dataset = look.dataset
    rows = some(np.flatnonzero(dataset.labels == label))
    is_test = (dataset.splits[rows] == SPLITS.index("test")).astype(np.int64)
    return guess(pictures[rows], is_test, dataset.patients[rows], tell)


def _finding(name: str, found: Guess | None) -> Finding:
    if found is None:
        return Finding(
            KIND,
            "notable",
            say("Shift of “{name}” not measured", name=name),
            say(
                "Whether “{name}” looks different in the test cannot be said: a split has fewer than two of its "
                "patients.",
                name=name,
            ),
            say("Add scans of more patients."),
            classes=(name,),
        )
    severity: Severity = "serious" if found.low >= STRONG else "notable" if found.low >= CLEAR else "fine"
    if severity == "fine":
        told = say("can be told apart a little") if found.low > 0.5 else say("can hardly be told apart")
        sentence = say(
            "Training and test scans of “{name}” {told} by a thumbnail ({found}).", name=name, told=told, found=found
        )
        title = say("No clear shift of “{name}”", name=name)
        return Finding(KIND, severity, title, sentence, numbers=found.to_dict(), classes=(name,))
    return Finding(
        KIND,
        severity,
        say("“{name}” looks different in the test", name=name),
        say(
            "Whether a scan of “{name}” is from the test or from before can be guessed from a thumbnail ({found}): "
            "the two were not collected alike. {scans} were looked at.",
            name=name,
            found=found,
            scans=scans(found.n),
        ),
        say(
            "Figures on validation then flatter the model, and a threshold chosen there may call “{name}” more or less "
            "often than it promised. Leave a margin, do not move the threshold on the test, and expect the same "
            "step again "
            "in another hospital.",
            name=name,
        ),
        found.to_dict(),
        classes=(name,),
        splits=("train", "val", "test"),
    )
