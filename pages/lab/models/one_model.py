"""One run or model: its figures, and what can be done with it; rename, note, choose, export and delete it."""

from __future__ import annotations

import io
from collections.abc import Iterator

import streamlit as st

from pages.lab.models.summaries import created_on, dataset_of, network_of, status_word
from pages.shared.deletion import ask_before_deleting
from pages.shared.formatting import (
    AUC_HELP,
    day,
    duration,
    interval_line,
    listed,
    measure,
    megabytes,
    nice,
    plain,
    whole,
    written,
)
from pages.shared.navigation import evaluate_model, read_scans_with, show_training
from pages.shared.page import announce, stated_errors, stated_later
from pages.shared.runs import heading
from xrai import models
from xrai.core.jobs import ACTIVE
from xrai.core.language import N_, tr, trn
from xrai.core.paths import checkpoints_dir
from xrai.models import Summary
from xrai.models.checkpoint import Checkpoint

NOT_KNOWN = N_("no interval known")


def one_model(item: Summary) -> None:
    """Its figures, and what can be done with it."""
    name, is_active = whole(item.name), item.status in ACTIVE
    checkpoint = Checkpoint(checkpoints_dir() / item.name)
    with st.container(border=True):
        with heading(name, "" if item.problem else item.status, status_word(item)):
            if item.is_default:
                st.badge(tr("Default: scans are read with it"), color="green", icon=":material/stethoscope:")
        _facts(item)
        _ways_on(item)
        halves = st.grid(2, min_column_width=320)
        with halves.cell():
            _note(item, checkpoint)
        with halves.cell():
            if is_active:
                st.caption(tr("It can be renamed, exported and deleted when its training is over."))
            else:
                _rename(name, checkpoint)
                _files(item, name, checkpoint)


def _facts(item: Summary) -> None:
    grid = st.grid(4, min_column_width=150)
    with grid.cell():
        st.metric(tr("Validation AUC"), measure(item.auc, as_percent=False), help=tr(AUC_HELP))
        st.caption(interval_line(item.auc_interval, as_percent=False, missing=NOT_KNOWN))
    with grid.cell():
        st.metric(
            tr("Validation accuracy"), measure(item.accuracy), help=tr("The share of scans that was called right.")
        )
        st.caption(interval_line(item.accuracy_interval, missing=NOT_KNOWN))
    with grid.cell():
        st.metric(tr("Epochs run"), "–" if item.epochs_run is None else written(item.epochs_run, ","))
        st.caption(tr("time not known") if item.seconds is None else tr("in {time}", time=duration(item.seconds)))
    with grid.cell():
        st.metric(tr("Size"), megabytes(item.size_bytes))
        made = created_on(item)
        st.caption(day(made) if made else tr("date not known"))
    st.markdown(plain(" ".join(_said(item))))


def _said(item: Summary) -> Iterator[str]:
    """What is known of it, in sentences."""
    if item.classes:
        yield tr("Tells apart {classes}.", classes=listed([nice(whole(name)) for name in item.classes]))
    if item.dataset:
        yield tr("Learned from the dataset {name}.", name=dataset_of(item))
    if item.n_validation:
        yield trn("Measured on {n:,} validation scan.", "Measured on {n:,} validation scans.", item.n_validation)
    if item.config:
        size = item.config["image_size"]
        yield tr("{network} on pictures of {size}\u00a0×\u00a0{size} pixels.", network=network_of(item), size=size)


def _ways_on(item: Summary) -> None:
    """Buttons and not links: each opens its page on this model."""
    with st.container(horizontal=True):
        if item.is_model and not item.problem:
            if item.is_default:
                if st.button(
                    tr("Read scans with it"), type="primary", icon=":material/stethoscope:", key="models_read"
                ):
                    read_scans_with(item.name)
            elif st.button(
                tr("Use it to diagnose"), type="primary", icon=":material/stethoscope:", key="models_use",
                help=tr("Scans are then read with it, as long as nobody chooses another on the page Diagnose."),
            ):  # fmt: skip
                _use(item)
            if st.button(tr("Evaluate it"), icon=":material/fact_check:", key="models_evaluate"):
                evaluate_model(item.name)
        if item.status != "none" or item.epochs_run:
            words = tr("Watch its training") if item.status in ACTIVE else tr("See its training")
            if st.button(words, icon=":material/model_training:", key="models_training_of"):
                show_training(item.name)


def _use(item: Summary) -> None:
    with stated_errors():
        models.set_default(Checkpoint(checkpoints_dir() / item.name))
        announce(tr("Scans are read with “{name}” from now on.", name=item.name))
        read_scans_with(item.name)


def _note(item: Summary, checkpoint: Checkpoint) -> None:
    key = f"models_note_{whole(item.name)}_{hash(item.note)}"
    with st.form(f"{key}_form", border=False, enter_to_submit=False):
        st.text_area(
            tr("Note"), item.note, key=key, max_chars=models.MAX_NOTE, height=120,
            placeholder=tr("What was tried, what came out, who may use it"),
        )  # fmt: skip
        st.form_submit_button(
            tr("Save the note"), icon=":material/save:", key=f"{key}_save", on_click=_save_note, args=(checkpoint, key)
        )


def _save_note(checkpoint: Checkpoint, key: str) -> None:
    with stated_later():
        models.set_note(checkpoint, st.session_state[key])
        announce(tr("The note on “{name}” is saved.", name=checkpoint.name))


def _rename(name: str, checkpoint: Checkpoint) -> None:
    key = f"models_name_{name}"
    with (
        st.form(f"{key}_form", border=False, enter_to_submit=False),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        st.text_input(tr("Name"), name, key=key, max_chars=80)
        st.form_submit_button(
            tr("Rename"), icon=":material/edit:", key=f"{key}_rename", on_click=_rename_now, args=(checkpoint, key)
        )


def _rename_now(checkpoint: Checkpoint, key: str) -> None:
    state = st.session_state
    with stated_later():
        renamed = models.rename(checkpoint, state[key].strip())
        if renamed != checkpoint:
            state["models_chosen"] = [renamed.name]
            announce(tr("“{before}” is called “{now}” now.", before=checkpoint.name, now=renamed.name))


def _files(item: Summary, name: str, checkpoint: Checkpoint) -> None:
    with st.container(horizontal=True):
        if item.is_model and not item.problem:
            st.download_button(
                tr("Export as zip"), lambda: _zip(checkpoint), f"{name}.zip", "application/zip", on_click="ignore",
                icon=":material/download:", key="models_export",
                help=tr("The whole model in one file, to be imported on another machine."),
            )  # fmt: skip
        st.button(
            tr("Delete"), icon=":material/delete:", type="tertiary", key="models_delete", on_click=_delete,
            args=(checkpoint,),
        )  # fmt: skip


def _zip(checkpoint: Checkpoint) -> io.BytesIO:
    out = io.BytesIO()
    models.export_model(checkpoint, out)
    out.seek(0)
    return out


def _delete(checkpoint: Checkpoint) -> None:
    words = tr(
        "**{name}** is deleted from this computer for good, with its weights and curves.",
        name=plain(whole(checkpoint.name)),
    )
    if models.default_model() == checkpoint:
        words += " " + tr("It is the model that scans are read with: another takes its place.")
    words += " " + tr("The dataset that it learned from stays.")
    ask_before_deleting("model", words, _delete_now, checkpoint)


def _delete_now(checkpoint: Checkpoint) -> None:
    with stated_later():
        before = models.default_model()
        models.delete(checkpoint)
        now = models.default_model()
        words = tr("“{name}” is deleted.", name=checkpoint.name)
        if now and now != before:
            words += " " + tr("From now on scans are read with “{name}”.", name=now.name)
        announce(words)
