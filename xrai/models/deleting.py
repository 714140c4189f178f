"""Deleting runs and models for good."""

from __future__ import annotations

import shutil
from contextlib import suppress

from xrai.core.json_files import replace_file
from xrai.core.language import say
from xrai.core.paths import checkpoints_dir
from xrai.models.checkpoint import DEFAULT, Checkpoint
from xrai.models.default import read_default_name
from xrai.models.folders import DELETED, check_idle, clear_leftovers, convert_disk_errors, new_folder


def delete(checkpoint: Checkpoint) -> None:
    """Remove a run or model for good; it is moved aside first, so that half of one is never listed.

    Raises:
        CheckpointError: it is being trained now or gone, or a file of it is in use.
    """
    check_idle(checkpoint)
    clear_leftovers()
    was_default = read_default_name() == checkpoint.name
    with convert_disk_errors(say("“{name}” cannot be deleted", name=checkpoint.name)):
        trash_folder = new_folder(DELETED)
        try:
            replace_file(checkpoint.folder, trash_folder / checkpoint.name)
        except OSError:
            trash_folder.rmdir()
            raise
    with suppress(OSError):  # a name that is noted but gone counts as none chosen
        if was_default:
            (checkpoints_dir() / DEFAULT).unlink()
    is_left = convert_disk_errors(
        say("“{name}” is deleted, but some of its files stay until a deletion tomorrow or later", name=checkpoint.name)
    )
    with is_left, suppress(FileNotFoundError):  # somebody clears up too
        shutil.rmtree(trash_folder)
