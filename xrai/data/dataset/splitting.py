"""Train/validation/test split by patient, stratified by class and repeatable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xrai.core.language import say
from xrai.data.description import Leakage
from xrai.data.sources import SPLITS

MIN_VALIDATION = 100
"""Scans; a given validation split with fewer is too small for model selection and is drawn again."""

HELD_OUT_FRACTION = 0.15
"""Share of the patients of each class in a drawn validation or test split."""

TRAIN, VAL, TEST = range(len(SPLITS))


def assign_splits(
    folder_splits: Sequence[str | None],
    labels: Sequence[int] | np.ndarray,
    patients: Sequence[str] | np.ndarray,
    *,
    seed: int,
) -> tuple[np.ndarray, list[str]]:
    """The split of every scan, and notes on what was drawn.

    A given validation split of at least `MIN_VALIDATION` scans, any test split beside a training split, and a test
    split without any other are kept.

    Args:
        folder_splits: the split that each scan's folders name, "train", "val", "test" or None.
        labels: class of each scan.
        patients: patient key of each scan; drawn splits keep a patient's scans together.
        seed: random seed.

    Returns:
        Splits, uint8 (N,), indices into `SPLITS`; and sentences for people.
    """
    sampler = _SplitSampler(np.asarray(labels), np.asarray(patients, dtype=object), np.random.default_rng(seed))
    counts = {split: sum(item == split for item in folder_splits) for split in SPLITS}
    splits = np.array([SPLITS.index(item) if item else TRAIN for item in folder_splits], dtype=np.uint8)
    if counts["test"] == len(folder_splits):
        return splits, [
            say("The folders hold a test split only, so that all scans stay in it: measure models on them.")
        ]
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


def count_leaks(splits: np.ndarray, patients: Sequence[str], hashes: Sequence[str]) -> dict[str, Leakage]:
    """Data leakage into the validation and the test split, {split: Leakage}.

    Only splits given by folders can leak: drawn ones are drawn by patient, and equal files count as one patient.

    Args:
        splits: of every scan, uint8 (N,).
        patients: patient key of each scan.
        hashes: SHA-256 of each scan's file.
    """
    leaks = {}
    rows = list(zip(splits.tolist(), patients, hashes, strict=True))
    for split in (VAL, TEST):
        earlier_patients = {patient for place, patient, _ in rows if place < split}
        earlier_files = {content for place, _, content in rows if place < split}
        leaks[SPLITS[split]] = Leakage(
            patients=len({patient for place, patient, _ in rows if place == split} & earlier_patients),
            scans=sum(place == split and content in earlier_files for place, _, content in rows),
        )
    return leaks


@dataclass(frozen=True)
class _SplitSampler:
    """Draws patients for a split."""

    labels: np.ndarray
    patients: np.ndarray
    rng: np.random.Generator

    def hold_out(self, splits: np.ndarray, split: int) -> None:
        """Move `HELD_OUT_FRACTION` of each class's patients from train to `split`, in place.

        A class's last patient stays in train.
        """
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
    share = say("{percent:.0f}% of the patients of each class", percent=100 * HELD_OUT_FRACTION)
    if " and " in what:
        return say(
            "{what} were drawn at random by patient, {share} held out, because {why}.", what=what, share=share, why=why
        )
    return say(
        "{what} was drawn at random by patient, {share} held out, because {why}.", what=what, share=share, why=why
    )
