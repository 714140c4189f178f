"""The names of runs and models: give one another name, find one that is free."""

from __future__ import annotations

import shutil
import unicodedata
from contextlib import suppress
from itertools import count
from pathlib import Path

from xrai.core.errors import CheckpointError
from xrai.core.json_files import replace_file
from xrai.core.language import say
from xrai.core.paths import checkpoints_dir
from xrai.models.checkpoint import EVALUATIONS, Checkpoint, open_checkpoint
from xrai.models.default import default_model, read_default_name, write_default
from xrai.models.folders import check_idle, convert_disk_errors


def rename(checkpoint: Checkpoint, name: str) -> Checkpoint:
    """Give a run or model another name; if it is the default, it stays that.

    Raises:
        CheckpointError: it is being trained now or gone, the name is bad or taken, or a file of it is in use.
    """
    target = open_checkpoint(name)
    check_idle(checkpoint)
    if name == checkpoint.name:
        return checkpoint
    check_name_free(name, own_name=checkpoint.name)
    was_default, was_set_default = default_model() == checkpoint, read_default_name() == checkpoint.name
    with convert_disk_errors(say("“{name}” cannot be renamed", name=checkpoint.name)):
        replace_file(checkpoint.folder, target.folder)
    if was_set_default or (was_default and default_model() != target):
        with convert_disk_errors(
            say("The model is called “{name}” now, but could not be made the default again", name=name)
        ):
            write_default(target)
    return target


def check_name_free(name: str, own_name: str | None = None) -> None:
    """Refuse a name that another folder has; `own` is the name of the folder that is to get it.

    What a model that is gone left under the name is no hindrance: it is removed.

    Raises:
        CheckpointError: it is taken, if only but for upper and lower case.
    """
    used_names = _names_in_use()
    if own_name is not None:
        used_names = {folded: used_name for folded, used_name in used_names.items() if used_name != own_name}
    if other := used_names.get(_fold_name(name)):
        if other == name:
            raise CheckpointError("The name “{name}” is already taken: choose another name.", name=name)
        raise CheckpointError(
            "The name “{name}” is already taken by “{other}”: choose another name.", name=name, other=other
        )
    _remove_leftovers(name)


def first_valid_name(*names: str) -> str:
    """The first of some names that a model can have."""
    for name in names:
        with suppress(CheckpointError):
            return open_checkpoint(name).name
    return "imported model"


def find_free_name(name: str) -> str:
    """The name, or where it is taken the first that is free of NAME-2, NAME-3 and so on."""
    used_names = _names_in_use()
    short_name = name if len(name.encode()) <= 70 else name[:35].strip(" .")  # so that a number fits behind it
    names = (name if number == 1 else f"{short_name}-{number}" for number in count(1))
    free_name = next(name for name in names if _fold_name(name) not in used_names)
    _remove_leftovers(free_name)
    return free_name


def _names_in_use() -> dict[str, str]:
    """The names in use, by what Windows and macOS tell apart."""
    return {_fold_name(item.name): item.name for item in checkpoints_dir().iterdir() if not _is_left_over(item)}


def _remove_leftovers(name: str) -> None:
    """Remove what a model that is gone left under a name, as far as it can be."""
    for item in checkpoints_dir().iterdir():
        if _fold_name(item.name) == _fold_name(name) and _is_left_over(item):
            shutil.rmtree(item, ignore_errors=True)


def _is_left_over(item: Path) -> bool:
    """Whether a folder is empty, or holds nothing but the measurements of a model that is gone."""
    try:
        return item.is_dir() and not item.is_symlink() and all(inner.name == EVALUATIONS for inner in item.iterdir())
    except OSError:
        return False


def _fold_name(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
