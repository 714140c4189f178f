"""Second looks at an answer: the hot area hidden and the scan read again, and similar scans with their labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from pages.shared.datasets import own_dataset
from pages.shared.formatting import listed, nice, percent, plain
from pages.shared.page import stated_errors, stated_later
from pages.shared.uploads import Upload, for_screen, last
from xrai.core.language import tr
from xrai.data.dataset import list_datasets, open_dataset
from xrai.models.checkpoint import Card
from xrai.scans import Scan

if TYPE_CHECKING:
    from xrai.reading.reader import Reader, Reading, SimilarCase

N_SIMILAR = 6
MOVES = 0.1  # a probability that changes by less has hardly moved


def hide_and_read_again(upload: Upload, scan: Scan, reading: Reading, reader: Reader, key: str, shown: str) -> None:
    """What becomes of the probability when the place is filled in that speaks most for a class."""
    place, state, name = (upload.sha256, upload.mend, key, shown), st.session_state, plain(nice(shown))

    def hide() -> None:
        with stated_later():
            state["diagnose_hidden"] = (place, reader.read_without_hot_area(scan, shown, reading))

    known = state.get("diagnose_hidden")
    is_known = known is not None and known[0] == place
    with st.expander(tr("Hide the hot area and read again"), expanded=is_known, icon=":material/visibility_off:"):
        st.caption(
            tr(
                "The place that speaks most for {name} is filled in from what surrounds it, and the scan is read again. "
                "If the probability hardly moves, the colours do not tell what the answer rests on.",
                name=name,
            )
        )
        st.button(
            tr("Hide it and read again"), icon=":material/replay:", on_click=hide, key=f"diagnose_hide_{upload.sha256}"
        )
        if known is None or not is_known:
            return
        pixels, mask, again = known[1]
        if not mask.any():
            st.info(tr("No place in this scan speaks for {name}, so there is nothing to hide.", name=name))
            return
        before, after = reading.probabilities[shown], again.probabilities[shown]
        halves = st.grid(2, min_column_width=260, vertical_alignment="center")
        halves.image(for_screen(pixels), caption=tr("With the hot area filled in"), width="stretch")
        with halves.cell():
            st.progress(before, text=tr("{name} before: **{share}**", name=name, share=percent(before)))
            st.progress(after, text=tr("{name} now: **{share}**", name=name, share=percent(after)))
            st.markdown(plain(_what_hiding_shows(reading, again, shown)))


def _what_hiding_shows(reading: Reading, again: Reading, shown: str) -> str:
    before, after = reading.probabilities[shown], again.probabilities[shown]
    if not reading.sure and not again.sure:
        return tr("The model was not sure and still is not: the two numbers say how much hung on the hidden place.")
    if shown == reading.diagnosis and not again.sure:
        return tr("Now the model is not sure: much of the answer rests on the hidden place.")
    if shown == reading.diagnosis != again.diagnosis:
        name = nice(again.diagnosis)
        return tr("Now it is called {name}: the answer rests largely on the hidden place.", name=name)
    if after <= before - MOVES:
        return tr("It falls, but what is called stays: the answer does not rest on the hidden place alone.")
    if after >= before + MOVES:
        return tr(
            "Without the hidden place the model finds it even likelier: the colours do not tell what the answer rests on."
        )
    return tr(
        "It hardly moves: the model finds the same elsewhere too, or the answer does not rest on the hidden place."
    )


def similar(upload: Upload, scan: Scan, reader: Reader, key: str) -> None:
    """The training scans that the network sees as most like this one, with their labels; read once they are asked for."""
    if reader.kit.neighbours is None:
        return
    opened = st.expander(
        tr("Similar scans that the model learned from"), icon=":material/compare:", key="diagnose_similar_open",
        on_change="rerun",
    )  # fmt: skip
    if opened.open:
        with opened, stated_errors():
            cases = last("diagnose_similar", (upload.sha256, upload.mend, key), lambda: reader.similar(scan, N_SIMILAR))
            _similar(cases, reader.card)


def _similar(cases: Sequence[SimilarCase], card: Card) -> None:
    counts = Counter(case.class_name for case in cases)
    said = listed([tr("{n} {name}", n=n, name=nice(name)) for name, n in counts.most_common()])
    st.markdown(plain(tr(
        "Of the {n} training scans that look most like this one to the model, each of another patient as far as "
        "patients are known, the hospital's labels say: {said}.", n=len(cases), said=said,
    )))  # fmt: skip
    file = own_dataset(card, list_datasets())
    if file is None:
        st.caption(
            plain(
                tr(
                    "Their pictures are no part of a model: they are shown where the dataset “{name}” is on this computer "
                    "as it was.",
                    name=card.dataset.get("name"),
                )
            )
        )
        return
    with open_dataset(file) as dataset:
        squares = dataset.images([case.row for case in cases])
    grid = st.grid(N_SIMILAR, min_column_width=110)
    for case, square in zip(cases, squares, strict=True):
        words = tr("{name}, likeness {likeness:.2f}", name=nice(case.class_name), likeness=case.likeness)
        grid.image(square, caption=words, width="stretch")
    st.caption(
        tr(
            "Likeness is 1 for a scan that the model cannot tell from this one and 0 for one that has nothing in common "
            "with it. Labels can be wrong."
        )
    )
