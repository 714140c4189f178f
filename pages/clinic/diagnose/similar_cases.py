"""Similar cases: the nearest training scans in feature space, with their labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from pages.clinic.diagnose.uploads import Upload, cached_value
from pages.shared.datasets import find_training_dataset
from pages.shared.formatting import class_label, escape_markdown, join_words
from pages.shared.page import display_errors
from xrai.core.language import tr
from xrai.data.dataset import list_datasets, open_dataset
from xrai.models.card import Card

if TYPE_CHECKING:
    from xrai.reading.results import Reading, SimilarCase


N_SIMILAR = 6


def show_similar_cases(upload: Upload, reading: Reading, key: str) -> None:
    """The most similar training scans with their labels; computed only when the expander is open."""
    if reading.reader.artifacts.neighbour_index is None:
        return
    expander = st.expander(
        tr("Similar training scans"), icon=":material/compare:", key="diagnose_similar_open", on_change="rerun"
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
                "Labels of the {n} training scans that are most similar to this one for the model, each of another "
                "patient where patients are known: {labels}.",
                n=len(cases),
                labels=counts_text,
            )
        )
    )
    file = find_training_dataset(card, list_datasets())
    if file is None:
        st.caption(
            escape_markdown(
                tr(
                    "A model does not contain the images: they are shown if the unchanged dataset “{name}” is on "
                    "this computer.",
                    name=card.dataset.name,
                )
            )
        )
        return
    with open_dataset(file) as dataset:
        images = dataset.images([case.row for case in cases])
    grid = st.grid(N_SIMILAR, min_column_width=110)
    for case, square in zip(cases, images, strict=True):
        caption = tr(
            "{name}, similarity {similarity:.2f}",
            name=escape_markdown(class_label(case.class_name)),
            similarity=case.similarity,
        )
        grid.image(square, caption=caption, width="stretch")
    st.caption(
        tr(
            "Similarity is 1 for a scan that the model cannot distinguish from this one and 0 for one that has "
            "nothing in common with it. Labels can be wrong."
        )
    )
