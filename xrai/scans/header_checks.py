"""What a DICOM header says against a frontal chest X-ray: view, body part, raw detector data, mirrored rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from xrai.core.language import say
from xrai.core.texts import strip_accents

_FRONTAL_WORDS = {"AP", "PA", "APPA", "FRONTAL", "FRONTALE", "FACE", "ANTEROPOSTERIOR", "POSTEROANTERIOR"}
_FRONTAL_WORDS |= {"ANTERIOR", "POSTERIOR"}
_OTHER_VIEW_WORDS = {"LL", "RL", "LLD", "RLD", "LLO", "RLO", "LAT", "OBL", "PROFIL", "SEITLICH", "SPINE", "APEX"}
_OTHER_VIEW_STEMS = ("LATERAL", "OBLIQ", "LORDOT", "DECUB", "AXIAL")
_POSTURE_WORDS = {"SUPINE", "ERECT", "SEMI", "SEMIERECT", "UPRIGHT", "PORTABLE", "BED", "BEDSIDE", "STANDING"}
_POSTURE_WORDS |= {"SITTING", "MOBILE"}
_CHEST_STEMS = ("CHEST", "THORA", "TORA", "LUNG", "RIB", "CXR", "POITRINE", "POUMON", "BRUST", "PECHO", "PETTO", "PULM")
_CHEST_STEMS += ("BORST", "KLATKA", "MEDIAST")


def header_warnings(metadata: Mapping[str, str]) -> Iterator[str]:
    """Warnings about DICOM attributes that do not fit a frontal chest X-ray; none for other formats."""
    view = metadata.get("ViewPosition", "").upper()
    if view and not is_frontal(view):
        yield say(
            "The file says that it is taken from another side ({view}): the model knows frontal films only.", view=view
        )
    part = metadata.get("BodyPartExamined", "").upper()
    if part and not any(stem in strip_accents(part) for stem in _CHEST_STEMS):
        yield say(
            "The file says that it shows another part of the body ({part}): the model knows chests only.", part=part
        )
    if metadata.get("PresentationIntentType", "").upper() == "FOR PROCESSING":
        yield say("The file holds the detector's raw picture, not the one for viewing: export that one instead.")


def is_frontal(view: str) -> bool:
    """Whether the words of a View Position (PS3.3 C.8.11.5), or of its description, mean a frontal view.

    Words of the posture alone tell no view, and count as frontal.
    """
    letters = strip_accents(view)
    words = set(re.findall(r"[A-Z]+", letters.replace(".", "")))
    words |= {"".join(re.findall(r"[A-Z]+", letters))}
    if words & _OTHER_VIEW_WORDS or any(word.startswith(_OTHER_VIEW_STEMS) for word in words):
        return False
    return bool(words & _FRONTAL_WORDS) or words <= _POSTURE_WORDS


def is_mirrored(metadata: Mapping[str, str]) -> bool:
    """Whether the rows of an image run towards the patient's right: on a frontal film they run to the left."""
    return metadata.get("PatientOrientation", "").upper().startswith("R")
