"""Probabilities in the words that doctors and parents count in: how many of a hundred."""

from __future__ import annotations

from xrai.core.labels import condition_phrase
from xrai.core.language import N_, say


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
    count, people, condition = round_to_hundred(share), people_word(population), condition_phrase(class_name)
    if count == 0:
        return say("Of 100 {people} like this, fewer than 1 has {condition}", people=people, condition=condition)
    if count == 1:
        return say("Of 100 {people} like this, about 1 has {condition}", people=people, condition=condition)
    if count == 100:
        return say("Of 100 {people} like this, more than 99 have {condition}", people=people, condition=condition)
    return say(
        "Of 100 {people} like this, about {count} have {condition}", people=people, count=count, condition=condition
    )


def people_word(population: str) -> str:
    """Whom to speak of: "children" where a population holds nobody else, otherwise "patients"."""
    text = population.lower()
    return N_("children") if "child" in text and "adult" not in text else N_("patients")
