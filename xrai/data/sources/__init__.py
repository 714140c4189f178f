"""Sources of scans: a folder or zip of class folders, a Kaggle set, or the practice set of phantoms."""

from xrai.data.sources.classes import SPLIT_NAMES, SPLITS, Entry, Source, find_classes, parse_patient_id
from xrai.data.sources.kaggle import KAGGLE_PREFIX, KAGGLE_SETS, KaggleSet, kaggle_folder
from xrai.data.sources.opening import PRACTICE_SPEC, list_local_sources, open_source, store_upload

__all__ = [
    "KAGGLE_PREFIX",
    "KAGGLE_SETS",
    "PRACTICE_SPEC",
    "SPLITS",
    "SPLIT_NAMES",
    "Entry",
    "KaggleSet",
    "Source",
    "find_classes",
    "kaggle_folder",
    "list_local_sources",
    "open_source",
    "parse_patient_id",
    "store_upload",
]
