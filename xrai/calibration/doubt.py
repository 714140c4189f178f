"""The third answer, "not sure": given wherever a firm one would be wrong more often than promised."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from xrai.core.language import join_messages, say
from xrai.metrics import Interval, share_by_patient
from xrai.metrics.checks import Bools, Floats, Ints, checked, checked_labels, checked_probabilities
from xrai.metrics.resampling import numbered

_ROUNDING = 1e-9  # of patients


@dataclass(frozen=True)
class Doubt:
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
        if not all(0 <= cut <= 1 for cut in self.cuts) or min(self.patients) < 0:
            raise ValueError("Cuts must lie between 0 and 1, and patients cannot be fewer than none.")

    def sure(self, probabilities: ArrayLike, called: ArrayLike) -> Bools:
        """Whether an answer is firm: all classes but the called one are ruled out, bool (N,).

        Where the called one is ruled out too, which happens to classes that are told apart well, nothing speaks for
        another, and the call stands. An answer can be firm and wrong only where the true class is ruled out, whatever
        the rule by which the answer was called; so the promise holds for any threshold.

        Of two classes with a threshold the firm answers lie outside `zone`: one below it, one above.

        Args:
            probabilities: float (N, C), as those that the cuts were fitted on.
            called: class that each scan is called, (N,).
        """
        p = checked_probabilities(probabilities)
        calls = checked_labels(called, len(self.cuts))
        if p.shape != (len(calls), len(self.cuts)):
            raise ValueError(f"Probabilities of shape {p.shape} do not go with {len(calls)} answers of {self.cuts}.")
        ruled_out = p < np.array(self.cuts)
        ruled_out[np.arange(len(p)), calls] = True
        return np.all(ruled_out, axis=1)

    def zone(self, threshold: float) -> Interval:
        """Between which probabilities of the second of two classes an answer is not firm; of no width if none is."""
        if len(self.cuts) != 2:
            raise ValueError(f"Only of two classes doubt is a zone, not of {len(self.cuts)}.")
        return min(self.cuts[1], threshold), max(1 - self.cuts[0], threshold)

    @property
    def smallest(self) -> tuple[float, ...]:
        """The smallest `alpha` above 0 that each class's patients allow to promise: 1 / (patients + 1)."""
        return tuple(1 / (n + 1) for n in self.patients)

    def sentence(self, classes: tuple[str, ...]) -> str:
        """What is promised, for people."""
        told = [
            say(
                "Answers are held back so that at most {x:.3g} in 100 scans of each class get a wrong one, "
                'among patients like these; instead XRAI says "not sure: ask a radiologist".',
                x=100 * self.alpha,
            )
        ]
        for name, n, smallest in zip(classes, self.patients, self.smallest, strict=True):
            if self.alpha < smallest - _ROUNDING:
                told.append(
                    say(
                        "The {n} patients with {name} are too few to say when it can be ruled out, so it never is: "
                        "they allow to promise {x:.1f} in 100 or more.",
                        n=n,
                        name=name,
                        x=100 * smallest,
                    )
                )
        return join_messages(told)

    def to_dict(self) -> dict[str, Any]:
        """The cuts as plain JSON-able values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Doubt:
        """The cuts read back.

        Raises:
            KeyError, TypeError, ValueError: they are not such.
        """
        return cls(float(values["alpha"]), tuple(map(float, values["cuts"])), tuple(map(int, values["patients"])))


def fit_doubt(
    probabilities: ArrayLike,
    labels: ArrayLike,
    alpha: float,
    patients: Iterable[Hashable],
    *,
    shifted: Iterable[ArrayLike] = (),
) -> Doubt:
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
    p, y = checked(probabilities, labels)
    patient, _ = numbered(patients, len(y))
    changed = [checked(version, labels)[0] for version in shifted]
    cuts = [
        min(_cut(version[y == k, k], patient[y == k], alpha) for version in (p, *changed)) for k in range(p.shape[1])
    ]
    if changed:
        cuts = [min(cuts)] * len(cuts)
    return Doubt(alpha, tuple(cuts), tuple(len(np.unique(patient[y == k])) for k in range(p.shape[1])))


def answer_report(
    sure: ArrayLike, called: ArrayLike, labels: ArrayLike, patients: Iterable[Hashable], n_classes: int
) -> dict[str, Any]:
    """What firm answers are worth, JSON-able: each a share of scans and, as `…_interval`, its 95 % interval by patient.

    answered (of all scans), right (of those answered), n, n_answered, per_class (in the classes' order, of the scans of
    each: answered; wrong, which got another class as a firm answer and is what `Doubt.alpha` bounds). None where there
    are no such scans. On the scans that the cuts were fitted on it tells what to expect, elsewhere what came of it.
    """
    truth, calls, names = checked_labels(labels, n_classes), checked_labels(called, n_classes), list(patients)
    firm = np.asarray(sure, dtype=bool)
    if not len(truth) == len(calls) == len(firm) == len(names):
        raise ValueError("Answers, true classes and patients do not go together.")
    wrong = firm & (calls != truth)
    return {
        "n": len(truth),
        "n_answered": int(firm.sum()),
        **_told("answered", firm, names, np.ones_like(firm)),
        **_told("right", ~wrong, names, firm),
        "per_class": [
            _told("answered", firm, names, truth == k) | _told("wrong", wrong, names, truth == k)
            for k in range(n_classes)
        ],
    }


def _cut(scores: Floats, patient: Ints, alpha: float) -> float:
    """The highest of a class's scores (n,) with at most alpha · (patients + 1) − 1 patients' weight below it."""
    if not len(scores):
        return 0.0
    _, whose, scans = np.unique(patient, return_inverse=True, return_counts=True)
    allowed = alpha * (len(scans) + 1) - 1 + _ROUNDING
    values, rank = np.unique(scores, return_inverse=True)
    weights = np.bincount(rank, weights=1 / scans[whose])
    fits = values[weights.cumsum() - weights <= allowed]
    return float(fits[-1]) if allowed >= 0 else 0.0


def _told(name: str, holds: Bools, patients: list[Hashable], among: Bools) -> dict[str, Any]:
    share, interval = share_by_patient(holds, patients, among) or (None, None)
    return {name: share, f"{name}_interval": interval}
