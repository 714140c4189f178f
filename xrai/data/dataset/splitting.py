"""Which scan goes to train, validation or test: by patient, every class in proportion, repeatable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xrai.core.language import say
from xrai.data.sources import SPLITS

MIN_VALIDATION = 100
"""A given validation split with fewer scans says too little to choose a model by, and is drawn anew."""

HELD_OUT_FRACTION = 0.15
"""The share of patients of each class that a drawn validation or test split takes."""

TRAIN, VAL, TEST = range(len(SPLITS))


def assign_splits(
    folder_splits: Sequence[str | None],
    labels: Sequence[int] | np.ndarray,
    patients: Sequence[str] | np.ndarray,
    *,
    seed: int,
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
    sampler = _SplitSampler(np.asarray(labels), np.asarray(patients, dtype=object), np.random.default_rng(seed))
    counts = {split: sum(item == split for item in folder_splits) for split in SPLITS}
    splits = np.array([SPLITS.index(item) if item else TRAIN for item in folder_splits], dtype=np.uint8)
    if not counts["train"]:
        splits[:] = TRAIN
        sampler.hold_out(splits, TEST)
        sampler.hold_out(splits, VAL)
        why = say("the folders hold no training split") if any(folder_splits) else say("the folders do not give them")
        return splits, [_describe_draw(say("Train, validation and test"), why)]
    notes = []
    if not counts["test"]:
        sampler.hold_out(splits, TEST)
        notes.append(_describe_draw(say("The test split"), say("the folders have none")))
    if counts["val"] < MIN_VALIDATION:
        splits[splits == VAL] = TRAIN
        sampler.hold_out(splits, VAL)
        reason = (
            say("the {counts} scans given are too few to judge a model by", counts=counts["val"])
            if counts["val"]
            else say("the folders have none")
        )
        notes.append(_describe_draw(say("The validation split"), reason))
    return splits, notes


def count_leaks(splits: np.ndarray, patients: Sequence[str], hashes: Sequence[str]) -> dict[str, dict[str, int]]:
    """How much of validation and test stands also in a split before it, in which a model has seen it.

    Only splits that folders give can leak: what is drawn here is drawn by patient, and equal files are one patient's.

    Args:
        splits: of every scan, uint8 (N,).
        patients: a key of each scan's patient.
        hashes: SHA-256 of each scan's file.

    Returns:
        `{"val": {"patients": n, "scans": n}, "test": ...}`: patients who also have scans in train (for test: or in
        val), and scans whose file is the same as one there.
    """
    leaks = {}
    rows = list(zip(splits.tolist(), patients, hashes, strict=True))
    for split in (VAL, TEST):
        earlier_patients = {patient for place, patient, _ in rows if place < split}
        earlier_files = {content for place, _, content in rows if place < split}
        leaks[SPLITS[split]] = {
            "patients": len({patient for place, patient, _ in rows if place == split} & earlier_patients),
            "scans": sum(place == split and content in earlier_files for place, _, content in rows),
        }
    return leaks


@dataclass(frozen=True)
class _SplitSampler:
    """What a split is drawn from, and the chance that draws it."""

    labels: np.ndarray
    patients: np.ndarray
    rng: np.random.Generator

    def hold_out(self, splits: np.ndarray, split: int) -> None:
        """Move `HELD_OUT` of each class's patients from train to `split`, in place; a class's last patient stays."""
        classes_of: dict[str, set[int]] = {}
        for patient, label in zip(self.patients[splits == TRAIN], self.labels[splits == TRAIN], strict=True):
            classes_of.setdefault(patient, set()).add(int(label))
        n_remaining = Counter(label for classes in classes_of.values() for label in classes)
        held_out: set[str] = set()
        for label in sorted(n_remaining):
            group = np.array(
                sorted(patient for patient in classes_of.keys() - held_out if label in classes_of[patient])
            )
            n_to_hold_out = max(1, round(HELD_OUT_FRACTION * len(group)))
            for patient in map(str, self.rng.permutation(group)):
                if n_to_hold_out and all(n_remaining[other] > 1 for other in classes_of[patient]):
                    held_out.add(patient)
                    n_remaining.subtract(classes_of[patient])
                    n_to_hold_out -= 1
        splits[np.array([patient in held_out for patient in self.patients]) & (splits == TRAIN)] = split


def _describe_draw(what: str, why: str) -> str:
    share = say("{x:.0f}% of the patients of each class", x=100 * HELD_OUT_FRACTION)
    if " and " in what:
        return say(
            "{what} were drawn at random by patient, {share} held out, because {why}.", what=what, share=share, why=why
        )
    return say(
        "{what} was drawn at random by patient, {share} held out, because {why}.", what=what, share=share, why=why
    )
