"""Building a dataset: scans are read by several workers, written as they come, and the file renamed when whole."""

from __future__ import annotations

import platform
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from xrai import __version__
from xrai.core.errors import DatasetError, ScanError, SettingsError, SourceError, system_reason
from xrai.core.language import say, say_plural
from xrai.data.dataset.reading import FORMAT, VERSION
from xrai.data.dataset.splitting import assign_splits, count_leaks
from xrai.data.dataset.writing import (
    Disk,
    ProgressEmitter,
    create_images,
    encode_texts,
    records_of,
    write_atomically,
    write_attributes,
    write_columns,
)
from xrai.data.sources import SPLIT_NAMES, SPLITS, Entry, Source, choose_finding
from xrai.scans import read_scan
from xrai.scans.header_checks import header_warnings
from xrai.scans.preprocessing import to_square

MAX_IN_FLIGHT = 4
"""Scans in flight per worker: bounds the memory, however many scans there are."""


@dataclass(frozen=True)
class BuildConfig:
    """How a dataset is built.

    Attributes:
        size: side of the stored squares in pixels, 32 to 1024.
        workers: threads that read scans, 1 to 64.
        seed: of the splits, and of the drawn practice set.
        population: who is in the scans, in words; overrides what the source says.
        licence: of the scans, in words; overrides what the source says.
        finding: of two classes the one that is looked for; "" to tell by their names.
        exclude_doubtful: leave out scans whose DICOM header says that they are no frontal chest X-rays for viewing.

    Raises:
        SettingsError: a value is outside its limits.
    """

    size: int = 224
    workers: int = 2
    seed: int = 0
    population: str = ""
    licence: str = ""
    finding: str = ""
    exclude_doubtful: bool = False

    def __post_init__(self) -> None:
        for name, low, high in (("size", 32, 1024), ("workers", 1, 64), ("seed", 0, 2**31 - 1)):
            if not low <= getattr(self, name) <= high:
                raise SettingsError(
                    "The setting “{name}” is {getattr}, but must lie between {low} and {high}.",
                    name=name,
                    getattr=getattr(self, name),
                    low=low,
                    high=high,
                )

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain JSON-able values."""
        return asdict(self)


@dataclass(frozen=True)
class _Row:
    entry: Entry
    square: np.ndarray
    sha256: str
    patient: str | None
    format: str
    mode: str
    width: int
    height: int
    n_bytes: int
    doubt: str = ""


def build_dataset(
    source: Source,
    out: Path,
    config: BuildConfig,
    *,
    emit: Callable[[dict[str, Any]], None] = lambda record: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Build the dataset `out` from a source.

    An unreadable file is skipped and listed in the dataset. Nothing is left at `out` unless the dataset is whole.

    Args:
        source: the class folders.
        out: the file to make; must not exist.
        config: size, workers, seed, and words for the card.
        emit: takes records {kind: "progress", done, total, skipped, images_per_second, seconds_left}.
        should_stop: asked after every scan.

    Returns:
        Whether the dataset was built; False when it was stopped.

    Raises:
        DatasetError: `out` exists, a class would be empty, or the disk is full.
    """
    source = choose_finding(source, config.finding)
    required_bytes = len(source.entries) * config.size**2
    return write_atomically(
        out, required_bytes, lambda file, disk: _write_scans(file, disk, source, config, emit, should_stop)
    )


def describe_split_problems(
    classes: Sequence[str], labels: list[int], splits: np.ndarray, patients: list[str], hashes: list[str]
) -> list[str]:
    """Sentences on what a split lacks and on what of it stands in an earlier one, from the columns alone."""
    return [*_describe_missing_classes(classes, labels, splits), *_describe_leaks(splits, patients, hashes)]


def _write_scans(
    file: h5py.File,
    disk: Disk,
    source: Source,
    config: BuildConfig,
    emit: Callable[[dict[str, Any]], None],
    should_stop: Callable[[], bool],
) -> bool:
    images = create_images(file, config.size)
    rows: list[_Row] = []
    skipped: list[tuple[Entry, str]] = []
    progress = ProgressEmitter(len(source.entries), emit)
    with closing(_read_entries(source, config)) as results:
        for entry, result in results:
            if should_stop():
                return False
            if isinstance(result, str):
                skipped.append((entry, result))
            else:
                images.resize(len(rows) + 1, axis=0)
                images[len(rows)] = result.square
                disk.check()
                rows.append(_drop_pixels(result))
            progress.update(len(rows) + len(skipped), len(skipped))
    _check_classes(source, rows, skipped)
    _write_columns(file, disk, source, config, rows, skipped)
    return True


def _read_entries(source: Source, config: BuildConfig) -> Generator[tuple[Entry, _Row | str]]:
    """Each entry with what was read or why not, in order, with at most `AT_ONCE` in flight per worker."""
    in_flight: deque[tuple[Entry, Future[_Row | str]]] = deque()
    with ThreadPoolExecutor(config.workers) as pool:
        try:
            for entry in source.entries:
                in_flight.append((entry, pool.submit(_read_entry, source, entry, config)))
                if len(in_flight) >= MAX_IN_FLIGHT * config.workers:
                    oldest, future = in_flight.popleft()
                    yield oldest, future.result()
            for oldest, future in in_flight:
                yield oldest, future.result()
        finally:
            for _, future in in_flight:
                future.cancel()


def _read_entry(source: Source, entry: Entry, config: BuildConfig) -> _Row | str:
    try:
        # twice the size: the reduced decoding of a JPEG must not show after squeezing
        scan = read_scan(source.read(entry), min_side=2 * config.size)
    except (ScanError, SourceError) as error:
        return error.message
    except OSError as error:
        return say(
            "The file cannot be read ({strerror}): check its permissions and the drive.", strerror=system_reason(error)
        )
    patient = f"dicom/{scan.patient}" if scan.patient else entry.patient
    metadata = (scan.format, scan.mode, scan.width, scan.height, scan.n_bytes)
    doubt = next(header_warnings(scan.metadata), "")
    if doubt and config.exclude_doubtful:
        return doubt
    return _Row(entry, to_square(scan.pixels, config.size), scan.sha256, patient, *metadata, doubt)


def _drop_pixels(row: _Row) -> _Row:
    return replace(row, square=np.empty(0, np.uint8))


def _check_classes(source: Source, rows: list[_Row], skipped: list[tuple[Entry, str]]) -> None:
    present_classes = {row.entry.class_name for row in rows}
    for name in source.classes:
        if name not in present_classes:
            first = next(reason for entry, reason in skipped if entry.class_name == name)
            raise DatasetError(
                "None of the files of the class “{name}” could be read, so the dataset would lack it: "
                "check these files (the first of them: {first})",
                name=name,
                first=first,
            )


def _write_columns(
    file: h5py.File, disk: Disk, source: Source, config: BuildConfig, rows: list[_Row], skipped: list[tuple[Entry, str]]
) -> None:
    labels = [source.classes.index(row.entry.class_name) for row in rows]
    patients = _assign_pseudonyms(rows)
    splits, notes = assign_splits([row.entry.split for row in rows], labels, patients, seed=config.seed)
    notes += [*_describe_patients(rows), *_describe_doubts(rows)]
    notes += describe_split_problems(source.classes, labels, splits, patients, [row.sha256 for row in rows])
    columns = {
        "label": np.array(labels, np.uint16),
        "split": splits,
        "patient": encode_texts(patients),
        "file": encode_texts(row.entry.path for row in rows),
        **{name: encode_texts(getattr(row, name) for row in rows) for name in ("sha256", "format", "mode")},
        **{name: np.array([getattr(row, name) for row in rows], np.int64) for name in ("width", "height", "n_bytes")},
        "skipped/file": encode_texts(entry.path for entry, _ in skipped),
        "skipped/reason": encode_texts(reason for _, reason in skipped),
    }
    write_columns(file, disk, columns)
    attributes = {
        "format": FORMAT,
        "version": VERSION,
        "classes": source.classes,
        "splits": SPLITS,
        "size": config.size,
        "source": source.name,
        "population": config.population or source.population,
        "licence": config.licence or source.licence,
        "drawings": source.is_phantom,
        "seed": config.seed,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "notes": [*source.notes, *notes],
        "messages": records_of([*source.notes, *notes, *(reason for _, reason in skipped)]),
        "versions": {"xrai": __version__, "python": platform.python_version()}
        | {name: version(name) for name in ("h5py", "numpy", "pillow", "pydicom")},
    }
    write_attributes(file, attributes)


def _describe_patients(rows: list[_Row]) -> list[str]:
    """A sentence on how patients were recognised, where some are unknown."""
    n_unknown = sum(row.patient is None for row in rows)
    if not n_unknown:
        return []
    if n_unknown == len(rows):
        return [say("No file or folder tells its patient, so that each scan counts as a patient of its own.")]
    return [
        say_plural(
            "{n:,} scan does not tell its patient, and counts as a patient of its own.",
            "{n:,} scans do not tell their patient, and count as a patient each.",
            n_unknown,
        )
    ]


def _describe_doubts(rows: list[_Row]) -> list[str]:
    """A sentence on the scans whose header contradicts that they are frontal chest X-rays for viewing."""
    doubts = [row.doubt for row in rows if row.doubt]
    if not doubts:
        return []
    return [
        say_plural(
            "{n:,} scan is doubtful by its header, and can be left out: {first}",
            "{n:,} scans are doubtful by their headers, and can be left out; the first: {first}",
            len(doubts),
            first=doubts[0],
        )
    ]


def _describe_missing_classes(classes: Sequence[str], labels: list[int], splits: np.ndarray) -> list[str]:
    """A sentence for each split that lacks a class, for nothing can be measured of it there."""
    notes = []
    is_test_only = bool((splits == SPLITS.index("test")).all())
    for split, name in enumerate(SPLITS):
        if is_test_only and name != "test":
            continue
        present = set(np.asarray(labels)[splits == split].tolist())
        missing = [f"“{classes[label]}”" for label in range(len(classes)) if label not in present]
        if missing:
            notes.append(
                say(
                    "The {split} split holds no scans of {join}, so that nothing can be said "
                    "of that there: too few patients have it, or all its scans carry one patient's name.",
                    split=SPLIT_NAMES[name],
                    join=missing,
                )
            )
    return notes


def _describe_leaks(splits: np.ndarray, patients: list[str], hashes: list[str]) -> list[str]:
    """Sentences on given splits that hold what a model has seen before, for they are kept as they are given."""
    notes = []
    for split, leak in count_leaks(splits, patients, hashes).items():
        split_patients = [
            patient for patient, place in zip(patients, splits, strict=True) if place == SPLITS.index(split)
        ]
        where = say("the {split} split", split=SPLIT_NAMES[split])
        before = SPLIT_NAMES["train"] if split == "val" else say("training or validation")
        if leak.scans:
            notes.append(
                say_plural(
                    "{n:,} of {total:,} scans of {where} is the same file as a scan of {before}: "
                    "figures measured on it flatter the model.",
                    "{n:,} of {total:,} scans of {where} are the same files as scans of {before}: "
                    "figures measured on it flatter the model.",
                    leak.scans,
                    total=len(split_patients),
                    where=where,
                    before=before,
                )
            )
        if leak.patients:
            notes.append(
                say_plural(
                    "{n:,} of {total:,} patients of {where} also has scans in {before}: "
                    "figures measured on it flatter the model.",
                    "{n:,} of {total:,} patients of {where} also have scans in {before}: "
                    "figures measured on it flatter the model.",
                    leak.patients,
                    total=len(set(split_patients)),
                    where=where,
                    before=before,
                )
            )
    return notes


def _assign_pseudonyms(rows: list[_Row]) -> list[str]:
    """A patient key per scan that names nobody; patients who share a file with equal contents count as one.

    Otherwise the same picture could stand in two splits that are drawn here.
    """
    parent: dict[str, str] = {}

    def find(key: str) -> str:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]  # keeps the chains short: a whole hospital may go by one name
            key = parent[key]
        return key

    keys = [f"patient/{row.patient}" if row.patient else f"file/{row.entry.path}" for row in rows]
    for key, row in zip(keys, rows, strict=True):
        parent[find(key)] = find(f"content/{row.sha256}")
    numbers: dict[str, int] = {}
    return [f"p{numbers.setdefault(find(key), len(numbers) + 1):06d}" for key in keys]
