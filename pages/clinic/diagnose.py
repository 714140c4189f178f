"""Diagnose: upload scans, read what a model says of them, and see where in the scan it found that."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import streamlit as st
from PIL import Image

from pages.shared.heatmaps import SCALE_CAPTION, colour_scale
from pages.shared.page import announcements, head, remembered, stated_errors
from pages.shared.readers import model_key, reader_for
from pages.shared.ways import needs_a_dataset
from pages.shared.words import harmless, listed, nice, percent, plain, span
from xrai.checkpoint import Card, Checkpoint, list_models
from xrai.errors import CheckpointError, ScanError
from xrai.heatmaps import overlay
from xrai.models import default_model
from xrai.report import result_card
from xrai.scans import MAX_FILE_BYTES, Scan, read_scan

if TYPE_CHECKING:
    from xrai.diagnosis import Reader, Reading

SHOWN_SIDE = 1000
SIDE_BY_SIDE, SCAN_ONLY = "Side by side", "Scan only"
DISCLAIMER = (
    "Research software, **not a medical device**. It can be wrong, also when it sounds sure: "
    "a radiologist decides. It does not notice when a picture is no chest X-ray seen from the front, and reads it all the "
    "same. Scans stay in this computer's memory and are not saved."
)


@dataclass(frozen=True)
class Upload:
    """A file that a tab is looking at: kept in that tab's memory only."""

    name: str
    content: bytes
    sha256: str


def main() -> None:
    """The page."""
    head("Diagnose", "Upload one or more chest X-rays, and see what the model says and where it looked.")
    announcements()
    models = list_models()
    if not models:
        needs_a_dataset("There is no model yet. Build a dataset, then train a model on it: both take a few clicks.")
        return
    with stated_errors():
        checkpoint = _choose_model(models)
        card = checkpoint.card()
        _about(card)
        uploads = _choose_scans()
        st.caption(f":material/info: {DISCLAIMER}")
        if uploads:
            _results(uploads, reader_for(checkpoint), model_key(checkpoint))


def _choose_model(models: list[Checkpoint]) -> Checkpoint:
    """The model that another page asked for, else the one that this tab last chose, else the default."""
    names = [model.name for model in models]
    wanted = st.session_state.pop("diagnose_model_wanted", None)
    if len(names) == 1:
        return models[0]
    usual = default_model()
    first = usual.name if usual and usual.name in names else names[0]
    key = f"diagnose_model_{first}"  # another default is another choice to begin with
    if wanted in names:
        st.session_state[key] = wanted
    remembered(key, names, first)
    return models[names.index(st.selectbox("Model", names, key=key, persist_state="session"))]


def _about(card: Card) -> None:
    """One line on who the model is, more behind a click."""
    st.caption(
        f":material/neurology: Model **{plain(card.name)}** tells apart {plain(listed(list(map(nice, card.classes))))}. "
        f"It was trained on {plain(_population(card))}; it knows nothing of other patients."
    )
    with st.expander("What is known of this model", icon=":material/fact_check:"):
        measured = [item for item in card.evaluations if not item.get("earlier_weights")]
        rows = [(f"{item['dataset']}, {item['split']} split, {item['when'][:10]}", item) for item in measured]
        rows.append(("Validation: it also chose the best epoch, which flatters", card.validation))
        table = [
            {
                "Measured on": what,
                "Scans": item["n"],
                "Called right (95 % interval)": span(item["accuracy"], item["accuracy_interval"]),
                "AUC (95 % interval)": span(item["auc"], item["auc_interval"], as_percent=False),
            }
            for what, item in rows
        ]
        st.dataframe(pd.DataFrame(table), hide_index=True)
        st.caption(
            "AUC: how well sick and healthy are told apart; 0.5 is guessing, 1 is perfect. "
            "The interval says how far chance alone could have moved the number."
        )
        for item in measured:
            found = [
                f"{round(row['recall'] * row['support']):,} of {row['support']:,} {nice(name)}"
                for name, row in item.get("per_class", {}).items()
            ]
            if found:
                where = f"{item['dataset']}, {item['split']} split"
                st.markdown(f"- Called right on {plain(where)}: {plain(', '.join(found))}.")
        for note in card.notes:
            st.markdown(f"- {plain(note)}")


def _choose_scans() -> list[Upload]:
    """The scans of this tab; they stay while the reader visits other pages."""
    state = st.session_state
    generation = state.setdefault("diagnose_generation", 0)
    key = f"diagnose_upload_{generation}"

    def take() -> None:
        state["diagnose_uploads"] = [
            Upload(file.name, content := file.getvalue(), hashlib.sha256(content).hexdigest()) for file in state[key]
        ]

    st.file_uploader(
        "Chest X-rays, seen from the front",
        accept_multiple_files=True,
        key=key,
        on_change=take,
        max_upload_size=MAX_FILE_BYTES // 1024**2,
        help="DICOM (also without file ending), JPEG, PNG, TIFF, WebP or BMP, one or many at once.",
    )
    uploads: list[Upload] = state.get("diagnose_uploads", [])
    if uploads and st.button("Clear all scans", icon=":material/close:", type="tertiary"):
        for name in ("diagnose_uploads", "diagnose_readings", "diagnose_scan", "diagnose_heat"):
            state.pop(name, None)
        state["diagnose_generation"] = generation + 1
        st.rerun()
    return uploads


def _results(uploads: list[Upload], reader: Reader, key: str) -> None:
    readings = _read_all(uploads, reader, key)
    _table(uploads, readings, reader.card)
    read = [number for number, reading in enumerate(readings) if not isinstance(reading, str)]
    for upload, reading in zip(uploads, readings, strict=True):
        if isinstance(reading, str):
            st.error(f"**{plain(upload.name)}** — {plain(reading)}", icon=":material/error:")
    if not read:
        return
    number = read[0]
    if len(read) > 1:
        number = st.selectbox(
            "Scan shown below", read, format_func=lambda i: f"{i + 1}. {uploads[i].name}", key="diagnose_shown"
        )
    reading = readings[number]
    assert not isinstance(reading, str)
    with st.container(border=True):
        _card(uploads[number], reading, reader, key)


def _read_all(uploads: list[Upload], reader: Reader, key: str) -> list[Reading | str]:
    """A reading or the sentence of why there is none, for each scan; each is read once."""
    memory: dict[tuple[str, str], Reading | str] = st.session_state.setdefault("diagnose_readings", {})
    missing = [upload for upload in uploads if (upload.sha256, key) not in memory]
    if missing:
        bar = st.progress(0.0, text="Reading…")
        for done, upload in enumerate(missing):
            bar.progress(done / len(missing), text=f"Reading {plain(upload.name)} ({done + 1} of {len(missing)})")
            try:
                memory[upload.sha256, key] = reader.read(read_scan(upload.content))
            except (ScanError, CheckpointError) as error:
                memory[upload.sha256, key] = str(error)
        bar.empty()
    return [memory[upload.sha256, key] for upload in uploads]


def _table(uploads: list[Upload], readings: list[Reading | str], card: Card) -> None:
    """All scans in one table, to look over and to save."""
    if len(uploads) < 2:
        return
    shown = [nice(card.classes[1])] if card.threshold else [nice(name) for name in card.classes]
    rows = []
    for upload, reading in zip(uploads, readings, strict=True):
        if isinstance(reading, str):
            rows.append({"File": harmless(upload.name), "Diagnosis": "could not be read", "Remark": reading})
        else:
            shares = {nice(name): round(share, 4) for name, share in reading.probabilities.items()}
            words = {"Diagnosis": _in_words(reading, card), "Remark": " ".join(reading.warnings)}
            rows.append({"File": harmless(upload.name), **words, **shares})
    table = pd.DataFrame(rows, columns=["File", "Diagnosis", *(nice(name) for name in card.classes), "Remark"])
    bars = {name: st.column_config.ProgressColumn(name, format="percent", min_value=0, max_value=1) for name in shown}
    columns = {
        "File": st.column_config.TextColumn(width=150),
        "Diagnosis": st.column_config.TextColumn(width=160),
        **bars,
    }
    st.dataframe(table[["File", "Diagnosis", *shown]], hide_index=True, column_config=columns)
    whole = table.assign(Model=card.name, Read=f"{datetime.now():%Y-%m-%d %H:%M}", Note="research only, no diagnosis")
    st.download_button(
        "Save this table (CSV)", whole.to_csv(index=False).encode("utf-8-sig"), "xrai-readings.csv", "text/csv",
        icon=":material/download:", on_click="ignore",
    )  # fmt: skip


def _card(upload: Upload, reading: Reading, reader: Reader, key: str) -> None:
    scan: Scan = _last("diagnose_scan", (upload.sha256,), lambda: read_scan(upload.content))
    halves = st.grid(2, min_column_width=280, vertical_alignment="center")
    with halves.cell():
        st.caption(plain(upload.name))
        st.subheader(plain(_in_words(reading, reader.card)), anchor=False)
        if reader.card.threshold:
            value, name = reader.card.threshold["value"], nice(reader.card.threshold["class"])
            st.caption(f"Called {name} from a probability of {value:.0%} on.".replace("%", " %"))
    with halves.cell():
        for name, share in reading.probabilities.items():
            st.progress(share, text=f"{plain(nice(name))}: **{percent(share)}**")
    for warning in reading.warnings:
        st.warning(plain(warning), icon=":material/warning:")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        view = st.segmented_control(
            "View", [SIDE_BY_SIDE, "Blended", SCAN_ONLY], default=SIDE_BY_SIDE, key="diagnose_view", required=True
        )
        shown, method = _choose_map(reading, reader)
        opacity = st.slider("Strength of colours", 0, 100, 75, format="%d %%", key="diagnose_opacity", width=160) / 100
    heat: np.ndarray = _last(
        "diagnose_heat",
        (upload.sha256, key, shown, method),
        lambda: reader.heatmap(scan, shown, method, shape=_screen_shape(scan)),
    )
    _pictures(view, scan, heat, opacity, nice(shown))
    st.caption(plain(f"Read by the model “{reader.card.name}”, trained on {_population(reader.card)}."))
    st.download_button(
        "Save this result (PNG)", lambda: _saved_card(upload, scan, heat, opacity, reading, reader, shown, method),
        f"xrai-{upload.sha256[:8]}.png", "image/png",
        icon=":material/download:", on_click="ignore",
    )  # fmt: skip


def _choose_map(reading: Reading, reader: Reader) -> tuple[str, str]:
    """The class whose evidence is drawn, and the method that finds it."""
    classes = list(reader.card.classes)
    shown = st.selectbox(
        "Show what speaks for", classes, index=classes.index(reader.shown_first(reading)), format_func=nice,
        key=f"diagnose_class_{reading.diagnosis}", width=170,
    )  # fmt: skip
    methods = reader.methods
    if len(methods) == 1:
        return shown, methods[0]
    return shown, st.selectbox(
        "Heatmap method", methods, key="diagnose_method", width=125,
        help=reader.about_methods,
    )  # fmt: skip


def _last(name: str, wanted: tuple[str, ...], make: Callable[[], Any]) -> Any:
    """The value on screen, made again when another one is wanted: moving a slider must not decode a film again."""
    known = st.session_state.get(name)
    if known is None or known[0] != wanted:
        known = (wanted, make())
        st.session_state[name] = known
    return known[1]


def _pictures(view: str, scan: Scan, heat: np.ndarray, opacity: float, shown: str) -> None:
    small = _for_screen(scan)
    if view == SIDE_BY_SIDE:
        halves = st.grid(2, min_column_width=260)
        halves.image(small, caption="Scan", width="stretch")
        halves.image(overlay(small, heat, opacity), caption=f"What speaks for {shown}", width="stretch")
    elif view == "Blended":
        st.image(overlay(small, heat, opacity), caption=f"What speaks for {shown}", width="stretch")
    else:
        st.image(small, caption="Scan", width="stretch")
    if view != SCAN_ONLY:
        if float(heat.max()) < 0.05:
            st.caption(f":material/visibility_off: Hardly any place in this scan speaks for {shown}.")
        colour_scale(opacity)


def _screen_shape(scan: Scan) -> tuple[int, int]:
    """Height and width of a scan as a screen needs it, at most `SHOWN_SIDE` each."""
    factor = min(SHOWN_SIDE / max(scan.pixels.shape), 1)
    height, width = (max(round(side * factor), 1) for side in scan.pixels.shape)
    return height, width


def _for_screen(scan: Scan) -> np.ndarray:
    height, width = _screen_shape(scan)
    if (height, width) == scan.pixels.shape:
        return scan.pixels
    return np.asarray(Image.fromarray(scan.pixels).resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0))


def _population(card: Card) -> str:
    return card.dataset.get("population") or "patients that nobody described when its dataset was built"


def _in_words(reading: Reading, card: Card) -> str:
    share = reading.probabilities[reading.diagnosis]
    sure = "This looks like" if share >= 0.9 else "This is probably" if share >= 0.7 else "In doubt, rather"
    return f"{sure} {nice(reading.diagnosis)}" + (" (drawing)" if card.dataset.get("drawings") else "")


def _saved_card(
    upload: Upload,
    scan: Scan,
    heat: np.ndarray,
    opacity: float,
    reading: Reading,
    reader: Reader,
    shown: str,
    method: str,
) -> bytes:
    return result_card(
        _for_screen(scan),
        heat,
        opacity=opacity,
        title=_in_words(reading, reader.card),
        shares=[(nice(name), share, percent(share)) for name, share in reading.probabilities.items()],
        heat_caption=f"Right: what speaks for {nice(shown)} ({method}). {SCALE_CAPTION}",
        lines=[
            f"File {upload.name}, read on {datetime.now():%Y-%m-%d %H:%M} by the model “{reader.card.name}”.",
            f"Trained on {_population(reader.card)}; it knows nothing of other patients.",
            *reading.warnings,
            "Research software, no medical device. It can be wrong: a radiologist decides.",
        ],
    )


main()
