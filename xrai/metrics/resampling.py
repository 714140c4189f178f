"""Drawing patients with replacement, each with all scans, and measuring what was drawn."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from xrai.metrics.checks import Floats, Ints, checked
from xrai.metrics.measures import predict, weighted_auc

_CHUNK = 1 << 18  # weights held at once while resampling: 2 MB, small enough for a processor's cache


@dataclass(frozen=True, eq=False)
class Sample:
    """What resampling needs of the scans: P patients, C classes."""

    scores: Floats  # (N, C)
    labels: Ints  # (N,)
    patient: Ints  # (N,), 0 … P − 1
    hits: Floats  # (P, C) scans of a class read right
    truths: Floats  # (P, C) scans of a class
    guesses: Floats  # (P, C) scans taken for a class


def sample_of(
    probabilities: ArrayLike, labels: ArrayLike, groups: Iterable[Hashable], threshold: float | None
) -> Sample:
    """Count each patient's scans; `groups` (N,) names each scan's patient."""
    p, y = checked(probabilities, labels)
    patient, n_patients = numbered(groups, len(y))
    guess = predict(p, threshold)
    hits, truths, guesses = np.zeros((3, n_patients, p.shape[1]))
    right = guess == y
    np.add.at(hits, (patient[right], y[right]), 1)
    np.add.at(truths, (patient, y), 1)
    np.add.at(guesses, (patient, guess), 1)
    return Sample(p, y, patient, hits, truths, guesses)


def resampled(sample: Sample, measures: Callable[[Sample, Floats], Floats], n_rounds: int, seed: int) -> Floats:
    """Take `measures` in every round, (…, R).

    `measures` gets the sample and how often each patient was drawn in each of some rounds, (P, r), and gives (…, r),
    NaN where a round leaves a measure undefined. The same seed draws the same patients whatever is measured.
    """
    chunk = max(1, _CHUNK // len(sample.labels))
    drawn = drawn_patients(len(sample.hits), n_rounds, chunk, seed)
    return np.concatenate([measures(sample, rounds) for rounds in drawn], axis=-1)


def drawn_patients(n_patients: int, n_rounds: int, chunk: int, seed: int) -> Iterator[Floats]:
    """Yield how often each patient is drawn in each round, (P, r), at most `chunk` rounds at a time."""
    rng = np.random.default_rng(seed)
    for start in range(0, n_rounds, chunk):
        r = min(chunk, n_rounds - start)
        draws = rng.integers(n_patients, size=(r, n_patients)) * r + np.arange(r)[:, None]
        yield np.bincount(draws.ravel(), minlength=n_patients * r).reshape(n_patients, r).astype(np.float64)


def areas(sample: Sample, drawn: Floats, classes: Iterable[int]) -> Floats:
    """AUC of some classes against the rest in every round of `drawn` (P, r): (K, r)."""
    weights = drawn[sample.patient]  # (N, r)
    return np.stack([weighted_auc(sample.scores[:, k], sample.labels == k, weights) for k in classes])


def numbered(groups: Iterable[Hashable], n_scans: int) -> tuple[Ints, int]:
    """Give each scan its patient as a number, from 0 in order of appearance, and how many patients there are."""
    numbers: dict[Hashable, int] = {}
    patient = np.array([numbers.setdefault(group, len(numbers)) for group in groups], dtype=np.int64)
    if len(patient) != n_scans:
        raise ValueError(f"{len(patient)} patients' names do not go with {n_scans} scans.")
    return patient, len(numbers)
