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

from xrai.calibration import Calibration, Doubt, fit_calibration, fit_doubt
from xrai.cli.places import dataset_path
from xrai.data.dataset import Dataset, open_dataset
from xrai.metrics import expected_calibration_error
from xrai.models.checkpoint import Card, Checkpoint, open_checkpoint
from xrai.models.operating_point import ALPHA
from xrai.scans.preprocessing import resized, to_greys
from xrai.training.perturbations import SHIFTS

BATCH = 32
EVEN = [0.5, 0.5]
VIEWS = ("turned", "nearer", "farther", "higher")
"""Of the changes, those that only move the film: averaged over with the film as it is."""


@dataclass(frozen=True)
class Split:
    """A split as a model answers to it: logits by change, float (N, 2), "" for none; labels and patients (N,)."""

    logits: dict[str, np.ndarray]
    labels: np.ndarray
    patients: np.ndarray

    def averaged(self, names: tuple[str, ...]) -> Split:
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
    with open_dataset(dataset_path(options.dataset)) as dataset:
        val, test = (answered(open_checkpoint(options.model), dataset, split) for split in ("val", "test"))
        others = [
            [answered(open_checkpoint(name), dataset, split, changes=()) for split in ("val", "test")]
            for name in options.others
        ]
    rows = list(tried(val, test))
    if others:
        mixed_val, mixed_test = (_mixed(own, [other[i] for other in others]) for i, own in enumerate((val, test)))
        one = slope(mixed_val.logits[""], val)
        rows.append(told(f"slope, averaged with {', '.join(options.others)}", mixed_val, mixed_test, one, None))
    print(f"{'way':58}" + "".join(f"{name:>15}" for name in list(rows[0])[1:]))
    for row in rows:
        print("".join(f"{value:>15.3f}" if isinstance(value, float) else f"{value!s:58}" for value in row.values()))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _mixed(own: Split, others: list[Split]) -> Split:
    """The answers of several models, averaged."""
    return Split({"": np.mean([split.logits[""] for split in (own, *others)], axis=0)}, own.labels, own.patients)


def answered(checkpoint: Checkpoint, dataset: Dataset, split: str, changes: tuple[str, ...] = tuple(SHIFTS)) -> Split:
    """What a model answers to a split, as it is and changed."""
    card, rows = checkpoint.card(), dataset.rows(split)
    network = checkpoint.load_network(card)
    logits = {name: _logits(network, card, dataset, rows, name) for name in ("", *changes)}
    order = card.order_of(dataset.classes)
    assert order is not None
    return Split(logits, np.array(order)[dataset.labels[rows]], dataset.patients[rows])


def _logits(network: Any, card: Card, dataset: Dataset, rows: np.ndarray, change: str) -> np.ndarray:
    steps, found = card.preprocessing, []
    for start in range(0, len(rows), BATCH):
        films = to_greys(torch.from_numpy(dataset.images(rows[start : start + BATCH])), steps.stored_size)
        films = SHIFTS[change](films) if change else films
        with torch.inference_mode():
            found.append(network(steps.standardise(resized(films, steps.input_size))).float().numpy())
    return np.concatenate(found)


def tried(val: Split, test: Split) -> Iterator[dict[str, Any]]:
    """A row for every way."""
    plain, one = Calibration(1.0, (0.0, 0.0)), slope(val.logits[""], val)
    both = fit_calibration(val.logits[""], val.labels, offsets=True, prevalence=EVEN)
    yield told("not calibrated", val, test, plain, None)
    yield told("slope", val, test, one, None)
    yield told("slope and offsets", val, test, both, None)
    yield told("slope fitted on changed scans too", val, test, slope_of_all(val), None)
    moved_val, moved_test = val.averaged(VIEWS), test.averaged(VIEWS)
    yield told("slope, averaged over moved views", moved_val, moved_test, slope(moved_val.logits[""], val), None)
    shifted = [one(val.logits[name]) for name in SHIFTS]
    probabilities = one(val.logits[""])
    for alpha in (0.02, ALPHA, 0.05):
        doubts = {
            "no margin": fit_doubt(probabilities, val.labels, alpha, val.patients),
            "border hidden": _doubt(one, val, alpha, ["border hidden"]),
            "all changes": _doubt(one, val, alpha, list(SHIFTS)),
            "all changes, one cut": fit_doubt(probabilities, val.labels, alpha, val.patients, shifted=shifted),
        }
        for name, doubt in doubts.items():
            yield told(f"slope, doubt {100 * alpha:.0f} in 100, {name}", val, test, one, doubt)


def slope(logits: np.ndarray, val: Split) -> Calibration:
    """One slope, fitted on the validation scans."""
    return fit_calibration(logits, val.labels, offsets=False, prevalence=EVEN)


def slope_of_all(val: Split) -> Calibration:
    """One slope, fitted on the validation scans as they are and changed."""
    logits = np.concatenate(list(val.logits.values()))
    return fit_calibration(logits, np.tile(val.labels, len(val.logits)), offsets=False, prevalence=EVEN)


def _doubt(calibration: Calibration, val: Split, alpha: float, changes: list[str]) -> Doubt:
    """Each class with a cut of its own, the lowest that the scans and some changes ask for."""
    found = [fit_doubt(calibration(val.logits[name]), val.labels, alpha, val.patients) for name in ("", *changes)]
    return Doubt(
        alpha, tuple(min(cuts) for cuts in zip(*(item.cuts for item in found), strict=True)), found[0].patients
    )


def told(way: str, val: Split, test: Split, calibration: Calibration, doubt: Doubt | None) -> dict[str, Any]:
    """What a way comes to on both splits: accuracy, calibration error, firm answers, and how many of them are right."""
    row: dict[str, Any] = {"way": way}
    for name, split in (("val", val), ("test", test)):
        p = calibration(split.logits[""])
        called = p.argmax(axis=1)
        firm = np.ones(len(p), bool) if doubt is None else doubt.sure(p, called)
        row |= {
            f"{name} accuracy": float((called == split.labels).mean()),
            f"{name} ece": expected_calibration_error(p, split.labels),
            f"{name} firm": float(firm.mean()),
            f"{name} right": float((called == split.labels)[firm].mean()),
        }
    return row


if __name__ == "__main__":
    main()
