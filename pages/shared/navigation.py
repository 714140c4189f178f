"""Ways from one page to another, which opens with what it is to show."""

from __future__ import annotations

from typing import Any

import streamlit as st

from xrai.core.language import N_, tr
from xrai.data.dataset import list_datasets

NEW_RUN, WATCH_RUN = N_("Start a run"), N_("Watch a run")
"""The two views of Train."""


def go_to(page: str, **wanted: Any) -> None:
    """Open a page, with what it is to show."""
    st.session_state.update(wanted)
    st.switch_page(page)


def read_scans_with(name: str) -> None:
    """Open Diagnose on a model."""
    go_to("pages/clinic/diagnose/page.py", diagnose_model_wanted=name)


def evaluate_model(name: str) -> None:
    """Open Evaluate on a model."""
    go_to("pages/lab/evaluate/page.py", evaluate_model=name)


def start_a_run() -> None:
    """Open Train on the form for a new run."""
    go_to("pages/lab/train/page.py", train_view_wanted=NEW_RUN)


def show_training(name: str) -> None:
    """Open Train on a run."""
    go_to("pages/lab/train/page.py", train_shown=name, train_view_wanted=WATCH_RUN)


def show_among_models(*names: str) -> None:
    """Open Models with some models chosen."""
    go_to("pages/lab/models/page.py", models_wanted=list(names))


def needs_a_dataset(words: str) -> None:
    """Say that there is no dataset yet, and lead to where one is built."""
    st.info(words)
    st.page_link("pages/lab/dataset/page.py", label=tr("Build a dataset"), icon=":material/folder_open:")


def needs_a_model(words: str, *, imports: bool = True) -> None:
    """Say that there is no model yet, and lead to what comes first: a dataset, a training, or a model from elsewhere.

    Args:
        words: what is said.
        imports: whether the page itself imports none.
    """
    if list_datasets():
        st.info(words)
        st.page_link("pages/lab/train/page.py", label=tr("Train a model"), icon=":material/model_training:")
    else:
        needs_a_dataset(words)
    if imports:
        st.page_link("pages/lab/models/page.py", label=tr("Import a model"), icon=":material/upload:")
