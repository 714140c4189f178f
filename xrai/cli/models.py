"""The verb `models`: list, compare, rename, note, choose the default, export, import, delete."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import Any

from xrai import models
from xrai.cli.output import format_validation, print_json
from xrai.cli.paths import expand_path
from xrai.core.errors import CheckpointError, SettingsError
from xrai.models.checkpoint import Checkpoint, list_checkpoints, open_checkpoint
from xrai.training.config import default_settings, differing_settings, format_value

_FIGURES = ("accuracy", "accuracy_interval", "auc", "auc_interval", "n_validation")


def show(options: argparse.Namespace) -> int:
    """List every run and model."""
    summaries = models.list_summaries()
    if options.json:
        print_json(options, [asdict(item) for item in summaries])
        return 0
    for item in summaries:
        _print_summary(item)
    if not summaries:
        print("there is no run or model yet", file=sys.stderr)
    return 0


def compare(options: argparse.Namespace) -> int:
    """Compare the differing settings and the validation results of models."""
    summary_by_name = {item.name: item for item in models.list_summaries()}
    selection = [summary_by_name[_open_existing(name).name] for name in options.names]
    setting_names = differing_settings([item.config for item in selection])
    table = [
        {"name": item.name, "settings": _settings_of(item, setting_names)}
        | {name: getattr(item, name) for name in _FIGURES}
        for item in selection
    ]
    if options.json:
        print_json(options, table)
        return 0
    for item in selection:
        _print_summary(item)
        for name, value in _settings_of(item, setting_names).items():
            print(f"    {name.replace('_', ' '):18} {'unknown' if value is None else format_value(value)}")
    if not setting_names:
        print("they do not differ in their settings", file=sys.stderr)
    return 0


def rename(options: argparse.Namespace) -> int:
    """Rename a model."""
    return _print_done(options, models.rename(_open_existing(options.name), options.new_name).name, "renamed")


def note(options: argparse.Namespace) -> int:
    """Store a note with a model."""
    models.set_note(_open_existing(options.name), options.text)
    return _print_done(options, options.name, "noted")


def default(options: argparse.Namespace) -> int:
    """Set the default model of `diagnose`."""
    models.set_default(_open_existing(options.name))
    return _print_done(options, options.name, "chosen to read scans")


def intended_use(options: argparse.Namespace) -> int:
    """Store whom a model may be used for; what is not given stays."""
    min_age, max_age = options.ages or (None, None)
    changes = {
        "min_age": min_age,
        "max_age": max_age,
        "views": options.views,
        "modalities": options.modalities,
        "is_teaching": options.teaching,
    }
    checkpoint = _open_existing(options.name)
    models.set_intended_use(checkpoint, {name: value for name, value in changes.items() if value is not None})
    return _print_done(options, options.name, "noted")


def export(options: argparse.Namespace) -> int:
    """Export a model to a zip file."""
    models.export_model(_open_existing(options.name), expand_path(options.zip))
    return _print_done(options, options.name, f"exported to {options.zip}")


def import_(options: argparse.Namespace) -> int:
    """Import a model from a zip file."""
    return _print_done(options, models.import_model(expand_path(options.zip), options.name).name, "imported")


def delete(options: argparse.Namespace) -> int:
    """Delete a model permanently, after a confirmation unless --yes is given."""
    checkpoint = _open_existing(options.name)
    if not options.yes and not _confirm(f"Delete “{options.name}” for good?"):
        return _print_done(options, options.name, "kept")
    models.delete(checkpoint)
    return _print_done(options, options.name, "deleted")


def _open_existing(name: str) -> Checkpoint:
    """The existing run or model with a name.

    Raises:
        CheckpointError: there is none.
    """
    existing_names = [item.name for item in list_checkpoints()]
    checkpoint = open_checkpoint(name)
    if name not in existing_names:
        raise CheckpointError(
            "There is no run or model “{name}” in {folder}: the existing ones are: {names}.",
            name=name,
            folder=checkpoint.folder.parent,
            names=", ".join(existing_names) or "none yet",
        )
    return checkpoint


def _confirm(question: str) -> bool:
    """Ask for confirmation on the terminal.

    Raises:
        SettingsError: standard input is closed.
    """
    print(f"{question} Type yes: ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer:
        raise SettingsError(
            "Nothing was deleted, since standard input is closed: give --yes to delete without confirmation."
        )
    return answer.strip().lower() == "yes"


def _print_done(options: argparse.Namespace, name: str, what: str) -> int:
    print(f"{name}: {what}", file=sys.stderr)
    print_json(options, {"model": name, "done": what})
    return 0


def _settings_of(item: models.Summary, names: list[str]) -> dict[str, Any]:
    """Named settings of a run; None if its configuration cannot be read."""
    return {name: item.config.get(name, default_settings()[name]) if item.config else None for name in names}


def _print_summary(item: models.Summary) -> None:
    badges = ["default"] * item.is_default + [item.status] * (item.status != "none")
    facts = [item.config.get("network", "unknown network"), item.dataset, *badges]
    print(f"{item.name}: {', '.join(filter(None, facts))}")
    if item.accuracy is not None:
        print(f"    {format_validation(item.accuracy, item.accuracy_interval, item.auc, item.auc_interval)}")
    for line in (*item.note.splitlines(), *filter(None, [item.problem])):
        print(f"    {line}")
