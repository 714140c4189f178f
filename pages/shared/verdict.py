"""How answers are told: as a headline, and from which probability among the team's patients on what is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pages.shared.formatting import class_label, class_labels, format_probability
from xrai.calibration import ARGMAX_THRESHOLD, people_word
from xrai.core.labels import condition_phrase, is_healthy
from xrai.core.language import N_, tr, translate
from xrai.models.card import Card

if TYPE_CHECKING:
    from xrai.reading.results import Reading

NOT_SURE = N_("Uncertain: radiologist review needed")
OUTSIDE_POPULATION = N_("No answer: outside the ages of this model")
CHILDREN = "children"
CLEAR, PROBABLE = 0.9, 0.7
TOLERANCE = 1e-6
NOT_DESCRIBED = N_("patients that nobody described when its dataset was built")


def population_noun(card: Card) -> str:
    """Whom a model was trained on: `CHILDREN` or "patients"."""
    return people_word(card.dataset.population)


def population_text(card: Card) -> str:
    """Whom a model learned from, in the reader's language."""
    return translate(card.dataset.population or NOT_DESCRIBED)


def prevalence_text(card: Card) -> str:
    """Among whom probabilities are told, where the team said that; else ""."""
    if card.local_prevalence is None or card.calibration is None or card.calibration.prevalence is None:
        return ""
    n, condition = 100 * card.local_prevalence, translate(condition_phrase(card.classes[1]))
    if population_noun(card) == CHILDREN:
        return tr(
            "Probabilities are adjusted to your prevalence: {n:.3g} in 100 children have {condition}.",
            n=n,
            condition=condition,
        )
    return tr(
        "Probabilities are adjusted to your prevalence: {n:.3g} in 100 patients have {condition}.",
        n=n,
        condition=condition,
    )


def verdict_text(reading: Reading, card: Card) -> str:
    """The answer as a headline in the words of a radiology report; the abstention decides whether it is uncertain."""
    if reading.is_outside_population:
        return tr(OUTSIDE_POPULATION)
    if not reading.is_confident:
        return tr(NOT_SURE)
    condition = translate(condition_phrase(_named_class(reading.diagnosis, card)))
    template = _verdict_template(reading, card)
    answer = tr(template, name=class_label(reading.diagnosis), condition=condition)
    return tr("{answer} (drawing)", answer=answer) if card.dataset.is_phantom else answer


def _named_class(diagnosis: str, card: Card) -> str:
    """The class that the headline names: of two classes never the healthy one."""
    return card.classes[1] if len(card.classes) == 2 and is_healthy(diagnosis) else diagnosis


def _verdict_template(reading: Reading, card: Card) -> str:
    has_abstention, share = card.abstention is not None, reading.probabilities[reading.diagnosis]
    if not is_likeliest(reading):
        return N_("Positive by threshold: {name}") if has_abstention else N_("Uncertain, by threshold: {name}")
    if not has_abstention and share < PROBABLE:
        return N_("Uncertain, rather {name}")
    if _named_class(reading.diagnosis, card) != reading.diagnosis:
        return N_("No sign of {condition}") if share >= CLEAR else N_("Probably no sign of {condition}")
    return N_("Suspicious for {condition}") if share >= CLEAR else N_("Probable: {condition}")


def is_likeliest(reading: Reading) -> bool:
    """Whether the probabilities that are told favour what is called: a threshold far from the middle calls it anyway."""
    return reading.probabilities[reading.diagnosis] >= max(reading.probabilities.values())


def local_threshold(card: Card) -> float:
    """From which probability on the second of two classes is called."""
    return card.to_local_prevalence(_threshold_or_even(card))


def local_reject_zone(card: Card) -> tuple[float, float] | None:
    """Between which probabilities of the second of two classes the answer is not sure; None where it is for none."""
    if card.abstention is None:
        return None
    low, high = card.abstention.reject_zone(_threshold_or_even(card))
    return (card.to_local_prevalence(low), card.to_local_prevalence(high)) if low < high else None


def to_local_probabilities(card: Card, probabilities: Sequence[float]) -> list[float]:
    """Probabilities of the second of two classes as they are told."""
    positive = np.asarray(probabilities, np.float64)
    return card.adjust_to_local_prevalence(np.stack([1 - positive, positive], axis=1))[:, 1].tolist()


def has_threshold_moved(card: Card, threshold: float | None) -> bool:
    """Whether the second of two classes is called from another probability on than in a measurement."""
    return (
        len(card.classes) == 2
        and abs((ARGMAX_THRESHOLD if threshold is None else threshold) - _threshold_or_even(card)) > TOLERANCE
    )


def threshold_text(card: Card, threshold: float | None) -> str:
    """From when on the second of two classes was called in a measurement; None for even odds."""
    return format_probability(card.to_local_prevalence(ARGMAX_THRESHOLD if threshold is None else threshold))


def moved_threshold_text(card: Card, threshold: float | None) -> str:
    """The same in words; "" where that is as it is now."""
    if not has_threshold_moved(card, threshold):
        return ""
    return tr("{name} from {share}", name=class_labels(card.classes)[1], share=threshold_text(card, threshold))


def _threshold_or_even(card: Card) -> float:
    return ARGMAX_THRESHOLD if card.threshold_value is None else card.threshold_value
