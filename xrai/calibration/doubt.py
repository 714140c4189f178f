"""The third answer, "not sure": given wherever a firm one would be wrong more often than promised."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from xrai.core.language import join_messages, say
from xrai.metrics import Interval, clustered_proportion
from xrai.metrics.checks import Bools, Floats, Ints, check_labels, check_predictions, check_probabilities
from xrai.metrics.resampling import encode_groups

_ROUNDING = 1e-9  # of patients


@dataclass(frozen=True)
class ConformalAbstention:
    """Below which probability each class is ruled out.

    Attributes:
        alpha: of 100 scans of any class, at most 100 · alpha get a firm answer that is another class.
        cuts: of each class; it is ruled out where its probability is below this, 0 to 1. 0 where it never is, as
            `patients` are too few to say when.
        patients: of each class, on whom the cuts were fitted.
    """

    alpha: float
    cuts: tuple[float, ...]
    patients: tuple[int, ...]

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ValueError(f"The share of wrong answers must lie between 0 and 1, not at {self.alpha}.")
        if len(self.cuts) < 2 or len(self.cuts) != len(self.patients):
            raise ValueError("Doubt needs a cut and a number of patients for every class.")
        if not all(0 <= threshold <= 1 for threshold in self.cuts) or min(self.patients) < 0:
            raise ValueError("Cuts must lie between 0 and 1, and patients cannot be fewer than none.")

    def is_confident(self, probabilities: ArrayLike, predicted: ArrayLike) -> Bools:
        """Whether an answer is firm: all classes but the called one are ruled out, bool (N,).

        Where the called one is ruled out too, which happens to classes that are told apart well, nothing speaks for
        another, and the call stands. An answer can be firm and wrong only where the true class is ruled out, whatever
        the rule by which the answer was called; so the promise holds for any threshold.

        Of two classes with a threshold the firm answers lie outside `reject_zone`: one below it, one above.

        Args:
            probabilities: float (N, C), as those that the cuts were fitted on.
            called: class that each scan is called, (N,).
        """
        p = check_probabilities(probabilities)
        predicted_labels = check_labels(predicted, len(self.cuts))
        if p.shape != (len(predicted_labels), len(self.cuts)):
            raise ValueError(
                f"Probabilities of shape {p.shape} do not go with {len(predicted_labels)} answers of {self.cuts}."
            )
        is_excluded = p < np.array(self.cuts)
        is_excluded[np.arange(len(p)), predicted_labels] = True
        return np.all(is_excluded, axis=1)

    def reject_zone(self, threshold: float) -> Interval:
        """Between which probabilities of the second of two classes an answer is not firm; of no width if none is."""
        if len(self.cuts) != 2:
            raise ValueError(f"Only of two classes doubt is a zone, not of {len(self.cuts)}.")
        return min(self.cuts[1], threshold), max(1 - self.cuts[0], threshold)

    @property
    def min_alpha(self) -> tuple[float, ...]:
        """The smallest `alpha` above 0 that each class's patients allow to promise: 1 / (patients + 1)."""
        return tuple(1 / (n + 1) for n in self.patients)

    def sentence(self, classes: tuple[str, ...]) -> str:
        """What is promised, for people."""
        sentences = [
            say(
                "Answers are held back so that at most {x:.3g} in 100 scans of each class get a wrong one, "
                'among patients like these; instead XRAI says "not sure: ask a radiologist".',
                x=100 * self.alpha,
            )
        ]
        for name, n, min_alpha in zip(classes, self.patients, self.min_alpha, strict=True):
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

    def to_dict(self) -> dict[str, Any]:
        """The cuts as plain JSON-able values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ConformalAbstention:
        """The cuts read back.

        Raises:
            KeyError, TypeError, ValueError: they are not such.
        """
        return cls(float(values["alpha"]), tuple(map(float, values["cuts"])), tuple(map(int, values["patients"])))


def fit_abstention(
    probabilities: ArrayLike,
    labels: ArrayLike,
    alpha: float,
    patients: Iterable[Hashable],
    *,
    perturbed_probabilities: Iterable[ArrayLike] = (),
) -> ConformalAbstention:
    """Fit the cuts on scans that the network did not learn from: split conformal prediction, class by class.

    A class's cut is the floor(alpha · (n + 1))-th smallest probability that its own n scans give it. A new scan of the
    class is as likely to take any place among them, so it falls below with a chance of at most alpha, whatever the
    network and however the probabilities are spread (label-conditional: Vovk, Mach Learn 2013;92:349–376; Sadinle, Lei
    and Wasserman, J Am Stat Assoc 2019;114:223–234).

    Scans of one patient resemble each other, so each patient with scans of the class weighs 1, split among these scans,
    and n counts patients: the cut is the highest probability with at most alpha · (n + 1) − 1 patients below it. The
    promise then holds for a scan of a new patient (Lee, Barber and Willett, arXiv:2306.06342, 2023), and is the one
    above where everyone has one scan.

    It holds on average over such fits and over patients like these: not of other hospitals, where the scans differ,
    and not for each kind of patient. A calibration fitted on the same scans does no harm to it with two classes, where
    it leaves their order as it is, and hardly any with more.

    With `shifted` the cuts get a margin for other hospitals. Each is the lowest that the scans and any of their changed
    versions ask for, and the lowest of all classes is that of every class: which class a shift makes hard cannot be
    told from scans without the shift, and one that is easy on them need not stay so.

    Args:
        probabilities: float (N, C), 0 to 1.
        labels: true classes, (N,).
        alpha: share of each class's scans that may get a wrong firm answer, above 0 and below 1.
        patients: keys (N,), equal for scans of one patient.
        shifted: the probabilities of the same scans, changed in several ways, (N, C) each.
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
    return ConformalAbstention(
        alpha, tuple(thresholds), tuple(len(np.unique(patient_codes[y == k])) for k in range(p.shape[1]))
    )


def abstention_report(
    is_confident: ArrayLike, predicted: ArrayLike, labels: ArrayLike, patients: Iterable[Hashable], n_classes: int
) -> dict[str, Any]:
    """What firm answers are worth, JSON-able: each a share of scans and, as `…_interval`, its 95 % interval by patient.

    answered (of all scans), right (of those answered), n, n_answered, per_class (in the classes' order, of the scans of
    each: answered; wrong, which got another class as a firm answer and is what `Doubt.alpha` bounds). None where there
    are no such scans. On the scans that the cuts were fitted on it tells what to expect, elsewhere what came of it.
    """
    true_labels, predicted_labels, patient_ids = (
        check_labels(labels, n_classes),
        check_labels(predicted, n_classes),
        list(patients),
    )
    confident = np.asarray(is_confident, dtype=bool)
    if not len(true_labels) == len(predicted_labels) == len(confident) == len(patient_ids):
        raise ValueError("Answers, true classes and patients do not go together.")
    confidently_wrong = confident & (predicted_labels != true_labels)
    return {
        "n": len(true_labels),
        "n_answered": int(confident.sum()),
        **_share_with_interval("answered", confident, patient_ids, np.ones_like(confident)),
        **_share_with_interval("right", ~confidently_wrong, patient_ids, confident),
        "per_class": [
            _share_with_interval("answered", confident, patient_ids, true_labels == k)
            | _share_with_interval("wrong", confidently_wrong, patient_ids, true_labels == k)
            for k in range(n_classes)
        ],
    }


def _conformal_threshold(scores: Floats, patient_codes: Ints, alpha: float) -> float:
    """The highest of a class's scores (n,) with at most alpha · (patients + 1) − 1 patients' weight below it."""
    if not len(scores):
        return 0.0
    _, inverse, scan_counts = np.unique(patient_codes, return_inverse=True, return_counts=True)
    max_weight = alpha * (len(scan_counts) + 1) - 1 + _ROUNDING
    values, rank = np.unique(scores, return_inverse=True)
    weights = np.bincount(rank, weights=1 / scan_counts[inverse])
    candidates = values[weights.cumsum() - weights <= max_weight]
    return float(candidates[-1]) if max_weight >= 0 else 0.0


def _share_with_interval(name: str, successes: Bools, patients: list[Hashable], mask: Bools) -> dict[str, Any]:
    proportion, interval = clustered_proportion(successes, patients, mask) or (None, None)
    return {name: proportion, f"{name}_interval": interval}
