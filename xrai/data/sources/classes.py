"""Class folders: which of the files are scans, of which class and split, and of which patient."""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Protocol

from xrai.core.errors import SourceError
from xrai.core.labels import finding_is_known, is_finding, is_healthy
from xrai.core.language import N_, say, say_plural
from xrai.data.sources.entry import Entry
from xrai.data.sources.folder_names import FolderKind, folder_kind, is_mask_file, is_system_name, split_of
from xrai.data.sources.patients import assign_patients

SPLITS = ("train", "val", "test")
SPLIT_NAMES = {"train": N_("training"), "val": N_("validation"), "test": N_("test")}
"""As people call them, within a sentence."""

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


_TABLE_EXTENSIONS = {".csv", ".tsv", ".xlsx", ".xls", ".json"}
_MANY_CLASSES = 6
_FEW_SCANS = 4
"""Scans a folder, on average, up to which many folders are taken for those of patients."""


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
    """The class folders among files, with or without split folders above or below them.

    Folders of patients, parts, years, sites, views and systems are no classes, and masks are no scans: see
    `folder_names`. Folders whose names differ only in case, spaces around them or the coding of their letters are one
    class.

    Raises:
        SourceError: there are no scans, or fewer than two classes of them, or the folders are no classes.
    """
    paths = [PurePosixPath(item) for item in sorted(files.names())]
    scans = [path for path in paths if _may_be_scan(path) and not any(map(is_system_name, path.parts))]
    if not scans:
        raise SourceError(
            "There are no scans in {name}: it should hold one folder for each class, such as NORMAL and PNEUMONIA, "
            "with JPEG, PNG, TIFF or DICOM files in them.",
            name=name,
        )
    n_with_masks = len(scans)
    scans, notes = _without_masks(scans)
    n_masks = n_with_masks - len(scans)
    scans, copy_notes = _without_nested_copy(scans)
    splits, split_notes = _read_splits(scans)
    names = _class_names(scans, splits)
    entries = [
        Entry(str(path), class_name, split)
        for path, split, class_name in zip(scans, splits, names, strict=True)
        if class_name is not None
    ]
    entries = _unify_class_names(entries)
    classes = tuple(sorted({entry.class_name for entry in entries}, key=_class_sort_key))
    _check_classes(classes, entries, paths, name)
    notes = [*notes, *copy_notes, *split_notes]
    ignored = len(paths) - len(entries) - n_masks
    if ignored:
        notes.append(
            say(
                "{ignored:,} other files were passed over: they do not lie in a class folder or are no scans.",
                ignored=ignored,
            )
        )
    return Source(name, classes, tuple(assign_patients(entries)), files, tuple(notes))


def choose_finding(source: Source, finding: str = "") -> Source:
    """A source of two classes with the finding as the second one; and a note where that is not known.

    Args:
        source: of any number of classes.
        finding: name of the class; "" to tell by the names.

    Raises:
        SourceError: there is no such class, or there are not two.
    """
    if finding:
        match = next((name for name in source.classes if name.casefold() == finding.strip().casefold()), None)
        if match is None or len(source.classes) != 2:
            raise SourceError(
                "“{finding}” cannot be the finding: the classes are {classes}, and there must be two of them.",
                finding=finding,
                classes=", ".join(source.classes),
            )
        first = next(name for name in source.classes if name != match)
        return replace(source, classes=(first, match))
    if finding_is_known(source.classes):
        is_turned = len(source.classes) == 2 and not is_healthy(source.classes[0]) and is_finding(source.classes[0])
        return replace(source, classes=source.classes[::-1]) if is_turned else source
    note = say(
        "The names do not tell which class is the finding: “{name}” is taken for it. If that is wrong, build the "
        "dataset again and choose the finding.",
        name=source.classes[1],
    )
    return replace(source, notes=(*source.notes, note))


def _check_classes(classes: tuple[str, ...], entries: list[Entry], paths: list[PurePosixPath], name: str) -> None:
    """Refuse folders that are no classes."""
    has_table = any(path.suffix.lower() in _TABLE_EXTENSIONS for path in paths)
    kinds = {folder_kind(part) for path in paths for part in path.parts[:-1]}
    if not classes and kinds & {FolderKind.PATIENT, FolderKind.PART, FolderKind.YEAR, FolderKind.SITE}:
        raise SourceError(
            "The folders in {name} are those of patients or parts of a set, not classes{table}: put the scans of each "
            "class in a folder of its own, such as NORMAL and PNEUMONIA, side by side.",
            name=name,
            table=say(", and the diagnoses probably stand in the table beside them") if has_table else "",
        )
    if _look_like_patients(classes, entries):
        raise SourceError(
            "The {n} folders in {name} hold so few scans each that they are probably those of patients, not classes: "
            "put the scans of each class in a folder of its own, such as NORMAL and PNEUMONIA, side by side.",
            n=len(classes),
            name=name,
        )
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


def _look_like_patients(classes: tuple[str, ...], entries: list[Entry]) -> bool:
    """Whether there are many classes of a few scans each, and none with a name that is known."""
    if len(classes) < _MANY_CLASSES or any(map(_is_known_class, classes)):
        return False
    return len(entries) / len(classes) <= _FEW_SCANS


def _without_masks(paths: list[PurePosixPath]) -> tuple[list[PurePosixPath], list[str]]:
    """The scans without the masks of segmentations, unless all are masks."""
    scans = [
        path
        for path in paths
        if not is_mask_file(path.stem) and not any(folder_kind(part) == FolderKind.MASK for part in path.parts[:-1])
    ]
    n_masks = len(paths) - len(scans)
    if not n_masks or not scans:
        return paths, []
    return scans, [say_plural("{n:,} mask was passed over.", "{n:,} masks were passed over.", n_masks)]


def _without_nested_copy(paths: list[PurePosixPath]) -> tuple[list[PurePosixPath], list[str]]:
    """The scans without a copy of the whole tree inside itself, as some downloads have it."""
    roots = {path.parts[:position] for path in paths if (position := _split_position(path)) is not None}
    nested = {root for root in roots if any(other != root and root[: len(other)] == other for other in roots)}
    kept = [
        path for path in paths if (position := _split_position(path)) is None or path.parts[:position] not in nested
    ]
    if not nested or not kept:
        return paths, []
    return kept, [say("The archive holds a second copy of itself in a folder inside; only the outer one is used.")]


def _read_splits(paths: list[PurePosixPath]) -> tuple[list[str | None], list[str]]:
    """The split of each scan by its folders; none where only a few scans lie in folders that are named like splits."""
    positions = [_split_position(path) for path in paths]
    n_split = sum(position is not None for position in positions)
    if 2 * n_split < len(paths):
        note = say("A folder named like a split holds few of the scans, so that it is taken for an ordinary one.")
        return [None] * len(paths), [note] if n_split else []
    return [
        None if position is None else split_of(path.parts[position])
        for path, position in zip(paths, positions, strict=True)
    ], []


def _class_names(paths: list[PurePosixPath], splits: list[str | None]) -> list[str | None]:
    """The class folder of each scan; None where it lies in none.

    Folders that are no classes by their names are left out. Of the others the first level counts on which there are
    several; but the level below it where each folder there holds the same ones, as hospitals do.
    """
    has_splits = any(splits)
    folders = [
        tuple(part for part in path.parts[:-1] if _may_be_class(part)) if split or not has_splits else ()
        for path, split in zip(paths, splits, strict=True)
    ]
    depth = _first_level(folders)
    while _is_grouping(folders, depth):
        depth += 1
    return [parts[depth] if len(parts) > depth else None for parts in folders]


def _first_level(folders: list[tuple[str, ...]]) -> int:
    """The first level on which scans lie in different folders."""
    depth = 0
    while len({parts[depth] for parts in folders if parts[depth:]}) == 1:
        n_deeper = sum(len(parts) > depth + 1 for parts in folders)
        if 2 * n_deeper <= len(folders):  # a few stray files beside the class folders do not make a class
            break
        depth += 1
    return depth


def _is_grouping(folders: list[tuple[str, ...]], depth: int) -> bool:
    """Whether the folders on a level group the same classes, such as hospitals, rather than being classes."""
    children: dict[str, set[str]] = {}
    for parts in folders:
        if len(parts) > depth:
            children.setdefault(parts[depth].casefold(), set()).update(parts[depth + 1 : depth + 2])
    if len(children) < 2 or any(_is_known_class(name) for name in children):
        return False
    shared = set.intersection(*children.values())
    return len(shared) > 1 and any(_is_known_class(name) for name in shared)


def _may_be_class(name: str) -> bool:
    return folder_kind(name) is None or _is_known_class(name)


def _is_known_class(name: str) -> bool:
    return is_healthy(name) or is_finding(name)


def _split_position(path: PurePosixPath) -> int | None:
    """Where in the path the first folder named like a split stands; of several in a row, the last."""
    flags = [split_of(part) is not None for part in path.parts[:-1]]
    return next((i for i, is_split in enumerate(flags) if is_split and not any(flags[i + 1 : i + 2])), None)


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


def _class_sort_key(name: str) -> tuple[bool, str]:
    return not is_healthy(name), name.lower()
