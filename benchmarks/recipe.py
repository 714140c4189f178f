"""How well a recipe carries over to scans that look unlike those it learned from, by cross-validation within train.

    python benchmarks/recipe.py data/chest_xray.hdf5 [--folds 2 4] [any setting of `xrai train`]

For datasets of two classes. The test split is left out altogether. The scans of the first class are cut into four parts
by look, those of one patient together (k-means of thumbnails), those of the second at random by patient. A fold learns
from three parts and is judged by the fourth (2,000 scans of it at most), as it is, changed in each way of
`xrai.training.perturbations`, and with each look of `xrai.training.appearance_transfer`, and all of them together,
borrowed from scans of the other class.
Prints a table: the AUC as it is, its mean and its worst over all the changes, the AUC where the scans of one class are
made wider and those of the other narrower (whichever way it is worse), the mean of sensitivity and specificity where
the likelier class is called, and the AUC with borrowed looks (of all scans of the part).
Always the last epoch is kept, so that none is chosen by the scans that judge.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from functools import reduce
from pathlib import Path

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.folds import fold_of
from xrai.cli.parser import add_settings
from xrai.cli.places import dataset_path
from xrai.cli.runs import base_settings
from xrai.data.audit.looking import shrunk
from xrai.data.dataset import Dataset, open_dataset
from xrai.models.artifacts import load_kit
from xrai.networks.build import Network
from xrai.networks.config import TrainConfig
from xrai.scans.preprocessing import Preprocessing, to_greys
from xrai.training.appearance_transfer import LOOKS
from xrai.training.perturbations import SHIFTS
from xrai.training.run import train

PARTS, SIDE, AXES = 4, 32, 20
MEASURES = ("AUC", "AUC, changed", "AUC, worst change", "AUC, widths apart", "balanced accuracy", "balanced, changed")
SWAPS = {f"{name} borrowed": (borrowed,) for name, borrowed in LOOKS.items()} | {"all borrowed": tuple(LOOKS.values())}
BATCH = 64


def main() -> None:
    """Train the folds, print a line each, and their mean."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--folds", type=int, nargs="+", choices=range(1, PARTS + 1), default=range(1, PARTS + 1))
    add_settings(parser)
    options = parser.parse_args()
    config = replace(TrainConfig(**base_settings(options)), keep="last")
    print(" ".join(config.arguments()))
    print(f"{'fold':6}" + "".join(f"{name:>20}" for name in (*MEASURES, *SWAPS)))
    with open_dataset(dataset_path(options.dataset)) as dataset:
        rows = np.flatnonzero(~np.isin(np.arange(len(dataset)), dataset.rows("test")))
        parts = cut(dataset, rows)
        results = []
        for number in options.folds:
            results.append(judged(dataset, rows, parts == number - 1, config))
            print_line(str(number), results[-1])
    print_line("mean", np.mean(results, axis=0))


def cut(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """The part that each row belongs to, 0 to `PARTS` - 1."""
    labels, patients = dataset.labels[rows], dataset.patients[rows].astype(str)
    parts = np.empty(len(rows), int)
    for label in range(len(dataset.classes)):
        of_class = np.flatnonzero(labels == label)
        names, who = np.unique(patients[of_class], return_inverse=True)
        if label == 0:
            looks = np.stack([shrunk(dataset.images([row])[0], SIDE).ravel() / 255 for row in rows[of_class]])
            mean_looks = np.stack([looks[who == number].mean(axis=0) for number in range(len(names))])
            axes = PCA(AXES, random_state=0).fit_transform(mean_looks)
            part_of = KMeans(PARTS, n_init=10, random_state=0).fit_predict(axes)  # type: ignore[arg-type]
        else:
            part_of = np.random.default_rng(0).permutation(len(names)) % PARTS
        parts[of_class] = part_of[who]
    return parts


def judged(dataset: Dataset, rows: np.ndarray, held_out: np.ndarray, config: TrainConfig) -> np.ndarray:
    """`MEASURES` of a model that has not seen the rows held out, and its AUC with each of `SWAPS`."""
    with fold_of(dataset, rows, held_out.astype(np.uint8)) as (fold, checkpoint):
        card = train(config, fold, checkpoint)
        assert card
        answers = load_kit(checkpoint, card).validation
        swapped = swapped_aucs(fold, checkpoint.load_network(card), card.preprocessing)
    assert answers
    scores = answers.logits[:, 1] - answers.logits[:, 0]
    changed = {name: item[:, 1] - item[:, 0] for name, item in zip(SHIFTS, answers.shifted, strict=True)}
    aucs = [roc_auc_score(answers.labels, item) for item in (scores, *changed.values())]
    apart = [np.where(answers.labels == label, changed["wider"], changed["narrower"]) for label in (0, 1)]
    widths = min(roc_auc_score(answers.labels, item) for item in apart)
    called = [balanced_accuracy_score(answers.labels, item >= 0) for item in (scores, *changed.values())]
    return np.array([aucs[0], np.mean(aucs[1:]), min(aucs[1:]), widths, called[0], np.mean(called[1:]), *swapped])


@torch.inference_mode()
def swapped_aucs(fold: Dataset, network: Network, preprocessing: Preprocessing) -> list[float]:
    """The AUC on the fold's validation scans that borrow looks from others of the other class, for each of `SWAPS`."""
    rows, rng = fold.rows("val"), np.random.default_rng(0)
    labels = fold.labels[rows]
    others = np.empty_like(rows)
    for label in (0, 1):
        others[labels == label] = rng.choice(rows[labels != label], size=(labels == label).sum())

    scores = []
    for start in range(0, len(rows), BATCH):
        both = (fold.images(part[start : start + BATCH]) for part in (rows, others))
        greys, lent = (to_greys(torch.from_numpy(part), preprocessing.input_size) for part in both)
        inputs = [reduce(lambda scans, look: look(scans, lent), looks, greys) for looks in SWAPS.values()]
        logits = torch.stack([network(preprocessing.standardise(item)) for item in inputs])  # (swaps, n, 2)
        scores.append((logits[..., 1] - logits[..., 0]).numpy())
    return [float(roc_auc_score(labels, item)) for item in np.concatenate(scores, axis=1)]


def print_line(name: str, values: np.ndarray) -> None:
    """A line of the table, to see at once."""
    print(f"{name:6}" + "".join(f"{value:20.4f}" for value in values), flush=True)


if __name__ == "__main__":
    main()
