"""How pages show a sweep: which run it is at, what came out so far, and what to do next."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from pages.shared.formatting import escape_markdown, format_metric_with_interval
from pages.shared.job_views import show_job_end, show_stop_button
from pages.shared.runs import STATUS, show_heading
from pages.shared.settings import setting_label, settings_text, value_text
from xrai.core import jobs
from xrai.core.language import N_, tr, translate, trn
from xrai.training.sweep import Sweep

RUN, AUC, ACCURACY = N_("Run"), N_("AUC (95 % interval)"), N_("Accuracy (95 % interval)")
WIDTHS = {RUN: 110, AUC: 170, ACCURACY: 180}


def show_sweep(sweep: Sweep, job: jobs.Job, status: jobs.Status) -> None:
    """One sweep: how it stands, and a table of its runs."""
    with show_heading(tr("Sweep {name}", name=sweep.name), status):
        if status in jobs.ACTIVE_STATUSES:
            show_stop_button(job, f"sweep-{sweep.name}")
    latest_records = {record["name"]: record for record in job.records() if record["kind"] == "run"}
    finished_runs = [record for record in latest_records.values() if record["status"] != "running"]
    current_run = next((record for record in latest_records.values() if record["status"] == "running"), None)
    if status in jobs.ACTIVE_STATUSES:
        st.progress(
            len(finished_runs) / len(sweep.runs),
            text=escape_markdown(_progress_text(len(finished_runs), len(sweep.runs), current_run)),
        )
    show_job_end(job, status, tr("The sweep"), next_step=tr("It can be resumed."))
    columns = {tr(name): st.column_config.TextColumn(width=width) for name, width in WIDTHS.items()}
    st.dataframe(_build_table(sweep, latest_records), hide_index=True, column_config=columns)
    for record in latest_records.values():
        if record["error"]:
            st.caption(escape_markdown(tr("{name}: {what}", name=record["name"], what=translate(record["error"]))))
    st.caption(
        tr(
            "Validation metrics of the best epoch of each run, with 95 % intervals. If intervals overlap, the "
            "difference may be chance; and the best of many runs looks better than it is."
        )
    )


def _progress_text(n_finished: int, n_runs: int, current_run: dict[str, Any] | None) -> str:
    if current_run is None:
        return trn("{n} of {runs} runs is over", "{n} of {runs} runs are over", n_finished, runs=n_runs)
    return trn(
        "{n} of {runs} runs is over; now {name}: {settings}",
        "{n} of {runs} runs are over; now {name}: {settings}",
        n_finished,
        runs=n_runs,
        name=current_run["name"],
        settings=settings_text(current_run["settings"]),
    )


def _build_table(sweep: Sweep, latest_records: dict[str, dict[str, Any]]) -> pd.DataFrame:
    rows = []
    for run in sweep.runs:
        record = latest_records.get(run.name)
        metrics = (record or {}).get("val") or {}
        status = record["status"] if record else "waiting"
        rows.append(
            {tr(RUN): run.name}
            | {setting_label(name): value_text(name, value) for name, value in run.settings.items()}
            | {
                tr("Status"): tr(STATUS[status][0]) if status in STATUS else tr("Waiting"),
                tr(AUC): format_metric_with_interval(metrics["auc"], metrics["auc_interval"], as_percent=False)
                if metrics
                else "",
                tr(ACCURACY): format_metric_with_interval(metrics["accuracy"], metrics["accuracy_interval"])
                if metrics
                else "",
            }
        )
    return pd.DataFrame(rows)
