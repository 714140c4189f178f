"""Open a source by its name, list the local ones, and store uploaded zips."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO

from xrai.core.errors import SourceError, system_reason
from xrai.core.language import say
from xrai.core.paths import inbox_dir, source_roots
from xrai.data.sources.classes import Source, find_classes
from xrai.data.sources.files import FolderFiles, ZipFiles, open_zip, require_path
from xrai.data.sources.kaggle import KAGGLE_PREFIX, download, find_kaggle_set
from xrai.scans import phantoms

PRACTICE_SPEC = "phantoms"


@contextmanager
def open_source(spec: str | Path, *, practice_seed: int = 0) -> Iterator[Source]:
    """The source that `spec` names: a folder's or zip's path, `phantoms`, or `kaggle:OWNER/NAME`.

    Raises:
        SourceError: there is nothing there, it cannot be read or downloaded, or holds fewer than two classes.
    """
    spec = str(spec)
    if spec == PRACTICE_SPEC:
        with tempfile.TemporaryDirectory(prefix="xrai-practice-") as folder:
            phantoms.write_practice_set(Path(folder), seed=practice_seed)
            source = find_classes(FolderFiles(Path(folder)), say("practice set (drawings)"))
            yield replace(
                source,
                is_phantom=True,
                licence=say("made by XRAI"),
                population=say("drawings, no patients and no medical meaning"),
            )
    elif spec.startswith(KAGGLE_PREFIX):
        kaggle_set = find_kaggle_set(spec.removeprefix(KAGGLE_PREFIX))
        source = find_classes(FolderFiles(download(kaggle_set)), f"Kaggle {kaggle_set.handle}")
        yield replace(source, licence=kaggle_set.licence, population=kaggle_set.population)
    else:
        path = require_path(spec)
        if path.is_dir():
            yield find_classes(FolderFiles(path), path.resolve().name or str(path))
        else:
            with open_zip(path) as archive:
                yield find_classes(ZipFiles(archive), path.name)


def list_local_sources() -> list[Path]:
    """Folders and zips directly below the inbox and below each source root, by name.

    A source root may itself hold the class folders: it comes after its contents.
    """
    paths: list[Path] = []
    for root in source_roots():
        try:
            items = sorted(item for item in root.iterdir() if not item.name.startswith("."))
            candidates = [item for item in items if item.is_dir() or item.suffix.lower() == ".zip"]
        except OSError:  # such as a drive that is not connected
            continue
        paths += candidates if root == inbox_dir() else [*candidates, root]
    return paths


def store_upload(stream: IO[bytes], name: str) -> Path:
    """Store an uploaded zip in the inbox, under a name that is not taken.

    Raises:
        SourceError: the disk is full, or the inbox cannot be written to.
    """
    stem = re.sub(r"[^\w.+-]+", "-", Path(name).stem).strip("-.")[:80] or "scans"
    folder = inbox_dir()
    for target in (folder / item for item in (f"{stem}.zip", *(f"{stem}-{number}.zip" for number in range(2, 1000)))):
        try:
            with suppress(FileExistsError), target.open("xb") as out:  # two tabs may upload the same name at once
                shutil.copyfileobj(stream, out)
                return target
        except OSError as error:
            target.unlink(missing_ok=True)
            raise SourceError(
                "The zip cannot be kept in {folder} ({why}): free some disk space and upload it again.",
                folder=folder,
                why=system_reason(error),
            ) from error
    raise SourceError("There are a thousand zips called {name} already: give it another name.", name=stem)
