"""Whether a model's probabilities and its third answer kept their word on measured scans, and how it gets either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages.shared.charts import chart_config
from pages.shared.datasets import find_training_dataset
from pages.shared.formatting import (
    class_labels,
    escape_markdown,
    format_interval,
    format_metric,
    format_number,
    in_words,
    interval_caption,
    scans_text,
)
from pages.shared.jobs import show_job_end, watch_job
from pages.shared.page import display_errors, valid_choice_key
from pages.shared.results import format_table_metric
from pages.shared.verdict import prevalence_text
from xrai.calibration import ConformalAbstention
from xrai.core import jobs
from xrai.core.language import N_, tr
from xrai.evaluation.store import EvaluationResult
from xrai.figures import add_caption, reliability_figure
from xrai.models import check_model
from xrai.models.card import Card
from xrai.models.checkpoint import Checkpoint, calibration_folder
from xrai.training.jobs import launch_calibration

BINS = 20
MIN_DEVIATION = 0.05
MAX_CHANCE_ERROR = 0.05
HALF = 0.5
MEASURE_AGAIN = N_("This was measured before XRAI looked at that: measure again to see it.")


# ---------------------------------------------------------------- probabilities


def show_reliability(result: EvaluationResult, card: Card, name: str, about: Sequence[str]) -> dict[str, go.Figure]:
    """Whether the probabilities mean what they say, on screen; and the charts of all classes for the exports."""
    st.subheader(tr("Do the probabilities mean what they say?"), anchor=False)
    report, classes = result.report, result.classes
    if "reliability" not in report:
        st.caption(tr(MEASURE_AGAIN))
        return {}
    labels = dict(zip(classes, class_labels(classes), strict=True))
    figures = {item: _draw_reliability(result, k, labels[item], about) for k, item in enumerate(classes)}
    halves = st.grid(2, min_column_width=340)
    with halves.cell():
        shown_class = classes[1]
        if len(classes) > 2:
            shown_class = st.selectbox(
                tr("Class"),
                classes,
                format_func=labels.__getitem__,
                persist_state="session",
                key=valid_choice_key(f"evaluate_reliability_{name}", classes, classes[1]),
            )
        st.plotly_chart(
            figures[shown_class], key=f"evaluate_reliability_chart_{name}", config=chart_config(f"{name}-reliability")
        )
    with halves.cell():
        _show_calibration_error(result)
        _show_mean_calibration(result, card, classes.index(shown_class), labels[shown_class])
    exported_classes = classes[1:] if len(classes) == 2 else classes
    return {f"reliability-{k}": figures[item] for k, item in enumerate(exported_classes, 1)}


def _draw_reliability(result: EvaluationResult, k: int, label: str, about: Sequence[str]) -> go.Figure:
    counts = np.histogram(result.predictions.probabilities[:, k], BINS, (0, 1))[0]
    name = result.classes[k]
    figure = add_caption(reliability_figure(result.report["reliability"][name], counts.tolist(), label), *about)
    figure.update_yaxes(automargin=True)
    return figure.update_layout(legend={"y": -0.2, "yanchor": "top"})  # above, it would lie on those lines


def _show_calibration_error(result: EvaluationResult) -> None:
    """How far the probabilities are off, beside what chance alone would make of so many scans."""
    report, predictions = result.report, result.predictions
    error, interval = report["expected_calibration_error"], report["expected_calibration_error_interval"]
    chance = report["expected_calibration_error_by_chance"]
    grid = st.grid(2, min_column_width=150)
    with grid.cell():
        st.metric(
            tr("Off by, on average"),
            format_metric(error),
            help=tr(
                "Expected calibration error (ECE): how far the probability of what was called lies from how often that came "
                "true, over 15 bins. 0 is best."
            ),
        )
        st.caption(interval_caption(interval))
    with grid.cell():
        st.metric(
            tr("Brier score"),
            format_metric(report["brier"], as_percent=False),
            help=tr(
                "The mean squared distance between the probabilities and what came true: 0 is best, and it counts both being "
                "off and being vague."
            ),
        )
    accuracy, mean_confidence = (
        (predictions.probabilities.argmax(axis=1) == predictions.labels).mean(),
        predictions.probabilities.max(axis=1).mean(),
    )
    st.markdown(
        escape_markdown(
            _chance_text(error, interval, chance, report["n"], is_underconfident=accuracy > mean_confidence)
        )
    )


def _chance_text(
    error: float | None, interval: Sequence[float] | None, chance: float | None, n: int, *, is_underconfident: bool
) -> str:
    if error is None or chance is None:
        return tr("How far chance alone goes is not known.")
    chance_text = tr(
        "Of probabilities that are exactly right, chance alone would make {share} with {scans}.",
        share=format_metric(chance),
        scans=scans_text(n),
    )
    return f"{chance_text} {tr(_chance_verdict(interval, chance, is_underconfident=is_underconfident))}"


def _chance_verdict(interval: Sequence[float] | None, chance: float, *, is_underconfident: bool) -> str:
    if interval and interval[0] > chance:
        if is_underconfident:
            return N_(
                "These are off by more than that: on scans like these do not take a probability at its word, it is right "
                "more often than it says."
            )
        return N_(
            "These are off by more than that: on scans like these do not take a probability at its word, it is wrong more "
            "often than it says."
        )
    if chance > MAX_CHANCE_ERROR:
        return N_(
            "Whether these are off by more than that can hardly be told from so few scans: measure on more of them."
        )
    return N_(
        "These are hardly off by more than that: on the whole, probabilities can be taken at their word on scans like these."
    )


def _show_mean_calibration(result: EvaluationResult, card: Card, k: int, label: str) -> None:
    """Foretold and come true on the whole, and for whom the probabilities are meant."""
    mean_predicted, observed_share = (
        result.predictions.probabilities[:, k].mean(),
        (result.predictions.labels == k).mean(),
    )
    st.markdown(
        escape_markdown(
            tr(
                "On the whole it foretold {name} for {foretold:.1f} in 100 of these scans, and {came:.1f} had it.",
                name=label,
                foretold=100 * mean_predicted,
                came=100 * observed_share,
            )
        )
    )
    if farthest := _largest_deviation(result.report["reliability"][result.classes[k]]):
        st.markdown(
            escape_markdown(
                tr(
                    "It is farthest off where it foretold about {foretold}: there {came} came true ({interval}), of {scans}.",
                    foretold=format_metric(farthest["mean"]),
                    came=format_metric(farthest["share"]),
                    interval=format_interval(farthest["interval"], ".0%"),
                    scans=scans_text(farthest["n"]),
                )
            )
        )
    reference_prevalence = card.calibration.prevalence if card.calibration else None
    if reference_prevalence and abs(reference_prevalence[k] - observed_share) > MIN_DEVIATION:
        st.markdown(
            escape_markdown(
                tr(
                    "They hold for scans of which {known:.0f} in 100 are {name}. That it is {came:.0f} in 100 here moves the "
                    "points off the line even where the model knows what it sees.",
                    known=100 * reference_prevalence[k],
                    name=label,
                    came=100 * observed_share,
                )
            )
        )
    if prevalence_text(card):
        st.markdown(tr("Here they stand as the model gave them, before they are turned into those for your patients."))
    st.caption(
        tr(
            "Each point holds a tenth of the scans: across, the probability that they were given; up, how many of them truly were "
            "of the class. On the dotted line probabilities mean what they say. Above it the class is more frequent than foretold, "
            "below it rarer. Below the chart: how many scans were given which probability."
        )
    )


def _largest_deviation(points: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The point that lies farthest from what it foretold, of those that do so by more than chance explains."""
    deviations = [
        point
        for point in points
        if not point["interval"][0] <= point["mean"] <= point["interval"][1]
        and abs(point["mean"] - point["share"]) > MIN_DEVIATION
    ]
    return max(deviations, key=lambda point: abs(point["mean"] - point["share"]), default=None)


# ---------------------------------------------------------------- the third answer


def show_abstention(result: EvaluationResult) -> None:
    """What the firm answers are worth, against what was promised."""
    st.subheader(tr("When it is not sure"), anchor=False)
    report = result.report
    if "answered" not in report:
        st.caption(tr(MEASURE_AGAIN))
        return
    answered, abstention = report["answered"], result.abstention
    if answered is None or abstention is None:
        st.markdown(
            tr("Every answer counted as firm here: the model had no third answer, “not sure”, when this was measured.")
        )
        return
    grid = st.grid(3, min_column_width=150)
    with grid.cell():
        st.metric(
            tr("Answered firmly"),
            format_metric(answered["answered"]),
            help=tr("The share of all scans with an answer; the others are left to a radiologist."),
        )
        st.caption(interval_caption(answered["answered_interval"]))
    with grid.cell():
        st.metric(
            tr("Of these, right"),
            format_metric(answered["right"]),
            help=tr("The share of the firm answers that are the truth."),
        )
        st.caption(interval_caption(answered["right_interval"], missing=N_("not defined: none was answered")))
    with grid.cell():
        n_unsure = answered["n"] - answered["n_answered"]
        st.metric(tr("Not sure"), format_number(n_unsure, ","), help=tr("How many scans are left to a radiologist."))
        st.caption(tr("of {scans}", scans=scans_text(answered["n"])))
    names = class_labels(result.classes)
    _show_by_class(answered, names, abstention)
    if answered["answered"] < HALF:
        st.warning(
            tr(
                "It leaves **more than half of these scans** to a radiologist: the model tells the classes apart too poorly "
                "to answer them as firmly as is promised."
            ),
            icon=":material/help:",
        )
    _show_promise(answered, names, abstention)


def _show_by_class(answered: Mapping[str, Any], names: Sequence[str], abstention: ConformalAbstention) -> None:
    rows = [
        {
            tr("Class"): f"**{escape_markdown(name)}**",
            tr("Answered firmly"): format_table_metric(row["answered"], row["answered_interval"], as_percent=True),
            tr("Wrong firm answer"): format_table_metric(row["wrong"], row["wrong_interval"], as_percent=True),
            tr("Promised at most"): tr("{n:.3g} %", n=100 * abstention.alpha),
        }
        for name, row in zip(names, answered["per_class"], strict=True)
    ]
    st.table(pd.DataFrame(rows), border="horizontal", hide_index=True)
    st.caption(tr("Both shares are of all scans that truly are of the class. In brackets: the 95 % interval."))


def _show_promise(answered: Mapping[str, Any], names: Sequence[str], abstention: ConformalAbstention) -> None:
    """Whether the promise holds on these scans."""
    broken_classes, exceeded_classes = [], []
    for name, row in zip(names, answered["per_class"], strict=True):
        wrong, interval = row["wrong"], row["wrong_interval"]
        if wrong is not None and wrong > abstention.alpha:
            (broken_classes if interval and interval[0] > abstention.alpha else exceeded_classes).append(
                f"{name} ({format_metric(wrong)})"
            )
    n = 100 * abstention.alpha
    if broken_classes:
        st.error(
            escape_markdown(
                tr(
                    "The promise does not hold on these scans: at most {n:.3g} in 100 wrong firm answers were promised, and it is "
                    "more, beyond what chance explains, for {classes}. The promise is made for patients like those of the "
                    "validation scans; these differ from them. Do not rely on firm answers for scans like these, or promise less "
                    "and check again.",
                    n=n,
                    classes=", ".join(broken_classes),
                )
            ),
            icon=":material/error:",
        )
    elif exceeded_classes:
        st.warning(
            escape_markdown(
                tr(
                    "A little more than promised: at most {n:.3g} in 100 wrong firm answers were promised, and it is more for "
                    "{classes}. That lies within what chance alone can do, so this neither keeps nor breaks the promise.",
                    n=n,
                    classes=", ".join(exceeded_classes),
                )
            ),
            icon=":material/warning:",
        )
    else:
        text = tr("On these scans the promise is kept: at most {n:.3g} in 100 wrong firm answers for each class.", n=n)
        st.success(escape_markdown(text), icon=":material/check_circle:")


# ---------------------------------------------------------------- a model without either


def show_calibration_job(checkpoint: Checkpoint) -> bool:
    """Draw the calibration that is under way, or how the last one came to no good end; whether one is under way."""
    job = jobs.Job(calibration_folder(checkpoint.folder))
    status = job.status
    if status in jobs.ACTIVE_STATUSES:
        watch_job(job, status, _show_progress)
        return True
    show_job_end(
        job,
        status,
        tr("Calibrating"),
        next_step=tr("Start calibrating again."),
        stopped_text=tr("Calibrating was stopped before it was done; the model decides as before."),
    )
    return False


def offer_calibration(checkpoint: Checkpoint, card: Card, datasets: Sequence[Path]) -> None:
    """Say that a model cannot be sure or not sure yet, and start what changes that where its dataset is here."""
    st.info(
        tr(
            "This model was trained **before XRAI could be “not sure”**, or comes from elsewhere: nothing can be chosen for "
            "it, and nobody has checked that its probabilities mean what they say. Calibrating looks once at the scans that "
            "it was trained and chosen with; its weights stay as they are."
        ),
        icon=":material/tune:",
    )
    path = find_training_dataset(card, datasets)
    if path is None:
        dataset_name = card.dataset.name
        st.markdown(
            escape_markdown(
                tr(
                    "That needs the dataset that it learned from, {name}, as it was then: put its file into the data folder.",
                    name=dataset_name,
                )
                if dataset_name
                else tr("That needs the dataset that it learned from, which its card does not name.")
            )
        )
    elif st.button(
        tr("Calibrate it with {name}", name=path.stem),
        icon=":material/tune:",
        key=f"evaluate_calibrate_{checkpoint.name}",
    ):
        with display_errors():
            _start_calibration(checkpoint, path)


def _start_calibration(checkpoint: Checkpoint, path: Path) -> None:
    check_model(checkpoint)  # it may have been renamed or deleted in another tab
    launch_calibration(checkpoint, path)
    st.rerun()


def _show_progress(job: jobs.Job, status: jobs.Status) -> None:
    records = job.records() if status == "running" else []
    steps = [record for record in records if record["kind"] == "finalize"]
    if steps:
        last_step = steps[-1]
        text = tr("Calibrating: {what}", what=escape_markdown(in_words(last_step["stage"])))
        st.progress(min(last_step["done"] / max(last_step["total"], 1), 1.0), text=text)
    else:
        st.progress(0.0, text=tr("Starting to calibrate: loading what it needs takes about ten seconds…"))
    st.caption(tr("It takes some minutes, and goes on when you leave this page or close this browser."))
