"""Making a trained network ready to read: what its answers need is fitted on the scans that it was trained on.

Calibration, threshold and doubt come from its validation scans, the gate and the similar cases from its training scans.
None of them ever looks at a test split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch

from xrai.core.errors import CheckpointError, DatasetError
from xrai.core.jobs import Job
from xrai.core.language import say
from xrai.data.audit import brief, load_audit
from xrai.data.dataset import Dataset
from xrai.explain.cam import anchors
from xrai.explain.similar_cases import Neighbours, fit_neighbours
from xrai.input_check import fit_gate
from xrai.models.artifacts import Kit, Validation, save_kit
from xrai.models.checkpoint import Card, Checkpoint
from xrai.models.operating_point import settled_as
from xrai.networks.build import Network
from xrai.scans.preprocessing import resized, to_greys, to_square
from xrai.training.perturbations import SHIFTS

MAX_VALIDATION, MAX_TRAINING, MAX_FILMS, MAX_ANCHORS = 2000, 20_000, 5000, 200
"""Scans that are looked at, drawn by the run's seed: more say hardly more, and take their time."""

FILM_SIDE = 224
"""Of the films from which the gate learns: its memory does not grow with what a dataset stores."""

BATCH = 32

Tell = Callable[[str, int, int], None]
"""Takes what is being done in a few words, and how many of how many steps of it are done."""

Rows = np.ndarray
Change = Callable[[torch.Tensor], torch.Tensor]


def full_colour(network: Network, card: Card, dataset: Dataset) -> dict[str, dict[str, float]]:
    """{method: {class: anchor}}: the evidence in some validation scans that heatmaps draw in full colour."""
    return _Look(network, card, dataset).full_colour(_some(dataset.rows("val"), MAX_ANCHORS, card.config.seed))


def make_ready(
    network: Network, card: Card, dataset: Dataset, *, tell: Tell = lambda what, done, total: None
) -> tuple[Card, Kit]:
    """Fit what a model's answers need: its card, to be settled with the kit's validation, and the kit.

    Args:
        network: trained, in evaluation mode, on its device.
        card: with the model's classes, preprocessing and settings.
        dataset: that it was trained on, open.
        tell: told of the progress.

    Raises:
        DatasetError: the dataset is damaged.
    """
    look, seed = _Look(network, card, dataset), card.config.seed
    learned = _some(dataset.rows("train"), MAX_TRAINING, seed)
    validation = look.validation(_some(dataset.rows("val"), MAX_VALIDATION, seed), tell)
    neighbours = look.neighbours(learned, tell)
    tell(say("learning what such scans look like"), 0, 1)
    films = _some(learned, MAX_FILMS, seed)
    gate = fit_gate(_squares(dataset, films), dataset.patients[films], seed=seed)
    card = replace(card, dataset=card.dataset | {"audit": _audit(dataset)})
    return card, Kit(gate, neighbours, validation)


def recalibrate(checkpoint: Checkpoint, dataset: Dataset, *, tell: Tell = lambda what, done, total: None) -> Card:
    """Make a model ready anew that was trained earlier, or by an earlier version of XRAI.

    Raises:
        CheckpointError: the model is damaged, was not trained on this dataset, or is being trained.
        DatasetError: the dataset is damaged.
        OSError: the disk is full.
    """
    if Job(checkpoint.folder).is_active:
        raise CheckpointError(
            say("The model “{name}” is being trained now: calibrate it when that is done.", name=checkpoint.name)
        )
    card, mark = checkpoint.card(), checkpoint.weights_sha256()
    if card.dataset.get("fingerprint") != dataset.fingerprint:
        raise CheckpointError(
            say(
                "The model “{name}” was not trained on {name2} as it is now: give the dataset that "
                "it learned from ({get}), since only of that the validation scans are known.",
                name=checkpoint.name,
                name2=dataset.path.name,
                get=card.dataset.get("name"),
            )
        )
    network = checkpoint.load_network(card)
    ready, kit = make_ready(network, card, dataset, tell=tell)
    ready = replace(ready, heatmap=full_colour(network, card, dataset))
    assert kit.validation is not None
    with checkpoint.card_lock():
        now = checkpoint.card()
        if checkpoint.weights_sha256() != mark:
            raise CheckpointError(
                say(
                    "The model “{name}” was trained on while it was calibrated: calibrate it again.",
                    name=checkpoint.name,
                )
            )
        save_kit(checkpoint, kit, mark)
        ready = settled_as(replace(ready, evaluations=now.evaluations), now, kit.validation)
        checkpoint.write_card(ready)
    return ready


def _squares(dataset: Dataset, rows: Rows) -> np.ndarray:
    """Scans as the gate learns them, no larger than it needs, uint8 (n, side, side)."""
    side = min(dataset.size, FILM_SIDE)
    return np.stack([to_square(dataset.images([row])[0], side) for row in rows])


def _audit(dataset: Dataset) -> list[dict[str, str]] | None:
    """What a check of the dataset found that readers of the model's figures should know; None without a check."""
    try:
        found = load_audit(dataset)
    except DatasetError:  # a damaged one says nothing
        return None
    return None if found is None else brief(found)


def _some(rows: Rows, most: int, seed: int) -> Rows:
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


class _Look:
    """A network looking at the scans of a dataset, batch by batch."""

    def __init__(self, network: Network, card: Card, dataset: Dataset) -> None:
        order = card.order_of(dataset.classes)
        assert order is not None, "a model knows the classes of the dataset that it was trained on"
        self.network, self.card, self.dataset, self.order = network, card, dataset, np.array(order)
        self.device = next(network.parameters()).device
        self.fast = card.training.get("precision") == "bf16-mixed"

    def full_colour(self, rows: Rows) -> dict[str, dict[str, float]]:
        """{method: {class: anchor}}: the evidence in some validation scans that heatmaps draw in full colour."""
        found, classes = anchors(self.network, self._inputs, rows, len(self.card.classes)), self.card.classes
        return {
            method: {classes[label]: round(value, 4) for label, value in values.items()}
            for method, values in found.items()
        }

    def validation(self, rows: Rows, tell: Tell) -> Validation:
        """What it answers to scans as they are and as they are changed by `SHIFTS`."""
        total = 1 + len(SHIFTS)
        versions = []
        for done, change in enumerate([lambda greys: greys, *SHIFTS.values()]):
            tell(say("reading the validation scans, as they are and changed"), done, total)
            answers = [logits for logits, _ in self._answers(rows, change, exact=done == 0)]
            versions.append(np.concatenate(answers))
        numbers = np.unique(self.dataset.patients[rows].astype(str), return_inverse=True)[1]
        return Validation(versions[0], np.stack(versions[1:]), self.order[self.dataset.labels[rows]], numbers)

    def neighbours(self, rows: Rows, tell: Tell) -> Neighbours:
        """What its last layer looks at in scans."""
        found = []
        for done, (_, vectors) in enumerate(self._answers(rows, lambda greys: greys, exact=False)):
            if done % 10 == 0:
                tell(say("remembering the training scans"), done * BATCH, len(rows))
            found.append(vectors)
        labels = self.order[self.dataset.labels[rows]]
        return fit_neighbours(np.concatenate(found), labels, rows, self.dataset.patients[rows])

    def _answers(self, rows: Rows, change: Change, *, exact: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Logits and vectors of batch after batch; in the precision of the training unless they must be exact."""
        for start in range(0, len(rows), BATCH):
            inputs = self._inputs(rows[start : start + BATCH], change)
            fast = torch.autocast(self.device.type, torch.bfloat16, enabled=self.fast and not exact)
            with torch.inference_mode(), fast:
                logits, vectors = self.network.answer(inputs.contiguous(memory_format=torch.channels_last))
            yield logits.float().cpu().numpy(), vectors.float().cpu().numpy()

    def _inputs(self, rows: Rows, change: Change = lambda greys: greys) -> torch.Tensor:
        """Standardised inputs of some rows, float (n, 1, H, W)."""
        steps = self.card.preprocessing
        squares = torch.from_numpy(self.dataset.images(rows)).to(self.device)
        films = change(to_greys(squares, steps.stored_size))  # before they are made smaller, as another film would be
        return steps.standardise(resized(films, steps.input_size))
