"""What makes a model's probabilities and its doubt hold on scans unlike those it learned from: all that was tried.

    python benchmarks/answers.py MODEL DATASET.hdf5 [--with OTHER …] [--json FILE]

Every way is fitted on the validation split, and told for it and for the test split. MODEL keeps what its card says: the
table is to choose by, on validation, and to see what came of the choice on the test. `--with` names models of the same
classes whose answers are averaged with those of MODEL. Takes about five minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from xrai.calibration import Calibration, ConformalAbstention, fit_abstention, fit_calibration
from xrai.cli.paths import find_dataset
from xrai.data.dataset import Dataset, open_dataset
from xrai.metrics import expected_calibration_error
from xrai.models.card import Card
from xrai.models.checkpoint import Checkpoint, open_checkpoint
from xrai.models.operating_point import DEFAULT_ALPHA
from xrai.scans.preprocessing import resize_images, to_grey_tensor
from xrai.training.perturbations import PERTURBATIONS

BATCH = 32
EQUAL_PREVALENCE = [0.5, 0.5]
VIEWS = ("turned", "nearer", "farther", "higher")
"""Of the changes, those that only move the film: averaged over with the film as it is."""


@dataclass(frozen=True)
class Split:
    """A split as a model answers to it: logits by change, float (N, 2), "" for none; labels and patients (N,)."""

    logits: dict[str, np.ndarray]
    labels: np.ndarray
    patients: np.ndarray

    def average_views(self, names: tuple[str, ...]) -> Split:
        """With logits averaged over the scans as they are and some changes."""
        return Split({"": np.mean([self.logits[name] for name in ("", *names)], axis=0)}, self.labels, self.patients)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("dataset")
    parser.add_argument("--with", dest="others", action="append", default=[])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(2)
    with open_dataset(find_dataset(options.dataset)) as dataset:
        val, test = (predict_split(open_checkpoint(options.model), dataset, split) for split in ("val", "test"))
        others = [
            [predict_split(open_checkpoint(name), dataset, split, perturbations=()) for split in ("val", "test")]
            for name in options.others
        ]
    rows = list(evaluate_methods(val, test))
    if others:
        average_val, average_test = (
            _average_models(own, [other[i] for other in others]) for i, own in enumerate((val, test))
        )
        calibration = fit_slope(average_val.logits[""], val)
        rows.append(
            evaluate_method(
                f"slope, averaged with {', '.join(options.others)}", average_val, average_test, calibration, None
            )
        )
    print(f"{'way':58}" + "".join(f"{name:>15}" for name in list(rows[0])[1:]))
    for row in rows:
        print("".join(f"{value:>15.3f}" if isinstance(value, float) else f"{value!s:58}" for value in row.values()))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _average_models(own: Split, others: list[Split]) -> Split:
    """The answers of several models, averaged."""
    return Split({"": np.mean([split.logits[""] for split in (own, *others)], axis=0)}, own.labels, own.patients)


def predict_split(
    checkpoint: Checkpoint, dataset: Dataset, split: str, perturbations: tuple[str, ...] = tuple(PERTURBATIONS)
) -> Split:
    """What a model answers to a split, as it is and changed."""
    card, rows = checkpoint.read_card(), dataset.rows(split)
    network = checkpoint.load_network(card)
    logits = {name: _logits(network, card, dataset, rows, name) for name in ("", *perturbations)}
    permutation = card.class_permutation(dataset.classes)
    assert permutation is not None
    return Split(logits, np.array(permutation)[dataset.labels[rows]], dataset.patients[rows])


def _logits(network: Any, card: Card, dataset: Dataset, rows: np.ndarray, perturbation: str) -> np.ndarray:
    preprocessing, logits_batches = card.preprocessing, []
    for start in range(0, len(rows), BATCH):
        images = to_grey_tensor(
            torch.from_numpy(dataset.images(rows[start : start + BATCH])), preprocessing.stored_size
        )
        images = PERTURBATIONS[perturbation](images) if perturbation else images
        with torch.inference_mode():
            logits_batches.append(
                network(preprocessing.standardise(resize_images(images, preprocessing.input_size))).float().numpy()
            )
    return np.concatenate(logits_batches)


def evaluate_methods(val: Split, test: Split) -> Iterator[dict[str, Any]]:
    """A row for every way."""
    identity, slope_only = Calibration(slope=1.0, offsets=(0.0, 0.0)), fit_slope(val.logits[""], val)
    slope_and_offsets = fit_calibration(val.logits[""], val.labels, with_offsets=True, prevalence=EQUAL_PREVALENCE)
    yield evaluate_method("not calibrated", val, test, identity, None)
    yield evaluate_method("slope", val, test, slope_only, None)
    yield evaluate_method("slope and offsets", val, test, slope_and_offsets, None)
    yield evaluate_method("slope fitted on changed scans too", val, test, fit_slope_on_perturbed(val), None)
    averaged_val, averaged_test = val.average_views(VIEWS), test.average_views(VIEWS)
    yield evaluate_method(
        "slope, averaged over moved views", averaged_val, averaged_test, fit_slope(averaged_val.logits[""], val), None
    )
    perturbed_probabilities = [slope_only(val.logits[name]) for name in PERTURBATIONS]
    probabilities = slope_only(val.logits[""])
    for alpha in (0.02, DEFAULT_ALPHA, 0.05):
        abstentions = {
            "no margin": fit_abstention(probabilities, val.labels, alpha, val.patients),
            "border hidden": _fit_class_thresholds(slope_only, val, alpha, ["border hidden"]),
            "all changes": _fit_class_thresholds(slope_only, val, alpha, list(PERTURBATIONS)),
            "all changes, one cut": fit_abstention(
                probabilities, val.labels, alpha, val.patients, perturbed_probabilities=perturbed_probabilities
            ),
        }
        for name, abstention in abstentions.items():
            yield evaluate_method(f"slope, doubt {100 * alpha:.0f} in 100, {name}", val, test, slope_only, abstention)


def fit_slope(logits: np.ndarray, val: Split) -> Calibration:
    """One slope, fitted on the validation scans."""
    return fit_calibration(logits, val.labels, with_offsets=False, prevalence=EQUAL_PREVALENCE)


def fit_slope_on_perturbed(val: Split) -> Calibration:
    """One slope, fitted on the validation scans as they are and changed."""
    logits = np.concatenate(list(val.logits.values()))
    return fit_calibration(
        logits, np.tile(val.labels, len(val.logits)), with_offsets=False, prevalence=EQUAL_PREVALENCE
    )


def _fit_class_thresholds(
    calibration: Calibration, val: Split, alpha: float, perturbations: list[str]
) -> ConformalAbstention:
    """Each class with a cut of its own, the lowest that the scans and some changes ask for."""
    abstentions = [
        fit_abstention(calibration(val.logits[name]), val.labels, alpha, val.patients) for name in ("", *perturbations)
    ]
    return ConformalAbstention(
        alpha=alpha,
        thresholds=tuple(min(cuts) for cuts in zip(*(item.thresholds for item in abstentions), strict=True)),
        n_patients=abstentions[0].n_patients,
    )


def evaluate_method(
    way: str, val: Split, test: Split, calibration: Calibration, abstention: ConformalAbstention | None
) -> dict[str, Any]:
    """What a way comes to on both splits: accuracy, calibration error, firm answers, and how many of them are right."""
    row: dict[str, Any] = {"way": way}
    for name, split in (("val", val), ("test", test)):
        p = calibration(split.logits[""])
        predicted = p.argmax(axis=1)
        is_confident = np.ones(len(p), bool) if abstention is None else abstention.is_confident(p, predicted)
        row |= {
            f"{name} accuracy": float((predicted == split.labels).mean()),
            f"{name} ece": expected_calibration_error(p, split.labels),
            f"{name} firm": float(is_confident.mean()),
            f"{name} right": float((predicted == split.labels)[is_confident].mean()),
        }
    return row


if __name__ == "__main__":
    main()
