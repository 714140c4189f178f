"""A part of a dataset, split anew, in a file that goes afterwards: what cross-validation trains on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from xrai.core.paths import checkpoints_dir
from xrai.data.dataset import Dataset, open_dataset
from xrai.models.checkpoint import Checkpoint


@contextmanager
def open_fold(dataset: Dataset, rows: np.ndarray, splits: np.ndarray) -> Iterator[tuple[Dataset, Checkpoint]]:
    """The fold, open, and a folder to train a model in.

    Args:
        dataset: open.
        rows: those of it that the fold holds, in ascending order.
        splits: of each of them, uint8: 0 train, 1 val, 2 test.
    """
    with tempfile.TemporaryDirectory(dir=checkpoints_dir(), prefix=".fold-") as folder:
        file = Path(folder) / "fold.hdf5"
        with h5py.File(dataset.path, "r", locking=False) as source, h5py.File(file, "w") as target:
            target.attrs.update(source.attrs)
            for name, column in source.items():
                if isinstance(column, h5py.Dataset):
                    target[name] = splits if name == "split" else column[()][rows]
        with open_dataset(file) as fold:
            yield fold, Checkpoint(Path(folder))
