"""A model's folder: its card, its weights, the record of its training. It describes itself."""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import BaseFileLock, FileLock

from xrai.calibration import Calibration, ConformalAbstention, ThresholdGoal, adjust_prevalence
from xrai.core.errors import CheckpointError, SettingsError
from xrai.core.json_files import HISTORY_FILE, JOB_FILE, atomic_file, last_modified, replace_file, write_json
from xrai.core.language import load_json, say
from xrai.core.paths import checkpoints_dir
from xrai.networks.config import IMAGENET, SCRATCH, NetworkConfig
from xrai.scans.preprocessing import Preprocessing

if TYPE_CHECKING:  # torch takes seconds to import, and listing models does not need it
    from torch import Tensor

    from xrai.networks.build import Network

CONFIG, WEIGHTS, CARD, STATE = "config.json", "model.safetensors", "card.json", "state"
CARD_LOCK = "card.lock"
EVALUATIONS = "evaluations"
"""The folder within a model's that keeps what was measured of it."""
DEFAULT = "default.json"
"""The file beside the models that names the default one; see `models.default`."""

VERSION = 4
"""Of the card. 1 knows no settings for starting from another model, 2 no calibration and no doubt, 3 neither
members, hidden borders, changed sharpness, borrowed looks, changed width nor scans standardised by themselves; all are
read."""

_NAME = re.compile(r"\w[\w .+-]{0,79}")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Names that Windows keeps for devices: refused everywhere, since a model's folder may move to another machine."""

_WORD_JOINT = re.compile(r"(?<=[^\W\d_])[-\u2010.,](?=[^\W_])|(?<=\d)[-\u2010.,](?=[^\W\d_])")
"""A hyphen, dot or comma next to which a letter stands; between digits it carries meaning, as in `1.0` or `1-2`."""
_WORD_SPACE = re.compile(r"(?<!\d) | (?!\d)")
"""A space, unless it keeps two numbers apart."""

_OPTIONAL_FIELDS = ("calibration", "doubt", "prevalence", "trust")
MAX_STORED_SIZE, MAX_SLOPE = 4096, 1000
MAX_NAME_BYTES = 200
"""File systems allow 255 a name, and files beside the folder are called after it."""


@dataclass(frozen=True)
class Card:
    """What a model is, what it learned from, and how good it was found to be.

    Attributes:
        name: of the model, which is its folder's.
        created: ISO time.
        classes: class names in the order of the network's outputs.
        network: the settings that decide its layers and what they see.
        preprocessing: what is done to a scan first.
        dataset: what `Dataset.describe` gave.
        threshold: {"class", "value", "chosen"}: two classes only; at least this probability of that class
            is called that class. `chosen` says how the value was come by; where validation scans were asked, the
            fields of `calibration.Threshold` stand beside.
        training: epochs run, the best one, seconds, why it ended, all settings, and the command that repeats it.
        validation: metrics on the validation split with their 95 % intervals.
        heatmap: {method: {class: anchor}}: the evidence that is drawn in full colour.
        versions: of the software.
        evaluations: every measurement on a dataset since, oldest first.
        notes: sentences for people: attribution, warnings, intended population.
        calibration: from the network's answers to probabilities that mean what they say; None for their softmax.
        doubt: where the answer is "not sure"; None for never.
        prevalence: share of the second of two classes among the patients of those who use the model, as they say;
            None for that for which the probabilities hold as they are.
        trust: what `benchmarks/trust.py` measured of it.
    """

    name: str
    created: str
    classes: tuple[str, ...]
    network: NetworkConfig
    preprocessing: Preprocessing
    dataset: dict[str, Any]
    threshold: dict[str, Any] | None
    training: dict[str, Any]
    validation: dict[str, Any]
    heatmap: dict[str, dict[str, float]]
    versions: dict[str, str]
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    calibration: Calibration | None = None
    doubt: ConformalAbstention | None = None
    prevalence: float | None = None
    trust: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The card as plain JSON-able values."""
        return {"format": "xrai-model", "version": VERSION, **asdict(self), "network": self.network.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Card:
        """The card read back.

        Raises:
            KeyError, TypeError, ValueError, SettingsError: it is not a card.
        """
        fields = {
            name: values[name] for name in cls.__dataclass_fields__ if name not in _OPTIONAL_FIELDS or name in values
        }
        calibration, doubt = fields.get("calibration"), fields.get("doubt")
        card = cls(
            **fields
            | {
                "classes": tuple(fields["classes"]),
                "network": NetworkConfig.from_dict(fields["network"]),
                "preprocessing": Preprocessing.from_dict(fields["preprocessing"]),
                "notes": tuple(fields["notes"]),
                "calibration": None if calibration is None else Calibration.from_dict(calibration),
                "doubt": None if doubt is None else ConformalAbstention.from_dict(doubt),
            }
        )
        card._check()
        return card

    def class_permutation(self, names: Sequence[str]) -> list[int] | None:
        """For each of the class names its number among the model's; None where they are not the same classes.

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
        """Probability from which the second of two classes is called; None where the likeliest class is."""
        return float(self.threshold["value"]) if self.threshold else None

    def to_probabilities(self, logits: np.ndarray) -> np.ndarray:
        """What the network's answers, float (N, C), mean: probabilities, float64 (N, C)."""
        uncalibrated = Calibration(1.0, (0.0,) * len(self.classes))
        return (self.calibration or uncalibrated)(logits)

    def is_confident(self, probabilities: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Whether each scan's call is firm, bool (N,); see `calibration.Doubt`."""
        return (
            np.ones(len(predicted), bool) if self.doubt is None else self.doubt.is_confident(probabilities, predicted)
        )

    def adjust_to_local_prevalence(self, probabilities: np.ndarray) -> np.ndarray:
        """The probabilities (N, C) among the patients of those who use the model, as far as they said who these are."""
        if self.prevalence is None or self.calibration is None or self.calibration.prevalence is None:
            return probabilities
        return adjust_prevalence(probabilities, self.calibration.prevalence, (1 - self.prevalence, self.prevalence))

    def to_local_prevalence(self, probability: float) -> float:
        """A probability of the second of two classes as it is told to those who use the model; see `adjust_to_local_prevalence`."""
        return float(self.adjust_to_local_prevalence(np.array([[1 - probability, probability]]))[0, 1])

    def from_local_prevalence(self, probability: float) -> float:
        """The inverse of `to_local_prevalence`."""
        reference_prevalence = self.calibration.prevalence if self.calibration else None
        if self.prevalence is None or reference_prevalence is None:
            return probability
        return float(
            adjust_prevalence(
                [[1 - probability, probability]], (1 - self.prevalence, self.prevalence), reference_prevalence
            )[0, 1]
        )

    @property
    def weakness_warning(self) -> str | None:
        """The sentence that it may be no better than guessing; None where its validation AUC makes that improbable."""
        interval = self.validation.get("auc_interval")
        if interval is not None and interval[0] > 0.5:
            return None
        return say("It may be no better than guessing: train longer, on more scans, or with other settings.")

    def _check(self) -> None:
        """Refuse what would break a reading later on.

        Raises:
            KeyError, TypeError, ValueError: something is missing or makes no sense.
        """
        steps = self.preprocessing
        if len(set(self.classes)) < 2 or not all(isinstance(name, str) for name in self.classes):
            raise ValueError("classes")
        if self.threshold is not None:
            is_second = len(self.classes) == 2 and self.threshold["class"] == self.classes[1]
            if not is_second or not _is_number(self.threshold["value"]) or not 0 <= self.threshold["value"] <= 1:
                raise ValueError("threshold")
        if steps.input_size != self.network.image_size or not 1 <= steps.stored_size <= MAX_STORED_SIZE:
            raise ValueError("sizes")
        is_normalization_as_trained = steps.per_scan == (self.network.normalize == "image")
        if not (is_normalization_as_trained and math.isfinite(steps.mean) and 0 < steps.std < math.inf):
            raise ValueError("grey values")
        if any(not 0 < anchors[name] < math.inf for anchors in self.heatmap.values() for name in self.classes):
            raise ValueError("heatmap")
        self._check_decision_rule()
        for name in ("dataset", "training", "validation", "versions", "trust"):
            if not isinstance(getattr(self, name), dict):
                raise TypeError(name)
        texts = [self.name, self.created, *self.notes]
        texts += [item[name] for item in self.dataset.get("audit") or [] for name in ("severity", "title", "sentence")]
        texts += [row[name] for row in self.trust.get("rows", []) for name in ("what", "value", "aim")]
        texts += [self.dataset[name] for name in ("population", "licence") if name in self.dataset]
        texts += [item[name] for item in self.evaluations for name in ("dataset", "split", "when", "fingerprint")]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("words")
        for metrics in (self.validation, *self.evaluations):
            _check_metrics(metrics)
            for row in metrics.get("per_class", {}).values():
                if not (_is_number(row["recall"]) and _is_number(row["support"])):
                    raise ValueError("per_class")

    def _check_decision_rule(self) -> None:
        """The same for what turns answers into decisions.

        Raises:
            KeyError, TypeError, ValueError: something makes no sense.
        """
        n_classes, prevalence = len(self.classes), self.prevalence
        if self.calibration and not (
            len(self.calibration.offsets) == n_classes
            and self.calibration.slope <= MAX_SLOPE
            and min(self.calibration.prevalence or (1,)) > 0
        ):
            raise ValueError("calibration")
        if (goal := (self.threshold or {}).get("goal")) is not None:
            ThresholdGoal(goal["kind"], goal["limit"])
        if self.doubt and len(self.doubt.cuts) != n_classes:
            raise ValueError("doubt")
        if prevalence is not None and not (n_classes == 2 and _is_number(prevalence) and 0 < prevalence < 1):
            raise ValueError("prevalence")


@dataclass(frozen=True)
class Checkpoint:
    """A folder below `checkpoints/`; it need not hold a finished model."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name, which is the model's."""
        return self.folder.name

    @property
    def is_model(self) -> bool:
        """Whether there is a trained model to read scans with."""
        return (self.folder / CARD).is_file() and (self.folder / WEIGHTS).is_file()

    @property
    def is_taken(self) -> bool:
        """Whether a run left something here that a new one of the same name would write over."""
        return self._has_state or any((self.folder / name).exists() for name in (CARD, WEIGHTS))

    @property
    def can_resume(self) -> bool:
        """Whether its training can go on, or start anew where it broke off before it left anything."""
        return self._has_state or (not self.is_taken and (self.folder / CONFIG).is_file())

    def read_card(self) -> Card:
        """The model's card.

        Raises:
            CheckpointError: it is missing, damaged, or of another make.
        """
        text = self._read_text(CARD)
        try:
            values = load_json(text)
            if values.get("format") != "xrai-model":
                raise ValueError("format")
            if int(values["version"]) > VERSION:
                raise CheckpointError(
                    "The card of the model “{name}” was made by a newer version of XRAI: "
                    "update this one, or train the model again.",
                    name=self.name,
                )
            return replace(Card.from_dict(values), name=self.name)  # the folder may have been renamed since
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, SettingsError) as error:
            raise CheckpointError(self._damage_message(CARD)) from error

    def weights_sha256(self) -> str:
        """The SHA-256 of the weights file in hexadecimal; "" where there is none to be read."""
        file = self.folder / WEIGHTS
        try:
            status = file.stat()
            return _sha256(file, status.st_ino, status.st_mtime_ns, status.st_size)
        except OSError:
            return ""

    def read_config(self) -> dict[str, Any]:
        """What was asked for: {"dataset": path, "train": every setting, within its limits}.

        Raises:
            CheckpointError: it is missing, damaged, or of another version.
        """
        try:
            values = json.loads(self._read_text(CONFIG))
            return {"dataset": str(values["dataset"]), "train": _check_settings(values["train"])}
        except (ValueError, KeyError, TypeError, RecursionError, SettingsError) as error:
            raise CheckpointError(self._damage_message(CONFIG)) from error

    def write_card(self, card: Card) -> None:
        """Save the card, all or nothing."""
        write_json(self.folder / CARD, card.to_dict())

    def card_lock(self, seconds: float = -1) -> BaseFileLock:
        """For a `with` in which the card is read and written anew, so that of what two note at once nothing is lost.

        Args:
            seconds: to wait for another who holds it; -1 for as long as it takes.

        Raises:
            OSError: the wait was too long (`filelock.Timeout`), or the folder cannot be written to.
        """
        return FileLock(self.folder / CARD_LOCK, timeout=seconds)

    def load_network(self, card: Card) -> Network:
        """The trained network, in evaluation mode on the processor.

        It takes no more memory than the weights file calls for, whatever network the card speaks of.

        Raises:
            CheckpointError: the weights are missing, damaged, or belong to another network.
        """
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from xrai.networks.build import build_network

        file = self.folder / WEIGHTS
        if not file.is_file():
            raise CheckpointError(self._missing_message(WEIGHTS))
        with torch.device("meta"):  # shapes without numbers: a card may speak of more than any memory holds
            network = build_network(card.network, len(card.classes))
        try:
            network.load_state_dict(_match_tensors(load_file(file), network.state_dict()), assign=True)
        except (SafetensorError, OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise CheckpointError(self._damage_message(WEIGHTS)) from error
        assert not any(value.is_meta for value in (*network.parameters(), *network.buffers()))
        return network.float().eval()

    def save_network(self, network: Network) -> None:
        """Save the weights, all or nothing: filters in half precision, single numbers a channel in full.

        Raises:
            OSError: the disk is full; the weights saved before are still there.
        """
        from safetensors.torch import save

        tensors = {
            name: _to_half_precision(value).detach().cpu().contiguous() for name, value in network.state_dict().items()
        }
        partial = self.folder / f"{WEIGHTS}.partial"
        try:
            # not its save_file, which lets nobody but the present user read the file
            partial.write_bytes(save(tensors, metadata={"format": "pt"}))
            replace_file(partial, self.folder / WEIGHTS)
        finally:
            partial.unlink(missing_ok=True)

    def save_tensors(self, name: str, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
        """Save arrays and words on them as safetensors, all or nothing.

        Raises:
            OSError: the disk is full; what was there before still is.
        """
        from safetensors.numpy import save

        with atomic_file(self.folder / name) as partial:
            partial.write_bytes(
                save({key: np.ascontiguousarray(value) for key, value in tensors.items()}, dict(metadata))
            )

    def load_tensors(self, name: str) -> tuple[dict[str, np.ndarray], dict[str, str]] | None:
        """What `save_tensors` saved; None where there is nothing.

        Raises:
            CheckpointError: the file is damaged.
        """
        from safetensors import safe_open

        file = self.folder / name
        if not file.is_file():
            return None
        with self.convert_read_errors(name), safe_open(file, framework="numpy") as reader:
            return {key: np.array(reader.get_tensor(key)) for key in reader.keys()}, reader.metadata() or {}  # noqa: SIM118

    @contextmanager
    def convert_read_errors(self, name: str) -> Iterator[None]:
        """Turn what a damaged or foreign file leads to into a sentence.

        Raises:
            CheckpointError: something in it did not fit.
        """
        from safetensors import SafetensorError

        try:
            yield
        except (SafetensorError, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise CheckpointError(self._damage_message(name)) from error

    @property
    def _has_state(self) -> bool:
        """Whether a run saved what it needs to go on; `state.old` is what a kill while saving may leave."""
        return any((self.folder / name / "values.json").is_file() for name in (STATE, f"{STATE}.old"))

    def _read_text(self, name: str) -> str:
        try:
            return (self.folder / name).read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise CheckpointError(self._missing_message(name)) from error
        except (OSError, UnicodeDecodeError) as error:
            raise CheckpointError(self._damage_message(name)) from error

    def _missing_message(self, file: str) -> str:
        if not self.folder.is_dir():
            known = ", ".join(item.name for item in list_models()) or say("none yet")
            return say(
                "There is no model “{name}” in {parent}: the models here are: {known}.",
                name=self.name,
                parent=self.folder.parent,
                known=known,
            )
        return say(
            "The model “{name}” has no {file}, probably because its training has not finished its first epoch "
            "or a copy broke off: let the training finish, or copy the whole folder again.",
            name=self.name,
            file=file,
        )

    def _damage_message(self, file: str) -> str:
        return say(
            "The file {file} of the model “{name}” is damaged or comes from something else: "
            "copy the whole folder again, or train the model again.",
            file=file,
            name=self.name,
        )


def open_checkpoint(name: str) -> Checkpoint:
    """The folder of that name below `checkpoints/`.

    Raises:
        CheckpointError: the name is none that a folder can have here.
    """
    if name.lower() in (SCRATCH, IMAGENET):
        raise CheckpointError(
            "“{name}” cannot be a model's name because it says where a run starts: choose another.", name=name
        )
    if name.casefold() == DEFAULT:
        raise CheckpointError(
            "“{name}” cannot be a model's name because the file that names the default model has it: choose another.",
            name=name,
        )
    if _RESERVED.fullmatch(name):
        raise CheckpointError(
            "“{name}” cannot be a model's name because Windows keeps it for itself: choose another.", name=name
        )
    if not _NAME.fullmatch(name) or name != name.strip(" .") or len(name.encode()) > MAX_NAME_BYTES:
        raise CheckpointError(
            "“{name}” cannot be a model's name: use up to 80 letters, digits, spaces, and - _ + . in between.",
            name=name,
        )
    return Checkpoint(checkpoints_dir() / name)


def check_finite(logits: np.ndarray, name: str) -> None:
    """Refuse logits that are no numbers, as those of damaged weights may be.

    Args:
        logits: float (N, C).
        name: of the model.

    Raises:
        CheckpointError: one of them is not finite.
    """
    if not np.isfinite(logits).all():
        raise CheckpointError(
            "The model “{name}” gives no number as its answer, probably because its weights are "
            "damaged: copy the whole folder again, or train the model again.",
            name=name,
        )


def calibration_folder(model: Path) -> Path:
    """The folder of the job that calibrates the model in a folder anew."""
    return model / "calibration"


def calibration_title(name: str, dataset: Path) -> str:
    """The title of the job that calibrates a model with a dataset."""
    return say("Calibrating {name} with {stem}", name=name, stem=dataset.stem)


def list_checkpoints() -> list[Checkpoint]:
    """Every folder below `checkpoints/` that holds a run or a model, newest first."""
    file_names = (CONFIG, CARD, JOB_FILE)
    folders = [item for item in checkpoints_dir().iterdir() if any((item / mark).is_file() for mark in file_names)]
    folders.sort(key=lambda folder: last_modified(folder, CONFIG, HISTORY_FILE, CARD), reverse=True)
    return [Checkpoint(item) for item in folders]


def list_models() -> list[Checkpoint]:
    """Every folder that holds a trained model, newest first."""
    return [item for item in list_checkpoints() if item.is_model]


@lru_cache(maxsize=32)
def _sha256(file: Path, inode: int, mtime_ns: int, size: int) -> str:
    """Of a file's content, worked out once for as long as the file looks the same."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_settings(values: Any) -> dict[str, Any]:
    """Training settings as they were written; training itself checks the values.

    Raises:
        TypeError, SettingsError: they are none, or those of the network are outside their limits.
    """
    if not isinstance(values, dict) or not all(
        isinstance(value, bool | int | float | str) for value in values.values()
    ):
        raise TypeError("settings")
    NetworkConfig.from_dict({name: value for name, value in values.items() if name in NetworkConfig.model_fields})
    return values


def _check_metrics(metrics: Mapping[str, Any]) -> None:
    """Refuse a measurement that could not be shown.

    Raises:
        KeyError, TypeError, ValueError: something is missing or makes no sense.
    """
    if type(metrics["n"]) is not int or metrics["n"] < 0:
        raise ValueError("n")
    if not _is_number(metrics["accuracy"]) or not (metrics["auc"] is None or _is_number(metrics["auc"])):
        raise ValueError("measures")
    for interval in (metrics["accuracy_interval"], metrics["auc_interval"]):
        if interval is not None and not (len(interval) == 2 and all(map(_is_number, interval))):
            raise ValueError("interval")


def _normalize_class_name(name: str) -> str:
    """A class name without what separates its words: equal for spellings of one name, and for nothing else."""
    joined = _WORD_JOINT.sub("", unicodedata.normalize("NFKC", name).casefold())
    return _WORD_SPACE.sub("", " ".join(re.split(r"[\s_]+", joined)).strip())


def _match_tensors(stored: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a weights file in the types that a network has; copies, since those look into the file.

    Raises:
        ValueError: one lacks, has another name, shape or kind, or is no finite number.
    """
    if {name: value.shape for name, value in stored.items()} != {name: value.shape for name, value in expected.items()}:
        raise ValueError("names and shapes")
    if any(value.is_floating_point() != expected[name].is_floating_point() for name, value in stored.items()):
        raise ValueError("kinds of numbers")
    tensors = {name: value.to(expected[name].dtype, copy=True) for name, value in stored.items()}
    if not all(bool(value.isfinite().all()) for value in tensors.values()):
        raise ValueError("not finite")
    return tensors


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _to_half_precision(value: Tensor) -> Tensor:
    """A tensor as it is kept: filters and dense weights in half precision, unless one of them is too large for it."""
    if not value.is_floating_point() or value.ndim < 2:
        return value
    half = value.half()
    return half if bool(half.isfinite().all()) else value
