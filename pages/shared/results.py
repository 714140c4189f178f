"""What a measurement found: its figures with their intervals, class by class, and the curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages.shared.charts import chart_config
from pages.shared.formatting import interval_line, listed, measure, nice_names, plain, scans, span
from xrai.core import jobs
from xrai.core.language import N_, number, tr, translate, trn
from xrai.evaluation.store import Measurement
from xrai.figures import auc_curves, captioned, loss_curves, operating_points, precision_recall_figure, roc_figure
from xrai.models.checkpoint import Checkpoint
from xrai.training.diagnostics import whole_records

HELP = {
    "accuracy": N_(
        "The share of all scans that the model called right. Where one class is much more frequent than the others, a "
        "model that always calls that class looks good here: compare the balanced accuracy."
    ),
    "balanced_accuracy": N_(
        "The mean of the shares called right in each class, so that a rare class counts as much as a frequent one. "
        "Guessing gives 1 divided by the number of classes."
    ),
    "auc": N_(
        "How well the model tells the classes apart by its probabilities, wherever the threshold is put: 0.5 is "
        "guessing, 1 is perfect. Of several classes it is the mean over each against the rest."
    ),
    "n": N_(
        "How many scans were measured. The intervals treat all scans of one patient as one, as they resemble each other."
    ),
}
MEASURES = {"accuracy": N_("Accuracy"), "balanced_accuracy": N_("Balanced accuracy"), "auc": N_("AUC")}


def numbers(report: Mapping[str, Any]) -> None:
    """The figures of all scans, each with its interval."""
    grid = st.grid(4, min_column_width=150)
    for name, label in MEASURES.items():
        as_percent = name != "auc"
        with grid.cell():
            st.metric(tr(label), measure(report[name], as_percent=as_percent), help=tr(HELP[name]))
            st.caption(interval_line(report[f"{name}_interval"], as_percent=as_percent))
    with grid.cell():
        st.metric(tr("Scans"), number(f"{report['n']:,}"), help=translate(HELP["n"]))
        st.caption(_of_whom(report["n_patients"], report["left_out"]))
    st.caption(tr(
        "The 95 % interval says how far chance alone could have moved a figure: with few scans it is wide, and a model that "
        "lies within another's interval is not shown to be better or worse."
    ))  # fmt: skip


def _of_whom(n_patients: int, left_out: int) -> str:
    if left_out:
        return trn(
            "of {n:,} patient; {scans} left out", "of {n:,} patients; {scans} left out",
            n_patients, scans=scans(left_out),
        )  # fmt: skip
    return trn("of {n:,} patient", "of {n:,} patients", n_patients)


def seen_in_training(report: Mapping[str, Any], *, is_said: bool) -> None:
    """When some of the scans were also learned from: the figures without them; that all were, may be told already."""
    rest = report["unseen"]
    if report["seen"] and rest:
        auc = span(rest["auc"], rest["auc_interval"], as_percent=False)
        accuracy = f"{measure(rest['accuracy'])}, {interval_line(rest['accuracy_interval'])}"
        if rest["accuracy"] is None:
            accuracy = tr("not known under the threshold in force, so measure again")
        st.warning(plain(tr(
            "{seen} of these {n:,} the model, or one that it goes back to, had seen in training, which may flatter the "
            "figures above. Without them, on {scans} of {patients:,} patients: accuracy {accuracy}; AUC {auc}.",
            seen=scans(report["seen"]), n=report["n"], scans=scans(rest["n"]), patients=rest["n_patients"],
            accuracy=accuracy, auc=auc,
        )), icon=":material/warning:")  # fmt: skip
    elif report["seen"] and not is_said:
        words = tr("All of these scans the model, or one that it goes back to, learned from or was chosen by.")
        st.caption(f":material/warning: {words}")


def class_by_class(measured: Measurement) -> None:
    """The figures of each class against the rest."""
    report, rows = measured.report, []
    called = np.sum(report["confusion_matrix"], axis=0)
    for k, (name, label) in enumerate(zip(measured.classes, nice_names(measured.classes), strict=True)):
        row = report["per_class"][name]
        known = {
            "precision": called[k] > 0,
            "recall": row["support"] > 0,
            "f1": called[k] + row["support"] > 0,
            "auc": True,
        }
        shown = {
            key: with_interval(row[key], row[f"{key}_interval"], as_percent=key != "auc") if known[key] else "–"
            for key in known
        }  # fmt: skip
        rows.append({
            tr("Class"): f"**{plain(label)}**", tr("Recall (sensitivity)"): shown["recall"],
            tr("Precision (predictive value)"): shown["precision"], "F1": shown["f1"],
            tr("AUC against the rest"): shown["auc"], tr("Scans"): number(f"{row['support']:,}"),
        })  # fmt: skip
    st.table(pd.DataFrame(rows), border="horizontal", hide_index=True)
    st.caption(tr(
        "**Recall** is a class's sensitivity: of the scans that truly are of it, the share that the model called so. Of two "
        "classes, the recall of the healthy one is the specificity. **Precision** is the positive predictive value: of the "
        "scans called so, the share that truly are; it falls where the class is rarer than among these scans. **F1** is high "
        "only when both are. “–”: cannot be said, because no scan is of the class or none was called so. In brackets: the "
        "95 % interval."
    ))  # fmt: skip


def with_interval(value: float | None, interval: Sequence[float] | None, *, as_percent: bool) -> str:
    """A measure with its 95 % interval as it stands in tables, such as `93.1 % (90–95)`; a dash where it is not known."""
    if value is None:
        return "–"
    if not interval:
        return measure(value, as_percent=as_percent)
    low, high = (number(f"{100 * end:.0f}" if as_percent else f"{end:.2f}") for end in interval)
    figure = measure(value, as_percent=as_percent).replace(" ", "\u00a0")
    return f"{figure} ({low}–\u2060{high})"  # with a mark that forbids a new line after the dash


# ---------------------------------------------------------------- curves


def curves(
    report: Mapping[str, Any], classes: tuple[str, ...], name: str, about: Sequence[str]
) -> dict[str, go.Figure]:
    """The curves on screen, and those of all classes for the exports."""
    labels = dict(zip(classes, nice_names(classes), strict=True))
    whole = _curve_figures(report, labels, list(classes), about)
    shown = list(classes)
    if len(classes) == 2 and not st.toggle(
        tr("Also {name} against the rest", name=labels[classes[0]]), key="evaluate_both", persist_state="session"
    ):
        shown = [classes[1]]
    grid = st.grid(2, min_column_width=340)
    for kind, figure in _curve_figures(report, labels, shown, about).items():
        grid.plotly_chart(figure, key=f"evaluate_{kind}_{name}", config=chart_config(f"{name}-{kind}"))
    missing = [labels[item] for item in shown if report["curves"][item] is None]
    if missing:
        st.caption(
            plain(tr("There is no curve of {names}: all scans, or none, are of that class.", names=listed(missing)))
        )
    several = "" if len(classes) == 2 else tr(
        "Of several classes the likeliest is called, not one from a threshold on, so that a diamond may lie off its curve."
    )  # fmt: skip
    how = tr(
        "A model gives a probability; from which one on a scan is called is a choice, and the curves show every choice. "
        "**Left**: how many of a class are found, against how many of the others are false alarms; the further towards the "
        "upper left corner, the better, and the dotted line is guessing. **Right**: how many of those called so truly are, "
        "against how many are found; dotted is guessing. The **diamond** is how the model calls now."
    )
    st.caption(f"{how} {several}".strip())
    return whole


def _curve_figures(
    report: Mapping[str, Any], labels: Mapping[str, str], shown: list[str], about: Sequence[str]
) -> dict[str, go.Figure]:
    # all classes go in, so that each keeps its colour; those that are not shown go in without a curve
    drawn = {labels[name]: report["curves"][name] if name in shown else None for name in labels}
    rates, trades = operating_points(report["confusion_matrix"], list(labels.values()))
    areas = {labels[name]: report["per_class"][name]["auc"] for name in labels}
    shares = {labels[name]: report["per_class"][name]["support"] / report["n"] for name in labels}
    return {
        "roc": captioned(roc_figure(drawn, rates, areas), *about),
        "precision-recall": captioned(precision_recall_figure(drawn, trades, shares), *about),
    }


def training(checkpoint: Checkpoint, about: Sequence[str]) -> dict[str, go.Figure]:
    """The curves of the training that made the model, where their record is there and whole."""
    kept = jobs.Job(checkpoint.folder).records()
    if not any(record["kind"] == "epoch" for record in kept):
        return {}
    st.subheader(tr("How it learned"), anchor=False)
    records = whole_records(kept)
    if not any(record["kind"] == "epoch" for record in records):
        st.caption(tr("The record of its training is damaged and cannot be drawn."))
        return {}
    figures = {"loss": loss_curves(records), "training-auc": auc_curves(records)}
    figures = {kind: captioned(figure, *about) for kind, figure in figures.items()}
    grid = st.grid(2, min_column_width=340)
    for kind, figure in figures.items():
        config = chart_config(f"{checkpoint.name}-{kind}")
        grid.plotly_chart(figure, key=f"evaluate_{kind}_{checkpoint.name}", config=config)
    st.caption(tr(
        "Loss is how wrong the answers were: lower is better. Training falling while validation rises is learning by heart. "
        "The weights of the best epoch on validation were kept."
    ))  # fmt: skip
    return figures
