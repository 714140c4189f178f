"""From when on what is called, and when it is not sure: choices that are tried on the page before they are put in force."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import streamlit as st

from pages.shared.decision_effects import (
    Preview,
    chart,
    measured_effect,
    not_sure,
    previewed,
    stamp_of,
    table,
    thousand,
    validation_scans,
    what_comes_out,
)
from pages.shared.formatting import nice_names, percent, plain
from pages.shared.page import announce, announcements, stated_errors, stated_later
from pages.shared.verdict import for_whom, people_in, told_threshold
from xrai.calibration import Goal
from xrai.core.labels import condition_of
from xrai.core.language import N_, tr, translate
from xrai.evaluation.store import Measurement
from xrai.models.artifacts import Validation
from xrai.models.checkpoint import Card, Checkpoint
from xrai.models.operating_point import ALPHA, decide, goal_of

MOST = {"misses": 20.0, "alarms": 30.0, "given": 99.0}
USUAL = {"misses": 5.0, "alarms": 10.0}
"""In 100: where the sliders end, and where they begin unless the card says otherwise."""

LEAST_DOUBT, MOST_DOUBT = 1.0, 20.0

GOALS = {
    "likeliest": N_("Whichever class is likelier is called"),
    "misses": N_("Miss few with {second}"),
    "alarms": N_("Raise few false alarms among {first}"),
    "given": N_("A probability that you set"),
}
LIMITS = {
    "misses": N_("At most so many of 100 scans of {second} are missed"),
    "alarms": N_("At most so many of 100 scans of {first} are called {second}"),
    "given": N_("Called {second} from this probability on, in %"),
}


class Choice(NamedTuple):
    """What the controls say, in 100; a limit is None where whichever class is likelier is called."""

    kind: str
    limit: float | None
    doubt: float
    prevalence: float


@st.fragment
def decisions(
    checkpoint: Checkpoint, card: Card, measured: Measurement | None, mark: str, about: Sequence[str]
) -> None:
    """Controls for threshold, doubt and prevalence, what they would do, and a button that puts it in force.

    Args:
        checkpoint: a model whose answers to the validation scans were kept.
        card: that the page around was drawn with.
        measured: other scans to show the effect on, with probabilities as the card has them; None for none.
        mark: equal for as long as `measured` is the same.
        about: lines that say on charts what they are of.
    """
    with stated_errors():
        now = checkpoint.card()
        if _decided(now) != _decided(card):
            st.rerun()  # put in force here or in another tab: the whole page follows
        announcements()
        stamp = stamp_of(checkpoint)
        lowest = _least_doubt(validation_scans(checkpoint, stamp))
        if lowest is None:
            st.info(plain(tr(
                "Nothing can be chosen here, because the validation scans lack one of the classes: build a dataset whose "
                "validation split has scans of each, and train on that."
            )), icon=":material/info:")  # fmt: skip
            return
        _in_force(now)
        halves = st.grid(2 if len(now.classes) == 2 else 1, min_column_width=340)
        with halves.cell():
            chosen = _controls(checkpoint.name, now, lowest)
            preview = previewed(checkpoint, stamp, *_wanted(chosen, now, lowest))
            _buttons(checkpoint, now, chosen, preview, lowest)
        with halves.cell():
            chart(checkpoint.name, preview, about)
        what_comes_out(preview.card)
        effect = None
        if measured is not None:
            key = repr((mark, preview.card.threshold_value, preview.card.doubt))
            effect = measured_effect(preview.card, measured, key)
        table(preview, effect, measured)
        if len(now.classes) == 2:
            thousand(checkpoint.name, preview, effect, measured, chosen.prevalence / 100, about)


# ---------------------------------------------------------------- what is in force, and the controls


def _decided(card: Card) -> str:
    """Equal for cards that decide alike."""
    return repr((card.threshold, card.doubt, card.prevalence, card.calibration))


def _in_force(card: Card) -> None:
    if card.doubt:
        doubt = tr("at most {n:.3g} in 100 scans of each class may get a wrong firm answer", n=100 * card.doubt.alpha)
    else:
        doubt = tr("every answer is firm")
    words = tr("**In force for reading scans**: {rule}; {doubt}.", rule=plain(_rule(card)), doubt=plain(doubt))
    st.markdown(f":material/gavel: {words} {plain(for_whom(card))}".strip())


def _rule(card: Card) -> str:
    """What is called when, as it stands within a sentence."""
    if not card.threshold:
        return tr("whichever class is likeliest is called")
    first, second = nice_names(card.classes)
    value, goal = percent(told_threshold(card)), goal_of(card)
    if goal.kind == "given" or "goal" not in card.threshold:
        return tr("called {name} from a probability of {value} on", name=second, value=value)
    return tr(
        "called {name} from a probability of {value} on, chosen to {goal}",
        name=second, value=value, goal=translate(goal.in_words((first, second))),
    )  # fmt: skip


def _least_doubt(validation: Validation) -> float | None:
    """How few wrong answers in 100 so few patients allow to promise; None where a class has no scans."""
    patients = [len(np.unique(validation.patients[validation.labels == k])) for k in range(validation.logits.shape[1])]
    return max(LEAST_DOUBT, *(round(100 / (n + 1), 1) for n in patients)) if all(patients) else None


def _kept_choice(card: Card, lowest: float) -> Choice:
    """What the controls say when they stand at what is in force."""
    goal, doubt = goal_of(card), card.doubt.alpha if card.doubt else ALPHA
    shares = card.calibration.prevalence if card.calibration else None
    known = card.prevalence or (shares[1] if shares else 0.5)
    limit = None if goal.limit is None else round(100 * goal.limit, 1)
    return Choice(goal.kind, limit, max(round(100 * doubt, 1), lowest), round(100 * known, 1))


def _controls(name: str, card: Card, lowest: float) -> Choice:
    """The controls; they begin at what is in force, and stay where somebody moved them."""
    kept = _kept_choice(card, lowest)
    key = f"decide_{name}_{st.session_state.get(_revision(name), 0)}"
    before = st.session_state.setdefault(f"{key}_from", (_decided(card), kept))
    two = len(card.classes) == 2
    kind, limit = _goal_controls(key, card, kept) if two else ("likeliest", None)
    doubt = _doubt_slider(key, kept, lowest, len(card.classes))
    chosen = Choice(kind, limit, doubt, _prevalence(key, card, kept) if two else kept.prevalence)
    if before[0] != _decided(card):
        if chosen == before[1]:  # nobody moved anything here: show what is in force now
            _begin_anew(name)
            st.rerun()
        st.warning(
            tr(
                "Meanwhile **somebody else put another choice in force**: it stands above. Yours takes its place if you "
                "use it."
            ),
            icon=":material/group:",
        )
    return chosen


def _goal_controls(key: str, card: Card, kept: Choice) -> tuple[str, float | None]:
    """What the threshold of two classes is to do, and its limit in 100."""
    first, second = map(plain, nice_names(card.classes))
    labels = {kind: tr(message, first=first, second=second) for kind, message in GOALS.items()}
    kind = st.radio(
        tr("What is the threshold to do?"), list(labels), format_func=labels.__getitem__,
        key=_begun(f"{key}_kind", kept.kind),
    )  # fmt: skip
    if kind not in LIMITS:
        return kind, None
    start = kept.limit if kind == kept.kind and kept.limit else USUAL.get(kind, _rounded_value(card))
    low, step = (1.0, 1.0) if kind == "given" else (0.5, 0.5)
    return kind, st.slider(
        tr(LIMITS[kind], first=first, second=second), min(low, start), max(MOST[kind], start), step=step, format="%.3g", key=_begun(f"{key}_{kind}", start),
    )  # fmt: skip


def _prevalence(key: str, card: Card, kept: Choice) -> float:
    """How many of 100 of the team's patients have the second class."""
    prevalence = st.number_input(
        tr(
            "Of 100 {people} who are X-rayed with you, how many have {condition}?",
            people=translate(people_in(card)), condition=plain(translate(condition_of(card.classes[1]))),
        ),
        0.1, 99.9, step=1.0, format="%g", key=_begun(f"{key}_prevalence", kept.prevalence),
        help=tr(
            "Every probability here and on Diagnose is then told for your patients. Whichever class is likelier among "
            "them is called, or what reaches a probability that you set, so that what is called moves with this number; "
            "a threshold that limits errors stays, and so does the promise of few wrong firm answers."
        ),
    )  # fmt: skip
    if card.prevalence is None:
        st.caption(tr(
            "Nobody has said yet: it begins at {n:.3g}, for which the model's probabilities hold now.", n=kept.prevalence
        ))  # fmt: skip
    return prevalence


def _doubt_slider(key: str, kept: Choice, lowest: float, n_classes: int) -> float:
    doubt = st.slider(
        tr(
            "At most so many of 100 scans of either class get a wrong firm answer; where that cannot be kept, it is "
            "“not sure”"
        )
        if n_classes == 2
        else tr(
            "At most so many of 100 scans of any class get a wrong firm answer; where that cannot be kept, it is "
            "“not sure”"
        ),
        lowest, max(MOST_DOUBT, lowest + 10, kept.doubt), step=0.1, format="%.3g", key=_begun(f"{key}_doubt", kept.doubt),
        help=tr("The fewer wrong answers you accept, the more scans XRAI leaves to a radiologist."),
    )  # fmt: skip
    if lowest > LEAST_DOUBT:
        st.caption(tr("Fewer than {n:.3g} cannot be promised from so few patients.", n=lowest))
    return doubt


def _rounded_value(card: Card) -> float:
    return float(min(max(round(100 * told_threshold(card)), 1), 99))


def _begun(key: str, value: Any) -> str:
    """The key of a control, which begins at a value."""
    st.session_state.setdefault(key, value)
    return key


def _revision(name: str) -> str:
    return f"decide_revision_{name}"


def _begin_anew(name: str) -> None:
    """Let the controls go back to what is in force."""
    st.session_state[_revision(name)] = st.session_state.get(_revision(name), 0) + 1


def _wanted(chosen: Choice, card: Card, lowest: float) -> tuple[str, float | None, float | None, float | None]:
    """Goal, doubt and prevalence as shares, to the last digit those in force where nobody moved the control.

    For doubt and prevalence that is None.
    """
    kept = _kept_choice(card, lowest)
    limit = None if chosen.limit is None else round(chosen.limit / 100, 6)
    if (chosen.kind, chosen.limit) == (kept.kind, kept.limit):
        limit = goal_of(card).limit
    doubt = None if chosen.doubt == kept.doubt else round(chosen.doubt / 100, 6)
    prevalence = None if chosen.prevalence == kept.prevalence else round(chosen.prevalence / 100, 6)
    return chosen.kind, limit, doubt, prevalence


# ---------------------------------------------------------------- what it would do


def _buttons(checkpoint: Checkpoint, now: Card, chosen: Choice, preview: Preview, lowest: float) -> None:
    kept = _kept_choice(now, lowest)
    is_changed = chosen != kept or (now.threshold_value, now.doubt) != (
        preview.card.threshold_value,
        preview.card.doubt,
    )
    kind, limit, alpha, prevalence = _wanted(chosen, now, lowest)
    with st.container(horizontal=True):
        st.button(
            tr("Use this for reading scans"), type="primary", icon=":material/gavel:", disabled=not is_changed,
            on_click=_use, args=(checkpoint, kind, limit, alpha, prevalence), key=f"decide_use_{checkpoint.name}",
        )  # fmt: skip
        st.button(
            tr("Back to what is in force"), icon=":material/undo:", disabled=chosen == kept,
            on_click=_begin_anew, args=(checkpoint.name,), key=f"decide_back_{checkpoint.name}",
        )  # fmt: skip
    if not is_changed:
        st.caption(tr("The controls stand at what is in force. Move one to see what it would do."))


def _use(checkpoint: Checkpoint, kind: str, limit: float | None, alpha: float | None, prevalence: float | None) -> None:
    """Put a choice in force."""
    with stated_later():
        two = len(checkpoint.card().classes) == 2
        card = decide(
            checkpoint, goal=Goal(cast(Any, kind), limit) if two else None, alpha=alpha, prevalence=prevalence
        )  # fmt: skip
        _begin_anew(checkpoint.name)
        said = [
            tr("From now on scans are {rule}.", rule=_rule(card)) if two else "",
            not_sure(card) if card.doubt else "",
            tr("Diagnose reads scans so, and the figures on this page follow."),
        ]
        announce(" ".join(filter(None, said)))
