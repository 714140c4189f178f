"""How many scans there are: classes in balance, splits large enough to measure on, files that could not be read."""

from __future__ import annotations

from xrai.core.language import N_, say
from xrai.data.audit.findings import AuditFinding, Severity, files, patients, scans
from xrai.data.audit.looking import DatasetPass
from xrai.metrics import IMBALANCE_RATIO

MIN_PATIENTS, MIN_SCANS = 20, 100
"""A class with fewer patients in a split, or a split with fewer scans, gives wide intervals."""

_SPLIT_WORDS = {"val": N_("validation"), "test": N_("test")}


def check_sizes(dataset_pass: DatasetPass) -> list[AuditFinding]:
    """Class balance, small splits, unread files."""
    return [
        _check_class_balance(dataset_pass),
        *(_check_split_size(dataset_pass, split) for split in ("val", "test")),
        _check_unread_files(dataset_pass),
    ]


def _check_class_balance(dataset_pass: DatasetPass) -> AuditFinding:
    kind = "class-balance"
    counts = {name: row["train"] for name, row in dataset_pass.dataset.counts().items()}
    least, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    if counts[most] < IMBALANCE_RATIO * counts[least]:
        sentence = say(
            "Training scans: {counts:,} in the smallest class, {counts2:,} in the largest.",
            counts=counts[least],
            counts2=counts[most],
        )
        return AuditFinding(kind, "fine", say("Classes in balance"), sentence, numbers={"training": counts})
    severity: Severity = "notable" if counts[least] else "serious"
    sentence = say(
        "Training holds {scans} of “{most}”, but {scans2} of “{least}”.",
        scans=scans(counts[most]),
        most=most,
        scans2=scans(counts[least]),
        least=least,
    )
    advice = say(
        "Accuracy then says little: read the figures of each class. Add scans of the smaller class if you can."
    )
    return AuditFinding(
        kind, severity, say("Classes out of balance"), sentence, advice, {"training": counts}, classes=(least,)
    )


def _check_split_size(dataset_pass: DatasetPass, split: str) -> AuditFinding:
    dataset, kind, word = dataset_pass.dataset, f"small-{split}", _SPLIT_WORDS[split]
    rows = dataset.rows(split)
    n_patients = {
        name: len(set(dataset.patients[dataset.rows(split, label)])) for label, name in enumerate(dataset.classes)
    }
    least = min(n_patients, key=n_patients.__getitem__)
    numbers = {"scans": len(rows), "patients": n_patients}
    if len(rows) >= MIN_SCANS and n_patients[least] >= MIN_PATIENTS:
        sentence = say(
            "The {word} split has {scans}, of at least {n_patients:,} patients a class.",
            word=word,
            scans=scans(len(rows)),
            n_patients=n_patients[least],
        )
        return AuditFinding(
            kind, "fine", say("A {word} split of some size", word=word), sentence, numbers=numbers, splits=(split,)
        )
    severity: Severity = "notable" if n_patients[least] else "serious"
    sentence = say(
        "The {word} split has {scans}; of “{least}” {patients} only.",
        word=word,
        scans=scans(len(rows)),
        least=least,
        patients=patients(n_patients[least]),
    )
    advice = say(
        "What is measured on it has wide intervals: read those, not the figure alone, and add patients if you can."
    )
    return AuditFinding(
        kind,
        severity,
        say("Small {word} split", word=word),
        sentence,
        advice,
        numbers,
        classes=(least,),
        splits=(split,),
    )


def _check_unread_files(dataset_pass: DatasetPass) -> AuditFinding:
    kind, skipped = "unread-files", dataset_pass.dataset.skipped
    if not skipped:
        return AuditFinding(kind, "fine", say("All files were read"), say("Every file of the source could be read."))
    # a file's name may be a patient's, and sentences go into the cards of models, which leave the hospital
    numbers = {"files": [item.file for item in skipped[:50]], "n": len(skipped)}
    sentence = say("{files} of the source could not be read.", files=files(len(skipped)))
    advice = say("The dataset lists each with the reason: look whether a class or a kind of film is lacking.")
    return AuditFinding(kind, "notable", say("Unread files"), sentence, advice, numbers)
