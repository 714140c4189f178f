"""Probabilities in the words that doctors and parents count in: how many of a hundred."""

from __future__ import annotations

from xrai.language import marked

_SHORT = 5  # letters of a name in capitals that may be an abbreviation
NORMAL = marked("a normal scan")

CLASS_NAMES = {
    marked("Normal"): NORMAL,
    marked("Healthy"): NORMAL,
    marked("Clear"): NORMAL,
    marked("No finding"): NORMAL,
    marked("No findings"): NORMAL,
    marked("Abnormal"): marked("an abnormal scan"),
    marked("Not normal"): marked("an abnormal scan"),
    marked("Sick"): marked("a disease"),
    marked("Opacity"): marked("opacity"),
    marked("Lung opacity"): marked("lung opacity"),
    marked("No opacity"): marked("no opacity"),
    marked("Pneumonia"): marked("pneumonia"),
    marked("Viral pneumonia"): marked("viral pneumonia"),
    marked("Bacterial pneumonia"): marked("bacterial pneumonia"),
    marked("COVID pneumonia"): marked("a COVID pneumonia"),
    marked("No pneumonia"): marked("no pneumonia"),
    marked("Virus"): marked("a viral infection"),
    marked("Bacteria"): marked("a bacterial infection"),
    marked("Tuberculosis"): marked("tuberculosis"),
    marked("No tuberculosis"): marked("no tuberculosis"),
    marked("Cardiomegaly"): marked("cardiomegaly"),
    marked("Pleural effusion"): marked("pleural effusion"),
    marked("Effusion"): marked("effusion"),
    marked("Pneumothorax"): marked("pneumothorax"),
    marked("Atelectasis"): marked("atelectasis"),
    marked("Consolidation"): marked("consolidation"),
    marked("Infiltration"): marked("infiltration"),
    marked("Infiltrate"): marked("an infiltrate"),
    marked("Edema"): marked("edema"),
    marked("Pulmonary edema"): marked("pulmonary edema"),
    marked("Emphysema"): marked("emphysema"),
    marked("Fibrosis"): marked("fibrosis"),
    marked("Mass"): marked("a mass"),
    marked("Nodule"): marked("a nodule"),
    marked("Lung cancer"): marked("lung cancer"),
    marked("Hernia"): marked("a hernia"),
    marked("Fracture"): marked("a fracture"),
    marked("Pleural thickening"): marked("pleural thickening"),
    marked("Other"): marked("another finding"),
    marked("Unknown"): marked("an unknown finding"),
}
"""Usual classes as people write them, each as it stands after "have"; both have words in other languages."""

SPELT = (marked("Lung Opacity"), marked("Viral Pneumonia"), marked("Bacterial Pneumonia"))
"""Some of them as well-known datasets spell them, and so as cards do."""

_USUAL = {name.lower(): name for name in CLASS_NAMES}
_HEALTHY = {"normal", "healthy", "clear", "negative", "no finding", "no findings", "control"}


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
    name = _spaced(class_name)
    if usual := usual_name(name):
        return CLASS_NAMES[usual]
    if is_healthy(name):
        return NORMAL
    return name.lower() if name.isupper() and sum(map(str.isalpha, name)) > _SHORT else name


def usual_name(class_name: str) -> str | None:
    """The one of `CLASS_NAMES` that a class's name stands for, in capitals or not; None where there is none."""
    return _USUAL.get(_spaced(class_name).lower())


def is_healthy(class_name: str) -> bool:
    """Whether a class's name says that nothing was found."""
    return _spaced(class_name).lower() in _HEALTHY


def _spaced(class_name: str) -> str:
    return " ".join(class_name.replace("_", " ").split())
