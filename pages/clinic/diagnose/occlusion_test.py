"""Second looks at an answer: the hot area hidden and the scan read again, and similar scans with their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages.clinic.diagnose.uploads import Upload, cached_value
from pages.shared.formatting import class_label, escape_markdown, format_told_probability
from pages.shared.images import resize_for_screen
from pages.shared.page import display_errors
from xrai.core.language import tr
from xrai.scans import Scan

if TYPE_CHECKING:
    from xrai.reading.results import OcclusionTest, Reading

MIN_CHANGE = 0.1  # a probability that changes by less has hardly moved


def show_occlusion_test(upload: Upload, scan: Scan, reading: Reading, key: str, class_name: str) -> None:
    """What becomes of the answer when the place is filled in that speaks most for a class.

    A heatmap whose hottest place makes no difference is said not to show what the answer rests on.
    """
    with display_errors():
        occlusion: OcclusionTest = cached_value(
            "diagnose_hidden", (*upload.key, key, class_name), lambda: reading.occlude(scan, class_name)
        )
        if occlusion.mask.any():
            _show_occlusion(occlusion, reading, class_name)


def _show_occlusion(occlusion: OcclusionTest, reading: Reading, class_name: str) -> None:
    if not _rests_on_hot_area(reading, occlusion.reading, class_name):
        text = tr(
            "Do not use this heatmap to locate the finding: with its hottest area covered, the answer is hardly "
            "different."
        )
        st.warning(text, icon=":material/location_off:")
    name = escape_markdown(class_label(class_name))
    with st.expander(tr("Occlusion test: cover the hot area"), icon=":material/visibility_off:"):
        st.caption(
            tr(
                "The area with the strongest evidence for {name} is filled in from its surroundings, and the scan "
                "is read again. If the probability hardly changes, the heatmap does not show what the answer rests "
                "on.",
                name=name,
            )
        )
        halves = st.grid(2, min_column_width=260, vertical_alignment="center")
        halves.image(resize_for_screen(occlusion.pixels), caption=tr("Hot area filled in"), width="stretch")
        with halves.cell():
            if not reading.is_outside_population:
                before, after = (item.probabilities[class_name] for item in (reading, occlusion.reading))
                told = format_told_probability(before)
                st.progress(before, text=tr("{name} before: **{share}**", name=name, share=told))
                told = format_told_probability(after)
                st.progress(after, text=tr("{name} now: **{share}**", name=name, share=told))
            st.markdown(escape_markdown(_occlusion_text(reading, occlusion.reading, class_name)))


def _rests_on_hot_area(reading: Reading, occluded_reading: Reading, class_name: str) -> bool:
    """Whether the answer, or the probability of the class, is another one without the hot area."""
    has_new_answer = (reading.diagnosis, reading.is_confident) != (
        occluded_reading.diagnosis,
        occluded_reading.is_confident,
    )
    fall = reading.probabilities[class_name] - occluded_reading.probabilities[class_name]
    return has_new_answer or fall >= MIN_CHANGE


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
