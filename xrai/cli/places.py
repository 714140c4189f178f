"""The files and folders that words on the command line mean."""

from __future__ import annotations

import os
from pathlib import Path

from xrai.settings import data_dir, home


def dataset_path(given: str) -> Path:
    """A dataset's file from a path, or from its name in `data/`, with or without `.hdf5`."""
    return first_file(path_of(given), home() / given, data_dir() / given, data_dir() / f"{given}.hdf5")


def first_file(*candidates: Path) -> Path:
    """The first of them that is a file; else the first of them."""
    return next((item for item in candidates if item.is_file()), candidates[0])


def path_of(given: str) -> Path:
    """A path as it is typed, with ~ for the home folder."""
    return Path(os.path.expanduser(given))  # noqa: PTH111 -- Path raises where there is no such user
