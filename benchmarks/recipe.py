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
from functools import reduce
from pathlib import Path

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.folds import open_fold
from xrai.cli.parser import add_settings
from xrai.cli.paths import find_dataset
from xrai.cli.runs import resolve_settings
from xrai.data.audit.dataset_pass import resize_image
from xrai.data.dataset import Dataset, open_dataset
from xrai.models.artifacts import load_artifacts
from xrai.networks.build import Network
from xrai.scans.preprocessing import Preprocessing, to_grey_tensor
from xrai.training.appearance_transfer import APPEARANCE_TRANSFERS
from xrai.training.config import TrainConfig
from xrai.training.perturbations import PERTURBATIONS
from xrai.training.run import train_model

N_PARTS, THUMBNAIL_SIDE, N_COMPONENTS = 4, 32, 20
METRICS = ("AUC", "AUC, changed", "AUC, worst change", "AUC, widths apart", "balanced accuracy", "balanced, changed")
TRANSFERS = {f"{name} borrowed": (transfer,) for name, transfer in APPEARANCE_TRANSFERS.items()} | {
    "all borrowed": tuple(APPEARANCE_TRANSFERS.values())
}
BATCH = 64


def main() -> None:
    """Train the folds, print a line each, and their mean."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--folds", type=int, nargs="+", choices=range(1, N_PARTS + 1), default=range(1, N_PARTS + 1))
    add_settings(parser)
    options = parser.parse_args()
    config = TrainConfig(**resolve_settings(options)).replace(select_by="last")
    print(" ".join(config.to_arguments()))
    print(f"{'fold':6}" + "".join(f"{name:>20}" for name in (*METRICS, *TRANSFERS)))
    with open_dataset(find_dataset(options.dataset)) as dataset:
        rows = np.flatnonzero(~np.isin(np.arange(len(dataset)), dataset.rows("test")))
        parts = split_into_parts(dataset, rows)
        results = []
        for number in options.n_folds:
            results.append(evaluate_fold(dataset, rows, parts == number - 1, config))
            print_line(str(number), results[-1])
    print_line("mean", np.mean(results, axis=0))


def split_into_parts(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """The part that each row belongs to, 0 to `PARTS` - 1."""
    labels, patients = dataset.labels[rows], dataset.patients[rows].astype(str)
    parts = np.empty(len(rows), int)
    for label in range(len(dataset.classes)):
        of_class = np.flatnonzero(labels == label)
        names, patient_codes = np.unique(patients[of_class], return_inverse=True)
        if label == 0:
            thumbnails = np.stack(
                [resize_image(dataset.images([row])[0], THUMBNAIL_SIDE).ravel() / 255 for row in rows[of_class]]
            )
            mean_thumbnails = np.stack(
                [thumbnails[patient_codes == number].mean(axis=0) for number in range(len(names))]
            )
            components = PCA(N_COMPONENTS, random_state=0).fit_transform(mean_thumbnails)
            part_of = KMeans(N_PARTS, n_init=10, random_state=0).fit_predict(components)  # type: ignore[arg-type]
        else:
            part_of = np.random.default_rng(0).permutation(len(names)) % N_PARTS
        parts[of_class] = part_of[patient_codes]
    return parts


def evaluate_fold(dataset: Dataset, rows: np.ndarray, held_out: np.ndarray, config: TrainConfig) -> np.ndarray:
    """`MEASURES` of a model that has not seen the rows held out, and its AUC with each of `SWAPS`."""
    with open_fold(dataset, rows, held_out.astype(np.uint8)) as (fold, checkpoint):
        card = train_model(config, fold, checkpoint)
        assert card
        validation = load_artifacts(checkpoint, card).validation
        aucs_by_transfer = transfer_aucs(fold, checkpoint.load_network(card), card.preprocessing)
    assert validation
    scores = validation.logits[:, 1] - validation.logits[:, 0]
    perturbed_scores = {
        name: item[:, 1] - item[:, 0] for name, item in zip(PERTURBATIONS, validation.perturbed_logits, strict=True)
    }
    aucs = [roc_auc_score(validation.labels, item) for item in (scores, *perturbed_scores.values())]
    opposed_scores = [
        np.where(validation.labels == label, perturbed_scores["wider"], perturbed_scores["narrower"])
        for label in (0, 1)
    ]
    widths_auc = min(roc_auc_score(validation.labels, item) for item in opposed_scores)
    balanced_accuracies = [
        balanced_accuracy_score(validation.labels, item >= 0) for item in (scores, *perturbed_scores.values())
    ]
    return np.array(
        [
            aucs[0],
            np.mean(aucs[1:]),
            min(aucs[1:]),
            widths_auc,
            balanced_accuracies[0],
            np.mean(balanced_accuracies[1:]),
            *aucs_by_transfer,
        ]
    )


@torch.inference_mode()
def transfer_aucs(fold: Dataset, network: Network, preprocessing: Preprocessing) -> list[float]:
    """The AUC on the fold's validation scans that borrow looks from others of the other class, for each of `SWAPS`."""
    rows, rng = fold.rows("val"), np.random.default_rng(0)
    labels = fold.labels[rows]
    others = np.empty_like(rows)
    for label in (0, 1):
        others[labels == label] = rng.choice(rows[labels != label], size=(labels == label).sum())

    scores = []
    for start in range(0, len(rows), BATCH):
        both = (fold.images(part[start : start + BATCH]) for part in (rows, others))
        greys, references = (to_grey_tensor(torch.from_numpy(part), preprocessing.input_size) for part in both)
        inputs = [
            reduce(lambda scans, transfer: transfer(scans, references), transfers, greys)
            for transfers in TRANSFERS.values()
        ]
        logits = torch.stack([network(preprocessing.standardise(item)) for item in inputs])  # (swaps, n, 2)
        scores.append((logits[..., 1] - logits[..., 0]).numpy())
    return [float(roc_auc_score(labels, item)) for item in np.concatenate(scores, axis=1)]


def print_line(name: str, values: np.ndarray) -> None:
    """A line of the table, to see at once."""
    print(f"{name:6}" + "".join(f"{value:20.4f}" for value in values), flush=True)


if __name__ == "__main__":
    main()
