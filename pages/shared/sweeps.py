"""How pages show a sweep: which run it is at, what came out so far, and what to do next."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages.shared.jobs import say_how_it_ended, stop_button
from pages.shared.runs import STATUS, heading
from pages.shared.settings import in_words, label_of, shown_value
from pages.shared.words import plain, span
from xrai import jobs
from xrai.sweep import Sweep

AUC, ACCURACY = "AUC (95 % interval)", "Accuracy (95 % interval)"
WIDTHS = {"Run": 110, AUC: 170, ACCURACY: 180}


def show_sweep(sweep: Sweep, job: jobs.Job, status: jobs.Status) -> None:
    """One sweep: how it stands, and a table of its runs."""
    with heading(f"Sweep {sweep.name}", status):
        if status in jobs.ACTIVE:
            stop_button(job, f"sweep-{sweep.name}")
    told = {record["name"]: record for record in job.records() if record["kind"] == "run"}
    ended = [record for record in told.values() if record["status"] != "running"]
    now = next((record for record in told.values() if record["status"] == "running"), None)
    if status in jobs.ACTIVE:
        words = f"{len(ended)} of {len(sweep.runs)} runs are over"
        if now:
            words += f"; now {now['name']}: {in_words(now['settings'])}"
        st.progress(len(ended) / len(sweep.runs), text=plain(words))
    say_how_it_ended(job, status, "The sweep", then="It can go on.")
    columns = {name: st.column_config.TextColumn(width=width) for name, width in WIDTHS.items()}
    st.dataframe(_table(sweep, told), hide_index=True, column_config=columns)
    for record in told.values():
        if record["error"]:
            st.caption(plain(f"{record['name']}: {record['error']}"))
    st.caption(
        "Validation figures of each run's best epoch, with their 95 % intervals. Where intervals overlap, chance alone "
        "could explain the difference; and the best of many runs looks better than it is."
    )


def _table(sweep: Sweep, told: dict[str, dict]) -> pd.DataFrame:
    rows = []
    for run in sweep.runs:
        record = told.get(run.name)
        found = (record or {}).get("val") or {}
        status = record["status"] if record else "waiting"
        rows.append(
            {"Run": run.name}
            | {label_of(name): shown_value(name, value) for name, value in run.settings.items()}
            | {
                "Status": STATUS[status][0] if status in STATUS else "Waiting",
                AUC: span(found["auc"], found["auc_interval"], as_percent=False) if found else "",
                ACCURACY: span(found["accuracy"], found["accuracy_interval"]) if found else "",
            }
        )
    return pd.DataFrame(rows)
