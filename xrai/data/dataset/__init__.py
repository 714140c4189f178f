"""The HDF5 dataset: building one from a source of scans, and reading it."""

from xrai.data.dataset.build import BuildConfig, build_dataset
from xrai.data.dataset.cleaning import copy_without, describe_removal, find_rows_by_name
from xrai.data.dataset.reading import Dataset, Skipped, list_datasets, open_dataset
from xrai.data.dataset.splitting import MIN_VALIDATION, assign_splits
from xrai.data.dataset.writing import refuse_existing

__all__ = [
    "MIN_VALIDATION",
    "BuildConfig",
    "Dataset",
    "Skipped",
    "assign_splits",
    "build_dataset",
    "copy_without",
    "describe_removal",
    "find_rows_by_name",
    "list_datasets",
    "open_dataset",
    "refuse_existing",
]
