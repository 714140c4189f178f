"""Repeated stratified cross-validation on the COVID set without its duplicates, with any settings of `xrai train`.

python benchmarks/covid19.py data/covid19.hdf5 --weights pneumonia --epochs 20 [--part train] [--repeats 3]

Every scan is predicted once a repeat by a model that has seen neither it nor a copy of it. The figures are those of
each repeat's predictions put together, as mean and standard deviation over repeats, which cut the set in other folds;
the seed of the training stays. `--part train` leaves the official test split out altogether, to choose settings by.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedKFold, train_test_split

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.folds import open_fold
from xrai.cli.parser import add_settings
from xrai.cli.paths import find_dataset
from xrai.cli.runs import resolve_settings
from xrai.data.dataset import Dataset, open_dataset
from xrai.evaluation.evaluate import classification_report, predict_probabilities
from xrai.training.config import TrainConfig
from xrai.training.run import train_model

TEST_COPIES = Path(__file__).with_name("covid19-test-copies.txt").read_text(encoding="utf-8").split()
COPIES = {*TEST_COPIES, "train/Normal/020.jpeg", "train/Normal/094.jpeg", "train/Viral Pneumonia/020.jpeg"}
"""Files of which the same or nearly the same picture stands elsewhere in the set."""

VALIDATION_SHARE = 0.15


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--part", choices=("train", "all"), default="all")
    add_settings(parser)
    options = parser.parse_args()
    config = TrainConfig(**resolve_settings(options))
    with open_dataset(find_dataset(options.dataset)) as dataset:
        rows = drop_copies(dataset, options.part)
        repeats = [run_repeat(dataset, rows, config, options.n_folds, seed) for seed in range(options.repeats)]
    print(
        json.dumps(
            {"n": len(rows), "settings": config.to_arguments(), **summarize(repeats), "repeats": repeats}, indent=1
        )
    )


def drop_copies(dataset: Dataset, part: str) -> np.ndarray:
    """The rows of the set that are no copies of another row, of its train split or of all of it."""
    assert set(dataset.files) >= COPIES, "this is not the set that the benchmark is made for"
    excluded_rows = set(dataset.rows("test")) if part == "train" else set()
    return np.array([row for row, file in enumerate(dataset.files) if file not in COPIES and row not in excluded_rows])


def run_repeat(dataset: Dataset, rows: np.ndarray, config: TrainConfig, n_folds: int, seed: int) -> dict[str, Any]:
    """The report of one repeat's predictions."""
    labels = dataset.labels[rows]
    probabilities = np.zeros((len(rows), len(dataset.classes)), np.float32)
    splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    for number, (rest, test_indices) in enumerate(splitter.split(rows, labels)):
        parts = train_test_split(rest, test_size=VALIDATION_SHARE, stratify=labels[rest], random_state=seed)
        train_indices, val_indices = map(np.asarray, parts)
        splits = np.zeros(len(rows), np.uint8)
        splits[val_indices], splits[test_indices] = 1, 2
        probabilities[test_indices] = predict_fold(dataset, rows, splits, config, train_indices, test_indices)
        fold_report = classification_report(
            probabilities[test_indices], labels[test_indices], test_indices.astype(str), dataset.classes, None
        )
        print(
            f"repeat {seed + 1}, fold {number + 1}: accuracy {fold_report['accuracy']:.3f}", file=sys.stderr, flush=True
        )
    full_report = classification_report(probabilities, labels, dataset.patients[rows], dataset.classes, None)
    return {name: full_report[name] for name in ("accuracy", "auc", "confusion_matrix", "per_class")}


def predict_fold(
    dataset: Dataset,
    rows: np.ndarray,
    splits: np.ndarray,
    config: TrainConfig,
    train_indices: np.ndarray,
    test_indices: np.ndarray,
) -> np.ndarray:
    """Probabilities of the rows held out, by a model trained on the rest in a folder that goes afterwards."""
    assert not set(train_indices) & set(test_indices)
    with open_fold(dataset, rows, splits) as (fold, checkpoint):
        card = train_model(config, fold, checkpoint)
        assert card
        return predict_probabilities(checkpoint.load_network(card), card, fold, fold.rows("test"))


def summarize(repeats: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation over repeats."""
    values = {name: [repeat[name] for repeat in repeats] for name in ("accuracy", "auc")}
    return {name: {"mean": float(np.mean(item)), "sd": float(np.std(item))} for name, item in values.items()}


if __name__ == "__main__":
    main()
