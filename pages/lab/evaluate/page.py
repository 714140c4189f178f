"""Evaluate: how good a model is on scans that it has not learned from, and which ones it gets wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import streamlit as st

from pages.lab.evaluate.calibration_view import answers, calibrate_it, is_calibrating, probabilities
from pages.lab.evaluate.caveats import caveats, is_ancestors, is_own, looks, outdated, what_is_known
from pages.lab.evaluate.confusion import cells_and_scans
from pages.lab.evaluate.exports import exports
from pages.lab.evaluate.operating_point_view import decisions
from pages.shared.datasets import SPLIT_HELP, SPLITS, Facts, facts_of
from pages.shared.decision_effects import figures_in_force
from pages.shared.formatting import listed, moment, nice, nice_names, plain, scans
from pages.shared.jobs import say_how_it_ended, stop_button, watch
from pages.shared.navigation import needs_a_dataset, needs_a_model, read_scans_with, start_a_run
from pages.shared.page import head, remembered, stated_errors
from pages.shared.results import class_by_class, curves, numbers, seen_in_training, training
from pages.shared.verdict import told_threshold
from xrai.core import jobs
from xrai.core.errors import CheckpointError, DatasetError
from xrai.core.labels import says_nothing_of_patients
from xrai.core.language import N_, tr, translate
from xrai.data.dataset import list_datasets
from xrai.evaluation.store import REPORT, Measurement, as_decided, load_measurement, measurement_folder, measuring_title
from xrai.figures import SPLIT_WORDS, captioned, confusion_figure
from xrai.models import check_model, default_model
from xrai.models.artifacts import load_kit
from xrai.models.checkpoint import Card, Checkpoint, list_models

# Streamlit would draw docstrings of constants on the page.
NO_MEANING = N_("These figures have no clinical meaning.")
EMPTY = {
    "train": N_("The dataset {name} has no scans in its training split: choose another split."),
    "val": N_("The dataset {name} has no scans in its validation split: choose another split."),
    "test": N_("The dataset {name} has no scans in its test split: choose another split."),
}
MEASURED_ON = {
    "train": N_("{model} on {dataset}, training split, {scans}"),
    "val": N_("{model} on {dataset}, validation split, {scans}"),
    "test": N_("{model} on {dataset}, test split, {scans}"),
}


def main() -> None:
    """The page."""
    head(tr("Evaluate"), tr("How good a model is on scans that it has not learned from, and which ones it gets wrong."))
    with stated_errors():
        models, datasets = list_models(), list_datasets()
        if not datasets:
            needs_a_dataset(
                tr("There is no dataset yet to measure a model on. Build one first: it takes a few clicks.")
            )
            return
        if not models:
            needs_a_model(tr("There is no model yet to measure. Train one first: it takes a few clicks."))
            return
        choice = st.grid(3, min_column_width=130)
        with choice.cell():
            checkpoint = _choose_model(models)
        card = checkpoint.card()
        with choice.cell():
            path = _choose_dataset(datasets, card)
        facts = facts_of(path)
        with choice.cell():
            split = _choose_split()
        if card.order_of(facts.classes) is None:
            st.info(plain(tr(
                "The model “{name}” knows the classes {known}, but the dataset {dataset} has {there}: choose a dataset "
                "with the model's classes, or another model.",
                name=card.name, known=listed(list(map(nice, card.classes))), dataset=path.stem,
                there=listed(list(map(nice, facts.classes))),
            )), icon=":material/info:")  # fmt: skip
        elif not facts.counts[split]:
            st.info(plain(tr(EMPTY[split], name=path.stem)), icon=":material/info:")
        else:
            _measured_or_not(checkpoint, card, path, facts, split, datasets)


# ---------------------------------------------------------------- what is measured on what


def _choose_model(models: list[Checkpoint]) -> Checkpoint:
    names = [model.name for model in models]
    first = default_model()
    key = remembered("evaluate_model", names, first.name if first and first.name in names else names[0])
    return models[names.index(st.selectbox(tr("Model"), names, key=key, persist_state="session"))]


def _choose_dataset(datasets: list[Path], card: Card) -> Path:
    names = [str(file) for file in datasets]
    key = f"evaluate_dataset_{card.name}"
    if st.session_state.get(key) not in names:
        st.session_state[key] = str(_first_dataset(datasets, card))
    chosen = st.selectbox(
        tr("Dataset"), names, format_func=lambda item: Path(item).stem, key=key, persist_state="session"
    )  # fmt: skip
    return Path(chosen)


def _first_dataset(datasets: list[Path], card: Card) -> Path:
    """The one that the model learned from, else one with its classes, else the newest."""
    fitting = []
    for file in datasets:
        try:
            facts = facts_of(file)
        except (DatasetError, OSError):
            continue  # said when it is chosen
        if is_own(card, facts):
            return file
        if card.order_of(facts.classes) is not None:
            fitting.append(file)
    return [*fitting, *datasets][0]


def _choose_split() -> str:
    words = {split: tr(SPLIT_WORDS[split]) for split in SPLITS}
    return st.selectbox(
        tr("Split"), SPLITS, key=remembered("evaluate_split", SPLITS, SPLITS[0]), persist_state="session",
        format_func=words.__getitem__,
        help=tr(SPLIT_HELP),
    )  # fmt: skip


# ---------------------------------------------------------------- before, while and after


def _measured_or_not(
    checkpoint: Checkpoint, card: Card, path: Path, facts: Facts, split: str, datasets: Sequence[Path]
) -> None:
    folder = measurement_folder(checkpoint, path, split)
    job = jobs.Job(folder)
    status = job.status
    if status in jobs.ACTIVE:
        watch(job, status, _progress)
        return
    say_how_it_ended(
        job, status, tr("Measuring"), then=tr("Start it again."),
        stopped=tr("Measuring was stopped before it was done; nothing of it was kept."),
    )  # fmt: skip
    measured, damage = _kept(folder)
    if damage:
        st.error(plain(translate(damage)), icon=":material/error:")
    is_fresh = measured and measured.is_of(checkpoint) and measured.report["fingerprint"] == facts.fingerprint
    caveats(card, path, facts, split)
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(
            tr("Measure again") if measured or damage else tr("Measure"),
            type="secondary" if is_fresh else "primary",
            icon=":material/replay:" if measured or damage else ":material/fact_check:",
            key=f"evaluate_measure_{folder}",  # a click on the button of a model that is gone is not one on the next
        ):
            with stated_errors():
                _start(checkpoint, path, split, folder)
        if measured:
            st.markdown(tr("Measured on {moment}.", moment=moment(measured.report["when"])), width="content")
    looks(card, facts, split, shown=measured is not None)
    what_is_known(card, facts)
    if measured:
        _results(checkpoint, card, path, facts, measured, datasets)
    else:
        _choosing(checkpoint, card, None, datasets)


def _kept(folder: Path) -> tuple[Measurement | None, str]:
    """The measurement that is kept, and the sentence of why it cannot be shown."""
    try:
        return load_measurement(folder), ""
    except CheckpointError as error:
        return None, error.message


def _start(checkpoint: Checkpoint, path: Path, split: str, folder: Path) -> None:
    check_model(checkpoint)  # it may have been renamed or deleted in another tab
    arguments = ["evaluate", checkpoint.name, str(path), "--split", split]
    title = measuring_title(checkpoint.name, path, split)
    jobs.start(arguments, folder, title=title, details={"arguments": arguments})
    st.rerun()


def _progress(job: jobs.Job, status: jobs.Status) -> None:
    known = job.records() if status == "running" else []
    steps = [record for record in known if record["kind"] == "progress"]
    if not steps:
        st.progress(0.0, text=tr("Starting: loading what measuring needs takes about ten seconds…"))
    elif steps[-1]["done"] < steps[-1]["total"]:
        done, total = steps[-1]["done"], steps[-1]["total"]
        st.progress(done / total, text=tr("Measuring: {done:,} of {scans}", done=done, scans=scans(total)))
    else:
        st.progress(1.0, text=tr("Working out how far chance could have moved the figures…"))
    with st.container(horizontal=True, vertical_alignment="center"):
        if not steps or steps[-1]["done"] < steps[-1]["total"]:  # later there is nothing to break off
            stop_button(job, str(job.folder))
        st.caption(tr("It goes on when you leave this page or close this browser."), width="content")


# ---------------------------------------------------------------- results


def _results(
    checkpoint: Checkpoint, card: Card, path: Path, facts: Facts, measured: Measurement, datasets: Sequence[Path]
) -> None:
    mark = _mark_of(measurement_folder(checkpoint, path, measured.report["split"]))
    is_of, same_scans = measured.is_of(checkpoint), measured.report["fingerprint"] == facts.fingerprint
    follows = is_of and measured.has_probabilities_of(card)
    outdated(is_of=is_of, follows=follows, same_scans=same_scans)
    if follows:
        measured = _in_force(measured, card, repr((mark, card.threshold_value, card.doubt)))
    report = measured.report
    st.divider()
    numbers(report)
    seen_in_training(report, is_said=is_own(card, facts) or is_ancestors(card, facts))
    st.subheader(tr("Class by class"), anchor=False)
    class_by_class(measured)
    chosen_on_these = report["split"] == "val" and is_own(card, facts)
    _choosing(checkpoint, card, (measured, mark) if follows and not chosen_on_these else None, datasets)
    answers(measured)
    place = f"{path.stem}-{report['split']}"
    name, about = f"{checkpoint.name}-{place}", _about_figures(checkpoint, report, facts)
    trust = probabilities(measured, card, name, about)
    st.subheader(tr("What was called what"), anchor=False)
    cells = st.container()  # filled last, as heatmaps take their time
    st.subheader(tr("At every threshold"), anchor=False)
    matrix = confusion_figure(report["confusion_matrix"], nice_names(measured.classes))
    figures = {"confusion": captioned(matrix, *about)}
    figures |= curves(report, measured.classes, name, about) | trust
    figures |= training(checkpoint, _about_training(card))
    if follows:
        with stated_errors():
            figures |= figures_in_force(checkpoint, card, _about_validation(card))
    st.subheader(tr("Take it along"), anchor=False)
    exports(name, card, facts, measured, figures)
    with st.container(horizontal=True):
        if st.button(tr("Read scans with this model"), icon=":material/stethoscope:", key="evaluate_read"):
            read_scans_with(checkpoint.name)
        if st.button(tr("Train another one"), icon=":material/model_training:", key="evaluate_train"):
            start_a_run()
    with cells:
        at_home = _at_home(card, measured) if follows else (replace(card, threshold=None), measured)
        cells_and_scans(checkpoint, at_home[0], path, at_home[1], place, about=about, opens=same_scans, explains=is_of)


def _at_home(card: Card, measured: Measurement) -> tuple[Card, Measurement]:
    """Threshold and probabilities as they are told among the team's patients; what was called stays."""
    threshold = card.threshold and card.threshold | {"value": told_threshold(card)}
    said = measured.predictions
    at_home = replace(said, probabilities=card.at_home(said.probabilities))
    return replace(card, threshold=threshold), replace(measured, predictions=at_home)


@st.cache_data(max_entries=20, show_spinner=False)
def _in_force(_measured: Measurement, _card: Card, key: str) -> Measurement:
    """What was measured as it is under the threshold and the doubt in force, worked out once for each."""
    return as_decided(_measured, _card)


def _mark_of(folder: Path) -> str:
    """Equal for as long as a kept measurement is the same: what figures may be remembered by."""
    return f"{folder}|{(folder / REPORT).stat().st_mtime_ns}"


def _choosing(
    checkpoint: Checkpoint, card: Card, others: tuple[Measurement, str] | None, datasets: Sequence[Path]
) -> None:
    """Where threshold and doubt are chosen, or what is needed for that."""
    if len(card.classes) == 2:
        title = tr("From when on is it called {name}?", name=plain(nice_names(card.classes)[1]))
    else:
        title = tr("How sure must it be?")
    st.subheader(title, anchor=False)
    if is_calibrating(checkpoint):
        return
    with stated_errors():
        has_answers = load_kit(checkpoint, card).validation is not None
        if has_answers:
            decisions(checkpoint, card, *(others or (None, "")), _about_validation(card))
            return
    calibrate_it(checkpoint, card, datasets)


def _about_figures(checkpoint: Checkpoint, report: Mapping[str, Any], facts: Facts) -> list[str]:
    """What a saved picture of a figure says of it."""
    what = {"model": checkpoint.name, "dataset": report["dataset"], "scans": scans(report["n"])}
    measured_on = MEASURED_ON[report["split"]]
    said = [tr(measured_on, **what)]
    return [*said, tr(NO_MEANING)] if says_nothing_of_patients(facts.population, drawings=facts.drawings) else said


def _about_training(card: Card) -> list[str]:
    """What a saved picture of the training's curves says of it."""
    known = card.dataset.get("name")
    return _about_own(
        card,
        tr("{model}, trained on {dataset}", model=card.name, dataset=known)
        if known
        else tr("{model}, trained on a dataset that is not known", model=card.name),
    )


def _about_validation(card: Card) -> list[str]:
    """What a saved picture of what is chosen says of it."""
    known = card.dataset.get("name")
    return _about_own(
        card,
        tr("{model} on the validation scans of {dataset}", model=card.name, dataset=known)
        if known
        else tr("{model} on the validation scans of its dataset", model=card.name),
    )


def _about_own(card: Card, what: str) -> list[str]:
    learned, said = card.dataset, [what]
    means_nothing = says_nothing_of_patients(
        str(learned.get("population") or ""), drawings=bool(learned.get("drawings"))
    )
    return [*said, tr(NO_MEANING)] if means_nothing else said


main()
