"""Second looks at an answer: the hot area hidden and the scan read again, and similar scans with their labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from pages.shared.datasets import find_training_dataset
from pages.shared.formatting import class_label, escape_markdown, format_probability, join_words
from pages.shared.page import defer_errors, display_errors
from pages.shared.uploads import Upload, cached_value, resize_for_screen
from xrai.core.language import tr
from xrai.data.dataset import list_datasets, open_dataset
from xrai.models.card import Card
from xrai.scans import Scan

if TYPE_CHECKING:
    from xrai.reading.results import OcclusionTest, Reading, SimilarCase

N_SIMILAR = 6
MIN_CHANGE = 0.1  # a probability that changes by less has hardly moved


def show_occlusion_test(upload: Upload, scan: Scan, reading: Reading, key: str, class_name: str) -> None:
    """What becomes of the probability when the place is filled in that speaks most for a class."""
    occlusion_key = (*upload.key, key, class_name)
    state = st.session_state
    name = escape_markdown(class_label(class_name))

    def occlude() -> None:
        with defer_errors():
            state["diagnose_hidden"] = (occlusion_key, reading.occlude(scan, class_name))

    stored = state.get("diagnose_hidden")
    is_current = stored is not None and stored[0] == occlusion_key
    with st.expander(tr("Hide the hot area and read again"), expanded=is_current, icon=":material/visibility_off:"):
        st.caption(
            tr(
                "The place that speaks most for {name} is filled in from what surrounds it, and the scan is read again. "
                "If the probability hardly moves, the colours do not tell what the answer rests on.",
                name=name,
            )
        )
        st.button(
            tr("Hide it and read again"),
            icon=":material/replay:",
            on_click=occlude,
            key=f"diagnose_hide_{upload.sha256}",
        )
        if stored is None or not is_current:
            return
        occlusion: OcclusionTest = stored[1]
        occluded_reading = occlusion.reading
        if not occlusion.mask.any():
            st.info(tr("No place in this scan speaks for {name}, so there is nothing to hide.", name=name))
            return
        before, after = reading.probabilities[class_name], occluded_reading.probabilities[class_name]
        halves = st.grid(2, min_column_width=260, vertical_alignment="center")
        halves.image(resize_for_screen(occlusion.pixels), caption=tr("With the hot area filled in"), width="stretch")
        with halves.cell():
            st.progress(before, text=tr("{name} before: **{share}**", name=name, share=format_probability(before)))
            st.progress(after, text=tr("{name} now: **{share}**", name=name, share=format_probability(after)))
            st.markdown(escape_markdown(_occlusion_text(reading, occluded_reading, class_name)))


def _occlusion_text(reading: Reading, occluded_reading: Reading, class_name: str) -> str:
    before, after = reading.probabilities[class_name], occluded_reading.probabilities[class_name]
    if not reading.is_confident and not occluded_reading.is_confident:
        return tr("The model was not sure and still is not: the two numbers say how much hung on the hidden place.")
    if class_name == reading.diagnosis and not occluded_reading.is_confident:
        return tr("Now the model is not sure: much of the answer rests on the hidden place.")
    if class_name == reading.diagnosis != occluded_reading.diagnosis:
        name = class_label(occluded_reading.diagnosis)
        return tr("Now it is called {name}: the answer rests largely on the hidden place.", name=name)
    if after <= before - MIN_CHANGE:
        return tr("It falls, but what is called stays: the answer does not rest on the hidden place alone.")
    if after >= before + MIN_CHANGE:
        return tr(
            "Without the hidden place the model finds it even likelier: the colours do not tell what the answer rests on."
        )
    return tr(
        "It hardly moves: the model finds the same elsewhere too, or the answer does not rest on the hidden place."
    )


def show_similar_cases(upload: Upload, reading: Reading, key: str) -> None:
    """The training scans that the network sees as most like this one, with their labels; read once they are asked for."""
    if reading.reader.artifacts.neighbour_index is None:
        return
    expander = st.expander(
        tr("Similar scans that the model learned from"),
        icon=":material/compare:",
        key="diagnose_similar_open",
        on_change="rerun",
    )
    if expander.open:
        with expander, display_errors():
            cases = cached_value("diagnose_similar", (*upload.key, key), lambda: reading.find_similar(N_SIMILAR))
            _show_cases(cases, reading.reader.card)


def _show_cases(cases: Sequence[SimilarCase], card: Card) -> None:
    counts = Counter(case.class_name for case in cases)
    counts_text = join_words([tr("{n} {name}", n=n, name=class_label(name)) for name, n in counts.most_common()])
    st.markdown(
        escape_markdown(
            tr(
                "Of the {n} training scans that look most like this one to the model, each of another patient as far as "
                "patients are known, the hospital's labels say: {said}.",
                n=len(cases),
                said=counts_text,
            )
        )
    )
    file = find_training_dataset(card, list_datasets())
    if file is None:
        st.caption(
            escape_markdown(
                tr(
                    "Their pictures are no part of a model: they are shown where the dataset “{name}” is on this computer "
                    "as it was.",
                    name=card.dataset.name,
                )
            )
        )
        return
    with open_dataset(file) as dataset:
        images = dataset.images([case.row for case in cases])
    grid = st.grid(N_SIMILAR, min_column_width=110)
    for case, square in zip(cases, images, strict=True):
        caption = tr("{name}, likeness {likeness:.2f}", name=class_label(case.class_name), likeness=case.similarity)
        grid.image(square, caption=caption, width="stretch")
    st.caption(
        tr(
            "Likeness is 1 for a scan that the model cannot tell from this one and 0 for one that has nothing in common "
            "with it. Labels can be wrong."
        )
    )
