"""The files and folders that words on the command line mean."""

from __future__ import annotations

import os
from pathlib import Path

from xrai.core.errors import SettingsError
from xrai.core.paths import data_dir, home_dir


def find_dataset(text: str) -> Path:
    """A dataset's file from a path, or from its name in `data/`, with or without `.hdf5`."""
    return first_existing(expand_path(text), home_dir() / text, data_dir() / text, data_dir() / f"{text}.hdf5")


def first_existing(*candidates: Path) -> Path:
    """The first of them that is a file; else the first of them."""
    return next((item for item in candidates if item.is_file()), candidates[0])


def expand_path(text: str) -> Path:
    """A path as it is typed, with ~ for the home folder."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 -- Path raises where there is no such user


def read_names(file: str | None) -> list[str]:
    """The names of scans in a text file, one a line; none where there is no file.

    Raises:
        SettingsError: it cannot be read.
    """
    if file is None:
        return []
    try:
        lines = expand_path(file).read_text(encoding="utf-8-sig").split("\n")  # a file's name may hold other line ends
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SettingsError(
            f"The list {file} of scans to leave out cannot be read ({reason}): give a text file that names one a line."
        ) from error
    return [line.strip() for line in lines if line.strip()]
