"""Warnings beside a reading: no input check, image size, and DICOM metadata that do not fit a frontal chest X-ray."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping

from xrai.core.labels import lacks_clinical_meaning
from xrai.core.language import N_, Message, say
from xrai.models.card import IntendedUse
from xrai.scans import Scan

_FRONTAL_WORDS = {
    "AP",
    "PA",
    "APPA",
    "FRONTAL",
    "FRONTALE",
    "FACE",
    "ANTEROPOSTERIOR",
    "POSTEROANTERIOR",
    "ANTERIOR",
    "POSTERIOR",
}
_OTHER_VIEW_WORDS = {"LL", "RL", "LLD", "RLD", "LLO", "RLO", "LAT", "OBL", "PROFIL", "SEITLICH", "SPINE", "APEX"}
_OTHER_VIEW_STEMS = ("LATERAL", "OBLIQ", "LORDOT", "DECUB", "AXIAL")
_POSTURE_WORDS = {
    "SUPINE",
    "ERECT",
    "SEMI",
    "SEMIERECT",
    "UPRIGHT",
    "PORTABLE",
    "BED",
    "BEDSIDE",
    "STANDING",
    "SITTING",
    "MOBILE",
}
_CHEST_STEMS = (
    "CHEST",
    "THORA",
    "TORA",
    "LUNG",
    "RIB",
    "CXR",
    "POITRINE",
    "POUMON",
    "BRUST",
    "PECHO",
    "PETTO",
    "PULM",
    "BORST",
    "KLATKA",
    "MEDIAST",
)

NO_INPUT_CHECK = N_(
    "This model does not notice when a picture is no chest X-ray from the front, and reads it all the same: "
    "calibrate it, or train it again."
)

OUTSIDE_BODY_WARNING = N_(
    "Much of what the model looked at lies at the edge of the picture or outside the body, where no disease is: do not "
    "rely on this answer."
)


MIRRORED_WARNING = N_(
    "Left and right seem to be exchanged, probably because the film was scanned or exported from behind: check the "
    "side marker and the heart, and read it mirrored if they are on the wrong side."
)


def model_warnings(population: str, *, has_input_check: bool, is_trained_on_phantoms: bool) -> list[str]:
    """Warnings that hold for every reading of a model."""
    warnings = [] if has_input_check else [NO_INPUT_CHECK]
    if is_trained_on_phantoms:
        warnings.append(say("This model learned from drawings: its answer has no medical meaning."))
    elif lacks_clinical_meaning(population, is_phantom=False):
        warnings.append(
            say(
                "This answer has no clinical meaning: see what the model learned from ({population}).",
                population=Message(population),
            )
        )
    return warnings


def scan_warnings(scan: Scan, min_side: int = 0) -> list[str]:
    """Warnings about the image size and the DICOM metadata of a scan.

    Args:
        scan: the scan that is read.
        min_side: side of the network's input in pixels; a smaller image is warned of.
    """
    warnings = []
    if min(scan.width, scan.height) < min_side:
        warnings.append(
            say(
                "The picture is only {width} × {height} pixels, less than the model looks at: "
                "use the original film if you have it.",
                width=scan.width,
                height=scan.height,
            )
        )
    return [*warnings, *scan.warnings, *_metadata_warnings(scan.metadata)]


def outside_population_text(intended_use: IntendedUse, age: float | None) -> Message:
    """Why a patient gets no answer.

    Args:
        intended_use: of the model.
        age: in years; None where only its being outside the limits is known.
    """
    ages = intended_use.ages
    if age is None:
        return say(
            "The patient's age is outside the ages that this model may be used for ({ages}): leave the film to a "
            "radiologist, or choose a model for this age.",
            ages=ages,
        )
    return say(
        "The patient is {years} years old, and this model may be used for {ages} only: leave the film to a "
        "radiologist, or choose a model for this age.",
        years=int(age),
        ages=ages,
    )


def unknown_age_text(intended_use: IntendedUse) -> Message:
    """The warning beside an answer for a patient of unknown age."""
    return say(
        "The patient's age is not known, and this model may be used for {ages} only: for anybody else do not use this "
        "answer.",
        ages=intended_use.ages,
    )


def header_says_mirrored(metadata: Mapping[str, str]) -> bool:
    """Whether the rows of a DICOM image run towards the patient's right: on a frontal film they run to the left."""
    return metadata.get("PatientOrientation", "").upper().startswith("R")


def _metadata_warnings(metadata: Mapping[str, str]) -> Iterator[str]:
    """Warnings about DICOM attributes that do not fit a frontal chest X-ray."""
    view = metadata.get("ViewPosition", "").upper()
    if view and not _is_frontal(view):
        yield say(
            "The file says that it is taken from another side ({view}): the model knows frontal films only.", view=view
        )
    part = metadata.get("BodyPartExamined", "").upper()
    if part and not any(stem in _without_accents(part) for stem in _CHEST_STEMS):
        yield say(
            "The file says that it shows another part of the body ({part}): the model knows chests only.", part=part
        )
    if metadata.get("PresentationIntentType", "").upper() == "FOR PROCESSING":
        yield say("The file holds the detector's raw picture, not the one for viewing: export that one instead.")


def _is_frontal(view: str) -> bool:
    """Whether the words of a View Position (PS3.3 C.8.11.5), or of its description, mean a frontal view.

    Words of the posture alone tell no view, and count as frontal.
    """
    words = set(re.findall(r"[A-Z]+", _without_accents(view).replace(".", "")))
    words |= {"".join(re.findall(r"[A-Z]+", _without_accents(view)))}
    if words & _OTHER_VIEW_WORDS or any(word.startswith(_OTHER_VIEW_STEMS) for word in words):
        return False
    return bool(words & _FRONTAL_WORDS) or words <= _POSTURE_WORDS


def _without_accents(text: str) -> str:
    return unicodedata.normalize("NFD", text).encode("ascii", "ignore").decode()
