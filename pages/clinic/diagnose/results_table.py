"""All scans of a tab in one table, to look over and to save."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from pages.clinic.diagnose.uploads import Upload
from pages.shared.formatting import class_label, escape_formula
from pages.shared.verdict import verdict_text
from xrai.core.language import ENGLISH, language, tr, translate
from xrai.models.card import Card
from xrai.reading.result_card import WARNING_SIGN
from xrai.reading.results import Refusal

if TYPE_CHECKING:
    from xrai.reading.results import Reading


def show_results_table(uploads: list[Upload], readings: list[Reading | Refusal], card: Card) -> None:
    """Every scan with its diagnosis, probabilities and remarks; nothing for a single scan."""
    if len(uploads) < 2:
        return
    file, diagnosis, remark = tr("File"), tr("Diagnosis"), tr("Remark")
    shown_names = [_column(card.classes[1])] if card.threshold else [_column(name) for name in card.classes]
    rows = []
    for upload, reading in zip(uploads, readings, strict=True):
        if isinstance(reading, Refusal):
            words = {diagnosis: tr("not read"), remark: translate(reading.reason)}
        else:
            words = {diagnosis: _flagged_verdict(reading, card), remark: _remarks_text(upload, reading)}
            words |= _shares(reading)
        rows.append({file: escape_formula(upload.name), **words})
    table = pd.DataFrame(rows, columns=[file, diagnosis, *(_column(name) for name in card.classes), remark])
    bars = {
        name: st.column_config.ProgressColumn(name, format="percent", min_value=0, max_value=1) for name in shown_names
    }
    columns = {file: st.column_config.TextColumn(width=150), diagnosis: st.column_config.TextColumn(width=240), **bars}
    st.dataframe(table[[file, diagnosis, *shown_names, remark]], hide_index=True, column_config=columns)
    metadata = {
        tr("Model"): card.name,
        tr("Read"): f"{datetime.now():%Y-%m-%d %H:%M}",
        tr("Note"): tr("research only, no diagnosis"),
    }
    st.download_button(
        tr("Save this table (CSV)"),
        _to_csv(table.assign(**metadata)),
        "xrai-readings.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
        key="diagnose_save_table",
    )


def _shares(reading: Reading) -> dict[str, float]:
    """The probabilities that are told: none for a patient outside the model's population."""
    if reading.is_outside_population:
        return {}
    return {_column(name): round(share, 4) for name, share in reading.probabilities.items()}


def _column(class_name: str) -> str:
    """The head of a class's column, which a spreadsheet must not take for a formula either."""
    return escape_formula(class_label(class_name))


def _to_csv(table: pd.DataFrame) -> bytes:
    """As the reader's spreadsheet opens it: where numbers have a comma, columns are kept apart by a semicolon."""
    sep, decimal = (",", ".") if language() == ENGLISH else (";", ",")
    return table.to_csv(index=False, sep=sep, decimal=decimal).encode("utf-8-sig")


def _flagged_verdict(reading: Reading, card: Card) -> str:
    """The diagnosis in words, with a sign where a remark says what to beware of: a long remark is cut off."""
    return f"{WARNING_SIGN} {verdict_text(reading, card)}" if reading.warnings else verdict_text(reading, card)


def _remarks_text(upload: Upload, reading: Reading) -> str:
    remarks = [tr("Corrected: {mend}.", mend=translate(upload.correction))] if upload.correction else []
    return " ".join([*remarks, *map(translate, reading.warnings)])
