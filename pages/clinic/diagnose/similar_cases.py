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
from xrai.models.checkpoint import Card
from xrai.scans import Scan

if TYPE_CHECKING:
    from xrai.reading.reader import Reader, SimilarCase


N_SIMILAR = 6


def show_similar_cases(upload: Upload, scan: Scan, reader: Reader, key: str) -> None:
    """The training scans that the network sees as most like this one, with their labels; read once they are asked for."""
    if reader.artifacts.neighbour_index is None:
        return
    expander = st.expander(
        tr("Similar scans that the model learned from"),
        icon=":material/compare:",
        key="diagnose_similar_open",
        on_change="rerun",
    )
    if expander.open:
        with expander, display_errors():
            cases = cached_value(
                "diagnose_similar",
                (upload.sha256, upload.correction, key),
                lambda: reader.find_similar(scan, N_SIMILAR),
            )
            _show_cases(cases, reader.card)


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
                    name=card.dataset.get("name"),
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
