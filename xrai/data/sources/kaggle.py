"""Public sets that can be downloaded from Kaggle, and where they are kept."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from xrai.core.errors import SourceError
from xrai.core.language import N_
from xrai.core.paths import data_dir

KAGGLE_PREFIX = "kaggle:"


@dataclass(frozen=True)
class KaggleSet:
    """A public set that can be downloaded from Kaggle."""

    handle: str
    title: str
    licence: str
    population: str


KAGGLE_SETS = (
    KaggleSet(
        "paultimothymooney/chest-xray-pneumonia",
        N_("Chest X-ray pneumonia: normal and pneumonia, 5,856 scans, 1.2 GB"),
        "CC BY 4.0 (Kermany et al. 2018, Mendeley Data rscbjbr9sj)",
        N_("children of one to five years, one hospital (Guangzhou Women and Children's Medical Center), AP view"),
    ),
    KaggleSet(
        "pranavraikokte/covid19-image-dataset",
        N_("COVID-19: normal, COVID and viral pneumonia, 317 scans, 160 MB"),
        N_("licence as stated on its Kaggle page (not checked by XRAI)"),
        N_(
            "COVID: adults, from publications; normal and viral pneumonia: mostly children of one hospital, "
            "so that class equals source and age and no accuracy on it has a clinical meaning"
        ),
    ),
)


def find_kaggle_set(handle: str) -> KaggleSet:
    """The set of that name.

    Raises:
        SourceError: XRAI does not know it.
    """
    for kaggle_set in KAGGLE_SETS:
        if kaggle_set.handle == handle:
            return kaggle_set
    choices = " or ".join(KAGGLE_PREFIX + item.handle for item in KAGGLE_SETS)
    raise SourceError(
        "The Kaggle set “{handle}” is not among those that XRAI knows: choose {offered}.",
        handle=handle,
        offered=choices,
    )


def download(kaggle_set: KaggleSet) -> Path:
    """The folder of a set, which is downloaded unless it is there.

    Raises:
        SourceError: Kaggle cannot be reached, or the disk is full.
    """
    if local_folder := kaggle_folder(kaggle_set.handle):
        return local_folder
    os.environ["KAGGLEHUB_CACHE"] = str(_kaggle_cache())  # kagglehub takes it from nowhere else
    try:
        with redirect_stdout(sys.stderr):  # standard output is for results, and kagglehub talks there
            import kagglehub

            return Path(kagglehub.dataset_download(kaggle_set.handle))
    except Exception as error:  # kagglehub lets through whatever its network libraries raise
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise SourceError(
                "{handle} was not downloaded because the disk is full: free some space and try again.",
                handle=kaggle_set.handle,
            ) from error
        raise SourceError(
            "Kaggle cannot be reached for {handle}, probably because this machine has no internet: "
            "use a folder, a zip or the practice set, or download it elsewhere and bring it here.",
            handle=kaggle_set.handle,
        ) from error


def kaggle_folder(handle: str) -> Path | None:
    """Where a Kaggle set lies that was downloaded before, None where it was not or not wholly."""
    markers = (_kaggle_cache() / "datasets" / handle).glob("*.complete")
    versions = sorted(markers, key=lambda mark: (len(mark.stem), mark.stem))  # 10 is newer than 9
    folders = [version.parent / "versions" / version.stem for version in versions]
    return next((folder for folder in reversed(folders) if folder.is_dir()), None)


def _kaggle_cache() -> Path:
    return data_dir() / ".kaggle"
