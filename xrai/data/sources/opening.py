"""Opening the source that a person names, and listing those that lie ready."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

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
            found = find_classes(FolderFiles(Path(folder)), say("practice set (drawings)"))
            yield replace(
                found,
                is_phantom=True,
                licence=say("made by XRAI"),
                population=say("drawings, no patients and no medical meaning"),
            )
    elif spec.startswith(KAGGLE_PREFIX):
        kaggle_set = find_kaggle_set(spec.removeprefix(KAGGLE_PREFIX))
        found = find_classes(FolderFiles(download(kaggle_set)), f"Kaggle {kaggle_set.handle}")
        yield replace(found, licence=kaggle_set.licence, population=kaggle_set.population)
    else:
        path = require_path(spec)
        if path.is_dir():
            yield find_classes(FolderFiles(path), path.resolve().name or str(path))
        else:
            with open_zip(path) as archive:
                yield find_classes(ZipFiles(archive), path.name)


def list_local_sources() -> list[Path]:
    """Folders and zips that lie ready: those directly below the inbox and below each listed root, by name.

    A listed root may itself hold the class folders: it comes last.
    """
    paths: list[Path] = []
    for root in source_roots():
        try:
            candidates = sorted(
                item for item in root.iterdir()
                if not item.name.startswith(".") and (item.is_dir() or item.suffix.lower() == ".zip")
            )  # fmt: skip
        except OSError:  # not there, or not for us: a drive that is not connected must not close the whole page
            continue
        paths += candidates if root == inbox_dir() else [*candidates, root]
    return paths
