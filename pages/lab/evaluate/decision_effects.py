"""What a choice of threshold and doubt does: to the validation scans, to others that were measured, to 1,000 people."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages.lab.evaluate.results import format_table_metric
from pages.shared.charts import chart_config
from pages.shared.formatting import class_labels, escape_markdown, format_probability
from pages.shared.readers import artifacts_key
from pages.shared.verdict import (
    local_reject_zone,
    local_threshold,
    population_noun,
    prevalence_text,
    to_local_probabilities,
)
from xrai.calibration import (
    AbstentionReport,
    ThresholdGoal,
    abstention_report,
    compute_natural_frequencies,
    predictive_values,
    round_to_hundred,
    threshold_points,
)
from xrai.core.labels import condition_phrase
from xrai.core.language import N_, tr, translate
from xrai.evaluation.store import EvaluationResult
from xrai.figures import add_caption, icon_array_figure, threshold_figure
from xrai.metrics import Interval, clustered_proportion, predict
from xrai.models.artifacts import ValidationOutputs
from xrai.models.card import Card
from xrai.models.checkpoint import Checkpoint
from xrai.models.operating_point import fit_operating_point, load_validation_outputs

TEST_SPLIT_WARNING = N_(
    "The settings are chosen on the validation scans, never on the test scans: their column only shows the effect. "
    "Tuning until that column looks good fits the model to the test scans, and its figures are too good from then "
    "on."
)
INTERVAL_NOTE = N_("In brackets: the 95 % interval.")
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

ShareWithInterval = tuple[float, Interval] | None
"""A share of scans with its interval; None where there are no such scans."""


class Effect(NamedTuple):
    """What a decision does to scans: the second of two classes found, the first cleared, and what is answered."""

    sensitivity: ShareWithInterval
    specificity: ShareWithInterval
    answers: AbstentionReport


class Preview(NamedTuple):
    """A card as it would be, and what that does to the validation scans; `points` as `threshold_points` gives them."""

    card: Card
    effect: Effect
    points: dict[str, list[float]] | None


@st.cache_resource(max_entries=4, show_spinner=False)
def load_validation(_checkpoint: Checkpoint, files_key: str) -> ValidationOutputs:
    """What a model answered to its validation scans, read once.

    Raises:
        CheckpointError: that was not kept, or is damaged.
    """
    return load_validation_outputs(_checkpoint, _checkpoint.read_card())


def operating_point_figures(checkpoint: Checkpoint, card: Card, about: Sequence[str]) -> dict[str, go.Figure]:
    """The chart of what the threshold in force does, for the exports; of two classes only."""
    if len(card.classes) != 2 or card.calibration is None or card.threshold is None:
        return {}
    validation = load_validation(checkpoint, artifacts_key(checkpoint))
    points = threshold_points(card.to_probabilities(validation.logits)[:, 1], validation.labels)
    return {} if points is None else {"threshold": _draw_threshold_chart(card, points, about)}


@st.cache_data(max_entries=300, show_spinner=False)
def preview_decision(
    _checkpoint: Checkpoint,
    files_key: str,
    kind: str,
    limit: float | None,
    alpha: float | None,
    prevalence: float | None,
) -> Preview:
    """A model's card with another goal of its threshold, doubt and prevalence, and what that does; once for each.

    Raises:
        CheckpointError: its answers to the validation scans were not kept, or are damaged.
    """
    card, validation = _checkpoint.read_card(), load_validation(_checkpoint, files_key)
    card = card if prevalence is None else card.replace(local_prevalence=prevalence)
    card = fit_operating_point(card, validation, goal=ThresholdGoal(kind=cast(Any, kind), limit=limit), alpha=alpha)
    probabilities = card.to_probabilities(validation.logits)
    points = threshold_points(probabilities[:, 1], validation.labels) if len(card.classes) == 2 else None
    return Preview(card, _compute_effect(card, probabilities, validation.labels, validation.patients), points)


@st.cache_data(max_entries=300, show_spinner=False)
def effect_on_result(_card: Card, _result: EvaluationResult, key: str) -> Effect:
    """What a decision does to scans that were measured; `key` is equal for as long as both are the same."""
    predictions = _result.predictions
    return _compute_effect(_card, predictions.probabilities, predictions.labels, predictions.patients)


def _compute_effect(card: Card, probabilities: np.ndarray, labels: np.ndarray, patients: np.ndarray) -> Effect:
    predicted, patient_ids = predict(probabilities, card.threshold_value), patients.tolist()
    answers = abstention_report(
        card.is_confident(probabilities, predicted), predicted, labels, patient_ids, len(card.classes)
    )
    if len(card.classes) != 2:
        return Effect(None, None, answers)
    sensitivity, specificity = (clustered_proportion(predicted == k, patient_ids, labels == k) for k in (1, 0))
    return Effect(sensitivity, specificity, answers)


# ---------------------------------------------------------------- how it is told


def abstention_text(card: Card) -> str:
    """Where it is not sure, as a sentence."""
    assert card.abstention is not None
    if len(card.classes) != 2:
        return tr("At most {n:.3g} in 100 scans of each class may get a wrong answer.", n=100 * card.abstention.alpha)
    zone = local_reject_zone(card)
    if zone is None:
        return tr("No answer is “uncertain”: the classes are separated well enough.")
    return tr(
        "Between {low} and {high} the answer is “uncertain: radiologist review needed”.",
        low=format_probability(zone[0]),
        high=format_probability(zone[1]),
    )


def _draw_threshold_chart(card: Card, points: dict[str, list[float]], about: Sequence[str]) -> go.Figure:
    """In probabilities as people are told them."""
    first, second = class_labels(card.classes)
    local_points = points | {"threshold": to_local_probabilities(card, points["threshold"])}
    figure = threshold_figure(
        local_points,
        (first, second),
        local_threshold(card),
        zone=local_reject_zone(card),
        interval=_local_interval(card),
    )
    figure.update_xaxes(title=tr("Positive for {name} from here", name=escape(second, quote=False)))  # fits half a page
    return add_caption(figure, *about, *filter(None, [prevalence_text(card)]))


def _local_interval(card: Card) -> tuple[float, float] | None:
    interval = card.threshold.fit.interval if card.threshold and card.threshold.fit else None
    return (card.to_local_prevalence(interval[0]), card.to_local_prevalence(interval[1])) if interval else None


def show_threshold_chart(name: str, preview: Preview, about: Sequence[str]) -> None:
    """What every threshold does to the validation scans, with the one of the card; of two classes only."""
    if preview.points is not None:
        figure = _draw_threshold_chart(preview.card, preview.points, about)
        st.plotly_chart(figure, key=f"decide_threshold_{name}", config=chart_config(f"{name}-threshold"))


def show_decision_text(card: Card) -> None:
    """How the threshold came out on the validation scans, and where it is not sure."""
    names = class_labels(card.classes)
    sentences = []
    if card.threshold and card.threshold.fit:
        threshold = card.threshold.fit.replace(interval=_local_interval(card))
        sentences.append(translate(threshold.sentence((names[0], names[1]))))
    if card.abstention:
        sentences += [abstention_text(card)] if len(names) == 2 else []
        sentences.append(translate(card.abstention.sentence(tuple(names))))
    st.markdown(escape_markdown(" ".join(sentences)))


def show_effect_table(preview: Preview, effect: Effect | None, result: EvaluationResult | None) -> None:
    """What it does to the validation scans, and beside them to those that were measured."""
    columns = {tr("Validation scans (used for the choice)"): _effect_rows(preview.card, preview.effect)}
    is_test = False
    if effect is not None and result is not None:
        is_test = result.report["split"] == "test"
        scans_of = SCANS_OF[result.report["split"]]
        title = tr(scans_of, dataset=result.report["dataset"])
        columns[title] = _effect_rows(preview.card, effect)
    table = pd.DataFrame(columns)
    table.insert(0, tr("Effect"), table.index)
    st.table(table.rename(columns=escape_markdown), border="horizontal", hide_index=True)
    st.caption(tr(INTERVAL_NOTE))
    if is_test:
        st.caption(f":material/visibility: {tr(TEST_SPLIT_WARNING)}")


def _effect_rows(card: Card, effect: Effect) -> dict[str, str]:
    names, answers = list(map(escape_markdown, class_labels(card.classes))), effect.answers
    rows = {}
    if len(names) == 2:
        rows[tr("**{name}** found (sensitivity)", name=names[1])] = _share_text(effect.sensitivity)
        rows[tr("**{name}** cleared (specificity)", name=names[0])] = _share_text(effect.specificity)
    rows[tr("Answered")] = format_table_metric(answers.coverage, answers.coverage_interval, as_percent=True)
    rows[tr("Of these, correct")] = format_table_metric(answers.accuracy, answers.accuracy_interval, as_percent=True)
    for name, row in zip(names, answers.per_class, strict=True):
        rows[tr("**{name}** with a wrong answer", name=name)] = format_table_metric(
            row.error_rate, row.error_rate_interval, as_percent=True
        )
    return rows


def _share_text(share: ShareWithInterval) -> str:
    return "–" if share is None else format_table_metric(share[0], share[1], as_percent=True)


# ---------------------------------------------------------------- a thousand people


def show_icon_array(
    name: str,
    preview: Preview,
    effect: Effect | None,
    result: EvaluationResult | None,
    prevalence: float,
    about: Sequence[str],
) -> None:
    """What becomes of 1,000 people as the validation scans have it, and in a sentence as those that were measured."""
    card = preview.card
    people, condition = translate(population_noun(card)), translate(condition_phrase(card.classes[1]))
    sensitivity, specificity = preview.effect.sensitivity, preview.effect.specificity
    if sensitivity is None or specificity is None:
        return
    st.markdown(
        escape_markdown(
            tr(
                "What it means for 1,000 {people}, of whom {n:.3g} in 100 have {condition}, if they are like the validation "
                "scans:",
                people=people,
                n=100 * prevalence,
                condition=condition,
            )
        )
    )
    counts = compute_natural_frequencies(sensitivity[0], specificity[0], prevalence)
    figure = add_caption(icon_array_figure(counts, condition, people), *about)
    st.plotly_chart(figure, key=f"decide_thousand_{name}", config=chart_config(f"{name}-thousand", is_static=True))
    sentences = [
        *_predictive_value_sentences(card, preview.effect, prevalence),
        *_abstention_sentences(card, preview.effect, prevalence),
    ]
    st.markdown("\n".join(f"- {escape_markdown(sentence)}" for sentence in sentences))
    if effect and result and effect.sensitivity and effect.specificity:
        other = compute_natural_frequencies(effect.sensitivity[0], effect.specificity[0], prevalence)
        counts = tr(
            "{true_positives:,} found, {false_negatives:,} missed, {false_positives:,} false alarms, "
            "{true_negatives:,} cleared.",
            **other._asdict(),
        )
        text = " ".join([counts, *_predictive_value_sentences(card, effect, prevalence)])
        instead = INSTEAD[result.report["split"]]
        st.markdown(tr(instead, words=escape_markdown(text)))


def _predictive_value_sentences(card: Card, effect: Effect, prevalence: float) -> list[str]:
    """What either call means."""
    assert effect.sensitivity and effect.specificity
    first, second = class_labels(card.classes)
    people, condition = translate(population_noun(card)), translate(condition_phrase(card.classes[1]))
    ppv, npv = predictive_values(effect.sensitivity[0], effect.specificity[0], prevalence)
    sentences = []
    if ppv is not None:
        sentences.append(
            tr(
                "Of 100 {people} with the answer {name}, {about} have {condition}.",
                people=people,
                name=second,
                about=_about_text(ppv),
                condition=condition,
            )
        )
    if npv is not None:
        sentences.append(
            tr(
                "Of 100 {people} with the answer {name}, {about} have {condition} nevertheless.",
                people=people,
                name=first,
                about=_about_text(1 - npv),
                condition=condition,
            )
        )
    return sentences


def _abstention_sentences(card: Card, effect: Effect, prevalence: float) -> list[str]:
    """How many are left to a radiologist, where the classes have scans and there is a doubt."""
    shares = [row.coverage for row in effect.answers.per_class if row.coverage is not None]
    if card.abstention is None or len(shares) != 2:
        return []
    n_unsure = 1000 * ((1 - prevalence) * (1 - shares[0]) + prevalence * (1 - shares[1]))
    return [
        tr(
            "{n:,.0f} of the 1,000 get the answer “uncertain: radiologist review needed”; the chart counts them by "
            "the decision threshold alone.",
            n=n_unsure,
        )
    ]


def _about_text(share: float) -> str:
    count = round_to_hundred(min(max(share, 0.0), 1.0))
    if count in (0, 100):
        return tr("more than 99") if count else tr("fewer than 1")
    return tr("about {count}", count=count)
