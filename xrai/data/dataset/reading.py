"""Open and validate HDF5 datasets; access to images, labels and splits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np

from xrai.core.errors import DatasetError, damage_as
from xrai.core.json_files import is_file, last_modified, list_folder
from xrai.core.language import Message, load_json, say
from xrai.core.language.field import MessageField
from xrai.core.paths import data_dir
from xrai.core.records import Record
from xrai.data.dataset.checking import COLUMNS, check_attributes, check_columns, check_own_storage
from xrai.data.dataset.splitting import count_leaks
from xrai.data.description import DatasetDescription, Leakage
from xrai.data.sources import SPLITS

FORMAT = "xrai-dataset"
VERSION = 1


class Skipped(Record):
    """A file that could not be read, and the sentence that says why."""

    file: str
    reason: MessageField


class Dataset:
    """An open HDF5 dataset, a context manager; columns are read on first access.

    Attributes:
        path: the file.
        classes: class names in label order.
        size: side of the stored squares in pixels.
        source: name of the source.
        population: who is in the scans, in words.
        licence: of the scans, in words.
        is_phantom: whether the scans are phantoms without clinical meaning.
        seed: of the split.
        created: ISO time.
        notes: remarks on the source and the splits, for people.
        versions: of the software that built it.
    """

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path = path
        self._file = file
        attributes = _attributes(file)
        self.classes: tuple[str, ...] = tuple(json.loads(attributes["classes"]))
        self.size = int(attributes["size"])
        self.seed = int(attributes["seed"])
        self.source: str = attributes["source"]
        self.population: str = attributes["population"]
        self.licence: str = attributes["licence"]
        self.created: str = attributes["created"]
        self.is_phantom = bool(attributes["drawings"])
        self._messages = _messages(attributes)
        self.notes: tuple[str, ...] = tuple(self._message(note) for note in json.loads(attributes["notes"]))
        self.versions: dict[str, str] = json.loads(attributes["versions"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was read stays usable."""
        self._file.close()

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def labels(self) -> np.ndarray:
        """Class of every scan, int64 (N,), an index into `classes`."""
        return self._column("label").astype(np.int64)

    @cached_property
    def splits(self) -> np.ndarray:
        """Split of every scan, uint8 (N,), an index into `SPLITS`."""
        return self._column("split")

    @cached_property
    def patients(self) -> np.ndarray:
        """Patient key of every scan, str (N,): equal for scans of one patient, and a pseudonym."""
        return self._text("patient")

    @cached_property
    def files(self) -> np.ndarray:
        """Path of every scan in its source, str (N,)."""
        return self._text("file")

    @cached_property
    def hashes(self) -> np.ndarray:
        """SHA-256 of every scan's file, str (N,)."""
        return self._text("sha256")

    @cached_property
    def skipped(self) -> tuple[Skipped, ...]:
        """The files that could not be read when the dataset was built."""
        files, reasons = self._text("skipped/file"), self._text("skipped/reason")
        with _damage(self.path):
            return tuple(
                Skipped(file=file, reason=self._message(reason)) for file, reason in zip(files, reasons, strict=True)
            )

    def file_metadata(self) -> dict[str, np.ndarray]:
        """Metadata of the original files: format, mode, width, height and n_bytes, each (N,)."""
        return dict(self._file_metadata)

    def images(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """The images of some rows in that order, uint8 (n, size, size), 0 = air.

        Raises:
            DatasetError: the file is damaged there.
        """
        out = np.empty((len(rows), self.size, self.size), np.uint8)
        with _damage(self.path):
            h5_images: Any = self._file["images"]
            for i, row in enumerate(rows):
                h5_images.read_direct(out, np.s_[int(row)], np.s_[i])
        return out

    def rows(self, split: str, label: int | None = None) -> np.ndarray:
        """Row numbers of a split, or of one class in it, int64 (n,)."""
        mask = self.splits == SPLITS.index(split)
        return np.flatnonzero(mask if label is None else mask & (self.labels == label))

    def counts(self) -> dict[str, dict[str, int]]:
        """Scans per class and split, `{class: {split: n}}`."""
        return {
            name: {split: len(self.rows(split, label)) for split in SPLITS} for label, name in enumerate(self.classes)
        }

    def leaks(self) -> dict[str, Leakage]:
        """Data leakage into the validation and the test split; see `count_leaks`."""
        return count_leaks(self.splits, self.patients.tolist(), self.hashes.tolist())

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over classes, contents, labels and splits: equal for equal datasets, whatever the file's name."""
        digest = hashlib.sha256(json.dumps([self.classes, self.size]).encode())
        for row in zip(self.hashes.tolist(), self.labels.tolist(), self.splits.tolist(), strict=True):
            digest.update(repr(row).encode())
        return digest.hexdigest()

    def describe(self) -> DatasetDescription:
        """The record that a model's card keeps of the dataset."""
        return DatasetDescription(
            name=self.path.stem,
            fingerprint=self.fingerprint,
            source=self.source,
            population=self.population,
            licence=self.licence,
            is_phantom=self.is_phantom,
            seed=self.seed,
            counts=self.counts(),
            patients={split: len(set(self.patients[self.rows(split)])) for split in SPLITS},
            leaks=self.leaks(),
        )

    @cached_property
    def _file_metadata(self) -> dict[str, np.ndarray]:
        return {name: self._text(name) if name in ("format", "mode") else self._column(name) for name in COLUMNS[5:]}

    def _column(self, name: str) -> np.ndarray:
        with _damage(self.path):
            h5_column: Any = self._file[name]
            return h5_column[()]

    def _message(self, text: str) -> str:
        """A sentence as a message, where the file stores its template and values."""
        return self._messages.get(text, text)

    def _text(self, name: str) -> np.ndarray:
        column = self._column(name)
        with _damage(self.path):
            return np.array(_decode_texts(column), dtype=object)


def list_datasets() -> list[Path]:
    """The datasets in `data/`, newest first; a link to a drive that is not connected is none."""
    files = [item for item in list_folder(data_dir()) if item.match("*.hdf5") and is_file(item)]
    return sorted(files, key=lambda file: last_modified(data_dir(), file.name), reverse=True)


def open_dataset(path: Path | str) -> Dataset:
    """Open a dataset for reading, after checking that it is whole.

    Raises:
        DatasetError: there is no such file, it is cut short or damaged, or it is no XRAI dataset.
    """
    path = Path(path)
    if not is_file(path):
        raise DatasetError("There is no dataset at {path}: check the name, or build it first.", path=path)
    try:
        with _damage(path):
            # A dataset never changes once it has its name, and network drives often have no locks.
            file = h5py.File(path, "r", locking=False)
    except DatasetError as error:
        if isinstance(error.__cause__, PermissionError):
            raise DatasetError(
                "The dataset {name} may not be read by this account: check its permissions.", name=path.name
            ) from error
        raise
    try:
        with _damage(path):
            _check_format(file, path)
            return Dataset(path, file)
    except DatasetError:
        file.close()
        raise


def _check_format(file: h5py.File, path: Path) -> None:
    attributes = _attributes(file)
    if attributes.get("format") != FORMAT:
        raise DatasetError(
            "{name} is an HDF5 file, but not a dataset of XRAI: build one from your scans.", name=path.name
        )
    if int(attributes["version"]) > VERSION:
        raise DatasetError(
            "{name} was built by a newer XRAI: update this one, or build the dataset again.", name=path.name
        )
    check_own_storage(file)
    check_attributes(attributes)
    check_columns(file, path.stat().st_size)


def _damage(path: Path) -> AbstractContextManager[None]:
    """One sentence for any exception: HDF5 trusts what it reads, so that a flipped byte may surface anywhere."""
    message = say(
        "The dataset {name} is damaged or cut short, perhaps because a copy broke off: "
        "copy it again, or build it again from its scans.",
        name=path.name,
    )
    return damage_as(DatasetError, message, Exception)


def _attributes(file: h5py.File) -> dict[str, Any]:
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in file.attrs.items()}


def _messages(attributes: Mapping[str, Any]) -> dict[str, str]:
    """The messages that the file stores, by their English sentences; older files have none."""
    messages = load_json(attributes.get("messages", "[]"))
    if not isinstance(messages, list) or not all(isinstance(item, Message) for item in messages):
        raise ValueError("messages")
    return {str(item): item for item in messages}


def _decode_texts(values: np.ndarray) -> list[str]:
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]
