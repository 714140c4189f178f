"""How a model's answers become decisions: calibration, threshold and doubt, chosen on its validation scans and kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from xrai.calibration import EVEN, Goal, choose_threshold, fit_doubt, fit_where_it_helps
from xrai.core.errors import CheckpointError, SettingsError
from xrai.core.language import say
from xrai.models.artifacts import Validation, load_kit
from xrai.models.checkpoint import Card, Checkpoint

ALPHA = 0.03
"""Of 100 scans of any class, so many may get a firm answer that is another class; more where scans are too few."""


def decide(
    checkpoint: Checkpoint, *, goal: Goal | None = None, alpha: float | None = None, prevalence: float | None = None
) -> Card:
    """Choose anew what a model calls, where it is not sure and for whom it speaks, and keep that in its card.

    Args:
        checkpoint: the model.
        goal: what its threshold is to do; None leaves that.
        alpha: share of each class's scans that may get a wrong firm answer; None leaves that.
        prevalence: share of the second class among the patients of those who use it; None leaves that.

    Raises:
        SettingsError: the model tells apart more than two classes, which have no threshold and no one prevalence.
        CheckpointError: it is damaged, or its answers to the validation scans were not kept.
        OSError: the disk is full.
    """
    with checkpoint.card_lock():
        card = checkpoint.card()
        if len(card.classes) != 2 and (goal or prevalence):
            raise SettingsError(
                say(
                    "The model “{name}” tells apart {len} classes and calls the likeliest: "
                    "a threshold and a prevalence can be chosen for two classes only.",
                    name=checkpoint.name,
                    len=len(card.classes),
                )
            )
        validation = validation_of(checkpoint, card)
        card = card if prevalence is None else replace(card, prevalence=prevalence)
        card = settled(card, validation, goal=goal, alpha=alpha)
        checkpoint.write_card(card)
    return card


def validation_of(checkpoint: Checkpoint, card: Card) -> Validation:
    """What a model answered to its validation scans.

    Raises:
        CheckpointError: that was not kept, or is damaged.
    """
    validation = load_kit(checkpoint, card).validation
    if validation is None:
        raise CheckpointError(
            say(
                "What the model “{name}” answered to its validation scans was not kept, probably because it "
                "was trained with an earlier version of XRAI: calibrate it with the dataset that it learned from.",
                name=checkpoint.name,
            )
        )
    return validation


def settled(card: Card, validation: Validation, *, goal: Goal | None = None, alpha: float | None = None) -> Card:
    """A card with calibration, threshold and doubt as the validation scans ask for them.

    Args:
        card: of the model.
        validation: its answers to the validation scans.
        goal: what the threshold of two classes is to do; None for what it does now.
        alpha: share of each class's scans that may get a wrong firm answer; None for that of now. Where the patients of
            a class are too few to promise it, it is as small as they allow.
    """
    n_classes = len(card.classes)
    patients = [len(np.unique(validation.patients[validation.labels == k])) for k in range(n_classes)]
    if not all(patients):  # of a class that was not seen, nothing can be promised
        return replace(card, calibration=None, doubt=None)
    calibration = fit_where_it_helps(
        validation.logits, validation.labels, validation.patients.tolist(), prevalence=_learned_shares(card, validation)
    )
    probabilities = calibration(validation.logits)
    wanted = alpha or (card.doubt.alpha if card.doubt else ALPHA)
    reachable = max(wanted, *(1 / (n + 1) for n in patients))
    doubt = fit_doubt(
        probabilities, validation.labels, reachable, validation.patients.tolist(),
        shifted=[calibration(logits) for logits in validation.shifted],
    )  # fmt: skip
    card = replace(card, calibration=calibration, doubt=doubt)
    return replace(card, threshold=_threshold(card, validation, goal or goal_of(card)))


def settled_as(card: Card, other: Card, validation: Validation) -> Card:
    """A card settled as people chose for another one of the same model."""
    alpha = other.doubt.alpha if other.doubt else None
    return settled(replace(card, prevalence=other.prevalence), validation, goal=goal_of(other), alpha=alpha)


def unsettled_as(card: Card, other: Card) -> Card:
    """A card of new weights, for which nothing is fitted yet, that remembers what people chose for the model."""
    goal = (other.threshold or {}).get("goal")
    threshold = card.threshold and card.threshold | ({"goal": goal} if goal else {})
    return replace(card, threshold=threshold, calibration=None, doubt=None, prevalence=other.prevalence)


def goal_of(card: Card) -> Goal:
    """What the threshold of a card is to do."""
    goal = (card.threshold or {}).get("goal")
    return Goal(goal["kind"], goal["limit"]) if isinstance(goal, dict) else Goal("likeliest")


def _learned_shares(card: Card, validation: Validation) -> list[float]:
    """The class shares that the network learned to expect: even ones where training gave each class its due."""
    n_classes = len(card.classes)
    if card.config.balance != "none":
        return [1 / n_classes] * n_classes
    known = card.dataset.get("counts")
    counts = np.bincount(validation.labels, minlength=n_classes)
    if isinstance(known, dict) and set(known) == set(card.classes):
        counts = np.array([known[name]["train"] for name in card.classes])
    return (counts / counts.sum()).tolist()


def _threshold(card: Card, validation: Validation, goal: Goal) -> dict[str, Any] | None:
    if len(card.classes) != 2:
        return None
    first, second = card.classes
    scores = card.probabilities(validation.logits)[:, 1]
    patients = validation.patients.tolist()
    if goal.is_limit:
        chosen = choose_threshold(scores, validation.labels, patients, goal)
    else:  # as people are told probabilities
        told = EVEN if goal.limit is None else goal.limit
        chosen = choose_threshold(scores, validation.labels, patients, Goal("given", card.fitted(told)))
    assert chosen is not None
    chosen = replace(chosen, goal=goal)
    return {"class": second, "chosen": chosen.sentence((first, second)), **chosen.to_dict()}
