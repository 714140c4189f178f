"""What people write about a run or model."""

from __future__ import annotations

import unicodedata

from xrai.core.errors import CheckpointError
from xrai.core.json_files import atomic_file
from xrai.core.language import say
from xrai.models.checkpoint import Checkpoint
from xrai.models.folders import check_exists, convert_disk_errors

NOTE = "note.txt"
MAX_NOTE = 2000


def read_note(checkpoint: Checkpoint) -> str:
    """What people wrote about a run or model; "" where there is nothing that can be read."""
    try:
        with (checkpoint.folder / NOTE).open(encoding="utf-8-sig", errors="replace") as file:
            return _printable(file.read(MAX_NOTE))
    except OSError:
        return ""


def set_note(checkpoint: Checkpoint, text: str) -> None:
    """Write about a run or model in place of what was written before; an empty text removes it.

    Raises:
        CheckpointError: the text is too long, the run or model is gone, or the disk is full.
    """
    text = _printable(text)
    if len(text) > MAX_NOTE:
        raise CheckpointError(
            "The note has {len:,} characters, more than the {MAX_NOTE:,} that are kept: shorten it.",
            len=len(text),
            MAX_NOTE=MAX_NOTE,
        )
    check_exists(checkpoint)
    with convert_disk_errors(say("The note on “{name}” cannot be saved", name=checkpoint.name)):
        write_note(checkpoint, text)


def write_note(checkpoint: Checkpoint, text: str) -> None:
    """Write a note, all or nothing; an empty one removes it.

    Raises:
        OSError: the disk is full; the note before is still there.
    """
    file = checkpoint.folder / NOTE
    if not text:
        file.unlink(missing_ok=True)
        return
    with atomic_file(file) as partial:
        partial.write_bytes(text.encode())


def _printable(text: str) -> str:
    """The text with plain line ends, and without control characters and halves of characters."""
    text = "\n".join(text.splitlines())
    return "".join(
        character for character in text if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cs")
    ).strip()
