"""Models: all runs and models side by side; rename, note, choose, export, delete and import them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from pages.lab.models.comparison import show_comparison, show_setting_effects
from pages.lab.models.one_model import show_model
from pages.lab.models.summaries import (
    DAMAGED,
    NO_MODEL,
    creation_time,
    dataset_name,
    differing_settings,
    network_name,
    setting_value,
    status_text,
    table_cell,
)
from pages.shared.formatting import (
    class_label,
    escape_markdown,
    format_duration,
    format_interval,
    format_metric,
    format_number,
    join_words,
    replace_surrogates,
)
from pages.shared.navigation import show_model_needed
from pages.shared.page import announce, display_errors, show_announcements, show_head, valid_choice_key
from pages.shared.runs import STATUS
from pages.shared.settings import setting_label, value_text
from xrai import models
from xrai.core.jobs import ACTIVE_STATUSES
from xrai.core.language import N_, tr, translate, trn
from xrai.models import Summary

# Streamlit would draw docstrings of constants on the page.
ALL = N_("All datasets")
MIN_FOR_SEARCH = 8  # with more runs than that, one looks for a name rather than along the rows
WATCH_SECONDS = 5.0
TABLE = "models_table"


def main() -> None:
    """The page."""
    show_head(tr("Models"), tr("Compare all runs and models, and choose the default model."))
    with display_errors():
        summaries = models.list_summaries()
        if summaries:
            _show_all(summaries)
        else:
            show_announcements()
            show_model_needed(
                tr("There is no model yet. Train one: a quick look takes some minutes. Or import one below."),
                offers_import=False,
            )
    _show_import(is_open=not summaries)


def _show_all(summaries: list[Summary]) -> None:
    _refresh_while_training(summaries)
    visible = _filter_summaries(summaries)
    names = [item.name for item in summaries]
    selected_names = [name for name in st.session_state.get("models_chosen", []) if name in names]
    st.session_state["models_chosen"] = selected_names
    _show_table(visible)
    _show_problems(visible)
    st.multiselect(
        tr("Chosen"),
        names,
        key="models_chosen",
        format_func=replace_surrogates,
        persist_state="session",
        placeholder=tr("Tick models in the table, or choose them here"),
        help=tr("One to see and change it, two or more to compare them."),
        select_all=False,  # it would come first, so that Enter after a name takes all that begin alike
    )
    show_announcements()
    by_name = {item.name: item for item in summaries}
    selected = [by_name[name] for name in selected_names]
    if not selected:
        st.caption(tr("Tick one model to see, rename, export or delete it; tick two or more to compare them."))
    elif len(selected) == 1:
        show_model(selected[0])
    else:
        show_comparison(selected)
    show_setting_effects(visible)


def _refresh_while_training(summaries: Sequence[Summary]) -> None:
    """While something is being trained: draw the page anew whenever there is something new to see of it."""
    active = [item for item in summaries if item.status in ACTIVE_STATUSES]
    if not active:
        return
    progress_before = [(item.name, item.epochs_run) for item in active]

    @st.fragment(run_every=WATCH_SECONDS)
    def live() -> None:
        progress_now = [
            (item.name, item.epochs_run) for item in models.list_summaries() if item.status in ACTIVE_STATUSES
        ]
        if progress_now != progress_before:
            st.rerun()

    live()
    names = join_words([tr("“{name}”", name=replace_surrogates(item.name)) for item in active])
    text = trn(
        "{names} is being trained now: the figures here follow epoch by epoch.",
        "{names} are being trained now: the figures here follow epoch by epoch.",
        len(active),
        names=names,
    )
    st.info(escape_markdown(text))


# ---------------------------------------------------------------- the table


def _filter_summaries(summaries: list[Summary]) -> list[Summary]:
    """The runs of the chosen dataset whose names hold what is searched for."""
    datasets = sorted({dataset_name(item) for item in summaries if item.dataset})
    dataset, search = ALL, ""
    if len(datasets) > 1 or len(summaries) > MIN_FOR_SEARCH:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            if len(datasets) > 1:
                choices = [ALL, *datasets]
                key = valid_choice_key("models_dataset", choices, ALL)
                dataset = st.selectbox(
                    tr("Trained on"), choices, format_func=_dataset_label, key=key, persist_state="session", width=260
                )
            if len(summaries) > MIN_FOR_SEARCH:
                search = st.text_input(tr("Name contains"), key="models_search", persist_state="session", width=260)
    if len(datasets) > 1 and dataset == ALL:
        st.caption(
            tr(
                "Figures measured on different datasets cannot be compared: choose one dataset to see which model is "
                "better."
            )
        )
    query = search.strip().casefold()
    return [
        item
        for item in summaries
        if (dataset in (ALL, dataset_name(item))) and (not query or query in replace_surrogates(item.name).casefold())
    ]


def _dataset_label(choice: str) -> str:
    return tr(ALL) if choice == ALL else choice


def _show_table(visible: Sequence[Summary]) -> None:
    if not visible:
        st.info(tr("No model fits. Choose another dataset, or search for less."))
        return
    names = [item.name for item in visible]
    rows = [names.index(name) for name in st.session_state["models_chosen"] if name in names]
    table_state = st.session_state.get(TABLE)
    if table_state is not None and sorted(table_state["selection"]["rows"]) != sorted(rows):
        st.session_state[TABLE] = {"selection": {"rows": rows, "columns": [], "cells": []}}
    columns = _build_table(visible)
    st.dataframe(
        columns.style.format(_formats(columns)),
        key=TABLE,
        hide_index=True,
        placeholder="–",
        height=38 + 35 * min(len(visible), 12),
        column_config=_column_config(),
        selection_mode="multi-row",
        selection_default={"selection": {"rows": rows, "columns": [], "cells": []}},
        on_select=lambda: _store_selection(names),
    )


def _store_selection(names: Sequence[str]) -> None:
    """Take over what was ticked in the table; what the filter hides stays chosen."""
    state = st.session_state
    ticked_names = [names[row] for row in state[TABLE]["selection"]["rows"] if row < len(names)]
    selected_names = [name for name in state.get("models_chosen", []) if name not in names or name in ticked_names]
    state["models_chosen"] = [*selected_names, *(name for name in ticked_names if name not in selected_names)]


def _build_table(visible: Sequence[Summary]) -> pd.DataFrame:
    settings = [name for name in differing_settings(visible) if name != "network"]
    size = [item.size_bytes and item.size_bytes / 1024**2 for item in visible]
    table = pd.DataFrame(
        {
            tr("Name"): [table_cell(item.name) for item in visible],
            tr("Status"): [[status_text(item)] for item in visible],
            tr("Default"): ["★" if item.is_default else "" for item in visible],
            tr("AUC"): pd.array([item.auc for item in visible], dtype="Float64"),
            tr("AUC, 95 %"): [
                format_interval(item.auc_interval, ".3f") if item.auc_interval else None for item in visible
            ],
            tr("Accuracy"): pd.array([item.accuracy for item in visible], dtype="Float64"),
            tr("Accuracy, 95 %"): [
                format_interval(item.accuracy_interval, ".0%") if item.accuracy_interval else None for item in visible
            ],
            tr("Network"): [network_name(item) for item in visible],
            tr("Dataset"): [table_cell(dataset_name(item)) for item in visible],
            tr("Classes"): [table_cell(_class_names(item)) for item in visible],
            tr("Epochs run"): pd.array([item.epochs_run for item in visible], dtype="Int64"),
            tr("Time"): pd.array([item.seconds for item in visible], dtype="Float64"),
            tr("Size"): pd.array(size, dtype="Float64"),
            tr("Date"): pd.to_datetime(
                pd.Series([creation_time(item) for item in visible], dtype="object"), errors="coerce"
            ),
            tr("Note"): [table_cell(" ".join(item.note.split())) for item in visible],
        }
    )
    for setting in settings:
        table[_column_name(setting, table)] = _setting_column(setting, visible)
    return table


def _column_name(setting: str, table: pd.DataFrame) -> str:
    label = setting_label(setting)
    return tr("{label} (setting)", label=label) if label in table else label


def _setting_column(setting: str, visible: Sequence[Summary]) -> Any:
    """Numbers as numbers, so that sorting works; else words."""
    values = [setting_value(item, setting) for item in visible]
    if all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values):
        return pd.array(values, dtype="Float64")
    return [None if value is None else table_cell(value_text(setting, value)) for value in values]


def _column_config() -> dict[str, Any]:
    colours = {word: colour for word, colour, _ in STATUS.values()} | {DAMAGED: "red", NO_MODEL: "gray"}
    config = st.column_config
    return {
        tr("Name"): config.TextColumn(pinned=True, width=150),
        tr("Status"): config.MultiselectColumn(
            options=[tr(word) for word in colours], color=list(colours.values()), width=95
        ),
        tr("Default"): config.TextColumn(
            width=80, alignment="center", help=tr("Diagnose uses this model unless another one is chosen there.")
        ),
        tr("AUC"): config.NumberColumn(
            width=65,
            help=tr(
                "How well the classes are separated on validation scans: 0.5 is guessing, 1 is perfect. The 95 % "
                "interval shows the play of chance."
            ),
        ),
        tr("AUC, 95 %"): config.TextColumn(width=115, help=tr("The 95 % interval of the AUC.")),
        tr("Accuracy"): config.NumberColumn(
            width=80,
            help=tr(
                "The proportion of correct answers on validation scans. The 95 % interval shows the play of chance."
            ),
        ),
        tr("Accuracy, 95 %"): config.TextColumn(width=115, help=tr("The 95 % interval of the accuracy.")),
        tr("Epochs run"): config.NumberColumn(width=90),
        tr("Size"): config.NumberColumn(width=80),
        tr("Date"): config.DatetimeColumn(format=tr("D MMM YYYY, HH:mm"), width=145),
    }


def _formats(table: pd.DataFrame) -> dict[str, Callable[[Any], str]]:
    """How numbers are written; the columns stay numbers, so that sorting works."""
    settings = {label: _dash_if_missing(_format_setting) for label in table.select_dtypes("Float64")}
    return settings | {
        tr("AUC"): _dash_if_missing(lambda auc: format_metric(auc, as_percent=False)),
        tr("Accuracy"): _dash_if_missing(format_metric),
        tr("Time"): _dash_if_missing(format_duration),
        tr("Size"): _dash_if_missing(lambda size: tr("{size:,.1f} MB", size=size)),
    }


def _show_problems(visible: Sequence[Summary]) -> None:
    for item in visible:
        if item.problem:
            st.warning(escape_markdown(replace_surrogates(translate(item.problem))), icon=":material/warning:")


def _format_setting(value: float) -> str:
    return format_number(value, ".0f" if value.is_integer() else "g")


def _dash_if_missing(format_value: Callable[[float], str]) -> Callable[[Any], str]:
    """A table's cell in words, or a dash."""
    return lambda value: "–" if pd.isna(value) else format_value(float(value))


def _class_names(item: Summary) -> str:
    return ", ".join(class_label(replace_surrogates(name)) for name in item.classes or ())


# ---------------------------------------------------------------- import


def _show_import(*, is_open: bool) -> None:
    state = st.session_state
    generation = state.setdefault("models_import", 0)
    with (
        st.expander(tr("Import a model"), icon=":material/upload:", expanded=is_open),
        st.form(f"models_import_{generation}", border=False, enter_to_submit=False),
    ):
        file = st.file_uploader(
            tr("A zip that was exported here or on another machine"), type=["zip"], key=f"models_zip_{generation}"
        )
        name = st.text_input(
            tr("Name"),
            key=f"models_zip_name_{generation}",
            max_chars=80,
            placeholder=tr("as in the zip, if left empty"),
        )
        if st.form_submit_button(tr("Import it"), icon=":material/upload:", key=f"models_zip_import_{generation}"):
            if file is None:
                st.warning(tr("Choose a zip first."))
                return
            with display_errors():
                with st.spinner(tr("Checking the model…")):
                    model = models.import_model(file, name.strip() or None)
                state["models_import"] = generation + 1
                state["models_wanted"] = [model.name]
                announce(tr("“{name}” is imported.", name=model.name))
                st.rerun()


if requested_names := st.session_state.pop("models_wanted", None):
    st.session_state["models_chosen"] = requested_names
    st.session_state.pop("models_search", None)
    st.session_state.pop("models_dataset", None)
main()
