"""Shortcuts: whether the class can be guessed without the lungs."""

from __future__ import annotations

import numpy as np

from xrai.core.language import N_, say
from xrai.data.audit.findings import AuditFinding, Severity
from xrai.data.audit.guessing import LinearProbeResult, run_linear_probe, sample_rows
from xrai.data.audit.looking import DatasetPass, ProgressCallback, sub_progress
from xrai.data.sources import SPLITS

NOTABLE_AUC, SERIOUS_AUC = 0.6, 0.75
"""Lower limits of the interval from which a guess is notable and serious."""

_DESCRIPTIONS = {
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


def check_shortcuts(dataset_pass: DatasetPass, progress: ProgressCallback) -> list[AuditFinding]:
    """What guesses the class, each with its AUC: the border, file facts, a thumbnail."""
    dataset = dataset_pass.dataset
    rows = sample_rows(
        np.flatnonzero(dataset.splits != SPLITS.index("test"))
    )  # the test split is not for trying things on
    features = {
        "shortcut-border": extract_border(dataset_pass.thumbnails_at(32)[rows]),
        "shortcut-file-facts": extract_file_features(dataset_pass)[rows],
        "shortcut-thumbnail": dataset_pass.thumbnails_at(16)[rows].reshape(len(rows), -1),
    }
    labels, patients = dataset.labels[rows], dataset.patients[rows]
    return [
        _shortcut_finding(
            kind, run_linear_probe(features[kind], labels, patients, sub_progress(progress, index, len(features)))
        )
        for index, kind in enumerate(features)
    ]


def extract_border(thumbnails: np.ndarray) -> np.ndarray:
    """The outer eighth of pictures (N, S, S) on each side, (N, pixels)."""
    side = thumbnails.shape[-1]
    is_border = np.ones((side, side), bool)
    is_border[side // 8 : -(side // 8), side // 8 : -(side // 8)] = False
    return thumbnails[:, is_border]


def extract_file_features(dataset_pass: DatasetPass) -> np.ndarray:
    """What the files said of themselves, float (N, D).

    Sides, proportion, bytes and bytes a pixel as logarithms, and a column for each format and colour mode.
    """
    metadata = dataset_pass.dataset.file_metadata()
    width, height, n_bytes = (np.log(np.maximum(metadata[name], 1.0)) for name in ("width", "height", "n_bytes"))
    numbers = [width, height, width - height, n_bytes, n_bytes - width - height]
    kinds = [metadata[name] == value for name in ("format", "mode") for value in sorted(set(metadata[name]))]
    return np.stack([*numbers, *kinds], axis=1).astype(np.float64)


def _shortcut_finding(kind: str, probe: LinearProbeResult | None) -> AuditFinding:
    title, what = _DESCRIPTIONS[kind]
    if probe is None:
        return AuditFinding(
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
    severity = _severity(kind, probe)
    if severity == "fine":
        sentence = say("From {what}, the class can hardly be guessed ({found}).", what=what, found=probe)
        if kind == "shortcut-thumbnail":
            sentence = say(
                "From {what}, in which the lungs show in coarse form, the class is not easily guessed ({found}).",
                what=what,
                found=probe,
            )
        return AuditFinding(
            kind, severity, say("No shortcut through {title}", title=title), sentence, numbers=probe.to_dict()
        )
    return AuditFinding(
        kind,
        severity,
        _TITLES[kind],
        say(
            "From {what}, a tiny model guesses the class of new patients with {found}; chance would be 0.50.",
            what=what,
            found=probe,
        ),
        _ADVICE[kind],
        probe.to_dict(),
    )


def _severity(kind: str, probe: LinearProbeResult) -> Severity:
    if kind == "shortcut-thumbnail":
        return "notable" if probe.low >= SERIOUS_AUC else "fine"
    return "serious" if probe.low >= SERIOUS_AUC else "notable" if probe.low >= NOTABLE_AUC else "fine"
