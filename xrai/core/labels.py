"""Labels: the usual names of classes, which of them say that nothing was found, and how each stands in a sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence

from xrai.core.language import N_
from xrai.core.texts import strip_accents

_MAX_ABBREVIATION_LETTERS = 5  # letters of a name in capitals that may be an abbreviation
NORMAL = N_("a normal scan")

CLASS_NAMES = {
    N_("Normal"): NORMAL,
    N_("Healthy"): NORMAL,
    N_("Clear"): NORMAL,
    N_("No finding"): NORMAL,
    N_("No findings"): NORMAL,
    N_("Abnormal"): N_("an abnormal scan"),
    N_("Not normal"): N_("an abnormal scan"),
    N_("Sick"): N_("a disease"),
    N_("Opacity"): N_("opacity"),
    N_("Lung opacity"): N_("lung opacity"),
    N_("No opacity"): N_("no opacity"),
    N_("Pneumonia"): N_("pneumonia"),
    N_("Viral pneumonia"): N_("viral pneumonia"),
    N_("Bacterial pneumonia"): N_("bacterial pneumonia"),
    N_("COVID pneumonia"): N_("a COVID pneumonia"),
    N_("No pneumonia"): N_("no pneumonia"),
    N_("Virus"): N_("a viral infection"),
    N_("Bacteria"): N_("a bacterial infection"),
    N_("Tuberculosis"): N_("tuberculosis"),
    N_("No tuberculosis"): N_("no tuberculosis"),
    N_("Cardiomegaly"): N_("cardiomegaly"),
    N_("Pleural effusion"): N_("pleural effusion"),
    N_("Effusion"): N_("effusion"),
    N_("Pneumothorax"): N_("pneumothorax"),
    N_("Atelectasis"): N_("atelectasis"),
    N_("Consolidation"): N_("consolidation"),
    N_("Infiltration"): N_("infiltration"),
    N_("Infiltrate"): N_("an infiltrate"),
    N_("Edema"): N_("edema"),
    N_("Pulmonary edema"): N_("pulmonary edema"),
    N_("Emphysema"): N_("emphysema"),
    N_("Fibrosis"): N_("fibrosis"),
    N_("Mass"): N_("a mass"),
    N_("Nodule"): N_("a nodule"),
    N_("Lung cancer"): N_("lung cancer"),
    N_("Hernia"): N_("a hernia"),
    N_("Fracture"): N_("a fracture"),
    N_("Pleural thickening"): N_("pleural thickening"),
    N_("Other"): N_("another finding"),
    N_("Unknown"): N_("an unknown finding"),
}
"""Usual classes as people write them, each as it stands after "have"; both have words in other languages."""

DATASET_SPELLINGS = (N_("Lung Opacity"), N_("Viral Pneumonia"), N_("Bacterial Pneumonia"))
"""Some of them as well-known datasets spell them, and so as cards do."""

_CANONICAL_NAMES = {name.lower(): name for name in CLASS_NAMES}
_HEALTHY_WORDS = {"normal", "normals", "healthy", "clear", "negative", "neg", "control", "controls", "unremarkable"}
_HEALTHY_WORDS |= {"normale", "normales", "normaux", "sain", "saine", "sains", "temoin", "temoins", "negatif"}
_HEALTHY_WORDS |= {"gesund", "gesunde", "unauffallig", "negativ", "kontrolle", "kontrollen", "gezond", "normaal"}
_HEALTHY_WORDS |= {"sano", "sanos", "sana", "sani", "saudavel", "normais", "negativo", "negativos", "negativi"}
_HEALTHY_WORDS |= {"zdrowy", "frisk"}
_HEALTHY_PHRASES = {"no finding", "no findings", "ohne befund", "kein befund", "sans anomalie", "sin hallazgos", "rien"}
_NEGATIONS = {"no", "non", "not", "without", "absent", "free", "sans", "pas", "aucun", "aucune", "ohne", "kein"}
_NEGATIONS |= {"keine", "nicht", "sin", "senza", "sem", "nao", "geen"}
_SICK_WORDS = {"normal", "healthy", "clear", "negative"}
"""What a negation makes a finding of: “not normal”."""

NO_CLINICAL_MEANING = ("no clinical meaning", "no medical meaning", "no accuracy")
"""What the description of the scans says where figures on them must not be taken for those of patients."""


def lacks_clinical_meaning(population: str, *, is_phantom: bool) -> bool:
    """Whether figures and answers from a set have no clinical meaning: it holds drawings, or is described so."""
    return is_phantom or any(words in population.lower() for words in NO_CLINICAL_MEANING)


def condition_phrase(class_name: str) -> str:
    """A class's name as it stands after "have": pneumonia, COVID, a normal scan."""
    name = _normalize_spaces(class_name)
    if canonical := canonical_class_name(name):
        return CLASS_NAMES[canonical]
    if is_healthy(name):
        return NORMAL
    return name.lower() if name.isupper() and sum(map(str.isalpha, name)) > _MAX_ABBREVIATION_LETTERS else name


def canonical_class_name(class_name: str) -> str | None:
    """The one of `CLASS_NAMES` that a class's name stands for, in capitals or not; None where there is none."""
    return _CANONICAL_NAMES.get(_normalize_spaces(class_name).lower())


def is_healthy(class_name: str) -> bool:
    """Whether a class's name says that nothing was found: “Normal”, “sain”, “Non-COVID”, “TB negative”."""
    text = _plain(class_name)
    if text in _HEALTHY_PHRASES:
        return True
    words = text.split()
    if words and words[0] in _NEGATIONS:
        return len(words) > 1 and not set(words) & _SICK_WORDS
    return bool(words) and (words[0] in _HEALTHY_WORDS or words[-1] in _HEALTHY_WORDS) and "ab" not in words


def is_finding(class_name: str) -> bool:
    """Whether a class's name is one that is known for something found."""
    return not is_healthy(class_name) and canonical_class_name(class_name.replace("_", " ")) is not None


def finding_is_known(classes: Sequence[str]) -> bool:
    """Whether the names of two classes tell which one is the finding; it is not asked for of more classes."""
    return len(classes) != 2 or is_healthy(classes[0]) != is_healthy(classes[1]) or sum(map(is_finding, classes)) == 1


def _plain(class_name: str) -> str:
    """A name in small letters without accents, its words with single spaces between them."""
    return " ".join(re.split(r"[\W_]+", strip_accents(class_name.lower()))).strip()


def _normalize_spaces(class_name: str) -> str:
    return " ".join(class_name.replace("_", " ").split())
