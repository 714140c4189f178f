"""Exception hierarchy of XRAI; every message is one sentence for the user.

    XraiError
    ├── SettingsError     an invalid setting or option
    ├── ScanError         a file that cannot be read as a chest X-ray
    ├── SourceError       a folder, zip or download without usable classes
    ├── DatasetError      an HDF5 dataset that is missing, damaged, or cannot be built
    ├── CheckpointError   a model folder that is missing, damaged or foreign
    ├── WeightsError      pretrained weights that cannot be loaded
    ├── TrainingError     a run that cannot start or resume
    └── JobError          a job that cannot be started, stopped or deleted

A message says what happened, the likely cause and what to do. It never contains pixels or a patient's name.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from xrai.core.language import N_, Message, say

SYSTEM_REASONS = (
    N_("Permission denied"),
    N_("Operation not permitted"),
    N_("Read-only file system"),
    N_("No space left on device"),
    N_("Disk quota exceeded"),
    N_("File too large"),
    N_("No such file or directory"),
    N_("Not a directory"),
    N_("Is a directory"),
    N_("File exists"),
    N_("File name too long"),
    N_("Input/output error"),
    N_("Device or resource busy"),
    N_("Too many open files"),
    N_("Cannot allocate memory"),
)
"""The most common reasons of the operating system; `system_reason` translates them."""

DAMAGE_ERRORS = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What reading a damaged or foreign file raises; pydantic's ValidationError is a ValueError."""


class XraiError(Exception):
    """The base class: print its message, without a traceback.

    Args:
        message: one sentence, or its template, as in `say`.
        values: of the template's fields.

    Attributes:
        message: the sentence; `translate(error.message)` shows it in the reader's language, `str(error)` in English.
    """

    def __init__(self, message: str = "", /, **values: Any) -> None:
        self.message = message if isinstance(message, Message) else say(message, **values)
        super().__init__(self.message)


class SettingsError(XraiError):
    """An invalid setting or option."""


class ScanError(XraiError):
    """A file that cannot be read as a chest X-ray."""


class SourceError(XraiError):
    """A folder, zip or download without usable classes."""


class DatasetError(XraiError):
    """An HDF5 dataset that is missing, damaged, or cannot be built."""


class CheckpointError(XraiError):
    """A model folder that is missing, damaged or foreign."""


class WeightsError(XraiError):
    """Pretrained weights that cannot be loaded."""


class TrainingError(XraiError):
    """A run that cannot start or resume."""


class JobError(XraiError):
    """A job that cannot be started, stopped or deleted."""


@contextmanager
def damage_as(error_type: type[XraiError], message: str, *also: type[Exception]) -> Iterator[None]:
    """Replace what a damaged or foreign file raises within the block by one sentence.

    Args:
        error_type: the error to raise instead.
        message: its sentence.
        also: caught besides `DAMAGE_ERRORS`, such as SafetensorError; errors of XRAI always pass unchanged.
    """
    try:
        yield
    except XraiError:
        raise
    except (*DAMAGE_ERRORS, *also) as error:
        raise error_type(message) from error


def describe_error(error: Exception) -> str:
    """The sentence for any error: the message of an `XraiError`, else the likely cause."""
    if isinstance(error, XraiError):
        return error.message
    if isinstance(error, MemoryError):
        return say("This does not fit into the machine's memory: close other programs, or ask for less at once.")
    if isinstance(error, OSError):
        return say(
            "{filename} cannot be read or written ({strerror}): "
            "free some disk space, or check the folder's permissions.",
            filename=error.filename or N_("A file"),
            strerror=system_reason(error),
        )
    return say("Something happened that XRAI does not know: try again, and see the log if it stays.")


def system_reason(error: OSError) -> Message:
    """The reason that the operating system gives; translated where it is one of `SYSTEM_REASONS`."""
    return Message(error.strerror or str(error))
