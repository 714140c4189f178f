"""Shift: whether scans of one class can be told apart by the split they stand in."""

from __future__ import annotations

import numpy as np

from xrai.core.language import say
from xrai.data.audit.findings import AuditFinding, Severity, scans
from xrai.data.audit.guessing import LinearProbeResult, run_linear_probe, sample_rows
from xrai.data.audit.looking import DatasetPass, ProgressCallback, sub_progress
from xrai.data.audit.shortcuts import NOTABLE_AUC, SERIOUS_AUC
from xrai.data.sources import SPLITS

KIND = "shift"


def check_split_shift(dataset_pass: DatasetPass, progress: ProgressCallback) -> list[AuditFinding]:
    """A finding per class; one in all where there is no test split."""
    dataset = dataset_pass.dataset
    if not len(dataset.rows("test")):
        sentence = say("There is no test split, so that nothing can have shifted between training and test.")
        return [
            AuditFinding(KIND, "notable", say("No test split"), sentence, say("Keep some patients apart for a test."))
        ]
    thumbnails = dataset_pass.thumbnails_at(32).reshape(len(dataset), -1)
    n = len(dataset.classes)
    results = [_probe_split(dataset_pass, thumbnails, label, sub_progress(progress, label, n)) for label in range(n)]
    return [_shift_finding(*pair) for pair in zip(dataset.classes, results, strict=True)]


def _probe_split(
    dataset_pass: DatasetPass, thumbnails: np.ndarray, label: int, progress: ProgressCallback
) -> LinearProbeResult | None:
    dataset = dataset_pass.dataset
    rows = sample_rows(np.flatnonzero(dataset.labels == label))
    is_test = (dataset.splits[rows] == SPLITS.index("test")).astype(np.int64)
    return run_linear_probe(thumbnails[rows], is_test, dataset.patients[rows], progress)


def _shift_finding(name: str, probe: LinearProbeResult | None) -> AuditFinding:
    if probe is None:
        return AuditFinding(
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
    severity: Severity = "serious" if probe.low >= SERIOUS_AUC else "notable" if probe.low >= NOTABLE_AUC else "fine"
    if severity == "fine":
        phrase = say("can be told apart a little") if probe.low > 0.5 else say("can hardly be told apart")
        sentence = say(
            "Training and test scans of “{name}” {told} by a thumbnail ({found}).", name=name, told=phrase, found=probe
        )
        title = say("No clear shift of “{name}”", name=name)
        return AuditFinding(KIND, severity, title, sentence, numbers=probe.to_dict(), classes=(name,))
    return AuditFinding(
        KIND,
        severity,
        say("“{name}” looks different in the test", name=name),
        say(
            "Whether a scan of “{name}” is from the test or from before can be guessed from a thumbnail ({found}): "
            "the two were not collected alike. {scans} were looked at.",
            name=name,
            found=probe,
            scans=scans(probe.n),
        ),
        say(
            "Figures on validation then flatter the model, and a threshold chosen there may call “{name}” more or less "
            "often than it promised. Leave a margin, do not move the threshold on the test, and expect the same "
            "step again "
            "in another hospital.",
            name=name,
        ),
        probe.to_dict(),
        classes=(name,),
        splits=("train", "val", "test"),
    )
