"""The HDF5 dataset: building one from a source of scans, and reading it."""

from xrai.dataset.build import BuildConfig, build_dataset
from xrai.dataset.cleaning import copy_without, named_rows, removal_note
from xrai.dataset.reading import Dataset, Skipped, list_datasets, open_dataset
from xrai.dataset.splitting import MIN_VALIDATION, assign_splits
from xrai.dataset.writing import refuse_existing

__all__ = [
    "MIN_VALIDATION",
    "BuildConfig",
    "Dataset",
    "Skipped",
    "assign_splits",
    "build_dataset",
    "copy_without",
    "list_datasets",
    "named_rows",
    "open_dataset",
    "refuse_existing",
    "removal_note",
]
