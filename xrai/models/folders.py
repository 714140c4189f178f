"""What changes of models' folders share: whether they may be done, and what is said when the disk forbids them."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from xrai.core.errors import CheckpointError, system_reason
from xrai.core.jobs import Job, list_active
from xrai.core.paths import checkpoints_dir
from xrai.models.card import Card
from xrai.models.checkpoint import EVALUATIONS, Checkpoint, calibration_folder

DELETED, IMPORT, FOLD = ".deleted-", ".import-", ".fold-"
"""How folders beside the models are called, in which one lies that is on its way out or in, or that only a benchmark
needs."""

_STALE_SECONDS = 24 * 3600
"""No deletion or import takes so long, nor an epoch of a benchmark: what is older was left by a process that died."""


def check_exists(checkpoint: Checkpoint) -> None:
    """Refuse a run or model that is gone.

    Raises:
        CheckpointError: it is.
    """
    if not checkpoint.folder.is_dir():
        raise CheckpointError(
            "There is no model or run “{name}” any more, probably because it was renamed or deleted "
            "meanwhile: choose it anew from the list.",
            name=checkpoint.name,
        )


def check_idle(checkpoint: Checkpoint) -> None:
    """Refuse a run or model that a process is writing to.

    Raises:
        CheckpointError: it is being trained, calibrated or measured now, or gone.
    """
    check_exists(checkpoint)
    if Job(checkpoint.folder).is_active:
        raise CheckpointError(
            "“{name}” is being trained now: wait until it is done, or stop it first.", name=checkpoint.name
        )
    if Job(calibration_folder(checkpoint.folder)).is_active:
        raise CheckpointError("“{name}” is being calibrated now: wait until that is done.", name=checkpoint.name)
    if list_active(checkpoint.folder / EVALUATIONS):
        raise CheckpointError(
            "“{name}” is being measured now: wait until that is done, or stop it first.", name=checkpoint.name
        )


def check_model(checkpoint: Checkpoint) -> Card:
    """The card of a model; anything else is refused.

    Raises:
        CheckpointError: it is no finished model, its card is damaged, or it is gone.
    """
    check_exists(checkpoint)
    if not checkpoint.is_model:
        raise CheckpointError(
            "“{name}” is no finished model yet, probably because its training broke off before the end "
            "of its first epoch: let the training go on, or choose another.",
            name=checkpoint.name,
        )
    return checkpoint.read_card()


@contextmanager
def convert_disk_errors(what: str) -> Iterator[None]:
    """Say what cannot be done when the disk or another program forbids it.

    Raises:
        CheckpointError: in place of an OSError of the body.
    """
    try:
        yield
    except PermissionError as error:
        raise CheckpointError(
            "{what} because files may be in use or may not be written ({strerror}): "
            "close other programs that use them, and check the folder's rights.",
            what=what,
            strerror=system_reason(error),
        ) from error
    except OSError as error:
        raise CheckpointError(
            "{what} ({strerror}): free some disk space, and check that the folder is there.",
            what=what,
            strerror=system_reason(error),
        ) from error


def new_folder(prefix: str) -> Path:
    """A fresh folder beside the models; what lies in a folder within it is listed nowhere."""
    return Path(tempfile.mkdtemp(prefix=prefix, dir=checkpoints_dir()))


def clear_leftovers() -> None:
    """Remove what deletions, imports and benchmarks that broke off have left, as far as it can be."""
    for prefix in (DELETED, IMPORT, FOLD):
        for item in checkpoints_dir().glob(f"{prefix}*"):
            with suppress(OSError):
                if time.time() - item.stat().st_mtime > _STALE_SECONDS:
                    shutil.rmtree(item, ignore_errors=True)
