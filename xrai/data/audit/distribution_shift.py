"""Distribution shift between training and test, by a linear probe (classifier two-sample test)."""

from __future__ import annotations

import numpy as np

from xrai.core.language import say
from xrai.data.audit.dataset_pass import DatasetPass, ProgressCallback, sub_progress
from xrai.data.audit.findings import AuditFinding, Severity, scan_count
from xrai.data.audit.linear_probe import LinearProbeResult, run_linear_probe, sample_rows
from xrai.data.audit.shortcuts import NOTABLE_AUC, SERIOUS_AUC
from xrai.data.sources import SPLITS

KIND = "shift"


def check_split_shift(dataset_pass: DatasetPass, progress: ProgressCallback) -> list[AuditFinding]:
    """One finding for each class; a single one where there is no test split."""
    dataset = dataset_pass.dataset
    if not len(dataset.rows("test")):
        no_test = AuditFinding(
            kind=KIND,
            severity="notable",
            title=say("No test split"),
            sentence=say("There is no test split, so that nothing can have shifted between training and test."),
            advice=say("Keep some patients apart for a test."),
        )
        return [no_test]
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
            kind=KIND,
            severity="notable",
            title=say("Shift of “{name}” not measured", name=name),
            sentence=say(
                "Whether “{name}” looks different in the test cannot be said: a split has fewer than two of its "
                "patients.",
                name=name,
            ),
            advice=say("Add scans of more patients."),
            classes=(name,),
        )
    severity: Severity = "serious" if probe.low >= SERIOUS_AUC else "notable" if probe.low >= NOTABLE_AUC else "fine"
    if severity == "fine":
        return _no_shift_finding(name, probe)
    return AuditFinding(
        kind=KIND,
        severity=severity,
        title=say("“{name}” looks different in the test", name=name),
        sentence=say(
            "Whether a scan of “{name}” is from the test or from before can be guessed from a thumbnail ({auc}): "
            "the two were not collected alike. {scans} were looked at.",
            name=name,
            auc=probe.sentence(),
            scans=scan_count(probe.n),
        ),
        advice=say(
            "Figures on validation then flatter the model, and a threshold chosen there may call “{name}” more or less "
            "often than it promised. Leave a margin, do not move the threshold on the test, and expect the same "
            "step again in another hospital.",
            name=name,
        ),
        numbers=probe.numbers(),
        classes=(name,),
        splits=SPLITS,
    )


def _no_shift_finding(name: str, probe: LinearProbeResult) -> AuditFinding:
    degree = say("can be told apart a little") if probe.low > 0.5 else say("can hardly be told apart")
    return AuditFinding(
        kind=KIND,
        severity="fine",
        title=say("No clear shift of “{name}”", name=name),
        sentence=say(
            "Training and test scans of “{name}” {degree} by a thumbnail ({auc}).",
            name=name,
            degree=degree,
            auc=probe.sentence(),
        ),
        numbers=probe.numbers(),
        classes=(name,),
    )
