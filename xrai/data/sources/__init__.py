"""Where scans come from: a folder or zip of class folders, a Kaggle set, or the drawn practice set."""

from xrai.data.sources.classes import SPLIT_NAMES, SPLITS, Entry, Source, find_classes, patient_of
from xrai.data.sources.kaggle import KAGGLE, KAGGLE_SETS, KaggleSet, kaggle_folder
from xrai.data.sources.opening import PRACTICE, list_local, open_source

__all__ = [
    "KAGGLE",
    "KAGGLE_SETS",
    "PRACTICE",
    "SPLITS",
    "SPLIT_NAMES",
    "Entry",
    "KaggleSet",
    "Source",
    "find_classes",
    "kaggle_folder",
    "list_local",
    "open_source",
    "patient_of",
]
