"""Class folders: which of the files are scans, of which class and split, and of which patient."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Protocol

from xrai.core.errors import SourceError
from xrai.core.labels import is_healthy
from xrai.core.language import N_, say

SPLITS = ("train", "val", "test")
SPLIT_NAMES = {"train": N_("training"), "val": N_("validation"), "test": N_("test")}
"""As people call them, within a sentence."""

_SPLIT_OF = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_EXTENSIONS = {
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    ".png",
    ".tif",
    ".tiff",
    ".webp",
    ".bmp",
    ".dcm",
    ".dicom",
    ".dic",
    ".ima",
    "",
}


@dataclass(frozen=True)
class Entry:
    """One file that may be a scan: where it lies in its source, and what its folders say of it."""

    path: str
    class_name: str
    split: str | None


class Files(Protocol):
    """Read access to the files below a folder or in a zip, by their relative path with forward slashes."""

    def names(self) -> list[str]:
        """The paths of all files."""
        ...

    def read(self, path: str) -> bytes:
        """The bytes of one of them."""
        ...


@dataclass(frozen=True)
class Source:
    """Class folders that were found, ready to be read.

    Attributes:
        name: how the source is called in the dataset's attributes.
        classes: names in label order; a class that reads like “normal” comes first.
        entries: the files, sorted by path.
        notes: what a person should know of how they were found.
    """

    name: str
    classes: tuple[str, ...]
    entries: tuple[Entry, ...]
    files: Files = field(repr=False)
    notes: tuple[str, ...] = ()
    licence: str = ""
    population: str = ""
    is_phantom: bool = False

    def read(self, entry: Entry) -> bytes:
        """The bytes of one file.

        Raises:
            OSError: it cannot be read any more.
            SourceError: it is larger than a scan can be, or its zip is damaged.
        """
        return self.files.read(entry.path)

    def counts(self) -> dict[str, dict[str, int]]:
        """Files per class and split, `{class: {split: n}}`; split is "all" where the folders do not tell it."""
        counter = Counter((entry.class_name, entry.split or "all") for entry in self.entries)
        splits = [split for split in (*SPLITS, "all") if any(key[1] == split for key in counter)]
        return {name: {split: counter[name, split] for split in splits} for name in self.classes}


def find_classes(files: Files, name: str) -> Source:
    """The class folders among files, with or without `train/ val/ test/` above them.

    Folders whose names differ only in case, spaces around them or the coding of their letters are one class.

    Raises:
        SourceError: there are no scans, or fewer than two classes of them.
    """
    paths = [PurePosixPath(item) for item in sorted(files.names())]
    scans = [path for path in paths if _may_be_scan(path) and not _is_hidden(path)]
    if not scans:
        raise SourceError(
            "There are no scans in {name}: it should hold one folder for each class, such as NORMAL and PNEUMONIA, "
            "with JPEG, PNG, TIFF or DICOM files in them.",
            name=name,
        )
    entries, notes = (
        _entries_with_splits(scans)
        if any(_split_position(path) is not None for path in scans)
        else _entries_without_splits(scans)
    )
    entries = _unify_class_names(entries)
    classes = tuple(sorted({entry.class_name for entry in entries}, key=_class_sort_key))
    if len(classes) < 2:
        contents = (
            say("only the class “{classes}”", classes=classes[0]) if classes else say("scans but no class folders")
        )
        raise SourceError(
            "There is {found} in {name}, but a model learns to tell at least two apart: "
            "put the scans of each class in a folder of its own, side by side.",
            found=contents,
            name=name,
        )
    ignored = len(paths) - len(entries)
    if ignored:
        notes = [
            *notes,
            say(
                "{ignored:,} other files were passed over: they do not lie in a class folder or are no scans.",
                ignored=ignored,
            ),
        ]
    return Source(name, classes, tuple(entries), files, tuple(notes))


def parse_patient_id(path: str, split: str | None) -> str | None:
    """The patient that a file's name tells, as a key that is equal for two scans of one patient; else None.

    Known are the names of Kermany's set (`person123_virus_45`, whose numbers are used again between virus
    and bacteria and between train and test; `IM-0115-0001`; `NORMAL2-IM-0381-0001`), of ChestX-ray14
    (`00001323_001`) and any with `patient` and a number in front (`patient0012_1`), also as a folder.
    """
    folders, stem = PurePosixPath(path).parts[:-1], PurePosixPath(path).stem
    if match := re.match(r"person(\d+)_(virus|bacteria)_", stem):
        origin = "test" if split == "test" else "train"  # Kaggle's val was taken from train
        return f"{origin}/person{int(match[1])}_{match[2]}"
    for pattern in (r"((?:NORMAL2-)?IM-\d+)-\d+", r"(\d{8})_\d{3}$"):
        if match := re.match(pattern, stem, re.IGNORECASE):
            return match[1].lower()
    for name in (stem, *reversed(folders)):
        if match := re.match(r"patient[-_ ]?(\d+)", name, re.IGNORECASE):
            return f"patient{match[1]}"
    return None


def _entries_with_splits(paths: Sequence[PurePosixPath]) -> tuple[list[Entry], list[str]]:
    """Entries below `train/`, `val/` and `test/`; a copy of the whole tree nested inside itself is left out."""
    roots = {path.parts[:position] for path in paths if (position := _split_position(path)) is not None}
    outer_roots = {top for top in roots if not any(other != top and top[: len(other)] == other for other in roots)}
    entries = []
    for path in paths:
        position = _split_position(path)
        if position is None or len(path.parts) < position + 3 or path.parts[:position] not in outer_roots:
            continue
        split, class_name = _SPLIT_OF[path.parts[position].lower()], path.parts[position + 1]
        entries.append(Entry(str(path), class_name, split))
    notes = []
    if roots - outer_roots:
        notes.append(say("The archive holds a second copy of itself in a folder inside; only the outer one is used."))
    return entries, notes


def _entries_without_splits(paths: Sequence[PurePosixPath]) -> tuple[list[Entry], list[str]]:
    """Entries of class folders that lie side by side, possibly below folders that nearly all of them share."""
    folders = [path.parts[:-1] for path in paths]
    depth = 0
    while len({parts[depth] for parts in folders if parts[depth:]}) == 1:
        n_deeper = sum(len(parts) > depth + 1 for parts in folders)
        if 2 * n_deeper <= len(folders):  # a few stray files beside the class folders do not make a class
            break
        depth += 1
    entries = [
        Entry(str(path), parts[depth], None) for path, parts in zip(paths, folders, strict=True) if parts[depth:]
    ]
    return entries, []


def _split_position(path: PurePosixPath) -> int | None:
    """Where in the path the first folder named like a split stands; of several in a row, the last."""
    split_flags = [part.lower() in _SPLIT_OF for part in path.parts[:-1]]
    return next((i for i, is_split in enumerate(split_flags) if is_split and not any(split_flags[i + 1 : i + 2])), None)


def _unify_class_names(entries: list[Entry]) -> list[Entry]:
    """The entries with one name a class, the first one that occurs, in characters that any file can hold."""
    names: dict[str, str] = {}
    for name in sorted({entry.class_name for entry in entries}):
        names.setdefault(_normalise_name(name).casefold(), _normalise_name(name))
    return [replace(entry, class_name=names[_normalise_name(entry.class_name).casefold()]) for entry in entries]


def _normalise_name(name: str) -> str:
    composed = unicodedata.normalize("NFC", name).strip()  # a Mac writes “ü” as two characters
    return composed.encode("utf-8", "replace").decode() or name


def _may_be_scan(path: PurePosixPath) -> bool:
    """Whether the ending is one of a scan; DICOM files also come without one, or named by a UID such as 1.2.840.7."""
    return path.suffix.lower() in _EXTENSIONS or path.suffix[1:].isdigit()


def _is_hidden(path: PurePosixPath) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.parts) or path.name.lower() == "thumbs.db"


def _class_sort_key(name: str) -> tuple[bool, str]:
    return not is_healthy(name), name.lower()
