"""Models: all runs and models side by side; rename, note, choose, export, delete and import them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from pages.lab.models.comparison import comparison, what_settings_led_to
from pages.lab.models.one_model import one_model
from pages.lab.models.summaries import (
    DAMAGED,
    NO_MODEL,
    cell,
    created_on,
    dataset_of,
    differing,
    network_of,
    status_word,
    value_of,
)
from pages.shared.formatting import between, duration, listed, measure, nice, plain, whole, written
from pages.shared.navigation import needs_a_model
from pages.shared.page import announce, announcements, head, remembered, stated_errors
from pages.shared.runs import STATUS
from pages.shared.settings import label_of, shown_value
from xrai import models
from xrai.core.jobs import ACTIVE
from xrai.core.language import N_, tr, translate, trn
from xrai.models import Summary

# Streamlit would draw docstrings of constants on the page.
ALL = N_("All datasets")
MANY = 8  # with more runs than that, one looks for a name rather than along the rows
WATCH_SECONDS = 5.0
TABLE = "models_table"


def main() -> None:
    """The page."""
    head(
        tr("Models"),
        tr("All runs and models side by side: how good each is, where they differ, and which one reads scans."),
    )
    with stated_errors():
        found = models.summaries()
        if found:
            _all(found)
        else:
            announcements()
            needs_a_model(
                tr("There is no model yet. Train one: a quick look takes some minutes. Or import one below."),
                imports=False,
            )
    _import(is_open=not found)


def _all(found: list[Summary]) -> None:
    _look_out(found)
    shown = _filtered(found)
    names = [item.name for item in found]
    chosen = [name for name in st.session_state.get("models_chosen", []) if name in names]
    st.session_state["models_chosen"] = chosen
    _table(shown)
    _problems(shown)
    st.multiselect(
        tr("Chosen"), names, key="models_chosen", format_func=whole, persist_state="session",
        placeholder=tr("Tick models in the table, or choose them here"),
        help=tr("One to see and change it, two or more to compare them."),
        select_all=False,  # it would come first, so that Enter after a name takes all that begin alike
    )  # fmt: skip
    announcements()
    by_name = {item.name: item for item in found}
    picked = [by_name[name] for name in chosen]
    if not picked:
        st.caption(tr("Tick one model to see, rename, export or delete it; tick two or more to compare them."))
    elif len(picked) == 1:
        one_model(picked[0])
    else:
        comparison(picked)
    what_settings_led_to(shown)


def _look_out(found: Sequence[Summary]) -> None:
    """While something is being trained: draw the page anew whenever there is something new to see of it."""
    active = [item for item in found if item.status in ACTIVE]
    if not active:
        return
    seen = [(item.name, item.epochs_run) for item in active]

    @st.fragment(run_every=WATCH_SECONDS)
    def live() -> None:
        now = [(item.name, item.epochs_run) for item in models.summaries() if item.status in ACTIVE]
        if now != seen:
            st.rerun()

    live()
    names = listed([tr("“{name}”", name=whole(item.name)) for item in active])
    words = trn(
        "{names} is being trained now: the figures here follow epoch by epoch.",
        "{names} are being trained now: the figures here follow epoch by epoch.",
        len(active),
        names=names,
    )
    st.info(plain(words))


# ---------------------------------------------------------------- the table


def _filtered(found: list[Summary]) -> list[Summary]:
    """The runs of the chosen dataset whose names hold what is searched for."""
    datasets = sorted({dataset_of(item) for item in found if item.dataset})
    dataset, search = ALL, ""
    if len(datasets) > 1 or len(found) > MANY:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            if len(datasets) > 1:
                choices = [ALL, *datasets]
                key = remembered("models_dataset", choices, ALL)
                dataset = st.selectbox(
                    tr("Learned from"), choices, format_func=_dataset_words, key=key, persist_state="session", width=260
                )
            if len(found) > MANY:
                search = st.text_input(tr("Name contains"), key="models_search", persist_state="session", width=260)
    if len(datasets) > 1 and dataset == ALL:
        st.caption(
            tr(
                "Figures measured on different datasets cannot be compared: choose one dataset to see which model is "
                "better."
            )
        )
    words = search.strip().casefold()
    return [
        item
        for item in found
        if (dataset in (ALL, dataset_of(item))) and (not words or words in whole(item.name).casefold())
    ]


def _dataset_words(choice: str) -> str:
    return tr(ALL) if choice == ALL else choice


def _table(shown: Sequence[Summary]) -> None:
    if not shown:
        st.info(tr("No model fits. Choose another dataset, or search for less."))
        return
    names = [item.name for item in shown]
    rows = [names.index(name) for name in st.session_state["models_chosen"] if name in names]
    known = st.session_state.get(TABLE)
    if known is not None and sorted(known["selection"]["rows"]) != sorted(rows):
        st.session_state[TABLE] = {"selection": {"rows": rows, "columns": [], "cells": []}}
    columns = _columns(shown)
    st.dataframe(
        columns.style.format(_formats(columns)),
        key=TABLE,
        hide_index=True,
        placeholder="–",
        height=38 + 35 * min(len(shown), 12),
        column_config=_column_config(),
        selection_mode="multi-row",
        selection_default={"selection": {"rows": rows, "columns": [], "cells": []}},
        on_select=lambda: _ticked(names),
    )


def _ticked(names: Sequence[str]) -> None:
    """Take over what was ticked in the table; what the filter hides stays chosen."""
    state = st.session_state
    ticked = [names[row] for row in state[TABLE]["selection"]["rows"] if row < len(names)]
    before = [name for name in state.get("models_chosen", []) if name not in names or name in ticked]
    state["models_chosen"] = [*before, *(name for name in ticked if name not in before)]


def _columns(shown: Sequence[Summary]) -> pd.DataFrame:
    settings = [name for name in differing(shown) if name != "network"]
    size = [item.size_bytes and item.size_bytes / 1024**2 for item in shown]
    table = pd.DataFrame(
        {
            tr("Name"): [cell(item.name) for item in shown],
            tr("Status"): [[status_word(item)] for item in shown],
            tr("Default"): ["★" if item.is_default else "" for item in shown],
            tr("AUC"): pd.array([item.auc for item in shown], dtype="Float64"),
            tr("AUC, 95 %"): [between(item.auc_interval, ".3f") if item.auc_interval else None for item in shown],
            tr("Accuracy"): pd.array([item.accuracy for item in shown], dtype="Float64"),
            tr("Accuracy, 95 %"): [
                between(item.accuracy_interval, ".0%") if item.accuracy_interval else None for item in shown
            ],
            tr("Network"): [network_of(item) for item in shown],
            tr("Dataset"): [cell(dataset_of(item)) for item in shown],
            tr("Classes"): [cell(_classes(item)) for item in shown],
            tr("Epochs run"): pd.array([item.epochs_run for item in shown], dtype="Int64"),
            tr("Time"): pd.array([item.seconds for item in shown], dtype="Float64"),
            tr("Size"): pd.array(size, dtype="Float64"),
            tr("Date"): pd.to_datetime(
                pd.Series([created_on(item) for item in shown], dtype="object"), errors="coerce"
            ),
            tr("Note"): [cell(" ".join(item.note.split())) for item in shown],
        }
    )
    for setting in settings:
        table[_column_name(setting, table)] = _setting_column(setting, shown)
    return table


def _column_name(setting: str, table: pd.DataFrame) -> str:
    label = label_of(setting)
    return tr("{label} (setting)", label=label) if label in table else label


def _setting_column(setting: str, shown: Sequence[Summary]) -> Any:
    """Numbers as numbers, so that sorting works; else words."""
    values = [value_of(item, setting) for item in shown]
    if all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values):
        return pd.array(values, dtype="Float64")
    return [None if value is None else cell(shown_value(setting, value)) for value in values]


def _column_config() -> dict[str, Any]:
    colours = {word: colour for word, colour, _ in STATUS.values()} | {DAMAGED: "red", NO_MODEL: "gray"}
    config = st.column_config
    return {
        tr("Name"): config.TextColumn(pinned=True, width=150),
        tr("Status"): config.MultiselectColumn(options=[tr(word) for word in colours], color=list(colours.values()), width=95),
        tr("Default"): config.TextColumn(width=80, alignment="center", help=tr("Scans are read with this model as long as nobody chooses another.")),
        tr("AUC"): config.NumberColumn(width=65, help=tr("How well the classes are told apart on validation scans: 0.5 is guessing, 1 is perfect. The interval says how far chance alone could have moved it.")),
        tr("AUC, 95 %"): config.TextColumn(width=115, help=tr("The 95 % interval of the AUC.")),
        tr("Accuracy"): config.NumberColumn(width=80, help=tr("The share of validation scans that was called right. The interval says how far chance alone could have moved it.")),
        tr("Accuracy, 95 %"): config.TextColumn(width=115, help=tr("The 95 % interval of the accuracy.")),
        tr("Epochs run"): config.NumberColumn(width=90),
        tr("Size"): config.NumberColumn(width=80),
        tr("Date"): config.DatetimeColumn(format=tr("D MMM YYYY, HH:mm"), width=145),
    }  # fmt: skip


def _formats(table: pd.DataFrame) -> dict[str, Callable[[Any], str]]:
    """How numbers are written; the columns stay numbers, so that sorting works."""
    settings = {label: _if_known(_as_setting) for label in table.select_dtypes("Float64")}
    return settings | {
        tr("AUC"): _if_known(lambda auc: measure(auc, as_percent=False)),
        tr("Accuracy"): _if_known(measure),
        tr("Time"): _if_known(duration),
        tr("Size"): _if_known(lambda size: tr("{size:,.1f} MB", size=size)),
    }


def _problems(shown: Sequence[Summary]) -> None:
    for item in shown:
        if item.problem:
            st.warning(plain(whole(translate(item.problem))), icon=":material/warning:")


def _as_setting(value: float) -> str:
    return written(value, ".0f" if value.is_integer() else "g")


def _if_known(show: Callable[[float], str]) -> Callable[[Any], str]:
    """A table's cell in words, or a dash."""
    return lambda value: "–" if pd.isna(value) else show(float(value))


def _classes(item: Summary) -> str:
    return ", ".join(nice(whole(name)) for name in item.classes or ())


# ---------------------------------------------------------------- import


def _import(*, is_open: bool) -> None:
    state = st.session_state
    generation = state.setdefault("models_import", 0)
    with (
        st.expander(tr("Import a model"), icon=":material/upload:", expanded=is_open),
        st.form(f"models_import_{generation}", border=False, enter_to_submit=False),
    ):
        file = st.file_uploader(tr("A zip that was exported here or on another machine"), type=["zip"], key=f"models_zip_{generation}")  # fmt: skip
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
            with stated_errors():
                with st.spinner(tr("Checking the model…")):
                    taken_in = models.import_model(file, name.strip() or None)
                state["models_import"] = generation + 1
                state["models_wanted"] = [taken_in.name]
                announce(tr("“{name}” is imported.", name=taken_in.name))
                st.rerun()


if wanted := st.session_state.pop("models_wanted", None):
    st.session_state["models_chosen"] = wanted
    st.session_state.pop("models_search", None)
    st.session_state.pop("models_dataset", None)
main()
