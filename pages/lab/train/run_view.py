"""Training progress: epoch, validation metrics, learning curves and downloads of a run."""

from __future__ import annotations

import csv
import io
from typing import Any

import streamlit as st

from pages.shared.charts import chart_config
from pages.shared.formatting import (
    AUC_HELP,
    escape_markdown,
    format_duration,
    format_metric,
    format_number,
    interval_caption,
)
from pages.shared.runs import show_reading_aid
from xrai.core import jobs
from xrai.core.language import N_, language, tr, translate, trn, use_language
from xrai.figures import accuracy_curves, auc_curves, loss_curves, make_html_page
from xrai.models.checkpoint import Checkpoint


def show_curves(
    checkpoint: Checkpoint, records: list[dict[str, Any]], final_metrics: dict[str, Any] | None = None
) -> None:
    """The numbers of a run so far, its curves, and how to read them.

    `final` are the measures of the weights as they were saved, in 32 bits, once the run is over: they may differ a
    little from what the run told of its best epoch.
    """
    _show_numbers(records, final_metrics or {})
    grid = st.grid(2, min_column_width=340)
    for kind, figure in _draw_figures(records).items():
        grid.plotly_chart(
            figure, key=f"train_{kind}_{checkpoint.name}", config=chart_config(f"{checkpoint.name}-{kind}")
        )
    with grid.cell():
        show_reading_aid(_find_plan(records))


def show_progress(records: list[dict[str, Any]], status: str) -> None:
    """How far an active run is, and how long it will take."""
    plan = _find_plan(records)
    steps = [record for record in records if record["kind"] == "step"]
    if plan is None or not steps or status not in jobs.ACTIVE_STATUSES:
        return
    last_step, done = steps[-1], sum(record["kind"] == "epoch" for record in records)  # steps may be told less often
    progress = max(last_step["progress"], done)
    if records[-1]["kind"] == "finalize":
        stage_text = escape_markdown(translate(records[-1]["stage"]))
        st.progress(1.0, text=tr("Post-training: {step}", step=stage_text))
        return
    if progress >= plan["epochs"]:
        st.progress(1.0, text=tr("Finishing: choosing and measuring the best weights"))
        return
    st.progress(progress / plan["epochs"], text=_pace_text(plan, last_step, min(int(progress) + 1, plan["epochs"])))


def _find_plan(records: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The record with which the run started or last resumed."""
    return next((record for record in reversed(records) if record["kind"] in ("start", "resume")), None)


def _pace_text(plan: dict[str, Any], last_step: dict[str, Any], epoch: int) -> str:
    """Which epoch a run is in, how fast it is, and what is left."""
    freeze_epochs = plan.get("freeze_epochs", 0)
    if not freeze_epochs:
        message = N_("Epoch {epoch} of {epochs}, {speed:,.0f} images a second, about {left} left")
    elif epoch <= freeze_epochs:
        message = N_(
            "Epoch {epoch} of {epochs} (the last layer alone), {speed:,.0f} images a second, about {left} left"
        )
    else:
        message = N_("Epoch {epoch} of {epochs} (the whole network), {speed:,.0f} images a second, about {left} left")
    left = format_duration(last_step["seconds_left"])
    return tr(message, epoch=epoch, epochs=plan["epochs"], speed=last_step["images_per_second"], left=left)


def _show_numbers(records: list[dict[str, Any]], final_metrics: dict[str, Any]) -> None:
    epochs = [record for record in records if record["kind"] == "epoch"]
    grid = st.grid(4, min_column_width=160)
    if not epochs:
        last_step = [record for record in records if record["kind"] == "step"][-1]
        grid.metric(tr("Training loss just now"), format_number(last_step["loss"], ".3f"))
        grid.metric(tr("Training accuracy just now"), format_number(last_step["accuracy"], ".0%"))
        grid.caption(tr("Validation comes at the end of the first epoch."))
        return
    best = ([record for record in epochs if record["best"]] or epochs)[-1]
    validation = best["val"] | final_metrics
    grid.metric(
        tr("Best epoch") if final_metrics else tr("Best epoch so far"),
        tr("{epoch} of {epochs}", epoch=best["epoch"], epochs=len(epochs)),
    )
    with grid.cell():
        st.metric(
            tr("Validation accuracy"), format_metric(validation["accuracy"]), help=_interval_help(validation["n"])
        )
        st.caption(interval_caption(validation["accuracy_interval"]))
    with grid.cell():
        st.metric(tr("Validation AUC"), format_metric(validation["auc"], as_percent=False), help=tr(AUC_HELP))
        st.caption(interval_caption(validation["auc_interval"], as_percent=False))
    grid.metric(tr("Validation loss"), format_number(validation["loss"], ".3f"))


def _interval_help(n: int) -> str:
    return trn(
        "Measured on {n:,} scan held out from learning. The interval says how far chance alone could have moved it.",
        "Measured on {n:,} scans held out from learning. The interval says how far chance alone could have moved it.",
        n,
    )


def _draw_figures(records: list[dict[str, Any]]) -> dict[str, Any]:
    return {"loss": loss_curves(records), "accuracy": accuracy_curves(records), "auc": auc_curves(records)}


def show_downloads(checkpoint: Checkpoint, records: list[dict[str, Any]]) -> None:
    """A run's history and charts as files."""
    language_code = language()  # when the file is asked for, no page is drawn whose language could be told
    st.download_button(
        tr("History (CSV)"),
        lambda: _history_csv(records),
        f"{checkpoint.name}-history.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
        key=f"history_{checkpoint.name}",
    )
    st.download_button(
        tr("Charts (HTML)"),
        lambda: _charts_page(records, checkpoint.name, language_code),
        f"{checkpoint.name}-charts.html",
        "text/html",
        icon=":material/download:",
        on_click="ignore",
        key=f"charts_{checkpoint.name}",
    )


def _charts_page(records: list[dict[str, Any]], name: str, language_code: str) -> str:
    with use_language(language_code):
        return make_html_page(_draw_figures(records), name)


def _history_csv(records: list[dict[str, Any]]) -> str:
    """The epochs of a run as a table."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = ("loss", "accuracy", "auc")
    writer.writerow(
        [
            "epoch",
            *(f"train_{name}" for name in columns),
            *(f"val_{name}" for name in columns),
            "val_accuracy_low",
            "val_accuracy_high",
            "val_auc_low",
            "val_auc_high",
            "learning_rate",
            "seconds",
            "best",
        ]
    )
    for record in records:
        if record["kind"] == "epoch":
            train, val = record["train"], record["val"]
            intervals = [*(val["accuracy_interval"] or ("", "")), *(val["auc_interval"] or ("", ""))]
            writer.writerow(
                [
                    record["epoch"],
                    *(train[name] for name in columns),
                    *(val[name] for name in columns),
                    *intervals,
                    record["learning_rate"],
                    record["seconds"],
                    record["best"],
                ]
            )
    return out.getvalue()
