"""What can be taken along of a measurement: every prediction, the report, and all charts on one page."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages.shared.datasets import DatasetFacts
from pages.shared.formatting import escape_formula, format_metric_with_interval, format_time, scans_text
from pages.shared.verdict import prevalence_text
from xrai.core.language import N_, language, tr, translate, use_language
from xrai.evaluation.store import EvaluationResult
from xrai.figures import make_html_page
from xrai.models.card import Card

MATRIX_WIDTH = 560
"""In pixels, where no column of a page sets it."""


def show_exports(
    name: str, card: Card, facts: DatasetFacts, result: EvaluationResult, figures: Mapping[str, go.Figure]
) -> None:
    """Buttons that save it.

    Args:
        name: what the files' names begin with.
        card: of the model.
        facts: of the dataset.
        result: what was measured of the one on the other.
        figures: the charts on the page; `confusion` is among them.
    """
    about = {
        "population": facts.population,
        "drawings": facts.is_phantom,
        "model_notes": list(card.notes),
        "chosen": card.threshold.to_dict() if card.threshold else None,
        "prevalence": card.local_prevalence,
        "threshold_told": card.to_local_prevalence(card.threshold_value) if card.threshold_value is not None else None,
    }
    language_code = language()  # a file is made when it is fetched, by a thread that knows no reader
    downloads: dict[str, tuple[str, Callable[[], bytes], str, str]] = {
        "predictions.csv": (
            tr("Predictions (CSV)"),
            lambda: predictions_csv(result),
            "text/csv",
            tr("Every scan with its true and predicted class, the answer and all probabilities."),
        ),
        "report.csv": (
            tr("Report (CSV)"),
            lambda: report_csv(result, facts),
            "text/csv",
            tr("A line for each class and one for all, each figure with the ends of its interval."),
        ),
        "report.json": (
            tr("Report (JSON)"),
            lambda: report_json(result, about),
            "application/json",
            tr("Everything on this page for another program, curves included."),
        ),
        "charts.html": (
            tr("Charts (HTML)"),
            lambda: _charts_html_in(language_code, name, facts, result, figures),
            "text/html",
            tr("All charts on one page that opens in any browser, without internet."),
        ),
    }
    with st.container(horizontal=True):
        for ending, (label, make, mime, help_text) in downloads.items():
            st.download_button(
                label,
                make,
                f"{name}-{ending}",
                mime,
                icon=":material/download:",
                on_click="ignore",
                help=help_text,
                key=f"evaluate_export_{ending}",
            )
    notes = [tr("The camera above a chart saves it as an image (PNG).")]
    if prevalence_text(card):
        notes.append(tr("Tables and reports hold the probabilities before the adjustment to your prevalence."))
    st.caption(" ".join(notes))


def predictions_csv(result: EvaluationResult) -> bytes:
    """A line a scan, with whether its answer is firm, and with names that a spreadsheet would compute made text."""
    out, head, *lines = io.StringIO(newline=""), *result.iter_table_rows()
    answer_column = ["answer", *("firm" if sure else "not sure" for sure in result.is_confident)]
    insert_at = head.index("called") + 1
    table = (
        [*line[:insert_at], answer, *line[insert_at:]]
        for line, answer in zip([head, *lines], answer_column, strict=True)
    )
    csv.writer(out).writerows(map(escape_formula, line) for line in table)
    return out.getvalue().encode("utf-8", "surrogateescape")


def report_csv(result: EvaluationResult, facts: DatasetFacts) -> bytes:
    """A line a class and one for all, with everything that tells what was measured."""
    report, of_all, of_class = (
        result.report,
        ("accuracy", "balanced_accuracy", "auc"),
        ("recall", "precision", "f1", "auc"),
    )
    answered = report.get("answered") or {"per_class": [{}] * len(result.classes)}
    extra_columns = _interval_columns(report, ("expected_calibration_error",)) | _interval_columns(
        answered, ("answered", "right")
    )
    extra_columns |= {name: report.get(name) for name in ("brier", "expected_calibration_error_by_chance")}
    lines = [{"class": "all", "scans": report["n"]} | _interval_columns(report, of_all) | extra_columns]
    for name, class_answers in zip(result.classes, answered["per_class"], strict=True):
        row = report["per_class"][name]
        figures = _interval_columns(row, of_class) | _interval_columns(class_answers, ("answered", "wrong"))
        lines.append({"class": name, "scans": row["support"]} | figures)
    about = {name: report[name] for name in ("model", "dataset", "split", "when", "n_patients", "seen", "threshold")}
    about["promised_wrong"] = result.abstention.alpha if result.abstention else None
    table = pd.DataFrame(lines).assign(**about, population=facts.population, note="research only, no diagnosis")
    table = table.map(escape_formula)
    return table.to_csv(index=False).encode("utf-8-sig", "backslashreplace")


def _interval_columns(values: Mapping[str, Any], names: Sequence[str]) -> dict[str, float | None]:
    columns = {}
    for name in names:
        low, high = values.get(f"{name}_interval") or (None, None)
        columns |= {name: values.get(name), f"{name}_low": low, f"{name}_high": high}
    return columns


def report_json(result: EvaluationResult, about: Mapping[str, Any]) -> bytes:
    """Everything that was measured, curves included, and what is known of model and dataset."""
    return json.dumps({**result.report, **about}, indent=1, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _charts_html_in(
    language_code: str, name: str, facts: DatasetFacts, result: EvaluationResult, figures: Mapping[str, go.Figure]
) -> bytes:
    with use_language(language_code):
        return charts_html(name, facts, result, figures)


def charts_html(name: str, facts: DatasetFacts, result: EvaluationResult, figures: Mapping[str, go.Figure]) -> bytes:
    """All charts on a page that says first what was measured, on whom."""
    report = result.report
    sentences = [
        tr(
            "{scans} of {n:,} patients, measured on {moment}.",
            scans=scans_text(report["n"]),
            n=report["n_patients"],
            moment=format_time(report["when"]),
        ),
        tr("Patients: {population}.", population=translate(facts.population or N_("not described"))),
        _answered_text(report),
        tr("Research software, no medical device."),
    ]
    matrix = go.Figure(figures["confusion"]).update_layout(width=MATRIX_WIDTH)
    return make_html_page({**figures, "confusion": matrix}, name, " ".join(filter(None, sentences))).encode()


def _answered_text(report: Mapping[str, Any]) -> str:
    answered = report.get("answered")
    if not answered:
        return ""
    share = format_metric_with_interval(answered["answered"], answered["answered_interval"])
    right = format_metric_with_interval(answered["right"], answered["right_interval"])
    return tr("Answered: {share}; of these correct: {correct}.", share=share, correct=right)
