"""Ways from one page to another, which opens with what it is to show."""

from __future__ import annotations

from typing import Any

import streamlit as st

from xrai.core.language import N_, tr
from xrai.data.dataset import list_datasets

NEW_RUN, WATCH_RUN = N_("Start a run"), N_("Watch a run")
"""The two views of Train."""


def open_page(page: str, **state: Any) -> None:
    """Open a page, with what it is to show."""
    st.session_state.update(state)
    st.switch_page(page)


def open_diagnose(name: str) -> None:
    """Open Diagnose on a model."""
    open_page("pages/clinic/diagnose/page.py", diagnose_model_wanted=name)


def open_evaluate(name: str) -> None:
    """Open Evaluate on a model."""
    open_page("pages/lab/evaluate/page.py", evaluate_model=name)


def open_new_run() -> None:
    """Open Train on the form for a new run."""
    open_page("pages/lab/train/page.py", train_view_wanted=NEW_RUN)


def open_training(name: str) -> None:
    """Open Train on a run."""
    open_page("pages/lab/train/page.py", train_shown=name, train_view_wanted=WATCH_RUN)


def open_models(*names: str) -> None:
    """Open Models with some models chosen."""
    open_page("pages/lab/models/page.py", models_wanted=list(names))


def show_dataset_needed(text: str) -> None:
    """Say that there is no dataset yet, and lead to where one is built."""
    st.info(text)
    st.page_link("pages/lab/dataset/page.py", label=tr("Build a dataset"), icon=":material/folder_open:")


def show_model_needed(text: str, *, offers_import: bool = True) -> None:
    """Say that there is no model yet, and lead to what comes first: a dataset, a training, or a model from elsewhere.

    Args:
        words: what is said.
        imports: whether the page itself imports none.
    """
    if list_datasets():
        st.info(text)
        st.page_link("pages/lab/train/page.py", label=tr("Train a model"), icon=":material/model_training:")
    else:
        show_dataset_needed(text)
    if offers_import:
        st.page_link("pages/lab/models/page.py", label=tr("Import a model"), icon=":material/upload:")
