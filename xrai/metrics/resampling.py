"""Drawing patients with replacement, each with all scans, and measuring what was drawn."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from xrai.metrics.checks import Floats, Ints, check_predictions
from xrai.metrics.measures import predict, weighted_auc

_CHUNK = 1 << 18  # weights held at once while resampling: 2 MB, small enough for a processor's cache


@dataclass(frozen=True, eq=False)
class BootstrapSample:
    """What resampling needs of the scans: P patients, C classes."""

    scores: Floats  # (N, C)
    labels: Ints  # (N,)
    patient_codes: Ints  # (N,), 0 … P − 1
    true_positives: Floats  # (P, C) scans of a class read right
    support: Floats  # (P, C) scans of a class
    predicted_positives: Floats  # (P, C) scans taken for a class


def make_sample(
    probabilities: ArrayLike, labels: ArrayLike, groups: Iterable[Hashable], threshold: float | None
) -> BootstrapSample:
    """Count each patient's scans; `groups` (N,) names each scan's patient."""
    p, y = check_predictions(probabilities, labels)
    patient_codes, n_patients = encode_groups(groups, len(y))
    predictions = predict(p, threshold)
    true_positives, support, predicted_positives = np.zeros((3, n_patients, p.shape[1]))
    is_correct = predictions == y
    np.add.at(true_positives, (patient_codes[is_correct], y[is_correct]), 1)
    np.add.at(support, (patient_codes, y), 1)
    np.add.at(predicted_positives, (patient_codes, predictions), 1)
    return BootstrapSample(p, y, patient_codes, true_positives, support, predicted_positives)


def bootstrap(
    sample: BootstrapSample, compute_metrics: Callable[[BootstrapSample, Floats], Floats], n_rounds: int, seed: int
) -> Floats:
    """Take `measures` in every round, (…, R).

    `measures` gets the sample and how often each patient was drawn in each of some rounds, (P, r), and gives (…, r),
    NaN where a round leaves a measure undefined. The same seed draws the same patients whatever is measured.
    """
    chunk = max(1, _CHUNK // len(sample.labels))
    draw_chunks = draw_patients(len(sample.true_positives), n_rounds, chunk, seed)
    return np.concatenate([compute_metrics(sample, rounds) for rounds in draw_chunks], axis=-1)


def draw_patients(n_patients: int, n_rounds: int, chunk: int, seed: int) -> Iterator[Floats]:
    """Yield how often each patient is drawn in each round, (P, r), at most `chunk` rounds at a time."""
    rng = np.random.default_rng(seed)
    for start in range(0, n_rounds, chunk):
        r = min(chunk, n_rounds - start)
        draws = rng.integers(n_patients, size=(r, n_patients)) * r + np.arange(r)[:, None]
        yield np.bincount(draws.ravel(), minlength=n_patients * r).reshape(n_patients, r).astype(np.float64)


def bootstrap_aucs(sample: BootstrapSample, draw_counts: Floats, classes: Iterable[int]) -> Floats:
    """AUC of some classes against the rest in every round of `drawn` (P, r): (K, r)."""
    weights = draw_counts[sample.patient_codes]  # (N, r)
    return np.stack([weighted_auc(sample.scores[:, k], sample.labels == k, weights) for k in classes])


def encode_groups(groups: Iterable[Hashable], n_scans: int) -> tuple[Ints, int]:
    """Give each scan its patient as a number, from 0 in order of appearance, and how many patients there are."""
    code_of: dict[Hashable, int] = {}
    codes = np.array([code_of.setdefault(group, len(code_of)) for group in groups], dtype=np.int64)
    if len(codes) != n_scans:
        raise ValueError(f"{len(codes)} patients' names do not go with {n_scans} scans.")
    return codes, len(code_of)


def patient_folds(patients: ArrayLike, n_folds: int, rng: np.random.Generator) -> Ints:
    """Assign each scan to a random cross-validation fold, the same fold for all scans of a patient, int (N,)."""
    unique_patients, patient_index = np.unique(patients, return_inverse=True)
    return (rng.permutation(len(unique_patients)) % n_folds)[patient_index]
