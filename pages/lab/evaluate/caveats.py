"""What to know before a measurement's figures are believed: whose scans they are, who saw them, how often."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from pages.shared.datasets import Facts
from pages.shared.formatting import plain, span
from pages.shared.verdict import then_called
from xrai.core.labels import says_nothing_of_patients
from xrai.core.language import N_, tr, translate, trn
from xrai.evaluation.store import ancestors_learned_from
from xrai.models.checkpoint import Card

WHY_RARELY = N_(
    "Every look at the test scans makes them less of a surprise: whoever changes a model after a look fits it to these "
    "very scans, and the figures flatter from then on. So measure here once the model is final, and compare what you try "
    "on the validation split."
)
NOT_DESCRIBED = N_("nobody described them when the dataset was built")
NO_PATIENTS = N_(
    "**Take no figure below for how good the model is on patients.** The dataset {name} is described so: “{who}”."
)
ITS_OWN = {
    "train": N_(
        "The model **learned from these very scans**: right answers show what it remembers, not how it reads new ones."
    ),
    "val": N_(
        "The model was **chosen by these scans**: of all moments of its training, the one that did best on them was kept. "
        "Figures on them are a little better than on new scans."
    ),
}
ITS_ANCESTORS = {
    "train": N_(
        "The model started from one that **learned from these very scans**, and keeps some of what that one knew: right "
        "answers may show what it remembers, not how it reads new ones."
    ),
    "val": N_(
        "The model started from one that **was chosen by these very scans**, and keeps some of what that one knew: right "
        "answers may show what it remembers, not how it reads new ones."
    ),
}
EARLIER_BUILD = N_(
    "The model learned from an earlier build of {name}. Which of these scans it has seen is not known, so the figures may "
    "flatter it."
)
THESE = {
    "train": N_("the {n:,} training scans of this dataset"),
    "val": N_("the {n:,} validation scans of this dataset"),
    "test": N_("the {n:,} test scans of this dataset"),
}


def caveats(card: Card, path: Path, facts: Facts, split: str) -> None:
    """Who is in these scans, and what makes figures on them say less than they seem to."""
    _whose(path, facts)
    learned = str(card.dataset.get("population") or "")
    if learned and not is_own(card, facts) and learned != facts.population:
        words = tr("The model “{name}” was trained on: {who}.", name=plain(card.name), who=plain(translate(learned)))
        st.caption(f":material/neurology: {words}")
    if seen := _seen(card, path, facts, split):
        st.warning(tr(seen, name=plain(path.stem)), icon=":material/warning:")


def _whose(path: Path, facts: Facts) -> None:
    name, who = plain(path.stem), plain(translate(facts.population or NOT_DESCRIBED))
    if says_nothing_of_patients(facts.population, drawings=facts.drawings):
        st.warning(tr(NO_PATIENTS, name=name, who=who), icon=":material/warning:")
    else:
        st.caption(f":material/groups: {tr('Patients of {name}: {who}.', name=name, who=who)}")


def _seen(card: Card, path: Path, facts: Facts, split: str) -> str:
    """The message on what the model has seen of these scans before; "" where it has seen nothing that is known."""
    if is_own(card, facts):
        return ITS_OWN.get(split, "")
    if split in ITS_ANCESTORS and is_ancestors(card, facts):
        return ITS_ANCESTORS[split]
    return EARLIER_BUILD if card.dataset.get("name") == path.stem else ""


def is_own(card: Card, facts: Facts) -> bool:
    """Whether it is the dataset that the model learned from."""
    return card.dataset.get("fingerprint") == facts.fingerprint


def is_ancestors(card: Card, facts: Facts) -> bool:
    """Whether it is the dataset that a model learned from to which this one goes back."""
    return facts.fingerprint in ancestors_learned_from(card)


def looks(card: Card, facts: Facts, split: str, *, shown: bool) -> None:
    """How often this model was measured on these scans, how that went last, and why looks are to be rare."""
    before = [item for item in card.evaluations if (item["fingerprint"], item["split"]) == (facts.fingerprint, split)]
    said = [_how_often(len(before), tr(THESE[split], n=facts.counts[split]))]
    known = [item for item in before if item.get("earlier_weights") is not True]
    if known and not shown:
        said.append(_last_look(card, known[-1]))
    if split == "test":
        said.append(tr(WHY_RARELY))
    if not shown:
        said.append(
            tr("Measuring takes about ten seconds to start, and then a second for some ten to a hundred scans.")
        )
    st.caption(f":material/visibility: {plain(' '.join(said))}")


def what_is_known(card: Card, facts: Facts) -> None:
    """The notes on the model and on the dataset, which open at a click."""
    with st.expander(tr("What is known of this model and of this dataset"), icon=":material/info:"):
        for note in card.notes:
            st.markdown("- " + tr("Model: {note}", note=plain(translate(note))))
        for note in facts.notes:
            st.markdown("- " + tr("Dataset: {note}", note=plain(translate(note))))


def outdated(*, is_of: bool, follows: bool, same_scans: bool) -> None:
    """What changed since the measurement was made."""
    if not is_of:
        st.warning(
            tr(
                "The model was **trained on since this was measured**: the figures are those of its earlier weights. "
                "Measure again."
            ),
            icon=":material/history:",
        )
    elif not follows:
        st.warning(
            tr(
                "The model was **calibrated anew since this was measured**: the figures are those of its earlier "
                "probabilities and of what was in force then. Measure again."
            ),
            icon=":material/history:",
        )
    if not same_scans:
        st.warning(
            tr(
                "The dataset was **built anew since this was measured**: the figures are those of its earlier scans, and "
                "these cannot be opened any more. Measure again."
            ),
            icon=":material/history:",
        )


def _how_often(times: int, where: str) -> str:
    if not times:
        return tr("This model has not been measured yet on {where}.", where=where)
    return trn(
        "This model has been measured once on {where}.", "This model has been measured {n:,} times on {where}.",
        times, where=where,
    )  # fmt: skip


def _last_look(card: Card, last: Mapping[str, Any]) -> str:
    """What the card still says of a measurement."""
    figures = {
        "day": last["when"][:10],
        "accuracy": span(last["accuracy"], last["accuracy_interval"]),
        "auc": span(last["auc"], last["auc_interval"], as_percent=False),
    }
    if then := then_called(card, last.get("threshold")):
        return tr(
            "Its card still says how that went on {day}: {accuracy} called right, AUC {auc} (with {then}, which is no "
            "longer in force).",
            **figures, then=then,
        )  # fmt: skip
    return tr("Its card still says how that went on {day}: {accuracy} called right, AUC {auc}.", **figures)
