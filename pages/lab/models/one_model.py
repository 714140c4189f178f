"""One run or model: its figures, and what can be done with it; rename, note, choose, export and delete it."""

from __future__ import annotations

import io
from collections.abc import Iterator

import streamlit as st

from pages.lab.models.summaries import creation_time, dataset_name, network_name, status_text
from pages.shared.deletion import confirm_deletion
from pages.shared.formatting import (
    AUC_HELP,
    class_label,
    escape_markdown,
    format_day,
    format_duration,
    format_megabytes,
    format_metric,
    format_number,
    interval_caption,
    join_words,
    replace_surrogates,
)
from pages.shared.navigation import open_diagnose, open_evaluate, open_training
from pages.shared.page import announce, defer_errors, display_errors
from pages.shared.runs import show_heading
from xrai import models
from xrai.core.jobs import ACTIVE_STATUSES
from xrai.core.language import N_, tr, trn
from xrai.core.paths import checkpoints_dir
from xrai.models import Summary
from xrai.models.checkpoint import Checkpoint

NO_INTERVAL = N_("no interval")


def show_model(item: Summary) -> None:
    """Its figures, and what can be done with it."""
    name, is_active = replace_surrogates(item.name), item.status in ACTIVE_STATUSES
    checkpoint = Checkpoint(checkpoints_dir() / item.name)
    with st.container(border=True):
        with show_heading(name, "" if item.problem else item.status, status_text(item)):
            if item.is_default:
                st.badge(tr("Default model"), color="green", icon=":material/stethoscope:")
        _show_metrics(item)
        _show_actions(item)
        halves = st.grid(2, min_column_width=320)
        with halves.cell():
            _show_note_form(item, checkpoint)
        with halves.cell():
            if is_active:
                st.caption(tr("It can be renamed, exported and deleted when its training is over."))
            else:
                _show_rename_form(name, checkpoint)
                _show_file_actions(item, name, checkpoint)


def _show_metrics(item: Summary) -> None:
    grid = st.grid(4, min_column_width=150)
    with grid.cell():
        st.metric(tr("Validation AUC"), format_metric(item.auc, as_percent=False), help=tr(AUC_HELP))
        st.caption(interval_caption(item.auc_interval, as_percent=False, missing=NO_INTERVAL))
    with grid.cell():
        st.metric(
            tr("Validation accuracy"), format_metric(item.accuracy), help=tr("The proportion of correct answers.")
        )
        st.caption(interval_caption(item.accuracy_interval, missing=NO_INTERVAL))
    with grid.cell():
        st.metric(tr("Epochs run"), "–" if item.epochs_run is None else format_number(item.epochs_run, ","))
        st.caption(tr("time unknown") if item.seconds is None else tr("in {time}", time=format_duration(item.seconds)))
    with grid.cell():
        st.metric(tr("Size"), format_megabytes(item.size_bytes))
        created = creation_time(item)
        st.caption(format_day(created) if created else tr("date unknown"))
    st.markdown(escape_markdown(" ".join(_summary_sentences(item))))


def _summary_sentences(item: Summary) -> Iterator[str]:
    """What is known of it, in sentences."""
    if item.classes:
        yield tr(
            "Distinguishes {classes}.",
            classes=join_words([class_label(replace_surrogates(name)) for name in item.classes]),
        )
    if item.dataset:
        yield tr("Trained on the dataset {name}.", name=dataset_name(item))
    if item.n_validation:
        yield trn("Measured on {n:,} validation scan.", "Measured on {n:,} validation scans.", item.n_validation)
    if item.config:
        size = item.config["image_size"]
        yield tr("{network} on pictures of {size}\u00a0×\u00a0{size} pixels.", network=network_name(item), size=size)


def _show_actions(item: Summary) -> None:
    """Buttons and not links: each opens its page on this model."""
    with st.container(horizontal=True):
        if item.is_model and not item.problem:
            if item.is_default:
                if st.button(
                    tr("Read scans with it"), type="primary", icon=":material/stethoscope:", key="models_read"
                ):
                    open_diagnose(item.name)
            elif st.button(
                tr("Make it the default model"),
                type="primary",
                icon=":material/stethoscope:",
                key="models_use",
                help=tr("Diagnose then uses it for everybody, unless another model is chosen there."),
            ):
                _make_default(item)
            if st.button(tr("Evaluate it"), icon=":material/fact_check:", key="models_evaluate"):
                open_evaluate(item.name)
        if item.status != "none" or item.epochs_run:
            label = tr("Watch its training") if item.status in ACTIVE_STATUSES else tr("See its training")
            if st.button(label, icon=":material/model_training:", key="models_training_of"):
                open_training(item.name)


def _make_default(item: Summary) -> None:
    with display_errors():
        models.set_default(Checkpoint(checkpoints_dir() / item.name))
        announce(tr("The default model is now “{name}”.", name=item.name))
        open_diagnose(item.name)


def _show_note_form(item: Summary, checkpoint: Checkpoint) -> None:
    key = f"models_note_{replace_surrogates(item.name)}_{hash(item.note)}"
    with st.form(f"{key}_form", border=False, enter_to_submit=False):
        st.text_area(
            tr("Note"),
            item.note,
            key=key,
            max_chars=models.MAX_NOTE,
            height=120,
            placeholder=tr("What was tried, what came out, who may use it"),
        )
        st.form_submit_button(
            tr("Save the note"), icon=":material/save:", key=f"{key}_save", on_click=_save_note, args=(checkpoint, key)
        )


def _save_note(checkpoint: Checkpoint, key: str) -> None:
    with defer_errors():
        models.set_note(checkpoint, st.session_state[key])
        announce(tr("The note on “{name}” is saved.", name=checkpoint.name))


def _show_rename_form(name: str, checkpoint: Checkpoint) -> None:
    key = f"models_name_{name}"
    with (
        st.form(f"{key}_form", border=False, enter_to_submit=False),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        st.text_input(tr("Name"), name, key=key, max_chars=80)
        st.form_submit_button(
            tr("Rename"), icon=":material/edit:", key=f"{key}_rename", on_click=_rename_model, args=(checkpoint, key)
        )


def _rename_model(checkpoint: Checkpoint, key: str) -> None:
    state = st.session_state
    with defer_errors():
        target = models.rename(checkpoint, state[key].strip())
        if target != checkpoint:
            state["models_chosen"] = [target.name]
            announce(tr("“{before}” is now “{after}”.", before=checkpoint.name, after=target.name))


def _show_file_actions(item: Summary, name: str, checkpoint: Checkpoint) -> None:
    with st.container(horizontal=True):
        if item.is_model and not item.problem:
            st.download_button(
                tr("Export as zip"),
                lambda: _export_zip(checkpoint),
                f"{name}.zip",
                "application/zip",
                on_click="ignore",
                icon=":material/download:",
                key="models_export",
                help=tr("The whole model in one file, to be imported on another machine."),
            )
        st.button(
            tr("Delete"),
            icon=":material/delete:",
            type="tertiary",
            key="models_delete",
            on_click=_ask_deletion,
            args=(checkpoint,),
        )


def _export_zip(checkpoint: Checkpoint) -> io.BytesIO:
    out = io.BytesIO()
    models.export_model(checkpoint, out)
    out.seek(0)
    return out


def _ask_deletion(checkpoint: Checkpoint) -> None:
    text = tr(
        "**{name}** is deleted from this computer for good, with its weights and curves.",
        name=escape_markdown(replace_surrogates(checkpoint.name)),
    )
    if models.default_model() == checkpoint:
        text += " " + tr("It is the default model: another takes its place.")
    text += " " + tr("Its training dataset stays.")
    confirm_deletion("model", text, _delete_model, checkpoint)


def _delete_model(checkpoint: Checkpoint) -> None:
    with defer_errors():
        previous_default = models.default_model()
        models.delete(checkpoint)
        current_default = models.default_model()
        text = tr("“{name}” is deleted.", name=checkpoint.name)
        if current_default and current_default != previous_default:
            text += " " + tr("The default model is now “{name}”.", name=current_default.name)
        announce(text)
