"""Whether a model's probabilities and its third answer kept their word on measured scans, and how it gets either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages.lab.evaluate.results import format_table_metric
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
from pages.shared.job_views import show_job_end, watch_job
from pages.shared.page import display_errors, valid_choice_key
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
MEASURE_AGAIN = N_("Not part of this earlier measurement: measure again to see it.")


# ---------------------------------------------------------------- probabilities


def show_reliability(result: EvaluationResult, card: Card, name: str, about: Sequence[str]) -> dict[str, go.Figure]:
    """Whether the probabilities mean what they say, on screen; and the charts of all classes for the exports."""
    st.subheader(tr("Calibration"), anchor=False)
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
            tr("Calibration error (ECE)"),
            format_metric(error),
            help=tr(
                "Expected calibration error (ECE): the mean difference between the probability of the predicted "
                "class and its observed frequency, over 15 bins. 0 is best."
            ),
        )
        st.caption(interval_caption(interval))
    with grid.cell():
        st.metric(
            tr("Brier score"),
            format_metric(report["brier"], as_percent=False),
            help=tr(
                "The mean squared error of the probabilities: 0 is best. It rises with poor calibration and with "
                "poor separation of the classes."
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
        return tr("The error expected by chance is not known.")
    chance_text = tr(
        "Perfectly calibrated probabilities would show {share} by chance with {scans}.",
        share=format_metric(chance),
        scans=scans_text(n),
    )
    return f"{chance_text} {tr(_chance_verdict(interval, chance, is_underconfident=is_underconfident))}"


def _chance_verdict(interval: Sequence[float] | None, chance: float, *, is_underconfident: bool) -> str:
    if interval and interval[0] > chance:
        if is_underconfident:
            return N_(
                "The error is larger: on scans like these the model is underconfident. It is correct more often "
                "than its probabilities say."
            )
        return N_(
            "The error is larger: on scans like these the model is overconfident. It is wrong more often than its "
            "probabilities say."
        )
    if chance > MAX_CHANCE_ERROR:
        return N_("There are too few scans to tell whether the error is larger: measure on more scans.")
    return N_("The error is hardly larger: on scans like these the probabilities are well calibrated on the whole.")


def _show_mean_calibration(result: EvaluationResult, card: Card, k: int, label: str) -> None:
    """Foretold and come true on the whole, and for whom the probabilities are meant."""
    mean_predicted, observed_share = (
        result.predictions.probabilities[:, k].mean(),
        (result.predictions.labels == k).mean(),
    )
    st.markdown(
        escape_markdown(
            tr(
                "Mean predicted probability of {name}: {predicted:.1f} %. Observed frequency: {observed:.1f} %.",
                name=label,
                predicted=100 * mean_predicted,
                observed=100 * observed_share,
            )
        )
    )
    if farthest := _largest_deviation(result.report["reliability"][result.classes[k]]):
        st.markdown(
            escape_markdown(
                tr(
                    "Largest deviation: at a predicted probability of about {predicted} the observed frequency is "
                    "{observed} ({interval}), of {scans}.",
                    predicted=format_metric(farthest["mean"]),
                    observed=format_metric(farthest["share"]),
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
                    "The probabilities are calibrated for a prevalence of {reference:.0f} % {name}. The prevalence "
                    "here is {observed:.0f} %, which moves the points off the diagonal even for a good model.",
                    reference=100 * reference_prevalence[k],
                    name=label,
                    observed=100 * observed_share,
                )
            )
        )
    if prevalence_text(card):
        st.markdown(tr("Shown before the adjustment to your prevalence."))
    st.caption(
        tr(
            "Each point is a tenth of the scans: predicted probability (x) against observed frequency (y). On the "
            "dotted diagonal the probabilities are perfectly calibrated; above it the class is more frequent than "
            "predicted, below it rarer. Below the chart: the distribution of the probabilities."
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
    st.subheader(tr("Uncertain answers (abstention)"), anchor=False)
    report = result.report
    if "answered" not in report:
        st.caption(tr(MEASURE_AGAIN))
        return
    answered, abstention = report["answered"], result.abstention
    if answered is None or abstention is None:
        st.markdown(tr("The model had no “uncertain” answer when this was measured."))
        return
    grid = st.grid(3, min_column_width=150)
    with grid.cell():
        st.metric(
            tr("Answered"),
            format_metric(answered["answered"]),
            help=tr("Coverage: the proportion of scans with an answer; the others are left to a radiologist."),
        )
        st.caption(interval_caption(answered["answered_interval"]))
    with grid.cell():
        st.metric(
            tr("Of these, correct"),
            format_metric(answered["right"]),
            help=tr("The proportion of answered scans that are correct."),
        )
        st.caption(interval_caption(answered["right_interval"], missing=N_("not defined: none was answered")))
    with grid.cell():
        n_unsure = answered["n"] - answered["n_answered"]
        st.metric(tr("Uncertain"), format_number(n_unsure, ","), help=tr("How many scans are left to a radiologist."))
        st.caption(tr("of {scans}", scans=scans_text(answered["n"])))
    names = class_labels(result.classes)
    _show_by_class(answered, names, abstention)
    if answered["answered"] < HALF:
        st.warning(
            tr(
                "**More than half of these scans** are left to a radiologist: the model separates the classes too "
                "poorly for this error target."
            ),
            icon=":material/help:",
        )
    _show_promise(answered, names, abstention)


def _show_by_class(answered: Mapping[str, Any], names: Sequence[str], abstention: ConformalAbstention) -> None:
    rows = [
        {
            tr("Class"): f"**{escape_markdown(name)}**",
            tr("Answered"): format_table_metric(row["answered"], row["answered_interval"], as_percent=True),
            tr("Wrong answer"): format_table_metric(row["wrong"], row["wrong_interval"], as_percent=True),
            tr("Target, at most"): tr("{n:.3g} %", n=100 * abstention.alpha),
        }
        for name, row in zip(names, answered["per_class"], strict=True)
    ]
    st.table(pd.DataFrame(rows), border="horizontal", hide_index=True)
    st.caption(
        tr("Both proportions refer to all scans that truly belong to the class. In brackets: the 95 % interval.")
    )


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
                    "The error target is missed on these scans: at most {n:.3g} in 100 wrong answers are allowed, "
                    "and there are significantly more for {classes}. The target holds for patients like those of "
                    "the validation scans; these differ from them. Do not rely on answers for scans like these, or "
                    "allow more errors and check again.",
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
                    "Slightly above the error target: at most {n:.3g} in 100 wrong answers are allowed, and there "
                    "are more for {classes}. The difference is within chance, so the target is neither met nor "
                    "missed.",
                    n=n,
                    classes=", ".join(exceeded_classes),
                )
            ),
            icon=":material/warning:",
        )
    else:
        text = tr("The error target is met on these scans: at most {n:.3g} in 100 wrong answers for each class.", n=n)
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
            "This model is **not calibrated**: its decision threshold and uncertain range cannot be set. "
            "Calibration reads the training and validation scans once; the weights stay unchanged."
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
    st.caption(tr("It takes some minutes and continues if you leave this page or close the browser."))
