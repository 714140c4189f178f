"""Start, resume and open training runs and sweeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from pages.shared.navigation import WATCH_RUN
from xrai.models.checkpoint import Checkpoint
from xrai.training.config import TrainConfig
from xrai.training.jobs import check_no_active_run, launch_resume, launch_run, launch_sweep
from xrai.training.sweep import create_sweep

SWEEP_PREFIX = "sweep: "  # what the name of a sweep begins with among the runs; no model's name holds a colon


def start_training(name: str, dataset: Path, values: dict[str, Any], grid: dict[str, list[Any]]) -> None:
    """Start a run, or a sweep where there is something to vary."""
    if grid:
        check_no_active_run()
        launch_sweep(create_sweep(name, dataset, values, grid))
        open_run(SWEEP_PREFIX + name)
    launch_run(TrainConfig(**values), dataset, name)
    open_run(name)


def open_run(name: str) -> None:
    """Go to a run."""
    st.session_state["train_shown"] = name
    st.session_state["train_view_wanted"] = WATCH_RUN
    st.rerun()


def resume_run(checkpoint: Checkpoint) -> None:
    """Resume a run and watch it."""
    launch_resume(checkpoint)
    open_run(checkpoint.name)
