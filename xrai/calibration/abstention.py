"""Abstention by class-conditional split conformal prediction: no answer where confident ones would err too often."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, model_validator

from xrai.core.language import Message, join_messages, say
from xrai.core.records import Count, OpenShare, Record, Share
from xrai.metrics import Interval, clustered_proportion
from xrai.metrics.checks import Bools, Floats, Ints, check_labels, check_predictions, check_probabilities
from xrai.metrics.resampling import encode_groups

_ROUNDING = 1e-9  # of patients


class ConformalAbstention(Record):
    """Class-conditional split conformal abstention: the probability below which each class is excluded.

    Attributes:
        alpha: of the scans of any class, at most this share gets a confident answer that is another class, 0 to 1.
        thresholds: of each class; it is excluded where its probability is lower. 0 where it never is because
            `n_patients` is too small.
        n_patients: of each class, on whom the thresholds were fitted.
    """

    alpha: OpenShare
    thresholds: Annotated[tuple[Share, ...], Field(min_length=2, alias="cuts")]
    n_patients: Annotated[tuple[Count, ...], Field(alias="patients")]

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if len(self.thresholds) != len(self.n_patients):
            raise ValueError("Abstention needs a threshold and a number of patients for every class.")
        return self

    def is_confident(self, probabilities: ArrayLike, predicted: ArrayLike) -> Bools:
        """Whether each prediction is confident: all classes but the predicted one are excluded, bool (N,).

        If the predicted class is excluded too, which happens with well separated classes, the prediction stands. A
        confident prediction is wrong only where the true class is excluded, so the guarantee holds for any decision
        rule. With two classes and a threshold, confident predictions lie outside `reject_zone`.

        Args:
            probabilities: float (N, C), calibrated as those of the fit.
            predicted: predicted class of each scan, (N,).
        """
        p = check_probabilities(probabilities)
        predicted_labels = check_labels(predicted, len(self.thresholds))
        if p.shape != (len(predicted_labels), len(self.thresholds)):
            raise ValueError(
                f"Probabilities of shape {p.shape} do not fit {len(predicted_labels)} predictions and "
                f"{len(self.thresholds)} classes."
            )
        is_excluded = p < np.array(self.thresholds)
        is_excluded[np.arange(len(p)), predicted_labels] = True
        return np.all(is_excluded, axis=1)

    def reject_zone(self, threshold: float) -> Interval:
        """The probabilities of the positive class between which the model abstains; of zero width if it never does."""
        if len(self.thresholds) != 2:
            raise ValueError(f"A reject zone needs two classes, not {len(self.thresholds)}.")
        return min(self.thresholds[1], threshold), max(1 - self.thresholds[0], threshold)

    @property
    def min_alpha(self) -> tuple[float, ...]:
        """The smallest `alpha` that the patients of each class can guarantee: 1 / (n + 1)."""
        return tuple(1 / (n + 1) for n in self.n_patients)

    def sentence(self, classes: tuple[str, ...]) -> Message:
        """The guarantee in words."""
        sentences = [
            say(
                "Answers are held back so that at most {x:.3g} in 100 scans of each class get a wrong one, "
                'among patients like these; instead XRAI says "not sure: ask a radiologist".',
                x=100 * self.alpha,
            )
        ]
        for name, n, min_alpha in zip(classes, self.n_patients, self.min_alpha, strict=True):
            if self.alpha < min_alpha - _ROUNDING:
                sentences.append(
                    say(
                        "The {n} patients with {name} are too few to say when it can be ruled out, so it never is: "
                        "they allow to promise {x:.1f} in 100 or more.",
                        n=n,
                        name=name,
                        x=100 * min_alpha,
                    )
                )
        return join_messages(sentences)


def fit_abstention(
    probabilities: ArrayLike,
    labels: ArrayLike,
    alpha: float,
    patients: Iterable[Hashable],
    *,
    perturbed_probabilities: Iterable[ArrayLike] = (),
) -> ConformalAbstention:
    """Fit the thresholds on held-out scans: split conformal prediction per class.

    The threshold of a class is the floor(alpha · (n + 1))-th smallest probability that its own n scans give it. A new
    scan of the class takes any rank among them with equal chance, so it falls below with a probability of at most
    alpha, whatever the network (label-conditional: Vovk, Mach Learn 2013;92:349–376; Sadinle, Lei and Wasserman, J Am
    Stat Assoc 2019;114:223–234).

    Scans of one patient are correlated, so each patient has the weight 1, split among the scans, and n counts patients:
    the threshold is the highest probability with at most alpha · (n + 1) − 1 patients below it. The guarantee then
    holds for a scan of a new patient (Lee, Barber and Willett, arXiv:2306.06342, 2023).

    It holds on average over fits and over similar patients: not in other hospitals, and not for each subgroup. A
    calibration fitted on the same scans keeps it with two classes, whose order it preserves, and nearly with more.

    `perturbed_probabilities` add a margin for other hospitals: each threshold is the lowest that the scans or any
    perturbed version require, and every class gets the lowest of all, because which class a shift makes harder cannot
    be known from scans without the shift.

    Args:
        probabilities: float (N, C), 0 to 1.
        labels: true classes, (N,).
        alpha: share of each class's scans that may get a wrong confident answer, between 0 and 1.
        patients: keys (N,), equal for scans of one patient.
        perturbed_probabilities: of the same scans under test-time perturbations, (N, C) each.
    """
    p, y = check_predictions(probabilities, labels)
    patient_codes, _ = encode_groups(patients, len(y))
    perturbed_versions = [check_predictions(version, labels)[0] for version in perturbed_probabilities]
    thresholds = [
        min(
            _conformal_threshold(version[y == k, k], patient_codes[y == k], alpha)
            for version in (p, *perturbed_versions)
        )
        for k in range(p.shape[1])
    ]
    if perturbed_versions:
        thresholds = [min(thresholds)] * len(thresholds)
    n_patients = tuple(len(np.unique(patient_codes[y == k])) for k in range(p.shape[1]))
    return ConformalAbstention(alpha=alpha, thresholds=tuple(thresholds), n_patients=n_patients)


class ClassAbstention(Record):
    """Coverage and confident errors among the scans of one class; None where it has no scans.

    Attributes:
        coverage: share with a confident prediction.
        error_rate: share with a confident prediction of another class, which `ConformalAbstention.alpha` bounds.
    """

    coverage: Annotated[Share | None, Field(alias="answered")]
    coverage_interval: Annotated[Interval | None, Field(alias="answered_interval")]
    error_rate: Annotated[Share | None, Field(alias="wrong")]
    error_rate_interval: Annotated[Interval | None, Field(alias="wrong_interval")]


class AbstentionReport(Record):
    """Coverage and accuracy of confident predictions, with 95 % intervals by patient.

    Attributes:
        n, n_confident: all scans, and those with a confident prediction.
        coverage: share of confident predictions.
        accuracy: share of these that is right; None where there are none.
        per_class: in the classes' order.
    """

    n: Count
    n_confident: Annotated[Count, Field(alias="n_answered")]
    coverage: Annotated[Share, Field(alias="answered")]
    coverage_interval: Annotated[Interval, Field(alias="answered_interval")]
    accuracy: Annotated[Share | None, Field(alias="right")]
    accuracy_interval: Annotated[Interval | None, Field(alias="right_interval")]
    per_class: tuple[ClassAbstention, ...]


def abstention_report(
    is_confident: ArrayLike, predicted: ArrayLike, labels: ArrayLike, patients: Iterable[Hashable], n_classes: int
) -> AbstentionReport:
    """Measure what confident predictions are worth: expected values on the scans of the fit, observed ones elsewhere.

    Args:
        is_confident: bool (N,), N above 0.
        predicted: predicted classes, (N,).
        labels: true classes, (N,).
        patients: keys (N,), equal for scans of one patient.
        n_classes: number of classes.
    """
    true_labels = check_labels(labels, n_classes)
    predicted_labels = check_labels(predicted, n_classes)
    patient_ids = list(patients)
    confident = np.asarray(is_confident, dtype=bool)
    if not len(true_labels) == len(predicted_labels) == len(confident) == len(patient_ids):
        raise ValueError("Predictions, true classes and patients are of different lengths.")
    is_wrong = confident & (predicted_labels != true_labels)
    every = np.ones_like(confident)
    return AbstentionReport.model_validate(
        {
            "n": len(true_labels),
            "n_confident": int(confident.sum()),
            **_proportion("coverage", confident, patient_ids, every),
            **_proportion("accuracy", ~is_wrong, patient_ids, confident),
            "per_class": [
                _proportion("coverage", confident, patient_ids, true_labels == k)
                | _proportion("error_rate", is_wrong, patient_ids, true_labels == k)
                for k in range(n_classes)
            ],
        }
    )


def _conformal_threshold(scores: Floats, patient_codes: Ints, alpha: float) -> float:
    """The highest of the scores (n,) of a class with at most alpha · (n_patients + 1) − 1 patients below it."""
    if not len(scores):
        return 0.0
    _, inverse, scan_counts = np.unique(patient_codes, return_inverse=True, return_counts=True)
    max_weight = alpha * (len(scan_counts) + 1) - 1 + _ROUNDING
    values, rank = np.unique(scores, return_inverse=True)
    weights = np.bincount(rank, weights=1 / scan_counts[inverse])
    candidates = values[weights.cumsum() - weights <= max_weight]
    return float(candidates[-1]) if max_weight >= 0 else 0.0


def _proportion(name: str, successes: Bools, patients: list[Hashable], mask: Bools) -> dict[str, Any]:
    proportion, interval = clustered_proportion(successes, patients, mask) or (None, None)
    return {name: proportion, f"{name}_interval": interval}
