"""Operating point: temperature scaling, decision threshold and conformal abstention, fitted on validation logits."""

from __future__ import annotations

from typing import NamedTuple

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
from xrai.models.card import Card, OperatingPoint
from xrai.models.checkpoint import Checkpoint

DEFAULT_ALPHA = 0.03
"""Default share of wrong confident answers among the scans of a class; more where there are too few patients."""


def update_operating_point(
    checkpoint: Checkpoint,
    *,
    goal: ThresholdGoal | None = None,
    alpha: float | None = None,
    prevalence: float | None = None,
) -> Card:
    """Fit the threshold, the abstention or the local prevalence of a model anew and store it in the card.

    Args:
        checkpoint: the model.
        goal: of the threshold; None keeps it.
        alpha: share of each class's scans that may get a wrong confident answer; None keeps it.
        prevalence: of the positive class where the model is used; None keeps it.

    Raises:
        SettingsError: a goal or prevalence is given, but the model has more than two classes.
        CheckpointError: the model is damaged, or has no stored validation logits.
        OSError: the disk is full.
    """
    with checkpoint.card_lock():
        card = checkpoint.read_card()
        if len(card.classes) != 2 and (goal or prevalence):
            raise SettingsError(
                "The model “{name}” tells apart {n} classes and calls the likeliest: "
                "a threshold and a prevalence can be chosen for two classes only.",
                name=checkpoint.name,
                n=len(card.classes),
            )
        validation = load_validation_outputs(checkpoint, card)
        card = card if prevalence is None else card.replace(local_prevalence=prevalence)
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
        return LocalOperatingPoint(None, None, card.local_prevalence)
    zone = None
    if card.abstention is not None:
        low, high = card.abstention.reject_zone(value)
        zone = card.to_local_prevalence(low), card.to_local_prevalence(high)
    return LocalOperatingPoint(card.to_local_prevalence(value), zone, card.local_prevalence)


def load_validation_outputs(checkpoint: Checkpoint, card: Card) -> ValidationOutputs:
    """The stored logits of the validation scans.

    Raises:
        CheckpointError: they are missing or damaged.
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
    """The card with calibration, threshold and abstention fitted on the validation scans.

    Args:
        card: of the model.
        validation: its logits of the validation scans.
        goal: of the threshold of two classes; None for the present one.
        alpha: share of each class's scans that may get a wrong confident answer; None for the present one. Where
            a class has too few patients to guarantee it, it is as small as they allow.
    """
    n_classes = len(card.classes)
    n_patients = [len(np.unique(validation.patients[validation.labels == k])) for k in range(n_classes)]
    if not all(n_patients):  # nothing can be fitted for a class without scans
        return card.replace(calibration=None, abstention=None)
    calibration = fit_cross_validated_calibration(
        validation.logits, validation.labels, validation.patients.tolist(), prevalence=_class_priors(card, validation)
    )
    probabilities = calibration(validation.logits)
    target_alpha = alpha or (card.abstention.alpha if card.abstention else DEFAULT_ALPHA)
    lowest_alpha = max(target_alpha, *(1 / (n + 1) for n in n_patients))
    abstention = fit_abstention(
        probabilities,
        validation.labels,
        lowest_alpha,
        validation.patients.tolist(),
        perturbed_probabilities=[calibration(logits) for logits in validation.perturbed_logits],
    )
    card = card.replace(calibration=calibration, abstention=abstention)
    return card.replace(threshold=_fit_threshold(card, validation, goal or goal_from_card(card)))


def refit_operating_point(card: Card, previous: Card, validation: ValidationOutputs) -> Card:
    """The card fitted with the goal, alpha and local prevalence that users chose for another card of the model."""
    alpha = previous.abstention.alpha if previous.abstention else None
    card = card.replace(local_prevalence=previous.local_prevalence)
    return fit_operating_point(card, validation, goal=goal_from_card(previous), alpha=alpha)


def reset_operating_point(card: Card, previous: Card) -> Card:
    """The card of new weights without fitted values, with the choices that users made for the previous one."""
    threshold = card.threshold
    if threshold and previous.threshold and previous.threshold.goal:
        threshold = threshold.replace(goal=previous.threshold.goal)
    return card.replace(
        threshold=threshold, calibration=None, abstention=None, local_prevalence=previous.local_prevalence
    )


def goal_from_card(card: Card) -> ThresholdGoal:
    """What the threshold of a card is chosen for."""
    goal = card.threshold.goal if card.threshold else None
    return goal or ThresholdGoal(kind="argmax")


def _class_priors(card: Card, validation: ValidationOutputs) -> list[float]:
    """The class priors of the network: uniform where training balanced the classes."""
    n_classes = len(card.classes)
    if card.training.settings.get("class_balance") != "none":
        return [1 / n_classes] * n_classes
    counts = np.bincount(validation.labels, minlength=n_classes)
    if set(card.dataset.counts) == set(card.classes):
        counts = np.array([card.dataset.counts[name]["train"] for name in card.classes])
    return (counts / counts.sum()).tolist()


def _fit_threshold(card: Card, validation: ValidationOutputs, goal: ThresholdGoal) -> OperatingPoint | None:
    if len(card.classes) != 2:
        return None
    negative_class, positive_class = card.classes
    scores = card.to_probabilities(validation.logits)[:, 1]
    effective_goal = goal
    if not goal.is_error_limit:  # probabilities are given as at the local prevalence
        probability = ARGMAX_THRESHOLD if goal.limit is None else goal.limit
        effective_goal = ThresholdGoal(kind="fixed", limit=card.from_local_prevalence(probability))
    threshold = choose_threshold(scores, validation.labels, validation.patients.tolist(), effective_goal)
    assert threshold is not None
    threshold = threshold.replace(goal=goal)
    description = threshold.sentence((negative_class, positive_class))
    return OperatingPoint(
        class_name=positive_class, value=threshold.value, description=description, goal=goal, fit=threshold
    )
