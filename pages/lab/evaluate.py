"""Evaluate: how good a model is on scans that it has not learned from, and which ones it gets wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import streamlit as st

from pages.shared.calls import then_called, told_threshold
from pages.shared.confusion import cells_and_scans
from pages.shared.datasets import SPLIT_HELP, SPLITS, Facts, facts_of
from pages.shared.decision_effects import figures_in_force
from pages.shared.decisions_view import decisions
from pages.shared.exports import exports
from pages.shared.jobs import say_how_it_ended, stop_button, watch
from pages.shared.page import head, remembered, stated_errors
from pages.shared.results import class_by_class, curves, numbers, seen_in_training, training
from pages.shared.trust_view import answers, calibrate_it, is_calibrating, probabilities
from pages.shared.ways import needs_a_dataset, needs_a_model, read_scans_with, start_a_run
from pages.shared.words import listed, moment, nice, nice_names, plain, scans, span
from xrai import jobs
from xrai.checkpoint import Card, Checkpoint, list_models
from xrai.dataset import list_datasets, says_nothing_of_patients
from xrai.errors import CheckpointError, DatasetError
from xrai.figures import SPLIT_WORDS, captioned, confusion_figure
from xrai.kit import load_kit
from xrai.measurements import (
    REPORT,
    Measurement,
    ancestors_learned_from,
    as_decided,
    load_measurement,
    measurement_folder,
)
from xrai.models import check_model, default_model

# Streamlit would draw docstrings of constants on the page.
NO_MEANING = "These figures have no clinical meaning."
WHY_RARELY = (
    "Every look at the test scans makes them less of a surprise: whoever changes a model after a look fits it to these "
    "very scans, and the figures flatter from then on. So measure here once the model is final, and compare what you try "
    "on the validation split."
)


def main() -> None:
    """The page."""
    head("Evaluate", "How good a model is on scans that it has not learned from, and which ones it gets wrong.")
    with stated_errors():
        models, datasets = list_models(), list_datasets()
        if not datasets:
            needs_a_dataset("There is no dataset yet to measure a model on. Build one first: it takes a few clicks.")
            return
        if not models:
            needs_a_model("There is no model yet to measure. Train one first: it takes a few clicks.")
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
            st.info(plain(
                f"The model “{card.name}” knows the classes {listed(list(map(nice, card.classes)))}, but the dataset {path.stem} has "
                f"{listed(list(map(nice, facts.classes)))}: choose a dataset with the model's classes, or another model."
            ), icon=":material/info:")  # fmt: skip
        elif not facts.counts[split]:
            st.info(plain(
                f"The dataset {path.stem} has no scans in its {SPLIT_WORDS[split].lower()} split: choose another split."
            ), icon=":material/info:")  # fmt: skip
        else:
            _measured_or_not(checkpoint, card, path, facts, split, datasets)


# ---------------------------------------------------------------- what is measured on what


def _choose_model(models: list[Checkpoint]) -> Checkpoint:
    names = [model.name for model in models]
    first = default_model()
    key = remembered("evaluate_model", names, first.name if first and first.name in names else names[0])
    return models[names.index(st.selectbox("Model", names, key=key, persist_state="session"))]


def _choose_dataset(datasets: list[Path], card: Card) -> Path:
    names = [str(file) for file in datasets]
    key = f"evaluate_dataset_{card.name}"
    if st.session_state.get(key) not in names:
        st.session_state[key] = str(_first_dataset(datasets, card))
    chosen = st.selectbox(
        "Dataset", names, format_func=lambda item: Path(item).stem, key=key, persist_state="session"
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
        if _is_own(card, facts):
            return file
        if card.order_of(facts.classes) is not None:
            fitting.append(file)
    return [*fitting, *datasets][0]


def _choose_split() -> str:
    return st.selectbox(
        "Split", SPLITS, key=remembered("evaluate_split", SPLITS, SPLITS[0]), persist_state="session",
        format_func=SPLIT_WORDS.__getitem__,
        help=SPLIT_HELP,
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
        job, status, "Measuring", then="Start it again.",
        stopped="Measuring was stopped before it was done; nothing of it was kept.",
    )  # fmt: skip
    measured, damage = _kept(folder)
    if damage:
        st.error(plain(damage), icon=":material/error:")
    is_fresh = measured and measured.is_of(checkpoint) and measured.report["fingerprint"] == facts.fingerprint
    _caveats(card, path, facts, split)
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(
            "Measure again" if measured or damage else "Measure",
            type="secondary" if is_fresh else "primary",
            icon=":material/replay:" if measured or damage else ":material/fact_check:",
            key=f"evaluate_measure_{folder}",  # a click on the button of a model that is gone is not one on the next
        ):
            with stated_errors():
                _start(checkpoint, path, split, folder)
        if measured:
            st.markdown(f"Measured on {moment(measured.report['when'])}.", width="content")
    _looks(card, facts, split, shown=measured is not None)
    _known(card, facts)
    if measured:
        _results(checkpoint, card, path, facts, measured, datasets)
    else:
        _choosing(checkpoint, card, None, datasets)


def _kept(folder: Path) -> tuple[Measurement | None, str]:
    """The measurement that is kept, and the sentence of why it cannot be shown."""
    try:
        return load_measurement(folder), ""
    except CheckpointError as error:
        return None, str(error)


def _start(checkpoint: Checkpoint, path: Path, split: str, folder: Path) -> None:
    check_model(checkpoint)  # it may have been renamed or deleted in another tab
    arguments = ["evaluate", checkpoint.name, str(path), "--split", split]
    title = f"Measuring {checkpoint.name} on {path.stem}, {split}"
    jobs.start(arguments, folder, title=title, details={"arguments": arguments})
    st.rerun()


def _progress(job: jobs.Job, status: jobs.Status) -> None:
    known = job.records() if status == "running" else []
    steps = [record for record in known if record["kind"] == "progress"]
    if not steps:
        st.progress(0.0, text="Starting: loading what measuring needs takes about ten seconds…")
    elif steps[-1]["done"] < steps[-1]["total"]:
        done, total = steps[-1]["done"], steps[-1]["total"]
        st.progress(done / total, text=f"Measuring: {done:,} of {scans(total)}")
    else:
        st.progress(1.0, text="Working out how far chance could have moved the figures…")
    with st.container(horizontal=True, vertical_alignment="center"):
        if not steps or steps[-1]["done"] < steps[-1]["total"]:  # later there is nothing to break off
            stop_button(job, str(job.folder))
        st.caption("It goes on when you leave this page or close this browser.", width="content")


def _caveats(card: Card, path: Path, facts: Facts, split: str) -> None:
    """Who is in these scans, and what makes figures on them say less than they seem to."""
    who = facts.population or "nobody described them when the dataset was built"
    if says_nothing_of_patients(facts.population, drawings=facts.drawings):
        st.warning(
            f"**Take no figure below for how good the model is on patients.** The dataset {plain(path.stem)} is "
            f"described so: “{plain(who)}”.",
            icon=":material/warning:",
        )
    else:
        st.caption(f":material/groups: Patients of {plain(path.stem)}: {plain(who)}.")
    learned, own = str(card.dataset.get("population") or ""), _is_own(card, facts)
    if learned and not own and learned != facts.population:
        st.caption(f":material/neurology: The model “{plain(card.name)}” was trained on: {plain(learned)}.")
    if own and split == "train":
        st.warning(
            "The model **learned from these very scans**: right answers show what it remembers, not how it reads new ones.",
            icon=":material/warning:",
        )
    elif own and split == "val":
        st.warning(
            "The model was **chosen by these scans**: of all moments of its training, the one that did best on them was kept. "
            "Figures on them are a little better than on new scans.",
            icon=":material/warning:",
        )
    elif split != "test" and _is_ancestors(card, facts):
        how = "learned from" if split == "train" else "was chosen by"
        st.warning(
            f"The model started from one that **{how} these very scans**, and keeps some of what that one knew: right answers "
            "may show what it remembers, not how it reads new ones.",
            icon=":material/warning:",
        )
    elif not own and card.dataset.get("name") == path.stem:
        st.warning(plain(
            f"The model learned from an earlier build of {path.stem}. Which of these scans it has seen is not known, so the "
            "figures may flatter it."
        ), icon=":material/warning:")  # fmt: skip


def _is_own(card: Card, facts: Facts) -> bool:
    """Whether it is the dataset that the model learned from."""
    return card.dataset.get("fingerprint") == facts.fingerprint


def _is_ancestors(card: Card, facts: Facts) -> bool:
    """Whether it is the dataset that a model learned from to which this one goes back."""
    return facts.fingerprint in ancestors_learned_from(card)


def _looks(card: Card, facts: Facts, split: str, *, shown: bool) -> None:
    """How often this model was measured on these scans, how that went last, and why looks are to be rare."""
    before = [item for item in card.evaluations if (item["fingerprint"], item["split"]) == (facts.fingerprint, split)]
    where = f"the {facts.counts[split]:,} {SPLIT_WORDS[split].lower()} scans of this dataset"
    times = {0: "has not been measured yet", 1: "has been measured once"}
    said = f"This model {times.get(len(before), f'has been measured {len(before):,} times')} on {where}."
    known = [item for item in before if item.get("earlier_weights") is not True]
    if known and not shown:
        last = known[-1]
        figures = f"{span(last['accuracy'], last['accuracy_interval'])} called right, AUC "
        figures += span(last["auc"], last["auc_interval"], as_percent=False)
        then = then_called(card, last.get("threshold"))
        figures += f" (with {then}, which is no longer in force)" if then else ""
        said += f" Its card still says how that went on {last['when'][:10]}: {figures}."
    if split == "test":
        said += f" {WHY_RARELY}"
    if not shown:
        said += " Measuring takes about ten seconds to start, and then a second for some ten to a hundred scans."
    st.caption(f":material/visibility: {plain(said)}")


def _known(card: Card, facts: Facts) -> None:
    with st.expander("What is known of this model and of this dataset", icon=":material/info:"):
        for note in card.notes:
            st.markdown(f"- Model: {plain(note)}")
        for note in facts.notes:
            st.markdown(f"- Dataset: {plain(note)}")


# ---------------------------------------------------------------- results


def _results(
    checkpoint: Checkpoint, card: Card, path: Path, facts: Facts, measured: Measurement, datasets: Sequence[Path]
) -> None:
    mark = _mark_of(measurement_folder(checkpoint, path, measured.report["split"]))
    is_of, same_scans = measured.is_of(checkpoint), measured.report["fingerprint"] == facts.fingerprint
    follows = is_of and measured.has_probabilities_of(card)
    _outdated(is_of=is_of, follows=follows, same_scans=same_scans)
    if follows:
        measured = _in_force(measured, card, repr((mark, card.threshold_value, card.doubt)))
    report = measured.report
    st.divider()
    numbers(report)
    seen_in_training(report, told=_is_own(card, facts) or _is_ancestors(card, facts))
    st.subheader("Class by class", anchor=False)
    class_by_class(measured)
    chosen_on_these = report["split"] == "val" and _is_own(card, facts)
    _choosing(checkpoint, card, (measured, mark) if follows and not chosen_on_these else None, datasets)
    answers(measured)
    place = f"{path.stem}-{report['split']}"
    name, about = f"{checkpoint.name}-{place}", _about_figures(checkpoint, report, facts)
    trust = probabilities(measured, card, name, about)
    st.subheader("What was called what", anchor=False)
    cells = st.container()  # filled last, as heatmaps take their time
    st.subheader("At every threshold", anchor=False)
    matrix = confusion_figure(report["confusion_matrix"], nice_names(measured.classes))
    figures = {"confusion": captioned(matrix, *about)}
    figures |= curves(report, measured.classes, name, about) | trust
    figures |= training(checkpoint, _about_training(card))
    if follows:
        with stated_errors():
            figures |= figures_in_force(checkpoint, card, _about_validation(card))
    st.subheader("Take it along", anchor=False)
    exports(name, card, facts, measured, figures)
    with st.container(horizontal=True):
        if st.button("Read scans with this model", icon=":material/stethoscope:"):
            read_scans_with(checkpoint.name)
        if st.button("Train another one", icon=":material/model_training:"):
            start_a_run()
    with cells:
        told = _told(card, measured) if follows else (replace(card, threshold=None), measured)
        cells_and_scans(checkpoint, told[0], path, told[1], place, about=about, opens=same_scans, explains=is_of)


def _told(card: Card, measured: Measurement) -> tuple[Card, Measurement]:
    """Threshold and probabilities as they are told among the team's patients; what was called stays."""
    threshold = card.threshold and card.threshold | {"value": told_threshold(card)}
    said = measured.predictions
    at_home = replace(said, probabilities=card.at_home(said.probabilities))
    return replace(card, threshold=threshold), replace(measured, predictions=at_home)


def _outdated(*, is_of: bool, follows: bool, same_scans: bool) -> None:
    """What changed since the measurement was made."""
    if not is_of:
        st.warning(
            "The model was **trained on since this was measured**: the figures are those of its earlier weights. Measure again.",
            icon=":material/history:",
        )
    elif not follows:
        st.warning(
            "The model was **calibrated anew since this was measured**: the figures are those of its earlier probabilities and "
            "of what was in force then. Measure again.",
            icon=":material/history:",
        )
    if not same_scans:
        st.warning(
            "The dataset was **built anew since this was measured**: the figures are those of its earlier scans, and these "
            "cannot be opened any more. Measure again.",
            icon=":material/history:",
        )


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
    two = len(card.classes) == 2
    title = f"From when on is it called {plain(nice_names(card.classes)[1])}?" if two else "How sure must it be?"
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
    split = SPLIT_WORDS.get(report["split"], str(report["split"])).lower()
    said = [f"{checkpoint.name} on {report['dataset']}, {split} split, {scans(report['n'])}"]
    return [*said, NO_MEANING] if says_nothing_of_patients(facts.population, drawings=facts.drawings) else said


def _about_training(card: Card) -> list[str]:
    """What a saved picture of the training's curves says of it."""
    return _about_own(card, f"{card.name}, trained on {card.dataset.get('name') or 'a dataset that is not known'}")


def _about_validation(card: Card) -> list[str]:
    """What a saved picture of what is chosen says of it."""
    return _about_own(card, f"{card.name} on the validation scans of {card.dataset.get('name') or 'its dataset'}")


def _about_own(card: Card, what: str) -> list[str]:
    learned, said = card.dataset, [what]
    means_nothing = says_nothing_of_patients(
        str(learned.get("population") or ""), drawings=bool(learned.get("drawings"))
    )
    return [*said, NO_MEANING] if means_nothing else said


main()
