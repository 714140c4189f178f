"""Outlier detection: inverted, rotated or atypical scans, cross-fitted by patient."""

from __future__ import annotations

from collections import Counter

import numpy as np

from xrai.core.language import N_, join_messages, say, say_plural
from xrai.data.audit.dataset_pass import DatasetPass, ProgressCallback, iterate_with_progress
from xrai.data.audit.findings import AuditFinding, film_count, fine_finding
from xrai.data.audit.image_quality import MIN_CONTRAST
from xrai.data.audit.linear_probe import fit_and_predict

KIND = "odd-films"
MIN_SCANS = 40
"""Scans that a dataset needs for the detection."""

MIN_PROBABILITY = 0.7
"""Probability from which a scan counts as inverted or rotated."""

MAD_FACTOR = 8.0
"""Median absolute deviations of the log distance above the median from which a scan is an outlier."""

_N_FOLDS = 3
_MAX_TRAIN_SCANS = 600
_N_COMPONENTS = 20
_INVERTED, _ROTATED, _OUTLIER = N_("inverted"), N_("turned"), N_("unlike the others")
_ORIENTATIONS = ("upright", _INVERTED, _ROTATED, _ROTATED, _ROTATED)


def find_outliers(dataset_pass: DatasetPass, progress: ProgressCallback) -> list[AuditFinding]:
    """Scans that look inverted or rotated, or far from all others; each is judged by a model of other patients.

    Blank scans are left out: the image quality check reports them.
    """
    usable = np.flatnonzero(dataset_pass.quality.contrast >= MIN_CONTRAST)
    if len(usable) < MIN_SCANS:
        too_few = AuditFinding(
            kind=KIND,
            severity="notable",
            title=say("Odd films not sought"),
            sentence=say(
                "With {films} it cannot be said what is usual, so odd ones were not sought.",
                films=film_count(len(usable)),
            ),
            advice=say("Look through the films yourself."),
        )
        return [too_few]
    reasons = _outlier_reasons(dataset_pass, usable, progress)
    if not reasons:
        sentence = say("No film looks inverted, turned or unlike all others.")
        return [fine_finding(KIND, say("No odd films"), sentence)]
    return [_outlier_finding(reasons)]


def _outlier_finding(reasons: dict[int, str]) -> AuditFinding:
    counts = Counter(reasons.values())
    return AuditFinding(
        kind=KIND,
        severity="notable",
        title=say("Odd films"),
        sentence=say_plural(
            "{n:,} film looks odd: {reasons}.",
            "{n:,} films look odd: {reasons}.",
            len(reasons),
            reasons=_format_counts(counts),
        ),
        advice=say("Look at them: an inverted or turned film should be exported again; a rare patient should stay."),
        numbers={"scans": len(reasons), "reasons": {str(reason): n for reason, n in counts.items()}},
        groups=tuple(tuple(row for row, why in reasons.items() if why == reason) for reason in counts),
    )


def _format_counts(counts: Counter[str]) -> str:
    """Such as “2 turned, 1 inverted”."""
    words = {
        _INVERTED: say("{n:,} inverted", n=counts[_INVERTED]),
        _ROTATED: say("{n:,} turned", n=counts[_ROTATED]),
        _OUTLIER: say("{n:,} unlike the others", n=counts[_OUTLIER]),
    }
    return join_messages((words[reason] for reason in counts), ", ")


def _outlier_reasons(dataset_pass: DatasetPass, rows: np.ndarray, progress: ProgressCallback) -> dict[int, str]:
    """The reason of each outlier by row: inverted, rotated or atypical."""
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
    """Probabilities (n, 5) of each of `_ORIENTATIONS`, learned from transformed thumbnails (m, 64, 64)."""
    from xrai.scans.descriptor import compute_descriptors

    variants = [thumbnails, 255 - thumbnails, *(np.rot90(thumbnails, turns, axes=(1, 2)) for turns in (1, 2, 3))]
    orientations = np.repeat(np.arange(len(variants)), len(thumbnails))
    return fit_and_predict(
        compute_descriptors(np.ascontiguousarray(np.concatenate(variants))), orientations, descriptors, len(variants)
    )


def _is_outlier(reference: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Whether each candidate (n, D) lies far from the leading principal components of the reference, bool (n,)."""
    from sklearn.decomposition import PCA

    pca = PCA(min(_N_COMPONENTS, len(reference) - 1), svd_solver="randomized", random_state=0).fit(reference)
    residual = candidates - pca.inverse_transform(pca.transform(candidates))
    distance = np.log((residual**2).sum(axis=1) + 1e-12)
    median = np.median(distance)
    return distance > median + MAD_FACTOR * 1.4826 * np.median(np.abs(distance - median))
