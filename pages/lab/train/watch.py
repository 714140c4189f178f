"""Watch a training run or a sweep: status, curves and next steps."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import streamlit as st

from pages.lab.train.actions import SWEEP_PREFIX, open_run, resume_run
from pages.lab.train.run_view import show_curves, show_downloads, show_progress
from pages.lab.train.sweep_view import show_sweep
from pages.shared.formatting import class_label, escape_markdown, format_metric_with_interval, join_words
from pages.shared.job_views import show_job_end, show_stop_button, watch_job
from pages.shared.navigation import fill_training_form, open_diagnose, open_evaluate, open_models
from pages.shared.page import display_errors
from pages.shared.runs import show_heading
from xrai.core import jobs
from xrai.core.errors import CheckpointError
from xrai.core.json_files import is_file
from xrai.core.language import tr, translate
from xrai.core.paths import checkpoints_dir
from xrai.models.checkpoint import CONFIG, Checkpoint
from xrai.training.config import read_train_config
from xrai.training.jobs import active_runs, active_sweeps, launch_sweep
from xrai.training.sweep import Sweep


def show_watch(runs: list[Checkpoint], sweeps: list[Sweep]) -> None:
    """The run or sweep that is chosen; an active one first."""
    run_by_label: dict[str, Checkpoint | Sweep] = {SWEEP_PREFIX + sweep.name: sweep for sweep in sweeps}
    run_by_label |= {run.name: run for run in runs}
    names = [*(run.name for run in runs), *(SWEEP_PREFIX + sweep.name for sweep in sweeps)]
    requested = st.session_state.get("train_shown")
    active = [SWEEP_PREFIX + job.folder.name for job in active_sweeps()]
    active += [job.folder.name for job in active_runs()]
    initial_label = next(name for name in (requested, *active, *names) if name in run_by_label)
    name = names[0]
    if len(names) > 1:
        name = st.selectbox(
            tr("Run"), names, names.index(initial_label), format_func=_run_label, key=f"train_run_{initial_label}"
        )
    selection = run_by_label[name]
    if isinstance(selection, Sweep):
        job = selection.job
        watch_job(job, job.status, lambda job, status: _draw_sweep(selection, job, status))
    else:
        job = jobs.Job(selection.folder)
        watch_job(job, job.status, lambda job, status: _draw_run(selection, job, status))


def _run_label(name: str) -> str:
    return tr("sweep: {name}", name=name.removeprefix(SWEEP_PREFIX)) if name.startswith(SWEEP_PREFIX) else name


def _draw_sweep(sweep: Sweep, job: jobs.Job, status: jobs.Status) -> None:
    """One sweep: how it stands, and what can be done now."""
    show_sweep(sweep, job, status)
    active_name = next((run.name for run in sweep.runs if jobs.Job(checkpoints_dir() / run.name).is_active), None)
    with st.container(horizontal=True):
        if active_name and st.button(tr("Watch the run"), icon=":material/visibility:", key=f"watch_{sweep.name}"):
            open_run(active_name)
        can_resume = status in ("stopped", "interrupted", "failed")
        if can_resume and st.button(
            tr("Resume the sweep"), type="primary", icon=":material/play_arrow:", key=f"resume_sweep_{sweep.name}"
        ):
            with display_errors():
                launch_sweep(sweep)
                open_run(SWEEP_PREFIX + sweep.name)
    if status not in jobs.ACTIVE_STATUSES and st.button(
        tr("Compare its runs"), icon=":material/inventory_2:", key=f"compare_runs_{sweep.name}"
    ):
        open_models(*(run.name for run in sweep.runs if Checkpoint(checkpoints_dir() / run.name).is_model))


def _draw_run(checkpoint: Checkpoint, job: jobs.Job, status: jobs.Status) -> None:
    """One run: how it stands, what can be done now, its curves."""
    records = job.records()
    is_active = status in jobs.ACTIVE_STATUSES
    with show_heading(checkpoint.name, status):
        if is_active:
            show_stop_button(job, checkpoint.name)
    show_progress(records, status)
    show_job_end(job, status, tr("The run"), next_step=tr("It can be resumed."))
    if not is_active:
        _show_next_steps(checkpoint, status, records)
    if any(record["kind"] in ("step", "epoch") for record in records):
        show_curves(checkpoint, records, None if is_active else _final_metrics(checkpoint))
    elif is_active:
        st.info(tr("The first values appear in a few seconds, when the libraries are loaded."))
    log = "" if is_active else job.log()
    if log:
        with st.expander(tr("Log file, for technical support"), icon=":material/article:"):
            st.code(log, language=None)


def _final_metrics(checkpoint: Checkpoint) -> dict[str, Any] | None:
    """The measures of a finished model; what is wrong with a damaged one is said elsewhere on the page."""
    with suppress(CheckpointError):
        validation = checkpoint.read_card().validation if checkpoint.is_model else None
        return validation.to_dict() if validation else None
    return None


def _show_next_steps(checkpoint: Checkpoint, status: str, records: list[dict[str, Any]]) -> None:
    """What came out of a run that is not active, and what can be done with it."""
    if checkpoint.is_model:
        with display_errors():
            _show_ready_model(checkpoint)
    elif status == "stopped":
        st.info(tr("There is no model yet: the run stopped before the end of its first epoch. Resume it to get one."))
    with st.container(horizontal=True):
        can_resume = checkpoint.can_resume and status in ("stopped", "interrupted", "failed")
        if can_resume and st.button(
            tr("Resume training"), type="primary", icon=":material/play_arrow:", key=f"resume_{checkpoint.name}"
        ):
            with display_errors():
                resume_run(checkpoint)
        has_config = is_file(checkpoint.folder / CONFIG)
        if has_config and st.button(
            tr("Run again with other settings"), icon=":material/tune:", key=f"again_{checkpoint.name}"
        ):
            with display_errors():
                dataset, config = checkpoint.read_config()["dataset"], read_train_config(checkpoint)
                fill_training_form(checkpoint.name, config.to_dict(), dataset=dataset)
                st.rerun()
        if any(record["kind"] == "epoch" for record in records):
            show_downloads(checkpoint, records)


def _show_ready_model(checkpoint: Checkpoint) -> None:
    card = checkpoint.read_card()
    validation = card.validation
    if validation is None:
        return
    text = tr(
        "The model “{name}” is ready: accuracy {accuracy}, AUC {auc} on {n:,} validation scans. It distinguishes "
        "{classes}.",
        name=card.name,
        n=validation.n,
        accuracy=format_metric_with_interval(validation.accuracy, validation.accuracy_interval),
        auc=format_metric_with_interval(validation.auc, validation.auc_interval, as_percent=False),
        classes=join_words(list(map(class_label, card.classes))),
    )
    if card.weakness_warning:
        st.warning(escape_markdown(f"{text} {translate(card.weakness_warning)}"))
    else:
        st.success(escape_markdown(text), icon=":material/check_circle:")
    with st.container(horizontal=True):
        if st.button(tr("Read scans with it"), icon=":material/stethoscope:", key=f"read_with_{checkpoint.name}"):
            open_diagnose(checkpoint.name)
        if st.button(tr("Measure it on test scans"), icon=":material/fact_check:", key=f"measure_{checkpoint.name}"):
            open_evaluate(checkpoint.name)
        if st.button(tr("Compare models"), icon=":material/inventory_2:", key=f"compare_{checkpoint.name}"):
            open_models(checkpoint.name)
