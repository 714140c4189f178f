"""Inference on one scan: input check, orientation, diagnosis, calibrated probability, abstention, heatmap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from torch import Tensor

from xrai.calibration import MOST_CERTAIN, describe_natural_frequency, round_to_hundred
from xrai.core.errors import CheckpointError
from xrai.core.labels import lacks_clinical_meaning
from xrai.core.language import N_, say
from xrai.explain.cam import available_methods, compute_cams, compute_logits, compute_logits_and_features, scale_cam
from xrai.explain.occlusion import MAX_OUTSIDE_BODY_SHARE, outside_body_share
from xrai.input_check import MIRRORED, apply_correction
from xrai.metrics import predict
from xrai.models.artifacts import Artifacts, load_artifacts
from xrai.models.card import Card
from xrai.models.checkpoint import Checkpoint, check_finite
from xrai.networks.build import Network
from xrai.reading.results import Reading, Refusal, SimilarCase
from xrai.reading.warnings import (
    MIRRORED_WARNING,
    OUTSIDE_BODY_WARNING,
    model_warnings,
    outside_population_text,
    scan_warnings,
    unknown_age_text,
)
from xrai.scans import Scan
from xrai.scans.header_checks import is_mirrored
from xrai.scans.patient_age import parse_age
from xrai.scans.preprocessing import shrink_to_fit, to_square

THUMBNAIL_SIDE = 260

TRAINED_ON_PHANTOMS = N_(
    "The picture does not look like the drawings that this model learned from, which are all that it knows: for an "
    "X-ray of a patient choose a model that learned from X-rays."
)


@dataclass(frozen=True)
class Reader:
    """A model ready to read scans; safe to share between threads.

    Attributes:
        card: of the model.
        network: in evaluation mode.
        artifacts: input check and index of training scans; empty for models without them.
    """

    card: Card
    network: Network
    artifacts: Artifacts = field(default_factory=Artifacts)

    @classmethod
    def open(cls, checkpoint: Checkpoint) -> Reader:
        """Load a model.

        Raises:
            CheckpointError: the folder holds no complete model.
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
        """The heatmap methods that fit this network and have a reference scale in the card, the default first."""
        return tuple(method for method in available_methods(self.network) if method in self.card.heatmap_scale)

    def examine(
        self,
        scan: Scan,
        *,
        correct: bool | str = False,
        any_image: bool = False,
        in_age_range: bool | None = None,
        any_age: bool = False,
    ) -> Reading | Refusal:
        """Check the patient's age and the image, correct its orientation and read it.

        At most one correction is applied: no second one is offered after the first. A film whose left and right seem to
        be exchanged is read with a warning, and the answer is uncertain.

        Args:
            scan: the scan as it is in its file.
            correct: True applies the correction that the input check offers; the name of a correction applies that
                one before the check; False applies none.
            any_image: read the image although the input check refuses it; the reason becomes the first warning.
            in_age_range: whether the model may be used for the patient's age, where the file does not tell the age;
                None where nobody knows.
            any_age: read the image although the model may not be used for this patient; the reason becomes the first
                warning, and the answer is uncertain.

        Raises:
            CheckpointError: the model's output is not finite.
        """
        age = parse_age(scan.metadata.get("PatientAge", ""))
        fits = in_age_range if age is None else self.card.intended_use.includes_age(age)
        if not self.card.intended_use.has_age_limit or fits:
            return self._examine_image(scan, correct, any_image=any_image)
        if fits is None:
            return _warn(
                self._examine_image(scan, correct, any_image=any_image), unknown_age_text(self.card.intended_use)
            )
        reason = outside_population_text(self.card.intended_use, age)
        if not any_age:
            return Refusal(reason, is_outside_population=True)
        examined = _warn(self._examine_image(scan, correct, any_image=any_image), reason)
        if isinstance(examined, Refusal):
            return examined
        return replace(examined, is_confident=False, is_outside_population=True)

    def read(self, scan: Scan) -> Reading:
        """Read a scan without an input check: see `examine`.

        Raises:
            CheckpointError: the model's output is not finite, as with damaged weights.
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
        evidence = self.compute_evidence(inputs, diagnosis, self.methods[0]) if self.methods else None
        height, width = scan.pixels.shape
        return Reading(
            reader=self,
            inputs=inputs,
            shape=(height, width),
            diagnosis=diagnosis,
            probabilities=class_probabilities,
            is_confident=bool(self.card.is_confident(probabilities, predicted)[0]),
            frequency=self._natural_frequency(scan, class_probabilities),
            warnings=(*self._warnings(scan), *self._heatmap_warnings(scan, diagnosis, evidence)),
            evidence=evidence,
        )

    def count_certain_answers(self, class_name: str) -> tuple[int, int]:
        """How many validation scans with this answer beyond `MOST_CERTAIN` are right, and how many there are."""
        validation = self.artifacts.validation
        if validation is None:
            return 0, 0
        number = self.card.classes.index(class_name)
        probabilities = self.card.to_probabilities(validation.logits)
        is_certain = self.card.adjust_to_local_prevalence(probabilities)[:, number] > MOST_CERTAIN
        return int((validation.labels[is_certain] == number).sum()), int(is_certain.sum())

    def find_similar(self, inputs: Tensor, n: int = 6) -> list[SimilarCase]:
        """Training scans similar to a network input (1, 1, side, side): see `Reading.find_similar`."""
        if self.artifacts.neighbour_index is None:
            return []
        _, features = compute_logits_and_features(self.network, inputs)
        neighbours = self.artifacts.neighbour_index.find_nearest(features[0].numpy(), n)
        return [SimilarCase(item.row, self.card.classes[item.label], item.similarity) for item in neighbours]

    def heatmap(self, pixels: np.ndarray, class_name: str, method: str | None = None) -> np.ndarray:
        """The heatmap of an image uint8 (H, W) that has no `Reading`, float32 (H, W): see `Reading.heatmap`."""
        method = method or self.methods[0]
        height, width = pixels.shape
        evidence = self.compute_evidence(self.card.preprocessing(pixels), class_name, method)
        return self.scale_evidence(evidence, class_name, method, (height, width))

    def compute_evidence(self, inputs: Tensor, class_name: str, method: str) -> np.ndarray:
        """The unscaled map (h, w) for one network input: see `explain.cam.compute_cams`."""
        _, maps = compute_cams(self.network, inputs, [self.card.classes.index(class_name)], method)
        return maps[0]

    def scale_evidence(self, evidence: np.ndarray, class_name: str, method: str, shape: tuple[int, int]) -> np.ndarray:
        """Evidence on the class's reference scale, float32 of `shape` in 0 to 1."""
        return scale_cam(evidence, self.card.heatmap_scale[method][class_name], shape)

    def _examine_image(self, scan: Scan, correct: bool | str, *, any_image: bool) -> Reading | Refusal:
        if isinstance(correct, str) and correct:
            return self._examine_corrected(scan, correct, any_image=any_image)
        refusal = self._check(scan)
        if refusal is None:
            is_mirrored = self._looks_mirrored(scan)
            if is_mirrored and correct:
                return self._examine_corrected(scan, MIRRORED)
            return _doubt_side(self.read(scan)) if is_mirrored else self.read(scan)
        if correct and refusal.correction:
            return self._examine_corrected(scan, refusal.correction)
        if not any_image:
            return refusal
        reading = self.read(scan)
        return replace(reading, warnings=(refusal.reason, *reading.warnings))

    def _examine_corrected(self, scan: Scan, correction: str, *, any_image: bool = False) -> Reading | Refusal:
        pixels = apply_correction(scan.pixels, correction)
        # the header speaks of the image before the correction
        metadata = {name: text for name, text in scan.metadata.items() if name != "PatientOrientation"}
        examined = self._examine_image(replace(scan, pixels=pixels, metadata=metadata), False, any_image=any_image)
        if isinstance(examined, Refusal):
            return Refusal(examined.reason)
        return replace(examined, correction=correction, suggested_correction="")

    def _check(self, scan: Scan) -> Refusal | None:
        """The refusal of an image that is no upright frontal chest X-ray like the training scans."""
        if self.artifacts.input_check is None:
            return None
        result = self.artifacts.input_check.check(scan.pixels, colour=scan.colour)
        if result.is_accepted:
            return None
        reason = TRAINED_ON_PHANTOMS if self._is_trained_on_phantoms else result.reason
        thumbnail = shrink_to_fit(scan.pixels, THUMBNAIL_SIDE) if result.correction else None
        return Refusal(reason, result.correction, thumbnail)

    def _looks_mirrored(self, scan: Scan) -> bool:
        check = self.artifacts.input_check
        return is_mirrored(scan.metadata) or (check is not None and check.looks_mirrored(scan.pixels))

    def _warnings(self, scan: Scan) -> list[str]:
        warnings = model_warnings(
            self._population,
            has_input_check=self.artifacts.input_check is not None,
            is_trained_on_phantoms=self._is_trained_on_phantoms,
        )
        return [*warnings, *scan_warnings(scan, self.card.preprocessing.input_size)]

    def _heatmap_warnings(self, scan: Scan, diagnosis: str, evidence: np.ndarray | None) -> list[str]:
        """A warning where much of the heat of the predicted class lies outside the body."""
        if evidence is None:
            return []
        square = to_square(scan.pixels, self.card.preprocessing.stored_size)
        height, width = square.shape
        heat = self.scale_evidence(evidence, diagnosis, self.methods[0], (height, width))
        return [OUTSIDE_BODY_WARNING] if outside_body_share(heat, square) > MAX_OUTSIDE_BODY_SHARE else []

    def _natural_frequency(self, scan: Scan, class_probabilities: Mapping[str, float]) -> str:
        """The probability of the second of two classes as a natural frequency; "" where it has no clinical meaning.

        It has none for phantoms, without calibration, and for patients unlike the training population.
        """
        prevalence = self.card.calibration.prevalence if self.card.calibration else None
        if (
            prevalence is None
            or len(prevalence) != 2
            or lacks_clinical_meaning(self._population, is_phantom=self._is_trained_on_phantoms)
            or scan_warnings(scan)
        ):
            return ""
        name = self.card.classes[1]
        frequency = describe_natural_frequency(class_probabilities[name], name, self._population)
        among = round_to_hundred(self.card.local_prevalence or prevalence[1])
        return say("{frequency}, where {among} of 100 who are X-rayed have it.", frequency=frequency, among=among)

    @property
    def _population(self) -> str:
        return str(self.card.dataset.population or "")

    @property
    def _is_trained_on_phantoms(self) -> bool:
        return bool(self.card.dataset.is_phantom)


def _warn(examined: Reading | Refusal, warning: str) -> Reading | Refusal:
    """A reading with a warning about the patient, and without a sentence on patients like this."""
    if isinstance(examined, Refusal):
        return examined
    return replace(examined, warnings=(warning, *examined.warnings), frequency="")


def _doubt_side(reading: Reading) -> Reading:
    """A reading of a film whose left and right seem to be exchanged."""
    return replace(
        reading, is_confident=False, warnings=(MIRRORED_WARNING, *reading.warnings), suggested_correction=MIRRORED
    )
