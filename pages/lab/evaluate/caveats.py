"""What to know before a measurement's figures are believed: whose scans they are, who saw them, how often."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from pages.shared.datasets import DatasetFacts
from pages.shared.formatting import escape_markdown, format_metric_with_interval
from pages.shared.verdict import moved_threshold_text
from xrai.core.labels import lacks_clinical_meaning
from xrai.core.language import N_, tr, translate, trn
from xrai.models.card import Card, EvaluationSummary

WHY_RARELY = N_(
    "Measure on the test scans only once the model is final: changing a model after each measurement fits it to "
    "these scans, and its figures become too good. Compare variants on the validation split."
)
NOT_DESCRIBED = N_("nobody described them when the dataset was built")
NO_PATIENTS = N_("**These figures say nothing about patients.** Description of the dataset {name}: “{population}”.")
SEEN_BY_MODEL = {
    "train": N_(
        "The model was **trained on these scans**: the figures show what it remembers, not how it reads new scans."
    ),
    "val": N_(
        "The model was **selected on these scans**: the best epoch on them was kept. Figures on them are slightly "
        "better than on new scans."
    ),
}
SEEN_BY_ANCESTOR = {
    "train": N_(
        "The model started from one that was **trained on these scans**: the figures may show what it remembers, "
        "not how it reads new scans."
    ),
    "val": N_(
        "The model started from one that was **selected on these scans**: figures on them may be better than on "
        "new scans."
    ),
}
EARLIER_BUILD = N_(
    "The model was trained on an earlier build of {name}. It may have seen some of these scans, so the figures may "
    "be too good."
)
SPLIT_SCANS = {
    "train": N_("the {n:,} training scans of this dataset"),
    "val": N_("the {n:,} validation scans of this dataset"),
    "test": N_("the {n:,} test scans of this dataset"),
}


def show_caveats(card: Card, path: Path, facts: DatasetFacts, split: str) -> None:
    """Who is in these scans, and what makes figures on them say less than they seem to."""
    _show_population(path, facts)
    training_population = card.dataset.population
    if training_population and not is_training_dataset(card, facts) and training_population != facts.population:
        text = tr(
            "The model “{name}” was trained on: {population}.",
            name=escape_markdown(card.name),
            population=escape_markdown(translate(training_population)),
        )
        st.caption(f":material/neurology: {text}")
    if message := _seen_message(card, path, facts, split):
        st.warning(tr(message, name=escape_markdown(path.stem)), icon=":material/warning:")


def _show_population(path: Path, facts: DatasetFacts) -> None:
    name = escape_markdown(path.stem)
    population = escape_markdown(translate(facts.population or NOT_DESCRIBED))
    if lacks_clinical_meaning(facts.population, is_phantom=facts.is_phantom):
        st.warning(tr(NO_PATIENTS, name=name, population=population), icon=":material/warning:")
    else:
        st.caption(f":material/groups: {tr('Patients of {name}: {population}.', name=name, population=population)}")


def _seen_message(card: Card, path: Path, facts: DatasetFacts, split: str) -> str:
    """The message on what the model has seen of these scans before; "" where it has seen nothing that is known."""
    if is_training_dataset(card, facts):
        return SEEN_BY_MODEL.get(split, "")
    if split in SEEN_BY_ANCESTOR and is_ancestor_dataset(card, facts):
        return SEEN_BY_ANCESTOR[split]
    return EARLIER_BUILD if card.dataset.name == path.stem else ""


def is_training_dataset(card: Card, facts: DatasetFacts) -> bool:
    """Whether it is the dataset that the model learned from."""
    return card.dataset.fingerprint == facts.fingerprint


def is_ancestor_dataset(card: Card, facts: DatasetFacts) -> bool:
    """Whether it is the dataset that a model learned from to which this one goes back."""
    return facts.fingerprint in card.ancestor_fingerprints


def show_evaluation_count(card: Card, facts: DatasetFacts, split: str, *, is_result_shown: bool) -> None:
    """How often this model was measured on these scans, how that went last, and why looks are to be rare."""
    earlier = [item for item in card.evaluations if (item.fingerprint, item.split) == (facts.fingerprint, split)]
    sentences = [_count_text(len(earlier), tr(SPLIT_SCANS[split], n=facts.counts[split]))]
    current = [item for item in earlier if not item.is_outdated]
    if current and not is_result_shown:
        sentences.append(_last_evaluation_text(card, current[-1]))
    if split == "test":
        sentences.append(tr(WHY_RARELY))
    if not is_result_shown:
        sentences.append(
            tr("Measuring takes about ten seconds to start, and then a second for some ten to a hundred scans.")
        )
    st.caption(f":material/visibility: {escape_markdown(' '.join(sentences))}")


def show_notes(card: Card, facts: DatasetFacts) -> None:
    """The notes on the model and on the dataset, which open at a click."""
    with st.expander(tr("About this model and this dataset"), icon=":material/info:"):
        for note in card.notes:
            st.markdown("- " + tr("Model: {note}", note=escape_markdown(translate(note))))
        for note in facts.notes:
            st.markdown("- " + tr("Dataset: {note}", note=escape_markdown(translate(note))))


def show_outdated(*, has_same_weights: bool, is_calibration_current: bool, has_same_scans: bool) -> None:
    """What changed since the measurement was made."""
    if not has_same_weights:
        st.warning(
            tr(
                "The model was **trained on since this was measured**: the figures are those of its earlier weights. "
                "Measure again."
            ),
            icon=":material/history:",
        )
    elif not is_calibration_current:
        st.warning(
            tr(
                "The model was **calibrated anew since this was measured**: the figures are those of its earlier "
                "probabilities and of what was in force then. Measure again."
            ),
            icon=":material/history:",
        )
    if not has_same_scans:
        st.warning(
            tr(
                "The dataset was **built anew since this was measured**: the figures are those of its earlier scans, and "
                "these cannot be opened any more. Measure again."
            ),
            icon=":material/history:",
        )


def _count_text(times: int, where: str) -> str:
    if not times:
        return tr("This model has not been measured yet on {where}.", where=where)
    return trn(
        "This model has been measured once on {where}.",
        "This model has been measured {n:,} times on {where}.",
        times,
        where=where,
    )


def _last_evaluation_text(card: Card, evaluation: EvaluationSummary) -> str:
    """What the card still says of a measurement."""
    figures = {
        "day": evaluation.evaluated_at[:10],
        "accuracy": format_metric_with_interval(evaluation.accuracy, evaluation.accuracy_interval),
        "auc": format_metric_with_interval(evaluation.auc, evaluation.auc_interval, as_percent=False),
    }
    if threshold_change := moved_threshold_text(card, evaluation.threshold):
        return tr(
            "Result of {day} from the model card: accuracy {accuracy}, AUC {auc} (with {threshold}, no longer in use).",
            **figures,
            threshold=threshold_change,
        )
    return tr("Result of {day} from the model card: accuracy {accuracy}, AUC {auc}.", **figures)
