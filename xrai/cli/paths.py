"""Resolve the dataset names and paths given on the command line."""

from __future__ import annotations

import os
from pathlib import Path

from xrai.core.errors import SettingsError
from xrai.core.json_files import is_file
from xrai.core.paths import data_dir, home_dir


def find_dataset(text: str) -> Path:
    """A dataset's file from its path, or from its name in `data/`, with or without `.hdf5`."""
    return first_existing(expand_path(text), home_dir() / text, data_dir() / text, data_dir() / f"{text}.hdf5")


def first_existing(*candidates: Path) -> Path:
    """The first candidate that is a file, else the first candidate."""
    return next((item for item in candidates if is_file(item)), candidates[0])


def expand_path(text: str) -> Path:
    """A path with ~ replaced by the home folder."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 -- Path raises if there is no such user


def read_names(file: str | None) -> list[str]:
    """The scan names in a text file, one a line; an empty list if no file is given.

    Raises:
        SettingsError: the file cannot be read.
    """
    if file is None:
        return []
    try:
        lines = expand_path(file).read_text(encoding="utf-8-sig").split("\n")  # other line ends may be part of a name
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text file"
        raise SettingsError(
            "The list of scans {file} cannot be read ({reason}): give a text file with one name per line.",
            file=file,
            reason=reason,
        ) from error
    return [line.strip() for line in lines if line.strip()]
