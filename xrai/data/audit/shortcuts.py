"""Shortcuts: whether the class can be guessed without the lungs."""

from __future__ import annotations

import numpy as np

from xrai.core.language import N_, say
from xrai.data.audit.findings import Finding, Severity
from xrai.data.audit.guessing import Guess, guess, some
from xrai.data.audit.looking import Look, Tell, part
from xrai.data.sources import SPLITS

CLEAR, STRONG = 0.6, 0.75
"""Lower limits of the interval from which a guess is notable and serious."""

_WHAT = {
    "shortcut-border": (N_("the border"), N_("the outermost eighth of the picture alone, without the lungs")),
    "shortcut-file-facts": (N_("file facts"), N_("the file's size, format and colour mode alone, without any pixel")),
    "shortcut-thumbnail": (N_("a coarse thumbnail"), N_("a thumbnail of 16 × 16 pixels")),
}
_TITLES = {
    "shortcut-border": N_("The border gives the class away"),
    "shortcut-file-facts": N_("File facts give the class away"),
    "shortcut-thumbnail": N_("A coarse thumbnail gives the class away"),
}
_ADVICE = {
    "shortcut-border": N_(
        "A model can score well by what lies round the chest: collimation, markers, how the patient was "
        "placed, the machine. Do not trust its figures elsewhere before it was measured on films of another "
        "hospital; look "
        "whether its heatmaps lie in the lungs."
    ),
    "shortcut-file-facts": N_(
        "The classes were collected or saved in different ways, and a model may learn the source "
        "instead of the disease. Collect both classes from one source and period and save them alike; figures on "
        "this set "
        "say little of another. Films are squeezed into squares: where one class came wider than the other, let scans "
        "change their width while a model learns (stretch)."
    ),
    "shortcut-thumbnail": N_(
        "A thumbnail still shows the lungs in coarse form, so this warns less than the border or the "
        "file facts do: an opacity shows in it, but so do age, position and exposure. A large network must do "
        "better than "
        "this to be worth its while."
    ),
}


def shortcuts(look: Look, tell: Tell) -> list[Finding]:
    """What guesses the class, each with its AUC: the border, file facts, a thumbnail."""
    dataset = look.dataset
    rows = some(np.flatnonzero(dataset.splits != SPLITS.index("test")))  # the test split is not for trying things on
    features = {
        "shortcut-border": border(look.greys(32)[rows]),
        "shortcut-file-facts": file_facts(look)[rows],
        "shortcut-thumbnail": look.greys(16)[rows].reshape(len(rows), -1),
    }
    labels, patients = dataset.labels[rows], dataset.patients[rows]
    return [
        _finding(kind, guess(features[kind], labels, patients, part(tell, number, len(features))))
        for number, kind in enumerate(features)
    ]


def border(greys: np.ndarray) -> np.ndarray:
    """The outer eighth of pictures (N, S, S) on each side, (N, pixels)."""
    side = greys.shape[-1]
    ring = np.ones((side, side), bool)
    ring[side // 8 : -(side // 8), side // 8 : -(side // 8)] = False
    return greys[:, ring]


def file_facts(look: Look) -> np.ndarray:
    """What the files said of themselves, float (N, D).

    Sides, proportion, bytes and bytes a pixel as logarithms, and a column for each format and colour mode.
    """
    facts = look.dataset.facts()
    width, height, n_bytes = (np.log(np.maximum(facts[name], 1.0)) for name in ("width", "height", "n_bytes"))
    numbers = [width, height, width - height, n_bytes, n_bytes - width - height]
    kinds = [facts[name] == value for name in ("format", "mode") for value in sorted(set(facts[name]))]
    return np.stack([*numbers, *kinds], axis=1).astype(np.float64)


def _finding(kind: str, found: Guess | None) -> Finding:
    title, what = _WHAT[kind]
    if found is None:
        return Finding(
            kind,
            "notable",
            say("Not measured: {title}", title=title),
            say(
                "Whether {what} gives the class away cannot be said: a class has fewer than two patients to learn "
                "from.",
                what=what,
            ),
            say("Add scans of more patients."),
        )
    severity = _severity(kind, found)
    if severity == "fine":
        sentence = say("From {what}, the class can hardly be guessed ({found}).", what=what, found=found)
        if kind == "shortcut-thumbnail":
            sentence = say(
                "From {what}, in which the lungs show in coarse form, the class is not easily guessed ({found}).",
                what=what,
                found=found,
            )
        return Finding(
            kind, severity, say("No shortcut through {title}", title=title), sentence, numbers=found.to_dict()
        )
    return Finding(
        kind,
        severity,
        _TITLES[kind],
        say(
            "From {what}, a tiny model guesses the class of new patients with {found}; chance would be 0.50.",
            what=what,
            found=found,
        ),
        _ADVICE[kind],
        found.to_dict(),
    )


def _severity(kind: str, found: Guess) -> Severity:
    if kind == "shortcut-thumbnail":
        return "notable" if found.low >= STRONG else "fine"
    return "serious" if found.low >= STRONG else "notable" if found.low >= CLEAR else "fine"
