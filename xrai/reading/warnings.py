"""Warnings beside a reading: no input check, image size, and DICOM metadata that do not fit a frontal chest X-ray."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from xrai.core.labels import lacks_clinical_meaning
from xrai.core.language import N_, Message, say
from xrai.scans import Scan

ADULT_AGE = 18
FRONTAL_VIEWS = {"AP", "PA"}
CHEST_WORDS = ("CHEST", "THORAX", "LUNG", "RIB")

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


def scan_warnings(scan: Scan, population: str, min_side: int = 0) -> list[str]:
    """Warnings about the image size and the DICOM metadata of a scan.

    Args:
        scan: the scan that is read.
        population: the training population, as the model's card has it.
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
    return [*warnings, *scan.warnings, *_metadata_warnings(scan.metadata, population)]


def header_says_mirrored(metadata: Mapping[str, str]) -> bool:
    """Whether the rows of a DICOM image run towards the patient's right: on a frontal film they run to the left."""
    return metadata.get("PatientOrientation", "").upper().startswith("R")


def _metadata_warnings(metadata: Mapping[str, str], population: str) -> Iterator[str]:
    """Warnings about DICOM attributes that do not fit a frontal chest X-ray of the training population."""
    view = metadata.get("ViewPosition", "").upper()
    if view and view not in FRONTAL_VIEWS:
        yield say(
            "The file says that it is taken from another side ({view}): the model knows frontal films only.", view=view
        )
    part = metadata.get("BodyPartExamined", "").upper()
    if part and not any(word in part for word in CHEST_WORDS):
        yield say(
            "The file says that it shows another part of the body ({part}): the model knows chests only.", part=part
        )
    age = re.fullmatch(r"(\d{3})Y", metadata.get("PatientAge", ""))
    if age and int(age[1]) >= ADULT_AGE and "child" in population and "adult" not in population:
        yield say(
            "The file says that the patient is {years} years old: the model knows {population}.",
            years=int(age[1]),
            population=Message(population),
        )
    if metadata.get("PresentationIntentType", "").upper() == "FOR PROCESSING":
        yield say("The file holds the detector's raw picture, not the one for viewing: export that one instead.")
