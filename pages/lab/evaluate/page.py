"""Evaluate: how good a model is on scans that it has not learned from, and which ones it gets wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import streamlit as st

from pages.lab.evaluate.calibration_view import (
    offer_calibration,
    show_abstention,
    show_calibration_job,
    show_reliability,
)
from pages.lab.evaluate.caveats import (
    is_ancestor_dataset,
    is_training_dataset,
    show_caveats,
    show_evaluation_count,
    show_notes,
    show_outdated,
)
from pages.lab.evaluate.confusion import show_confusion
from pages.lab.evaluate.decision_effects import operating_point_figures
from pages.lab.evaluate.exports import show_exports
from pages.lab.evaluate.operating_point_view import show_decisions
from pages.lab.evaluate.results import (
    show_class_metrics,
    show_metrics,
    show_roc_curves,
    show_training_curves,
    show_unseen_metrics,
)
from pages.shared.datasets import SPLIT_HELP, SPLITS, DatasetFacts, load_facts
from pages.shared.formatting import class_label, class_labels, escape_markdown, format_time, join_words, scans_text
from pages.shared.job_views import show_job_end, show_stop_button, watch_job
from pages.shared.model_choice import choose_model
from pages.shared.navigation import open_diagnose, open_new_run, show_dataset_needed, show_model_needed
from pages.shared.page import display_errors, show_head, valid_choice_key
from pages.shared.verdict import local_threshold
from xrai.core import jobs
from xrai.core.errors import CheckpointError, DatasetError
from xrai.core.labels import lacks_clinical_meaning
from xrai.core.language import N_, tr, translate
from xrai.data.dataset import list_datasets
from xrai.evaluation.store import (
    REPORT_FILE,
    EvaluationResult,
    evaluation_folder,
    load_evaluation,
    measuring_title,
    with_threshold,
)
from xrai.figures import SPLIT_LABELS, add_caption, confusion_figure
from xrai.models import check_model
from xrai.models.artifacts import load_artifacts
from xrai.models.card import Card
from xrai.models.checkpoint import Checkpoint, list_models

# Streamlit would draw docstrings of constants on the page.
NO_MEANING = N_("These figures have no clinical meaning.")
EMPTY_SPLIT = {
    "train": N_("The dataset {name} has no scans in its training split: choose another split."),
    "val": N_("The dataset {name} has no scans in its validation split: choose another split."),
    "test": N_("The dataset {name} has no scans in its test split: choose another split."),
}
EVALUATED_ON = {
    "train": N_("{model} on {dataset}, training split, {scans}"),
    "val": N_("{model} on {dataset}, validation split, {scans}"),
    "test": N_("{model} on {dataset}, test split, {scans}"),
}


def main() -> None:
    """The page."""
    show_head(tr("Evaluate"), tr("Performance of a model on scans that it was not trained on, and its errors."))
    with display_errors():
        models, datasets = list_models(), list_datasets()
        if not datasets:
            show_dataset_needed(
                tr("There is no dataset yet to evaluate a model on. Build one first: it takes a few clicks.")
            )
            return
        if not models:
            show_model_needed(tr("There is no model yet to measure. Train one first: it takes a few clicks."))
            return
        choice = st.grid(3, min_column_width=130)
        with choice.cell():
            checkpoint = choose_model(models, "evaluate_model")
        card = checkpoint.read_card()
        with choice.cell():
            path = _choose_dataset(datasets, card)
        facts = load_facts(path)
        with choice.cell():
            split = _choose_split()
        if card.class_permutation(facts.classes) is None:
            st.info(
                escape_markdown(
                    tr(
                        "The model “{name}” distinguishes {classes}, but the dataset {dataset} has "
                        "{dataset_classes}: choose a dataset with the model's classes, or another model.",
                        name=card.name,
                        classes=join_words(list(map(class_label, card.classes))),
                        dataset=path.stem,
                        dataset_classes=join_words(list(map(class_label, facts.classes))),
                    )
                ),
                icon=":material/info:",
            )
        elif not facts.counts[split]:
            st.info(escape_markdown(tr(EMPTY_SPLIT[split], name=path.stem)), icon=":material/info:")
        else:
            _show_evaluation(checkpoint, card, path, facts, split, datasets)


# ---------------------------------------------------------------- what is measured on what


def _choose_dataset(datasets: list[Path], card: Card) -> Path:
    names = [str(file) for file in datasets]
    key = f"evaluate_dataset_{card.name}"
    if st.session_state.get(key) not in names:
        st.session_state[key] = str(_first_dataset(datasets, card))
    file_name = st.selectbox(
        tr("Dataset"), names, format_func=lambda item: Path(item).stem, key=key, persist_state="session"
    )
    return Path(file_name)


def _first_dataset(datasets: list[Path], card: Card) -> Path:
    """The one that the model learned from, else one with its classes, else the newest."""
    compatible = []
    for file in datasets:
        try:
            facts = load_facts(file)
        except (DatasetError, OSError):
            continue  # said when it is chosen
        if is_training_dataset(card, facts):
            return file
        if card.class_permutation(facts.classes) is not None:
            compatible.append(file)
    return [*compatible, *datasets][0]


def _choose_split() -> str:
    words = {split: tr(SPLIT_LABELS[split]) for split in SPLITS}
    return st.selectbox(
        tr("Split"),
        SPLITS,
        key=valid_choice_key("evaluate_split", SPLITS, SPLITS[0]),
        persist_state="session",
        format_func=words.__getitem__,
        help=tr(SPLIT_HELP),
    )


# ---------------------------------------------------------------- before, while and after


def _show_evaluation(
    checkpoint: Checkpoint, card: Card, path: Path, facts: DatasetFacts, split: str, datasets: Sequence[Path]
) -> None:
    folder = evaluation_folder(checkpoint, path, split)
    job = jobs.Job(folder)
    status = job.status
    if status in jobs.ACTIVE_STATUSES:
        watch_job(job, status, _show_progress)
        return
    show_job_end(
        job,
        status,
        tr("Measuring"),
        next_step=tr("Start it again."),
        stopped_text=tr("Measuring was stopped before it was done; nothing of it was kept."),
    )
    result, problem = _load_result(folder)
    if problem:
        st.error(escape_markdown(translate(problem)), icon=":material/error:")
    is_current = result and result.has_weights_of(checkpoint) and result.report["fingerprint"] == facts.fingerprint
    show_caveats(card, path, facts, split)
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(
            tr("Measure again") if result or problem else tr("Measure"),
            type="secondary" if is_current else "primary",
            icon=":material/replay:" if result or problem else ":material/fact_check:",
            key=f"evaluate_measure_{folder}",  # a click on the button of a model that is gone is not one on the next
        ):
            with display_errors():
                _start_evaluation(checkpoint, path, split, folder)
        if result:
            st.markdown(tr("Measured on {moment}.", moment=format_time(result.report["when"])), width="content")
    show_evaluation_count(card, facts, split, is_result_shown=result is not None)
    show_notes(card, facts)
    if result:
        _show_results(checkpoint, card, path, facts, result, datasets)
    else:
        _show_operating_point(checkpoint, card, None, datasets)


def _load_result(folder: Path) -> tuple[EvaluationResult | None, str]:
    """The measurement that is kept, and the sentence of why it cannot be shown."""
    try:
        return load_evaluation(folder), ""
    except CheckpointError as error:
        return None, error.message


def _start_evaluation(checkpoint: Checkpoint, path: Path, split: str, folder: Path) -> None:
    check_model(checkpoint)  # it may have been renamed or deleted in another tab
    arguments = ["evaluate", checkpoint.name, str(path), "--split", split]
    title = measuring_title(checkpoint.name, path, split)
    jobs.start(arguments, folder, title=title)
    st.rerun()


def _show_progress(job: jobs.Job, status: jobs.Status) -> None:
    records = job.records() if status == "running" else []
    steps = [record for record in records if record["kind"] == "progress"]
    if not steps:
        st.progress(0.0, text=tr("Starting: loading what measuring needs takes about ten seconds…"))
    elif steps[-1]["done"] < steps[-1]["total"]:
        done, total = steps[-1]["done"], steps[-1]["total"]
        st.progress(done / total, text=tr("Measuring: {done:,} of {scans}", done=done, scans=scans_text(total)))
    else:
        st.progress(1.0, text=tr("Calculating the 95 % intervals…"))
    with st.container(horizontal=True, vertical_alignment="center"):
        if not steps or steps[-1]["done"] < steps[-1]["total"]:  # later there is nothing to break off
            show_stop_button(job, str(job.folder))
        st.caption(tr("It continues if you leave this page or close the browser."), width="content")


# ---------------------------------------------------------------- results


def _show_results(
    checkpoint: Checkpoint,
    card: Card,
    path: Path,
    facts: DatasetFacts,
    result: EvaluationResult,
    datasets: Sequence[Path],
) -> None:
    result_key = _result_key(evaluation_folder(checkpoint, path, result.report["split"]))
    has_same_weights, has_same_scans = (
        result.has_weights_of(checkpoint),
        result.report["fingerprint"] == facts.fingerprint,
    )
    is_calibration_current = has_same_weights and result.has_calibration_of(card)
    show_outdated(
        has_same_weights=has_same_weights, is_calibration_current=is_calibration_current, has_same_scans=has_same_scans
    )
    if is_calibration_current:
        result = _apply_operating_point(result, card, repr((result_key, card.threshold_value, card.abstention)))
    report = result.report
    st.divider()
    show_metrics(report)
    show_unseen_metrics(report, is_stated=is_training_dataset(card, facts) or is_ancestor_dataset(card, facts))
    st.subheader(tr("Metrics by class"), anchor=False)
    show_class_metrics(result)
    is_tuning_split = report["split"] == "val" and is_training_dataset(card, facts)
    _show_operating_point(
        checkpoint, card, (result, result_key) if is_calibration_current and not is_tuning_split else None, datasets
    )
    show_abstention(result)
    split_name = f"{path.stem}-{report['split']}"
    name, about = f"{checkpoint.name}-{split_name}", _figure_captions(checkpoint, report, facts)
    reliability_figures = show_reliability(result, card, name, about)
    st.subheader(tr("Confusion matrix"), anchor=False)
    matrix_container = st.container()  # filled last, as heatmaps take their time
    st.subheader(tr("ROC and precision-recall curves"), anchor=False)
    matrix = confusion_figure(report["confusion_matrix"], class_labels(result.classes))
    figures = {"confusion": add_caption(matrix, *about)}
    figures |= show_roc_curves(report, result.classes, name, about) | reliability_figures
    figures |= show_training_curves(checkpoint, _training_captions(card))
    if is_calibration_current:
        with display_errors():
            figures |= operating_point_figures(checkpoint, card, _validation_captions(card))
    st.subheader(tr("Export"), anchor=False)
    show_exports(name, card, facts, result, figures)
    with st.container(horizontal=True):
        if st.button(tr("Read scans with this model"), icon=":material/stethoscope:", key="evaluate_read"):
            open_diagnose(checkpoint.name)
        if st.button(tr("Train another one"), icon=":material/model_training:", key="evaluate_train"):
            open_new_run()
    with matrix_container:
        local = _to_local_prevalence(card, result) if is_calibration_current else (card.replace(threshold=None), result)
        show_confusion(
            checkpoint,
            local[0],
            path,
            local[1],
            split_name,
            about=about,
            has_same_scans=has_same_scans,
            has_same_weights=has_same_weights,
        )


def _to_local_prevalence(card: Card, result: EvaluationResult) -> tuple[Card, EvaluationResult]:
    """Threshold and probabilities as they are told among the team's patients; what was called stays."""
    threshold = card.threshold and card.threshold.replace(value=local_threshold(card))
    predictions = result.predictions
    local_predictions = replace(predictions, probabilities=card.adjust_to_local_prevalence(predictions.probabilities))
    return card.replace(threshold=threshold), replace(result, predictions=local_predictions)


@st.cache_data(max_entries=20, show_spinner=False)
def _apply_operating_point(_result: EvaluationResult, _card: Card, key: str) -> EvaluationResult:
    """What was measured as it is under the threshold and the doubt in force, worked out once for each."""
    return with_threshold(_result, _card)


def _result_key(folder: Path) -> str:
    """Equal for as long as a kept measurement is the same: what figures may be remembered by."""
    return f"{folder}|{(folder / REPORT_FILE).stat().st_mtime_ns}"


def _show_operating_point(
    checkpoint: Checkpoint, card: Card, other_scans: tuple[EvaluationResult, str] | None, datasets: Sequence[Path]
) -> None:
    """Where threshold and doubt are chosen, or what is needed for that."""
    if len(card.classes) == 2:
        title = tr("Decision threshold for {name}", name=escape_markdown(class_labels(card.classes)[1]))
    else:
        title = tr("Uncertain answers")
    st.subheader(title, anchor=False)
    if show_calibration_job(checkpoint):
        return
    with display_errors():
        has_answers = load_artifacts(checkpoint, card).validation is not None
        if has_answers:
            show_decisions(checkpoint, card, *(other_scans or (None, "")), _validation_captions(card))
            return
    offer_calibration(checkpoint, card, datasets)


def _figure_captions(checkpoint: Checkpoint, report: Mapping[str, Any], facts: DatasetFacts) -> list[str]:
    """What a saved picture of a figure says of it."""
    values = {"model": checkpoint.name, "dataset": report["dataset"], "scans": scans_text(report["n"])}
    measured_on = EVALUATED_ON[report["split"]]
    said = [tr(measured_on, **values)]
    return [*said, tr(NO_MEANING)] if lacks_clinical_meaning(facts.population, is_phantom=facts.is_phantom) else said


def _training_captions(card: Card) -> list[str]:
    """What a saved picture of the training's curves says of it."""
    dataset_name = card.dataset.name
    return _own_dataset_captions(
        card,
        tr("{model}, trained on {dataset}", model=card.name, dataset=dataset_name)
        if dataset_name
        else tr("{model}, trained on a dataset that is not known", model=card.name),
    )


def _validation_captions(card: Card) -> list[str]:
    """What a saved picture of what is chosen says of it."""
    dataset_name = card.dataset.name
    return _own_dataset_captions(
        card,
        tr("{model} on the validation scans of {dataset}", model=card.name, dataset=dataset_name)
        if dataset_name
        else tr("{model} on the validation scans of its dataset", model=card.name),
    )


def _own_dataset_captions(card: Card, first_caption: str) -> list[str]:
    dataset_facts, captions = card.dataset, [first_caption]
    is_without_patients = lacks_clinical_meaning(dataset_facts.population, is_phantom=dataset_facts.is_phantom)
    return [*captions, tr(NO_MEANING)] if is_without_patients else captions


main()
