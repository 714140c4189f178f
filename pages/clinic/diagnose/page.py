"""Diagnose: upload scans, read what a model says of them, and see where in the scan it found that."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from pages.clinic.diagnose.occlusion_test import hide_and_read_again, similar
from pages.shared.about_model import about_model, population
from pages.shared.formatting import harmless, nice, percent, plain
from pages.shared.heatmaps import SCALE_CAPTION, colour_scale
from pages.shared.navigation import needs_a_model
from pages.shared.page import announcements, head, remembered, stated_errors
from pages.shared.readers import model_key, reader_for
from pages.shared.uploads import OF_SCANS, Refusal, Upload, for_screen, last, read_mended, screen_shape
from pages.shared.verdict import for_whom, in_words, is_likeliest, told_threshold, told_zone
from xrai.core.errors import CheckpointError, RefusedError, ScanError
from xrai.core.language import ENGLISH, N_, language, tr, translate, use_language
from xrai.explain.overlay import overlay
from xrai.input_check import mended
from xrai.models import default_model
from xrai.models.checkpoint import Card, Checkpoint, list_models
from xrai.reading.result_card import WARNED, result_card
from xrai.scans import MAX_FILE_BYTES, Scan

if TYPE_CHECKING:
    from xrai.reading.reader import Reader, Reading

MENDED_SIDE = 260
WHAT_CALLS = N_(
    "**Validation scans** were kept aside while the model learned, and then served to set its threshold and its doubt. "
    "**The threshold** is the probability from which on a class is called. A **firm** answer is one that is not “not sure”."
)
SIDE_BY_SIDE, BLENDED, SCAN_ONLY = N_("Side by side"), N_("Blended"), N_("Scan only")
DISCLAIMER = N_(
    "Research software, **not a medical device**. It can be wrong, also when it sounds sure: a radiologist decides. "
    "Scans stay in this computer's memory and are not saved."
)


def main() -> None:
    """The page."""
    head(tr("Diagnose"), tr("Upload one or more chest X-rays, and see what the model says and where it looked."))
    announcements()
    models = list_models()
    if not models:
        needs_a_model(tr("There is no model yet. Build a dataset, then train a model on it: both take a few clicks."))
        return
    with stated_errors():
        checkpoint = _choose_model(models)
        card = checkpoint.card()
        about_model(card)
        uploads = _choose_scans()
        st.caption(f":material/info: {tr(DISCLAIMER)}")
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
    return models[names.index(st.selectbox(tr("Model"), names, key=key, persist_state="session"))]


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
        tr("Chest X-rays, seen from the front"),
        accept_multiple_files=True,
        key=key,
        on_change=take,
        max_upload_size=MAX_FILE_BYTES // 1024**2,
        help=tr("DICOM (also without file ending), JPEG, PNG, TIFF, WebP or BMP, one or many at once."),
    )
    uploads: list[Upload] = state.get("diagnose_uploads", [])
    if uploads and st.button(tr("Clear all scans"), icon=":material/close:", type="tertiary", key="diagnose_clear"):
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
            tr("Scan shown below"), read, format_func=lambda i: f"{i + 1}. {uploads[i].name}", key="diagnose_shown"
        )
    reading = readings[number]
    assert not isinstance(reading, Refusal)
    with st.container(border=True):
        _card(uploads[number], number, reading, reader, key)


def _refused(upload: Upload, refusal: Refusal, number: int) -> None:
    """A file that was not read: why, and where it can be mended, how it would look then."""
    with st.container(border=True):
        said = tr("**{name}** was not read. {why}", name=plain(upload.name), why=plain(translate(refusal.reason)))
        mend, small = refusal.mend, refusal.small
        if mend is None or small is None:
            st.error(said, icon=":material/block:")
            _as_it_came(upload, number)
            return
        st.warning(said, icon=":material/screen_rotation:")
        with st.container(horizontal=True):
            st.image(small, caption=tr("As it came"), width=MENDED_SIDE)
            then = tr("As it would be read: {mend}", mend=translate(mend))
            st.image(mended(small, mend), caption=then, width=MENDED_SIDE)
        key = f"diagnose_mend_{number}_{upload.sha256}"  # of equal files each has a button
        if st.button(tr("Read it {mend}", mend=translate(mend)), icon=":material/build:", type="primary", key=key):
            read_mended(upload, number, mend)


def _as_it_came(upload: Upload, number: int) -> None:
    """That a scan was changed, and the way back."""
    if not upload.mend:
        return
    st.info(tr("This scan was read {mend}, as you chose.", mend=translate(upload.mend)), icon=":material/build:")
    key = f"diagnose_unmend_{number}_{upload.sha256}"
    if st.button(tr("Read it as it came"), icon=":material/undo:", type="tertiary", key=key):
        read_mended(upload, number, "")


def _read_all(uploads: list[Upload], reader: Reader, key: str) -> list[Reading | Refusal]:
    """A reading or why there is none, for each scan; each is read once."""
    memory: dict[tuple[str, str, str], Reading | Refusal] = st.session_state.setdefault("diagnose_readings", {})
    missing = [upload for upload in uploads if (upload.sha256, upload.mend, key) not in memory]
    if missing:
        n, bar = len(missing), st.progress(0.0, text=tr("Reading…"))
        for done, upload in enumerate(missing):
            words = tr("Reading {name} ({done:,} of {n:,})", name=plain(upload.name), done=done + 1, n=n)
            bar.progress(done / n, text=words)
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
            return Refusal(error.message, mend, for_screen(scan.pixels, MENDED_SIDE) if mend else None)
        return reader.read(scan)
    except (ScanError, CheckpointError) as error:
        return Refusal(error.message)


def _table(uploads: list[Upload], readings: list[Reading | Refusal], card: Card) -> None:
    """All scans in one table, to look over and to save."""
    if len(uploads) < 2:
        return
    file, diagnosis, remark = tr("File"), tr("Diagnosis"), tr("Remark")
    shown = [nice(card.classes[1])] if card.threshold else [nice(name) for name in card.classes]
    rows = []
    for upload, reading in zip(uploads, readings, strict=True):
        if isinstance(reading, Refusal):
            words = {diagnosis: tr("not read"), remark: translate(reading.reason)}
        else:
            shares = {nice(name): round(share, 4) for name, share in reading.probabilities.items()}
            words = {diagnosis: _flagged(reading, card), remark: _remarks(upload, reading), **shares}
        rows.append({file: harmless(upload.name), **words})
    table = pd.DataFrame(rows, columns=[file, diagnosis, *(nice(name) for name in card.classes), remark])
    bars = {name: st.column_config.ProgressColumn(name, format="percent", min_value=0, max_value=1) for name in shown}
    columns = {
        file: st.column_config.TextColumn(width=150),
        diagnosis: st.column_config.TextColumn(width=240),
        **bars,
    }
    st.dataframe(table[[file, diagnosis, *shown, remark]], hide_index=True, column_config=columns)
    about = {
        tr("Model"): card.name,
        tr("Read"): f"{datetime.now():%Y-%m-%d %H:%M}",
        tr("Note"): tr("research only, no diagnosis"),
    }
    st.download_button(
        tr("Save this table (CSV)"), _as_csv(table.assign(**about)), "xrai-readings.csv", "text/csv",
        icon=":material/download:", on_click="ignore", key="diagnose_save_table",
    )  # fmt: skip


def _as_csv(table: pd.DataFrame) -> bytes:
    """As the reader's spreadsheet opens it: where numbers have a comma, columns are kept apart by a semicolon."""
    sep, decimal = (",", ".") if language() == ENGLISH else (";", ",")
    return table.to_csv(index=False, sep=sep, decimal=decimal).encode("utf-8-sig")


def _flagged(reading: Reading, card: Card) -> str:
    """The diagnosis in words, with a sign where a remark says what to beware of: a long remark is cut off."""
    return f"{WARNED} {in_words(reading, card)}" if reading.warnings else in_words(reading, card)


def _remarks(upload: Upload, reading: Reading) -> str:
    remarks = [tr("Read {mend}.", mend=translate(upload.mend))] if upload.mend else []
    return " ".join([*remarks, *map(translate, reading.warnings)])


def _card(upload: Upload, number: int, reading: Reading, reader: Reader, key: str) -> None:
    scan: Scan = last("diagnose_scan", (upload.sha256, upload.mend), upload.scan)
    for warning in reading.warnings:  # before the answer: who reads only one line reads this one
        st.warning(plain(translate(warning)), icon=":material/warning:")
    halves = st.grid(2, min_column_width=280, vertical_alignment="center")
    with halves.cell():
        st.caption(plain(upload.name))
        st.subheader(plain(in_words(reading, reader.card)), anchor=False)
        if not reading.sure:
            st.markdown(f":material/contact_support: {_leaning(reading)}")
        if reading.frequency:
            st.markdown(plain(translate(reading.frequency)))
        _how_it_calls(reader.card)
    with halves.cell():
        for name, share in reading.probabilities.items():
            st.progress(share, text=tr("{name}: **{share}**", name=plain(nice(name)), share=percent(share)))
    _as_it_came(upload, number)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        view = st.segmented_control(
            tr("View"), [SIDE_BY_SIDE, BLENDED, SCAN_ONLY], default=SIDE_BY_SIDE, format_func=tr, key="diagnose_view",
            required=True,
        )  # fmt: skip
        shown, method = _choose_map(reading, reader)
        opacity = (
            st.slider(tr("Strength of colours"), 0, 100, 75, format="%d %%", key="diagnose_opacity", width=140) / 100
        )
    heat: np.ndarray = last(
        "diagnose_heat",
        (upload.sha256, upload.mend, key, shown, method),
        lambda: reader.heatmap(scan, shown, method, shape=screen_shape(scan.pixels), reading=reading),
    )
    _pictures(view, scan, heat, opacity, nice(shown))
    hide_and_read_again(upload, scan, reading, reader, key, shown)
    similar(upload, scan, reader, key)
    by = tr(
        "Read by the model “{name}”, trained on {population}.",
        name=reader.card.name,
        population=population(reader.card),
    )
    st.caption(plain(by))
    code, lines = language(), _lines(upload, reading, reader.card)

    def save() -> bytes:  # at a click, when neither the reader nor the session is known any more
        with use_language(code):
            return _saved_card(scan, heat, opacity, reading, reader.card, shown, method, lines)

    st.download_button(
        tr("Save this result (PNG)"), save, f"xrai-{upload.sha256[:8]}.png", "image/png",
        icon=":material/download:", on_click="ignore", key="diagnose_save_card",
    )  # fmt: skip


def _leaning(reading: Reading) -> str:
    """What an answer that is not sure would be."""
    name = plain(nice(reading.diagnosis))
    if is_likeliest(reading):
        return tr("It leans towards **{name}**.", name=name)
    return tr("By the threshold alone it would be called **{name}**.", name=name)


def _choose_map(reading: Reading, reader: Reader) -> tuple[str, str]:
    """The class whose evidence is drawn, and the method that finds it."""
    classes = list(reader.card.classes)
    shown = st.selectbox(
        tr("Show what speaks for"), classes, index=classes.index(reader.shown_first(reading)), format_func=nice,
        key=f"diagnose_class_{reading.diagnosis}", width=160,
    )  # fmt: skip
    methods = reader.methods
    if len(methods) == 1:
        return shown, methods[0]
    return shown, st.selectbox(
        tr("Heatmap method"), methods, format_func=translate, key="diagnose_method", width=140,
        help="\n".join(map(translate, reader.about_methods.split("\n"))),
    )  # fmt: skip


def _pictures(view: str, scan: Scan, heat: np.ndarray, opacity: float, shown: str) -> None:
    small, speaks = for_screen(scan.pixels), tr("What speaks for {name}", name=shown)
    if view == SIDE_BY_SIDE:
        halves = st.grid(2, min_column_width=260)
        halves.image(small, caption=tr("Scan"), width="stretch")
        halves.image(overlay(small, heat, opacity), caption=speaks, width="stretch")
    elif view == BLENDED:
        st.image(overlay(small, heat, opacity), caption=speaks, width="stretch")
    else:
        st.image(small, caption=tr("Scan"), width="stretch")
    if view != SCAN_ONLY:
        if float(heat.max()) < 0.05:
            hardly = tr("Hardly any place in this scan speaks for {name}.", name=plain(shown))
            st.caption(f":material/visibility_off: {hardly}")
        colour_scale(opacity)


def _how_it_calls(card: Card) -> None:
    """From which probability on a class is called, and when the answer is "not sure"."""
    said = []
    if card.threshold:
        name, share = nice(card.classes[1]), percent(told_threshold(card))
        said.append(tr("Called {name} from a probability of {share} on.", name=name, share=share))
        if zone := told_zone(card):
            low, high = map(percent, zone)
            said.append(tr("Between {low} and {high} the model is not sure.", low=low, high=high))
    if card.doubt:
        said.append(
            tr(
                "On its validation scans at most {n:.3g} in 100 of each class got a wrong firm answer.",
                n=100 * card.doubt.alpha,
            )
        )
    if said:
        text = " ".join([*said, for_whom(card)]).strip()
        st.caption(plain(text.replace(".0 %", " %").replace(",0\u202f%", "\u202f%")), help=tr(WHAT_CALLS))


def _saved_card(
    scan: Scan,
    heat: np.ndarray,
    opacity: float,
    reading: Reading,
    card: Card,
    shown: str,
    method: str,
    lines: list[str],
) -> bytes:
    right = tr("Right: what speaks for {name} ({method}).", name=nice(shown), method=translate(method))
    return result_card(
        for_screen(scan.pixels),
        heat,
        opacity=opacity,
        title=in_words(reading, card),
        shares=[(nice(name), share, percent(share)) for name, share in reading.probabilities.items()],
        heat_caption=f"{right} {tr(SCALE_CAPTION)}",
        warnings=[translate(warning) for warning in reading.warnings],
        lines=lines,
    )


def _lines(upload: Upload, reading: Reading, card: Card) -> list[str]:
    """What stands below the picture of a result."""
    return [
        tr(
            "File {file}, read on {when} by the model “{name}”.",
            file=upload.name, when=f"{datetime.now():%Y-%m-%d %H:%M}", name=card.name,
        ),
        tr("Trained on {population}; it knows nothing of other patients.", population=population(card)),
        *([translate(reading.frequency)] if reading.frequency else []),
        *([tr("The scan was read {mend}.", mend=translate(upload.mend))] if upload.mend else []),
        tr("Research software, no medical device. It can be wrong: a radiologist decides."),
    ]  # fmt: skip


main()
