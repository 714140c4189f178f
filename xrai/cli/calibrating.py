"""The verb that decides what a model's answers mean: calibrate."""

from __future__ import annotations

import argparse
import sys

from xrai.calibration import ThresholdGoal
from xrai.cli.output import print_json, print_progress
from xrai.cli.places import find_dataset
from xrai.core.errors import SettingsError
from xrai.models.checkpoint import Card, open_checkpoint
from xrai.models.operating_point import update_operating_point


def calibrate(options: argparse.Namespace) -> int:
    """Choose a model's threshold, doubt and prevalence on its validation scans."""
    goal, alpha = _parse_goal(options), _parse_percent("--doubt", options.doubt)
    prevalence = _parse_percent("--prevalence", options.prevalence)
    checkpoint = open_checkpoint(options.name)
    checkpoint.read_card()  # a missing model is said before a slow dataset is opened
    if options.dataset:
        from xrai.training.jobs import run_calibration  # imports h5py

        run_calibration(checkpoint, find_dataset(options.dataset), on_record=print_progress)
    card = update_operating_point(checkpoint, goal=goal, alpha=alpha, prevalence=prevalence)
    if alpha and card.doubt and card.doubt.alpha > alpha:
        print(
            f"warning: At most {options.doubt:g} in 100 cannot be promised from so few validation patients: "
            f"{100 * card.doubt.alpha:.3g} in 100 is what they allow.",
            file=sys.stderr,
        )
    _print_operating_point(options, card)
    return 0


def _parse_goal(options: argparse.Namespace) -> ThresholdGoal | None:
    """What the threshold is to do; None where nothing was said."""
    if options.likeliest:
        return ThresholdGoal("likeliest")
    if options.threshold is not None:
        if not 0 < options.threshold < 1:
            raise SettingsError(f"The threshold is a probability between 0 and 1, not {options.threshold:g}.")
        return ThresholdGoal("given", options.threshold)
    if (misses := _parse_percent("--misses", options.misses)) is not None:
        return ThresholdGoal("misses", misses)
    alarms = _parse_percent("--alarms", options.alarms)
    return None if alarms is None else ThresholdGoal("alarms", alarms)


def _parse_percent(flag: str, count: float | None) -> float | None:
    """So many of 100 as a share; None where none was given.

    Raises:
        SettingsError: it is not between 0 and 100.
    """
    if count is None:
        return None
    if not 0 < count < 100:
        raise SettingsError(f"{flag} says how many of 100, more than 0 and fewer than 100: not {count:g}.")
    return count / 100


def _print_operating_point(options: argparse.Namespace, card: Card) -> None:
    """What is in force now, as pages tell it, and how it came about."""
    value, sentences = card.threshold_value, []
    threshold = None if value is None else card.to_local_prevalence(value)
    zone = (
        None
        if value is None or card.doubt is None
        else tuple(map(card.to_local_prevalence, card.doubt.reject_zone(value)))
    )
    if threshold is not None:
        sentences.append(f"In force: called {card.classes[1]} from a probability of {threshold:.1%} on.")
    if zone:
        sentences.append(f"Between {zone[0]:.1%} and {zone[1]:.1%} the answer is “not sure”.")
    if card.prevalence is not None:
        sentences.append(f"Told for patients of whom {100 * card.prevalence:.3g} in 100 have {card.classes[1]}.")
    sentences += [card.threshold["chosen"]] if card.threshold else []
    sentences += [card.doubt.sentence(card.classes)] if card.doubt else []
    for sentence in sentences:
        print(sentence, file=sys.stderr if options.json else sys.stdout)
    values = card.to_dict()
    summary = {name: values[name] for name in ("name", "calibration", "threshold", "doubt", "prevalence")}
    print_json(options, summary | {"told": {"threshold": threshold, "not_sure": zone}})
