"""Patients by the names of files and folders: equal keys for the scans of one patient."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from statistics import median

from xrai.data.sources.entry import Entry
from xrai.data.sources.folder_names import FolderKind, folder_kind, is_date

_MAX_SCANS = 12
"""Scans that a folder holds at most, in the median, to be that of a patient."""

_MIN_FOLDERS = 3
"""Folders of patients that a class holds at least."""


def assign_patients(entries: Sequence[Entry]) -> list[Entry]:
    """The entries with their patient: by its folder, else by the file's name."""
    entries = [replace(entry, patient=parse_patient_id(entry.path, entry.split)) for entry in entries]
    exported = _viewer_names(entries)
    folders = _patient_folders(entries)
    return [
        replace(
            entry,
            patient=folders.get(entry.path)
            or (None if PurePosixPath(entry.path).stem.lower() in exported else entry.patient),
        )
        for entry in entries
    ]


def parse_patient_id(path: str, split: str | None) -> str | None:
    """The patient that a file's name tells, as a key that is equal for two scans of one patient; else None.

    Known are the names of Kermany's set (`person123_virus_45`, whose numbers are used again between virus
    and bacteria and between train and test; `IM-0115-0001`; `NORMAL2-IM-0381-0001`), of ChestX-ray14
    (`00001323_001`) and any with `patient` and a number in front (`patient0012_1`), also as a folder. A date and a
    counter (`20200314_010`) tell no patient.
    """
    folders, stem = PurePosixPath(path).parts[:-1], PurePosixPath(path).stem
    if match := re.match(r"person(\d+)_(virus|bacteria)_", stem):
        origin = "test" if split == "test" else "train"  # Kaggle's val was taken from train
        return f"{origin}/person{int(match[1])}_{match[2]}"
    for pattern in (r"((?:NORMAL2-)?IM-\d+)-\d+", r"(\d{8})_\d{3}$"):
        if (match := re.match(pattern, stem, re.IGNORECASE)) and not is_date(match[1]):
            return match[1].lower()
    for name in (stem, *reversed(folders)):
        if match := re.match(r"patient[-_ ]?(\d+)", name, re.IGNORECASE):
            return f"patient{match[1]}"
    return None


def _viewer_names(entries: Sequence[Entry]) -> set[str]:
    """Names such as `im-0001-0001` that viewers give the first picture of everybody: they occur in several folders."""
    counts = Counter(PurePosixPath(entry.path).stem.lower() for entry in entries)
    return {stem for stem, n in counts.items() if n > 1 and stem.startswith(("im-", "img", "image", "i0", "dx", "cr"))}


def _patient_folders(entries: Sequence[Entry]) -> dict[str, str]:
    """The patient of each path that lies in a folder of a patient below its class folder."""
    names: dict[str, str] = {}
    scans: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for entry in entries:
        if name := _folder_below_class(entry):
            names[entry.path] = name
            scans[entry.class_name][name] += 1
    patients: dict[str, str] = {}
    for class_name, counts in scans.items():
        others = [set(other) for name, other in scans.items() if name != class_name]
        is_shared = bool(others) and set(counts) <= set.union(*others)  # such as boys and girls in each class
        if len(counts) >= _MIN_FOLDERS and median(counts.values()) <= _MAX_SCANS and not is_shared:
            patients |= {
                entry.path: f"folder/{names[entry.path].casefold()}"
                for entry in entries
                if entry.class_name == class_name and entry.path in names
            }
    return patients


def _folder_below_class(entry: Entry) -> str | None:
    """The first folder below the class folder that may be a patient's."""
    parts = PurePosixPath(entry.path).parts[:-1]
    names = [part.strip().casefold() for part in parts]
    if entry.class_name.casefold() not in names:
        return None
    below = parts[names.index(entry.class_name.casefold()) + 1 :]
    return next((part for part in below if folder_kind(part) in (None, FolderKind.PATIENT)), None)
