"""Films unlike the others: inverted, turned, or something else altogether."""

from __future__ import annotations

from collections import Counter

import numpy as np

from xrai.core.language import N_, join_messages, say
from xrai.data.audit.films import MIN_CONTRAST
from xrai.data.audit.findings import AuditFinding, films
from xrai.data.audit.guessing import fit_and_predict
from xrai.data.audit.looking import DatasetPass, ProgressCallback, iterate_with_progress

KIND = "odd-films"
MIN_SCANS = 40
"""Scans from which a set knows what is usual in it."""

MIN_PROBABILITY = 0.7
"""Probability from which a film is said to be inverted or turned."""

MAD_FACTOR = 8.0
"""Spreads of the logarithm of the distance beyond the middle film from which one is unlike the others."""

_N_FOLDS = 3
_MAX_TRAIN_SCANS = 600
_N_COMPONENTS = 20
_INVERTED, _ROTATED, _OUTLIER = N_("inverted"), N_("turned"), N_("unlike the others")
_ORIENTATIONS = ("upright", _INVERTED, _ROTATED, _ROTATED, _ROTATED)


def find_outliers(dataset_pass: DatasetPass, progress: ProgressCallback) -> list[AuditFinding]:
    """The films that others, changed on purpose, show to be changed, or that are far from all others.

    Each is judged by what was learned from other patients. Blank films are found elsewhere.
    """
    usable = np.flatnonzero(dataset_pass.contrast >= MIN_CONTRAST)
    if len(usable) < MIN_SCANS:
        sentence = say(
            "With {films} it cannot be said what is usual, so odd ones were not sought.", films=films(len(usable))
        )
        return [
            AuditFinding(
                KIND, "notable", say("Odd films not sought"), sentence, say("Look through the films yourself.")
            )
        ]
    reasons = _outlier_reasons(dataset_pass, usable, progress)
    if not reasons:
        return [
            AuditFinding(KIND, "fine", say("No odd films"), say("No film looks inverted, turned or unlike all others."))
        ]
    return [_outlier_finding(reasons)]


def _outlier_finding(reasons: dict[int, str]) -> AuditFinding:
    counts = Counter(reasons.values())
    summary = _format_counts(counts)
    groups = tuple(tuple(row for row, why in reasons.items() if why == reason) for reason in counts)
    return AuditFinding(
        KIND,
        "notable",
        say("Odd films"),
        say("1 film looks odd: {listed}.", listed=summary)
        if len(reasons) == 1
        else say("{len:,} films look odd: {listed}.", len=len(reasons), listed=summary),
        say("Look at them: an inverted or turned film should be exported again; a rare patient should stay."),
        {"scans": len(reasons), "reasons": dict(counts)},
        groups,
    )


def _format_counts(counts: Counter[str]) -> str:
    """Such as “2 turned, 1 inverted”."""
    words: dict[str, str] = {
        _INVERTED: say("{counts:,} inverted", counts=counts[_INVERTED]),
        _ROTATED: say("{counts:,} turned", counts=counts[_ROTATED]),
        _OUTLIER: say("{counts:,} unlike the others", counts=counts[_OUTLIER]),
    }
    return join_messages((words[reason] for reason in counts), ", ")


def _outlier_reasons(dataset_pass: DatasetPass, rows: np.ndarray, progress: ProgressCallback) -> dict[int, str]:
    """Why each odd film is odd: “inverted”, “turned” or “unlike the others”."""
    from xrai.scans.descriptor import compute_descriptors

    descriptors = compute_descriptors(dataset_pass.thumbnails[rows])  # (n, D)
    patients, patient_index = np.unique(dataset_pass.dataset.patients[rows].astype(str), return_inverse=True)
    fold = (np.random.default_rng(0).permutation(len(patients)) % _N_FOLDS)[patient_index]
    reasons: dict[int, str] = {}
    for held_out in iterate_with_progress(range(_N_FOLDS), progress):
        train, test = np.flatnonzero(fold != held_out), np.flatnonzero(fold == held_out)
        if len(train) < 2 or not len(test):
            continue
        train = np.random.default_rng(0).permutation(train)[:_MAX_TRAIN_SCANS]
        outliers = _is_outlier(descriptors[train], descriptors[test])
        probabilities = _orientation_probabilities(dataset_pass.thumbnails[rows[train]], descriptors[test])  # (n, 5)
        for index, is_outlier, row_probabilities in zip(test, outliers, probabilities, strict=True):
            if (orientation := int(row_probabilities.argmax())) and row_probabilities[orientation] >= MIN_PROBABILITY:
                reasons[int(rows[index])] = _ORIENTATIONS[orientation]
            elif is_outlier:
                reasons[int(rows[index])] = _OUTLIER
    return dict(sorted(reasons.items()))


def _orientation_probabilities(thumbnails: np.ndarray, descriptors: np.ndarray) -> np.ndarray:
    """Probabilities (n, 5) of each of `_WAYS`, learned from thumbnails changed in each."""
    from xrai.scans.descriptor import compute_descriptors

    variants = [thumbnails, 255 - thumbnails, *(np.rot90(thumbnails, turns, axes=(1, 2)) for turns in (1, 2, 3))]
    orientations = np.repeat(np.arange(len(variants)), len(thumbnails))
    return fit_and_predict(
        compute_descriptors(np.ascontiguousarray(np.concatenate(variants))), orientations, descriptors, len(variants)
    )


def _is_outlier(reference: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Whether each of `new` (n, D) lies far from what is known: beyond its leading components, bool (n,)."""
    from sklearn.decomposition import PCA

    pca = PCA(min(_N_COMPONENTS, len(reference) - 1), svd_solver="randomized", random_state=0).fit(reference)
    residual = candidates - pca.inverse_transform(pca.transform(candidates))
    distance = np.log((residual**2).sum(axis=1) + 1e-12)
    median = np.median(distance)
    return distance > median + MAD_FACTOR * 1.4826 * np.median(np.abs(distance - median))
