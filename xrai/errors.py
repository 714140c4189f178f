"""Every error that XRAI states on purpose; the message is one sentence made for the person who reads it.

    XraiError
    ├── SettingsError     a setting or an option that cannot be used
    ├── ScanError         a file that cannot be read as a chest X-ray
    │   └── RefusedError  a picture that is none, or one that must be mended first
    ├── SourceError       a folder, zip or download that holds no usable classes
    ├── DatasetError      an HDF5 dataset that is missing, damaged, or cannot be built
    ├── CheckpointError   a model folder that is missing, damaged or foreign
    ├── WeightsError      pretrained weights that cannot be had
    ├── TrainingError     a run that cannot start or go on
    └── JobError          a job that is already running, or is not

A message says what happened, the likely cause and what to do. It never holds pixels or a patient's name.
"""

from __future__ import annotations

from xrai.language import marked

REASONS = (
    marked("Permission denied"), marked("Operation not permitted"), marked("Read-only file system"),
    marked("No space left on device"), marked("Disk quota exceeded"), marked("File too large"),
    marked("No such file or directory"), marked("Not a directory"), marked("Is a directory"), marked("File exists"),
    marked("File name too long"), marked("Input/output error"), marked("Device or resource busy"),
    marked("Too many open files"), marked("Cannot allocate memory"),
)  # fmt: skip
"""What a system says most often of a failure; the errors below quote it."""


class XraiError(Exception):
    """The base of all stated errors: print it as it is, with no traceback."""


class SettingsError(XraiError):
    """A setting or an option that cannot be used."""


class ScanError(XraiError):
    """A file that cannot be read as a chest X-ray."""


class RefusedError(ScanError):
    """A picture that a model does not read, since it does not look like what it knows.

    Attributes:
        mend: the change after which it would (`xrai.gate.MENDS`); None where none helps.
    """

    def __init__(self, sentence: str, mend: str | None = None) -> None:
        super().__init__(sentence)
        self.mend = mend


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


def in_a_sentence(error: Exception) -> str:
    """What to tell a person: a stated error's own words, else what the machine lacks."""
    if isinstance(error, XraiError):
        return str(error)
    if isinstance(error, MemoryError):
        return "This does not fit into the machine's memory: close other programs, or ask for less at once."
    if isinstance(error, OSError):
        return (
            f"{error.filename or 'A file'} cannot be read or written ({error.strerror or error}): "
            "free some disk space, or check the folder's rights."
        )
    return "Something happened that XRAI does not know: try again, and see the log if it stays."
