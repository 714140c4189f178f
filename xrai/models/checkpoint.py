"""Checkpoint folder of a model: card, weights (safetensors), training history."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import BaseFileLock, FileLock

from xrai.core.errors import CheckpointError, SettingsError
from xrai.core.json_files import HISTORY_FILE, JOB_FILE, atomic_file, is_file, last_modified, list_folder, write_json
from xrai.core.language import load_json, say
from xrai.core.paths import checkpoints_dir
from xrai.models.card import CARD_VERSION, Card, parse_version
from xrai.networks.config import IMAGENET, SCRATCH, NetworkConfig

if TYPE_CHECKING:  # torch takes seconds to import, and listing models does not need it
    from torch import Tensor

    from xrai.networks.build import Network

CONFIG, WEIGHTS, CARD, STATE = "config.json", "model.safetensors", "card.json", "state"
CARD_LOCK = "card.lock"
EVALUATIONS = "evaluations"
"""The folder within a model's that keeps what was measured of it."""
DEFAULT = "default.json"
"""The file beside the models that names the default one; see `models.default`."""

_NAME = re.compile(r"\w[\w .+-]{0,79}")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Names that Windows keeps for devices: refused everywhere, since a model's folder may move to another machine."""

MAX_NAME_BYTES = 200
"""File systems allow 255 a name, and files beside the folder are called after it."""


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
        return is_file(self.folder / CARD) and is_file(self.folder / WEIGHTS)

    @property
    def is_taken(self) -> bool:
        """Whether a run left something here that a new one of the same name would write over."""
        return self._has_state or any(is_file(self.folder / name) for name in (CARD, WEIGHTS))

    @property
    def can_resume(self) -> bool:
        """Whether its training can go on, or start anew where it broke off before it left anything."""
        return self._has_state or (not self.is_taken and is_file(self.folder / CONFIG))

    def read_card(self) -> Card:
        """The model's card.

        Raises:
            CheckpointError: it is missing, damaged, or of another make.
        """
        text = self._read_text(CARD)
        try:
            values = load_json(text)
            version = parse_version(values)
            if version > CARD_VERSION:
                raise CheckpointError(
                    "The card of the model “{name}” was made by a newer version of XRAI: "
                    "update this one, or train the model again.",
                    name=self.name,
                )
            if version < CARD_VERSION:
                raise CheckpointError(
                    "The card of the model “{name}” was made by an earlier version of XRAI, whose cards are no longer "
                    "read: train the model again.",
                    name=self.name,
                )
            card = Card.from_dict(values)
            return card.model_copy(update={"name": self.name})  # the folder may have been renamed since
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
        with atomic_file(self.folder / WEIGHTS) as partial:
            # not its save_file, which lets nobody but the present user read the file
            partial.write_bytes(save(tensors, metadata={"format": "pt"}))

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
        return any(is_file(self.folder / name / "values.json") for name in (STATE, f"{STATE}.old"))

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
    folders = [item for item in list_folder(checkpoints_dir()) if any(is_file(item / mark) for mark in file_names)]
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
    """Training settings as stored; training itself checks the values.

    Raises:
        TypeError, SettingsError: they are none, or those of the network are outside their limits.
    """
    if not isinstance(values, dict) or not all(
        isinstance(value, str) or (isinstance(value, int | float) and abs(value) < 2**53) for value in values.values()
    ):
        raise TypeError("settings")
    NetworkConfig.from_dict({name: value for name, value in values.items() if name in NetworkConfig.model_fields})
    return values


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


def _to_half_precision(value: Tensor) -> Tensor:
    """A tensor as it is kept: filters and dense weights in half precision, unless one of them is too large for it."""
    if not value.is_floating_point() or value.ndim < 2:
        return value
    half = value.half()
    return half if bool(half.isfinite().all()) else value
