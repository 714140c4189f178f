"""How answers are told: as a headline, and from which probability among the team's patients on what is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pages.shared.formatting import nice, nice_names, percent
from xrai.calibration import EVEN, people_of
from xrai.core.labels import condition_of
from xrai.core.language import N_, tr, translate
from xrai.models.checkpoint import Card

if TYPE_CHECKING:
    from xrai.reading.reader import Reading

NOT_SURE = N_("Not sure: ask a radiologist")
CHILDREN = "children"
CLEAR, PROBABLE = 0.9, 0.7
SAME = 1e-6


def people_in(card: Card) -> str:
    """Whom a model was trained on: `CHILDREN` or "patients"."""
    return people_of(str(card.dataset.get("population") or ""))


def for_whom(card: Card) -> str:
    """Among whom probabilities are told, where the team said that; else ""."""
    if card.prevalence is None or card.calibration is None or card.calibration.prevalence is None:
        return ""
    n, condition = 100 * card.prevalence, translate(condition_of(card.classes[1]))
    if people_in(card) == CHILDREN:
        return tr(
            "Probabilities are told for your children, of whom {n:.3g} in 100 have {condition}.",
            n=n,
            condition=condition,
        )
    return tr(
        "Probabilities are told for your patients, of whom {n:.3g} in 100 have {condition}.", n=n, condition=condition
    )


def in_words(reading: Reading, card: Card) -> str:
    """An answer as a headline; where the card has a doubt, that alone says whether it is firm."""
    if not reading.sure:
        return tr(NOT_SURE)
    answer = tr(_how(reading, is_firm=card.doubt is not None), name=nice(reading.diagnosis))
    return tr("{answer} (drawing)", answer=answer) if card.dataset.get("drawings") else answer


def _how(reading: Reading, *, is_firm: bool) -> str:
    share = reading.probabilities[reading.diagnosis]
    if not is_likeliest(reading):
        return N_("Called {name}") if is_firm else N_("In doubt, called {name}")
    if is_firm or share >= PROBABLE:
        return N_("This looks like {name}") if share >= CLEAR else N_("This is probably {name}")
    return N_("In doubt, rather {name}")


def is_likeliest(reading: Reading) -> bool:
    """Whether the probabilities that are told favour what is called: a threshold far from the middle calls it anyway."""
    return reading.probabilities[reading.diagnosis] >= max(reading.probabilities.values())


def told_threshold(card: Card) -> float:
    """From which probability on the second of two classes is called."""
    return card.told(_value(card))


def told_zone(card: Card) -> tuple[float, float] | None:
    """Between which probabilities of the second of two classes the answer is not sure; None where it is for none."""
    if card.doubt is None:
        return None
    low, high = card.doubt.zone(_value(card))
    return (card.told(low), card.told(high)) if low < high else None


def told_each(card: Card, shares: Sequence[float]) -> list[float]:
    """Probabilities of the second of two classes as they are told."""
    second = np.asarray(shares, np.float64)
    return card.at_home(np.stack([1 - second, second], axis=1))[:, 1].tolist()


def has_moved(card: Card, threshold: float | None) -> bool:
    """Whether the second of two classes is called from another probability on than in a measurement."""
    return len(card.classes) == 2 and abs((EVEN if threshold is None else threshold) - _value(card)) > SAME


def called_from(card: Card, threshold: float | None) -> str:
    """From when on the second of two classes was called in a measurement; None for even odds."""
    return percent(card.told(EVEN if threshold is None else threshold))


def then_called(card: Card, threshold: float | None) -> str:
    """The same in words; "" where that is as it is now."""
    if not has_moved(card, threshold):
        return ""
    return tr("{name} called from {share} on", name=nice_names(card.classes)[1], share=called_from(card, threshold))


def _value(card: Card) -> float:
    return EVEN if card.threshold_value is None else card.threshold_value
