"""The part of the chapter on the reader's own model that adds up its last maps to the class activation map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from pages.learn.manual.chapters.formulas import tex, tex_in_brackets
from pages.learn.manual.chapters.looked import LARGE, SMALL, ModelView, overlay_values
from pages.shared.formatting import class_label, escape_markdown, format_probability
from pages.shared.page import display_errors
from xrai.core.language import tr, translate
from xrai.figures.layers import running_sum, signed_image
from xrai.manual.dense_layer import softmax

if TYPE_CHECKING:
    from xrai.explain.feature_maps import CamDecomposition

CONTRIBUTIONS = 8


@st.fragment
@display_errors()
def show_map_sum(view: ModelView) -> None:
    """The maps of the last convolution, added one after another for a class."""
    st.subheader(tr("From maps to the class activation map: a sum"), anchor=False)
    classes, key = view.reader.card.classes, f"manual_class_{view.state_key}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.segmented_control(
            tr("Class"),
            classes,
            default=None if key in st.session_state else classes[-1],
            format_func=class_label,
            required=True,
            key=key,
            persist_state="session",
        )
        is_one_vs_rest = st.toggle(
            tr("Against the other classes, as on Diagnose"), key="manual_against", persist_state="session"
        )
    label = classes.index(name or classes[-1])
    weighing = view.weigh_maps(label, is_one_vs_rest)
    st.markdown(_sum_text(weighing, is_one_vs_rest))
    if weighing.is_exact:
        _show_formulas(is_one_vs_rest)
    n = len(weighing.weights)
    k = st.slider(
        tr("Sum of the first k maps"), 0, n, max(n // 8, 1), key=f"manual_k_{view.state_key}", persist_state="session"
    )
    _show_sum_images(view, weighing, k)
    _show_sum_numbers(view, weighing, k, label, is_one_vs_rest)
    _show_contributions(weighing)
    _show_relation(view, weighing)


def _sum_text(weighing: CamDecomposition, is_one_vs_rest: bool) -> str:
    n, shape = len(weighing.weights), " × ".join(map(str, weighing.maps.shape[1:]))
    if not weighing.is_exact:
        return tr(
            "This network writes its {n} last maps of {shape} out in one row and sends them through dense layers, where "
            "each place has weights of its own. So no map has one weight, and no sum of maps is exactly the answer. "
            "**Grad-CAM** takes instead for each map how much the answer would grow if the whole map grew a little "
            "(its slopes, added up: Grad-CAM's mean slope times the number of places), and adds the maps with these "
            "weights, without the cut at 0 of the original: close at best.",
            n=n,
            shape=shape,
        )
    if is_one_vs_rest:
        return tr(
            "The last convolution gives {n} maps of {shape}. For each class the last layer holds one weight a map; here "
            "it is that weight less the mean of the other classes' weights. Weight × map, added up, is the **class "
            "activation map**: what each place says for this class rather than another.",
            n=n,
            shape=shape,
        )
    return tr(
        "The last convolution gives {n} maps of {shape}. For each class the last layer holds one weight a map. Weight × "
        "map, added up, is the **class activation map**; its mean over all places plus the bias is the class's logit.",
        n=n,
        shape=shape,
    )


def _show_formulas(is_one_vs_rest: bool) -> None:
    weight, bias, answer = (r"\tilde w_k", r"\tilde b", r"\tilde z") if is_one_vs_rest else ("w_k", "b", "z")
    st.latex(rf"M(x, y) = \sum_k {weight}\, A_k(x, y)")
    st.latex(rf"\frac{{1}}{{hw}} \sum_{{x, y}} M(x, y) + {bias} = {answer}")
    if is_one_vs_rest:
        st.latex(r"\tilde w_k = w_{ck} - \frac{1}{C - 1} \sum_{j \neq c} w_{jk}")


def _show_sum_images(view: ModelView, weighing: CamDecomposition, k: int) -> None:
    full_map, partial_map = weighing.partial_sum(len(weighing.weights)), weighing.partial_sum(k)
    limit = max(float(np.abs(full_map).max()), 1e-6)
    row = st.grid(3, min_column_width=130)
    row.image(
        signed_image(partial_map, limit, LARGE),
        tr("The first {k} of {n} maps", k=k, n=len(weighing.weights)),
        width="stretch",
    )
    row.image(
        signed_image(full_map, limit, LARGE),
        tr("All: the class activation map") if weighing.is_exact else tr("All: the Grad-CAM map"),
        width="stretch",
    )
    row.image(
        overlay_values(view.pixels, partial_map, limit),
        tr("The first {k} over the scan", k=k),
        width="stretch",
        output_format="JPEG",
    )


def _show_sum_numbers(view: ModelView, weighing: CamDecomposition, k: int, label: int, is_one_vs_rest: bool) -> None:
    sums = weighing.cumulative_means()
    halves = st.grid(2, min_column_width=280)
    chart = running_sum(sums.tolist(), k, weighing.target if weighing.is_exact else None)
    halves.plotly_chart(chart, key="manual_running", config={"displayModeBar": False})
    with halves.cell():
        if weighing.is_exact:
            _show_numbers(weighing, k, float(sums[k]), is_one_vs_rest)
        else:
            st.markdown(
                tr(
                    "Mean of all {n} maps together: **{mean:.2f}**. The network's answer: **{answer:.2f}**. They need "
                    "not agree.",
                    n=len(weighing.weights),
                    mean=float(sums[-1]),
                    answer=weighing.target,
                )
            )
        st.markdown(_probability_text(view, weighing, label, is_one_vs_rest))


def _show_numbers(weighing: CamDecomposition, k: int, total: float, is_one_vs_rest: bool) -> None:
    mean, (bias, answer) = total - weighing.bias, (r"\tilde b", r"\tilde z") if is_one_vs_rest else ("b", "z")
    rows = [
        rf"\overline{{M_{{{k}}}}} + {bias} &\approx {tex(mean)} + {tex_in_brackets(weighing.bias)}",
        rf"&\approx {tex(total)}",
        rf"{answer} &\approx {tex(weighing.target)}",
    ]
    st.latex(r"\begin{aligned}" + r" \\ ".join(rows) + r"\end{aligned}")
    if k == len(weighing.weights):
        st.markdown(tr("All maps: the sum **is** the network's answer, to the last digit shown."))
    else:
        st.markdown(
            tr(
                "The other {n} maps add {rest:+.2f}, which makes it the network's answer z. Move the slider to its end.",
                n=len(weighing.weights) - k,
                rest=weighing.target - total,
            )
        )


def _probability_text(view: ModelView, weighing: CamDecomposition, label: int, is_one_vs_rest: bool) -> str:
    probabilities = view.reader.card.to_probabilities(weighing.logits[None])[0]
    name = escape_markdown(class_label(view.reader.card.classes[label]))
    softmax_probability = float(softmax(weighing.logits)[label])
    local_probability = format_probability(
        float(view.reader.card.adjust_to_local_prevalence(probabilities[None])[0, label])
    )
    if local_probability == format_probability(softmax_probability) and view.reader.card.calibration is not None:
        return tr(
            "Softmax makes a probability of the logits: {raw} for {name}, which is what Diagnose shows.",
            raw=local_probability,
            name=name,
        )
    if view.reader.card.calibration is None:
        return tr(
            "Softmax makes a probability of the logits: {raw} for {name}. That is what Diagnose shows of this model, "
            "which was not calibrated, so take it with care.",
            raw=format_probability(softmax_probability),
            name=name,
        )
    return tr(
        "Softmax makes a probability of the logits: {raw} for {name}. Diagnose shows the **calibrated** one, {share}: "
        "put right by how often the model was right on scans that it had not learned from.",
        raw=format_probability(softmax_probability),
        share=local_probability,
        name=name,
    )


def _show_contributions(weighing: CamDecomposition) -> None:
    st.markdown(
        tr("**The {n} maps that count most**, each times its weight:", n=min(CONTRIBUTIONS, len(weighing.ranking)))
    )
    map_numbers = weighing.ranking[:CONTRIBUTIONS]
    products = [weighing.weights[one] * weighing.maps[one] for one in map_numbers]
    limit = max(float(np.abs(products).max()), 1e-6)
    grid = st.grid(8, min_column_width=80)
    for map_number, product in zip(map_numbers.tolist(), products, strict=True):
        with grid.cell():
            st.image(signed_image(product, limit, SMALL), width="stretch")
            st.caption(
                tr(
                    "Map {number}  \n× {weight:.3f}  \nadds {mean:+.3f}",
                    number=map_number + 1,
                    weight=float(weighing.weights[map_number]),
                    mean=float(weighing.contributions[map_number]),
                )
            )


def _show_relation(view: ModelView, weighing: CamDecomposition) -> None:
    if not weighing.is_exact:
        st.caption(
            tr(
                "Diagnose draws **{method}** for this network: slope × value at each place by itself instead of one "
                "weight a map, which here is nearer to the answer.",
                method=translate(next(iter(view.reader.methods), "")),
            )
        )
    elif "Fused CAM" in view.reader.methods:
        st.caption(
            tr(
                "The heatmap on Diagnose starts from this map, against the other classes. **Fused CAM** looks at the "
                "network's end twice as finely and keeps what the stage before agrees on, so it is four times as fine "
                "and no longer an exact sum. There you can choose plain CAM, which is this sum."
            )
        )
    else:
        st.caption(
            tr(
                "The heatmap on Diagnose is this map, against the other classes, drawn smooth; evidence against is dark."
            )
        )
