"""Probabilities in the words that doctors and parents count in: how many of a hundred."""

from __future__ import annotations

_SHORT = 5  # letters of a name in capitals that may be an abbreviation
_HEALTHY = {"normal", "healthy", "clear", "negative", "no finding", "control"}


def of_hundred(share: float) -> int:
    """How many of 100 a share is, 0 to 100, where 0 stands for fewer than 1 and 100 for more than 99.

    A half goes to the even number, so that a share and what is left of it add up to 100.
    """
    if not 0 <= share <= 1 + 1e-6:  # float32 softmax may land a rounding above 1
        raise ValueError("A share must lie between 0 and 1.")
    count = round(min(share, 1.0) * 100, 9)
    if count < 1 or count > 99:
        return 0 if count < 1 else 100
    return round(count)


def natural_frequency(share: float, class_name: str, population: str = "") -> str:
    """A probability as a natural frequency: "of 100 children like this, about 62 have pneumonia".

    People reason better with these than with percentages (Gigerenzer and Hoffrage, Psychol Rev 1995;102:684–704).

    Args:
        share: calibrated probability of the class, 0 to 1.
        class_name: as the model has it.
        population: whom the model was trained on, as its card says.
    """
    count = of_hundred(share)
    many = {0: "fewer than 1", 100: "more than 99"}.get(count, f"about {count}")
    verb = "has" if count <= 1 else "have"
    return f"of 100 {people_of(population)} like this, {many} {verb} {condition_of(class_name)}"


def people_of(population: str) -> str:
    """Whom to speak of: "children" where a population holds nobody else, otherwise "patients"."""
    said = population.lower()
    return "children" if "child" in said and "adult" not in said else "patients"


def condition_of(class_name: str) -> str:
    """A class's name as it stands after "have": pneumonia, COVID, a normal scan."""
    name = " ".join(class_name.replace("_", " ").split())
    if is_healthy(name):
        return "a normal scan"
    return name.lower() if name.isupper() and sum(map(str.isalpha, name)) > _SHORT else name


def is_healthy(class_name: str) -> bool:
    """Whether a class's name says that nothing was found."""
    return " ".join(class_name.replace("_", " ").split()).lower() in _HEALTHY
