"""Input check: out-of-distribution (OOD) detection and orientation check in front of a classifier.

    check       the fitted check: OOD score, refusal reason and correction
    fitting     fits it on training scans alone
    transforms  augmentations of scans, and transforms that turn a scan into a negative
    negatives   synthetic negatives: pages, charts, scenes, limbs and slices

Checking needs numpy and Pillow only; fitting needs no images other than the training scans.
"""

from xrai.input_check.check import CORRECTIONS, MIRRORED, InputCheck, InputCheckResult, apply_correction
from xrai.input_check.fitting import fit_input_check

__all__ = ["CORRECTIONS", "MIRRORED", "InputCheck", "InputCheckResult", "apply_correction", "fit_input_check"]
