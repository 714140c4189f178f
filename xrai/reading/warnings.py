"""Warnings beside a reading: no input check, image size, and DICOM metadata that do not fit a frontal chest X-ray."""

from __future__ import annotations

from xrai.core.labels import lacks_clinical_meaning
from xrai.core.language import N_, Message, say
from xrai.models.card import IntendedUse
from xrai.scans import Scan
from xrai.scans.header_checks import header_warnings

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
    return [*warnings, *scan.warnings, *header_warnings(scan.metadata)]


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
