"""The gate before a model: whether a picture is an upright frontal chest X-ray like those that the model learned from.

    __init__     the names that others use
    judging      the verdict on a picture, the sentence for the reader, and what would mend it
    fitting      a gate learned from training scans alone
    looks        what a picture looks like in a few hundred numbers
    alterations  films taken otherwise, and films made into something else
    drawings     quick drawings of pages, scenes, limbs and slices

Nothing but numpy and Pillow is needed to judge. No outside picture is needed to fit.
"""

from xrai.input_check.check import CORRECTIONS, InputCheck, InputCheckResult, apply_correction
from xrai.input_check.fitting import fit_input_check

__all__ = ["CORRECTIONS", "InputCheck", "InputCheckResult", "apply_correction", "fit_input_check"]
