"""Probabilities in the words that doctors and parents count in: how many of a hundred."""

from __future__ import annotations

from xrai.core.labels import condition_phrase
from xrai.core.language import N_, say

LEAST_CERTAIN, MOST_CERTAIN = 0.05, 0.95
"""Probabilities beyond are told as “below 5 %” and “above 95 %”: a test of a few hundred patients supports no finer."""


def round_to_hundred(share: float) -> int:
    """How many of 100 a share is, 0 to 100, where 0 stands for fewer than 1 and 100 for more than 99.

    A half goes to the even number, so that a share and what is left of it add up to 100.
    """
    if not 0 <= share <= 1 + 1e-6:  # float32 softmax may land a rounding above 1
        raise ValueError("A share must lie between 0 and 1.")
    count = round(min(share, 1.0) * 100, 9)
    if count < 1 or count > 99:
        return 0 if count < 1 else 100
    return round(count)


def describe_natural_frequency(share: float, class_name: str, population: str = "") -> str:
    """A probability as a natural frequency: "Of 100 children like this, about 62 have pneumonia".

    People reason better with these than with percentages (Gigerenzer and Hoffrage, Psychol Rev 1995;102:684–704).

    Args:
        share: calibrated probability of the class, 0 to 1.
        class_name: as the model has it.
        population: whom the model was trained on, as its card says.
    """
    people, condition = people_word(population), condition_phrase(class_name)
    if share < LEAST_CERTAIN:
        return say("Of 100 {people} like this, fewer than 5 have {condition}", people=people, condition=condition)
    if share > MOST_CERTAIN:
        return say("Of 100 {people} like this, more than 95 have {condition}", people=people, condition=condition)
    return say(
        "Of 100 {people} like this, about {count} have {condition}",
        people=people,
        count=round_to_hundred(share),
        condition=condition,
    )


def people_word(population: str) -> str:
    """Whom to speak of: "children" where a population holds nobody else, otherwise "patients"."""
    text = population.lower()
    return N_("children") if "child" in text and "adult" not in text else N_("patients")
