"""Probabilities in the words that doctors and parents count in: how many of a hundred."""

from __future__ import annotations

from xrai.language import marked

_SHORT = 5  # letters of a name in capitals that may be an abbreviation
_DISEASES = {
    marked("pneumonia"), marked("viral pneumonia"), marked("bacterial pneumonia"), marked("tuberculosis"),
    marked("opacity"), marked("lung opacity"),
}  # fmt: skip
"""Names of classes that need an article in other languages."""

_CLASSES = (
    marked("Normal"), marked("Healthy"), marked("Clear"), marked("Opacity"), marked("Lung Opacity"),
    marked("Lung opacity"), marked("Pneumonia"), marked("Viral Pneumonia"), marked("Viral pneumonia"),
    marked("Bacterial Pneumonia"), marked("Bacterial pneumonia"), marked("Tuberculosis"),
)  # fmt: skip
"""Usual classes as people write them, which have names in other languages."""

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
    """A probability as a natural frequency: "Of 100 children like this, about 62 have pneumonia".

    People reason better with these than with percentages (Gigerenzer and Hoffrage, Psychol Rev 1995;102:684–704).

    Args:
        share: calibrated probability of the class, 0 to 1.
        class_name: as the model has it.
        population: whom the model was trained on, as its card says.
    """
    count, people, condition = of_hundred(share), people_of(population), condition_of(class_name)
    if count == 0:
        return f"Of 100 {people} like this, fewer than 1 has {condition}"
    if count == 1:
        return f"Of 100 {people} like this, about 1 has {condition}"
    if count == 100:
        return f"Of 100 {people} like this, more than 99 have {condition}"
    return f"Of 100 {people} like this, about {count} have {condition}"


def people_of(population: str) -> str:
    """Whom to speak of: "children" where a population holds nobody else, otherwise "patients"."""
    said = population.lower()
    return marked("children") if "child" in said and "adult" not in said else marked("patients")


def condition_of(class_name: str) -> str:
    """A class's name as it stands after "have": pneumonia, COVID, a normal scan."""
    name = " ".join(class_name.replace("_", " ").split())
    if is_healthy(name):
        return "a normal scan"
    if name.lower() in _DISEASES:
        return name.lower()
    return name.lower() if name.isupper() and sum(map(str.isalpha, name)) > _SHORT else name


def is_healthy(class_name: str) -> bool:
    """Whether a class's name says that nothing was found."""
    return " ".join(class_name.replace("_", " ").split()).lower() in _HEALTHY
