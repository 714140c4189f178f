"""From when on what is called, and when it is not sure: choices that are tried on the page before they are put in force."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import streamlit as st

from pages.lab.evaluate.decision_effects import (
    Preview,
    abstention_text,
    effect_on_result,
    load_validation,
    preview_decision,
    show_decision_text,
    show_effect_table,
    show_icon_array,
    show_threshold_chart,
)
from pages.shared.formatting import class_labels, escape_markdown, format_probability
from pages.shared.page import announce, defer_errors, display_errors, show_announcements
from pages.shared.readers import artifacts_key
from pages.shared.verdict import local_threshold, population_noun, prevalence_text
from xrai.calibration import ThresholdGoal
from xrai.core.labels import condition_phrase
from xrai.core.language import N_, tr, translate
from xrai.evaluation.store import EvaluationResult
from xrai.models.artifacts import ValidationOutputs
from xrai.models.card import Card
from xrai.models.checkpoint import Checkpoint
from xrai.models.operating_point import DEFAULT_ALPHA, goal_from_card, update_operating_point

SLIDER_MAX = {"max_fnr": 20.0, "max_fpr": 30.0, "fixed": 99.0}
SLIDER_START = {"max_fnr": 5.0, "max_fpr": 10.0}
"""In 100: where the sliders end, and where they begin unless the card says otherwise."""

MIN_ERROR_PERCENT, MAX_ERROR_PERCENT = 1.0, 20.0

GOALS = {
    "argmax": N_("Most probable class (argmax)"),
    "max_fnr": N_("Limit missed {second} (sensitivity)"),
    "max_fpr": N_("Limit false alarms among {first} (specificity)"),
    "fixed": N_("Fixed threshold"),
}
LIMITS = {
    "max_fnr": N_("Missed {second} allowed per 100 scans"),
    "max_fpr": N_("False alarms allowed per 100 scans of {first}"),
    "fixed": N_("Decision threshold for {second}, in %"),
}


class Choice(NamedTuple):
    """What the controls say, in 100; a limit is None where whichever class is likelier is called."""

    kind: str
    limit: float | None
    max_error: float
    prevalence: float


@st.fragment
def show_decisions(
    checkpoint: Checkpoint, card: Card, result: EvaluationResult | None, result_key: str, about: Sequence[str]
) -> None:
    """Controls for threshold, doubt and prevalence, what they would do, and a button that puts it in force.

    Args:
        checkpoint: a model whose answers to the validation scans were kept.
        card: that the page around was drawn with.
        result: other scans to show the effect on, with probabilities as the card has them; None for none.
        result_key: equal for as long as `result` is the same.
        about: lines that say on charts what they are of.
    """
    with display_errors():
        current_card = checkpoint.read_card()
        if _decision_key(current_card) != _decision_key(card):
            st.rerun()  # put in force here or in another tab: the whole page follows
        show_announcements()
        files_key = artifacts_key(checkpoint)
        lowest_error = _lowest_error_percent(load_validation(checkpoint, files_key))
        if lowest_error is None:
            st.info(
                escape_markdown(
                    tr(
                        "The threshold cannot be set because a class has no validation scans: build a dataset with "
                        "validation scans of each class, and train on it."
                    )
                ),
                icon=":material/info:",
            )
            return
        _show_in_force(current_card)
        halves = st.grid(2 if len(current_card.classes) == 2 else 1, min_column_width=340)
        with halves.cell():
            choice = _show_controls(checkpoint.name, current_card, lowest_error)
            preview = preview_decision(checkpoint, files_key, *_choice_as_shares(choice, current_card, lowest_error))
            _show_buttons(checkpoint, current_card, choice, preview, lowest_error)
        with halves.cell():
            show_threshold_chart(checkpoint.name, preview, about)
        show_decision_text(preview.card)
        effect = None
        if result is not None:
            key = repr((result_key, preview.card.threshold_value, preview.card.abstention))
            effect = effect_on_result(preview.card, result, key)
        show_effect_table(preview, effect, result)
        if len(current_card.classes) == 2:
            show_icon_array(checkpoint.name, preview, effect, result, choice.prevalence / 100, about)


# ---------------------------------------------------------------- what is in force, and the controls


def _decision_key(card: Card) -> str:
    """Equal for cards that decide alike."""
    return repr((card.threshold, card.abstention, card.local_prevalence, card.calibration))


def _show_in_force(card: Card) -> None:
    if card.abstention:
        abstention = tr(
            "at most {n:.3g} in 100 scans of each class may get a wrong answer", n=100 * card.abstention.alpha
        )
    else:
        abstention = tr("no uncertain answers")
    text = tr(
        "**In use**: {rule}; {abstention}.",
        rule=escape_markdown(_rule_text(card)),
        abstention=escape_markdown(abstention),
    )
    st.markdown(f":material/gavel: {text} {escape_markdown(prevalence_text(card))}".strip())


def _rule_text(card: Card) -> str:
    """What is called when, as it stands within a sentence."""
    if not card.threshold:
        return tr("the most probable class is the answer")
    first, second = class_labels(card.classes)
    value, goal = format_probability(local_threshold(card)), goal_from_card(card)
    if goal.kind == "fixed" or card.threshold.goal is None:
        return tr("positive for {name} at {value} or above", name=second, value=value)
    return tr(
        "positive for {name} at {value} or above, chosen to {goal}",
        name=second,
        value=value,
        goal=translate(goal.describe((first, second))),
    )


def _lowest_error_percent(validation: ValidationOutputs) -> float | None:
    """How few wrong answers in 100 so few patients allow to promise; None where a class has no scans."""
    n_patients = [
        len(np.unique(validation.patients[validation.labels == k])) for k in range(validation.logits.shape[1])
    ]
    return max(MIN_ERROR_PERCENT, *(round(100 / (n + 1), 1) for n in n_patients)) if all(n_patients) else None


def _choice_in_force(card: Card, lowest_error: float) -> Choice:
    """What the controls say when they stand at what is in force."""
    goal, alpha = goal_from_card(card), card.abstention.alpha if card.abstention else DEFAULT_ALPHA
    shares = card.calibration.prevalence if card.calibration else None
    prevalence = card.local_prevalence or (shares[1] if shares else 0.5)
    limit = None if goal.limit is None else round(100 * goal.limit, 1)
    return Choice(goal.kind, limit, max(round(100 * alpha, 1), lowest_error), round(100 * prevalence, 1))


def _show_controls(name: str, card: Card, lowest_error: float) -> Choice:
    """The controls; they begin at what is in force, and stay where somebody moved them."""
    in_force = _choice_in_force(card, lowest_error)
    key = f"decide_{name}_{st.session_state.get(_revision_key(name), 0)}"
    start_state = st.session_state.setdefault(f"{key}_from", (_decision_key(card), in_force))
    is_binary = len(card.classes) == 2
    kind, limit = _choose_goal(key, card, in_force) if is_binary else ("argmax", None)
    max_error = _choose_max_error(key, in_force, lowest_error, len(card.classes))
    choice = Choice(
        kind, limit, max_error, _choose_prevalence(key, card, in_force) if is_binary else in_force.prevalence
    )
    if start_state[0] != _decision_key(card):
        if choice == start_state[1]:  # nobody moved anything here: show what is in force now
            _reset_controls(name)
            st.rerun()
        st.warning(
            tr(
                "Meanwhile **somebody else changed these settings**: theirs are shown above. Yours replace them if "
                "you use them."
            ),
            icon=":material/group:",
        )
    return choice


def _choose_goal(key: str, card: Card, in_force: Choice) -> tuple[str, float | None]:
    """What the threshold of two classes is to do, and its limit in 100."""
    first, second = map(escape_markdown, class_labels(card.classes))
    labels = {kind: tr(message, first=first, second=second) for kind, message in GOALS.items()}
    kind = st.radio(
        tr("Choice of the decision threshold"),
        list(labels),
        format_func=labels.__getitem__,
        key=_init_state(f"{key}_kind", in_force.kind),
    )
    if kind not in LIMITS:
        return kind, None
    start = (
        in_force.limit if kind == in_force.kind and in_force.limit else SLIDER_START.get(kind, _threshold_percent(card))
    )
    low, step = (1.0, 1.0) if kind == "fixed" else (0.5, 0.5)
    return kind, st.slider(
        tr(LIMITS[kind], first=first, second=second),
        min(low, start),
        max(SLIDER_MAX[kind], start),
        step=step,
        format="%.3g",
        key=_init_state(f"{key}_{kind}", start),
    )


def _choose_prevalence(key: str, card: Card, in_force: Choice) -> float:
    """How many of 100 of the team's patients have the second class."""
    prevalence = st.number_input(
        tr(
            "Prevalence: how many of 100 {people} that you X-ray have {condition}?",
            people=translate(population_noun(card)),
            condition=escape_markdown(translate(condition_phrase(card.classes[1]))),
        ),
        0.1,
        99.9,
        step=1.0,
        format="%g",
        key=_init_state(f"{key}_prevalence", in_force.prevalence),
        help=tr(
            "All probabilities, here and on Diagnose, are adjusted to this prevalence. With argmax or a fixed "
            "threshold the answers change with it; a threshold that limits errors keeps its answers, and so does "
            "the error target."
        ),
    )
    if card.local_prevalence is None:
        st.caption(tr("Not set: {n:.3g} in 100 is assumed.", n=in_force.prevalence))
    return prevalence


def _choose_max_error(key: str, in_force: Choice, lowest_error: float, n_classes: int) -> float:
    max_error = st.slider(
        tr("Wrong answers allowed per 100 scans of either class; otherwise “uncertain”")
        if n_classes == 2
        else tr("Wrong answers allowed per 100 scans of any class; otherwise “uncertain”"),
        lowest_error,
        max(MAX_ERROR_PERCENT, lowest_error + 10, in_force.max_error),
        step=0.1,
        format="%.3g",
        key=_init_state(f"{key}_doubt", in_force.max_error),
        help=tr("The fewer errors you allow, the more scans are left to a radiologist."),
    )
    if lowest_error > MIN_ERROR_PERCENT:
        st.caption(tr("Below {n:.3g} is not possible with so few patients.", n=lowest_error))
    return max_error


def _threshold_percent(card: Card) -> float:
    return float(min(max(round(100 * local_threshold(card)), 1), 99))


def _init_state(key: str, value: Any) -> str:
    """The key of a control, which begins at a value."""
    st.session_state.setdefault(key, value)
    return key


def _revision_key(name: str) -> str:
    return f"decide_revision_{name}"


def _reset_controls(name: str) -> None:
    """Let the controls go back to what is in force."""
    st.session_state[_revision_key(name)] = st.session_state.get(_revision_key(name), 0) + 1


def _choice_as_shares(
    choice: Choice, card: Card, lowest_error: float
) -> tuple[str, float | None, float | None, float | None]:
    """Goal, doubt and prevalence as shares, to the last digit those in force where nobody moved the control.

    For doubt and prevalence that is None.
    """
    in_force = _choice_in_force(card, lowest_error)
    limit = None if choice.limit is None else round(choice.limit / 100, 6)
    if (choice.kind, choice.limit) == (in_force.kind, in_force.limit):
        limit = goal_from_card(card).limit
    alpha = None if choice.max_error == in_force.max_error else round(choice.max_error / 100, 6)
    prevalence = None if choice.prevalence == in_force.prevalence else round(choice.prevalence / 100, 6)
    return choice.kind, limit, alpha, prevalence


# ---------------------------------------------------------------- what it would do


def _show_buttons(
    checkpoint: Checkpoint, current_card: Card, choice: Choice, preview: Preview, lowest_error: float
) -> None:
    in_force = _choice_in_force(current_card, lowest_error)
    is_changed = choice != in_force or (current_card.threshold_value, current_card.abstention) != (
        preview.card.threshold_value,
        preview.card.abstention,
    )
    kind, limit, alpha, prevalence = _choice_as_shares(choice, current_card, lowest_error)
    with st.container(horizontal=True):
        st.button(
            tr("Use this to read scans"),
            type="primary",
            icon=":material/gavel:",
            disabled=not is_changed,
            on_click=_apply_choice,
            args=(checkpoint, kind, limit, alpha, prevalence),
            key=f"decide_use_{checkpoint.name}",
        )
        st.button(
            tr("Reset"),
            icon=":material/undo:",
            disabled=choice == in_force,
            on_click=_reset_controls,
            args=(checkpoint.name,),
            key=f"decide_back_{checkpoint.name}",
        )
    if not is_changed:
        st.caption(tr("These settings are in use. Move a control to see its effect."))


def _apply_choice(
    checkpoint: Checkpoint, kind: str, limit: float | None, alpha: float | None, prevalence: float | None
) -> None:
    """Put a choice in force."""
    with defer_errors():
        is_binary = len(checkpoint.read_card().classes) == 2
        card = update_operating_point(
            checkpoint,
            goal=ThresholdGoal(kind=cast(Any, kind), limit=limit) if is_binary else None,
            alpha=alpha,
            prevalence=prevalence,
        )
        _reset_controls(checkpoint.name)
        sentences = [
            tr("New rule: {rule}.", rule=_rule_text(card)) if is_binary else "",
            abstention_text(card) if card.abstention else "",
            tr("Diagnose and the figures on this page use it from now on."),
        ]
        announce(" ".join(filter(None, sentences)))
