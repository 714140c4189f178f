"""A look into a dataset: what it is made of, its scans, and how it is deleted."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from pages.shared.audit_view import check_of, in_a_line, show_check
from pages.shared.charts import chart_config
from pages.shared.datasets import SPLIT_HELP
from pages.shared.deletion import ask_before_deleting
from pages.shared.formatting import nice, plain, scans, written
from pages.shared.page import one_page, stated_later
from xrai.core import jobs
from xrai.core.errors import DatasetError, system_reason
from xrai.core.language import N_, tr, translate, trn
from xrai.core.paths import inbox_dir, shown_path
from xrai.data.audit import audit_file
from xrai.data.dataset import Dataset, open_dataset
from xrai.data.jobs import audit_folder, build_folder
from xrai.data.sources import SPLIT_NAMES, SPLITS
from xrai.figures import SPLIT_WORDS, class_balance
from xrai.models.checkpoint import list_checkpoints

PER_PAGE = 18
COLUMNS = 6
SCANS, CHECK, ALL = N_("Scans"), N_("Check"), N_("All")


def browse(datasets: list[Path]) -> None:
    """Choose a dataset, see what it holds, delete it."""
    names = [str(file) for file in datasets]
    wanted = st.session_state.get("dataset_shown")
    first = wanted if wanted in names else st.session_state.get("dataset_seen")  # while the wanted one is being made
    chosen = st.selectbox(
        tr("Dataset"), names, index=names.index(first) if first in names else 0,
        format_func=lambda item: Path(item).stem, key=f"dataset_browse_{wanted in names}_{wanted}",
    )  # fmt: skip
    st.session_state["dataset_seen"] = chosen
    with open_dataset(chosen) as dataset:
        check = check_of(dataset)
        _about(dataset)
        halves = st.grid(2, min_column_width=320)
        with halves.cell():
            st.plotly_chart(
                class_balance(_nice_counts(dataset)),
                key="dataset_balance",
                config=chart_config(f"{dataset.path.stem}-classes", still=True),
            )
        with halves.cell():
            for note in dataset.notes:
                st.markdown(f":material/info: {plain(translate(note))}")
            st.markdown(in_a_line(check))
            if st.session_state.get("dataset_part") != CHECK:
                st.button(
                    tr("See what the check found") if check.found else tr("To the check"), icon=":material/fact_check:",
                    type="tertiary", key="dataset_to_check", on_click=_to_the_check,
                )  # fmt: skip
            st.page_link("pages/lab/train/page.py", label=tr("Train a model on it"), icon=":material/model_training:")
            st.button(
                tr("Delete this dataset"), icon=":material/delete:", type="tertiary", key=f"dataset_delete_{chosen}",
                on_click=_delete, args=(Path(chosen),),
            )  # fmt: skip
        if dataset.skipped:
            _unread(dataset)
        st.session_state.setdefault("dataset_part", SCANS)
        part = st.segmented_control(
            tr("What to look at"), [SCANS, CHECK], format_func=tr, key="dataset_part", required=True,
            label_visibility="collapsed", persist_state="session",
        )  # fmt: skip
        if part == CHECK:
            show_check(dataset, check)
        else:
            _grid(dataset)


def _to_the_check() -> None:
    st.session_state["dataset_part"] = CHECK


def _unread(dataset: Dataset) -> None:
    """The files that are not in the dataset, each with the reason."""
    n = len(dataset.skipped)
    label = trn("{n:,} file could not be read", "{n:,} files could not be read", n)
    with st.expander(label, icon=":material/warning:", key="dataset_unread"):
        rows = [(item.file, translate(item.reason)) for item in dataset.skipped]
        st.dataframe(pd.DataFrame(rows, columns=[tr("File"), tr("Reason")]), hide_index=True)


def _about(dataset: Dataset) -> None:
    if dataset.drawings:
        st.caption(":material/draw: " + tr("**Drawings**, no patients: for practice only."))
    elif dataset.population:
        st.caption(tr("Patients: {population}", population=plain(translate(dataset.population))))
    facts = st.grid(4, min_column_width=150)
    facts.metric(tr("Scans"), written(len(dataset), ","))
    facts.metric(tr("Patients"), written(len(set(dataset.patients)), ","))
    facts.metric(tr("Stored size"), f"{dataset.size} × {dataset.size}")
    facts.metric(tr("File"), tr("{size:,.0f} MB", size=dataset.path.stat().st_size / 1024**2))


def _nice_counts(dataset: Dataset) -> dict[str, dict[str, int]]:
    return {nice(name): row for name, row in dataset.counts().items()}


def _grid(dataset: Dataset) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            tr("Class"), [ALL, *dataset.classes], format_func=_class_or_all, key="grid_class", width=200
        )
        split = st.selectbox(
            tr("Split"), ["all", *SPLITS], format_func=lambda item: tr(SPLIT_WORDS[item]), key="grid_split", width=200,
            help=tr(SPLIT_HELP),
        )  # fmt: skip
        search = st.text_input(tr("File name contains"), key="grid_search", width=300)
    keep = np.ones(len(dataset), bool)
    if name != ALL:
        keep &= dataset.labels == dataset.classes.index(name)
    if split != "all":
        keep &= dataset.splits == SPLITS.index(split)
    if search:
        keep &= np.array([search.lower() in file.lower() for file in dataset.files])
    rows = np.flatnonzero(keep)
    if not len(rows):
        st.info(tr("No scan fits. Choose another class or split, or search for less."))
        return
    first, shown = one_page(rows, PER_PAGE, f"grid_{name}_{split}_{search}")
    st.caption(
        tr("{scans}, {first:,} to {last:,} shown.", scans=scans(len(rows)), first=first + 1, last=first + len(shown))
    )
    grid = st.grid(COLUMNS, min_column_width=120)
    for row, square in zip(shown, dataset.images(shown), strict=True):
        label, where = dataset.classes[dataset.labels[row]], SPLITS[dataset.splits[row]]
        with grid.cell():
            st.image(square, width="stretch")
            st.caption(f"{plain(nice(label))}, {tr(SPLIT_NAMES[where])}  \n{plain(Path(str(dataset.files[row])).name)}")


def _class_or_all(item: str) -> str:
    return tr(ALL) if item == ALL else nice(item)


def _delete(file: Path) -> None:
    words = tr(
        "**{name}** is deleted from this computer. The scans that it was built from stay where they are, an uploaded zip "
        "in {inbox}.",
        name=plain(file.stem),
        inbox=plain(str(inbox_dir())),
    )
    ask_before_deleting("dataset", words, _delete_now, file)


def _delete_now(file: Path) -> None:
    with stated_later():
        _check_unused(file)
        try:
            file.unlink(missing_ok=True)
            audit_file(file).unlink(missing_ok=True)
        except OSError as error:
            raise DatasetError(
                tr(
                    "“{name}” cannot be deleted now ({why}): close whatever uses it and try again.",
                    name=file.stem,
                    why=translate(system_reason(error)),
                )
            ) from error
        for folder in (audit_folder(file), build_folder(file)):
            shutil.rmtree(folder, ignore_errors=True)


def _check_unused(file: Path) -> None:
    if jobs.Job(audit_folder(file)).is_active:
        raise DatasetError(tr("“{name}” is being checked: stop that first, or wait.", name=file.stem))
    for job in jobs.active_in(build_folder(file).parent):
        if job.details.get("arguments", [])[:2] == ["clean", str(file)]:
            raise DatasetError(
                tr("“{name}” is being made from it: stop that first, or wait.", name=translate(job.title))
            )
    for checkpoint in list_checkpoints():
        if jobs.Job(checkpoint.folder).is_active and checkpoint.config()["dataset"] == shown_path(file):
            raise DatasetError(
                tr("The model “{name}” is being trained on it: stop that first, or wait.", name=checkpoint.name)
            )
