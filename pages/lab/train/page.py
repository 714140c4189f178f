"""Train: start a run with a few choices or many, or a sweep of runs, and watch it learn."""

from __future__ import annotations

import streamlit as st

from pages.lab.train.form import show_new_run
from pages.lab.train.watch import show_watch
from pages.shared.navigation import NEW_RUN, WATCH_RUN, show_dataset_needed
from pages.shared.page import display_errors, show_head, show_switch
from xrai.core import jobs
from xrai.core.json_files import is_file
from xrai.core.language import tr
from xrai.data.dataset import list_datasets
from xrai.models.checkpoint import list_checkpoints
from xrai.training.sweep import list_sweeps


def main() -> None:
    """The page."""
    show_head(tr("Train"), tr("Train a model on a dataset. Training continues if you close this page or the browser."))
    with display_errors():
        datasets = list_datasets()
        runs = [
            run
            for run in list_checkpoints()
            if is_file(run.folder / jobs.JOB_FILE) or is_file(run.folder / jobs.HISTORY_FILE)
        ]
        sweeps = list_sweeps()
        view = NEW_RUN
        if runs or sweeps:
            started_here = any(is_file(run.folder / jobs.JOB_FILE) for run in runs)  # the models in the box were not
            view = show_switch(
                tr("What to do"), [WATCH_RUN, NEW_RUN], "train_view", default=WATCH_RUN if started_here else NEW_RUN
            )
        if view == WATCH_RUN:
            show_watch(runs, sweeps)
        elif datasets:
            show_new_run(datasets)
        else:
            show_dataset_needed(tr("There is no dataset yet to train on. Build one first: it takes a few clicks."))


if requested_view := st.session_state.pop("train_view_wanted", None):
    st.session_state["train_view"] = requested_view
main()
