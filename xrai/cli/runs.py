"""The training verbs: train, sweep, and summary of a network."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrai.cli.output import format_with_interval, print_error, print_json, print_progress
from xrai.cli.paths import find_dataset, first_existing
from xrai.core.errors import DatasetError, SettingsError
from xrai.core.paths import data_dir, display_path, home_dir
from xrai.models.card import Card
from xrai.models.checkpoint import open_checkpoint
from xrai.networks.config import applies_to
from xrai.training.config import TrainConfig, flag_name, read_train_config

if TYPE_CHECKING:  # the dataset's file format is slow to import
    from xrai.training.sweep import RunSummary, Sweep


def train(options: argparse.Namespace) -> int:
    """Train a model on a dataset, or resume a run."""
    from xrai.data.dataset import open_dataset
    from xrai.training.jobs import is_helper_process, resume_run, start_run

    show: dict[str, Any] = {"on_record": print_progress, "on_warning": print_warning}
    if options.resume:
        with open_dataset(_resumed_dataset(options)) as dataset:
            card = resume_run(options.name, dataset, **show)
    else:
        config = TrainConfig(**resolve_settings(options))
        with open_dataset(_require_dataset(options, "train data/chest.hdf5 --name NAME")) as dataset:
            card = start_run(config, dataset, options.name, **show)
    if is_helper_process():
        return 0
    _print_end(options.name, card)
    validation = card.validation.to_dict() if card and card.validation else None
    end_reason = str(card.training.end_reason) if card else "stopped"
    print_json(
        options, {"model": options.name, "classes": dataset.classes, "ended": end_reason, "validation": validation}
    )
    return 0


def sweep(options: argparse.Namespace) -> int:
    """Train with every combination of a few settings, one after another."""
    from xrai.training.jobs import run_sweep

    sweep_plan = _reopen_sweep(options) if options.resume else _create_sweep(options)
    was_stopped = run_sweep(sweep_plan, resume=options.resume, on_record=print_progress, on_warning=print_warning)
    runs = sweep_plan.run_summaries()
    _print_sweep(runs, was_stopped=was_stopped)
    print_json(options, {"sweep": sweep_plan.name, "runs": [item.to_dict() for item in runs]})
    failures = [item for item in runs if item.has_failed]
    if failures and not was_stopped:
        first = failures[0]
        return print_error(f"{len(failures)} of {len(runs)} runs could not be trained; “{first.name}”: {first.error}")
    return 0


def summarize_network(options: argparse.Namespace) -> int:
    """Show a network layer by layer, and the memory that its training needs."""
    if not 2 <= options.classes <= 1000:
        raise SettingsError(f"A model tells apart 2 to 1,000 classes, not {options.classes}.")
    config = TrainConfig(**resolve_settings(options))
    from xrai.networks.summary import list_layers
    from xrai.training.memory import estimate_memory, memory_warning

    network_layers = list_layers(config, options.classes)
    memory_bytes = estimate_memory(config, options.classes)
    n_weights = sum(layer.parameters for layer in network_layers)
    if options.json:
        rows = [asdict(layer) for layer in network_layers]
        print_json(options, {"layers": rows, "parameters": n_weights, "memory_bytes": memory_bytes})
    else:
        width, kind = (max(len(getattr(layer, what)) for layer in network_layers) for what in ("name", "kind"))
        for layer in network_layers:
            shape = " × ".join(map(str, layer.shape))
            print(f"{layer.name:{width}}  {layer.kind:{kind}} {shape:18} {layer.parameters:>12,}")
        print(f"{n_weights:,} weights; training needs about {memory_bytes / 1e9:.1f} GB of memory")
    if warning := memory_warning([config], options.classes):
        print_warning(warning)
    return 0


def explicit_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The training settings that were given on the command line."""
    values = {name: getattr(options, name) for name in TrainConfig.model_fields}
    return {name: value for name, value in values.items() if value is not None}


# ---------------------------------------------------------------- options


def _resumed_dataset(options: argparse.Namespace) -> Path:
    """The dataset of a run to resume, which may have moved; the run keeps its settings.

    Raises:
        SettingsError: another setting was given.
    """
    checkpoint = open_checkpoint(options.name)
    config = read_train_config(checkpoint)
    conflicts = [name for name, value in explicit_settings(options).items() if value != getattr(config, name)]
    if conflicts:
        raise SettingsError(
            f"The run “{options.name}” goes on with the settings that it was started with: leave out "
            f"{flag_name(conflicts[0])}, or train another model with it."
        )
    if options.dataset:
        return find_dataset(options.dataset)
    dataset_name = checkpoint.read_config()["dataset"]  # a relative path is below the home folder
    return first_existing(home_dir() / dataset_name, data_dir() / dataset_name)


def _create_sweep(options: argparse.Namespace) -> Sweep:
    """A new sweep, written down."""
    from xrai.training.sweep import create_sweep

    dataset = _require_dataset(options, "sweep data/chest.hdf5 --name NAME --vary seed=1,2")
    grid = _parse_grid(options.vary)
    if conflicts := [name for name in explicit_settings(options) if name in grid]:
        flag = flag_name(conflicts[0])
        raise SettingsError(f"The sweep varies what {flag} says is the same for all runs: leave out one of the two.")
    return create_sweep(options.name, dataset, resolve_settings(options), grid)


def _reopen_sweep(options: argparse.Namespace) -> Sweep:
    """A sweep that goes on as it is."""
    from xrai.training.sweep import open_sweep

    sweep_plan = open_sweep(options.name)
    if options.dataset or options.vary or explicit_settings(options):
        raise SettingsError(
            f"The sweep “{options.name}” goes on as it was planned: give nothing but its name, or start another."
        )
    return sweep_plan


def _parse_grid(assignments: Sequence[str]) -> dict[str, list[Any]]:
    """The values to try from words such as `learning-rate=0.001,0.0003`.

    Raises:
        SettingsError: there are none, or one cannot be read.
    """
    from xrai.training.sweep import parse_values

    if not assignments:
        raise SettingsError("What shall the sweep vary? Give it, as in: --vary learning-rate=0.001,0.0003.")
    grid: dict[str, list[Any]] = {}
    for assignment in assignments:
        name, equals, values = assignment.partition("=")
        setting = name.strip().lstrip("-").replace("-", "_")
        if not equals:
            raise SettingsError(
                f"“{assignment}” is no setting with its values: write it as in learning-rate=0.001,0.0003."
            )
        if setting in grid:
            raise SettingsError(f"The sweep is told twice to vary {flag_name(setting)}: give all its values at once.")
        grid[setting] = parse_values(setting, values)
    return grid


def resolve_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given, and those taken over from the model that a run starts from."""
    explicit = explicit_settings(options)
    base_model = TrainConfig(weights=explicit["weights"]).source_model if "weights" in explicit else None
    if not base_model:
        return explicit
    inherited = open_checkpoint(base_model).read_card().network.shape
    network = explicit.get("network", inherited["network"])
    return {name: value for name, value in inherited.items() if applies_to(name, network)} | explicit


def _require_dataset(options: argparse.Namespace, example: str) -> Path:
    if options.dataset is None:
        raise DatasetError(f"Which dataset to train on? Give its file, as in: {example}.")
    return find_dataset(options.dataset)


# ---------------------------------------------------------------- output


def print_warning(warning: str) -> None:
    """Print a warning on standard error."""
    print(f"warning: {warning}", file=sys.stderr)


def _print_end(name: str, card: Card | None) -> None:
    """How a training ended, and where the model is."""
    if card is None or card.training.end_reason == "stopped":
        when = "" if card else " before the first epoch was done"
        print(f"stopped{when}; go on with --resume", file=sys.stderr)
        return
    n_epochs, best = card.training.epochs_run, card.training.best_epoch
    epochs = "1 epoch" if n_epochs == 1 else f"{n_epochs} epochs"
    folder = display_path(open_checkpoint(name).folder)
    print(f"done after {epochs}, the best one was {best}: {folder}", file=sys.stderr)
    if card.weakness_warning:
        print_warning(card.weakness_warning)


def _print_sweep(runs: Sequence[RunSummary], *, was_stopped: bool) -> None:
    """How a sweep ended, and which of its runs is the best one."""
    n_done = sum(item.status == "done" for item in runs)
    line = f"{n_done} of {len(runs)} runs are done"
    scored_runs = [(item.val.auc, item) for item in runs if item.val and item.val.auc is not None]
    if scored_runs:
        auc, best = max(scored_runs, key=lambda pair: pair[0])
        interval = best.val.auc_interval if best.val else None
        line += f"; the best on validation is “{best.name}”: AUC {format_with_interval(auc, interval)}"
    print(line, file=sys.stderr)
    if was_stopped and n_done < len(runs):
        print("stopped; go on with --resume", file=sys.stderr)
