"""Start, resume and open training runs and sweeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from pages.shared.navigation import WATCH_RUN
from xrai.core import jobs
from xrai.core.errors import CheckpointError, JobError
from xrai.core.language import tr
from xrai.core.paths import checkpoints_dir
from xrai.models.checkpoint import Checkpoint, open_checkpoint
from xrai.training.config import TrainConfig
from xrai.training.sweep import active_sweep_jobs, create_sweep

SWEEP_PREFIX = "sweep: "  # what the name of a sweep begins with among the runs; no model's name holds a colon


def start_training(name: str, dataset: Path, values: dict[str, Any], grid: dict[str, list[Any]]) -> None:
    """Start a run, or a sweep where there is something to vary."""
    check_nothing_runs()
    checkpoint = open_checkpoint(name)
    if checkpoint.is_taken:
        raise CheckpointError(tr("There is already a model or run “{name}”: choose another name.", name=name))
    if grid:
        sweep = create_sweep(name, dataset, values, grid)
        jobs.start(["sweep", "--name", name, "--resume"], sweep.folder, title=name)
        open_run(SWEEP_PREFIX + name)
    arguments = ["train", str(dataset), "--name", name, *TrainConfig(**values).to_arguments()]
    jobs.start(arguments, checkpoint.folder, title=name)
    open_run(name)


def open_run(name: str) -> None:
    """Go to a run."""
    st.session_state["train_shown"] = name
    st.session_state["train_view_wanted"] = WATCH_RUN
    st.rerun()


def check_nothing_runs() -> None:
    active = [*active_sweep_jobs(), *jobs.list_active(checkpoints_dir())]
    if active:
        name = active[0].folder.name
        raise JobError(tr("“{name}” is being trained now: wait until it is done, or stop it first.", name=name))


def resume_run(checkpoint: Checkpoint) -> None:
    check_nothing_runs()
    jobs.start(["train", "--name", checkpoint.name, "--resume"], checkpoint.folder, title=checkpoint.name)
    open_run(checkpoint.name)
