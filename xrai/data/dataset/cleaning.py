"""Cleaning: a new dataset without some scans of another, everything else as it was."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from xrai.core.errors import DatasetError
from xrai.core.language import say
from xrai.data.dataset.build import describe_split_problems
from xrai.data.dataset.checking import COLUMNS
from xrai.data.dataset.reading import FORMAT, VERSION, Dataset
from xrai.data.dataset.splitting import TRAIN
from xrai.data.dataset.writing import (
    Disk,
    ProgressEmitter,
    create_images,
    encode_texts,
    records_of,
    refuse_existing,
    write_atomically,
    write_attributes,
    write_columns,
)
from xrai.data.sources import SPLITS


def copy_without(
    dataset: Dataset,
    out: Path,
    rows: Collection[int],
    *,
    note: str,
    emit: Callable[[dict[str, Any]], None] = lambda record: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Copy a dataset to `out` without some of its scans; every other scan keeps its split, label and patient.

    Nothing is left at `out` unless the copy is whole.

    Args:
        dataset: open; it stays as it is.
        out: the file to make; must not exist.
        rows: what to leave out.
        note: a sentence for the copy's notes, on what was taken out of what.
        emit: takes records {kind: "progress", done, total, skipped, images_per_second, seconds_left}.
        should_stop: asked after every scan.

    Returns:
        Whether the copy was made; False when it was stopped.

    Raises:
        DatasetError: `out` exists, there is nothing to take out, a row is not in the dataset, a class or the training
            split would be empty, the dataset is damaged, or the disk is full.
    """
    refuse_existing(out)
    kept_rows = _remaining_rows(dataset, rows)
    return write_atomically(
        out,
        len(kept_rows) * dataset.size**2,
        lambda file, disk: _copy_scans(file, disk, dataset, kept_rows, note, emit, should_stop),
    )


def describe_removal(dataset: Dataset, rows: Collection[int], why: str) -> str:
    """The sentence for the notes of a cleaned copy, such as “12 of 317 scans of covid19 were taken out (…)”."""
    n, total = len(set(rows)), len(dataset)
    counts = {split: len(set(rows) & set(dataset.rows(split).tolist())) for split in SPLITS}
    words = {
        "train": say("train {counts:,}", counts=counts["train"]),
        "val": say("val {counts:,}", counts=counts["val"]),
        "test": say("test {counts:,}", counts=counts["test"]),
    }
    places = [words[split] for split in SPLITS if counts[split]]
    if n == 1:
        return say(
            "1 of {total:,} scans of {stem} was taken out ({places}): {why}.",
            total=total,
            stem=dataset.path.stem,
            places=places[0],
            why=why,
        )
    return say(
        "{n:,} of {total:,} scans of {stem} were taken out ({join}): {why}.",
        n=n,
        total=total,
        stem=dataset.path.stem,
        join=places,
        why=why,
    )


def find_rows_by_name(dataset: Dataset, names: Collection[str]) -> list[int]:
    """The rows of some files, by their names in the dataset, or by the last part where only one file has it.

    Raises:
        DatasetError: there is no such file, or several.
    """
    rows = []
    for name in dict.fromkeys(names):
        matches = [row for row, file in enumerate(dataset.files) if file == name]
        matches = matches or [row for row, file in enumerate(dataset.files) if file.rsplit("/", 1)[-1] == name]
        if len(matches) != 1:
            how = say("is not in") if not matches else say("is the name of several files in")
            raise DatasetError(
                "“{name}” {how} the dataset {name2}: name the file as its folders do.",
                name=name,
                how=how,
                name2=dataset.path.name,
            )
        rows += matches
    return sorted(set(rows))


def _remaining_rows(dataset: Dataset, rows: Collection[int]) -> np.ndarray:
    """The rows that stay, ascending, int64 (n,)."""
    n = len(dataset)
    if not rows:
        raise DatasetError("There is nothing to take out: the dataset can be used as it is.")
    if not all(0 <= row < n for row in rows):
        raise DatasetError(
            "Some of the scans to take out are not in {name}: audit the dataset again.", name=dataset.path.name
        )
    kept_rows = np.delete(np.arange(n), np.array(sorted(rows), np.int64))
    _refuse_missing_classes(dataset, kept_rows)
    return kept_rows


def _refuse_missing_classes(dataset: Dataset, kept_rows: np.ndarray) -> None:
    for label, name in enumerate(dataset.classes):
        if not np.any(dataset.labels[kept_rows] == label):
            raise DatasetError("Nothing of the class “{name}” would be left: take fewer scans out.", name=name)
    if not np.any(dataset.splits[kept_rows] == TRAIN):
        raise DatasetError("Nothing would be left to train on: take fewer scans out.")


def _copy_scans(
    file: h5py.File,
    disk: Disk,
    dataset: Dataset,
    kept_rows: np.ndarray,
    note: str,
    emit: Callable[[dict[str, Any]], None],
    should_stop: Callable[[], bool],
) -> bool:
    images, progress = create_images(file, dataset.size), ProgressEmitter(len(kept_rows), emit)
    images.resize(len(kept_rows), axis=0)
    for position, row in enumerate(kept_rows.tolist()):
        if should_stop():
            return False
        images[position] = dataset.images([row])[0]
        disk.check()
        progress.update(position + 1, 0)
    write_columns(file, disk, _columns(dataset, kept_rows))
    write_attributes(file, _attributes(dataset, kept_rows, note))
    return True


def _columns(dataset: Dataset, kept_rows: np.ndarray) -> dict[str, np.ndarray]:
    source_columns: dict[str, Any] = {
        "label": dataset.labels.astype(np.uint16),
        "split": dataset.splits,
        "patient": dataset.patients,
        "file": dataset.files,
        "sha256": dataset.hashes,
        **dataset.file_metadata(),
    }
    columns = {name: source_columns[name][kept_rows] for name in COLUMNS}
    skipped: dict[str, Sequence[str]] = {
        "skipped/file": [item.file for item in dataset.skipped],
        "skipped/reason": [item.reason for item in dataset.skipped],
    }
    return {name: encode_texts(column) if column.dtype == object else column for name, column in columns.items()} | {
        name: encode_texts(column) for name, column in skipped.items()
    }


def _attributes(dataset: Dataset, kept_rows: np.ndarray, note: str) -> dict[str, Any]:
    notes = _notes(dataset, kept_rows, note)
    return {
        "format": FORMAT,
        "version": VERSION,
        "classes": dataset.classes,
        "splits": SPLITS,
        "size": dataset.size,
        "source": dataset.source,
        "population": dataset.population,
        "licence": dataset.licence,
        "drawings": dataset.is_phantom,
        "seed": dataset.seed,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "notes": notes,
        "messages": records_of([*notes, *(item.reason for item in dataset.skipped)]),
        "versions": dataset.versions,
    }


def _notes(dataset: Dataset, kept_rows: np.ndarray, note: str) -> list[str]:
    """The notes as they were, but for those that count scans: these are counted again."""
    old_notes = set(_split_notes(dataset, np.arange(len(dataset))))
    return [*(line for line in dataset.notes if line not in old_notes), *_split_notes(dataset, kept_rows), note]


def _split_notes(dataset: Dataset, rows: np.ndarray) -> list[str]:
    patients, hashes = dataset.patients[rows].tolist(), dataset.hashes[rows].tolist()
    return describe_split_problems(
        dataset.classes, dataset.labels[rows].tolist(), dataset.splits[rows], patients, hashes
    )
