"""The files of a folder or a zip: listed without circles, read one at a time, and refused if made to harm."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from xrai.core.errors import SourceError, system_reason
from xrai.core.language import say
from xrai.scans import MAX_FILE_BYTES

MAX_ZIP_RATIO = 100
MAX_ZIP_FILES = 2_000_000
_UTF8_FLAG = 0x800


def require_path(spec: str) -> Path:
    """The folder or file that a person named.

    Raises:
        SourceError: there is none, or it cannot be opened.
    """
    try:
        path = Path(spec).expanduser()
        if spec.strip() and (path.is_dir() or path.is_file()):
            return path
    except (OSError, RuntimeError) as error:  # a name too long, a folder closed to us, a home of nobody
        raise SourceError(
            "The folder or zip {spec} cannot be opened ({error}): choose another.", spec=spec, error=error
        ) from error
    raise SourceError(
        "There is no folder or zip at {spec}: check it, or choose another.", spec=spec or say("a place without a name")
    )


@dataclass(frozen=True)
class FolderFiles:
    """The files below a folder, wherever its links lead."""

    root: Path

    def names(self) -> list[str]:
        """The paths of all files.

        Raises:
            SourceError: a folder cannot be read.
        """
        try:
            return list(self._walk(self.root, [self.root.resolve()]))
        except OSError as error:
            raise SourceError(
                "The folder {filename} cannot be read ({strerror}): check its permissions.",
                filename=error.filename or self.root,
                strerror=system_reason(error),
            ) from error

    def read(self, path: str) -> bytes:
        """The bytes of a file.

        Raises:
            OSError: it cannot be read any more.
            SourceError: it is larger than a scan can be.
        """
        file = self.root / path
        if file.stat().st_size > MAX_FILE_BYTES:
            raise SourceError(_too_large_message())
        return file.read_bytes()

    def _walk(self, folder: Path, visited_roots: list[Path]) -> Iterator[str]:
        """Files below a folder; a link to a folder is followed once, and never into a tree that is walked anyway."""
        with os.scandir(folder) as items:
            for item in items:
                path, is_link = Path(item.path), item.is_symlink()
                node = path if is_link else item  # pathlib bears a link to nowhere or to itself, the entry is faster
                if node.is_dir():
                    if is_link:
                        target = path.resolve()
                        if any(target.is_relative_to(tree) or tree.is_relative_to(target) for tree in visited_roots):
                            continue
                        visited_roots.append(target)
                    yield from self._walk(path, visited_roots)
                elif node.is_file():
                    yield path.relative_to(self.root).as_posix()


@dataclass(frozen=True)
class ZipFiles:
    """Members are read one at a time, straight from the zip: nothing is ever unpacked to the disk."""

    archive: zipfile.ZipFile

    def names(self) -> list[str]:
        """The paths of all members that are files."""
        return list(self._members)

    def read(self, path: str) -> bytes:
        """The bytes of a member.

        Raises:
            SourceError: it is damaged, packed in an unknown way, or larger than a scan can be.
        """
        try:
            with self.archive.open(self._members[path]) as member:
                content = member.read(MAX_FILE_BYTES + 1)
        except NotImplementedError as error:
            raise SourceError(
                "The file is packed in a way that XRAI does not know: make the zip again with ordinary compression."
            ) from error
        except Exception as error:  # zlib.error and lzma.LZMAError share no base but Exception
            raise SourceError("The file is damaged inside the zip: make the zip again.") from error
        if len(content) > MAX_FILE_BYTES:
            raise SourceError(_too_large_message())
        return content

    @cached_property
    def _members(self) -> dict[str, zipfile.ZipInfo]:
        """Members by their path as it would be on disk; some old tools on Windows write backslashes."""
        infos = {_zip_path(info): info for info in self.archive.infolist()}
        return {str(path): info for path, info in infos.items() if not info.filename.endswith(("/", "\\"))}


@contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """A zip, open for reading and checked before anything is read of it.

    Raises:
        SourceError: it may not be read, is no zip, has a password, or looks as if it was made to harm.
    """
    try:
        archive = zipfile.ZipFile(path)
    except PermissionError as error:
        raise SourceError("{name} may not be read by this account: check its permissions.", name=path.name) from error
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise SourceError(
            "{name} is not a zip file that can be read, perhaps because its upload or download broke off: "
            "give a folder, or make the zip again.",
            name=path.name,
        ) from error
    with archive:
        _check_zip(archive, path)
        yield archive


def _zip_path(info: zipfile.ZipInfo) -> PurePosixPath:
    return PurePosixPath(_zip_name(info).replace("\\", "/"))


def _zip_name(info: zipfile.ZipInfo) -> str:
    """A member's name; macOS and many tools write UTF-8 without its flag, which `zipfile` reads as code page 437."""
    if info.flag_bits & _UTF8_FLAG:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _check_zip(archive: zipfile.ZipFile, path: Path) -> None:
    members = archive.infolist()
    for info in members:
        member_path = _zip_path(info)
        if member_path.is_absolute() or ".." in member_path.parts or re.match(r"[A-Za-z]:", info.filename):
            raise SourceError(
                "{name} names a file outside its own folder, as a zip made to harm does: "
                "make it again from the folder of scans.",
                name=path.name,
            )
    unpacked_bytes = sum(info.file_size for info in members)
    packed_bytes = max(path.stat().st_size, 1)
    if unpacked_bytes > MAX_ZIP_RATIO * packed_bytes or len(members) > MAX_ZIP_FILES:
        raise SourceError(
            "{name} would unpack to {len:,} files and {x:,.0f} times its size, which no "
            "zip of scans does: it is probably damaged or made to harm, so make it again from the folder of scans.",
            name=path.name,
            len=len(members),
            x=unpacked_bytes / packed_bytes,
        )
    if any(info.flag_bits & 0x1 for info in members):
        raise SourceError("{name} is locked with a password: make the zip again without one.", name=path.name)


def _too_large_message() -> str:
    return say(
        "The file is larger than {x} MB, which no scan is: "
        "choose the picture itself or export it at a lower resolution.",
        x=MAX_FILE_BYTES // 1_000_000,
    )
