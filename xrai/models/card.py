"""Model card: classes, settings, preprocessing, training data, metrics, calibration and operating point of a model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from math import inf, isfinite
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, PlainSerializer, PlainValidator, field_validator, model_validator

from xrai.calibration import Calibration, ConformalAbstention, Threshold, ThresholdGoal, adjust_prevalence
from xrai.core.language import Message, say
from xrai.core.language.field import MessageField
from xrai.core.records import Count, Interval, Number, OpenShare, Record, Share
from xrai.data.description import DatasetDescription
from xrai.models.history import ValidationMetrics
from xrai.networks.config import NetworkConfig
from xrai.scans.patient_age import MAX_AGE
from xrai.scans.preprocessing import Preprocessing

CARD_VERSION = 5
"""Cards of other versions are not read."""

MAX_STORED_SIZE, MAX_SLOPE = 4096, 1000

_WORD_JOINT = re.compile(r"(?<=[^\W\d_])[-\u2010.,](?=[^\W_])|(?<=\d)[-\u2010.,](?=[^\W\d_])")
"""A hyphen, dot or comma next to a letter; between digits it has a meaning, as in `1.0` or `1-2`."""
_WORD_SPACE = re.compile(r"(?<!\d) | (?!\d)")
"""A space, unless it separates two numbers."""


def _to_preprocessing(value: Any) -> Preprocessing:
    return value if isinstance(value, Preprocessing) else Preprocessing.from_dict(value)


PreprocessingField = Annotated[Preprocessing, PlainValidator(_to_preprocessing), PlainSerializer(Preprocessing.to_dict)]


class OperatingPoint(Record):
    """The decision threshold of two classes.

    Attributes:
        class_name: the positive class, which is predicted where its probability is at least `value`.
        description: how it was chosen, in words.
        goal: what it was chosen for; None where it has not been fitted yet.
        fit: its effect on the validation scans; None where it was not fitted on them.
    """

    class_name: str
    value: Share
    description: MessageField
    goal: ThresholdGoal | None = None
    fit: Threshold | None = None


class SourceDataset(Record):
    """The dataset of the model that a training started from."""

    name: str = ""
    fingerprint: str = ""
    population: MessageField = ""


class SourceModel(Record):
    """The model that a training started from.

    Attributes:
        created: ISO time.
        training_fingerprints: of its dataset and of the datasets of all models before it.
    """

    model: str
    created: str = ""
    dataset: SourceDataset
    training_fingerprints: tuple[str, ...] = ()


class IntendedUse(Record):
    """The patients and films that a model may be used for.

    Attributes:
        min_age: in whole years, included; None for no limit.
        max_age: in whole years, included; None for no limit.
        views: DICOM View Position codes; empty for any.
        modalities: DICOM modalities; empty for any projection X-ray.
        is_teaching: for teaching only, never for a diagnosis.
    """

    min_age: Annotated[int, Field(ge=0, le=MAX_AGE)] | None = None
    max_age: Annotated[int, Field(ge=0, le=MAX_AGE)] | None = None
    views: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    is_teaching: bool = False

    @property
    def has_age_limit(self) -> bool:
        """Whether there are patients whom the model must not be used for because of their age."""
        return self.min_age is not None or self.max_age is not None

    def includes_age(self, years: float) -> bool:
        """Whether a patient of this age is among those whom the model may be used for."""
        return (self.min_age or 0) <= years < (MAX_AGE if self.max_age is None else self.max_age) + 1

    @property
    def ages(self) -> Message:
        """The age limit in words."""
        if self.max_age is None:
            return say("{low} years and older", low=self.min_age or 0)
        return say("{low} to {high} years", low=self.min_age or 0, high=self.max_age)


class TrainingRecord(Record):
    """How a training went.

    Attributes:
        settings: all training settings.
        command: that repeats it.
        seconds: it took.
        end_reason: "finished", "early" (stopping), "stopped" or "failed".
        parameters: of the network.
        precision: of its arithmetic.
        source_model: the model that it started from.
    """

    settings: dict[str, bool | int | float | str] = Field(default_factory=dict)
    command: str = ""
    epochs_run: Count | None = None
    best_epoch: Count | None = None
    seconds: Number | None = None
    end_reason: MessageField = ""
    parameters: Count | None = None
    precision: str = ""
    source_model: SourceModel | None = None


class ClassScores(Record):
    """Precision, sensitivity (recall) and F1 of a class; `support` is its number of scans."""

    precision: Number
    recall: Number
    f1: Number
    support: Count


class MainMetrics(Record):
    """The main metrics of an evaluation, with 95 % intervals by patient; None where one is not defined."""

    n: Count
    n_patients: Count = 0
    accuracy: Number | None
    accuracy_interval: Interval | None
    auc: Number | None
    auc_interval: Interval | None
    per_class: dict[str, ClassScores] = Field(default_factory=dict)


class EvaluationSummary(MainMetrics):
    """An evaluation as the card lists it.

    Attributes:
        evaluated_at: ISO time.
        n_excluded: scans left out on request.
        n_seen: scans that the model or one that it started from had learned from or was chosen by.
        weights_sha256: of the evaluated weights.
        is_outdated: whether the training has gone on since, so that these are not the model's weights.
    """

    dataset: str
    split: str
    fingerprint: str
    evaluated_at: Annotated[str, Field(alias="when")]
    weights_sha256: Annotated[str, Field(alias="weights")] = ""
    threshold: Number | None = None
    n_excluded: Annotated[Count, Field(alias="left_out")] = 0
    n_seen: Annotated[Count, Field(alias="seen")] = 0
    is_outdated: bool = False


class TrustRow(Record):
    """A row of the trust report: what was measured, the value, and what was aimed at."""

    what: MessageField
    value: MessageField
    aim: MessageField


class TrustReport(Record):
    """What `benchmarks/trust.py` measured of a model, with the threshold and the alpha of that time."""

    when: str = ""
    threshold: Number | None = None
    alpha: Number | None = None
    rows: tuple[TrustRow, ...] = ()


class Card(Record):
    """What a model is, what it was trained on, and how well it performs.

    Attributes:
        name: of the model, which is its folder's.
        created: ISO time.
        classes: class names in the order of the network's outputs.
        network: the settings that decide its layers and input.
        threshold: two classes only; None for the likeliest class.
        validation: metrics on the validation split; None while they are not measured yet.
        heatmap_scale: {method: {class: reference evidence}}: the evidence shown in full colour.
        versions: of the software.
        evaluations: every evaluation since, oldest first.
        notes: attribution, warnings, intended population.
        calibration: None for the plain softmax.
        abstention: None for never.
        intended_use: the patients and films that it may be used for.
        local_prevalence: of the positive class where the model is used; None keeps the prevalence of the calibration.
    """

    format: Literal["xrai-model"] = "xrai-model"
    version: Literal[5] = 5
    name: str
    created: str
    classes: tuple[str, ...] = Field(min_length=2)
    network: NetworkConfig
    preprocessing: PreprocessingField
    dataset: DatasetDescription
    threshold: OperatingPoint | None
    training: TrainingRecord
    validation: ValidationMetrics | None
    heatmap_scale: dict[str, dict[str, Annotated[Number, Field(gt=0)]]]
    versions: dict[str, str]
    evaluations: tuple[EvaluationSummary, ...] = ()
    notes: tuple[MessageField, ...] = ()
    calibration: Calibration | None = None
    abstention: ConformalAbstention | None = None
    local_prevalence: OpenShare | None = None
    intended_use: IntendedUse = IntendedUse()
    trust_report: TrustReport | None = None

    @field_validator("classes")
    @classmethod
    def _check_classes(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(classes)) < len(classes):
            raise ValueError("A class name occurs twice.")
        return classes

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        """Refuse parts that are valid by themselves, but do not fit the classes or the settings."""
        n_classes, steps, prevalence = len(self.classes), self.preprocessing, (1.0,)
        if self.calibration:
            prevalence = self.calibration.prevalence or prevalence
        fits = {
            "threshold": not self.threshold or (n_classes == 2 and self.threshold.class_name == self.classes[1]),
            "sizes": steps.input_size == self.network.image_size and 1 <= steps.stored_size <= MAX_STORED_SIZE,
            "normalisation": steps.per_scan == (self.network.normalize == "image"),
            "grey values": isfinite(steps.mean) and 0 < steps.std < inf,
            "heatmap scale": all(set(self.classes) <= set(scale) for scale in self.heatmap_scale.values()),
            "calibration": not self.calibration
            or (len(self.calibration.offsets) == n_classes and self.calibration.slope <= MAX_SLOPE),
            "calibration prevalence": min(prevalence) > 0,
            "abstention": not self.abstention or len(self.abstention.thresholds) == n_classes,
            "local prevalence": self.local_prevalence is None or n_classes == 2,
        }
        if wrong := [name for name, is_right in fits.items() if not is_right]:
            raise ValueError(f"These do not fit: {wrong}.")
        return self

    def class_permutation(self, names: Sequence[str]) -> list[int] | None:
        """For each of the class names its index among the model's; None where they are not the same classes.

        Upper and lower case, spaces, and hyphens within words make no difference: `Viral Pneumonia` is
        `VIRAL_PNEUMONIA`. Other signs do: `<5 mm` is not `>5 mm`.
        """
        index_by_name = {_normalize_class_name(name): number for number, name in enumerate(self.classes)}
        normalized_names = [_normalize_class_name(name) for name in names]
        if (
            len(index_by_name) != len(self.classes)
            or len(set(normalized_names)) != len(normalized_names)
            or set(normalized_names) != set(index_by_name)
        ):
            return list(map(self.classes.index, names)) if sorted(names) == sorted(self.classes) else None
        return [index_by_name[name] for name in normalized_names]

    @property
    def threshold_value(self) -> float | None:
        """Probability from which the positive class is predicted; None where the likeliest class is."""
        return self.threshold.value if self.threshold else None

    @property
    def training_fingerprints(self) -> tuple[str, ...]:
        """The fingerprints of the datasets that the model, or one that it started from, was trained on."""
        return tuple(dict.fromkeys(filter(None, [self.dataset.fingerprint, *self.ancestor_fingerprints])))

    @property
    def ancestor_fingerprints(self) -> tuple[str, ...]:
        """The fingerprints of the datasets of the models that it started from."""
        source = self.training.source_model
        fingerprints = [*source.training_fingerprints, source.dataset.fingerprint] if source else []
        return tuple(dict.fromkeys(filter(None, fingerprints)))

    def to_probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated probabilities of logits, float (N, C) to float64 (N, C)."""
        identity = Calibration(slope=1.0, offsets=(0.0,) * len(self.classes))
        return (self.calibration or identity)(logits)

    def is_confident(self, probabilities: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Whether each prediction is confident, bool (N,); see `calibration.ConformalAbstention`."""
        if self.abstention is None:
            return np.ones(len(predicted), bool)
        return self.abstention.is_confident(probabilities, predicted)

    def adjust_to_local_prevalence(self, probabilities: np.ndarray) -> np.ndarray:
        """Probabilities (N, C) at the local prevalence, where one is set."""
        if self.local_prevalence is None or self.calibration is None or self.calibration.prevalence is None:
            return probabilities
        local_prevalence = (1 - self.local_prevalence, self.local_prevalence)
        return adjust_prevalence(probabilities, self.calibration.prevalence, local_prevalence)

    def to_local_prevalence(self, probability: float) -> float:
        """A probability of the positive class at the local prevalence."""
        return float(self.adjust_to_local_prevalence(np.array([[1 - probability, probability]]))[0, 1])

    def from_local_prevalence(self, probability: float) -> float:
        """The inverse of `to_local_prevalence`."""
        reference_prevalence = self.calibration.prevalence if self.calibration else None
        if self.local_prevalence is None or reference_prevalence is None:
            return probability
        local_prevalence = (1 - self.local_prevalence, self.local_prevalence)
        return float(adjust_prevalence([[1 - probability, probability]], local_prevalence, reference_prevalence)[0, 1])

    @property
    def weakness_warning(self) -> Message | None:
        """A warning that it may be no better than guessing; None where its validation AUC rules that out."""
        interval = self.validation.auc_interval if self.validation else None
        if interval is not None and interval[0] > 0.5:
            return None
        return say("It may be no better than guessing: train longer, on more scans, or with other settings.")


def parse_version(values: Mapping[str, Any]) -> int:
    """The version of a stored card.

    Raises:
        ValueError, LookupError, TypeError: it is no card.
    """
    if values["format"] != "xrai-model" or type(values["version"]) is not int:
        raise ValueError("format")
    return values["version"]


def _normalize_class_name(name: str) -> str:
    """A class name without word separators: equal for spellings of one name only."""
    joined = _WORD_JOINT.sub("", unicodedata.normalize("NFKC", name).casefold())
    return _WORD_SPACE.sub("", " ".join(re.split(r"[\s_]+", joined)).strip())
