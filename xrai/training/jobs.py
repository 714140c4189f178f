"""Training jobs: run a training, sweep or calibration as the job of its folder, launch one, list the active ones."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrai.core import jobs
from xrai.core.errors import CheckpointError, JobError
from xrai.core.json_files import write_json
from xrai.core.language import say
from xrai.core.paths import checkpoints_dir, display_path
from xrai.data.dataset import Dataset, open_dataset
from xrai.models.card import Card
from xrai.models.checkpoint import CONFIG, Checkpoint, calibration_folder, calibration_title, open_checkpoint
from xrai.models.history import FinalizeRecord
from xrai.training.config import TrainConfig, read_train_config

if TYPE_CHECKING:
    from xrai.training.sweep import Sweep

OnRecord = Callable[[dict[str, Any]], None]
OnWarning = Callable[[str], None]


def start_run(
    config: TrainConfig, dataset: Dataset, name: str, *, on_record: OnRecord, on_warning: OnWarning
) -> Card | None:
    """Train the model `name` as a job; gives its card, or None if it was stopped before its first epoch was done.

    Args:
        config: all settings.
        dataset: open.
        name: of the model.
        on_record: shows the records of `models.history`, which are also kept with the job.
        on_warning: shows warnings about memory and batch size.

    Raises:
        CheckpointError: the name is taken.
        JobError: another process works in that folder.
        XraiError: see `run.train_model`.
    """
    checkpoint = open_checkpoint(name)
    if is_helper_process():
        return _run_helper(config, dataset, checkpoint, resume=False)
    if checkpoint.is_taken:
        raise CheckpointError(
            "There is already a model or run “{name}”: choose another name, or go on with it by --resume.", name=name
        )
    with jobs.run_job(checkpoint.folder, title=name, fresh=True) as job:
        write_json(job.folder / CONFIG, {"dataset": display_path(dataset.path), "train": config.to_dict()})
        return _train(config, dataset, checkpoint, job, on_record, on_warning, resume=False)


def resume_run(name: str, dataset: Dataset, *, on_record: OnRecord, on_warning: OnWarning) -> Card | None:
    """Continue the run `name` with its settings; else as `start_run`."""
    checkpoint = open_checkpoint(name)
    config = read_train_config(checkpoint)
    if is_helper_process():
        return _run_helper(config, dataset, checkpoint, resume=True)
    with jobs.run_job(checkpoint.folder, title=name) as job:
        return _train(config, dataset, checkpoint, job, on_record, on_warning, resume=True)


def run_sweep(sweep: Sweep, *, resume: bool, on_record: OnRecord, on_warning: OnWarning) -> bool:
    """Train the runs of a sweep as a job; gives whether it was stopped.

    Raises:
        JobError: another process works on the sweep.
        TrainingError: every run failed.
    """
    from xrai.training import sweep as sweeps

    with jobs.run_job(sweep.folder, title=sweep.name, fresh=not resume) as job:
        if not resume:
            with open_dataset(sweep.dataset) as dataset:
                _warn_about_memory(sweep.configs(), len(dataset.classes), on_warning)
        sweeps.run_sweep(sweep, emit=job.emitter(on_record), should_stop=job.should_stop)
    return job.has_stop_request


def run_calibration(checkpoint: Checkpoint, dataset: Path, *, on_record: OnRecord) -> Card:
    """Fit a model's post-training artifacts again, as a job; `dataset` is the one that it was trained on.

    Raises:
        JobError: another process calibrates it.
        XraiError: see `finalize.recalibrate`.
    """
    from xrai.training.finalize import recalibrate  # imports torch, which takes seconds

    title = calibration_title(checkpoint.name, dataset)
    with (
        open_dataset(dataset) as training_data,
        jobs.run_job(calibration_folder(checkpoint.folder), title=title, fresh=True) as job,
    ):
        emit = job.emitter(on_record)

        def record_progress(stage: str, n_done: int, n_total: int) -> None:
            emit(FinalizeRecord(stage=stage, done=n_done, total=n_total).model_dump())

        return recalibrate(checkpoint, training_data, on_progress=record_progress)


# ---------------------------------------------------------------- processes of their own


def launch_run(config: TrainConfig, dataset: Path, name: str) -> jobs.Job:
    """Start a training in a process of its own.

    Raises:
        JobError: another run is active, or the process cannot be started.
        CheckpointError: the name is taken.
    """
    check_no_active_run()
    checkpoint = open_checkpoint(name)
    if checkpoint.is_taken:
        raise CheckpointError("There is already a model or run “{name}”: choose another name.", name=name)
    return jobs.start(["train", str(dataset), "--name", name, *config.to_arguments()], checkpoint.folder, title=name)


def launch_resume(checkpoint: Checkpoint) -> jobs.Job:
    """Resume a training in a process of its own.

    Raises:
        JobError: another run is active, or the process cannot be started.
    """
    check_no_active_run()
    return jobs.start(["train", "--name", checkpoint.name, "--resume"], checkpoint.folder, title=checkpoint.name)


def launch_sweep(sweep: Sweep) -> jobs.Job:
    """Start or resume a sweep in a process of its own.

    Raises:
        JobError: another run is active, or the process cannot be started.
    """
    check_no_active_run()
    return jobs.start(["sweep", "--name", sweep.name, "--resume"], sweep.folder, title=sweep.name)


def launch_calibration(checkpoint: Checkpoint, dataset: Path) -> jobs.Job:
    """Calibrate a model again in a process of its own.

    Raises:
        JobError: it is being calibrated, or the process cannot be started.
    """
    arguments = ["calibrate", checkpoint.name, str(dataset)]
    return jobs.start(
        arguments, calibration_folder(checkpoint.folder), title=calibration_title(checkpoint.name, dataset)
    )


def active_runs() -> list[jobs.Job]:
    """The jobs of the trainings that a process works on."""
    return jobs.list_active(checkpoints_dir())


def active_sweeps() -> list[jobs.Job]:
    """The jobs of the sweeps that a process works on."""
    return jobs.list_active(checkpoints_dir() / ".sweeps")


def check_no_active_run() -> None:
    """Refuse to start a second run, which would slow down both.

    Raises:
        JobError: a run or sweep is active.
    """
    if active := [*active_sweeps(), *active_runs()]:
        raise JobError(
            "“{name}” is being trained now: wait until it is done, or stop it first.", name=active[0].folder.name
        )


# ---------------------------------------------------------------- training


def _train(
    config: TrainConfig,
    dataset: Dataset,
    checkpoint: Checkpoint,
    job: jobs.JobContext,
    on_record: OnRecord,
    on_warning: OnWarning,
    *,
    resume: bool,
) -> Card | None:
    from xrai.training.run import train_model  # slow to import; the job is marked as running by now

    _warn_about_memory([config], len(dataset.classes), on_warning)
    n_scans = len(dataset.rows("train"))
    if config.batch_size > n_scans:
        on_warning(
            say(
                "The batch size {batch_size} is larger than the {n:,} training scans, so that an epoch is a single "
                "correction: a smaller one learns more.",
                batch_size=config.batch_size,
                n=n_scans,
            )
        )
    emit = job.emitter(on_record)
    return train_model(config, dataset, checkpoint, emit=emit, should_stop=job.should_stop, resume=resume)


def _run_helper(config: TrainConfig, dataset: Dataset, checkpoint: Checkpoint, *, resume: bool) -> None:
    """Take part in a run that another process leads, records and stops."""
    from xrai.training.run import train_model

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    train_model(config, dataset, checkpoint, resume=resume)


def is_helper_process() -> bool:
    """Whether another process of the same distributed run leads it (set by Fabric and torchrun)."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) > 0


def _warn_about_memory(configs: Sequence[TrainConfig], n_classes: int, on_warning: OnWarning) -> None:
    from xrai.training.memory import memory_warning  # imports torch

    if warning := memory_warning(configs, n_classes):
        on_warning(warning)
