"""The verbs that train: train, sweep, and layers, which shows what would be trained."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrai.cli.output import format_with_interval, make_emitter, print_error, print_json, print_progress
from xrai.cli.places import find_dataset, first_existing
from xrai.core import jobs
from xrai.core.errors import CheckpointError, DatasetError, SettingsError
from xrai.core.json_files import write_json
from xrai.core.paths import data_dir, display_path, home_dir
from xrai.models.checkpoint import CONFIG, Card, Checkpoint, open_checkpoint
from xrai.networks.config import applies_to
from xrai.training.config import TrainConfig, flag_name, read_train_config

if TYPE_CHECKING:  # the dataset's file format is slow to import
    from xrai.data.dataset import Dataset
    from xrai.training.sweep import RunSummary, Sweep


def train(options: argparse.Namespace) -> int:
    """Train a model on a dataset, or go on with a run."""
    from xrai.data.dataset import open_dataset

    checkpoint = open_checkpoint(options.name)
    config, path = _resumed_run(options, checkpoint) if options.resume else _new_run(options)
    with open_dataset(path) as dataset:
        if _is_helper_process():
            return _run_helper(config, dataset, checkpoint, resume=options.resume)
        if not options.resume and checkpoint.is_taken:
            raise CheckpointError(
                f"There is already a model or run “{options.name}”: choose another name, or go on with it by --resume."
            )
        with jobs.run_job(checkpoint.folder, title=options.name) as job:
            if not options.resume:
                (job.folder / jobs.HISTORY_FILE).unlink(missing_ok=True)
                write_json(job.folder / CONFIG, {"dataset": display_path(path), "train": config.to_dict()})
            card = _run_training(config, dataset, checkpoint, job, resume=options.resume)
        _print_end(checkpoint, card, was_stopped=job.has_stop_request)
        end_reason = card.training["ended"] if card else "stopped"
        summary = {"classes": dataset.classes, "ended": end_reason, "validation": card.validation if card else None}
        print_json(options, {"model": checkpoint.name, **summary})
    return 0


def sweep(options: argparse.Namespace) -> int:
    """Train with every combination of a few settings, one after another."""
    from xrai.training import sweep as sweeps

    sweep_plan = _reopen_sweep(options) if options.resume else _create_sweep(options)
    with jobs.run_job(sweep_plan.folder, title=options.name) as job:
        if not options.resume:
            (job.folder / jobs.HISTORY_FILE).unlink(missing_ok=True)
            _warn_about_memory(sweep_plan.configs(), _count_classes(sweep_plan.dataset))
        sweeps.run_sweep(sweep_plan, emit=make_emitter(job, print_progress), should_stop=job.should_stop)
    runs = sweep_plan.run_summaries()
    _print_sweep(runs, was_stopped=job.has_stop_request)
    print_json(options, {"sweep": sweep_plan.name, "runs": [asdict(item) for item in runs]})
    failures = [item for item in runs if item.status in ("failed", "interrupted")]
    if failures and not job.has_stop_request:
        first = failures[0]
        return print_error(f"{len(failures)} of {len(runs)} runs could not be trained; “{first.name}”: {first.error}")
    return 0


def summarize_network(options: argparse.Namespace) -> int:
    """Show a network layer by layer, and the memory that its training needs."""
    if not 2 <= options.classes <= 1000:
        raise SettingsError(f"A model tells apart 2 to 1,000 classes, not {options.classes}.")
    config = TrainConfig(**resolve_settings(options))
    from xrai.networks.summary import list_layers
    from xrai.training.memory import estimate_memory

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
    _warn_about_memory([config], options.classes)
    return 0


def explicit_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The training settings that were given on the command line."""
    values = {name: getattr(options, name) for name in TrainConfig.model_fields}
    return {name: value for name, value in values.items() if value is not None}


# ---------------------------------------------------------------- what is asked


def _new_run(options: argparse.Namespace) -> tuple[TrainConfig, Path]:
    """The settings and the dataset of a new run."""
    return TrainConfig(**resolve_settings(options)), _require_dataset(options, "train data/chest.hdf5 --name NAME")


def _resumed_run(options: argparse.Namespace, checkpoint: Checkpoint) -> tuple[TrainConfig, Path]:
    """The settings and the dataset of a run that goes on; the dataset may have moved."""
    run_config = checkpoint.read_config()
    config = read_train_config(checkpoint)
    conflicts = [name for name, value in explicit_settings(options).items() if value != getattr(config, name)]
    if conflicts:
        raise SettingsError(
            f"The run “{options.name}” goes on with the settings that it was started with: leave out "
            f"{flag_name(conflicts[0])}, or train another model with it."
        )
    if options.dataset:
        return config, find_dataset(options.dataset)
    dataset_name = run_config["dataset"]  # below the home folder where it is relative, wherever this is called from
    return config, first_existing(home_dir() / dataset_name, data_dir() / dataset_name)


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


# ---------------------------------------------------------------- what is done


def _run_training(
    config: TrainConfig, dataset: Dataset, checkpoint: Checkpoint, job: jobs.JobContext, *, resume: bool
) -> Card | None:
    """The model's card; None where it was stopped before there is one."""
    from xrai.training import run as training  # slow for the first time, and the job must not look dead meanwhile

    _warn_about_memory([config], len(dataset.classes))
    n_scans = len(dataset.rows("train"))
    if config.batch_size > n_scans:
        print(
            f"warning: The batch size {config.batch_size} is larger than the {n_scans:,} training scans, so that an "
            "epoch is a single correction: a smaller one learns more.",
            file=sys.stderr,
        )
    emit = make_emitter(job, print_progress)
    return training.train_model(config, dataset, checkpoint, emit=emit, should_stop=job.should_stop, resume=resume)


def _run_helper(config: TrainConfig, dataset: Dataset, checkpoint: Checkpoint, *, resume: bool) -> int:
    """Take part in a run that another process leads, records and decides when to stop."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    from xrai.training import run as training

    training.train_model(config, dataset, checkpoint, resume=resume)
    return 0


def _is_helper_process() -> bool:
    """Whether another process of the same shared run leads it (set by Fabric and torchrun)."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) > 0


def _count_classes(dataset: Path) -> int:
    from xrai.data.dataset import open_dataset

    with open_dataset(dataset) as dataset_file:
        return len(dataset_file.classes)


def _warn_about_memory(configs: Sequence[TrainConfig], n_classes: int) -> None:
    from xrai.training.memory import memory_warning

    if warning := memory_warning(configs, n_classes):
        print(f"warning: {warning}", file=sys.stderr)


def _print_end(checkpoint: Checkpoint, card: Card | None, *, was_stopped: bool) -> None:
    """How a training ended, and where the model lies."""
    if was_stopped:
        when = "" if card else " before the first epoch was done"
        print(f"stopped{when}; go on with --resume", file=sys.stderr)
    elif card:
        n_epochs, best = card.training["epochs_run"], card.training["best_epoch"]
        where = display_path(checkpoint.folder)
        epochs = "1 epoch" if n_epochs == 1 else f"{n_epochs} epochs"
        print(f"done after {epochs}, the best one was {best}: {where}", file=sys.stderr)
        if card.weakness_warning:
            print(f"warning: {card.weakness_warning}", file=sys.stderr)


def _print_sweep(runs: Sequence[RunSummary], *, was_stopped: bool) -> None:
    """How a sweep ended, and which of its runs is the best one."""
    n_done = sum(item.status == "done" for item in runs)
    line = f"{n_done} of {len(runs)} runs are done"
    scored_runs = [(item.val, item.name) for item in runs if item.val and item.val["auc"] is not None]
    if scored_runs:
        val, best = max(scored_runs, key=lambda pair: pair[0]["auc"])
        line += f"; the best on validation is “{best}”: AUC {format_with_interval(val['auc'], val['auc_interval'])}"
    print(line, file=sys.stderr)
    if was_stopped and n_done < len(runs):
        print("stopped; go on with --resume", file=sys.stderr)
