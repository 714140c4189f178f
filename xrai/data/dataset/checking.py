"""Checks of a dataset file before it is read: nothing outside the file, no more rows than it holds, the right kinds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

from xrai.data.sources import SPLITS

TEXT_COLUMNS = ("patient", "file", "sha256", "format", "mode")
COLUMNS = ("label", "split", "patient", "file", "sha256", "format", "mode", "width", "height", "n_bytes")
SKIPPED_COLUMNS = ("skipped/file", "skipped/reason")
TEXT_ATTRIBUTES = ("source", "population", "licence", "created", "classes", "notes", "versions")

MAX_UNPACKED = 2000
"""Bytes of columns to a byte of the file: compression of repeated values gives no more than about a thousand."""


def check_own_storage(file: h5py.File) -> None:
    """Refuse what HDF5 would fetch from another file, and links in a circle.

    Raises:
        ValueError: a column is a link, or is kept in another file.
    """
    for name in ("images", *COLUMNS, *SKIPPED_COLUMNS):
        group, _, leaf = name.rpartition("/")
        for path in filter(None, (group, name)):
            if path in file and not isinstance(file.get(path, getlink=True), h5py.HardLink):
                raise ValueError("link")
        parent: Any = file[group] if group else file
        column: Any = parent[leaf]
        if not isinstance(column, h5py.Dataset) or column.is_virtual or column.external:
            raise ValueError("storage")


def check_columns(file: h5py.File, n_bytes: int) -> None:
    """Check shapes and kinds, and then labels and splits; reads no column that the file cannot hold.

    Args:
        file: open.
        n_bytes: size of the file.

    Raises:
        ValueError: something does not fit.
    """
    columns: dict[str, Any] = {name: file[name] for name in ("images", *COLUMNS, *SKIPPED_COLUMNS)}
    attributes: dict[str, Any] = dict(file.attrs)
    images, size = columns.pop("images"), int(attributes["size"])
    if images.dtype != np.uint8 or images.shape[1:] != (size, size) or not len(images):
        raise ValueError("images")
    if images.id.get_storage_size() < len(images) or len(images) > n_bytes:
        raise ValueError("more scans than the file holds")
    for name, column in columns.items():
        _check_column(name, column, None if name in SKIPPED_COLUMNS else len(images), n_bytes)
    _check_range(columns["label"][()], len(json.loads(attributes["classes"])))
    _check_range(columns["split"][()], len(SPLITS))


def _check_column(name: str, column: Any, n_rows: int | None, n_bytes: int) -> None:
    if column.ndim != 1 or n_rows not in (None, len(column)):
        raise ValueError("columns")
    if column.size * column.dtype.itemsize > MAX_UNPACKED * n_bytes:
        raise ValueError("more than the file holds")
    is_text = name in (*TEXT_COLUMNS, *SKIPPED_COLUMNS)
    if is_text != (h5py.check_string_dtype(column.dtype) is not None) or (
        not is_text and column.dtype.kind not in "iu"
    ):
        raise ValueError(f"kind of {name}")


def _check_range(values: np.ndarray, n: int) -> None:
    if values.min() < 0 or values.max() >= n:
        raise ValueError("labels")


def check_attributes(attributes: Mapping[str, Any]) -> None:
    """Check the kinds of what a dataset says of itself.

    Raises:
        ValueError: something is of another kind, or holds half a character.
    """
    for name in TEXT_ATTRIBUTES:
        if not isinstance(attributes[name], str):
            raise ValueError(f"kind of {name}")
        attributes[name].encode()
    classes = json.loads(attributes["classes"])
    if (
        not _are_texts(classes)
        or len(classes) < 2
        or len(set(classes)) < len(classes)
        or not all(map(str.strip, classes))
    ):
        raise ValueError("classes")
    if not _are_texts(json.loads(attributes["notes"])):
        raise ValueError("notes")
    versions = json.loads(attributes["versions"])
    if not isinstance(versions, dict) or not _are_texts([*versions, *versions.values()]):
        raise ValueError("versions")


def _are_texts(values: Any) -> bool:
    """Whether this is a list of texts; half a character, which no page can show, raises a ValueError."""
    return isinstance(values, list) and all(isinstance(item, str) and item.encode() is not None for item in values)
