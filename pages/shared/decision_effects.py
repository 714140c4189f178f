"""What a choice of threshold and doubt does: to the validation scans, to others that were measured, to 1,000 people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages.shared.charts import chart_config
from pages.shared.formatting import nice_names, percent, plain
from pages.shared.readers import model_key
from pages.shared.results import with_interval
from pages.shared.verdict import for_whom, people_in, told_each, told_threshold, told_zone
from xrai.calibration import (
    Goal,
    Threshold,
    answer_report,
    of_hundred,
    per_thousand,
    predictive_values,
    threshold_points,
)
from xrai.core.labels import condition_of
from xrai.core.language import N_, tr, translate
from xrai.evaluation.store import Measurement
from xrai.figures import captioned, thousand_figure, threshold_figure
from xrai.metrics import Interval, predict, share_by_patient
from xrai.models.artifacts import KIT, Validation
from xrai.models.checkpoint import Card, Checkpoint
from xrai.models.operating_point import settled, validation_of

LOOKING_FLATTERS = N_(
    "All of this is chosen on the validation scans, never on the test scans: their column only shows what comes of it. "
    "Whoever moves the controls until that column looks good fits the model to these very scans, and its figures flatter "
    "from then on."
)
BY_CHANCE = N_("In brackets: the 95 % interval.")
SCANS_OF = {
    "train": N_("Training scans of {dataset}"),
    "val": N_("Validation scans of {dataset}"),
    "test": N_("Test scans of {dataset}"),
}
INSTEAD = {
    "train": N_("**If they are like the training scans instead**: {words}"),
    "val": N_("**If they are like the validation scans instead**: {words}"),
    "test": N_("**If they are like the test scans instead**: {words}"),
}

Share = tuple[float, Interval] | None
"""A share of scans with its interval; None where there are no such scans."""


class Effect(NamedTuple):
    """What a decision does to scans: the second of two classes found, the first cleared, and what is answered."""

    found: Share
    cleared: Share
    answers: dict[str, Any]


class Preview(NamedTuple):
    """A card as it would be, and what that does to the validation scans; `points` as `threshold_points` gives them."""

    card: Card
    effect: Effect
    points: dict[str, list[float]] | None


def stamp_of(checkpoint: Checkpoint) -> str:
    """Equal for equal files of a model, its kit among them: what figures may be remembered by."""
    file = checkpoint.folder / KIT
    return f"{model_key(checkpoint)}|{file.stat().st_mtime_ns if file.is_file() else ''}"


@st.cache_resource(max_entries=4, show_spinner=False)
def validation_scans(_checkpoint: Checkpoint, stamp: str) -> Validation:
    """What a model answered to its validation scans, read once.

    Raises:
        CheckpointError: that was not kept, or is damaged.
    """
    return validation_of(_checkpoint, _checkpoint.card())


def figures_in_force(checkpoint: Checkpoint, card: Card, about: Sequence[str]) -> dict[str, go.Figure]:
    """The chart of what the threshold in force does, for the exports; of two classes only."""
    if len(card.classes) != 2 or card.calibration is None or card.threshold is None:
        return {}
    validation = validation_scans(checkpoint, stamp_of(checkpoint))
    points = threshold_points(card.probabilities(validation.logits)[:, 1], validation.labels)
    return {} if points is None else {"threshold": _threshold_chart(card, points, about)}


@st.cache_data(max_entries=300, show_spinner=False)
def previewed(
    _checkpoint: Checkpoint, stamp: str, kind: str, limit: float | None, alpha: float | None, prevalence: float | None
) -> Preview:
    """A model's card with another goal of its threshold, doubt and prevalence, and what that does; once for each.

    Raises:
        CheckpointError: its answers to the validation scans were not kept, or are damaged.
    """
    card, validation = _checkpoint.card(), validation_scans(_checkpoint, stamp)
    card = card if prevalence is None else replace(card, prevalence=prevalence)
    card = settled(card, validation, goal=Goal(cast(Any, kind), limit), alpha=alpha)
    p = card.probabilities(validation.logits)
    points = threshold_points(p[:, 1], validation.labels) if len(card.classes) == 2 else None
    return Preview(card, _effect(card, p, validation.labels, validation.patients), points)


@st.cache_data(max_entries=300, show_spinner=False)
def measured_effect(_card: Card, _measured: Measurement, key: str) -> Effect:
    """What a decision does to scans that were measured; `key` is equal for as long as both are the same."""
    said = _measured.predictions
    return _effect(_card, said.probabilities, said.labels, said.patients)


def _effect(card: Card, probabilities: np.ndarray, labels: np.ndarray, patients: np.ndarray) -> Effect:
    called, who = predict(probabilities, card.threshold_value), patients.tolist()
    answers = answer_report(card.sure(probabilities, called), called, labels, who, len(card.classes))
    if len(card.classes) != 2:
        return Effect(None, None, answers)
    found, cleared = (share_by_patient(called == k, who, labels == k) for k in (1, 0))
    return Effect(found, cleared, answers)


# ---------------------------------------------------------------- how it is told


def not_sure(card: Card) -> str:
    """Where it is not sure, as a sentence."""
    assert card.doubt is not None
    if len(card.classes) != 2:
        return tr(
            "At most {n:.3g} in 100 scans of each class are to get a wrong firm answer.", n=100 * card.doubt.alpha
        )
    zone = told_zone(card)
    if zone is None:
        return tr("No answer is “not sure”: the classes are told apart well enough without.")
    return tr(
        "Between {low} and {high} the answer is “not sure: ask a radiologist”.",
        low=percent(zone[0]), high=percent(zone[1]),
    )  # fmt: skip


def _threshold_chart(card: Card, points: dict[str, list[float]], about: Sequence[str]) -> go.Figure:
    """In probabilities as people are told them."""
    first, second = nice_names(card.classes)
    at_home = points | {"threshold": told_each(card, points["threshold"])}
    figure = threshold_figure(
        at_home, (first, second), told_threshold(card), zone=told_zone(card), interval=_told_interval(card)
    )
    figure.update_xaxes(title=tr("Called {name} from here on", name=escape(second, quote=False)))  # fits half a page
    return captioned(figure, *about, *filter(None, [for_whom(card)]))


def _told_interval(card: Card) -> tuple[float, float] | None:
    known = (card.threshold or {}).get("interval")
    return (card.told(known[0]), card.told(known[1])) if known else None


def chart(name: str, preview: Preview, about: Sequence[str]) -> None:
    """What every threshold does to the validation scans, with the one of the card; of two classes only."""
    if preview.points is not None:
        figure = _threshold_chart(preview.card, preview.points, about)
        st.plotly_chart(figure, key=f"decide_threshold_{name}", config=chart_config(f"{name}-threshold"))


def what_comes_out(card: Card) -> None:
    """How the threshold came out on the validation scans, and where it is not sure."""
    names = nice_names(card.classes)
    said = []
    if card.threshold and len(names) == 2:
        chosen = replace(Threshold.from_dict(card.threshold), interval=_told_interval(card))
        said.append(translate(chosen.sentence((names[0], names[1]))))
    if card.doubt:
        said += [not_sure(card)] if len(names) == 2 else []
        said.append(translate(card.doubt.sentence(tuple(names))))
    st.markdown(plain(" ".join(said)))


def table(preview: Preview, effect: Effect | None, measured: Measurement | None) -> None:
    """What it does to the validation scans, and beside them to those that were measured."""
    columns = {tr("Validation scans, on which it is chosen"): _rows(preview.card, preview.effect)}
    is_test = False
    if effect is not None and measured is not None:
        is_test = measured.report["split"] == "test"
        scans_of = SCANS_OF[measured.report["split"]]
        title = tr(scans_of, dataset=measured.report["dataset"])
        columns[title] = _rows(preview.card, effect)
    table = pd.DataFrame(columns)
    table.insert(0, tr("What it does"), table.index)
    st.table(table.rename(columns=plain), border="horizontal", hide_index=True)
    st.caption(tr(BY_CHANCE))
    if is_test:
        st.caption(f":material/visibility: {tr(LOOKING_FLATTERS)}")


def _rows(card: Card, effect: Effect) -> dict[str, str]:
    names, answers = list(map(plain, nice_names(card.classes))), effect.answers
    rows = {}
    if len(names) == 2:
        rows[tr("**{name}** found", name=names[1])] = _shown(effect.found)
        rows[tr("**{name}** cleared", name=names[0])] = _shown(effect.cleared)
    rows[tr("Answered firmly")] = with_interval(answers["answered"], answers["answered_interval"], as_percent=True)
    rows[tr("Of these, right")] = with_interval(answers["right"], answers["right_interval"], as_percent=True)
    for name, row in zip(names, answers["per_class"], strict=True):
        rows[tr("**{name}** with a wrong firm answer", name=name)] = with_interval(
            row["wrong"], row["wrong_interval"], as_percent=True
        )
    return rows


def _shown(share: Share) -> str:
    return "–" if share is None else with_interval(share[0], share[1], as_percent=True)


# ---------------------------------------------------------------- a thousand people


def thousand(
    name: str, preview: Preview, effect: Effect | None, measured: Measurement | None, prevalence: float, about: Sequence[str]
) -> None:  # fmt: skip
    """What becomes of 1,000 people as the validation scans have it, and in a sentence as those that were measured."""
    card = preview.card
    people, condition = translate(people_in(card)), translate(condition_of(card.classes[1]))
    found, cleared = preview.effect.found, preview.effect.cleared
    if found is None or cleared is None:
        return
    st.markdown(plain(tr(
        "What it means for 1,000 {people}, of whom {n:.3g} in 100 have {condition}, if they are like the validation "
        "scans:",
        people=people, n=100 * prevalence, condition=condition,
    )))  # fmt: skip
    counts = per_thousand(found[0], cleared[0], prevalence)
    figure = captioned(thousand_figure(counts, condition, people), *about)
    st.plotly_chart(figure, key=f"decide_thousand_{name}", config=chart_config(f"{name}-thousand", still=True))
    said = [*_in_words(card, preview.effect, prevalence), *_left_out(card, preview.effect, prevalence)]
    st.markdown("\n".join(f"- {plain(sentence)}" for sentence in said))
    if effect and measured and effect.found and effect.cleared:
        other = per_thousand(effect.found[0], effect.cleared[0], prevalence)
        counts = tr(
            "{found:,} found, {missed:,} missed, {alarms:,} false alarms, {cleared:,} cleared.", **other._asdict()
        )
        words = " ".join([counts, *_in_words(card, effect, prevalence)])
        instead = INSTEAD[measured.report["split"]]
        st.markdown(tr(instead, words=plain(words)))


def _in_words(card: Card, effect: Effect, prevalence: float) -> list[str]:
    """What either call means."""
    assert effect.found and effect.cleared
    first, second = nice_names(card.classes)
    people, condition = translate(people_in(card)), translate(condition_of(card.classes[1]))
    have, have_not = predictive_values(effect.found[0], effect.cleared[0], prevalence)
    said = []
    if have is not None:
        said.append(tr(
            "Of 100 {people} who are called {name}, {about} have {condition}.",
            people=people, name=second, about=_about(have), condition=condition,
        ))  # fmt: skip
    if have_not is not None:
        said.append(tr(
            "Of 100 {people} who are called {name}, {about} have {condition} all the same.",
            people=people, name=first, about=_about(1 - have_not), condition=condition,
        ))  # fmt: skip
    return said


def _left_out(card: Card, effect: Effect, prevalence: float) -> list[str]:
    """How many are left to a radiologist, where the classes have scans and there is a doubt."""
    answered = [row["answered"] for row in effect.answers["per_class"]]
    if card.doubt is None or None in answered:
        return []
    unsure = 1000 * ((1 - prevalence) * (1 - answered[0]) + prevalence * (1 - answered[1]))
    return [tr(
        "{n:,.0f} of the 1,000 get the answer “not sure: ask a radiologist”; the picture counts them by what the threshold "
        "alone would call them.",
        n=unsure,
    )]  # fmt: skip


def _about(share: float) -> str:
    count = of_hundred(min(max(share, 0.0), 1.0))
    if count in (0, 100):
        return tr("more than 99") if count else tr("fewer than 1")
    return tr("about {count}", count=count)
