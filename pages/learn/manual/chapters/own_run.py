"""Chapter 5 of the manual: a run of the reader's own, its curves with what they show pointed at, and its errors counted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from pages.learn.manual.errors import show_errors
from pages.shared.charts import chart_config, text_colour
from pages.shared.formatting import class_labels, escape_markdown
from pages.shared.job_views import watch_job
from pages.shared.navigation import DATASET, TRAIN, fill_training_form, open_page, open_training, show_model_needed
from pages.shared.page import display_errors, show_switch
from pages.shared.runs import show_heading, show_reading_aid
from pages.shared.settings import setting_label, value_text
from pages.shared.verdict import population_text
from xrai.core import jobs
from xrai.core.errors import CheckpointError, DatasetError
from xrai.core.json_files import is_file
from xrai.core.language import N_, tr, translate
from xrai.core.paths import checkpoints_dir, home_dir
from xrai.data.dataset import open_dataset
from xrai.figures import accuracy_curves, auc_curves, loss_curves
from xrai.figures.curves import CALM, NOTABLE, SERIOUS, Annotation, annotate_curves
from xrai.models.checkpoint import Checkpoint, list_checkpoints
from xrai.models.history import HistoryRecord, parse_history
from xrai.training.config import TrainConfig, read_train_config
from xrai.training.diagnostics import TEXTBOOK_COUNTS, TEXTBOOK_KINDS, CurveFinding, analyse_curves, make_textbook_run

COLOURS = {"serious": SERIOUS, "notable": NOTABLE, "open": CALM, "fine": CALM}
ICONS = {
    "serious": ":red[:material/error:]",
    "notable": ":orange[:material/warning:]",
    "open": ":material/help:",
    "fine": ":green[:material/check_circle:]",
}
CURVES = {"loss": loss_curves, "accuracy": accuracy_curves, "auc": auc_curves}
TEXTBOOK_LABELS = {
    "well": N_("Learns well"),
    "overfits": N_("Overfits"),
    "underfits": N_("Underfits"),
    "rate-too-high": N_("Learning rate too high"),
}
_MAX_MARKS = 3


def show() -> None:
    """The chapter."""
    st.markdown(
        tr(
            "While a network trains, two lines are drawn for it: one of the scans that it learns from, one of scans that "
            "it never learns from. How they go says more about a model than a single figure. Choose a run of yours: what "
            "its curves show is found from the numbers and pointed at."
        )
    )
    _show_own_run()
    _show_textbook()


@st.fragment
@display_errors()
def _show_own_run() -> None:
    """A run of the reader's: choosing another draws this part of the page anew, and nothing else."""
    if runs := _list_runs():
        _watch_run(_choose_run(runs))
    else:
        show_model_needed(
            tr("There is no run yet. Train a model, and come back while it learns: its curves are read as they grow.")
        )


def _list_runs() -> list[Checkpoint]:
    """The runs whose curves are known, and the models, newest first."""
    return [
        run
        for run in list_checkpoints()
        if run.is_model or any(is_file(run.folder / name) for name in (jobs.HISTORY_FILE, jobs.JOB_FILE))
    ]


def _choose_run(runs: list[Checkpoint]) -> Checkpoint:
    names = {run.name: run for run in runs}
    active = [job.folder.name for job in jobs.list_active(checkpoints_dir())]
    recorded_names = [name for name in names if is_file(names[name].folder / jobs.HISTORY_FILE)]
    initial_name = next(name for name in (*active, *recorded_names, *names) if name in names)
    if st.session_state.get("manual_run") not in names:
        st.session_state["manual_run"] = initial_name
    name = st.selectbox(
        tr("Run"),
        list(names),
        key="manual_run",
        persist_state="session",
        format_func=lambda name: tr("{name} (training now)", name=name) if name in active else name,
    )
    return names[name]


def _watch_run(checkpoint: Checkpoint) -> None:
    job = jobs.Job(checkpoint.folder)
    watch_job(job, job.status, lambda job, status: _show_run(checkpoint, job, status))


@display_errors()
def _show_run(checkpoint: Checkpoint, job: jobs.Job, status: jobs.Status) -> None:
    """The curves of a run, what they show, and its errors."""
    records, config = parse_history(job.records()), _read_settings(checkpoint)
    show_heading(checkpoint.name, status)
    if checkpoint.is_model:
        whom = population_text(checkpoint.read_card())
        st.caption(escape_markdown(tr("Trained on {population}; never tested on other patients.", population=whom)))
    if not records:
        st.info(tr("This model came without the record of its training: there are no curves to read."))
    else:
        counts = _read_counts(checkpoint)
        findings = analyse_curves(records, config, counts=counts, status=status)
        _show_charts(records, findings, checkpoint.name)
        _show_findings(checkpoint, findings, config, status)
    if checkpoint.is_model and status not in jobs.ACTIVE_STATUSES:
        show_errors(checkpoint)


# ---------------------------------------------------------------- curves


def _show_charts(records: Sequence[HistoryRecord], findings: Sequence[CurveFinding], name: str) -> None:
    """The curves with what was found in them, and beside them how to read such curves.

    What is told within epochs is for watching a run; over whole epochs it would hide the lines.
    """
    chart_names = ["loss"]
    if any(record.kind == "epoch" for record in records):
        records, chart_names = [record for record in records if record.kind != "step"], list(CURVES)
    grid = st.grid(2, min_column_width=340)
    for chart in chart_names:
        figure = _draw_chart(chart, records, findings, name)
        grid.plotly_chart(figure, key=f"manual_{chart}", config=chart_config(f"{name}-{chart}"))
    with grid.cell():
        show_reading_aid()


def _draw_chart(chart: str, records: Sequence[HistoryRecord], findings: Sequence[CurveFinding], name: str) -> go.Figure:
    """A chart with its marks; it takes the place of that of another run at once, and not its zoom."""
    figure = annotate_curves(
        CURVES[chart]([record.to_dict() for record in records]),
        list(_chart_marks(chart, findings)),
        text_colour=text_colour(),
    )
    return figure.update_layout(uirevision=name)


def _chart_marks(chart: str, findings: Sequence[CurveFinding]) -> Iterator[Annotation]:
    """What is pointed at in a chart: what is to be pointed at, and is not too much to be read."""
    chart_findings = [item for item in findings if item.chart == chart and (item.at or item.span)]
    for finding in chart_findings[:_MAX_MARKS]:
        label = translate(finding.label or finding.title)
        mark = Annotation(label, COLOURS[finding.severity], finding.span, finding.at, finding.line)
        yield replace(mark, at=None) if mark.at and not all(map(math.isfinite, mark.at)) else mark


# ---------------------------------------------------------------- what was found


def _show_findings(
    checkpoint: Checkpoint, findings: Sequence[CurveFinding], config: TrainConfig | None, status: str
) -> None:
    st.markdown(tr("**What these curves show**"))
    grid = st.grid(2, min_column_width=340)
    for finding in findings:
        with grid.cell(), st.container(border=True):
            _show_finding(finding)
            _show_next_step(checkpoint, finding, config, status)


def _show_finding(finding: CurveFinding) -> None:
    st.markdown(f"{ICONS[finding.severity]} **{escape_markdown(translate(finding.title))}**")
    st.markdown(escape_markdown(translate(finding.sentence)))
    if finding.advice:
        st.markdown(f":material/arrow_forward: {escape_markdown(translate(finding.advice))}")


def _show_next_step(checkpoint: Checkpoint, finding: CurveFinding, config: TrainConfig | None, status: str) -> None:
    """Where the advice leads: to a new run with other settings, to the run, or to the dataset."""
    key = f"manual_{finding.kind}_{checkpoint.name}"
    if finding.kind == "small-validation":
        st.page_link(DATASET, label=tr("Build a dataset"), icon=":material/folder_open:")
    elif finding.kind == "broken-off":
        if st.button(tr("Open it on Train"), key=key, icon=":material/model_training:"):
            open_training(checkpoint.name)
    elif finding.changes and config and status not in jobs.ACTIVE_STATUSES:
        change_texts = [
            tr(
                "{setting}: {new} instead of {old}",
                setting=setting_label(name),
                new=value_text(name, value),
                old=value_text(name, getattr(config, name)),
            )
            for name, value in finding.changes.items()
        ]
        st.caption(escape_markdown(tr("For a next run: {changes}.", changes="; ".join(change_texts))))
        if st.button(tr("Set that on Train"), key=key, icon=":material/tune:"):
            dataset = _read_dataset_name(checkpoint)
            fill_training_form(checkpoint.name, config.to_dict(), changes=finding.changes, dataset=dataset)
            open_page(TRAIN)


# ---------------------------------------------------------------- what is known of a run


def _read_settings(checkpoint: Checkpoint) -> TrainConfig | None:
    """Its settings; None where they are missing or damaged."""
    with suppress(CheckpointError):
        return read_train_config(checkpoint)
    return None


def _read_dataset_name(checkpoint: Checkpoint) -> str:
    with suppress(CheckpointError):
        return checkpoint.read_config()["dataset"]
    return ""


def _read_counts(checkpoint: Checkpoint) -> dict[str, Mapping[str, int]]:
    """The scans of each class, as people write it, in each split; nothing where nobody knows."""
    counts = _counts_from_card(checkpoint) or _counts_from_dataset(checkpoint)
    return dict(zip(class_labels(list(counts)), counts.values(), strict=True))


def _counts_from_card(checkpoint: Checkpoint) -> dict[str, Any]:
    with suppress(CheckpointError):
        counts = checkpoint.read_card().dataset.counts if checkpoint.is_model else None
        if isinstance(counts, dict) and all(isinstance(row, dict) for row in counts.values()):
            return counts
    return {}


def _counts_from_dataset(checkpoint: Checkpoint) -> dict[str, Any]:
    """The same of a run that has no card yet."""
    file = home_dir() / _read_dataset_name(checkpoint)
    with suppress(DatasetError, OSError):
        if file.is_file():
            return _read_dataset_counts(str(file), file.stat().st_mtime_ns)
    return {}


@st.cache_data(max_entries=20, show_spinner=False)
def _read_dataset_counts(path: str, mtime_ns: int) -> dict[str, Any]:
    """Of a dataset, opened once as long as it does not change: a run that goes on is drawn every second."""
    with open_dataset(path) as dataset:
        return dataset.counts()


# ---------------------------------------------------------------- textbook


@st.fragment
@display_errors()
def _show_textbook() -> None:
    """Made-up runs beside one's own, read by the same rules."""
    st.subheader(tr("Compare with textbook curves"), anchor=False)
    st.caption(
        tr(
            "**Made up:** no network learned these. They are drawn from formulas with a little noise, and read by the same rules."
        )
    )
    kind = show_switch(
        tr("Textbook run"),
        TEXTBOOK_KINDS,
        "manual_textbook",
        default=TEXTBOOK_KINDS[1],
        format_func=lambda kind: tr(TEXTBOOK_LABELS[kind]),
    )
    records = make_textbook_run(kind)
    counts = dict(zip(class_labels(list(TEXTBOOK_COUNTS)), TEXTBOOK_COUNTS.values(), strict=True))
    findings = [item for item in analyse_curves(records, counts=counts) if item.kind != "kept"]
    halves = st.grid(2, min_column_width=340)
    figure = _draw_chart("loss", records, findings, kind)
    halves.plotly_chart(figure, key="manual_textbook_loss", config=chart_config(f"textbook-{kind}"))
    with halves.cell():
        for finding in findings:
            with st.container(border=True):
                _show_finding(finding)
