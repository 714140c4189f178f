"""The card that a training run leaves: what the model is, what it learned from, and what to know before using it."""

from __future__ import annotations

import platform
import shlex
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from xrai import __version__
from xrai.core.language import Message, say
from xrai.core.paths import display_path
from xrai.core.records import Record
from xrai.data.dataset import Dataset
from xrai.models.checkpoint import Card
from xrai.training.data import BatchLoader


def draft_card(name: str, loader: BatchLoader, training: dict[str, Any]) -> Card:
    """The card of the model `name` so far: measurements and evidence are still to come.

    Args:
        name: of the model.
        feed: what it was trained on, and how.
        training: how the run went; the command that repeats it is added here.
    """
    dataset, packages = loader.dataset, ("torch", "torchvision", "lightning-fabric", "numpy")
    arguments = [display_path(dataset.path), "--name", name, *loader.config.to_arguments()]
    return Card(
        name=name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        classes=dataset.classes,
        network=loader.config.network_config,
        preprocessing=loader.preprocessing,
        dataset=dataset.describe().to_dict(),
        threshold=_default_threshold(dataset.classes),
        training=training
        | {"settings": loader.config.to_dict(), "command": f"python -m xrai train {shlex.join(arguments)}"},
        validation={},
        heatmap={},
        versions={"xrai": __version__, "python": platform.python_version()}
        | {package: version(package) for package in packages},
        notes=_draft_notes(dataset, training.get("started_from")),
    )


class OriginDataset(Record):
    """The dataset of the model from which a run started."""

    name: str | None = None
    fingerprint: str | None = None
    population: str | None


class Origin(Record):
    """The model whose weights a run started from.

    Attributes:
        learned_from: fingerprints of its training dataset and of those of all models before it.
    """

    model: str
    created: str
    dataset: OriginDataset
    learned_from: tuple[str, ...] = ()


def describe_origin(card: Card) -> Origin:
    """What a model's card keeps of the model whose weights its training started from."""
    dataset = OriginDataset(**{name: card.dataset.get(name) for name in OriginDataset.model_fields})
    return Origin(
        model=card.name, created=card.created, dataset=dataset, learned_from=tuple(_training_fingerprints(card))
    )


def _training_fingerprints(card: Card) -> list[str]:
    """Fingerprints of the dataset that a model learned from and of those that all models before it did, no one twice.

    Cards from before this was kept tell of the model just before theirs only, and foreign ones may hold anything.
    """
    fingerprints, origin = [card.dataset.get("fingerprint")], card.training.get("started_from")
    if isinstance(origin, dict):
        earlier_fingerprints, dataset = origin.get("learned_from"), origin.get("dataset")
        fingerprints += earlier_fingerprints if isinstance(earlier_fingerprints, list) else []
        fingerprints += [dataset.get("fingerprint")] if isinstance(dataset, dict) else []
    return list(dict.fromkeys(item for item in fingerprints if isinstance(item, str)))


def _default_threshold(classes: tuple[str, ...]) -> dict[str, Any] | None:
    if len(classes) != 2:
        return None
    return {"class": classes[1], "value": 0.5, "chosen": say("fixed at 0.5 beforehand, without looking at any result")}


def _draft_notes(dataset: Dataset, origin: dict[str, Any] | None) -> tuple[str, ...]:
    notes = []
    if dataset.is_phantom:
        notes.append(say("Trained on drawings: its answers have no medical meaning."))
    if dataset.population:
        notes.append(
            say("Trained on: {population}. It knows nothing of other patients.", population=Message(dataset.population))
        )
    if origin:
        whom = Message(origin["dataset"]["population"] or "") or say("patients that nobody described")
        notes.append(
            say(
                "It started from the model “{origin}”, which had learned from: {whom}.",
                origin=origin["model"],
                whom=whom,
            )
        )
    if dataset.licence:
        notes.append(say("Source of the scans: {licence}.", licence=Message(dataset.licence)))
    n_leaked = dataset.leaks()["test"].scans
    if n_leaked:
        notes.append(
            say(
                "{leaked} scans of its test split also stand in training: figures measured on it flatter.",
                leaked=n_leaked,
            )
        )
    notes.append(say("Research software, no medical device."))
    return tuple(notes)
