"""Several runs or models side by side: which is better, their curves and figures, and what their settings led to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from pages.lab.models.summaries import cell, dataset_of, differing, value_of
from pages.shared.charts import chart_config
from pages.shared.formatting import duration, listed, megabytes, plain, span, whole, written
from pages.shared.settings import GROUPS, MACHINE, label_of, shown_value
from xrai import models
from xrai.core.jobs import ACTIVE, Job
from xrai.core.language import tr
from xrai.core.paths import checkpoints_dir
from xrai.figures import interval_dots, overlaid_curves, parallel_settings
from xrai.figures.comparison import MOST_RUNS
from xrai.models import Summary
from xrai.networks.config import TrainConfig

AXES = 3
"""Settings drawn as long as nobody chooses others: more do not fit on a narrow screen."""

CHOSEN_COLOURS = "background-color: rgba(217, 130, 43, 0.22); font-weight: 600"


def comparison(picked: list[Summary]) -> None:
    """Which of several is better, as far as chance lets one say, and where they differ."""
    st.subheader(tr("Side by side"), anchor=False)
    if len(picked) > MOST_RUNS:
        st.caption(
            tr(
                "The first {most} of the {n} that are chosen: more cannot be told apart.",
                most=MOST_RUNS,
                n=len(picked),
            )
        )
        picked = picked[:MOST_RUNS]
    _verdict(picked)
    _curves(picked)
    _figures_table(picked)
    _settings_table(picked)


def _verdict(picked: Sequence[Summary]) -> None:
    _best(picked)
    st.page_link("pages/lab/evaluate/page.py", label=tr("Evaluate them on test scans"), icon=":material/fact_check:")


def _best(picked: Sequence[Summary]) -> None:
    """Whether one is better than the others, as far as the intervals tell."""
    known = [item for item in picked if item.auc is not None and item.auc_interval]
    if len({(dataset_of(item), item.n_validation) for item in known}) > 1:
        st.warning(
            tr(
                "These models were measured on different validation scans, so that their figures cannot be compared. "
                "Evaluate them on the same test scans instead."
            ),
            icon=":material/warning:",
        )
        return
    if len(known) < 2:
        st.caption(
            tr("Fewer than two of them have a validation AUC with an interval: there is nothing to compare yet.")
        )
        return
    best = max(known, key=lambda item: item.auc or 0.0)
    equal = [item for item in known if f"{item.auc:.3f}" == f"{best.auc:.3f}"]
    if len(equal) > 1:
        names = listed([_quoted(item) for item in equal])
        st.info(plain(tr("{names} have the same highest validation AUC, {auc:.3f}.", names=names, auc=best.auc)))
        return
    low = best.auc_interval[0] if best.auc_interval else 0.0
    others = [item for item in known if item is not best]
    close = [_quoted(item) for item in others if item.auc_interval and item.auc_interval[1] >= low]
    first = tr(
        "{name} has the highest validation AUC, {auc}.",
        name=_quoted(best),
        auc=span(best.auc, best.auc_interval, as_percent=False),
    )
    if not close:
        reason = tr("Its interval lies above the others: chance alone hardly explains the difference.")
        st.success(plain(f"{first} {reason}"))
    elif len(close) == len(others):
        st.info(plain(f"{first} {tr('The intervals overlap: chance alone could explain the difference.')}"))
    else:
        reason = tr(
            "Its interval overlaps with that of {names}: there, chance alone could explain the difference.",
            names=listed(close),
        )
        st.info(plain(f"{first} {reason}"))


def _quoted(item: Summary) -> str:
    return tr("“{name}”", name=whole(item.name))


def _curves(picked: Sequence[Summary]) -> None:
    with_training = st.toggle(
        tr("Also the training curves"), key="models_training", persist_state="session",
        help=tr("Thin and dotted. Training far better than validation is learning by heart."),
    )  # fmt: skip
    runs = {whole(item.name): _records(item) for item in picked}
    grid = st.grid(2, min_column_width=340)
    for measure in ("auc", "accuracy", "loss"):
        figure = overlaid_curves(runs, measure, with_training=with_training)
        grid.plotly_chart(figure, key=f"models_{measure}", config=chart_config(f"comparison-{measure}"))
    with grid.cell():
        rows = [(whole(item.name), item.auc, item.auc_interval) for item in picked]
        st.plotly_chart(
            interval_dots(rows, tr("Best validation AUC, 95 % interval")), key="models_intervals",
            config=chart_config("comparison-intervals"),
        )  # fmt: skip
        st.caption(
            tr(
                "The larger point on a curve is the epoch whose weights were kept. Bars that overlap mean that chance "
                "alone could explain the difference."
            )
        )
    if bare := [item.name for item, records in zip(picked, runs.values(), strict=True) if not records]:
        st.caption(plain(tr("No curves are known of {names}.", names=listed([whole(name) for name in bare]))))


def _records(item: Summary) -> list[dict[str, Any]]:
    try:
        return [record for record in Job(checkpoints_dir() / item.name).records() if models.is_sound(record)]
    except (OSError, RecursionError):
        return []


def _figures_table(picked: Sequence[Summary]) -> None:
    rows = {
        tr("Validation AUC"): ["–" if item.auc is None else span(item.auc, item.auc_interval, as_percent=False) for item in picked],
        tr("Validation accuracy"): ["–" if item.accuracy is None else span(item.accuracy, item.accuracy_interval) for item in picked],
        tr("Validation scans"): [_counted(item.n_validation) for item in picked],
        tr("Epochs run"): [_counted(item.epochs_run) for item in picked],
        tr("Time"): ["–" if item.seconds is None else duration(item.seconds) for item in picked],
        tr("Size"): [megabytes(item.size_bytes) for item in picked],
    }  # fmt: skip
    st.markdown(tr("**Figures**, with 95 % intervals"))
    _side_by_side(rows, picked, marked=())


def _counted(n: int | None) -> str:
    return "–" if n is None else written(n, ",")


def _settings_table(picked: Sequence[Summary]) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(tr("**Settings**"), width="content")
        st.session_state.setdefault("models_only", True)
        only = st.toggle(tr("Only differences"), key="models_only", persist_state="session", width="content")
    settings = list(TrainConfig.__dataclass_fields__)
    varied = differing(picked)
    rows = {tr("Dataset"): [cell(dataset_of(item)) or "–" for item in picked]}
    unlike = {label for label, datasets in rows.items() if len(set(datasets)) > 1}
    for name in (*varied, *(name for name in settings if name not in varied)):
        values = [value_of(item, name) for item in picked]
        rows[label_of(name)] = ["–" if value is None else cell(shown_value(name, value)) for value in values]
    unlike |= {label_of(name) for name in varied}
    ordered = sorted(rows, key=lambda label: label not in unlike)  # stable: else in their usual order
    if only:
        ordered = [label for label in ordered if label in unlike]
    if not ordered:
        st.caption(tr("They were trained with the same settings on the same dataset."))
        return
    _side_by_side({label: rows[label] for label in ordered}, picked, marked=() if only else tuple(unlike))


def _side_by_side(rows: dict[str, list[str]], picked: Sequence[Summary], marked: Sequence[str]) -> None:
    """A table with a column for each run; rows that are marked stand out."""
    table = pd.DataFrame.from_dict(rows, orient="index", columns=[cell(item.name) for item in picked])
    style = table.style.apply(
        lambda row: [CHOSEN_COLOURS if row.name in marked else ""] * len(row), axis=1
    )  # fmt: skip
    st.dataframe(style, height="content", column_config={"_index": st.column_config.TextColumn("", width=190)})


# ---------------------------------------------------------------- what settings led to


def what_settings_led_to(shown: Sequence[Summary]) -> None:
    """The settings in which runs differ against their validation AUC."""
    st.subheader(tr("What the settings led to"), anchor=False)
    finished = [item for item in shown if item.auc is not None and item.config and item.status not in ACTIVE]
    if len(finished) < 2:
        st.caption(tr("Here, settings are drawn against validation AUC as soon as two runs have one."))
        return
    varied = differing(finished)
    if not varied:
        st.caption(
            tr("These runs were trained with the same settings: there is nothing to draw against validation AUC.")
        )
        return
    axes = varied
    if len(varied) > AXES:
        key = f"models_axes_{'_'.join(varied)}"  # other runs, other axes to begin with
        n_values = {name: len({value_of(item, name) for item in finished}) for name in varied}
        first = sorted(varied, key=lambda name: (name in GROUPS[MACHINE], -n_values[name]))[:AXES]
        st.session_state.setdefault(key, [name for name in varied if name in first])
        axes = st.multiselect(
            tr("Settings to draw"),
            varied,
            key=key,
            format_func=label_of,
            persist_state="session",
            select_all=False,
            placeholder=tr("Choose options"),
        )
        if not axes:
            return
    rows = [
        {"name": whole(item.name), "auc": item.auc, "settings": {name: value_of(item, name) for name in axes}}
        for item in finished
    ]
    figure = parallel_settings(rows, {name: label_of(name) for name in axes}, lambda name, value: whole(shown_value(name, value)))  # fmt: skip
    st.plotly_chart(figure, key="models_parallel", config={"displayModeBar": False})  # it would lie on the labels
    words = tr(
        "Each line is a run, from its settings to its validation AUC: the more orange, the better. Drag along an axis to "
        "keep only the runs that pass there."
    )
    if len({dataset_of(item) for item in finished}) > 1:
        words += " " + tr("These runs learned from different datasets, so that not only settings made the difference.")
    st.caption(words)
