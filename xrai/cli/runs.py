"""The verbs that train: train, sweep, and layers, which shows what would be trained."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from xrai import jobs
from xrai.checkpoint import CONFIG, Checkpoint, open_checkpoint
from xrai.cli.output import both, document, print_progress
from xrai.cli.places import dataset_path, first_file
from xrai.config import TrainConfig
from xrai.errors import CheckpointError, DatasetError, SettingsError
from xrai.records import write_json
from xrai.settings import data_dir, home, shown_path


def train(options: argparse.Namespace) -> int:
    """Train a model on a dataset, or go on with a run."""
    from xrai.dataset import open_dataset

    checkpoint = open_checkpoint(options.name)
    config, path = _asked_again(options, checkpoint) if options.resume else _asked(options)
    with open_dataset(path) as dataset:
        if _is_helper_process():  # another process leads this run, records it and decides when to stop
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            from xrai import training

            training.train(config, dataset, checkpoint, resume=options.resume)
            return 0
        if not options.resume and checkpoint.is_taken:
            raise CheckpointError(
                f"There is already a model or run “{options.name}”: choose another name, or go on with it by --resume."
            )
        with jobs.running(checkpoint.folder, title=options.name) as job:
            if not options.resume:
                (job.folder / jobs.HISTORY).unlink(missing_ok=True)
                write_json(job.folder / CONFIG, {"dataset": shown_path(path), "train": config.to_dict()})
            from xrai import training  # slow for the first time, and the job must not look dead meanwhile
            from xrai.blueprint import too_large

            if warning := too_large(config, len(dataset.classes)):
                print(f"warning: {warning}", file=sys.stderr)
            emit = both(job, print_progress)
            card = training.train(
                config, dataset, checkpoint, emit=emit, should_stop=job.should_stop, resume=options.resume
            )
            if job.told:
                when = "" if card else " before the first epoch was done"
                print(f"stopped{when}; go on with --resume", file=sys.stderr)
            elif card:
                where, epochs = shown_path(checkpoint.folder), card.training["epochs_run"]
                print(
                    f"done after {epochs} epochs, the best one was {card.training['best_epoch']}: {where}",
                    file=sys.stderr,
                )
            document(
                options,
                {
                    "model": checkpoint.name,
                    "classes": dataset.classes,
                    "ended": card.training["ended"] if card else "stopped",
                    "validation": card.validation if card else None,
                },
            )
    return 0


def sweep(options: argparse.Namespace) -> int:
    """Train with every combination of a few settings, one after another."""
    from xrai import sweep as sweeps

    if options.resume:
        planned = sweeps.open_sweep(options.name)
        if options.dataset or options.vary or given_settings(options):
            raise SettingsError(
                f"The sweep “{options.name}” goes on as it was planned: give nothing but its name, or start another."
            )
    else:
        base, path = _given_base(options)
        planned = sweeps.create(options.name, path, base, _grid(options.vary))
    with jobs.running(planned.folder, title=options.name) as job:
        if not options.resume:
            (job.folder / jobs.HISTORY).unlink(missing_ok=True)
        sweeps.run(planned, emit=both(job, print_progress), should_stop=job.should_stop)
        if job.told:
            print("stopped; go on with --resume", file=sys.stderr)
    outcomes = [asdict(item) for item in planned.outcomes()]
    document(options, {"sweep": planned.name, "runs": outcomes})
    return 0


def layers(options: argparse.Namespace) -> int:
    """Show a network layer by layer, and the memory that its training needs."""
    if not 2 <= options.classes <= 1000:
        raise SettingsError(f"A model tells apart 2 to 1,000 classes, not {options.classes}.")
    config = TrainConfig(**_base(options))
    from xrai import blueprint

    found, needed = blueprint.layers(config, options.classes), blueprint.memory_needed(config, options.classes)
    n_weights = sum(layer.parameters for layer in found)
    if options.json:
        rows = [asdict(layer) for layer in found]
        document(options, {"layers": rows, "parameters": n_weights, "memory_bytes": needed})
        return 0
    width = max(len(layer.name) for layer in found)
    for layer in found:
        shape = " × ".join(map(str, layer.shape))
        print(f"{layer.name:{width}}  {layer.kind:32} {shape:18} {layer.parameters:>12,}")
    print(f"{n_weights:,} weights; training needs about {needed / 1e9:.1f} GB of memory")
    if warning := blueprint.too_large(config, options.classes):
        print(f"warning: {warning}", file=sys.stderr)
    return 0


def _grid(words: Sequence[str]) -> dict[str, list[Any]]:
    """The values to try from words such as `learning-rate=0.001,0.0003`.

    Raises:
        SettingsError: there are none, or one cannot be read.
    """
    from xrai.sweep import parse_values

    if not words:
        raise SettingsError("What shall the sweep vary? Give it, as in: --vary learning-rate=0.001,0.0003.")
    grid: dict[str, list[Any]] = {}
    for word in words:
        name, equals, values = word.partition("=")
        setting = name.strip().lstrip("-").replace("-", "_")
        if not equals or setting in grid:
            raise SettingsError(f"“{word}” is no SETTING=VALUE,VALUE, or its setting is given twice: write it once.")
        grid[setting] = parse_values(setting, values)
    return grid


def _asked(options: argparse.Namespace) -> tuple[TrainConfig, Path]:
    """The settings and the dataset of a new run."""
    base, path = _given_base(options)
    return TrainConfig(**base), path


def _given_base(options: argparse.Namespace) -> tuple[dict[str, Any], Path]:
    if options.dataset is None:
        raise DatasetError("Which dataset to train on? Give its file, as in: train data/chest.hdf5 --name NAME.")
    return _base(options), dataset_path(options.dataset)


def _base(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given, and those taken over from the model that a run starts from."""
    given = given_settings(options)
    start = TrainConfig(weights=given["weights"]).starts_from_model if "weights" in given else None
    return (open_checkpoint(start).card().config.shape if start else {}) | given


def _asked_again(options: argparse.Namespace, checkpoint: Checkpoint) -> tuple[TrainConfig, Path]:
    """The settings and the dataset of a run that goes on; the dataset may have moved."""
    asked = checkpoint.config()
    config = TrainConfig.from_dict(asked["train"])
    other = [name for name, value in given_settings(options).items() if value != getattr(config, name)]
    if other:
        raise SettingsError(
            f"The run “{options.name}” goes on with the settings that it was started with: leave out "
            f"--{other[0].replace('_', '-')}, or train another model with it."
        )
    if options.dataset:
        return config, dataset_path(options.dataset)
    noted = asked["dataset"]  # below the home folder where it is relative, wherever this is called from
    return config, first_file(home() / noted, data_dir() / noted)


def given_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The training settings that were given on the command line."""
    values = {item.name: getattr(options, item.name) for item in fields(TrainConfig)}
    return {name: value for name, value in values.items() if value is not None}


def _is_helper_process() -> bool:
    """Whether another process of the same shared run leads it (set by Fabric and torchrun)."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) > 0
