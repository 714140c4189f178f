"""The verbs that train: train, sweep, and layers, which shows what would be trained."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrai.cli.output import both, document, print_progress, say, with_interval
from xrai.cli.places import dataset_path, first_file
from xrai.core import jobs
from xrai.core.errors import CheckpointError, DatasetError, SettingsError
from xrai.core.json_files import write_json
from xrai.core.paths import data_dir, home, shown_path
from xrai.models.checkpoint import CONFIG, Card, Checkpoint, open_checkpoint
from xrai.networks.config import TrainConfig, concerns

if TYPE_CHECKING:  # the dataset's file format is slow to import
    from xrai.data.dataset import Dataset
    from xrai.training.sweep import Outcome, Sweep


def train(options: argparse.Namespace) -> int:
    """Train a model on a dataset, or go on with a run."""
    from xrai.data.dataset import open_dataset

    checkpoint = open_checkpoint(options.name)
    config, path = _asked_again(options, checkpoint) if options.resume else _asked(options)
    with open_dataset(path) as dataset:
        if _is_helper_process():
            return _help(config, dataset, checkpoint, resume=options.resume)
        if not options.resume and checkpoint.is_taken:
            raise CheckpointError(
                f"There is already a model or run “{options.name}”: choose another name, or go on with it by --resume."
            )
        with jobs.running(checkpoint.folder, title=options.name) as job:
            if not options.resume:
                (job.folder / jobs.HISTORY).unlink(missing_ok=True)
                write_json(job.folder / CONFIG, {"dataset": shown_path(path), "train": config.to_dict()})
            card = _trained(config, dataset, checkpoint, job, resume=options.resume)
        _print_end(checkpoint, card, was_stopped=job.told)
        ended = card.training["ended"] if card else "stopped"
        found = {"classes": dataset.classes, "ended": ended, "validation": card.validation if card else None}
        document(options, {"model": checkpoint.name, **found})
    return 0


def sweep(options: argparse.Namespace) -> int:
    """Train with every combination of a few settings, one after another."""
    from xrai.training import sweep as sweeps

    planned = _planned_again(options) if options.resume else _planned(options)
    with jobs.running(planned.folder, title=options.name) as job:
        if not options.resume:
            (job.folder / jobs.HISTORY).unlink(missing_ok=True)
            _warn_of_memory(planned.configs(), _n_classes(planned.dataset))
        sweeps.run(planned, emit=both(job, print_progress), should_stop=job.should_stop)
    runs = planned.outcomes()
    _print_sweep(runs, was_stopped=job.told)
    document(options, {"sweep": planned.name, "runs": [asdict(item) for item in runs]})
    failed = [item for item in runs if item.status in ("failed", "interrupted")]
    if failed and not job.told:
        first = failed[0]
        return say(f"{len(failed)} of {len(runs)} runs could not be trained; “{first.name}”: {first.error}")
    return 0


def layers(options: argparse.Namespace) -> int:
    """Show a network layer by layer, and the memory that its training needs."""
    if not 2 <= options.classes <= 1000:
        raise SettingsError(f"A model tells apart 2 to 1,000 classes, not {options.classes}.")
    config = TrainConfig(**base_settings(options))
    from xrai.networks import summary as blueprint

    found, needed = blueprint.layers(config, options.classes), blueprint.memory_needed(config, options.classes)
    n_weights = sum(layer.parameters for layer in found)
    if options.json:
        rows = [asdict(layer) for layer in found]
        document(options, {"layers": rows, "parameters": n_weights, "memory_bytes": needed})
    else:
        width, kind = (max(len(getattr(layer, what)) for layer in found) for what in ("name", "kind"))
        for layer in found:
            shape = " × ".join(map(str, layer.shape))
            print(f"{layer.name:{width}}  {layer.kind:{kind}} {shape:18} {layer.parameters:>12,}")
        print(f"{n_weights:,} weights; training needs about {needed / 1e9:.1f} GB of memory")
    _warn_of_memory([config], options.classes)
    return 0


def given_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The training settings that were given on the command line."""
    values = {item.name: getattr(options, item.name) for item in fields(TrainConfig)}
    return {name: value for name, value in values.items() if value is not None}


# ---------------------------------------------------------------- what is asked


def _asked(options: argparse.Namespace) -> tuple[TrainConfig, Path]:
    """The settings and the dataset of a new run."""
    return TrainConfig(**base_settings(options)), _dataset(options, "train data/chest.hdf5 --name NAME")


def _asked_again(options: argparse.Namespace, checkpoint: Checkpoint) -> tuple[TrainConfig, Path]:
    """The settings and the dataset of a run that goes on; the dataset may have moved."""
    asked = checkpoint.config()
    config = TrainConfig.from_dict(asked["train"])
    other = [name for name, value in given_settings(options).items() if value != getattr(config, name)]
    if other:
        raise SettingsError(
            f"The run “{options.name}” goes on with the settings that it was started with: leave out "
            f"{_flag(other[0])}, or train another model with it."
        )
    if options.dataset:
        return config, dataset_path(options.dataset)
    noted = asked["dataset"]  # below the home folder where it is relative, wherever this is called from
    return config, first_file(home() / noted, data_dir() / noted)


def _planned(options: argparse.Namespace) -> Sweep:
    """A new sweep, written down."""
    from xrai.training.sweep import create

    dataset = _dataset(options, "sweep data/chest.hdf5 --name NAME --vary seed=1,2")
    grid = _grid(options.vary)
    if both_ways := [name for name in given_settings(options) if name in grid]:
        flag = _flag(both_ways[0])
        raise SettingsError(f"The sweep varies what {flag} says is the same for all runs: leave out one of the two.")
    return create(options.name, dataset, base_settings(options), grid)


def _planned_again(options: argparse.Namespace) -> Sweep:
    """A sweep that goes on as it is."""
    from xrai.training.sweep import open_sweep

    planned = open_sweep(options.name)
    if options.dataset or options.vary or given_settings(options):
        raise SettingsError(
            f"The sweep “{options.name}” goes on as it was planned: give nothing but its name, or start another."
        )
    return planned


def _grid(words: Sequence[str]) -> dict[str, list[Any]]:
    """The values to try from words such as `learning-rate=0.001,0.0003`.

    Raises:
        SettingsError: there are none, or one cannot be read.
    """
    from xrai.training.sweep import parse_values

    if not words:
        raise SettingsError("What shall the sweep vary? Give it, as in: --vary learning-rate=0.001,0.0003.")
    grid: dict[str, list[Any]] = {}
    for word in words:
        name, equals, values = word.partition("=")
        setting = name.strip().lstrip("-").replace("-", "_")
        if not equals:
            raise SettingsError(f"“{word}” is no setting with its values: write it as in learning-rate=0.001,0.0003.")
        if setting in grid:
            raise SettingsError(f"The sweep is told twice to vary {_flag(setting)}: give all its values at once.")
        grid[setting] = parse_values(setting, values)
    return grid


def base_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given, and those taken over from the model that a run starts from."""
    given = given_settings(options)
    start = TrainConfig(weights=given["weights"]).starts_from_model if "weights" in given else None
    if not start:
        return given
    learned = open_checkpoint(start).card().config.shape
    network = given.get("network", learned["network"])
    return {name: value for name, value in learned.items() if concerns(name, network)} | given


def _dataset(options: argparse.Namespace, example: str) -> Path:
    if options.dataset is None:
        raise DatasetError(f"Which dataset to train on? Give its file, as in: {example}.")
    return dataset_path(options.dataset)


def _flag(setting: str) -> str:
    return f"--{setting.replace('_', '-')}"


# ---------------------------------------------------------------- what is done


def _trained(
    config: TrainConfig, dataset: Dataset, checkpoint: Checkpoint, job: jobs.Running, *, resume: bool
) -> Card | None:
    """The model's card; None where it was stopped before there is one."""
    from xrai.training import run as training  # slow for the first time, and the job must not look dead meanwhile

    _warn_of_memory([config], len(dataset.classes))
    n_scans = len(dataset.rows("train"))
    if config.batch_size > n_scans:
        print(
            f"warning: The batch size {config.batch_size} is larger than the {n_scans:,} training scans, so that an "
            "epoch is a single correction: a smaller one learns more.",
            file=sys.stderr,
        )
    emit = both(job, print_progress)
    return training.train(config, dataset, checkpoint, emit=emit, should_stop=job.should_stop, resume=resume)


def _help(config: TrainConfig, dataset: Dataset, checkpoint: Checkpoint, *, resume: bool) -> int:
    """Take part in a run that another process leads, records and decides when to stop."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    from xrai.training import run as training

    training.train(config, dataset, checkpoint, resume=resume)
    return 0


def _is_helper_process() -> bool:
    """Whether another process of the same shared run leads it (set by Fabric and torchrun)."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) > 0


def _n_classes(dataset: Path) -> int:
    from xrai.data.dataset import open_dataset

    with open_dataset(dataset) as opened:
        return len(opened.classes)


def _warn_of_memory(configs: Sequence[TrainConfig], n_classes: int) -> None:
    from xrai.networks.summary import too_large

    if warning := too_large(configs, n_classes):
        print(f"warning: {warning}", file=sys.stderr)


def _print_end(checkpoint: Checkpoint, card: Card | None, *, was_stopped: bool) -> None:
    """How a training ended, and where the model lies."""
    if was_stopped:
        when = "" if card else " before the first epoch was done"
        print(f"stopped{when}; go on with --resume", file=sys.stderr)
    elif card:
        n_epochs, best = card.training["epochs_run"], card.training["best_epoch"]
        where = shown_path(checkpoint.folder)
        epochs = "1 epoch" if n_epochs == 1 else f"{n_epochs} epochs"
        print(f"done after {epochs}, the best one was {best}: {where}", file=sys.stderr)
        if card.weakness:
            print(f"warning: {card.weakness}", file=sys.stderr)


def _print_sweep(runs: Sequence[Outcome], *, was_stopped: bool) -> None:
    """How a sweep ended, and which of its runs is the best one."""
    n_done = sum(item.status == "done" for item in runs)
    line = f"{n_done} of {len(runs)} runs are done"
    found = [(item.val, item.name) for item in runs if item.val and item.val["auc"] is not None]
    if found:
        val, best = max(found, key=lambda pair: pair[0]["auc"])
        line += f"; the best on validation is “{best}”: AUC {with_interval(val['auc'], val['auc_interval'])}"
    print(line, file=sys.stderr)
    if was_stopped and n_done < len(runs):
        print("stopped; go on with --resume", file=sys.stderr)
