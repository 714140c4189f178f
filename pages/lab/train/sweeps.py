"""How pages show a sweep: which run it is at, what came out so far, and what to do next."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from pages.shared.formatting import plain, span
from pages.shared.jobs import say_how_it_ended, stop_button
from pages.shared.runs import STATUS, heading
from pages.shared.settings import in_words, label_of, shown_value
from xrai.core import jobs
from xrai.core.language import N_, tr, translate, trn
from xrai.training.sweep import Sweep

RUN, AUC, ACCURACY = N_("Run"), N_("AUC (95 % interval)"), N_("Accuracy (95 % interval)")
WIDTHS = {RUN: 110, AUC: 170, ACCURACY: 180}


def show_sweep(sweep: Sweep, job: jobs.Job, status: jobs.Status) -> None:
    """One sweep: how it stands, and a table of its runs."""
    with heading(tr("Sweep {name}", name=sweep.name), status):
        if status in jobs.ACTIVE:
            stop_button(job, f"sweep-{sweep.name}")
    latest = {record["name"]: record for record in job.records() if record["kind"] == "run"}
    ended = [record for record in latest.values() if record["status"] != "running"]
    now = next((record for record in latest.values() if record["status"] == "running"), None)
    if status in jobs.ACTIVE:
        st.progress(len(ended) / len(sweep.runs), text=plain(_how_far(len(ended), len(sweep.runs), now)))
    say_how_it_ended(job, status, tr("The sweep"), then=tr("It can go on."))
    columns = {tr(name): st.column_config.TextColumn(width=width) for name, width in WIDTHS.items()}
    st.dataframe(_table(sweep, latest), hide_index=True, column_config=columns)
    for record in latest.values():
        if record["error"]:
            st.caption(plain(tr("{name}: {what}", name=record["name"], what=translate(record["error"]))))
    st.caption(
        tr(
            "Validation figures of each run's best epoch, with their 95 % intervals. Where intervals overlap, chance "
            "alone could explain the difference; and the best of many runs looks better than it is."
        )
    )


def _how_far(n_ended: int, n_runs: int, now: dict[str, Any] | None) -> str:
    if now is None:
        return trn("{n} of {runs} runs is over", "{n} of {runs} runs are over", n_ended, runs=n_runs)
    return trn(
        "{n} of {runs} runs is over; now {name}: {settings}",
        "{n} of {runs} runs are over; now {name}: {settings}",
        n_ended,
        runs=n_runs,
        name=now["name"],
        settings=in_words(now["settings"]),
    )


def _table(sweep: Sweep, latest: dict[str, dict[str, Any]]) -> pd.DataFrame:
    rows = []
    for run in sweep.runs:
        record = latest.get(run.name)
        found = (record or {}).get("val") or {}
        status = record["status"] if record else "waiting"
        rows.append(
            {tr(RUN): run.name}
            | {label_of(name): shown_value(name, value) for name, value in run.settings.items()}
            | {
                tr("Status"): tr(STATUS[status][0]) if status in STATUS else tr("Waiting"),
                tr(AUC): span(found["auc"], found["auc_interval"], as_percent=False) if found else "",
                tr(ACCURACY): span(found["accuracy"], found["accuracy_interval"]) if found else "",
            }
        )
    return pd.DataFrame(rows)
