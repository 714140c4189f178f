"""Delete a dataset with its audit and its jobs, unless it is in use."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from xrai.core import jobs
from xrai.core.errors import DatasetError, system_reason
from xrai.data.audit import audit_file
from xrai.data.jobs import audit_folder, build_folder


def delete_dataset(path: Path, *, models_in_training: Sequence[str] = ()) -> None:
    """Delete a dataset's file, its audit and its jobs.

    Args:
        path: the dataset.
        models_in_training: names of the models that are being trained on it.

    Raises:
        DatasetError: it is in use, or cannot be deleted.
    """
    _refuse_in_use(path, models_in_training)
    try:
        path.unlink(missing_ok=True)
        audit_file(path).unlink(missing_ok=True)
    except OSError as error:
        raise DatasetError(
            "“{name}” cannot be deleted now ({why}): close whatever uses it and try again.",
            name=path.stem,
            why=system_reason(error),
        ) from error
    for folder in (audit_folder(path), build_folder(path)):
        shutil.rmtree(folder, ignore_errors=True)


def _refuse_in_use(path: Path, models_in_training: Sequence[str]) -> None:
    if jobs.Job(audit_folder(path)).is_active:
        raise DatasetError("“{name}” is being checked: stop that first, or wait.", name=path.stem)
    for job in jobs.list_active(build_folder(path).parent):
        if job.details.reads == str(path):
            raise DatasetError("“{name}” is being made from it: stop that first, or wait.", name=job.title)
    for name in models_in_training:
        raise DatasetError("The model “{name}” is being trained on it: stop that first, or wait.", name=name)
