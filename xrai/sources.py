"""Where scans come from: a folder or zip of class folders, a Kaggle set, or the drawn practice set."""

from __future__ import annotations

import errno
import os
import re
import sys
import tempfile
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Protocol

from xrai import phantoms
from xrai.errors import SourceError
from xrai.scans import MAX_FILE_BYTES
from xrai.settings import data_dir, inbox_dir, source_roots

SPLITS = ("train", "val", "test")
_SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_ENDINGS = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".webp", ".bmp", ".dcm", ".dicom", ".dic", ".ima", "",
}  # fmt: skip
_HEALTHY = {"normal", "healthy", "clear", "negative", "no finding", "no_finding", "control"}

MAX_ZIP_RATIO = 100
MAX_ZIP_FILES = 2_000_000


@dataclass(frozen=True)
class KaggleSet:
    """A public set that can be downloaded from Kaggle."""

    handle: str
    title: str
    licence: str
    population: str


KAGGLE_SETS = (
    KaggleSet(
        "paultimothymooney/chest-xray-pneumonia",
        "Chest X-ray pneumonia: normal and pneumonia, 5,856 scans, 1.2 GB",
        "CC BY 4.0 (Kermany et al. 2018, Mendeley Data rscbjbr9sj)",
        "children of one to five years, one hospital (Guangzhou Women and Children's Medical Center), AP view",
    ),
    KaggleSet(
        "pranavraikokte/covid19-image-dataset",
        "COVID-19: normal, COVID and viral pneumonia, 317 scans, 160 MB",
        "as stated on its Kaggle page",
        "COVID: adults, from publications; normal and viral pneumonia: mostly children of one hospital, "
        "so that class equals source and age and no accuracy on it has a clinical meaning",
    ),
)
PRACTICE = "phantoms"
KAGGLE = "kaggle:"


@dataclass(frozen=True)
class Entry:
    """One file that may be a scan: where it lies in its source, and what its folders say of it."""

    path: str
    class_name: str
    split: str | None


class _Files(Protocol):
    """Read access to the files below a folder or in a zip, by their relative path with forward slashes."""

    def names(self) -> list[str]: ...

    def read(self, path: str) -> bytes: ...


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
    files: _Files = field(repr=False)
    notes: tuple[str, ...] = ()
    licence: str = ""
    population: str = ""
    drawings: bool = False

    def read(self, entry: Entry) -> bytes:
        """The bytes of one file.

        Raises:
            OSError: it cannot be read any more.
            SourceError: it is larger than a scan can be, or its zip is damaged.
        """
        return self.files.read(entry.path)

    def counts(self) -> dict[str, dict[str, int]]:
        """Files per class and split, `{class: {split: n}}`; split is "all" where the folders do not tell it."""
        counted = Counter((entry.class_name, entry.split or "all") for entry in self.entries)
        splits = [split for split in (*SPLITS, "all") if any(key[1] == split for key in counted)]
        return {name: {split: counted[name, split] for split in splits} for name in self.classes}


@contextmanager
def open_source(spec: str | Path, *, practice_seed: int = 0) -> Iterator[Source]:
    """The source that `spec` names: a folder's or zip's path, `phantoms`, or `kaggle:OWNER/NAME`.

    Raises:
        SourceError: there is nothing there, it cannot be read or downloaded, or holds fewer than two classes.
    """
    spec = str(spec)
    if spec == PRACTICE:
        with tempfile.TemporaryDirectory(prefix="xrai-practice-") as folder:
            phantoms.write_practice_set(Path(folder), seed=practice_seed)
            found = find_classes(_FolderFiles(Path(folder)), "practice set (drawings)")
            yield replace(
                found, drawings=True, licence="made by XRAI", population="drawings, no patients and no medical meaning"
            )
    elif spec.startswith(KAGGLE):
        chosen = _kaggle_set(spec.removeprefix(KAGGLE))
        found = find_classes(_FolderFiles(_download(chosen)), f"Kaggle {chosen.handle}")
        yield replace(found, licence=chosen.licence, population=chosen.population)
    else:
        path = _existing(spec)
        if path.is_dir():
            yield find_classes(_FolderFiles(path), path.resolve().name or str(path))
        else:
            with _open_zip(path) as archive:
                yield find_classes(_ZipFiles(archive), path.name)


def find_classes(files: _Files, name: str) -> Source:
    """The class folders among files, with or without `train/ val/ test/` above them.

    Folders whose names differ only in case, spaces around them or the coding of their letters are one class.

    Raises:
        SourceError: there are no scans, or fewer than two classes of them.
    """
    paths = [PurePosixPath(item) for item in sorted(files.names())]
    scans = [path for path in paths if _may_be_scan(path) and not _is_hidden(path)]
    if not scans:
        raise SourceError(
            f"There are no scans in {name}: it should hold one folder for each class, such as NORMAL and PNEUMONIA, "
            "with JPEG, PNG, TIFF or DICOM files in them."
        )
    entries, notes = _with_splits(scans) if any(_split_at(path) is not None for path in scans) else _without(scans)
    entries = _with_one_spelling(entries)
    classes = tuple(sorted({entry.class_name for entry in entries}, key=_healthy_first))
    if len(classes) < 2:
        found = f"only the class “{classes[0]}”" if classes else "scans but no class folders"
        raise SourceError(
            f"There is {found} in {name}, but a model learns to tell at least two apart: "
            "put the scans of each class in a folder of its own, side by side."
        )
    ignored = len(paths) - len(entries)
    if ignored:
        notes = [
            *notes,
            f"{ignored:,} other files were passed over: they do not lie in a class folder or are no scans.",
        ]
    return Source(name, classes, tuple(entries), files, tuple(notes))


def patient_of(path: str, split: str | None) -> str | None:
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


def list_local() -> list[Path]:
    """Folders and zips that lie ready: those directly below the inbox and below each listed root, by name.

    A listed root may itself hold the class folders: it comes last.
    """
    found: list[Path] = []
    for root in source_roots():
        try:
            inside = sorted(
                item for item in root.iterdir()
                if not item.name.startswith(".") and (item.is_dir() or item.suffix.lower() == ".zip")
            )  # fmt: skip
        except OSError:  # not there, or not for us: a drive that is not connected must not close the whole page
            continue
        found += inside if root == inbox_dir() else [*inside, root]
    return found


def _existing(spec: str) -> Path:
    try:
        path = Path(spec).expanduser()
        if spec.strip() and (path.is_dir() or path.is_file()):
            return path
    except (OSError, RuntimeError) as error:  # a name too long, a folder closed to us, a home of nobody
        raise SourceError(f"The folder or zip {spec} cannot be opened ({error}): choose another.") from error
    raise SourceError(f"There is no folder or zip at {spec or 'a place without a name'}: check it, or choose another.")


@dataclass(frozen=True)
class _FolderFiles:
    root: Path

    def names(self) -> list[str]:
        try:
            return list(self._below(self.root, [self.root.resolve()]))
        except OSError as error:
            raise SourceError(
                f"The folder {error.filename or self.root} cannot be read ({error.strerror}): check its rights."
            ) from error

    def read(self, path: str) -> bytes:
        file = self.root / path
        if file.stat().st_size > MAX_FILE_BYTES:
            raise SourceError(_too_large())
        return file.read_bytes()

    def _below(self, folder: Path, trees: list[Path]) -> Iterator[str]:
        """Files below a folder; a link to a folder is followed once, and never into a tree that is walked anyway."""
        with os.scandir(folder) as items:
            for item in items:
                path, is_link = Path(item.path), item.is_symlink()
                known = path if is_link else item  # pathlib bears a link to nowhere or to itself, the entry is faster
                if known.is_dir():
                    if is_link:
                        target = path.resolve()
                        if any(target.is_relative_to(tree) or tree.is_relative_to(target) for tree in trees):
                            continue
                        trees.append(target)
                    yield from self._below(path, trees)
                elif known.is_file():
                    yield path.relative_to(self.root).as_posix()


@dataclass(frozen=True)
class _ZipFiles:
    """Members are read one at a time, straight from the zip: nothing is ever unpacked to the disk."""

    archive: zipfile.ZipFile

    def names(self) -> list[str]:
        return list(self._members)

    def read(self, path: str) -> bytes:
        try:
            with self.archive.open(self._members[path]) as member:
                content = member.read(MAX_FILE_BYTES + 1)
        except NotImplementedError as error:
            raise SourceError(
                "The file is packed in a way that XRAI does not know: make the zip again with ordinary compression."
            ) from error
        except Exception as error:  # zlib.error and lzma.LZMAError share no base but Exception
            raise SourceError("The file is damaged inside the zip: make the zip again.") from error
        if len(content) > MAX_FILE_BYTES:
            raise SourceError(_too_large())
        return content

    @cached_property
    def _members(self) -> dict[str, zipfile.ZipInfo]:
        """Members by their path as it would be on disk; some old tools on Windows write backslashes."""
        named = {_zip_path(info): info for info in self.archive.infolist()}
        return {str(path): info for path, info in named.items() if not info.filename.endswith(("/", "\\"))}


@contextmanager
def _open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except PermissionError as error:
        raise SourceError(f"{path.name} may not be read by this account: check its rights.") from error
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise SourceError(
            f"{path.name} is not a zip file that can be read, perhaps because its upload or download broke off: "
            "give a folder, or make the zip again."
        ) from error
    with archive:
        _check_zip(archive, path)
        yield archive


def _zip_path(info: zipfile.ZipInfo) -> PurePosixPath:
    return PurePosixPath(info.filename.replace("\\", "/"))


def _check_zip(archive: zipfile.ZipFile, path: Path) -> None:
    members = archive.infolist()
    for info in members:
        inside = _zip_path(info)
        if inside.is_absolute() or ".." in inside.parts or re.match(r"[A-Za-z]:", info.filename):
            raise SourceError(
                f"{path.name} names a file outside its own folder, as a zip made to harm does: "
                "make it again from the folder of scans."
            )
    unpacked = sum(info.file_size for info in members)
    packed = max(path.stat().st_size, 1)
    if unpacked > MAX_ZIP_RATIO * packed or len(members) > MAX_ZIP_FILES:
        raise SourceError(
            f"{path.name} would unpack to {len(members):,} files and {unpacked / packed:,.0f} times its size, which no "
            "zip of scans does: it is probably damaged or made to harm, so make it again from the folder of scans."
        )
    if any(info.flag_bits & 0x1 for info in members):
        raise SourceError(f"{path.name} is locked with a password: make the zip again without one.")


def _with_splits(paths: Sequence[PurePosixPath]) -> tuple[list[Entry], list[str]]:
    """Entries below `train/`, `val/` and `test/`; a copy of the whole tree nested inside itself is left out."""
    tops = {path.parts[:position] for path in paths if (position := _split_at(path)) is not None}
    kept = {top for top in tops if not any(other != top and top[: len(other)] == other for other in tops)}
    entries = []
    for path in paths:
        position = _split_at(path)
        if position is None or len(path.parts) < position + 3 or path.parts[:position] not in kept:
            continue
        split, class_name = _SPLIT_NAMES[path.parts[position].lower()], path.parts[position + 1]
        entries.append(Entry(str(path), class_name, split))
    notes = []
    if tops - kept:
        notes.append("The archive holds a second copy of itself in a folder inside; only the outer one is used.")
    return entries, notes


def _without(paths: Sequence[PurePosixPath]) -> tuple[list[Entry], list[str]]:
    """Entries of class folders that lie side by side, possibly below folders that nearly all of them share."""
    folders = [path.parts[:-1] for path in paths]
    shared = 0
    while len({parts[shared] for parts in folders if parts[shared:]}) == 1:
        deeper = sum(len(parts) > shared + 1 for parts in folders)
        if 2 * deeper <= len(folders):  # a few stray files beside the class folders do not make a class
            break
        shared += 1
    entries = [
        Entry(str(path), parts[shared], None) for path, parts in zip(paths, folders, strict=True) if parts[shared:]
    ]
    return entries, []


def _split_at(path: PurePosixPath) -> int | None:
    """Where in the path the first folder named like a split stands; of several in a row, the last."""
    named = [part.lower() in _SPLIT_NAMES for part in path.parts[:-1]]
    return next((i for i, is_split in enumerate(named) if is_split and not any(named[i + 1 : i + 2])), None)


def _with_one_spelling(entries: list[Entry]) -> list[Entry]:
    """The entries with one name a class, the first one that occurs, in characters that any file can hold."""
    names: dict[str, str] = {}
    for name in sorted({entry.class_name for entry in entries}):
        names.setdefault(_plain(name).casefold(), _plain(name))
    return [replace(entry, class_name=names[_plain(entry.class_name).casefold()]) for entry in entries]


def _plain(name: str) -> str:
    composed = unicodedata.normalize("NFC", name).strip()  # a Mac writes “ü” as two characters
    return composed.encode("utf-8", "replace").decode() or name


def _may_be_scan(path: PurePosixPath) -> bool:
    """Whether the ending is one of a scan; DICOM files also come without one, or named by a UID such as 1.2.840.7."""
    return path.suffix.lower() in _ENDINGS or path.suffix[1:].isdigit()


def _is_hidden(path: PurePosixPath) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.parts) or path.name.lower() == "thumbs.db"


def _healthy_first(name: str) -> tuple[bool, str]:
    return name.strip().lower() not in _HEALTHY, name.lower()


def _kaggle_set(handle: str) -> KaggleSet:
    for known in KAGGLE_SETS:
        if known.handle == handle:
            return known
    offered = " or ".join(KAGGLE + known.handle for known in KAGGLE_SETS)
    raise SourceError(f"The Kaggle set “{handle}” is not among those that XRAI knows: choose {offered}.")


def _download(chosen: KaggleSet) -> Path:
    if local := kaggle_folder(chosen.handle):
        return local
    os.environ["KAGGLEHUB_CACHE"] = str(_kaggle_cache())  # kagglehub takes it from nowhere else
    try:
        with redirect_stdout(sys.stderr):  # standard output is for results, and kagglehub talks there
            import kagglehub

            return Path(kagglehub.dataset_download(chosen.handle))
    except Exception as error:  # kagglehub lets through whatever its network libraries raise
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise SourceError(
                f"{chosen.handle} was not downloaded because the disk is full: free some space and try again."
            ) from error
        raise SourceError(
            f"Kaggle cannot be reached for {chosen.handle}, probably because this machine has no internet: "
            "use a folder, a zip or the practice set, or download it elsewhere and bring it here."
        ) from error


def kaggle_folder(handle: str) -> Path | None:
    """Where a Kaggle set lies that was downloaded before, None where it was not or not wholly."""
    marks = (_kaggle_cache() / "datasets" / handle).glob("*.complete")
    versions = sorted(marks, key=lambda mark: (len(mark.stem), mark.stem))  # 10 is newer than 9
    folders = [version.parent / "versions" / version.stem for version in versions]
    return next((folder for folder in reversed(folders) if folder.is_dir()), None)


def _kaggle_cache() -> Path:
    return data_dir() / ".kaggle"


def _too_large() -> str:
    return (
        f"The file is larger than {MAX_FILE_BYTES // 1_000_000} MB, which no scan is: "
        "choose the picture itself or export it at a lower resolution."
    )
