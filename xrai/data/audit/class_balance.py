"""Class imbalance, split sizes and unreadable files."""

from __future__ import annotations

from xrai.core.language import N_, say
from xrai.data.audit.dataset_pass import DatasetPass
from xrai.data.audit.findings import AuditFinding, file_count, fine_finding, patient_count, scan_count
from xrai.metrics import IMBALANCE_RATIO

MIN_PATIENTS, MIN_SCANS = 20, 100
"""A class with fewer patients in a split, or a split with fewer scans, gives wide confidence intervals."""

_SPLIT_WORDS = {"val": N_("validation"), "test": N_("test")}


def check_sizes(dataset_pass: DatasetPass) -> list[AuditFinding]:
    """Class balance, small splits, unreadable files."""
    return [
        _check_class_balance(dataset_pass),
        *(_check_split_size(dataset_pass, split) for split in _SPLIT_WORDS),
        _check_unread_files(dataset_pass),
    ]


def _check_class_balance(dataset_pass: DatasetPass) -> AuditFinding:
    kind = "class-balance"
    counts = {name: row["train"] for name, row in dataset_pass.dataset.counts().items()}
    smallest = min(counts, key=counts.__getitem__)
    largest = max(counts, key=counts.__getitem__)
    if counts[largest] < IMBALANCE_RATIO * counts[smallest]:
        sentence = say(
            "Training scans: {smallest:,} in the smallest class, {largest:,} in the largest.",
            smallest=counts[smallest],
            largest=counts[largest],
        )
        return fine_finding(kind, say("Classes in balance"), sentence, numbers={"training": counts})
    return AuditFinding(
        kind=kind,
        severity="notable" if counts[smallest] else "serious",
        title=say("Classes out of balance"),
        sentence=say(
            "Training holds {most_scans} of “{largest}”, but {least_scans} of “{smallest}”.",
            most_scans=scan_count(counts[largest]),
            largest=largest,
            least_scans=scan_count(counts[smallest]),
            smallest=smallest,
        ),
        advice=say(
            "Accuracy then says little: read the figures of each class. Add scans of the smaller class if you can."
        ),
        numbers={"training": counts},
        classes=(smallest,),
    )


def _check_split_size(dataset_pass: DatasetPass, split: str) -> AuditFinding:
    dataset, kind, word = dataset_pass.dataset, f"small-{split}", _SPLIT_WORDS[split]
    n_scans = len(dataset.rows(split))
    n_patients = {
        name: len(set(dataset.patients[dataset.rows(split, label)])) for label, name in enumerate(dataset.classes)
    }
    smallest = min(n_patients, key=n_patients.__getitem__)
    if n_scans >= MIN_SCANS and n_patients[smallest] >= MIN_PATIENTS:
        return AuditFinding(
            kind=kind,
            severity="fine",
            title=say("A {split} split of some size", split=word),
            sentence=say(
                "The {split} split has {scans}, of at least {patients:,} patients a class.",
                split=word,
                scans=scan_count(n_scans),
                patients=n_patients[smallest],
            ),
            numbers={"scans": n_scans, "patients": n_patients},
            splits=(split,),
        )
    return AuditFinding(
        kind=kind,
        severity="notable" if n_patients[smallest] else "serious",
        title=say("Small {split} split", split=word),
        sentence=say(
            "The {split} split has {scans}; of “{smallest}” {patients} only.",
            split=word,
            scans=scan_count(n_scans),
            smallest=smallest,
            patients=patient_count(n_patients[smallest]),
        ),
        advice=say(
            "What is measured on it has wide intervals: read those, not the figure alone, and add patients if you can."
        ),
        numbers={"scans": n_scans, "patients": n_patients},
        classes=(smallest,),
        splits=(split,),
    )


def _check_unread_files(dataset_pass: DatasetPass) -> AuditFinding:
    kind, skipped = "unread-files", dataset_pass.dataset.skipped
    if not skipped:
        return fine_finding(kind, say("All files were read"), say("Every file of the source could be read."))
    # file names may name patients, so they stay out of sentences, which the cards of models quote
    return AuditFinding(
        kind=kind,
        severity="notable",
        title=say("Unread files"),
        sentence=say("{files} of the source could not be read.", files=file_count(len(skipped))),
        advice=say("The dataset lists each with the reason: look whether a class or a kind of film is lacking."),
        numbers={"files": tuple(item.file for item in skipped[:50]), "n": len(skipped)},
    )
