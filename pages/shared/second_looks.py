"""Second looks at an answer: the hot area hidden and the scan read again, and similar scans with their labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from pages.shared.datasets import own_dataset
from pages.shared.page import stated_errors, stated_later
from pages.shared.uploads import Upload, for_screen, last
from pages.shared.words import listed, nice, percent, plain
from xrai.checkpoint import Card
from xrai.dataset import list_datasets, open_dataset
from xrai.scans import Scan

if TYPE_CHECKING:
    from xrai.diagnosis import Reader, Reading, SimilarCase

N_SIMILAR = 6
MOVES = 0.1  # a probability that changes by less has hardly moved


def hide_and_read_again(upload: Upload, scan: Scan, reading: Reading, reader: Reader, key: str, shown: str) -> None:
    """What becomes of the probability when the place is filled in that speaks most for a class."""
    place, state = (upload.sha256, upload.mend, key, shown), st.session_state

    def hide() -> None:
        with stated_later():
            state["diagnose_hidden"] = (place, reader.read_without_hot_area(scan, shown))

    known = state.get("diagnose_hidden")
    is_known = known is not None and known[0] == place
    with st.expander("Hide the hot area and read again", expanded=is_known, icon=":material/visibility_off:"):
        st.caption(
            f"The place that speaks most for {plain(nice(shown))} is filled in from what surrounds it, and the scan is "
            "read again. If the probability hardly moves, the colours do not tell what the answer rests on."
        )
        st.button(
            "Hide it and read again", icon=":material/replay:", on_click=hide, key=f"diagnose_hide_{upload.sha256}"
        )
        if known is None or not is_known:
            return
        pixels, mask, again = known[1]
        if not mask.any():
            st.info(f"No place in this scan speaks for {plain(nice(shown))}, so there is nothing to hide.")
            return
        before, after = reading.probabilities[shown], again.probabilities[shown]
        halves = st.grid(2, min_column_width=260, vertical_alignment="center")
        halves.image(for_screen(pixels), caption="With the hot area filled in", width="stretch")
        with halves.cell():
            st.progress(before, text=f"{plain(nice(shown))} before: **{percent(before)}**")
            st.progress(after, text=f"{plain(nice(shown))} now: **{percent(after)}**")
            st.markdown(plain(_what_hiding_shows(reading, again, shown)))


def _what_hiding_shows(reading: Reading, again: Reading, shown: str) -> str:
    before, after = reading.probabilities[shown], again.probabilities[shown]
    if not reading.sure and not again.sure:
        return "The model was not sure and still is not: the two numbers say how much hung on the hidden place."
    if shown == reading.diagnosis and not again.sure:
        return "Now the model is not sure: much of the answer rests on the hidden place."
    if shown == reading.diagnosis != again.diagnosis:
        return f"Now it is called {nice(again.diagnosis)}: the answer rests largely on the hidden place."
    if after <= before - MOVES:
        return "It falls, but what is called stays: the answer does not rest on the hidden place alone."
    if after >= before + MOVES:
        return "Without the hidden place the model finds it even likelier: the colours do not tell what the answer rests on."
    return "It hardly moves: the model finds the same elsewhere too, or the answer does not rest on the hidden place."


def similar(upload: Upload, scan: Scan, reader: Reader, key: str) -> None:
    """The training scans that the network sees as most like this one, with their labels; read once they are asked for."""
    if reader.kit.neighbours is None:
        return
    opened = st.expander(
        "Similar scans that the model learned from", icon=":material/compare:", key="diagnose_similar_open",
        on_change="rerun",
    )  # fmt: skip
    if opened.open:
        with opened, stated_errors():
            cases = last("diagnose_similar", (upload.sha256, upload.mend, key), lambda: reader.similar(scan, N_SIMILAR))
            _similar(cases, reader.card)


def _similar(cases: Sequence[SimilarCase], card: Card) -> None:
    counts = Counter(case.class_name for case in cases)
    said = listed([f"{n} {nice(name)}" for name, n in counts.most_common()])
    st.markdown(plain(
        f"Of the {len(cases)} training scans that look most like this one to the model, each of another patient as far as "
        f"patients are known, the hospital's labels say: {said}."
    ))  # fmt: skip
    file = own_dataset(card, list_datasets())
    if file is None:
        st.caption(
            plain(
                "Their pictures are no part of a model: they are shown where the dataset "
                f"“{card.dataset.get('name')}” is on this computer as it was."
            )
        )
        return
    with open_dataset(file) as dataset:
        squares = dataset.images([case.row for case in cases])
    grid = st.grid(N_SIMILAR, min_column_width=110)
    for case, square in zip(cases, squares, strict=True):
        grid.image(square, caption=f"{nice(case.class_name)}, likeness {case.likeness:.2f}", width="stretch")
    st.caption(
        "Likeness is 1 for a scan that the model cannot tell from this one and 0 for one that has nothing in common "
        "with it. Labels can be wrong."
    )
