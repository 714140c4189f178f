"""Kinds of folders by their names: splits, patients, parts, years, sites, views, masks and folders of the system.

None of these is a class. Names are compared without accents, in small letters, in several languages.
"""

from __future__ import annotations

import re
from datetime import date
from enum import StrEnum

from xrai.core.texts import strip_accents

_SPLIT_WORDS = {
    "train": "train training trn apprentissage entrainement entrenamiento treino addestramento trainingsdaten",
    "val": "val valid validation validacion validacao validazione validierung dev eval",
    "test": "test testing tst prueba teste essai testdaten holdout",
}
_SPLIT_OF = {word: split for split, words in _SPLIT_WORDS.items() for word in words.split()}
_FILLERS = {"set", "data", "dataset", "datasets", "images", "image", "split", "folder", "films", "scans", "samples"}
_FILLERS |= {"partition", "ds", "imgs", "jeu", "ensemble", "conjunto", "satz", "xray", "xrays", "cxr"}
_JOINED = re.compile(r"(train|training|val|valid|validation|test|testing)(set|data|images|split)")

_SYSTEM_NAMES = {"@eadir", "#recycle", "@recycle", "$recycle.bin", "recycler", "recycled", "~snapshot", "#snapshot"}
_SYSTEM_NAMES |= {"system volume information", "lost+found", "__macosx", "@tmp", "desktop.ini", "thumbnails", "thumbs"}
_SYSTEM_NAMES |= {"#recyclebin", "trash", "@sharebin", "@snapshot", "$windows.~bt", "found.000", "network trash folder"}
_SYSTEM_NAMES |= {"thumbs.db"}
_SYSTEM_STARTS = (".", "~$", "@", "$")

_MASK = re.compile(
    r"(^|[\W_])(lung|lungs|left|right)?[\W_]*(masks?|masques?|masken?|mascaras?|segmentations?|segs?|annotations?)$"
)
_PART = re.compile(
    r"(images?|imgs?|pics?|pictures?|pngs?|jpe?gs?|tiffs?|dicoms?|dcm|data|files?|scans?|films?|raw|x-?rays?|cxrs?"
    r"|bilder|cliches?|imagens|imagenes|radiographs?|part|partie|teil|parte|batch|chunk|dis[ck]|cd|dvd|archive|fold"
    r"|series?|stud(y|ies)|ser|exam|examen|export|new folder|originals?|resized|png\d+|jpg\d+)[\W_]*\d*"
)
_PATIENT = re.compile(
    r"(.*[\W_])?(patients?|pat|pt|subjects?|subj|sub|case|cas|fall|caso|person|paciente|patiente|participant|proband"
    r"|id|mrn|pid)[\W_]*[a-z]{0,2}\d+\w*|[ps]\d{2,}|\d{5,}|[\d.]{12,}|[0-9a-f]{16,}|[a-z]{1,3}\d{3,}"
)
_YEAR = re.compile(r"(19|20)\d\d([\W_]?(0[1-9]|1[0-2])([\W_]?([0-2]\d|3[01]))?)?")
_SITE = re.compile(
    r"(.*[\W_])?(hospitals?|hopital|spital|krankenhaus|ospedale|site|cent(er|re|ro)|clini[ck]|clinique|klinik|clinica"
    r"|scanner|device|machine|vendor|institution|university|chu)([\W_].*|\d*)"
)
_VIEWS = {"pa", "ap", "frontal", "frontale", "front", "face", "lateral", "laterale", "lat", "ll", "profil", "side"}
_VIEWS |= {"pa view", "ap view", "posteroanterior", "anteroposterior", "lateral view", "frontal view", "oblique"}


class FolderKind(StrEnum):
    """What a folder's name tells, other than a class."""

    SPLIT = "split"
    SYSTEM = "system"
    MASK = "mask"
    PART = "part"
    PATIENT = "patient"
    YEAR = "year"
    SITE = "site"
    VIEW = "view"


def folder_kind(name: str) -> FolderKind | None:
    """The kind of a folder by its name; None where it may be a class."""
    if is_system_name(name):
        return FolderKind.SYSTEM
    if split_of(name):
        return FolderKind.SPLIT
    text = _plain(name)
    if text in _VIEWS:
        return FolderKind.VIEW
    patterns = {
        FolderKind.MASK: _MASK,
        FolderKind.YEAR: _YEAR,
        FolderKind.PART: _PART,
        FolderKind.PATIENT: _PATIENT,
        FolderKind.SITE: _SITE,
    }
    return next((kind for kind, pattern in patterns.items() if pattern.fullmatch(text)), None)


def split_of(name: str) -> str | None:
    """The split that a folder's name means: "train", "val" or "test"."""
    text = _plain(name)
    if match := _JOINED.fullmatch(text):
        text = match[1]
    words = {word.rstrip("0123456789") for word in re.split(r"[\W_]+", text)} - _FILLERS - {""}
    return _SPLIT_OF.get(words.pop()) if len(words) == 1 else None


def is_system_name(name: str) -> bool:
    """Whether a folder or file is one that systems make: thumbnails, bins, snapshots, hidden ones."""
    return name.lower() in _SYSTEM_NAMES or name.startswith(_SYSTEM_STARTS)


def is_mask_file(stem: str) -> bool:
    """Whether a file's name says that it is a mask of another file."""
    return re.search(r"[\W_](mask|seg|segmentation)$", _plain(stem)) is not None


def is_date(digits: str) -> bool:
    """Whether eight digits are a date of the last decades, such as 20200314."""
    try:
        return 1980 <= date.fromisoformat(digits).year <= date.today().year
    except ValueError:
        return False


def _plain(name: str) -> str:
    """A name in small letters without accents."""
    return strip_accents(name.strip().lower())
