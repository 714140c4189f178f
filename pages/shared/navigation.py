"""Navigation between pages: page paths, and session state that tells the next page what to show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from xrai.core.language import N_, tr
from xrai.core.paths import display_path
from xrai.data.dataset import list_datasets

DIAGNOSE = "pages/clinic/diagnose/page.py"
DATASET = "pages/lab/dataset/page.py"
TRAIN = "pages/lab/train/page.py"
EVALUATE = "pages/lab/evaluate/page.py"
MODELS = "pages/lab/models/page.py"
MANUAL = "pages/learn/manual/page.py"
"""The file of each page."""

NEW_RUN, WATCH_RUN = N_("Start a run"), N_("Watch a run")
"""The two views of Train."""


def open_page(page: str, **state: Any) -> None:
    """Open a page after updating the session state."""
    st.session_state.update(state)
    st.switch_page(page)


def open_diagnose(name: str) -> None:
    """Open Diagnose with a model selected."""
    open_page(DIAGNOSE, diagnose_model_wanted=name)


def open_evaluate(name: str) -> None:
    """Open Evaluate with a model selected."""
    open_page(EVALUATE, evaluate_model=name)


def open_new_run() -> None:
    """Open the form for a new run on Train."""
    open_page(TRAIN, train_view_wanted=NEW_RUN)


def fill_training_form(
    name: str | None, settings: Mapping[str, Any], *, changes: Mapping[str, Any] | None = None, dataset: str = ""
) -> None:
    """Fill the form for a new run with the settings of an earlier run; the next page drawn must be Train.

    Args:
        name: the earlier run; None clears the form.
        settings: its training settings.
        changes: settings that replace those of the run.
        dataset: the dataset of the run, as its configuration names it.
    """
    state = st.session_state
    files = [str(file) for file in list_datasets() if display_path(file) == dataset]
    state["train_taken"], state["train_changes"] = name, dict(changes or {})
    state["train_settings"] = {**settings, **state["train_changes"]}
    state["train_dataset"] = files[0] if files else None
    state["train_generation"] = state.get("train_generation", 0) + 1
    if name:
        state["train_view_wanted"] = NEW_RUN


def open_training(name: str) -> None:
    """Open Train and watch a run."""
    open_page(TRAIN, train_shown=name, train_view_wanted=WATCH_RUN)


def open_models(*names: str) -> None:
    """Open Models with some models selected."""
    open_page(MODELS, models_wanted=list(names))


def show_dataset_needed(text: str) -> None:
    """Say that there is no dataset yet and link to Dataset."""
    st.info(text)
    st.page_link(DATASET, label=tr("Build a dataset"), icon=":material/folder_open:")


def show_model_needed(text: str, *, offers_import: bool = True) -> None:
    """Say that there is no model yet and link to the next step: a dataset, a training run or an import.

    Args:
        text: the message.
        offers_import: link to the import of a model; not needed on Models itself.
    """
    if list_datasets():
        st.info(text)
        st.page_link(TRAIN, label=tr("Train a model"), icon=":material/model_training:")
    else:
        show_dataset_needed(text)
    if offers_import:
        st.page_link(MODELS, label=tr("Import a model"), icon=":material/upload:")
