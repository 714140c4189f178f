"""A look into a dataset: what it is made of, its scans, and how it is deleted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from pages.lab.dataset.audit_view import show_audit
from pages.shared.audit_state import audit_line, load_audit_state
from pages.shared.charts import chart_config
from pages.shared.datasets import SPLIT_HELP
from pages.shared.deletion import confirm_deletion
from pages.shared.formatting import class_label, escape_markdown, format_number, scans_text
from pages.shared.navigation import TRAIN
from pages.shared.page import defer_errors, paginate, show_switch
from xrai.core import jobs
from xrai.core.language import N_, tr, translate, trn
from xrai.core.paths import display_path, inbox_dir
from xrai.data.dataset import Dataset, open_dataset
from xrai.data.deletion import delete_dataset
from xrai.data.sources import SPLIT_NAMES, SPLITS
from xrai.figures import SPLIT_LABELS, class_balance
from xrai.models.checkpoint import list_checkpoints

PER_PAGE = 18
COLUMNS = 6
SCANS, CHECK, ALL = N_("Scans"), N_("Check"), N_("All")


def browse_dataset(datasets: list[Path]) -> None:
    """Choose a dataset, see what it holds, delete it."""
    names = [str(file) for file in datasets]
    requested = st.session_state.get("dataset_shown")
    initial_file = (
        requested if requested in names else st.session_state.get("dataset_seen")
    )  # while the wanted one is being made
    file_name = st.selectbox(
        tr("Dataset"),
        names,
        index=names.index(initial_file) if initial_file in names else 0,
        format_func=lambda item: Path(item).stem,
        key=f"dataset_browse_{requested in names}_{requested}",
    )
    st.session_state["dataset_seen"] = file_name
    with open_dataset(file_name) as dataset:
        audit_state = load_audit_state(dataset)
        _show_facts(dataset)
        halves = st.grid(2, min_column_width=320)
        with halves.cell():
            st.plotly_chart(
                class_balance(_counts_by_label(dataset)),
                key="dataset_balance",
                config=chart_config(f"{dataset.path.stem}-classes", is_static=True),
            )
        with halves.cell():
            for note in dataset.notes:
                st.markdown(f":material/info: {escape_markdown(translate(note))}")
            st.markdown(audit_line(audit_state))
            if st.session_state.get("dataset_part") != CHECK:
                st.button(
                    tr("Show the findings") if audit_state.audit else tr("Check this dataset"),
                    icon=":material/fact_check:",
                    type="tertiary",
                    key="dataset_to_check",
                    on_click=_open_audit,
                )
            st.page_link(TRAIN, label=tr("Train a model on it"), icon=":material/model_training:")
            st.button(
                tr("Delete this dataset"),
                icon=":material/delete:",
                type="tertiary",
                key=f"dataset_delete_{file_name}",
                on_click=_ask_deletion,
                args=(Path(file_name),),
            )
        if dataset.skipped:
            _show_unreadable(dataset)
        if show_switch(tr("What to look at"), [SCANS, CHECK], "dataset_part") == CHECK:
            show_audit(dataset, audit_state)
        else:
            _show_grid(dataset)


def _open_audit() -> None:
    st.session_state["dataset_part"] = CHECK


def _show_unreadable(dataset: Dataset) -> None:
    """The files that are not in the dataset, each with the reason."""
    n = len(dataset.skipped)
    label = trn("{n:,} file could not be read", "{n:,} files could not be read", n)
    with st.expander(label, icon=":material/warning:", key="dataset_unread"):
        rows = [(item.file, translate(item.reason)) for item in dataset.skipped]
        st.dataframe(pd.DataFrame(rows, columns=[tr("File"), tr("Reason")]), hide_index=True)


def _show_facts(dataset: Dataset) -> None:
    if dataset.is_phantom:
        st.caption(":material/draw: " + tr("**Drawings**, no patients: for practice only."))
    elif dataset.population:
        st.caption(tr("Patients: {population}", population=escape_markdown(translate(dataset.population))))
    facts = st.grid(4, min_column_width=150)
    facts.metric(tr("Scans"), format_number(len(dataset), ","))
    facts.metric(tr("Patients"), format_number(len(set(dataset.patients)), ","))
    facts.metric(tr("Stored size"), f"{dataset.size} × {dataset.size}")
    facts.metric(tr("File"), tr("{size:,.0f} MB", size=dataset.path.stat().st_size / 1024**2))


def _counts_by_label(dataset: Dataset) -> dict[str, dict[str, int]]:
    return {class_label(name): row for name, row in dataset.counts().items()}


def _show_grid(dataset: Dataset) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            tr("Class"), [ALL, *dataset.classes], format_func=_class_option_label, key="grid_class", width=200
        )
        split = st.selectbox(
            tr("Split"),
            ["all", *SPLITS],
            format_func=lambda item: tr(SPLIT_LABELS[item]),
            key="grid_split",
            width=200,
            help=tr(SPLIT_HELP),
        )
        search = st.text_input(tr("File name contains"), key="grid_search", width=300)
    mask = np.ones(len(dataset), bool)
    if name != ALL:
        mask &= dataset.labels == dataset.classes.index(name)
    if split != "all":
        mask &= dataset.splits == SPLITS.index(split)
    if search:
        mask &= np.array([search.lower() in file.lower() for file in dataset.files])
    rows = np.flatnonzero(mask)
    if not len(rows):
        st.info(tr("No scan fits. Choose another class or split, or search for less."))
        return
    offset, page_rows = paginate(rows, PER_PAGE, f"grid_{name}_{split}_{search}")
    st.caption(
        tr(
            "{scans}, {first:,} to {last:,} shown.",
            scans=scans_text(len(rows)),
            first=offset + 1,
            last=offset + len(page_rows),
        )
    )
    grid = st.grid(COLUMNS, min_column_width=120)
    for row, square in zip(page_rows, dataset.images(page_rows), strict=True):
        label, scan_split = dataset.classes[dataset.labels[row]], SPLITS[dataset.splits[row]]
        with grid.cell():
            st.image(square, width="stretch")
            st.caption(
                f"{escape_markdown(class_label(label))}, {tr(SPLIT_NAMES[scan_split])}  \n{escape_markdown(Path(str(dataset.files[row])).name)}"
            )


def _class_option_label(item: str) -> str:
    return tr(ALL) if item == ALL else class_label(item)


def _ask_deletion(file: Path) -> None:
    text = tr(
        "**{name}** is deleted from this computer. The scans that it was built from stay where they are, an uploaded zip "
        "in {inbox}.",
        name=escape_markdown(file.stem),
        inbox=escape_markdown(str(inbox_dir())),
    )
    confirm_deletion("dataset", text, _delete_dataset, file)


def _delete_dataset(file: Path) -> None:
    with defer_errors():
        delete_dataset(file, models_in_training=_models_in_training(file))


def _models_in_training(file: Path) -> list[str]:
    """The names of the models that are being trained on a dataset."""
    active = [checkpoint for checkpoint in list_checkpoints() if jobs.Job(checkpoint.folder).is_active]
    return [checkpoint.name for checkpoint in active if checkpoint.read_config()["dataset"] == display_path(file)]
