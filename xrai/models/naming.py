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
from xrai.models.default import choose, chosen_name, default_model
from xrai.models.folders import check_idle, stated


def rename(checkpoint: Checkpoint, name: str) -> Checkpoint:
    """Give a run or model another name; if it is the default, it stays that.

    Raises:
        CheckpointError: it is being trained now or gone, the name is bad or taken, or a file of it is in use.
    """
    renamed = open_checkpoint(name)
    check_idle(checkpoint)
    if name == checkpoint.name:
        return checkpoint
    check_free(name, own=checkpoint.name)
    was_default, was_chosen = default_model() == checkpoint, chosen_name() == checkpoint.name
    with stated(say("“{name}” cannot be renamed", name=checkpoint.name)):
        replace_file(checkpoint.folder, renamed.folder)
    if was_chosen or (was_default and default_model() != renamed):
        with stated(say("The model is called “{name}” now, but could not be made the default again", name=name)):
            choose(renamed)
    return renamed


def check_free(name: str, own: str | None = None) -> None:
    """Refuse a name that another folder has; `own` is the name of the folder that is to get it.

    What a model that is gone left under the name is no hindrance: it is removed.

    Raises:
        CheckpointError: it is taken, if only but for upper and lower case.
    """
    taken = _taken()
    if own is not None:
        taken = {folded: known for folded, known in taken.items() if known != own}
    if other := taken.get(_folded(name)):
        if other == name:
            raise CheckpointError(say("The name “{name}” is already taken: choose another name.", name=name))
        raise CheckpointError(
            say("The name “{name}” is already taken by “{other}”: choose another name.", name=name, other=other)
        )
    _clear(name)


def usable(*names: str) -> str:
    """The first of some names that a model can have."""
    for name in names:
        with suppress(CheckpointError):
            return open_checkpoint(name).name
    return "imported model"


def free_variant(name: str) -> str:
    """The name, or where it is taken the first that is free of NAME-2, NAME-3 and so on."""
    taken = _taken()
    short = name if len(name.encode()) <= 70 else name[:35].strip(" .")  # so that a number fits behind it
    names = (name if number == 1 else f"{short}-{number}" for number in count(1))
    free = next(name for name in names if _folded(name) not in taken)
    _clear(free)
    return free


def _taken() -> dict[str, str]:
    """The names in use, by what Windows and macOS tell apart."""
    return {_folded(item.name): item.name for item in checkpoints_dir().iterdir() if not _is_left_over(item)}


def _clear(name: str) -> None:
    """Remove what a model that is gone left under a name, as far as it can be."""
    for item in checkpoints_dir().iterdir():
        if _folded(item.name) == _folded(name) and _is_left_over(item):
            shutil.rmtree(item, ignore_errors=True)


def _is_left_over(item: Path) -> bool:
    """Whether a folder is empty, or holds nothing but the measurements of a model that is gone."""
    try:
        return item.is_dir() and not item.is_symlink() and all(inner.name == EVALUATIONS for inner in item.iterdir())
    except OSError:
        return False


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
