"""Second looks at an answer: the hot area hidden and the scan read again, and similar scans with their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages.clinic.diagnose.uploads import Upload
from pages.shared.formatting import class_label, escape_markdown, format_probability
from pages.shared.images import resize_for_screen
from pages.shared.page import defer_errors
from xrai.core.language import tr
from xrai.scans import Scan

if TYPE_CHECKING:
    from xrai.reading.results import OcclusionTest, Reading

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
    with st.expander(tr("Occlusion test: cover the hot area"), expanded=is_current, icon=":material/visibility_off:"):
        st.caption(
            tr(
                "The area with the strongest evidence for {name} is filled in from its surroundings, and the scan "
                "is read again. If the probability hardly changes, the heatmap does not show what the answer rests "
                "on.",
                name=name,
            )
        )
        st.button(
            tr("Cover it and read again"),
            icon=":material/replay:",
            on_click=occlude,
            key=f"diagnose_hide_{upload.sha256}",
        )
        if stored is None or not is_current:
            return
        occlusion: OcclusionTest = stored[1]
        occluded_reading = occlusion.reading
        if not occlusion.mask.any():
            st.info(tr("This scan shows no evidence for {name}, so there is nothing to cover.", name=name))
            return
        before, after = reading.probabilities[class_name], occluded_reading.probabilities[class_name]
        halves = st.grid(2, min_column_width=260, vertical_alignment="center")
        halves.image(resize_for_screen(occlusion.pixels), caption=tr("Hot area filled in"), width="stretch")
        with halves.cell():
            st.progress(before, text=tr("{name} before: **{share}**", name=name, share=format_probability(before)))
            st.progress(after, text=tr("{name} now: **{share}**", name=name, share=format_probability(after)))
            st.markdown(escape_markdown(_occlusion_text(reading, occluded_reading, class_name)))


def _occlusion_text(reading: Reading, occluded_reading: Reading, class_name: str) -> str:
    before, after = reading.probabilities[class_name], occluded_reading.probabilities[class_name]
    if not reading.is_confident and not occluded_reading.is_confident:
        return tr("Uncertain before and after: the two probabilities show how much depended on the covered area.")
    if class_name == reading.diagnosis and not occluded_reading.is_confident:
        return tr("Now uncertain: much of the answer rests on the covered area.")
    if class_name == reading.diagnosis != occluded_reading.diagnosis:
        name = class_label(occluded_reading.diagnosis)
        return tr("Now {name}: the answer rests largely on the covered area.", name=name)
    if after <= before - MIN_CHANGE:
        return tr("Lower, but the answer is the same: it does not rest on the covered area alone.")
    if after >= before + MIN_CHANGE:
        return tr("Higher without the covered area: the heatmap does not show what the answer rests on.")
    return tr(
        "Hardly any change: the model finds the same elsewhere, or the answer does not rest on the covered area. "
        "Do not use this heatmap to locate the finding."
    )
