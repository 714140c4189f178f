"""What a measurement found: its figures with their intervals, class by class, and the curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages.shared.charts import chart_config
from pages.shared.formatting import (
    class_labels,
    escape_markdown,
    format_metric,
    format_metric_with_interval,
    interval_caption,
    join_words,
    scans_text,
)
from xrai.core import jobs
from xrai.core.language import N_, number, tr, translate, trn
from xrai.evaluation.store import EvaluationResult
from xrai.figures import add_caption, auc_curves, loss_curves, operating_points, precision_recall_figure, roc_figure
from xrai.models.checkpoint import Checkpoint
from xrai.models.history import parse_history

METRIC_HELP = {
    "accuracy": N_(
        "The proportion of correct answers. If one class is much more frequent than the others, a model that "
        "always answers that class looks good here: compare the balanced accuracy."
    ),
    "balanced_accuracy": N_(
        "The mean of the recalls of all classes: a rare class counts as much as a frequent one. Guessing gives 1 "
        "divided by the number of classes."
    ),
    "auc": N_(
        "Area under the ROC curve: how well the probabilities separate the classes at any threshold. 0.5 is "
        "guessing, 1 is perfect. With several classes it is the mean of each against the rest."
    ),
    "n": N_(
        "Number of scans. The intervals are clustered by patient, because scans of one patient resemble each other."
    ),
}
METRIC_LABELS = {"accuracy": N_("Accuracy"), "balanced_accuracy": N_("Balanced accuracy"), "auc": N_("AUC")}


def show_metrics(report: Mapping[str, Any]) -> None:
    """The figures of all scans, each with its interval."""
    grid = st.grid(4, min_column_width=150)
    for name, label in METRIC_LABELS.items():
        as_percent = name != "auc"
        with grid.cell():
            st.metric(tr(label), format_metric(report[name], as_percent=as_percent), help=tr(METRIC_HELP[name]))
            st.caption(interval_caption(report[f"{name}_interval"], as_percent=as_percent))
    with grid.cell():
        st.metric(tr("Scans"), number(f"{report['n']:,}"), help=translate(METRIC_HELP["n"]))
        st.caption(_patients_text(report["n_patients"], report["left_out"]))
    st.caption(
        tr(
            "The 95 % interval shows the play of chance: with few scans it is wide. A model within the interval of "
            "another is not shown to be better or worse."
        )
    )


def _patients_text(n_patients: int, left_out: int) -> str:
    if left_out:
        return trn(
            "of {n:,} patient; {scans} left out",
            "of {n:,} patients; {scans} left out",
            n_patients,
            scans=scans_text(left_out),
        )
    return trn("of {n:,} patient", "of {n:,} patients", n_patients)


def show_unseen_metrics(report: Mapping[str, Any], *, is_stated: bool) -> None:
    """When some of the scans were also learned from: the figures without them; that all were, may be told already."""
    unseen = report["unseen"]
    if report["seen"] and unseen:
        auc = format_metric_with_interval(unseen["auc"], unseen["auc_interval"], as_percent=False)
        accuracy = f"{format_metric(unseen['accuracy'])}, {interval_caption(unseen['accuracy_interval'])}"
        if unseen["accuracy"] is None:
            accuracy = tr("not known at the current threshold, measure again")
        st.warning(
            escape_markdown(
                tr(
                    "{seen} of these {n:,} the model, or one that it goes back to, had seen in training, which may flatter the "
                    "figures above. Without them, on {scans} of {patients:,} patients: accuracy {accuracy}; AUC {auc}.",
                    seen=scans_text(report["seen"]),
                    n=report["n"],
                    scans=scans_text(unseen["n"]),
                    patients=unseen["n_patients"],
                    accuracy=accuracy,
                    auc=auc,
                )
            ),
            icon=":material/warning:",
        )
    elif report["seen"] and not is_stated:
        words = tr("All of these scans the model, or one that it goes back to, learned from or was chosen by.")
        st.caption(f":material/warning: {words}")


def show_class_metrics(result: EvaluationResult) -> None:
    """The figures of each class against the rest."""
    report, rows = result.report, []
    n_predicted = np.sum(report["confusion_matrix"], axis=0)
    for k, (name, label) in enumerate(zip(result.classes, class_labels(result.classes), strict=True)):
        row = report["per_class"][name]
        is_defined = {
            "precision": n_predicted[k] > 0,
            "recall": row["support"] > 0,
            "f1": n_predicted[k] + row["support"] > 0,
            "auc": True,
        }
        cells = {
            key: format_table_metric(row[key], row[f"{key}_interval"], as_percent=key != "auc")
            if is_defined[key]
            else "–"
            for key in is_defined
        }
        rows.append(
            {
                tr("Class"): f"**{escape_markdown(label)}**",
                tr("Recall (sensitivity)"): cells["recall"],
                tr("Precision (positive predictive value)"): cells["precision"],
                "F1": cells["f1"],
                tr("AUC against the rest"): cells["auc"],
                tr("Scans"): number(f"{row['support']:,}"),
            }
        )
    st.table(pd.DataFrame(rows), border="horizontal", hide_index=True)
    st.caption(
        tr(
            "**Recall** is the sensitivity of a class: the proportion of its scans that are predicted as such. "
            "With two classes, the recall of the healthy one is the specificity. **Precision** is the positive "
            "predictive value: the proportion of predicted scans that truly belong to the class; it falls with the "
            "prevalence. **F1** is high only if both are. “–”: not defined, because the class has no scans or no "
            "predictions. In brackets: the 95 % interval."
        )
    )


def format_table_metric(value: float | None, interval: Sequence[float] | None, *, as_percent: bool) -> str:
    """A measure with its 95 % interval as it stands in tables, such as `93.1 % (90–95)`; a dash where it is not known."""
    if value is None:
        return "–"
    if not interval:
        return format_metric(value, as_percent=as_percent)
    low, high = (number(f"{100 * end:.0f}" if as_percent else f"{end:.2f}") for end in interval)
    text = format_metric(value, as_percent=as_percent).replace(" ", "\u00a0")
    return f"{text} ({low}–\u2060{high})"  # with a mark that forbids a new line after the dash


# ---------------------------------------------------------------- curves


def show_roc_curves(
    report: Mapping[str, Any], classes: tuple[str, ...], name: str, about: Sequence[str]
) -> dict[str, go.Figure]:
    """The curves on screen, and those of all classes for the exports."""
    labels = dict(zip(classes, class_labels(classes), strict=True))
    all_figures = _draw_curve_figures(report, labels, list(classes), about)
    shown_classes = list(classes)
    if len(classes) == 2 and not st.toggle(
        tr("Also {name} against the rest", name=labels[classes[0]]), key="evaluate_both", persist_state="session"
    ):
        shown_classes = [classes[1]]
    grid = st.grid(2, min_column_width=340)
    for kind, figure in _draw_curve_figures(report, labels, shown_classes, about).items():
        grid.plotly_chart(figure, key=f"evaluate_{kind}_{name}", config=chart_config(f"{name}-{kind}"))
    missing = [labels[item] for item in shown_classes if report["curves"][item] is None]
    if missing:
        st.caption(
            escape_markdown(
                tr("There is no curve of {names}: all scans, or none, are of that class.", names=join_words(missing))
            )
        )
    multiclass_text = (
        ""
        if len(classes) == 2
        else tr(
            "With several classes the most probable one is the answer, without a threshold, so a diamond may lie "
            "off its curve."
        )
    )
    curve_text = tr(
        "The curves show every possible decision threshold. **Left**, ROC: sensitivity against the false positive "
        "rate; the closer to the upper left corner the better, the dotted diagonal is guessing. **Right**: "
        "precision against recall; the dotted line is guessing. The **diamond** is the current operating point."
    )
    st.caption(f"{curve_text} {multiclass_text}".strip())
    return all_figures


def _draw_curve_figures(
    report: Mapping[str, Any], labels: Mapping[str, str], shown_classes: list[str], about: Sequence[str]
) -> dict[str, go.Figure]:
    # all classes go in, so that each keeps its colour; those that are not shown go in without a curve
    curve_by_label = {labels[name]: report["curves"][name] if name in shown_classes else None for name in labels}
    rates, trades = operating_points(report["confusion_matrix"], list(labels.values()))
    areas = {labels[name]: report["per_class"][name]["auc"] for name in labels}
    shares = {labels[name]: report["per_class"][name]["support"] / report["n"] for name in labels}
    return {
        "roc": add_caption(roc_figure(curve_by_label, rates, areas), *about),
        "precision-recall": add_caption(precision_recall_figure(curve_by_label, trades, shares), *about),
    }


def show_training_curves(checkpoint: Checkpoint, about: Sequence[str]) -> dict[str, go.Figure]:
    """The curves of the training that made the model, where their record is there and whole."""
    history = jobs.Job(checkpoint.folder).records()
    if not any(record["kind"] == "epoch" for record in history):
        return {}
    st.subheader(tr("Learning curves"), anchor=False)
    records = [record.to_dict() for record in parse_history(history)]
    if not any(record["kind"] == "epoch" for record in records):
        st.caption(tr("The record of its training is damaged and cannot be drawn."))
        return {}
    figures = {"loss": loss_curves(records), "training-auc": auc_curves(records)}
    figures = {kind: add_caption(figure, *about) for kind, figure in figures.items()}
    grid = st.grid(2, min_column_width=340)
    for kind, figure in figures.items():
        config = chart_config(f"{checkpoint.name}-{kind}")
        grid.plotly_chart(figure, key=f"evaluate_{kind}_{checkpoint.name}", config=config)
    st.caption(
        tr(
            "Loss measures how wrong the answers were: lower is better. Training falling while validation rises is "
            "overfitting. The weights of the best validation epoch were kept."
        )
    )
    return figures
