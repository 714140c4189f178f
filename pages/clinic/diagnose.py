"""Diagnose: upload scans, read what a model says of them, and see where in the scan it found that."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from pages.shared.calls import (
    called_from,
    for_whom,
    has_moved,
    in_words,
    is_likeliest,
    then_called,
    told_threshold,
    told_zone,
)
from pages.shared.heatmaps import SCALE_CAPTION, colour_scale
from pages.shared.page import announcements, head, remembered, stated_errors
from pages.shared.readers import model_key, reader_for
from pages.shared.second_looks import hide_and_read_again, similar
from pages.shared.uploads import OF_SCANS, Refusal, Upload, for_screen, last, read_mended, screen_shape
from pages.shared.ways import needs_a_dataset
from pages.shared.words import harmless, listed, nice, percent, plain, span
from xrai.checkpoint import Card, Checkpoint, list_models
from xrai.errors import CheckpointError, RefusedError, ScanError
from xrai.gate import mended
from xrai.heatmaps import overlay
from xrai.models import default_model
from xrai.report import result_card
from xrai.scans import MAX_FILE_BYTES, Scan

if TYPE_CHECKING:
    from xrai.diagnosis import Reader, Reading

MENDED_SIDE = 260
FROM = "Called from"
SIDE_BY_SIDE, SCAN_ONLY = "Side by side", "Scan only"
DISCLAIMER = (
    "Research software, **not a medical device**. It can be wrong, also when it sounds sure: a radiologist decides. "
    "Scans stay in this computer's memory and are not saved."
)


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
                FROM: called_from(card, item.get("threshold")) if len(card.classes) == 2 else "",
                "Called right (95 % interval)": span(item["accuracy"], item["accuracy_interval"]),
                "AUC (95 % interval)": span(item["auc"], item["auc_interval"], as_percent=False),
            }
            for what, item in rows
        ]
        moved = any(has_moved(card, item.get("threshold")) for _, item in rows)
        st.dataframe(pd.DataFrame(table).drop(columns=[] if moved else FROM), hide_index=True)
        if moved:
            st.markdown(plain(f"What was called was measured with another threshold. {_in_force(card)}"))
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
        _about_data(card)
        _about_trust(card)


def _about_data(card: Card) -> None:
    """What a check of the training data found."""
    found = card.dataset.get("audit")
    if not isinstance(found, list):
        return
    st.markdown("**What a check of its training data found**")
    for item in found:
        icon = ":material/error:" if item["severity"] == "serious" else ":material/info:"
        st.markdown(f"- {icon} {plain(str(item['title']))}: {plain(str(item['sentence']))}")
    if not found:
        st.markdown("- Nothing that would mislead.")


def _about_trust(card: Card) -> None:
    """What was measured of how far it can be trusted, for the models in the box."""
    if rows := card.trust.get("rows"):
        st.markdown(f"**How far it can be trusted**, measured on {plain(str(card.trust.get('when', ''))[:10])}")
        if then := _trusted_with(card):
            st.markdown(plain(f"That was with {listed(then)}. {_in_force(card)}"))
        names = {"what": "What", "value": "Measured", "aim": "Aim"}
        st.dataframe(pd.DataFrame(rows).rename(columns=names), hide_index=True, row_height=36)


def _trusted_with(card: Card) -> list[str]:
    """Of threshold and doubt what was not as it is now when that was measured."""
    now, then = _promise(card.doubt.alpha if card.doubt else None), _promise(card.trust.get("alpha"))
    called = then_called(card, card.trust.get("threshold")) if "threshold" in card.trust else ""
    return [*filter(None, [called]), *([then] if "alpha" in card.trust and then != now else [])]


def _in_force(card: Card) -> str:
    """What is in force, beside figures that were measured with something else."""
    called = [f"{nice(card.classes[1])} called from {percent(told_threshold(card))} on"] if card.threshold else []
    return f"In force now: {', '.join([*called, _promise(card.doubt.alpha if card.doubt else None)])}."


def _promise(alpha: float | None) -> str:
    return "every answer firm" if alpha is None else f"at most {100 * alpha:.3g} in 100 wrong firm answers"


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
        for name in OF_SCANS:
            state.pop(name, None)
        state["diagnose_generation"] = generation + 1
        st.rerun()
    return uploads


def _results(uploads: list[Upload], reader: Reader, key: str) -> None:
    readings = _read_all(uploads, reader, key)
    _table(uploads, readings, reader.card)
    read = [number for number, reading in enumerate(readings) if not isinstance(reading, Refusal)]
    for number, (upload, reading) in enumerate(zip(uploads, readings, strict=True)):
        if isinstance(reading, Refusal):
            _refused(upload, reading, number)
    if not read:
        return
    number, wanted = read[0], st.session_state.pop("diagnose_wanted", None)
    if wanted in read:
        st.session_state["diagnose_shown"] = wanted
    if len(read) > 1:
        number = st.selectbox(
            "Scan shown below", read, format_func=lambda i: f"{i + 1}. {uploads[i].name}", key="diagnose_shown"
        )
    reading = readings[number]
    assert not isinstance(reading, Refusal)
    with st.container(border=True):
        _card(uploads[number], number, reading, reader, key)


def _refused(upload: Upload, refusal: Refusal, number: int) -> None:
    """A file that was not read: why, and where it can be mended, how it would look then."""
    with st.container(border=True):
        said = f"**{plain(upload.name)}** was not read. {plain(refusal.reason)}"
        mend, small = refusal.mend, refusal.small
        if mend is None or small is None:
            st.error(said, icon=":material/block:")
            _as_it_came(upload, number)
            return
        st.warning(said, icon=":material/screen_rotation:")
        with st.container(horizontal=True):
            st.image(small, caption="As it came", width=MENDED_SIDE)
            st.image(mended(small, mend), caption=f"As it would be read: {mend}", width=MENDED_SIDE)
        key = f"diagnose_mend_{number}_{upload.sha256}"  # of equal files each has a button
        if st.button(f"Read it {mend}", icon=":material/build:", type="primary", key=key):
            read_mended(upload, number, mend)


def _as_it_came(upload: Upload, number: int) -> None:
    """That a scan was changed, and the way back."""
    if not upload.mend:
        return
    st.info(f"This scan was read {upload.mend}, as you chose.", icon=":material/build:")
    key = f"diagnose_unmend_{number}_{upload.sha256}"
    if st.button("Read it as it came", icon=":material/undo:", type="tertiary", key=key):
        read_mended(upload, number, "")


def _read_all(uploads: list[Upload], reader: Reader, key: str) -> list[Reading | Refusal]:
    """A reading or why there is none, for each scan; each is read once."""
    memory: dict[tuple[str, str, str], Reading | Refusal] = st.session_state.setdefault("diagnose_readings", {})
    missing = [upload for upload in uploads if (upload.sha256, upload.mend, key) not in memory]
    if missing:
        bar = st.progress(0.0, text="Reading…")
        for done, upload in enumerate(missing):
            bar.progress(done / len(missing), text=f"Reading {plain(upload.name)} ({done + 1} of {len(missing)})")
            memory[upload.sha256, upload.mend, key] = _read(upload, reader)
        bar.empty()
    return [memory[upload.sha256, upload.mend, key] for upload in uploads]


def _read(upload: Upload, reader: Reader) -> Reading | Refusal:
    try:
        scan = upload.scan()
        try:
            reader.check(scan)
        except RefusedError as error:
            mend = None if upload.mend else error.mend  # one change is the reader's choice, two would be guessing
            return Refusal(str(error), mend, for_screen(scan.pixels, MENDED_SIDE) if mend else None)
        return reader.read(scan)
    except (ScanError, CheckpointError) as error:
        return Refusal(str(error))


def _table(uploads: list[Upload], readings: list[Reading | Refusal], card: Card) -> None:
    """All scans in one table, to look over and to save."""
    if len(uploads) < 2:
        return
    shown = [nice(card.classes[1])] if card.threshold else [nice(name) for name in card.classes]
    rows = []
    for upload, reading in zip(uploads, readings, strict=True):
        if isinstance(reading, Refusal):
            rows.append({"File": harmless(upload.name), "Diagnosis": "not read", "Remark": reading.reason})
        else:
            shares = {nice(name): round(share, 4) for name, share in reading.probabilities.items()}
            remarks = [f"Read {upload.mend}."] if upload.mend else []
            words = {"Diagnosis": in_words(reading, card), "Remark": " ".join([*remarks, *reading.warnings])}
            rows.append({"File": harmless(upload.name), **words, **shares})
    table = pd.DataFrame(rows, columns=["File", "Diagnosis", *(nice(name) for name in card.classes), "Remark"])
    bars = {name: st.column_config.ProgressColumn(name, format="percent", min_value=0, max_value=1) for name in shown}
    columns = {
        "File": st.column_config.TextColumn(width=150),
        "Diagnosis": st.column_config.TextColumn(width=160),
        **bars,
    }
    st.dataframe(table[["File", "Diagnosis", *shown, "Remark"]], hide_index=True, column_config=columns)
    whole = table.assign(Model=card.name, Read=f"{datetime.now():%Y-%m-%d %H:%M}", Note="research only, no diagnosis")
    st.download_button(
        "Save this table (CSV)", whole.to_csv(index=False).encode("utf-8-sig"), "xrai-readings.csv", "text/csv",
        icon=":material/download:", on_click="ignore",
    )  # fmt: skip


def _card(upload: Upload, number: int, reading: Reading, reader: Reader, key: str) -> None:
    scan: Scan = last("diagnose_scan", (upload.sha256, upload.mend), upload.scan)
    halves = st.grid(2, min_column_width=280, vertical_alignment="center")
    with halves.cell():
        st.caption(plain(upload.name))
        st.subheader(plain(in_words(reading, reader.card)), anchor=False)
        if not reading.sure:
            leans = "It leans towards" if is_likeliest(reading) else "By the threshold alone it would be called"
            st.markdown(f":material/contact_support: {leans} **{plain(nice(reading.diagnosis))}**.")
        if reading.frequency:
            st.markdown(plain(reading.frequency))
        _how_it_calls(reader.card)
    with halves.cell():
        for name, share in reading.probabilities.items():
            st.progress(share, text=f"{plain(nice(name))}: **{percent(share)}**")
    _as_it_came(upload, number)
    for warning in reading.warnings:
        st.warning(plain(warning), icon=":material/warning:")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        view = st.segmented_control(
            "View", [SIDE_BY_SIDE, "Blended", SCAN_ONLY], default=SIDE_BY_SIDE, key="diagnose_view", required=True
        )
        shown, method = _choose_map(reading, reader)
        opacity = st.slider("Strength of colours", 0, 100, 75, format="%d %%", key="diagnose_opacity", width=160) / 100
    heat: np.ndarray = last(
        "diagnose_heat",
        (upload.sha256, upload.mend, key, shown, method),
        lambda: reader.heatmap(scan, shown, method, shape=screen_shape(scan.pixels)),
    )
    _pictures(view, scan, heat, opacity, nice(shown))
    hide_and_read_again(upload, scan, reading, reader, key, shown)
    similar(upload, scan, reader, key)
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


def _pictures(view: str, scan: Scan, heat: np.ndarray, opacity: float, shown: str) -> None:
    small = for_screen(scan.pixels)
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


def _how_it_calls(card: Card) -> None:
    """From which probability on a class is called, and when the answer is "not sure"."""
    said = []
    if card.threshold:
        said.append(f"Called {nice(card.classes[1])} from a probability of {percent(told_threshold(card))} on.")
        if zone := told_zone(card):
            said.append(f"Between {percent(zone[0])} and {percent(zone[1])} the model is not sure.")
    if card.doubt:
        said.append(
            f"On its validation scans at most {100 * card.doubt.alpha:.3g} in 100 of each class got a wrong firm answer."
        )
    if said:
        st.caption(plain(" ".join([*said, for_whom(card)]).strip().replace(".0 %", " %")))


def _population(card: Card) -> str:
    return card.dataset.get("population") or "patients that nobody described when its dataset was built"


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
        for_screen(scan.pixels),
        heat,
        opacity=opacity,
        title=in_words(reading, reader.card),
        shares=[(nice(name), share, percent(share)) for name, share in reading.probabilities.items()],
        heat_caption=f"Right: what speaks for {nice(shown)} ({method}). {SCALE_CAPTION}",
        lines=[
            f"File {upload.name}, read on {datetime.now():%Y-%m-%d %H:%M} by the model “{reader.card.name}”.",
            f"Trained on {_population(reader.card)}; it knows nothing of other patients.",
            *([reading.frequency] if reading.frequency else []),
            *([f"The scan was read {upload.mend}."] if upload.mend else []),
            *reading.warnings,
            "Research software, no medical device. It can be wrong: a radiologist decides.",
        ],
    )


main()
