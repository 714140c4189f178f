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

from pages.shared.datasets import Facts
from pages.shared.formatting import harmless, moment, scans, span
from pages.shared.verdict import for_whom
from xrai.core.language import N_, language, tr, translate, use_language
from xrai.evaluation.store import Measurement
from xrai.figures import page_of
from xrai.models.checkpoint import Card

MATRIX_WIDTH = 560
"""In pixels, where no column of a page sets it."""


def exports(name: str, card: Card, facts: Facts, measured: Measurement, figures: Mapping[str, go.Figure]) -> None:
    """Buttons that save it.

    Args:
        name: what the files' names begin with.
        card: of the model.
        facts: of the dataset.
        measured: what was measured of the one on the other.
        figures: the charts on the page; `confusion` is among them.
    """
    about = {
        "population": facts.population, "drawings": facts.drawings, "model_notes": list(card.notes),
        "chosen": card.threshold, "prevalence": card.prevalence,
        "threshold_told": card.told(card.threshold_value) if card.threshold_value is not None else None,
    }  # fmt: skip
    spoken = language()  # a file is made when it is fetched, by a thread that knows no reader
    made: dict[str, tuple[str, Callable[[], bytes], str, str]] = {
        "predictions.csv": (tr("Predictions (CSV)"), lambda: predictions_csv(measured), "text/csv", tr("Every scan with its truth, what it was called, whether firmly, and all probabilities.")),
        "report.csv": (tr("Report (CSV)"), lambda: report_csv(measured, facts), "text/csv", tr("A line for each class and one for all, each figure with the ends of its interval.")),
        "report.json": (tr("Report (JSON)"), lambda: report_json(measured, about), "application/json", tr("Everything on this page for another program, curves included.")),
        "charts.html": (tr("Charts (HTML)"), lambda: _charts_in(spoken, name, facts, measured, figures), "text/html", tr("All charts on one page that opens in any browser, without internet.")),
    }  # fmt: skip
    with st.container(horizontal=True):
        for ending, (label, make, mime, words) in made.items():
            st.download_button(
                label, make, f"{name}-{ending}", mime, icon=":material/download:", on_click="ignore", help=words,
                key=f"evaluate_export_{ending}",
            )  # fmt: skip
    said = [tr("The camera above a chart saves it as a picture (PNG).")]
    if for_whom(card):
        said.append(
            tr("Tables and reports hold probabilities as the model gave them, not as they are told for your patients.")
        )
    st.caption(" ".join(said))


def predictions_csv(measured: Measurement) -> bytes:
    """A line a scan, with whether its answer is firm, and with names that a spreadsheet would compute made text."""
    out, head, *lines = io.StringIO(newline=""), *measured.table()
    firm = ["answer", *("firm" if sure else "not sure" for sure in measured.sure)]
    where = head.index("called") + 1
    table = ([*line[:where], said, *line[where:]] for line, said in zip([head, *lines], firm, strict=True))
    csv.writer(out).writerows(map(harmless, line) for line in table)
    return out.getvalue().encode("utf-8", "surrogateescape")


def report_csv(measured: Measurement, facts: Facts) -> bytes:
    """A line a class and one for all, with everything that tells what was measured."""
    report, of_all, of_class = (
        measured.report,
        ("accuracy", "balanced_accuracy", "auc"),
        ("recall", "precision", "f1", "auc"),
    )
    answered = report.get("answered") or {"per_class": [{}] * len(measured.classes)}
    trust = _columns(report, ("expected_calibration_error",)) | _columns(answered, ("answered", "right"))
    trust |= {name: report.get(name) for name in ("brier", "expected_calibration_error_by_chance")}
    lines = [{"class": "all", "scans": report["n"]} | _columns(report, of_all) | trust]
    for name, firm in zip(measured.classes, answered["per_class"], strict=True):
        row = report["per_class"][name]
        figures = _columns(row, of_class) | _columns(firm, ("answered", "wrong"))
        lines.append({"class": name, "scans": row["support"]} | figures)
    about = {name: report[name] for name in ("model", "dataset", "split", "when", "n_patients", "seen", "threshold")}
    about["promised_wrong"] = measured.doubt.alpha if measured.doubt else None
    table = pd.DataFrame(lines).assign(**about, population=facts.population, note="research only, no diagnosis")
    table = table.map(harmless)
    return table.to_csv(index=False).encode("utf-8-sig", "backslashreplace")


def _columns(values: Mapping[str, Any], names: Sequence[str]) -> dict[str, float | None]:
    columns = {}
    for name in names:
        low, high = values.get(f"{name}_interval") or (None, None)
        columns |= {name: values.get(name), f"{name}_low": low, f"{name}_high": high}
    return columns


def report_json(measured: Measurement, about: Mapping[str, Any]) -> bytes:
    """Everything that was measured, curves included, and what is known of model and dataset."""
    return json.dumps({**measured.report, **about}, indent=1, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _charts_in(spoken: str, name: str, facts: Facts, measured: Measurement, figures: Mapping[str, go.Figure]) -> bytes:
    with use_language(spoken):
        return charts_html(name, facts, measured, figures)


def charts_html(name: str, facts: Facts, measured: Measurement, figures: Mapping[str, go.Figure]) -> bytes:
    """All charts on a page that says first what was measured, on whom."""
    report = measured.report
    said = [
        tr(
            "{scans} of {n:,} patients, measured on {moment}.",
            scans=scans(report["n"]), n=report["n_patients"], moment=moment(report["when"]),
        ),
        tr("Patients: {who}.", who=translate(facts.population or N_("not described"))),
        _firmly(report),
        tr("Research software, no medical device."),
    ]  # fmt: skip
    matrix = go.Figure(figures["confusion"]).update_layout(width=MATRIX_WIDTH)
    return page_of({**figures, "confusion": matrix}, name, " ".join(filter(None, said))).encode()


def _firmly(report: Mapping[str, Any]) -> str:
    answered = report.get("answered")
    if not answered:
        return ""
    share = span(answered["answered"], answered["answered_interval"])
    right = span(answered["right"], answered["right_interval"])
    return tr("Answered firmly: {share}; of these right: {right}.", share=share, right=right)
