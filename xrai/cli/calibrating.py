"""The verb `calibrate`: threshold, abstention and prevalence of a model."""

from __future__ import annotations

import argparse
import sys

from xrai.calibration import ThresholdGoal
from xrai.cli.output import print_json, print_progress
from xrai.cli.paths import find_dataset
from xrai.core.errors import SettingsError
from xrai.models.card import Card
from xrai.models.checkpoint import open_checkpoint
from xrai.models.operating_point import LocalOperatingPoint, local_operating_point, update_operating_point


def calibrate(options: argparse.Namespace) -> int:
    """Set a model's threshold, abstention and prevalence on its validation scans."""
    goal = _parse_goal(options)
    alpha = _parse_percent("--abstain", options.abstain)
    prevalence = _parse_percent("--prevalence", options.prevalence)
    checkpoint = open_checkpoint(options.name)
    checkpoint.read_card()  # report a missing model before a slow dataset is opened
    if options.dataset:
        from xrai.training.jobs import run_calibration  # imports h5py

        run_calibration(checkpoint, find_dataset(options.dataset), on_record=print_progress)
    card = update_operating_point(checkpoint, goal=goal, alpha=alpha, prevalence=prevalence)
    if alpha and card.abstention and card.abstention.alpha > alpha:
        print(
            f"warning: An error rate of {options.abstain:g} % cannot be guaranteed with so few validation patients: "
            f"{100 * card.abstention.alpha:.3g} % is the lowest possible.",
            file=sys.stderr,
        )
    _print_operating_point(options, card)
    return 0


def _parse_goal(options: argparse.Namespace) -> ThresholdGoal | None:
    """The rule for the threshold; None if no option sets one."""
    if options.argmax:
        return ThresholdGoal(kind="argmax")
    if options.threshold is not None:
        if not 0 < options.threshold < 1:
            raise SettingsError(
                "The threshold is a probability between 0 and 1, not {value:g}.", value=options.threshold
            )
        return ThresholdGoal(kind="fixed", limit=options.threshold)
    if options.sensitivity is not None:
        return ThresholdGoal(kind="max_fnr", limit=_error_rate("--sensitivity", options.sensitivity))
    if options.specificity is not None:
        return ThresholdGoal(kind="max_fpr", limit=_error_rate("--specificity", options.specificity))
    return None


def _error_rate(flag: str, target: float) -> float:
    """The error rate, 0 to 1, that a target in per cent allows."""
    _parse_percent(flag, target)
    return (100 - target) / 100


def _parse_percent(flag: str, percent: float | None) -> float | None:
    """A percentage as a share, 0 to 1; None if it is not given.

    Raises:
        SettingsError: it is not between 0 and 100.
    """
    if percent is None:
        return None
    if not 0 < percent < 100:
        raise SettingsError(
            "{flag} is a percentage, more than 0 and less than 100, not {percent:g}.", flag=flag, percent=percent
        )
    return percent / 100


def _print_operating_point(options: argparse.Namespace, card: Card) -> None:
    """The operating point now in force, at the local prevalence, and how it was chosen."""
    local = local_operating_point(card)
    sentences = _describe(local, card.classes[-1])
    sentences += [card.threshold.description] if card.threshold else []
    sentences += [card.abstention.sentence(card.classes)] if card.abstention else []
    for sentence in sentences:
        print(sentence, file=sys.stderr if options.json else sys.stdout)
    values = card.to_dict()
    summary = {name: values[name] for name in ("name", "calibration", "threshold", "abstention", "local_prevalence")}
    print_json(options, summary | {"local": {"threshold": local.threshold, "reject_zone": local.reject_zone}})


def _describe(local: LocalOperatingPoint, positive_class: str) -> list[str]:
    """One sentence for each part of a local operating point."""
    sentences = []
    if local.threshold is not None:
        sentences.append(f"In force: {positive_class} at {local.threshold:.1%} or above.")
    if local.reject_zone:
        sentences.append("Uncertain between {:.1%} and {:.1%}.".format(*local.reject_zone))
    if local.prevalence is not None:
        sentences.append(f"Adjusted to a prevalence of {positive_class} of {100 * local.prevalence:.3g} %.")
    return sentences
