"""The verb `models`: list, compare, rename, note, choose the default, export, import, delete."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import Any

from xrai import models
from xrai.cli.output import document, validation
from xrai.cli.places import path_of
from xrai.core.errors import CheckpointError, SettingsError
from xrai.models.checkpoint import Checkpoint, list_checkpoints, open_checkpoint
from xrai.networks.config import defaults, worded

_FIGURES = ("accuracy", "accuracy_interval", "auc", "auc_interval", "n_validation")


def show(options: argparse.Namespace) -> int:
    """List every run and model."""
    found = models.summaries()
    if options.json:
        document(options, [asdict(item) for item in found])
        return 0
    for item in found:
        _print_summary(item)
    if not found:
        print("there is no run or model yet", file=sys.stderr)
    return 0


def compare(options: argparse.Namespace) -> int:
    """Show the settings in which some models differ, and how good each was found to be on validation."""
    known = {item.name: item for item in models.summaries()}
    chosen = [known[_there(name).name] for name in options.names]
    differing = models.differing_settings([item.config for item in chosen])
    table = [
        {"name": item.name, "settings": _settings(item, differing)}
        | {name: getattr(item, name) for name in _FIGURES}
        for item in chosen
    ]  # fmt: skip
    if options.json:
        document(options, table)
        return 0
    for item in chosen:
        _print_summary(item)
        for name, value in _settings(item, differing).items():
            print(f"    {name.replace('_', ' '):18} {'unknown' if value is None else worded(value)}")
    if not differing:
        print("they do not differ in their settings", file=sys.stderr)
    return 0


def rename(options: argparse.Namespace) -> int:
    """Give a model another name."""
    return _done(options, models.rename(_there(options.name), options.new_name).name, "renamed")


def note(options: argparse.Namespace) -> int:
    """Keep a note with a model."""
    models.set_note(_there(options.name), options.text)
    return _done(options, options.name, "noted")


def default(options: argparse.Namespace) -> int:
    """Choose the model that reads scans when none is named."""
    models.set_default(_there(options.name))
    return _done(options, options.name, "chosen to read scans")


def export(options: argparse.Namespace) -> int:
    """Write a model into a zip."""
    models.export_model(_there(options.name), path_of(options.zip))
    return _done(options, options.name, f"exported to {options.zip}")


def import_(options: argparse.Namespace) -> int:
    """Take in a model from a zip."""
    return _done(options, models.import_model(path_of(options.zip), options.name).name, "imported")


def delete(options: argparse.Namespace) -> int:
    """Delete a model for good, after a question unless it was answered beforehand."""
    checkpoint = _there(options.name)
    if not options.yes and not _agreed(f"Delete “{options.name}” for good?"):
        return _done(options, options.name, "kept")
    models.delete(checkpoint)
    return _done(options, options.name, "deleted")


def _there(name: str) -> Checkpoint:
    """The run or model of that name.

    Raises:
        CheckpointError: there is none.
    """
    known = [item.name for item in list_checkpoints()]
    checkpoint = open_checkpoint(name)
    if name not in known:
        raise CheckpointError(
            f"There is no run or model “{name}” in {checkpoint.folder.parent}: the ones here are: "
            f"{', '.join(known) or 'none yet'}."
        )
    return checkpoint


def _agreed(question: str) -> bool:
    """Whether somebody answers yes.

    Raises:
        SettingsError: there is nobody to answer.
    """
    print(f"{question} Type yes: ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer:
        raise SettingsError(
            "Nothing was deleted because nobody is here to answer: give --yes to delete without asking."
        )
    return answer.strip().lower() == "yes"


def _done(options: argparse.Namespace, name: str, what: str) -> int:
    print(f"{name}: {what}", file=sys.stderr)
    document(options, {"model": name, "done": what})
    return 0


def _settings(item: models.Summary, names: list[str]) -> dict[str, Any]:
    """Some settings of a run; None for all of them where they cannot be read."""
    return {name: item.config.get(name, defaults()[name]) if item.config else None for name in names}


def _print_summary(item: models.Summary) -> None:
    marks = ["default"] * item.is_default + [item.status] * (item.status != "none")
    facts = [item.config.get("network", "unknown network"), item.dataset, *marks]
    print(f"{item.name}: {', '.join(filter(None, facts))}")
    if item.accuracy is not None:
        print(f"    {validation(item.accuracy, item.accuracy_interval, item.auc, item.auc_interval)}")
    for line in (*item.note.splitlines(), *filter(None, [item.problem])):
        print(f"    {line}")
