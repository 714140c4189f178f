"""Chapter 6 of the manual: five questions, each answered by doing something, with a word on every try."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.learn.manual.number_grid import number_grid
from pages.learn.manual.scans import choose_scan
from pages.shared.charts import text_colour
from pages.shared.formatting import escape_markdown
from pages.shared.page import display_errors
from xrai.core.language import N_, tr, translate
from xrai.figures import epoch_marker_figure, patients_figure
from xrai.manual.convolution import convolve, to_grey_image
from xrai.manual.exercises import (
    NORMAL_PROBABILITIES,
    PNEUMONIA_PROBABILITIES,
    ExerciseResult,
    check_halving_layer,
    check_overfitting_epoch,
    check_pooling_window,
    check_threshold,
    check_zero_sum_filter,
)
from xrai.models.history import EpochRecord, records_of
from xrai.training.diagnostics import make_textbook_run

SOLVED = "manual_solved"
_STATIC_CHART = {"displayModeBar": False}


def show() -> None:
    """The chapter."""
    scan, caption = choose_scan("exercises")
    _show_questions(scan, caption)


@st.fragment
def _show_questions(scan: np.ndarray, caption: str) -> None:
    """All five; the bar above them is filled in when each has been looked at."""
    progress = st.empty()
    for number, (title, task, ask) in enumerate(QUESTIONS, start=1):
        with st.container(border=True):
            st.subheader(tr("Question {number}: {title}", number=number, title=tr(title)), anchor=False)
            st.markdown(tr(task))
            with display_errors():
                _show_feedback(number, ask(scan, caption))
    _show_progress(progress, len(st.session_state.get(SOLVED, ())))


def _show_feedback(number: int, answer: ExerciseResult) -> None:
    """A word on what was done last; what was solved once stays solved."""
    if answer.is_solved:
        st.session_state[SOLVED] = {*st.session_state.get(SOLVED, ()), number}
        st.success(
            tr("**Solved.** {why}", why=escape_markdown(translate(answer.sentence))), icon=":material/check_circle:"
        )
    else:
        st.info(escape_markdown(translate(answer.sentence)), icon=":material/lightbulb:")


def _show_progress(placeholder: DeltaGenerator, solved: int) -> None:
    total = len(QUESTIONS)
    if solved == total:
        placeholder.success(
            tr("All {total} solved. What you did by hand, a network does millions of times over.", total=total),
            icon=":material/school:",
        )
    else:
        placeholder.progress(solved / total, tr("{solved} of {total} solved", solved=solved, total=total))


# ---------------------------------------------------------------- the questions


def _ask_filter(scan: np.ndarray, caption: str) -> ExerciseResult:
    cells, before, after = st.columns([2, 2, 2])
    with cells:
        kernel = number_grid("manual_try_filter", ((0, 0, 0), (0, 1, 0), (0, 0, 0)))
    before.image(scan, width="stretch", caption=caption)
    after.image(to_grey_image(convolve(scan, kernel, padding=1)), width="stretch", caption=tr("With your filter"))
    return check_zero_sum_filter(kernel)


def _ask_size(scan: np.ndarray, caption: str) -> ExerciseResult:
    with st.container(horizontal=True):
        kernel = _choose_one(tr("Side of the filter"), (1, 3, 5, 7), "manual_try_kernel", 3)
        stride = _choose_one(tr("Stride"), (1, 2, 3, 4), "manual_try_stride", 1)
        padding = _choose_one(tr("Padding"), (0, 1, 2, 3), "manual_try_padding", 0)
    return check_halving_layer(kernel, stride, padding)


def _ask_pooling(scan: np.ndarray, caption: str) -> ExerciseResult:
    with st.container(width=260):
        return check_pooling_window(number_grid("manual_try_window", ((0, 1.9), (3.2, 1.6)), step=0.5))


def _ask_threshold(scan: np.ndarray, caption: str) -> ExerciseResult:
    share = st.slider(
        tr("Called pneumonia from"), 0, 100, 50, format="%d %%", key="manual_try_threshold", persist_state="session"
    )
    threshold = share / 100
    figure = patients_figure(PNEUMONIA_PROBABILITIES, NORMAL_PROBABILITIES, threshold, text_colour=text_colour())
    st.plotly_chart(figure, key="manual_try_patients", config=_STATIC_CHART)
    st.caption(tr("Each dot is a patient; those that are called pneumonia are filled."))
    return check_threshold(threshold)


def _ask_epoch(scan: np.ndarray, caption: str) -> ExerciseResult:
    epochs = records_of(EpochRecord, make_textbook_run("overfits", seed=3))
    train, validation = [record.train.loss for record in epochs], [record.val.loss for record in epochs]
    epoch = st.slider(tr("Epoch"), 1, len(epochs), len(epochs) - 2, key="manual_try_epoch", persist_state="session")
    st.plotly_chart(
        epoch_marker_figure(train, validation, epoch, text_colour=text_colour()),
        key="manual_try_curves",
        config=_STATIC_CHART,
    )
    st.caption(tr("A made-up run, drawn as such runs look."))
    return check_overfitting_epoch(epoch, int(np.argmin(validation)) + 1)


def _choose_one(label: str, options: tuple[int, ...], key: str, default: int) -> int:
    choice = st.segmented_control(label, options, default=default, required=True, key=key, persist_state="session")
    return default if choice is None else choice


AskFunction = Callable[[np.ndarray, str], ExerciseResult]

QUESTIONS: tuple[tuple[str, str, AskFunction], ...] = (
    (
        N_("black where nothing changes"),
        N_(
            "Change the filter so that every even region comes out black, and only what differs from its surroundings is "
            "left. Chapter 1 helps."
        ),
        _ask_filter,
    ),
    (
        N_("half the side"),
        N_("A layer gets 224 × 224 pixels and is to give 112 × 112. Which filter, stride and padding do that?"),
        _ask_size,
    ),
    (
        N_("the largest and the average"),
        N_("Change the four numbers so that max pooling gives 5 and average pooling gives 2."),
        _ask_pooling,
    ),
    (
        N_("miss nobody"),
        N_(
            "Twenty made-up patients, and the probability of pneumonia that a model gave each. Move the threshold so that "
            "nobody with pneumonia is missed, with as few false alarms as can be."
        ),
        _ask_threshold,
    ),
    (
        N_("learned by heart"),
        N_(
            "After which epoch should this run have been stopped, as from then on it learns its training scans by heart? "
            "Point at it: what counts is the line of the scans that it does not learn from."
        ),
        _ask_epoch,
    ),
)
