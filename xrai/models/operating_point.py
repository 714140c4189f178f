"""How a model's answers become decisions: calibration, threshold and doubt, chosen on its validation scans and kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from xrai.calibration import (
    ARGMAX_THRESHOLD,
    ThresholdGoal,
    choose_threshold,
    fit_abstention,
    fit_cross_validated_calibration,
)
from xrai.core.errors import CheckpointError, SettingsError
from xrai.models.artifacts import ValidationOutputs, load_artifacts
from xrai.models.checkpoint import Card, Checkpoint

DEFAULT_ALPHA = 0.03
"""Of 100 scans of any class, so many may get a firm answer that is another class; more where scans are too few."""


def update_operating_point(
    checkpoint: Checkpoint,
    *,
    goal: ThresholdGoal | None = None,
    alpha: float | None = None,
    prevalence: float | None = None,
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
        card = checkpoint.read_card()
        if len(card.classes) != 2 and (goal or prevalence):
            raise SettingsError(
                "The model “{name}” tells apart {len} classes and calls the likeliest: "
                "a threshold and a prevalence can be chosen for two classes only.",
                name=checkpoint.name,
                len=len(card.classes),
            )
        validation = load_validation_outputs(checkpoint, card)
        card = card if prevalence is None else replace(card, prevalence=prevalence)
        card = fit_operating_point(card, validation, goal=goal, alpha=alpha)
        checkpoint.write_card(card)
    return card


class LocalOperatingPoint(NamedTuple):
    """An operating point at the local prevalence: what the probabilities shown to users are compared with.

    Attributes:
        threshold: probability of the positive class from which it is called; None if the likeliest class is.
        reject_zone: limits between which a reading is uncertain; None if there is no such zone.
        prevalence: local prevalence of the positive class; None for that of the calibration.
    """

    threshold: float | None
    reject_zone: tuple[float, float] | None
    prevalence: float | None


def local_operating_point(card: Card) -> LocalOperatingPoint:
    """The card's threshold and reject zone as probabilities at the local prevalence."""
    value = card.threshold_value
    if value is None:
        return LocalOperatingPoint(None, None, card.prevalence)
    zone = None
    if card.doubt is not None:
        low, high = card.doubt.reject_zone(value)
        zone = card.to_local_prevalence(low), card.to_local_prevalence(high)
    return LocalOperatingPoint(card.to_local_prevalence(value), zone, card.prevalence)


def load_validation_outputs(checkpoint: Checkpoint, card: Card) -> ValidationOutputs:
    """What a model answered to its validation scans.

    Raises:
        CheckpointError: that was not kept, or is damaged.
    """
    validation = load_artifacts(checkpoint, card).validation
    if validation is None:
        raise CheckpointError(
            "What the model “{name}” answered to its validation scans was not kept, probably because it "
            "was trained with an earlier version of XRAI: calibrate it with the dataset that it learned from.",
            name=checkpoint.name,
        )
    return validation


def fit_operating_point(
    card: Card, validation: ValidationOutputs, *, goal: ThresholdGoal | None = None, alpha: float | None = None
) -> Card:
    """A card with calibration, threshold and doubt as the validation scans ask for them.

    Args:
        card: of the model.
        validation: its answers to the validation scans.
        goal: what the threshold of two classes is to do; None for what it does now.
        alpha: share of each class's scans that may get a wrong firm answer; None for that of now. Where the patients of
            a class are too few to promise it, it is as small as they allow.
    """
    n_classes = len(card.classes)
    n_patients = [len(np.unique(validation.patients[validation.labels == k])) for k in range(n_classes)]
    if not all(n_patients):  # of a class that was not seen, nothing can be promised
        return replace(card, calibration=None, doubt=None)
    calibration = fit_cross_validated_calibration(
        validation.logits, validation.labels, validation.patients.tolist(), prevalence=_class_priors(card, validation)
    )
    probabilities = calibration(validation.logits)
    target_alpha = alpha or (card.doubt.alpha if card.doubt else DEFAULT_ALPHA)
    lowest_alpha = max(target_alpha, *(1 / (n + 1) for n in n_patients))
    abstention = fit_abstention(
        probabilities, validation.labels, lowest_alpha, validation.patients.tolist(),
        perturbed_probabilities=[calibration(logits) for logits in validation.perturbed_logits],
    )  # fmt: skip
    card = replace(card, calibration=calibration, doubt=abstention)
    return replace(card, threshold=_fit_threshold(card, validation, goal or goal_from_card(card)))


def refit_operating_point(card: Card, previous: Card, validation: ValidationOutputs) -> Card:
    """A card settled as people chose for another one of the same model."""
    alpha = previous.doubt.alpha if previous.doubt else None
    return fit_operating_point(
        replace(card, prevalence=previous.prevalence), validation, goal=goal_from_card(previous), alpha=alpha
    )


def reset_operating_point(card: Card, previous: Card) -> Card:
    """A card of new weights, for which nothing is fitted yet, that remembers what people chose for the model."""
    goal = (previous.threshold or {}).get("goal")
    threshold = card.threshold and card.threshold | ({"goal": goal} if goal else {})
    return replace(card, threshold=threshold, calibration=None, doubt=None, prevalence=previous.prevalence)


def goal_from_card(card: Card) -> ThresholdGoal:
    """What the threshold of a card is to do."""
    goal = (card.threshold or {}).get("goal")
    return ThresholdGoal(goal["kind"], goal["limit"]) if isinstance(goal, dict) else ThresholdGoal("likeliest")


def _class_priors(card: Card, validation: ValidationOutputs) -> list[float]:
    """The class shares that the network learned to expect: even ones where training gave each class its due."""
    n_classes = len(card.classes)
    if card.training.get("settings", {}).get("class_balance") != "none":
        return [1 / n_classes] * n_classes
    training_counts = card.dataset.get("counts")
    counts = np.bincount(validation.labels, minlength=n_classes)
    if isinstance(training_counts, dict) and set(training_counts) == set(card.classes):
        counts = np.array([training_counts[name]["train"] for name in card.classes])
    return (counts / counts.sum()).tolist()


def _fit_threshold(card: Card, validation: ValidationOutputs, goal: ThresholdGoal) -> dict[str, Any] | None:
    if len(card.classes) != 2:
        return None
    negative_class, positive_class = card.classes
    scores = card.to_probabilities(validation.logits)[:, 1]
    patients = validation.patients.tolist()
    if goal.is_error_limit:
        threshold = choose_threshold(scores, validation.labels, patients, goal)
    else:  # as people are told probabilities
        probability = ARGMAX_THRESHOLD if goal.limit is None else goal.limit
        threshold = choose_threshold(
            scores, validation.labels, patients, ThresholdGoal("given", card.from_local_prevalence(probability))
        )
    assert threshold is not None
    threshold = replace(threshold, goal=goal)
    return {
        "class": positive_class,
        "chosen": threshold.sentence((negative_class, positive_class)),
        **threshold.to_dict(),
    }
