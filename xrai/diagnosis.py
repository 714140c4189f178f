"""Reading one scan with a model: a diagnosis in words, probabilities, warnings, and where the evidence lies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from xrai.checkpoint import Card, Checkpoint
from xrai.dataset import says_nothing_of_patients
from xrai.errors import CheckpointError
from xrai.explanation import METHODS, answers, evidence_maps, intensity, methods_for
from xrai.heatmaps import side_by_side
from xrai.metrics import predict
from xrai.networks import Network
from xrai.scans import Scan

ADULT = 18
FRONTAL_VIEWS = {"AP", "PA"}
CHEST_WORDS = ("CHEST", "THORAX", "LUNG", "RIB")


@dataclass(frozen=True, eq=False)
class Reading:
    """What a model says of a scan.

    Attributes:
        diagnosis: the class that is called, by name.
        probabilities: of every class, by name, summing to 1.
        warnings: sentences that a reader should see beside the diagnosis.
    """

    diagnosis: str
    probabilities: dict[str, float]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Reader:
    """A model ready to read scans; safe to share between threads.

    Attributes:
        card: of the model.
        network: in evaluation mode.
    """

    card: Card
    network: Network

    @classmethod
    def open(cls, checkpoint: Checkpoint) -> Reader:
        """Load a model.

        Raises:
            CheckpointError: the folder holds no whole model.
        """
        card = checkpoint.card()
        network = checkpoint.load_network(card)
        if not set(methods_for(network)) & set(card.heatmap):
            raise CheckpointError(
                f"The card of the model “{checkpoint.name}” does not say how strong a heatmap is to be drawn: "
                "resume its training so that it is finished, or copy the whole folder again."
            )
        return cls(card, network)

    @property
    def methods(self) -> tuple[str, ...]:
        """The heatmap methods that fit this model and whose colours its card anchors, the default first."""
        return tuple(method for method in methods_for(self.network) if method in self.card.heatmap)

    @property
    def about_methods(self) -> str:
        """What each of the methods is, a line each."""
        return "\n".join(f"- **{method}**: {METHODS[method]}." for method in self.methods)

    def shown_first(self, reading: Reading) -> str:
        """The class whose map tells most: of two, the one that is looked for, so that a normal film stays dark."""
        return self.card.classes[1] if self.card.threshold else reading.diagnosis

    def read(self, scan: Scan) -> Reading:
        """The diagnosis of a scan.

        Raises:
            CheckpointError: the model's answer is no number, as that of damaged weights may be.
        """
        probabilities = answers(self.network, self.card.preprocessing(scan.pixels)).softmax(dim=1)[0].numpy()
        if not np.isfinite(probabilities).all():
            raise CheckpointError(
                f"The model “{self.card.name}” gives no number as its answer, probably because its weights are "
                "damaged: copy the whole folder again, or train the model again."
            )
        called = int(predict(probabilities[None], self.card.threshold_value)[0])
        shares = {name: round(float(share), 6) for name, share in zip(self.card.classes, probabilities, strict=True)}
        return Reading(self.card.classes[called], shares, self._warnings(scan))

    def heatmap(
        self, scan: Scan, class_name: str, method: str | None = None, *, shape: tuple[int, int] | None = None
    ) -> np.ndarray:
        """Where the scan speaks for a class, float32 of `shape` or of the scan's own, from 0 (nowhere) to 1.

        1 is the evidence that 95 of 100 validation scans called that class stay below at their hottest place.
        """
        method = method or self.methods[0]
        label = self.card.classes.index(class_name)
        _, maps = evidence_maps(self.network, self.card.preprocessing(scan.pixels), [label], method)
        return intensity(maps[0], self.card.heatmap[method][class_name], shape or scan.pixels.shape)

    def _warnings(self, scan: Scan) -> tuple[str, ...]:
        warnings, population = [], str(self.card.dataset.get("population") or "")
        if self.card.dataset.get("drawings"):
            warnings.append("This model learned from drawings: its answer has no medical meaning.")
        elif says_nothing_of_patients(population, drawings=False):
            warnings.append(f"This answer has no clinical meaning: see what the model learned from ({population}).")
        if min(scan.width, scan.height) < self.card.preprocessing.input_size:
            warnings.append(
                f"The picture is only {scan.width} × {scan.height} pixels, less than the model looks at: "
                "use the original film if you have it."
            )
        return tuple(warnings + _out_of_place(scan.facts, population))


def _out_of_place(facts: Mapping[str, str], population: str) -> list[str]:
    """What a DICOM says of itself that does not go with a frontal chest film."""
    warnings = []
    view, part = facts.get("ViewPosition", "").upper(), facts.get("BodyPartExamined", "").upper()
    if view and view not in FRONTAL_VIEWS:
        warnings.append(
            f"The file says that it is taken from another side ({view}): the model knows frontal films only."
        )
    if part and not any(word in part for word in CHEST_WORDS):
        warnings.append(f"The file says that it shows another part of the body ({part}): the model knows chests only.")
    years = re.fullmatch(r"(\d{3})Y", facts.get("PatientAge", ""))
    if years and int(years[1]) >= ADULT and "child" in population and "adult" not in population:
        warnings.append(f"The file says that the patient is {int(years[1])} years old: the model knows {population}.")
    if facts.get("PresentationIntentType", "").upper() == "FOR PROCESSING":
        warnings.append("The file holds the detector's raw picture, not the one for viewing: export that one instead.")
    return warnings


def save_heatmap(file: Path, scan: Scan, heat: np.ndarray) -> None:
    """Write the scan beside its heatmap as a PNG.

    Raises:
        OSError: the file cannot be written.
    """
    Image.fromarray(side_by_side(scan.pixels, heat)).save(file, format="PNG")
