"""Data leakage: patients in more than one split."""

from __future__ import annotations

from collections import defaultdict

from xrai.core.language import say
from xrai.data.audit.dataset_pass import DatasetPass
from xrai.data.audit.findings import PATIENTS, AuditFinding, fine_finding, patient_count, scan_count
from xrai.data.sources import SPLITS, parse_patient_id


def find_patient_leaks(dataset_pass: DatasetPass) -> list[AuditFinding]:
    """Patients that splits share, as far as the files identify them; copies of one file are not counted."""
    dataset = dataset_pass.dataset
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, patient in enumerate(dataset.patients):
        rows_of[patient].append(row)
    groups = [
        tuple(rows)
        for rows in rows_of.values()
        if len(set(dataset.splits[rows])) > 1 and len(set(dataset.hashes[rows])) > 1
    ]
    if groups:
        return [_leak_finding(dataset_pass, groups)]
    if len(rows_of) == len(set(dataset.hashes)):
        return [_single_scan_finding(dataset_pass, len(rows_of))]
    return [_no_leak_finding(len(rows_of))]


def _leak_finding(dataset_pass: DatasetPass, groups: list[tuple[int, ...]]) -> AuditFinding:
    splits = dataset_pass.dataset.splits
    split_ids = sorted({int(split) for group in groups for split in splits[list(group)]})
    earlier_rows = sorted(row for group in groups for row in group if splits[row] < splits[list(group)].max())
    n_scans = sum(map(len, groups))
    return AuditFinding(
        kind=PATIENTS,
        severity="serious",
        title=say("Patients in more than one split"),
        sentence=say(
            "{patients} ({scans}) stand in more than one split.",
            patients=patient_count(len(groups)),
            scans=scan_count(n_scans),
        ),
        advice=say(
            "A model knows these patients before it is measured on them, so that its figures flatter it. Take their "
            "scans out of the earlier split, or give the scans without splits: they are then drawn by patient."
        ),
        numbers={"patients": len(groups), "scans": n_scans},
        groups=tuple(groups),
        suggestion=tuple(earlier_rows),
        splits=tuple(SPLITS[split] for split in split_ids),
    )


def _no_leak_finding(n: int) -> AuditFinding:
    sentence = say("Each of the {n:,} patients stands in one split only.", n=n)
    return fine_finding(PATIENTS, say("No patient in two splits"), sentence, numbers={"patients": 0})


def _single_scan_finding(dataset_pass: DatasetPass, n: int) -> AuditFinding:
    """As many patients as files: all identified and with one scan each, or not identified.

    The dataset holds pseudonyms and does not record whether a DICOM file named its patient.
    """
    files, formats = dataset_pass.dataset.files, dataset_pass.dataset.file_metadata()["format"]
    has_patient_id = [parse_patient_id(file, None) is not None for file in files]
    if all(has_patient_id):
        return _no_leak_finding(n)
    title, reason = say("Patients are not known"), say("Nothing tells which scans are of one patient")
    if any(has_patient_id) or "DICOM" in formats:
        title, reason = say("Patients may not be known"), say("Not every file is sure to tell whose it is")
    return AuditFinding(
        kind=PATIENTS,
        severity="notable",
        title=title,
        sentence=say("{reason}: each of the {n:,} different files counts as a patient of its own.", reason=reason, n=n),
        advice=say(
            "If some patients have several scans, figures may flatter the model and their intervals are too narrow. "
            "Name the files patient0001_1.png and so on, or give DICOM files with a patient ID."
        ),
        numbers={"patients": 0},
    )
