"""Sources of scans: a folder or zip of class folders, a Kaggle set, or the practice set of phantoms."""

from xrai.data.sources.classes import SPLIT_NAMES, SPLITS, Source, choose_finding, find_classes
from xrai.data.sources.entry import Entry
from xrai.data.sources.kaggle import KAGGLE_PREFIX, KAGGLE_SETS, KaggleSet, kaggle_folder
from xrai.data.sources.opening import PRACTICE_SPEC, list_local_sources, open_source, store_upload
from xrai.data.sources.patients import parse_patient_id

__all__ = [
    "KAGGLE_PREFIX",
    "KAGGLE_SETS",
    "PRACTICE_SPEC",
    "SPLITS",
    "SPLIT_NAMES",
    "Entry",
    "KaggleSet",
    "Source",
    "choose_finding",
    "find_classes",
    "kaggle_folder",
    "list_local_sources",
    "open_source",
    "parse_patient_id",
    "store_upload",
]
