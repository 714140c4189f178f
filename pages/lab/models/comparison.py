"""Several runs or models side by side: which is better, their curves and figures, and what their settings led to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from pages.lab.models.summaries import dataset_name, differing_settings, setting_value, table_cell
from pages.shared.charts import chart_config
from pages.shared.formatting import (
    escape_markdown,
    format_duration,
    format_megabytes,
    format_metric_with_interval,
    format_number,
    join_words,
    replace_surrogates,
)
from pages.shared.navigation import EVALUATE
from pages.shared.settings import GROUPS, MACHINE_GROUP, setting_label, value_text
from xrai.core.jobs import ACTIVE_STATUSES
from xrai.core.json_files import HISTORY_FILE
from xrai.core.language import tr
from xrai.core.paths import checkpoints_dir
from xrai.figures import interval_dots, overlaid_curves, parallel_settings
from xrai.figures.comparison import MAX_OVERLAID_RUNS
from xrai.models import Summary
from xrai.models.history import read_history
from xrai.training.config import TrainConfig

MAX_AXES = 3
"""Settings drawn as long as nobody chooses others: more do not fit on a narrow screen."""

HIGHLIGHT_STYLE = "background-color: rgba(217, 130, 43, 0.22); font-weight: 600"


def show_comparison(selected: list[Summary]) -> None:
    """Which of several is better, as far as chance lets one say, and where they differ."""
    st.subheader(tr("Side by side"), anchor=False)
    if len(selected) > MAX_OVERLAID_RUNS:
        st.caption(
            tr(
                "The first {most} of the {n} that are chosen: more cannot be told apart.",
                most=MAX_OVERLAID_RUNS,
                n=len(selected),
            )
        )
        selected = selected[:MAX_OVERLAID_RUNS]
    _show_verdict(selected)
    _show_curves(selected)
    _show_figures_table(selected)
    _show_settings_table(selected)


def _show_verdict(selected: Sequence[Summary]) -> None:
    _show_best(selected)
    st.page_link(EVALUATE, label=tr("Evaluate them on test scans"), icon=":material/fact_check:")


def _show_best(selected: Sequence[Summary]) -> None:
    """Whether one is better than the others, as far as the intervals tell."""
    scored = [item for item in selected if item.auc is not None and item.auc_interval]
    if len({(dataset_name(item), item.n_validation) for item in scored}) > 1:
        st.warning(
            tr(
                "These models were measured on different validation scans, so that their figures cannot be compared. "
                "Evaluate them on the same test scans instead."
            ),
            icon=":material/warning:",
        )
        return
    if len(scored) < 2:
        st.caption(
            tr("Fewer than two of them have a validation AUC with an interval: there is nothing to compare yet.")
        )
        return
    best = max(scored, key=lambda item: item.auc or 0.0)
    ties = [item for item in scored if f"{item.auc:.3f}" == f"{best.auc:.3f}"]
    if len(ties) > 1:
        names = join_words([_quote_name(item) for item in ties])
        st.info(
            escape_markdown(tr("{names} have the same highest validation AUC, {auc:.3f}.", names=names, auc=best.auc))
        )
        return
    low = best.auc_interval[0] if best.auc_interval else 0.0
    others = [item for item in scored if item is not best]
    overlapping = [_quote_name(item) for item in others if item.auc_interval and item.auc_interval[1] >= low]
    best_text = tr(
        "{name} has the highest validation AUC, {auc}.",
        name=_quote_name(best),
        auc=format_metric_with_interval(best.auc, best.auc_interval, as_percent=False),
    )
    if not overlapping:
        reason = tr("Its interval lies above the others: chance alone hardly explains the difference.")
        st.success(escape_markdown(f"{best_text} {reason}"))
    elif len(overlapping) == len(others):
        st.info(
            escape_markdown(f"{best_text} {tr('The intervals overlap: chance alone could explain the difference.')}")
        )
    else:
        reason = tr(
            "Its interval overlaps with that of {names}: there, chance alone could explain the difference.",
            names=join_words(overlapping),
        )
        st.info(escape_markdown(f"{best_text} {reason}"))


def _quote_name(item: Summary) -> str:
    return tr("“{name}”", name=replace_surrogates(item.name))


def _show_curves(selected: Sequence[Summary]) -> None:
    with_training = st.toggle(
        tr("Also the training curves"),
        key="models_training",
        persist_state="session",
        help=tr("Thin and dotted. Training far better than validation is overfitting."),
    )
    runs = {replace_surrogates(item.name): _read_records(item) for item in selected}
    grid = st.grid(2, min_column_width=340)
    for measure in ("auc", "accuracy", "loss"):
        figure = overlaid_curves(runs, measure, with_training=with_training)
        grid.plotly_chart(figure, key=f"models_{measure}", config=chart_config(f"comparison-{measure}"))
    with grid.cell():
        rows = [(replace_surrogates(item.name), item.auc, item.auc_interval) for item in selected]
        st.plotly_chart(
            interval_dots(rows, tr("Best validation AUC, 95 % interval")),
            key="models_intervals",
            config=chart_config("comparison-intervals"),
        )
        st.caption(
            tr(
                "The larger point on a curve is the epoch whose weights were kept. Bars that overlap mean that chance "
                "alone could explain the difference."
            )
        )
    if without_records := [item.name for item, records in zip(selected, runs.values(), strict=True) if not records]:
        st.caption(
            escape_markdown(
                tr(
                    "No learning curves for {names}.",
                    names=join_words([replace_surrogates(name) for name in without_records]),
                )
            )
        )


def _read_records(item: Summary) -> list[dict[str, Any]]:
    try:
        return [record.to_dict() for record in read_history(checkpoints_dir() / item.name / HISTORY_FILE)]
    except (OSError, RecursionError):
        return []


def _show_figures_table(selected: Sequence[Summary]) -> None:
    rows = {
        tr("Validation AUC"): [
            "–" if item.auc is None else format_metric_with_interval(item.auc, item.auc_interval, as_percent=False)
            for item in selected
        ],
        tr("Validation accuracy"): [
            "–" if item.accuracy is None else format_metric_with_interval(item.accuracy, item.accuracy_interval)
            for item in selected
        ],
        tr("Validation scans"): [_count_text(item.n_validation) for item in selected],
        tr("Epochs run"): [_count_text(item.epochs_run) for item in selected],
        tr("Time"): ["–" if item.seconds is None else format_duration(item.seconds) for item in selected],
        tr("Size"): [format_megabytes(item.size_bytes) for item in selected],
    }
    st.markdown(tr("**Figures**, with 95 % intervals"))
    _show_table(rows, selected, highlighted=())


def _count_text(n: int | None) -> str:
    return "–" if n is None else format_number(n, ",")


def _show_settings_table(selected: Sequence[Summary]) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(tr("**Settings**"), width="content")
        st.session_state.setdefault("models_only", True)
        is_only_differences = st.toggle(
            tr("Only differences"), key="models_only", persist_state="session", width="content"
        )
    settings = list(TrainConfig.model_fields)
    differing_names = differing_settings(selected)
    rows = {tr("Dataset"): [table_cell(dataset_name(item)) or "–" for item in selected]}
    differing_labels = {label for label, datasets in rows.items() if len(set(datasets)) > 1}
    for name in (*differing_names, *(name for name in settings if name not in differing_names)):
        values = [setting_value(item, name) for item in selected]
        rows[setting_label(name)] = ["–" if value is None else table_cell(value_text(name, value)) for value in values]
    differing_labels |= {setting_label(name) for name in differing_names}
    row_labels = sorted(rows, key=lambda label: label not in differing_labels)  # stable: else in their usual order
    if is_only_differences:
        row_labels = [label for label in row_labels if label in differing_labels]
    if not row_labels:
        st.caption(tr("They were trained with the same settings on the same dataset."))
        return
    _show_table(
        {label: rows[label] for label in row_labels},
        selected,
        highlighted=() if is_only_differences else tuple(differing_labels),
    )


def _show_table(rows: dict[str, list[str]], selected: Sequence[Summary], highlighted: Sequence[str]) -> None:
    """A table with a column for each run; rows that are marked stand out."""
    table = pd.DataFrame.from_dict(rows, orient="index", columns=[table_cell(item.name) for item in selected])
    style = table.style.apply(lambda row: [HIGHLIGHT_STYLE if row.name in highlighted else ""] * len(row), axis=1)
    st.dataframe(style, height="content", column_config={"_index": st.column_config.TextColumn("", width=190)})


# ---------------------------------------------------------------- what settings led to


def show_setting_effects(visible: Sequence[Summary]) -> None:
    """The settings in which runs differ against their validation AUC."""
    st.subheader(tr("Settings and results"), anchor=False)
    finished_runs = [
        item for item in visible if item.auc is not None and item.config and item.status not in ACTIVE_STATUSES
    ]
    if len(finished_runs) < 2:
        st.caption(tr("Two runs with a validation AUC are needed for this chart."))
        return
    differing_names = differing_settings(finished_runs)
    if not differing_names:
        st.caption(tr("These runs have the same settings: there is nothing to compare."))
        return
    axes = differing_names
    if len(differing_names) > MAX_AXES:
        key = f"models_axes_{'_'.join(differing_names)}"  # other runs, other axes to begin with
        n_values = {name: len({setting_value(item, name) for item in finished_runs}) for name in differing_names}
        initial_names = sorted(differing_names, key=lambda name: (name in GROUPS[MACHINE_GROUP], -n_values[name]))[
            :MAX_AXES
        ]
        st.session_state.setdefault(key, [name for name in differing_names if name in initial_names])
        axes = st.multiselect(
            tr("Settings to draw"),
            differing_names,
            key=key,
            format_func=setting_label,
            persist_state="session",
            select_all=False,
            placeholder=tr("Choose options"),
        )
        if not axes:
            return
    rows = [
        {
            "name": replace_surrogates(item.name),
            "auc": item.auc,
            "settings": {name: setting_value(item, name) for name in axes},
        }
        for item in finished_runs
    ]
    figure = parallel_settings(
        rows,
        {name: setting_label(name) for name in axes},
        lambda name, value: replace_surrogates(value_text(name, value)),
    )
    st.plotly_chart(figure, key="models_parallel", config={"displayModeBar": False})  # it would lie on the labels
    text = tr(
        "Each line is a run, from its settings to its validation AUC: the more orange, the better. Drag along an axis to "
        "keep only the runs that pass there."
    )
    if len({dataset_name(item) for item in finished_runs}) > 1:
        text += " " + tr("These runs learned from different datasets, so that not only settings made the difference.")
    st.caption(text)
