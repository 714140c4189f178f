"""Reading one scan with a model: a diagnosis in words, probabilities, warnings, and where the evidence lies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from xrai.calibration import describe_natural_frequency, round_to_hundred
from xrai.core.errors import CheckpointError, RefusedError
from xrai.core.labels import lacks_clinical_meaning
from xrai.core.language import N_, Message, join_messages, say
from xrai.explain.cam import (
    METHODS,
    available_methods,
    compute_cams,
    compute_logits,
    compute_logits_and_features,
    scale_cam,
)
from xrai.explain.occlusion import MAX_OUTSIDE_BODY_SHARE, occlude, outside_body_share
from xrai.explain.overlay import OUTSIDE_BODY_WARNING, draw_side_by_side
from xrai.metrics import predict
from xrai.models.artifacts import Artifacts, load_artifacts
from xrai.models.card import Card
from xrai.models.checkpoint import Checkpoint, check_finite
from xrai.networks.build import Network
from xrai.scans import Scan
from xrai.scans.preprocessing import to_square

ADULT_AGE = 18
FRONTAL_VIEWS = {"AP", "PA"}
CHEST_WORDS = ("CHEST", "THORAX", "LUNG", "RIB")


NO_INPUT_CHECK = N_(
    "This model does not notice when a picture is no chest X-ray from the front, and reads it all the same: "
    "calibrate it, or train it again."
)


TRAINED_ON_PHANTOMS = N_(
    "The picture does not look like the drawings that this model learned from, which are all that it knows: for an "
    "X-ray of a patient choose a model that learned from X-rays."
)


@dataclass(frozen=True, eq=False)
class Reading:
    """What a model says of a scan.

    Attributes:
        diagnosis: the class that is called, by name.
        probabilities: of every class, by name, summing to 1; among the patients of those who use the model, as far as
            they said who these are.
        is_confident: whether the call is firm; otherwise the answer is "not sure", and a radiologist is to be asked.
        frequency: the probability of what is looked for in natural frequencies; "" where it means nothing.
        warnings: sentences that a reader should see beside the diagnosis.
        evidence: where the scan speaks for the diagnosis by the model's first method, as `evidence_maps` gives it; None
            where the model has no method.
    """

    diagnosis: str
    probabilities: dict[str, float]
    is_confident: bool
    frequency: str
    warnings: tuple[str, ...]
    evidence: np.ndarray | None = field(repr=False)


@dataclass(frozen=True)
class SimilarCase:
    """A training scan that the network sees as like another scan.

    Attributes:
        row: in the dataset that the model learned from.
        class_name: what it was labelled.
        similarity: -1 to 1.
    """

    row: int
    class_name: str
    similarity: float


@dataclass(frozen=True)
class Reader:
    """A model ready to read scans; safe to share between threads.

    Attributes:
        card: of the model.
        network: in evaluation mode.
        artifacts: what it needs beside the weights; an empty one for models of earlier versions.
    """

    card: Card
    network: Network
    artifacts: Artifacts = field(default_factory=Artifacts)

    @classmethod
    def open(cls, checkpoint: Checkpoint) -> Reader:
        """Load a model.

        Raises:
            CheckpointError: the folder holds no whole model.
        """
        card = checkpoint.read_card()
        network = checkpoint.load_network(card)
        if not set(available_methods(network)) & set(card.heatmap_scale):
            raise CheckpointError(
                "The card of the model “{name}” does not say how strong a heatmap is to be drawn: "
                "resume its training so that it is finished, or copy the whole folder again.",
                name=checkpoint.name,
            )
        return cls(card, network, load_artifacts(checkpoint, card, network.num_features))

    @property
    def methods(self) -> tuple[str, ...]:
        """The heatmap methods that fit this model and whose colours its card anchors, the default first."""
        return tuple(method for method in available_methods(self.network) if method in self.card.heatmap_scale)

    @property
    def method_descriptions(self) -> str:
        """What each of the methods is, a line each."""
        lines = (say("- **{method}**: {METHODS}.", method=method, METHODS=METHODS[method]) for method in self.methods)
        return join_messages(lines, "\n")

    def default_class(self, reading: Reading) -> str:
        """The class whose map tells most: of two, the one that is looked for, so that a normal film stays dark."""
        return self.card.classes[1] if self.card.threshold else reading.diagnosis

    def check(self, scan: Scan) -> None:
        """Refuse a picture that is no upright frontal chest film like those that the model learned from.

        Raises:
            RefusedError: with the sentence of why, and the change that would mend it, if one would.
        """
        if self.artifacts.input_check:
            result = self.artifacts.input_check.check(scan.pixels, colour=scan.colour)
            if not result.is_accepted:
                raise RefusedError(
                    TRAINED_ON_PHANTOMS if self._is_trained_on_phantoms else result.reason, result.correction
                )

    def read(self, scan: Scan) -> Reading:
        """The diagnosis of a scan, whatever it shows: `check` it first.

        Raises:
            CheckpointError: the model's answer is no number, as that of damaged weights may be.
        """
        inputs = self.card.preprocessing(scan.pixels)
        logits = compute_logits(self.network, inputs).numpy()
        check_finite(logits, self.card.name)
        probabilities = self.card.to_probabilities(logits)
        predicted = predict(probabilities, self.card.threshold_value)
        local_probabilities = self.card.adjust_to_local_prevalence(probabilities)[0]
        class_probabilities = {
            name: round(float(share), 6) for name, share in zip(self.card.classes, local_probabilities, strict=True)
        }
        diagnosis = self.card.classes[int(predicted[0])]
        evidence = self._compute_evidence(inputs, diagnosis, self.methods[0]) if self.methods else None
        return Reading(
            diagnosis,
            class_probabilities,
            bool(self.card.is_confident(probabilities, predicted)[0]),
            self._natural_frequency(scan, class_probabilities),
            (*self._scan_warnings(scan), *self._heatmap_warnings(scan, diagnosis, evidence)),
            evidence,
        )

    def find_similar(self, scan: Scan, n: int = 6) -> list[SimilarCase]:
        """The training scans that are most like a scan to the network, the most similar first, one a patient."""
        if self.artifacts.neighbour_index is None:
            return []
        _, features = compute_logits_and_features(self.network, self.card.preprocessing(scan.pixels))
        neighbours = self.artifacts.neighbour_index.find_nearest(features[0].numpy(), n)
        return [SimilarCase(item.row, self.card.classes[item.label], item.similarity) for item in neighbours]

    @staticmethod
    def is_outside_body(pixels: np.ndarray, heat: np.ndarray) -> bool:
        """Whether so much of a heatmap lies off the body or at the film's border that the answer is doubtful.

        Args:
            pixels: of the scan, uint8 (H, W).
            heat: float (H, W), of the class that was called.
        """
        return outside_body_share(heat, pixels) > MAX_OUTSIDE_BODY_SHARE

    def read_occluded(
        self, scan: Scan, class_name: str, reading: Reading | None = None
    ) -> tuple[np.ndarray, np.ndarray, Reading]:
        """A scan with the place filled in that speaks most for a class, and read again; `reading` as in `heatmap`.

        Returns:
            Its pixels, uint8 (H, W), what was filled in, bool (H, W), and the reading.
        """
        pixels, mask = occlude(scan.pixels, self.heatmap(scan, class_name, reading=reading))
        return pixels, mask, self.read(replace(scan, pixels=pixels))

    def heatmap(
        self,
        scan: Scan,
        class_name: str,
        method: str | None = None,
        *,
        shape: tuple[int, int] | None = None,
        reading: Reading | None = None,
    ) -> np.ndarray:
        """Where the scan speaks for a class, float32 of `shape` or of the scan's own, from 0 (nowhere) to 1.

        1 is the evidence that 95 of 100 validation scans called that class stay below at their hottest place. Where
        the scan's `reading` is at hand, what was found for it is not looked for again.
        """
        method = method or self.methods[0]
        evidence = self._evidence_in_reading(reading, class_name) if reading and method == self.methods[0] else None
        if evidence is None:
            evidence = self._compute_evidence(self.card.preprocessing(scan.pixels), class_name, method)
        return scale_cam(evidence, self.card.heatmap_scale[method][class_name], shape or scan.pixels.shape)

    def _evidence_in_reading(self, reading: Reading, class_name: str) -> np.ndarray | None:
        """The evidence for a class that a reading holds, if it does: of two classes, for one is against the other."""
        if reading.evidence is None or class_name == reading.diagnosis:
            return reading.evidence
        return -reading.evidence if len(self.card.classes) == 2 else None

    def _compute_evidence(self, inputs: Tensor, class_name: str, method: str) -> np.ndarray:
        _, maps = compute_cams(self.network, inputs, [self.card.classes.index(class_name)], method)
        return maps[0]

    def _heatmap_warnings(self, scan: Scan, diagnosis: str, evidence: np.ndarray | None) -> list[str]:
        """What the heat of the class that was called says against the answer."""
        if evidence is None:
            return []
        square = to_square(scan.pixels, self.card.preprocessing.stored_size)
        heat = scale_cam(evidence, self.card.heatmap_scale[self.methods[0]][diagnosis], square.shape)
        return [OUTSIDE_BODY_WARNING] if self.is_outside_body(square, heat) else []

    def _natural_frequency(self, scan: Scan, class_probabilities: Mapping[str, float]) -> str:
        """In natural frequencies, for two classes: of more nobody can say among whom they hold, nor of strangers."""
        population = str(self.card.dataset.population)
        if _metadata_warnings(scan.metadata, population):
            return ""
        prevalence = self.card.calibration.prevalence if self.card.calibration else None
        if (
            prevalence is None
            or len(prevalence) != 2
            or lacks_clinical_meaning(population, is_phantom=self._is_trained_on_phantoms)
        ):
            return ""
        name = self.card.classes[1]
        frequency = describe_natural_frequency(class_probabilities[name], name, population)
        among = round_to_hundred(self.card.local_prevalence or prevalence[1])
        return say("{said}, where {among} of 100 who are X-rayed have it.", said=frequency, among=among)

    @property
    def _is_trained_on_phantoms(self) -> bool:
        return self.card.dataset.is_phantom

    def _scan_warnings(self, scan: Scan) -> tuple[str, ...]:
        warnings, population = [], str(self.card.dataset.population)
        if self.artifacts.input_check is None:
            warnings.append(NO_INPUT_CHECK)
        if self._is_trained_on_phantoms:
            warnings.append(say("This model learned from drawings: its answer has no medical meaning."))
        elif lacks_clinical_meaning(population, is_phantom=False):
            warnings.append(
                say(
                    "This answer has no clinical meaning: see what the model learned from ({population}).",
                    population=Message(population),
                )
            )
        if min(scan.width, scan.height) < self.card.preprocessing.input_size:
            warnings.append(
                say(
                    "The picture is only {width} × {height} pixels, less than the model looks at: "
                    "use the original film if you have it.",
                    width=scan.width,
                    height=scan.height,
                )
            )
        return tuple(warnings + _metadata_warnings(scan.metadata, population))


def _metadata_warnings(metadata: Mapping[str, str], population: str) -> list[str]:
    """What a DICOM says of itself that does not go with a frontal chest film."""
    warnings = []
    view, part = metadata.get("ViewPosition", "").upper(), metadata.get("BodyPartExamined", "").upper()
    if view and view not in FRONTAL_VIEWS:
        warnings.append(
            say(
                "The file says that it is taken from another side ({view}): the model knows frontal films only.",
                view=view,
            )
        )
    if part and not any(word in part for word in CHEST_WORDS):
        warnings.append(
            say(
                "The file says that it shows another part of the body ({part}): the model knows chests only.", part=part
            )
        )
    years = re.fullmatch(r"(\d{3})Y", metadata.get("PatientAge", ""))
    if years and int(years[1]) >= ADULT_AGE and "child" in population and "adult" not in population:
        warnings.append(
            say(
                "The file says that the patient is {int} years old: the model knows {population}.",
                int=int(years[1]),
                population=Message(population),
            )
        )
    if metadata.get("PresentationIntentType", "").upper() == "FOR PROCESSING":
        warnings.append(
            say("The file holds the detector's raw picture, not the one for viewing: export that one instead.")
        )
    return warnings


def save_heatmap(file: Path, scan: Scan, heat: np.ndarray) -> None:
    """Write the scan beside its heatmap as a PNG.

    Raises:
        OSError: the file cannot be written.
    """
    Image.fromarray(draw_side_by_side(scan.pixels, heat)).save(file, format="PNG")
