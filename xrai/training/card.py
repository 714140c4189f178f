"""The card that a training run leaves: what the model is, what it learned from, and what to know before using it."""

from __future__ import annotations

import platform
import shlex
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from xrai import __version__
from xrai.core.language import Message, say
from xrai.core.paths import shown_path
from xrai.data.dataset import Dataset
from xrai.models.checkpoint import Card
from xrai.training.data import Feed


def draft_card(name: str, feed: Feed, training: dict[str, Any]) -> Card:
    """The card of the model `name` so far: measurements and evidence are still to come.

    Args:
        name: of the model.
        feed: what it was trained on, and how.
        training: how the run went; the command that repeats it is added here.
    """
    dataset, packages = feed.dataset, ("torch", "torchvision", "lightning-fabric", "numpy")
    asked = [shown_path(dataset.path), "--name", name, *feed.config.arguments()]
    return Card(
        name=name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        classes=dataset.classes,
        config=feed.config,
        preprocessing=feed.preprocessing,
        dataset=dataset.describe(),
        threshold=_threshold(dataset.classes),
        training=training | {"command": f"python -m xrai train {shlex.join(asked)}"},
        validation={},
        heatmap={},
        versions={"xrai": __version__, "python": platform.python_version()}
        | {package: version(package) for package in packages},
        notes=_notes(dataset, training.get("started_from")),
    )


def origin_of(card: Card) -> dict[str, Any]:
    """What a model's card keeps of the model whose weights its training started from."""
    known = {name: card.dataset.get(name) for name in ("name", "fingerprint", "population")}
    return {"model": card.name, "created": card.created, "dataset": known, "learned_from": _learned_from(card)}


def _learned_from(card: Card) -> list[str]:
    """Fingerprints of the dataset that a model learned from and of those that all models before it did, no one twice.

    Cards from before this was kept tell of the model just before theirs only, and foreign ones may hold anything.
    """
    found, origin = [card.dataset.get("fingerprint")], card.training.get("started_from")
    if isinstance(origin, dict):
        before, dataset = origin.get("learned_from"), origin.get("dataset")
        found += before if isinstance(before, list) else []
        found += [dataset.get("fingerprint")] if isinstance(dataset, dict) else []
    return list(dict.fromkeys(item for item in found if isinstance(item, str)))


def _threshold(classes: tuple[str, ...]) -> dict[str, Any] | None:
    if len(classes) != 2:
        return None
    return {"class": classes[1], "value": 0.5, "chosen": say("fixed at 0.5 beforehand, without looking at any result")}


def _notes(dataset: Dataset, origin: dict[str, Any] | None) -> tuple[str, ...]:
    notes = []
    if dataset.drawings:
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
    leaked = dataset.leaks()["test"]["scans"]
    if leaked:
        notes.append(
            say(
                "{leaked} scans of its test split also stand in training: figures measured on it flatter.",
                leaked=leaked,
            )
        )
    notes.append(say("Research software, no medical device."))
    return tuple(notes)
