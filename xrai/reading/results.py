"""Results of reading a scan: diagnosis, heatmaps, occlusion test and similar cases; or the reason of a refusal.

This module does not import torch, so that pages can import the types.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from xrai.scans import Scan

if TYPE_CHECKING:
    from torch import Tensor

    from xrai.models.artifacts import Artifacts
    from xrai.models.card import Card


class ModelReader(Protocol):
    """The parts of `reading.reader.Reader` that a reading needs for its heatmaps and further tests."""

    @property
    def card(self) -> Card: ...  # noqa: D102
    @property
    def artifacts(self) -> Artifacts: ...  # noqa: D102
    @property
    def methods(self) -> tuple[str, ...]: ...  # noqa: D102
    def read(self, scan: Scan) -> Reading: ...  # noqa: D102
    def find_similar(self, inputs: Tensor, n: int = 6) -> list[SimilarCase]: ...  # noqa: D102
    def compute_evidence(self, inputs: Tensor, class_name: str, method: str) -> np.ndarray: ...  # noqa: D102
    def scale_evidence(  # noqa: D102
        self, evidence: np.ndarray, class_name: str, method: str, shape: tuple[int, int]
    ) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Refusal:
    """Why a scan was not read.

    Attributes:
        reason: one sentence: what the image looks like, the probable cause, what to do.
        correction: one of `input_check.CORRECTIONS`, after which the image would be accepted; None if none helps.
        thumbnail: the image without the correction, uint8 (h, w), at most `THUMBNAIL_SIDE` a side; None where no
            correction is offered.
        is_outside_population: whether the patient is none of those whom the model may be used for; the image itself
            would perhaps be read.
    """

    reason: str
    correction: str | None = None
    thumbnail: np.ndarray | None = field(default=None, repr=False)
    is_outside_population: bool = False


@dataclass(frozen=True)
class SimilarCase:
    """A training scan that is similar to a scan in the network's features.

    Attributes:
        row: row of the training dataset.
        class_name: its label.
        similarity: cosine similarity, -1 to 1.
    """

    row: int
    class_name: str
    similarity: float


@dataclass(frozen=True, eq=False)
class OcclusionTest:
    """A scan whose hottest area was inpainted, and its new reading.

    Attributes:
        pixels: uint8 (H, W), with the inpainted area.
        mask: bool (H, W), the inpainted area; empty where the heatmap has no evidence.
        reading: of the inpainted image.
    """

    pixels: np.ndarray
    mask: np.ndarray
    reading: Reading


@dataclass(frozen=True, eq=False)
class Reading:
    """The result of reading one scan.

    It keeps the network's input but not the full-size pixels, since a session may hold hundreds of readings.

    Attributes:
        reader: the reader that produced it.
        inputs: the network's input, float32 (1, 1, side, side).
        shape: height and width of the image that was read, after the correction.
        diagnosis: name of the predicted class.
        probabilities: calibrated probability of every class, summing to 1, at the local prevalence where it is set.
        is_confident: False where the model abstains: a radiologist has to decide.
        frequency: the probability of the positive class as a natural frequency; "" where it has no clinical meaning.
        warnings: sentences to show beside the diagnosis.
        evidence: unscaled map of the predicted class by the first method, as `explain.cam.compute_cams` returns it;
            None where the model has no heatmap method.
        correction: the correction that was applied before reading, one of `input_check.CORRECTIONS` or `MIRRORED`; ""
            for none.
        suggested_correction: `MIRRORED` where left and right seem to be exchanged and nothing was corrected; else "".
        is_outside_population: read on request, although the model may not be used for this patient: for research only.
    """

    reader: ModelReader = field(repr=False)
    inputs: Tensor = field(repr=False)
    shape: tuple[int, int]
    diagnosis: str
    probabilities: dict[str, float]
    is_confident: bool
    frequency: str
    warnings: tuple[str, ...]
    evidence: np.ndarray | None = field(repr=False)
    correction: str = ""
    suggested_correction: str = ""
    is_outside_population: bool = False

    @property
    def default_class(self) -> str:
        """The class whose heatmap is shown first: the positive one of two, so that a normal scan stays dark."""
        card = self.reader.card
        return card.classes[1] if card.threshold else self.diagnosis

    def heatmap(
        self, class_name: str, method: str | None = None, *, shape: tuple[int, int] | None = None
    ) -> np.ndarray:
        """Evidence for a class, float32 (H, W) in 0 to 1; 1 is the class's reference scale (`explain.cam`).

        Args:
            class_name: one of the model's classes.
            method: one of `Reader.methods`, the first by default.
            shape: height and width, those of the image by default.
        """
        method = method or self.reader.methods[0]
        evidence = self._stored_evidence(class_name) if method == self.reader.methods[0] else None
        if evidence is None:
            evidence = self.reader.compute_evidence(self.inputs, class_name, method)
        return self.reader.scale_evidence(evidence, class_name, method, shape or self.shape)

    def occlude(self, scan: Scan, class_name: str) -> OcclusionTest:
        """Inpaint the area with the most evidence for a class and read the image again.

        Args:
            scan: the scan of this reading, with the same correction applied.
            class_name: one of the model's classes.

        Raises:
            CheckpointError: the model's output is not finite.
        """
        from xrai.explain.occlusion import occlude

        pixels, mask = occlude(scan.pixels, self.heatmap(class_name))
        return OcclusionTest(pixels, mask, self.reader.read(replace(scan, pixels=pixels)))

    def find_similar(self, n: int = 6) -> list[SimilarCase]:
        """The `n` most similar training scans, the most similar first, at most one per patient."""
        return self.reader.find_similar(self.inputs, n)

    def _stored_evidence(self, class_name: str) -> np.ndarray | None:
        """The stored evidence for a class; with two classes, evidence for one is evidence against the other."""
        if self.evidence is None or class_name == self.diagnosis:
            return self.evidence
        return -self.evidence if len(self.probabilities) == 2 else None
