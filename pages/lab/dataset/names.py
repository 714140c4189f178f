"""What a dataset that is about to be made may be called."""

from __future__ import annotations

import re
from pathlib import Path

from xrai.core.errors import CheckpointError, DatasetError
from xrai.core.language import tr
from xrai.core.paths import data_dir
from xrai.models.checkpoint import open_checkpoint


def new_dataset_path(name: str) -> Path:
    """The file of a dataset to make.

    Raises:
        DatasetError: it is no name, or taken.
    """
    name = name.strip()
    try:
        open_checkpoint(name)  # what is no name for a model's folder is none for a file either
    except CheckpointError as error:
        raise DatasetError(
            tr(
                "“{name}” cannot be a dataset's name: use up to 80 letters, digits, spaces, and - _ + . in between, and "
                "no name that XRAI or Windows keeps for itself.",
                name=name,
            )
        ) from error
    out = data_dir() / f"{name}.hdf5"
    if out.exists():
        raise DatasetError(
            tr("There is already a dataset “{name}”: choose another name, or delete it first.", name=name)
        )
    return out


def free_name(preferred: str) -> str:
    """A name that no dataset has, close to the one that is wanted."""
    stem = re.sub(r"[^\w.+-]+", "-", preferred).strip("-.") or "dataset"
    names = [stem, *(f"{stem}-{number}" for number in range(2, 1000))]
    return next(name for name in names if not (data_dir() / f"{name}.hdf5").exists())
