"""Folders and zips of scans for the tests of sources."""

import zipfile

import pytest

from xrai.core.errors import SourceError
from xrai.data.sources import find_classes, open_source

FLAT = ("NORMAL/a.png", "NORMAL/b.jpg", "SICK/c.dcm", "SICK/d")


SPLIT = (
    "train/NORMAL/a.png",
    "train/SICK/b.png",
    "val/NORMAL/c.png",
    "val/SICK/d.png",
    "test/NORMAL/e.png",
    "test/SICK/f.png",
)


class Listed:
    """Files that are only names."""

    def __init__(self, names):
        self._names = names

    def names(self):
        return list(self._names)

    def read(self, path):
        return path.encode()


def found(*names):
    return find_classes(Listed(names), "some place")


def refusal(*names):
    with pytest.raises(SourceError) as error:
        found(*names)
    return str(error.value)


def folder_of(names, folder):
    """The names as files on disk, each holding its own path."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def zip_of(names, file, **options):
    """The names as members, exactly as they are written here, each holding its own path."""
    with zipfile.ZipFile(file, "w", **options) as archive:
        for name in names:
            info = zipfile.ZipInfo("x")
            info.filename = name  # past ZipInfo's own tidying
            archive.writestr(info, name.encode())
    return file


def seen(spec):
    """All that an opened source holds: classes, entries with their content, notes."""
    with open_source(spec) as source:
        return source.classes, [(entry, source.read(entry)) for entry in source.entries], source.notes


def refused(spec):
    with pytest.raises(SourceError) as error, open_source(spec):
        pass
    message = str(error.value)
    assert "\n" not in message
    return message
