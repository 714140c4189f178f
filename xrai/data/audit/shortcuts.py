"""Shortcut learning: whether border, file metadata or a thumbnail predict the class."""

from __future__ import annotations

import numpy as np

from xrai.core.language import N_, say
from xrai.data.audit.dataset_pass import DatasetPass, ProgressCallback, sub_progress
from xrai.data.audit.findings import AuditFinding, Severity, fine_finding
from xrai.data.audit.linear_probe import LinearProbeResult, run_linear_probe, sample_rows
from xrai.data.sources import SPLITS

NOTABLE_AUC, SERIOUS_AUC = 0.6, 0.75
"""Lower interval limits of the AUC from which a shortcut is notable and serious."""

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
        "placed, the machine. Do not trust its figures elsewhere before it was measured on films of another hospital; "
        "look whether its heatmaps lie in the lungs."
    ),
    "shortcut-file-facts": N_(
        "The classes were collected or saved in different ways, and a model may learn the source "
        "instead of the disease. Collect both classes from one source and period and save them alike; figures on "
        "this set say little of another. Films are squeezed into squares: where one class came wider than the other, "
        "let scans change their width while a model learns (stretch)."
    ),
    "shortcut-thumbnail": N_(
        "A thumbnail still shows the lungs in coarse form, so this warns less than the border or the "
        "file facts do: an opacity shows in it, but so do age, position and exposure. A large network must do "
        "better than this to be worth its while."
    ),
}


def check_shortcuts(dataset_pass: DatasetPass, progress: ProgressCallback) -> list[AuditFinding]:
    """One finding for each shortcut: the border, file metadata, a thumbnail."""
    dataset = dataset_pass.dataset
    rows = sample_rows(np.flatnonzero(dataset.splits != SPLITS.index("test")))  # the test split stays untouched
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
    """File metadata, float (N, D).

    Logarithms of the sides, the aspect ratio, the bytes and the bytes per pixel; one-hot format and colour mode.
    """
    metadata = dataset_pass.dataset.file_metadata()
    width, height, n_bytes = (np.log(np.maximum(metadata[name], 1.0)) for name in ("width", "height", "n_bytes"))
    numbers = [width, height, width - height, n_bytes, n_bytes - width - height]
    kinds = [metadata[name] == value for name in ("format", "mode") for value in sorted(set(metadata[name]))]
    return np.stack([*numbers, *kinds], axis=1).astype(np.float64)


def _shortcut_finding(kind: str, probe: LinearProbeResult | None) -> AuditFinding:
    title, source = _DESCRIPTIONS[kind]
    if probe is None:
        return AuditFinding(
            kind=kind,
            severity="notable",
            title=say("Not measured: {title}", title=title),
            sentence=say(
                "Whether {source} gives the class away cannot be said: a class has fewer than two patients to learn "
                "from.",
                source=source,
            ),
            advice=say("Add scans of more patients."),
        )
    severity, auc = _severity(kind, probe), probe.sentence()
    if severity == "fine":
        sentence = say("From {source}, the class can hardly be guessed ({auc}).", source=source, auc=auc)
        if kind == "shortcut-thumbnail":
            sentence = say(
                "From {source}, in which the lungs show in coarse form, the class is not easily guessed ({auc}).",
                source=source,
                auc=auc,
            )
        return fine_finding(kind, say("No shortcut through {title}", title=title), sentence, numbers=probe.numbers())
    return AuditFinding(
        kind=kind,
        severity=severity,
        title=_TITLES[kind],
        sentence=say(
            "From {source}, a tiny model guesses the class of new patients with {auc}; chance would be 0.50.",
            source=source,
            auc=auc,
        ),
        advice=_ADVICE[kind],
        numbers=probe.numbers(),
    )


def _severity(kind: str, probe: LinearProbeResult) -> Severity:
    if kind == "shortcut-thumbnail":
        return "notable" if probe.low >= SERIOUS_AUC else "fine"
    return "serious" if probe.low >= SERIOUS_AUC else "notable" if probe.low >= NOTABLE_AUC else "fine"
