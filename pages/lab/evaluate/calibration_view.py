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
from pages.shared.datasets import own_dataset
from pages.shared.formatting import between, in_words, interval_line, measure, nice_names, plain, scans, written
from pages.shared.jobs import say_how_it_ended, watch
from pages.shared.page import remembered, stated_errors
from pages.shared.results import with_interval
from pages.shared.verdict import for_whom
from xrai.calibration import Doubt
from xrai.core import jobs
from xrai.core.language import N_, tr
from xrai.evaluation.store import Measurement
from xrai.figures import captioned, reliability_figure
from xrai.models import check_model
from xrai.models.checkpoint import Card, Checkpoint, calibration_folder, calibration_title

BINS = 20
FAR_APART = 0.05
MUCH = 0.05
HALF = 0.5
AGAIN = N_("This was measured before XRAI looked at that: measure again to see it.")


# ---------------------------------------------------------------- probabilities


def probabilities(measured: Measurement, card: Card, name: str, about: Sequence[str]) -> dict[str, go.Figure]:
    """Whether the probabilities mean what they say, on screen; and the charts of all classes for the exports."""
    st.subheader(tr("Do the probabilities mean what they say?"), anchor=False)
    report, classes = measured.report, measured.classes
    if "reliability" not in report:
        st.caption(tr(AGAIN))
        return {}
    labels = dict(zip(classes, nice_names(classes), strict=True))
    figures = {item: _reliability(measured, k, labels[item], about) for k, item in enumerate(classes)}
    halves = st.grid(2, min_column_width=340)
    with halves.cell():
        shown = classes[1]
        if len(classes) > 2:
            shown = st.selectbox(
                tr("Class"), classes, format_func=labels.__getitem__, persist_state="session",
                key=remembered(f"evaluate_reliability_{name}", classes, classes[1]),
            )  # fmt: skip
        st.plotly_chart(
            figures[shown], key=f"evaluate_reliability_chart_{name}", config=chart_config(f"{name}-reliability")
        )
    with halves.cell():
        _off_by(measured)
        _foretold(measured, card, classes.index(shown), labels[shown])
    chosen = classes[1:] if len(classes) == 2 else classes
    return {f"reliability-{k}": figures[item] for k, item in enumerate(chosen, 1)}


def _reliability(measured: Measurement, k: int, label: str, about: Sequence[str]) -> go.Figure:
    counts = np.histogram(measured.predictions.probabilities[:, k], BINS, (0, 1))[0]
    name = measured.classes[k]
    figure = captioned(reliability_figure(measured.report["reliability"][name], counts.tolist(), label), *about)
    figure.update_yaxes(automargin=True)
    return figure.update_layout(legend={"y": -0.2, "yanchor": "top"})  # above, it would lie on those lines


def _off_by(measured: Measurement) -> None:
    """How far the probabilities are off, beside what chance alone would make of so many scans."""
    report, said = measured.report, measured.predictions
    error, interval = report["expected_calibration_error"], report["expected_calibration_error_interval"]
    chance = report["expected_calibration_error_by_chance"]
    grid = st.grid(2, min_column_width=150)
    with grid.cell():
        st.metric(tr("Off by, on average"), measure(error), help=tr(
            "Expected calibration error (ECE): how far the probability of what was called lies from how often that came "
            "true, over 15 bins. 0 is best."
        ))  # fmt: skip
        st.caption(interval_line(interval))
    with grid.cell():
        st.metric(tr("Brier score"), measure(report["brier"], as_percent=False), help=tr(
            "The mean squared distance between the probabilities and what came true: 0 is best, and it counts both being "
            "off and being vague."
        ))  # fmt: skip
    right, foretold = (said.probabilities.argmax(axis=1) == said.labels).mean(), said.probabilities.max(axis=1).mean()
    st.markdown(plain(_verdict_on_chance(error, interval, chance, report["n"], says_too_little=right > foretold)))


def _verdict_on_chance(
    error: float | None, interval: Sequence[float] | None, chance: float | None, n: int, *, says_too_little: bool
) -> str:
    if error is None or chance is None:
        return tr("How far chance alone goes is not known.")
    by_chance = tr(
        "Of probabilities that are exactly right, chance alone would make {share} with {scans}.",
        share=measure(chance), scans=scans(n),
    )  # fmt: skip
    return f"{by_chance} {tr(_verdict(interval, chance, says_too_little=says_too_little))}"


def _verdict(interval: Sequence[float] | None, chance: float, *, says_too_little: bool) -> str:
    if interval and interval[0] > chance:
        if says_too_little:
            return N_(
                "These are off by more than that: on scans like these do not take a probability at its word, it is right "
                "more often than it says."
            )
        return N_(
            "These are off by more than that: on scans like these do not take a probability at its word, it is wrong more "
            "often than it says."
        )
    if chance > MUCH:
        return N_(
            "Whether these are off by more than that can hardly be told from so few scans: measure on more of them."
        )
    return N_(
        "These are hardly off by more than that: on the whole, probabilities can be taken at their word on scans like these."
    )


def _foretold(measured: Measurement, card: Card, k: int, label: str) -> None:
    """Foretold and come true on the whole, and for whom the probabilities are meant."""
    foretold, came = measured.predictions.probabilities[:, k].mean(), (measured.predictions.labels == k).mean()
    st.markdown(
        plain(
            tr(
                "On the whole it foretold {name} for {foretold:.1f} in 100 of these scans, and {came:.1f} had it.",
                name=label,
                foretold=100 * foretold,
                came=100 * came,
            )
        )
    )
    if farthest := _farthest(measured.report["reliability"][measured.classes[k]]):
        st.markdown(plain(tr(
            "It is farthest off where it foretold about {foretold}: there {came} came true ({interval}), of {scans}.",
            foretold=measure(farthest["mean"]), came=measure(farthest["share"]),
            interval=between(farthest["interval"], ".0%"), scans=scans(farthest["n"]),
        )))  # fmt: skip
    known = card.calibration.prevalence if card.calibration else None
    if known and abs(known[k] - came) > FAR_APART:
        st.markdown(plain(tr(
            "They hold for scans of which {known:.0f} in 100 are {name}. That it is {came:.0f} in 100 here moves the "
            "points off the line even where the model knows what it sees.",
            known=100 * known[k], name=label, came=100 * came,
        )))  # fmt: skip
    if for_whom(card):
        st.markdown(tr("Here they stand as the model gave them, before they are turned into those for your patients."))
    st.caption(tr(
        "Each point holds a tenth of the scans: across, the probability that they were given; up, how many of them truly were "
        "of the class. On the dotted line probabilities mean what they say. Above it the class is more frequent than foretold, "
        "below it rarer. Below the chart: how many scans were given which probability."
    ))  # fmt: skip


def _farthest(points: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The point that lies farthest from what it foretold, of those that do so by more than chance explains."""
    off = [
        point for point in points
        if not point["interval"][0] <= point["mean"] <= point["interval"][1]
        and abs(point["mean"] - point["share"]) > FAR_APART
    ]  # fmt: skip
    return max(off, key=lambda point: abs(point["mean"] - point["share"]), default=None)


# ---------------------------------------------------------------- the third answer


def answers(measured: Measurement) -> None:
    """What the firm answers are worth, against what was promised."""
    st.subheader(tr("When it is not sure"), anchor=False)
    report = measured.report
    if "answered" not in report:
        st.caption(tr(AGAIN))
        return
    answered, doubt = report["answered"], measured.doubt
    if answered is None or doubt is None:
        st.markdown(
            tr("Every answer counted as firm here: the model had no third answer, “not sure”, when this was measured.")
        )
        return
    grid = st.grid(3, min_column_width=150)
    with grid.cell():
        st.metric(
            tr("Answered firmly"),
            measure(answered["answered"]),
            help=tr("The share of all scans with an answer; the others are left to a radiologist."),
        )
        st.caption(interval_line(answered["answered_interval"]))
    with grid.cell():
        st.metric(
            tr("Of these, right"),
            measure(answered["right"]),
            help=tr("The share of the firm answers that are the truth."),
        )
        st.caption(interval_line(answered["right_interval"], missing=N_("not defined: none was answered")))
    with grid.cell():
        unsure = answered["n"] - answered["n_answered"]
        st.metric(tr("Not sure"), written(unsure, ","), help=tr("How many scans are left to a radiologist."))
        st.caption(tr("of {scans}", scans=scans(answered["n"])))
    names = nice_names(measured.classes)
    _by_class(answered, names, doubt)
    if answered["answered"] < HALF:
        st.warning(
            tr(
                "It leaves **more than half of these scans** to a radiologist: the model tells the classes apart too poorly "
                "to answer them as firmly as is promised."
            ),
            icon=":material/help:",
        )
    _kept_its_word(answered, names, doubt)


def _by_class(answered: Mapping[str, Any], names: Sequence[str], doubt: Doubt) -> None:
    rows = [
        {
            tr("Class"): f"**{plain(name)}**",
            tr("Answered firmly"): with_interval(row["answered"], row["answered_interval"], as_percent=True),
            tr("Wrong firm answer"): with_interval(row["wrong"], row["wrong_interval"], as_percent=True),
            tr("Promised at most"): tr("{n:.3g} %", n=100 * doubt.alpha),
        }
        for name, row in zip(names, answered["per_class"], strict=True)
    ]
    st.table(pd.DataFrame(rows), border="horizontal", hide_index=True)
    st.caption(tr("Both shares are of all scans that truly are of the class. In brackets: the 95 % interval."))


def _kept_its_word(answered: Mapping[str, Any], names: Sequence[str], doubt: Doubt) -> None:
    """Whether the promise holds on these scans."""
    broken, above = [], []
    for name, row in zip(names, answered["per_class"], strict=True):
        wrong, interval = row["wrong"], row["wrong_interval"]
        if wrong is not None and wrong > doubt.alpha:
            (broken if interval and interval[0] > doubt.alpha else above).append(f"{name} ({measure(wrong)})")
    n = 100 * doubt.alpha
    if broken:
        st.error(plain(tr(
            "The promise does not hold on these scans: at most {n:.3g} in 100 wrong firm answers were promised, and it is "
            "more, beyond what chance explains, for {classes}. The promise is made for patients like those of the "
            "validation scans; these differ from them. Do not rely on firm answers for scans like these, or promise less "
            "and check again.", n=n, classes=", ".join(broken),
        )), icon=":material/error:")  # fmt: skip
    elif above:
        st.warning(plain(tr(
            "A little more than promised: at most {n:.3g} in 100 wrong firm answers were promised, and it is more for "
            "{classes}. That lies within what chance alone can do, so this neither keeps nor breaks the promise.",
            n=n, classes=", ".join(above),
        )), icon=":material/warning:")  # fmt: skip
    else:
        kept = tr("On these scans the promise is kept: at most {n:.3g} in 100 wrong firm answers for each class.", n=n)
        st.success(plain(kept), icon=":material/check_circle:")


# ---------------------------------------------------------------- a model without either


def is_calibrating(checkpoint: Checkpoint) -> bool:
    """Draw the calibration that is under way, or how the last one came to no good end; whether one is under way."""
    job = jobs.Job(calibration_folder(checkpoint.folder))
    status = job.status
    if status in jobs.ACTIVE:
        watch(job, status, _progress)
        return True
    say_how_it_ended(
        job, status, tr("Calibrating"), then=tr("Start calibrating again."),
        stopped=tr("Calibrating was stopped before it was done; the model decides as before."),
    )  # fmt: skip
    return False


def calibrate_it(checkpoint: Checkpoint, card: Card, datasets: Sequence[Path]) -> None:
    """Say that a model cannot be sure or not sure yet, and start what changes that where its dataset is here."""
    st.info(
        tr(
            "This model was trained **before XRAI could be “not sure”**, or comes from elsewhere: nothing can be chosen for "
            "it, and nobody has checked that its probabilities mean what they say. Calibrating looks once at the scans that "
            "it was trained and chosen with; its weights stay as they are."
        ),
        icon=":material/tune:",
    )
    path = own_dataset(card, datasets)
    if path is None:
        known = card.dataset.get("name")
        st.markdown(plain(
            tr(
                "That needs the dataset that it learned from, {name}, as it was then: put its file into the data folder.",
                name=known,
            )
            if known else tr("That needs the dataset that it learned from, which its card does not name.")
        ))  # fmt: skip
    elif st.button(
        tr("Calibrate it with {name}", name=path.stem), icon=":material/tune:",
        key=f"evaluate_calibrate_{checkpoint.name}",
    ):  # fmt: skip
        with stated_errors():
            _start(checkpoint, path)


def _start(checkpoint: Checkpoint, path: Path) -> None:
    check_model(checkpoint)  # it may have been renamed or deleted in another tab
    folder = calibration_folder(checkpoint.folder)
    arguments = ["calibrate", checkpoint.name, str(path)]
    title = calibration_title(checkpoint.name, path)
    jobs.start(arguments, folder, title=title, details={"arguments": arguments})
    st.rerun()


def _progress(job: jobs.Job, status: jobs.Status) -> None:
    known = job.records() if status == "running" else []
    steps = [record for record in known if record["kind"] == "ready"]
    if steps:
        last = steps[-1]
        words = tr("Calibrating: {what}", what=plain(in_words(last["what"])))
        st.progress(min(last["done"] / max(last["total"], 1), 1.0), text=words)
    else:
        st.progress(0.0, text=tr("Starting to calibrate: loading what it needs takes about ten seconds…"))
    st.caption(tr("It takes some minutes, and goes on when you leave this page or close this browser."))
