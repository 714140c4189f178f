"""The card that a training run leaves: what the model is, what it learned from, and what to know before using it."""

from __future__ import annotations

import platform
import shlex
from datetime import UTC, datetime
from importlib.metadata import version

from xrai import __version__
from xrai.core.language import Message, say
from xrai.core.paths import display_path
from xrai.data.dataset import Dataset
from xrai.models.card import Card, OperatingPoint, SourceDataset, SourceModel, TrainingRecord
from xrai.training.data import BatchLoader


def draft_card(name: str, loader: BatchLoader, training: TrainingRecord) -> Card:
    """The card of the model `name` so far: measurements and evidence are still to come.

    Args:
        name: of the model.
        loader: what it was trained on, and how.
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
        dataset=dataset.describe(),
        threshold=_default_threshold(dataset.classes),
        training=training.replace(
            settings=loader.config.to_dict(), command=f"python -m xrai train {shlex.join(arguments)}"
        ),
        validation=None,
        heatmap_scale={},
        versions={"xrai": __version__, "python": platform.python_version()}
        | {package: version(package) for package in packages},
        notes=_draft_notes(dataset, training.source_model),
    )


def describe_origin(card: Card) -> SourceModel:
    """The record of the model whose weights a training starts from."""
    dataset = SourceDataset(
        name=card.dataset.name, fingerprint=card.dataset.fingerprint, population=card.dataset.population
    )
    return SourceModel(
        model=card.name, created=card.created, dataset=dataset, training_fingerprints=card.training_fingerprints
    )


def _default_threshold(classes: tuple[str, ...]) -> OperatingPoint | None:
    if len(classes) != 2:
        return None
    description = say("fixed at 0.5 beforehand, without looking at any result")
    return OperatingPoint(class_name=classes[1], value=0.5, description=description)


def _draft_notes(dataset: Dataset, source: SourceModel | None) -> tuple[str, ...]:
    notes = []
    if dataset.is_phantom:
        notes.append(say("Trained on drawings: its answers have no medical meaning."))
    if dataset.population:
        notes.append(
            say("Trained on: {population}. It knows nothing of other patients.", population=Message(dataset.population))
        )
    if source:
        whom = Message(source.dataset.population) or say("patients that nobody described")
        notes.append(
            say("It started from the model “{origin}”, which had learned from: {whom}.", origin=source.model, whom=whom)
        )
    if dataset.licence:
        notes.append(say("Source of the scans: {licence}.", licence=Message(dataset.licence)))
    n_leaked = dataset.leaks()["test"].scans
    if n_leaked:
        notes.append(
            say(
                "{n_leaked} scans of its test split also stand in training: figures measured on it flatter.",
                n_leaked=n_leaked,
            )
        )
    notes.append(say("Research software, no medical device."))
    return tuple(notes)
