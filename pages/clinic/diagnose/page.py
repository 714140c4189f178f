"""Diagnose: upload scans, read what a model says of them, and see where in the scan it found that."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from pages.clinic.diagnose.model_facts import show_model_facts
from pages.clinic.diagnose.model_of_tab import choose_model_of_tab, offered_for_diagnosis
from pages.clinic.diagnose.occlusion_test import show_occlusion_test
from pages.clinic.diagnose.results_table import show_results_table
from pages.clinic.diagnose.similar_cases import show_similar_cases
from pages.clinic.diagnose.uploads import SCAN_STATE_KEYS, Upload, cached_value, read_anew
from pages.shared.colour_scale import SCALE_CAPTION, show_colour_scale
from pages.shared.formatting import class_label, escape_markdown, format_probability, format_told_probability
from pages.shared.images import resize_for_screen, screen_shape
from pages.shared.navigation import show_model_needed
from pages.shared.page import display_errors, show_announcements, show_head
from pages.shared.readers import load_reader, model_files_key
from pages.shared.verdict import (
    is_likeliest,
    local_reject_zone,
    local_threshold,
    population_text,
    prevalence_text,
    verdict_text,
)
from xrai.calibration import MOST_CERTAIN
from xrai.core.errors import CheckpointError, ScanError
from xrai.core.language import N_, language, tr, translate, use_language
from xrai.explain.overlay import draw_overlay
from xrai.input_check import apply_correction
from xrai.models.card import Card
from xrai.models.checkpoint import list_models
from xrai.reading.result_card import draw_result_card
from xrai.reading.results import Refusal
from xrai.scans import MAX_FILE_BYTES, Scan, read_scan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamlit.runtime.uploaded_file_manager import UploadedFile

    from xrai.reading.reader import Reader
    from xrai.reading.results import Reading

CORRECTED_SIDE = 260
DECISION_HELP = N_(
    "**Validation scans** are held out from training; the decision threshold and the uncertain range are set on "
    "them. **The decision threshold** is the probability at or above which a scan counts as positive. In the "
    "**uncertain** range XRAI gives no answer and leaves the scan to a radiologist."
)
UNKNOWN_AGE, IN_AGE_RANGE, OTHER_AGE = N_("Unknown"), "in_range", N_("Other")
SIDE_BY_SIDE, BLENDED, SCAN_ONLY = N_("Side by side"), N_("Blended"), N_("Scan only")
DISCLAIMER = N_(
    "Research software, **not a medical device**. It can be wrong, also when it sounds sure: a radiologist decides. "
    "Scans stay in this computer's memory and are not saved."
)


def main() -> None:
    """The page."""
    show_head(
        tr("Diagnose"),
        tr("Upload one or more chest X-rays to read the model's finding, its probability and its heatmap."),
    )
    show_announcements()
    with display_errors():
        _show_page()


def _show_page() -> None:
    models = list_models()
    offered = offered_for_diagnosis(models)
    if not offered:
        show_model_needed(
            tr("There is no model for a diagnosis: those here are for teaching only. Train one on your own films.")
            if models
            else tr("There is no model yet. Build a dataset, then train a model on it: both take a few clicks.")
        )
        return
    checkpoint = choose_model_of_tab(offered, has_scans=bool(st.session_state.get("diagnose_uploads")))
    if checkpoint is None:
        return
    card = checkpoint.read_card()
    show_model_facts(card)
    uploads = _choose_scans()
    st.caption(f":material/info: {tr(DISCLAIMER)}")
    if uploads:
        in_age_range = _ask_age(card)
        _show_results(uploads, load_reader(checkpoint), model_files_key(checkpoint), in_age_range)


def _choose_scans() -> list[Upload]:
    """The scans of this tab; they stay while the reader visits other pages."""
    state = st.session_state
    generation = state.setdefault("diagnose_generation", 0)
    key = f"diagnose_upload_{generation}"

    def store_uploads() -> None:
        earlier = {upload.sha256: upload for upload in state.get("diagnose_uploads", [])}
        state["diagnose_uploads"] = [_make_upload(file, earlier) for file in state[key]]

    st.file_uploader(
        tr("Frontal chest X-rays"),
        accept_multiple_files=True,
        key=key,
        on_change=store_uploads,
        max_upload_size=MAX_FILE_BYTES // 1024**2,
        help=tr("DICOM (also without file ending), JPEG, PNG, TIFF, WebP or BMP, one or many at once."),
    )
    uploads: list[Upload] = state.get("diagnose_uploads", [])
    if uploads and st.button(tr("Clear all scans"), icon=":material/close:", type="tertiary", key="diagnose_clear"):
        for name in SCAN_STATE_KEYS:
            state.pop(name, None)
        state["diagnose_generation"] = generation + 1
        st.rerun()
    return uploads


def _ask_age(card: Card) -> bool | None:
    """Whether the model may be used for the patients whose files do not tell their age; None where nobody knows."""
    if not card.intended_use.has_age_limit:
        return None
    answers = {UNKNOWN_AGE: None, IN_AGE_RANGE: True, OTHER_AGE: False}
    ages = translate(card.intended_use.ages)
    choice = st.segmented_control(
        tr("Patients' age, where the file does not tell it"),
        list(answers),
        format_func=lambda answer: ages if answer == IN_AGE_RANGE else tr(answer),
        default=UNKNOWN_AGE,
        required=True,
        key=f"diagnose_age_{st.session_state['diagnose_generation']}",
        persist_state="session",
    )
    return answers[choice or UNKNOWN_AGE]


def _make_upload(file: UploadedFile, earlier: Mapping[str, Upload]) -> Upload:
    """An upload with what was chosen for equal content before."""
    content = file.getvalue()
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 in earlier:
        return replace(earlier[sha256], name=file.name)
    return Upload(file.name, content, sha256)


def _show_results(uploads: list[Upload], reader: Reader, key: str, in_age_range: bool | None) -> None:
    readings = _read_uploads(uploads, reader, f"{key}|{in_age_range}", in_age_range)
    show_results_table(uploads, readings, reader.card)
    readable = [number for number, reading in enumerate(readings) if not isinstance(reading, Refusal)]
    for number, (upload, reading) in enumerate(zip(uploads, readings, strict=True)):
        if isinstance(reading, Refusal):
            _show_refusal(upload, reading, number)
    if not readable:
        return
    number, requested_number = readable[0], st.session_state.pop("diagnose_wanted", None)
    if requested_number in readable:
        st.session_state["diagnose_shown"] = requested_number
    if len(readable) > 1:
        number = st.selectbox(
            tr("Scan shown below"), readable, format_func=lambda i: f"{i + 1}. {uploads[i].name}", key="diagnose_shown"
        )
    reading = readings[number]
    assert not isinstance(reading, Refusal)
    with st.container(border=True):
        _show_reading(uploads[number], number, reading, reader, key)


def _show_refusal(upload: Upload, refusal: Refusal, number: int) -> None:
    """A file that was not read: why, and where it can be mended, how it would look then."""
    with st.container(border=True):
        message = tr(
            "**{name}** was not read. {reason}",
            name=escape_markdown(upload.name),
            reason=escape_markdown(translate(refusal.reason)),
        )
        correction, thumbnail = refusal.correction, refusal.thumbnail
        if refusal.is_outside_population:
            st.error(message, icon=":material/person_off:")
            key = f"diagnose_research_{number}_{upload.sha256}"
            if st.button(tr("Show for research, without a probability"), icon=":material/science:", key=key):
                read_anew(upload, number, any_age=True)
            return
        if correction is None or thumbnail is None:
            st.error(message, icon=":material/block:")
            _offer_original(upload, number)
            return
        st.warning(message, icon=":material/screen_rotation:")
        with st.container(horizontal=True):
            st.image(thumbnail, caption=tr("As uploaded"), width=CORRECTED_SIDE)
            caption = tr("After correction: {mend}", mend=translate(correction))
            st.image(apply_correction(thumbnail, correction), caption=caption, width=CORRECTED_SIDE)
        key = f"diagnose_mend_{number}_{upload.sha256}"  # of equal files each has a button
        if st.button(
            tr("Correct and read: {mend}", mend=translate(correction)), icon=":material/build:", type="primary", key=key
        ):
            read_anew(upload, number, correction=correction)


def _offer_correction(upload: Upload, number: int, reading: Reading) -> None:
    """The correction of a scan that was read all the same."""
    if not (correction := reading.suggested_correction):
        return
    label = tr("Correct and read: {mend}", mend=translate(correction))
    key = f"diagnose_suggested_{number}_{upload.sha256}"
    if st.button(label, icon=":material/flip:", type="primary", key=key):
        read_anew(upload, number, correction=correction)


def _offer_original(upload: Upload, number: int) -> None:
    """That a scan was changed, and the way back."""
    if not upload.correction:
        return
    st.info(
        tr("Correction applied before reading, as you chose: {mend}.", mend=translate(upload.correction)),
        icon=":material/build:",
    )
    key = f"diagnose_unmend_{number}_{upload.sha256}"
    if st.button(tr("Read without correction"), icon=":material/undo:", type="tertiary", key=key):
        read_anew(upload, number, correction="")


def _read_uploads(
    uploads: list[Upload], reader: Reader, key: str, in_age_range: bool | None
) -> list[Reading | Refusal]:
    """A reading or why there is none, for each scan; each is read once."""
    cache: dict[tuple[str, ...], Reading | Refusal] = st.session_state.setdefault("diagnose_readings", {})
    unread = [upload for upload in uploads if (*upload.key, key) not in cache]
    if unread:
        n, bar = len(unread), st.progress(0.0, text=tr("Reading…"))
        for done, upload in enumerate(unread):
            text = tr("Reading {name} ({done:,} of {n:,})", name=escape_markdown(upload.name), done=done + 1, n=n)
            bar.progress(done / n, text=text)
            cache[*upload.key, key] = _read_upload(upload, reader, in_age_range)
        bar.empty()
    return [cache[*upload.key, key] for upload in uploads]


def _read_upload(upload: Upload, reader: Reader, in_age_range: bool | None) -> Reading | Refusal:
    try:
        return reader.examine(
            read_scan(upload.content), correct=upload.correction, in_age_range=in_age_range, any_age=upload.any_age
        )
    except (ScanError, CheckpointError) as error:
        return Refusal(error.message)


def _show_reading(upload: Upload, number: int, reading: Reading, reader: Reader, key: str) -> None:
    scan: Scan = cached_value("diagnose_scan", upload.key, upload.corrected_scan)
    for warning in reading.warnings:  # before the answer: who reads only one line reads this one
        st.warning(escape_markdown(translate(warning)), icon=":material/warning:")
    _offer_correction(upload, number, reading)
    halves = st.grid(2, min_column_width=280, vertical_alignment="center")
    with halves.cell():
        st.caption(escape_markdown(upload.name))
        st.subheader(escape_markdown(verdict_text(reading, reader.card)), anchor=False)
        if not reading.is_confident:
            st.markdown(f":material/contact_support: {_leaning_text(reading)}")
        if reading.frequency:
            st.markdown(escape_markdown(translate(reading.frequency)))
        if not reading.is_outside_population:
            _show_decision_rule(reader.card)
    with halves.cell():
        for name, share in _told_probabilities(reading).items():
            st.progress(
                share,
                text=tr(
                    "{name}: **{share}**", name=escape_markdown(class_label(name)), share=format_told_probability(share)
                ),
            )
        _show_record(reading, reader)
    _offer_original(upload, number)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        view = st.segmented_control(
            tr("View"),
            [SIDE_BY_SIDE, BLENDED, SCAN_ONLY],
            default=SIDE_BY_SIDE,
            format_func=tr,
            key="diagnose_view",
            required=True,
        )
        class_name, method = _choose_class(reading, reader), reader.methods[0]
        opacity = (
            st.slider(tr("Strength of colours"), 0, 100, 75, format="%d %%", key="diagnose_opacity", width=140) / 100
        )
    heat: np.ndarray = cached_value(
        "diagnose_heat",
        (*upload.key, key, class_name, method),
        lambda: reading.heatmap(class_name, method, shape=screen_shape(scan.pixels)),
    )
    _show_images(view, scan, heat, opacity, class_label(class_name))
    show_occlusion_test(upload, scan, reading, key, class_name)
    show_similar_cases(upload, reading, key)
    attribution = tr(
        "Read by the model “{name}”, trained on {population}.",
        name=reader.card.name,
        population=population_text(reader.card),
    )
    st.caption(escape_markdown(attribution))
    language_code, footer = language(), _footer_lines(upload, reading, reader.card)

    def save() -> bytes:  # at a click, when neither the reader nor the session is known any more
        with use_language(language_code):
            return _render_result_card(scan, heat, opacity, reading, reader.card, class_name, method, footer)

    st.download_button(
        tr("Save this result (PNG)"),
        save,
        f"xrai-{upload.sha256[:8]}.png",
        "image/png",
        icon=":material/download:",
        on_click="ignore",
        key="diagnose_save_card",
    )


def _told_probabilities(reading: Reading) -> dict[str, float]:
    """The probabilities that are shown: none for a patient outside the model's population."""
    return {} if reading.is_outside_population else reading.probabilities


def _show_record(reading: Reading, reader: Reader) -> None:
    """How many of such certain answers were right on scans that the model did not learn from."""
    if reading.is_outside_population or reading.probabilities[reading.diagnosis] <= MOST_CERTAIN:
        return
    n_right, n = reader.count_certain_answers(reading.diagnosis)
    if n:
        text = tr("Of {n:,} such answers on validation scans, {right:,} were right.", n=n, right=n_right)
        st.caption(escape_markdown(text))


def _leaning_text(reading: Reading) -> str:
    """What an answer that is not sure would be."""
    name = escape_markdown(class_label(reading.diagnosis))
    if is_likeliest(reading):
        return tr("More likely **{name}**.", name=name)
    return tr("By the decision threshold alone: **{name}**.", name=name)


def _choose_class(reading: Reading, reader: Reader) -> str:
    """The class whose evidence is drawn."""
    classes = list(reader.card.classes)
    return st.selectbox(
        tr("Show evidence for"),
        classes,
        index=classes.index(reading.default_class),
        format_func=class_label,
        key=f"diagnose_class_{reading.diagnosis}",
        width=160,
    )


def _show_images(view: str, scan: Scan, heat: np.ndarray, opacity: float, class_label_text: str) -> None:
    screen_image, evidence_caption = (
        resize_for_screen(scan.pixels),
        tr("Evidence for {name}", name=escape_markdown(class_label_text)),
    )
    if view == SIDE_BY_SIDE:
        halves = st.grid(2, min_column_width=260)
        halves.image(screen_image, caption=tr("Scan"), width="stretch")
        halves.image(draw_overlay(screen_image, heat, opacity), caption=evidence_caption, width="stretch")
    elif view == BLENDED:
        st.image(draw_overlay(screen_image, heat, opacity), caption=evidence_caption, width="stretch")
    else:
        st.image(screen_image, caption=tr("Scan"), width="stretch")
    if view != SCAN_ONLY:
        if float(heat.max()) < 0.05:
            note = tr("Hardly any evidence for {name} in this scan.", name=escape_markdown(class_label_text))
            st.caption(f":material/visibility_off: {note}")
        show_colour_scale(opacity)


def _show_decision_rule(card: Card) -> None:
    """From which probability on a class is called, and when the answer is "not sure"."""
    sentences = []
    if card.threshold:
        sentences.append(tr("Positive at {share} or above.", share=format_probability(local_threshold(card))))
        if zone := local_reject_zone(card):
            low, high = map(format_probability, zone)
            sentences.append(tr("Between {low} and {high} the answer is “uncertain”.", low=low, high=high))
    if card.abstention:
        sentences.append(
            tr(
                "Set so that at most {n:.3g} in 100 validation scans of each class got a wrong answer.",
                n=100 * card.abstention.alpha,
            )
        )
    if sentences:
        text = " ".join([*sentences, prevalence_text(card)]).strip()
        st.caption(escape_markdown(text.replace(".0 %", " %").replace(",0\u202f%", "\u202f%")), help=tr(DECISION_HELP))


def _render_result_card(
    scan: Scan,
    heat: np.ndarray,
    opacity: float,
    reading: Reading,
    card: Card,
    class_name: str,
    method: str,
    footer: list[str],
) -> bytes:
    evidence_text = tr("Right: evidence for {name} ({method}).", name=class_label(class_name), method=translate(method))
    return draw_result_card(
        resize_for_screen(scan.pixels),
        heat,
        opacity=opacity,
        title=verdict_text(reading, card),
        probabilities=[
            (class_label(name), share, format_probability(share))
            for name, share in _told_probabilities(reading).items()
        ],
        heat_caption=f"{evidence_text} {tr(SCALE_CAPTION)}",
        warnings=[translate(warning) for warning in reading.warnings],
        lines=footer,
    )


def _footer_lines(upload: Upload, reading: Reading, card: Card) -> list[str]:
    """What stands below the picture of a result."""
    return [
        tr(
            "File {file}, read on {when} by the model “{name}”.",
            file=upload.name,
            when=f"{datetime.now():%Y-%m-%d %H:%M}",
            name=card.name,
        ),
        tr("Trained on {population}; never tested on other patients.", population=population_text(card)),
        *([translate(reading.frequency)] if reading.frequency else []),
        *(
            [tr("The scan was corrected before reading: {mend}.", mend=translate(upload.correction))]
            if upload.correction
            else []
        ),
        tr("Research software, no medical device. It can be wrong: a radiologist decides."),
    ]


main()
