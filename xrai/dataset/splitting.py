"""Which scan goes to train, validation or test: by patient, every class in proportion, repeatable."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xrai.sources import SPLITS

MIN_VALIDATION = 100
"""A given validation split with fewer scans says too little to choose a model by, and is drawn anew."""

HELD_OUT = 0.15
"""The share of patients of each class that a drawn validation or test split takes."""

TRAIN, VAL, TEST = range(len(SPLITS))


def assign_splits(
    given: Sequence[str | None], labels: Sequence[int], patients: Sequence[str], *, seed: int
) -> tuple[np.ndarray, list[str]]:
    """The split of every scan, and why it is not the one that the folders gave.

    Args:
        given: the split that each scan's folders tell, "train", "val", "test" or None.
        labels: the class of each scan.
        patients: a key of each scan's patient; scans of one patient that are split here stay together.
        seed: start of chance.

    Returns:
        Splits as uint8 (N,), indices into `SPLITS`; and sentences for people. A validation split of at least
        `MIN_VALIDATION` scans and any test split next to a train split are kept as they are given.
    """
    labels, patients = np.asarray(labels), np.asarray(patients, dtype=object)
    rng = np.random.default_rng(seed)
    counts = {split: sum(item == split for item in given) for split in SPLITS}
    splits = np.array([SPLITS.index(item) if item else TRAIN for item in given], dtype=np.uint8)
    if not counts["train"]:
        splits[:] = TRAIN
        _hold_out(splits, TEST, labels, patients, rng)
        _hold_out(splits, VAL, labels, patients, rng)
        return splits, [_drawn("Train, validation and test", "the folders do not give them")]
    notes = []
    if not counts["test"]:
        _hold_out(splits, TEST, labels, patients, rng)
        notes.append(_drawn("The test split", "the folders have none"))
    if counts["val"] < MIN_VALIDATION:
        splits[splits == VAL] = TRAIN
        _hold_out(splits, VAL, labels, patients, rng)
        few = (
            f"the {counts['val']} scans given are too few to judge a model by"
            if counts["val"]
            else "the folders have none"
        )
        notes.append(_drawn("The validation split", few))
    return splits, notes


def _hold_out(
    splits: np.ndarray, split: int, labels: np.ndarray, patients: np.ndarray, rng: np.random.Generator
) -> None:
    """Move `HELD_OUT` of each class's patients from train to `split`, in place; a class's last patient stays."""
    for label in np.unique(labels):
        group = np.unique(patients[(labels == label) & (splits == TRAIN)].astype(str))
        taken = min(max(1, round(HELD_OUT * len(group))), len(group) - 1)
        chosen = rng.permutation(group)[: max(taken, 0)]
        splits[np.isin(patients.astype(str), chosen) & (splits == TRAIN)] = split


def _drawn(what: str, why: str) -> str:
    were = "were" if " and " in what else "was"
    return (
        f"{what} {were} drawn at random by patient, {HELD_OUT:.0%} of the patients of each class held out, because {why}."
    )
