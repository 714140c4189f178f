"""The verb `models`: list, compare, rename, note, choose the default, export, import, delete."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import Any

from xrai import models
from xrai.checkpoint import open_checkpoint
from xrai.cli.output import document, with_interval
from xrai.cli.places import path_of
from xrai.errors import CheckpointError


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
    for name in options.names:
        if name not in known:
            raise CheckpointError(f"There is no run or model “{name}”: the ones here are: {', '.join(known)}.")
    chosen = [known[name] for name in options.names]
    differing = models.differing_settings([item.config for item in chosen])
    table = [
        {
            "name": item.name,
            "settings": {name: item.config.get(name) for name in differing},
            "accuracy": item.accuracy,
            "accuracy_interval": item.accuracy_interval,
            "auc": item.auc,
            "auc_interval": item.auc_interval,
            "n_validation": item.n_validation,
        }
        for item in chosen
    ]
    if options.json:
        document(options, table)
        return 0
    for item in chosen:
        _print_summary(item)
        for name in differing:
            print(f"    {name.replace('_', ' '):18} {item.config.get(name)}")
    return 0


def rename(options: argparse.Namespace) -> int:
    """Give a model another name."""
    return _done(options, models.rename(open_checkpoint(options.name), options.new_name).name, "renamed")


def note(options: argparse.Namespace) -> int:
    """Keep a note with a model."""
    models.set_note(open_checkpoint(options.name), options.text)
    return _done(options, options.name, "noted")


def default(options: argparse.Namespace) -> int:
    """Choose the model that reads scans when none is named."""
    models.set_default(open_checkpoint(options.name))
    return _done(options, options.name, "chosen to read scans")


def export(options: argparse.Namespace) -> int:
    """Write a model into a zip."""
    models.export_model(open_checkpoint(options.name), path_of(options.zip))
    return _done(options, options.name, f"exported to {options.zip}")


def import_(options: argparse.Namespace) -> int:
    """Take in a model from a zip."""
    return _done(options, models.import_model(path_of(options.zip), options.name).name, "imported")


def delete(options: argparse.Namespace) -> int:
    """Delete a model for good, after a question unless it was answered beforehand."""
    if not options.yes and not _agreed(f"Delete “{options.name}” for good?"):
        return _done(options, options.name, "kept")
    models.delete(open_checkpoint(options.name))
    return _done(options, options.name, "deleted")


def _agreed(question: str) -> bool:
    print(f"{question} Type yes: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() == "yes"


def _done(options: argparse.Namespace, name: str, what: str) -> int:
    print(f"{name}: {what}", file=sys.stderr)
    document(options, {"model": name, "done": what})
    return 0


def _print_summary(item: models.Summary) -> None:
    marks = [mark for mark, holds in (("default", item.is_default), (item.status, item.status != "none")) if holds]
    facts: list[Any] = [item.config.get("network", "unknown network"), item.dataset, *marks]
    print(f"{item.name}: {', '.join(map(str, facts))}")
    if item.accuracy is not None:
        figures = (with_interval(item.accuracy, item.accuracy_interval), with_interval(item.auc, item.auc_interval))
        print(f"    validation accuracy {figures[0]}, AUC {figures[1]}")
    for line in filter(None, (item.note, item.problem)):
        print(f"    {line}")
