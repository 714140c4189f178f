"""Every error that XRAI states on purpose; the message is one sentence made for the person who reads it.

    XraiError
    ├── SettingsError     a setting or an option that cannot be used
    ├── ScanError         a file that cannot be read as a chest X-ray
    ├── SourceError       a folder, zip or download that holds no usable classes
    ├── DatasetError      an HDF5 dataset that is missing, damaged, or cannot be built
    ├── CheckpointError   a model folder that is missing, damaged or foreign
    ├── WeightsError      pretrained weights that cannot be had
    ├── TrainingError     a run that cannot start or go on
    └── JobError          a job that is already running, or is not

A message says what happened, the likely cause and what to do. It never holds pixels or a patient's name.
"""

from __future__ import annotations

from typing import Any

from xrai.core.language import N_, Message, say

SYSTEM_REASONS = (
    N_("Permission denied"), N_("Operation not permitted"), N_("Read-only file system"),
    N_("No space left on device"), N_("Disk quota exceeded"), N_("File too large"),
    N_("No such file or directory"), N_("Not a directory"), N_("Is a directory"), N_("File exists"),
    N_("File name too long"), N_("Input/output error"), N_("Device or resource busy"),
    N_("Too many open files"), N_("Cannot allocate memory"),
)  # fmt: skip
"""What a system says most often of a failure; the errors below quote it."""


class XraiError(Exception):
    """The base of all stated errors: print the message, with no traceback.

    Args:
        message: one sentence, or its template, as in `say`.
        values: of the template's fields.

    Attributes:
        message: the sentence for the reader, `translate(error.message)`; `str(error)` is the same in English.
    """

    def __init__(self, message: str = "", /, **values: Any) -> None:
        self.message = message if isinstance(message, Message) else say(message, **values)
        super().__init__(self.message)


class SettingsError(XraiError):
    """A setting or an option that cannot be used."""


class ScanError(XraiError):
    """A file that cannot be read as a chest X-ray."""


class SourceError(XraiError):
    """A folder, zip or download that holds no usable classes."""


class DatasetError(XraiError):
    """An HDF5 dataset that is missing, damaged, or cannot be built."""


class CheckpointError(XraiError):
    """A model folder that is missing, damaged or foreign."""


class WeightsError(XraiError):
    """Pretrained weights that cannot be had."""


class TrainingError(XraiError):
    """A run that cannot start or go on."""


class JobError(XraiError):
    """A job that is already running, or is not."""


def describe_error(error: Exception) -> str:
    """The message of a stated error; of any other, what the machine lacks."""
    if isinstance(error, XraiError):
        return error.message
    if isinstance(error, MemoryError):
        return say("This does not fit into the machine's memory: close other programs, or ask for less at once.")
    if isinstance(error, OSError):
        return say(
            "{filename} cannot be read or written ({strerror}): free some disk space, or check the folder's rights.",
            filename=error.filename or N_("A file"),
            strerror=system_reason(error),
        )
    return say("Something happened that XRAI does not know: try again, and see the log if it stays.")


def system_reason(error: OSError) -> Message:
    """What the operating system says of a failure, translated where it is one of `REASONS`."""
    return Message(error.strerror or str(error))
