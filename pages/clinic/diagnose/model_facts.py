"""What is known of a model: one line, and behind a click its figures, its data, and what the words mean."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages.shared.formatting import (
    class_label,
    escape_markdown,
    format_metric_with_interval,
    format_probability,
    in_words,
    join_words,
)
from pages.shared.verdict import (
    has_threshold_moved,
    local_threshold,
    moved_threshold_text,
    population_text,
    threshold_text,
)
from xrai.core.language import N_, tr, translate
from xrai.data.sources import SPLIT_NAMES
from xrai.models.card import Card, EvaluationSummary, TrustReport
from xrai.models.history import ValidationMetrics

CALLED_FROM = N_("Decision threshold")
GLOSSARY = (
    N_(
        "**Training, validation and test scans**: the model learns from the first. The second choose its best "
        "epoch, its decision threshold and its uncertain range, so figures on them are slightly too good. The "
        "third are used for nothing but measuring: trust these most."
    ),
    N_(
        "**Decision threshold**: the probability at or above which a scan counts as positive. A lower threshold "
        "raises sensitivity and lowers specificity."
    ),
    N_(
        "**Uncertain**: the model gives no answer and leaves the scan to a radiologist. Every other answer is a "
        "definite one."
    ),
    N_(
        "**Calibrated**: the probabilities agree with the observed frequencies on the validation scans, so that of "
        "100 scans with “80 %” about 80 are positive. The calibration error (ECE) measures the difference."
    ),
    N_(
        "**95 % interval**: the range in which the true figure probably lies; with few scans it is wide. If the "
        "intervals of two models overlap widely, their difference may be chance."
    ),
)
"""Words of this page that doctors need not know."""


def show_model_facts(card: Card) -> None:
    """One line on who the model is, more behind a click."""
    line = tr(
        "Model **{name}** distinguishes {classes}. It was trained on {population}; never tested on other patients.",
        name=escape_markdown(card.name),
        classes=escape_markdown(join_words(list(map(class_label, card.classes)))),
        population=escape_markdown(population_text(card)),
    )
    st.caption(f":material/neurology: {line}")
    with st.expander(tr("About this model"), icon=":material/fact_check:"):
        _show_figures(card)
        for note in card.notes:
            st.markdown(f"- {escape_markdown(translate(note))}")
        _show_data_findings(card)
        _show_trust(card)
        st.markdown(tr("**Glossary**"))
        st.caption("\n".join(f"- {tr(meaning)}" for meaning in GLOSSARY))


def _show_figures(card: Card) -> None:
    """What was measured of it, the oldest first, and what its training measured."""
    evaluations = [item for item in card.evaluations if not item.is_outdated]
    rows: list[tuple[str, EvaluationSummary | ValidationMetrics]] = [
        (f"{_split_text(item)}, {item.evaluated_at[:10]}", item) for item in evaluations
    ]
    if card.validation:
        rows.append((tr("Validation: it also chose the best epoch, which flatters"), card.validation))
    table = [
        {
            tr("Measured on"): place,
            tr("Scans"): item.n,
            tr(CALLED_FROM): threshold_text(card, getattr(item, "threshold", None)) if len(card.classes) == 2 else "",
            tr("Accuracy (95 % interval)"): format_metric_with_interval(item.accuracy, item.accuracy_interval),
            tr("AUC (95 % interval)"): format_metric_with_interval(item.auc, item.auc_interval, as_percent=False),
        }
        for place, item in rows
    ]
    has_threshold_changed = any(has_threshold_moved(card, getattr(item, "threshold", None)) for _, item in rows)
    st.dataframe(pd.DataFrame(table).drop(columns=[] if has_threshold_changed else tr(CALLED_FROM)), hide_index=True)
    if has_threshold_changed:
        st.markdown(
            escape_markdown(f"{tr('Accuracy was measured with another decision threshold.')} {_in_force_text(card)}")
        )
    st.caption(
        tr(
            "AUC: how well the classes are separated; 0.5 is guessing, 1 is perfect. The 95 % interval shows the "
            "play of chance: with few scans it is wide."
        )
    )
    for item in evaluations:
        _show_class_recalls(item)


def _show_class_recalls(item: EvaluationSummary) -> None:
    class_texts = [
        tr("{n:,} of {total:,} {name}", n=round(row.recall * row.support), total=row.support, name=class_label(name))
        for name, row in item.per_class.items()
    ]
    if class_texts:
        text = tr(
            "Correct on {place}: {counts}.",
            place=escape_markdown(_split_text(item)),
            counts=escape_markdown(", ".join(class_texts)),
        )
        st.markdown(f"- {text}")


def _split_text(item: EvaluationSummary) -> str:
    """Where it was measured; a split of another name is told as it is."""
    split = item.split
    word = tr(SPLIT_NAMES[split]) if split in SPLIT_NAMES else split
    return tr("{dataset}, {split} split", dataset=item.dataset, split=word)


def _show_data_findings(card: Card) -> None:
    """What a check of the training data found."""
    findings = card.dataset.audit
    if findings is None:
        return
    st.markdown(tr("**Audit of its training data**"))
    for item in findings:
        icon = ":material/error:" if item.severity == "serious" else ":material/info:"
        title, sentence = (escape_markdown(in_words(text)) for text in (item.title, item.sentence))
        st.markdown(f"- {icon} {tr('{title}: {sentence}', title=title, sentence=sentence)}")
    if not findings:
        st.markdown(f"- {tr('No findings.')}")


def _show_trust(card: Card) -> None:
    """What was measured of how far it can be trusted, for the models in the box."""
    if card.trust_report and card.trust_report.rows:
        when = escape_markdown(card.trust_report.when[:10])
        st.markdown(tr("**Trust checks**, measured on {when}", when=when))
        if changes := _changes_since_trust(card, card.trust_report):
            st.markdown(
                escape_markdown(
                    f"{tr('That was with {settings}.', settings=join_words(changes))} {_in_force_text(card)}"
                )
            )
        names = {"what": tr("What"), "value": tr("Measured"), "aim": tr("Aim")}
        table = [{name: in_words(getattr(row, item)) for item, name in names.items()} for row in card.trust_report.rows]
        st.dataframe(pd.DataFrame(table), hide_index=True, row_height=36)


def _changes_since_trust(card: Card, report: TrustReport) -> list[str]:
    """Of threshold and doubt what was not as it is now when that was measured."""
    current, earlier = _promise_text(card.abstention.alpha if card.abstention else None), _promise_text(report.alpha)
    threshold_change = moved_threshold_text(card, report.threshold)
    return [*filter(None, [threshold_change]), *([earlier] if earlier != current else [])]


def _in_force_text(card: Card) -> str:
    """What is in force, beside figures that were measured with something else."""
    parts = []
    if card.threshold:
        name, share = class_label(card.classes[1]), format_probability(local_threshold(card))
        parts.append(tr("{name} from {share}", name=name, share=share))
    return tr(
        "Now in use: {settings}.",
        settings=", ".join([*parts, _promise_text(card.abstention.alpha if card.abstention else None)]),
    )


def _promise_text(alpha: float | None) -> str:
    if alpha is None:
        return tr("no uncertain answers")
    return tr("at most {n:.3g} in 100 wrong answers", n=100 * alpha)
