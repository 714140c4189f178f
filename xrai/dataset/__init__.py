"""The HDF5 dataset: building one from a source of scans, and reading it."""

from xrai.dataset.build import BuildConfig, build_dataset, refuse_existing
from xrai.dataset.reading import Dataset, Skipped, list_datasets, open_dataset, says_nothing_of_patients
from xrai.dataset.splitting import MIN_VALIDATION, assign_splits

__all__ = [
    "MIN_VALIDATION",
    "BuildConfig",
    "Dataset",
    "Skipped",
    "assign_splits",
    "build_dataset",
    "list_datasets",
    "open_dataset",
    "refuse_existing",
    "says_nothing_of_patients",
]
