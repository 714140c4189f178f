"""The chapter on layers: activation functions, why they are needed, dense layers, and what training changes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import streamlit as st

from pages.learn.manual.chapters.formulas import tex, tex_in_brackets
from pages.learn.manual.scans import choose_scan
from pages.shared.formatting import format_number, format_probability
from pages.shared.page import show_switch
from xrai.core.language import N_, number, tr, translate
from xrai.explain.overlay import draw_outline
from xrai.figures.layers import (
    activation_curve,
    loss_by_step,
    shares_figure,
    signed_image,
    signed_scale,
    training_plane,
)
from xrai.manual import dense_layer as dense
from xrai.manual.convolution import BLUR, SOBEL_X, compose_kernels, convolve, get_preset

SPREADS = 3
"""Full colour is a value of so many times the spread."""

LUNGS = ((0.30, 0.62, 0.16, 0.40), (0.30, 0.62, 0.60, 0.84))
"""Where brightness is measured: top, bottom, left and right as shares of the picture."""

RATES = (0.003, 0.03, 0.3, 3.0, 30.0)
STEPS = 40
EXAMPLES = (N_("clear"), N_("with an opacity"))

ACTIVATION_NOTES = {
    "relu": N_("The usual one: ResNet and DenseNet have it after nearly every layer. What is below 0 is dropped."),
    "leaky_relu": N_("As ReLU, but a hundredth of what is below 0 is let through, so that training still feels it."),
    "silu": N_("EfficientNet has it: like ReLU, with a soft bend."),
    "hard_swish": N_("MobileNet has it: nearly SiLU, from sums and products alone, which is quick."),
    "sigmoid": N_("Anything becomes a number between 0 and 1: used at the end, for a probability of two classes."),
    "tanh": N_(
        "Anything becomes a number between −1 and 1: usual until ReLU came. Far from 0 it is flat, and little is learned "
        "there."
    ),
}


def show() -> None:
    """The chapter."""
    st.markdown(
        tr(
            "A layer takes numbers and gives numbers; a network is layers on layers. Chapter 1 showed the first kind, "
            "filters. Two more make a network complete: **activation functions** and **dense layers**."
        )
    )
    pixels, caption = choose_scan("manual_layers")
    _show_activations(pixels, caption)
    _show_one_filter(pixels)
    _show_dense_layer(pixels)
    _show_several_classes()
    _show_training()


# ---------------------------------------------------------------- activation functions


@st.fragment
def _show_activations(pixels: np.ndarray, caption: str) -> None:
    st.subheader(tr("Activation functions: what a value is worth"), anchor=False)
    st.markdown(
        tr(
            "After each layer, every single value goes through the same small function. Choose one, and move the value: "
            "it enters from below and leaves to the left."
        )
    )
    name = show_switch(
        tr("Activation function"),
        list(dense.ACTIVATIONS),
        "manual_activation",
        default="relu",
        format_func=lambda key: translate(dense.ACTIVATIONS[key].name),
    )
    st.markdown(tr(ACTIVATION_NOTES[name]))
    left, right = st.columns([2, 3])
    with left:
        _show_curve(name)
    with right:
        _show_before_and_after(name, _sobel_edges(pixels), caption)


@st.fragment  # moving the value leaves the pictures alone
def _show_curve(name: str) -> None:
    value = st.slider(tr("Value"), -6.0, 6.0, -2.0, 0.1, key="manual_value", persist_state="session")
    x = np.linspace(-6, 6, 241)
    result = float(dense.activate(name, np.array(value)))
    figure = activation_curve(x, dense.activate(name, x), (value, result), translate(dense.ACTIVATIONS[name].name))
    st.plotly_chart(figure, key="manual_curve", config={"displayModeBar": False})
    st.latex(dense.ACTIVATIONS[name].formula)
    st.latex(rf"f({tex(value, 1)}) = {tex(result, 3)}")


def _show_before_and_after(name: str, values: np.ndarray, caption: str) -> None:
    after = dense.activate(name, values)
    pictures = st.columns(2)
    pictures[0].image(signed_image(values, SPREADS), tr("Before"), width="stretch")
    pictures[1].image(signed_image(after, SPREADS), tr("After"), width="stretch")
    st.image(signed_scale(), tr("Blue: below 0. Black: 0. Orange: above 0."))
    st.markdown(
        tr(
            "The same on a whole scan after the Sobel filter of chapter 1, which is above 0 where it gets brighter to the "
            "right, brought to a spread of 1 as networks do between layers. **{before} of its values lie below 0; afterwards, {after}.** "
            "They ran from {low:.1f} to {high:.1f}, and now run from {least:.1f} to {most:.1f}.",
            before=_share_text(values < 0),
            after=_share_text(after < 0),
            low=float(values.min()),
            high=float(values.max()),
            least=float(after.min()),
            most=float(after.max()),
        )
    )
    st.caption(caption)


def _sobel_edges(pixels: np.ndarray) -> np.ndarray:
    values = convolve(pixels, get_preset(SOBEL_X))
    return values / _spread(values)


def _spread(values: np.ndarray) -> float:
    return max(float(values.std()), 1e-6)


@st.fragment
def _show_one_filter(pixels: np.ndarray) -> None:
    st.subheader(tr("Why layers need them"), anchor=False)
    st.markdown(
        tr(
            "Without an activation function in between, two filters one after the other are nothing but one larger "
            "filter, and a hundred layers could do no more than one. Switch ReLU on, and watch the two pictures part."
        )
    )
    has_relu = st.toggle(tr("ReLU between the two filters"), key="manual_between", persist_state="session")
    two_filters, one_filter = _filter_both_ways(pixels, has_relu=has_relu)
    pictures = st.columns(3)
    caption = tr("Sobel, ReLU, blur") if has_relu else tr("Sobel, then blur")
    pictures[0].image(signed_image(two_filters, 1), caption, width="stretch")
    pictures[1].image(signed_image(one_filter, 1), tr("One filter of 5 × 5, both at once"), width="stretch")
    pictures[2].image(signed_image(two_filters - one_filter, 1), tr("Their difference"), width="stretch")
    st.markdown(_difference_text(float(np.abs(two_filters - one_filter).max()), has_relu=has_relu))
    st.latex(r"W_2\,(W_1 x + b_1) + b_2 = (W_2 W_1)\,x + (W_2 b_1 + b_2)")
    st.latex(r"W_2\,f(W_1 x + b_1) + b_2 \neq W x + b")


def _filter_both_ways(pixels: np.ndarray, *, has_relu: bool) -> tuple[np.ndarray, np.ndarray]:
    """What two filters make of the scan one after the other, with or without ReLU between, and what one does for both."""
    edges, blur = get_preset(SOBEL_X), get_preset(BLUR)
    first = convolve(pixels, edges)
    factor = _spread(first)
    filtered = convolve(dense.activate("relu", first) if has_relu else first, blur)
    return filtered / factor, convolve(pixels, compose_kernels(edges, blur)) / factor


def _difference_text(difference: float, *, has_relu: bool) -> str:
    if not has_relu:
        return tr("Largest difference: **{apart:.2f}**. The second layer has added nothing.", apart=difference)
    return tr(
        "They differ by up to **{apart:.2f}**, and no 25 numbers in one filter would make the two pictures the same: "
        "only now do two layers do more than one.",
        apart=difference,
    )


# ---------------------------------------------------------------- dense layers


@st.fragment
def _show_dense_layer(pixels: np.ndarray) -> None:
    st.subheader(tr("A dense layer: weigh up everything, and add"), anchor=False)
    st.markdown(
        tr(
            "Each unit of a dense layer multiplies every number that it is given with a **weight** of its own and adds "
            "a **bias**. Here it is given two: how bright each lung is, from 0 (black) to 1 (white). Set the weights so "
            "that a brighter lung makes an opacity more probable."
        )
    )
    inputs = np.array([_mean_brightness(pixels, box) for box in LUNGS])
    left, right = st.columns([1, 2])
    left.image(_outline_lungs(pixels), tr("Measured in the two frames"), width="stretch")
    with right:
        weights = np.array(
            [
                _choose_weight(tr("Weight of the lung on the left"), "manual_w1", 4.0),
                _choose_weight(tr("Weight of the lung on the right"), "manual_w2", 4.0),
                _choose_weight(tr("Bias"), "manual_bias", -2.5),
            ]
        )
        share = float(dense.predict_probabilities(inputs, weights))
        st.metric(tr("Probability of an opacity"), format_probability(share))
    _show_sum(inputs, weights, share)
    st.caption(
        tr(
            "Two numbers are too few to find pneumonia by: choose other scans above, and see how far the brightness of "
            "two frames takes you. The networks here give their last layer hundreds of numbers, each found by filters."
        )
    )


def _choose_weight(label: str, key: str, default: float) -> float:
    return st.slider(label, -10.0, 10.0, default, 0.1, key=key, persist_state="session")


def _show_sum(inputs: np.ndarray, weights: np.ndarray, share: float) -> None:
    total = float(inputs @ weights[:2] + weights[2])
    products = " + ".join(
        rf"\underbrace{{{tex_in_brackets(w)} \cdot {tex(x, 3)}}}_{{{tex(w * x, 3)}}}"
        for w, x in zip(weights[:2].tolist(), inputs.tolist(), strict=True)
    )
    bias = tex_in_brackets(float(weights[2]))
    _show_aligned("z &= w_1 x_1 + w_2 x_2 + b", rf"&\approx {products} + {bias}", rf"&\approx {tex(total, 3)}")
    st.latex(rf"p = \sigma(z) = \frac{{1}}{{1 + e^{{-z}}}} \approx {tex(share, 3)}")


def _mean_brightness(pixels: np.ndarray, box: tuple[float, float, float, float]) -> float:
    return float(pixels[_box_slices(pixels, box)].mean()) / 255


def _outline_lungs(pixels: np.ndarray) -> np.ndarray:
    area = np.zeros(pixels.shape, bool)
    for box in LUNGS:
        area[_box_slices(pixels, box)] = True
    return draw_outline(pixels, area)


def _box_slices(pixels: np.ndarray, box: tuple[float, float, float, float]) -> tuple[slice, slice]:
    height, width = pixels.shape
    top, bottom, left, right = box
    return slice(round(top * height), round(bottom * height)), slice(round(left * width), round(right * width))


@st.fragment
def _show_several_classes() -> None:
    st.subheader(tr("Several classes: one sum each"), anchor=False)
    st.markdown(
        tr(
            "For several classes there are as many units, and each gives a sum, called a **logit**. Softmax makes "
            "probabilities of them: raise one, and the others fall, for they always add up to 100 %."
        )
    )
    left, right = st.columns(2)
    names = [tr("class {n}", n=n) for n in (1, 2, 3)]
    with left:
        logits = [
            st.slider(
                tr("Logit of {name}", name=name),
                -5.0,
                5.0,
                initial,
                0.1,
                key=f"manual_logit{n}",
                persist_state="session",
            )
            for n, (name, initial) in enumerate(zip(names, (2.0, 1.0, -1.0), strict=True), start=1)
        ]
    shares = dense.softmax(np.array(logits))
    with right:
        st.plotly_chart(shares_figure(names, shares.tolist()), key="manual_shares", config={"displayModeBar": False})
    total = tex(float(np.exp(logits).sum()))
    _show_aligned(
        r"p_1 &= \frac{e^{z_1}}{e^{z_1} + e^{z_2} + e^{z_3}}",
        rf"&\approx \frac{{{tex(float(np.exp(logits[0])))}}}{{{total}}} \approx {tex(float(shares[0]), 3)}",
    )


# ---------------------------------------------------------------- training


def _show_training() -> None:
    st.subheader(tr("What training changes: the weights, a small step at a time"), anchor=False)
    st.markdown(
        tr(
            "Sixteen made-up films, whose two numbers say how much brighter than usual each lung is. Training starts "
            "with weights of 0, looks how wrong the answers are (the **loss**), and moves each weight a little to where "
            "the loss falls. The **learning rate** says how far. Play, then try the smallest and the largest rate."
        )
    )
    if st.session_state.pop("manual_played", False):
        st.session_state["manual_play"] = False
    with st.container(horizontal=True, vertical_alignment="bottom"):
        rate = st.select_slider(
            tr("Learning rate"),
            RATES,
            0.3,
            format_func=lambda value: number(f"{value:g}"),
            key="manual_rate",
            width=320,
            persist_state="session",
            on_change=_restart,
        )
        is_playing = st.toggle(tr("Play"), key="manual_play", on_change=_restart)
    st.fragment(_show_steps, run_every=0.5 if is_playing else None)(float(rate), is_playing)


def _restart() -> None:
    st.session_state["manual_training_step"] = 0


def _show_steps(rate: float, is_playing: bool) -> None:
    inputs, labels = dense.make_examples()
    steps = dense.train_layer(inputs, labels, rate, STEPS)
    if is_playing:
        st.session_state["manual_training_step"] = min(st.session_state.get("manual_training_step", 0) + 1, STEPS)
        if st.session_state["manual_training_step"] == STEPS:  # nothing more to play
            st.session_state["manual_played"] = True
            st.rerun()
    step_number = _choose_step()
    left, right = st.columns(2)
    names = (tr(EXAMPLES[0]), tr(EXAMPLES[1]))
    plane = training_plane(inputs, labels, steps[step_number].weights, names)
    left.plotly_chart(plane, key="manual_plane", config={"displayModeBar": False})
    losses = loss_by_step([step.loss for step in steps], step_number)
    right.plotly_chart(losses, key="manual_losses", config={"displayModeBar": False})
    n_correct = int(np.sum((dense.predict_probabilities(inputs, steps[step_number].weights) >= 0.5) == labels))
    st.markdown(
        tr(
            "After {n} of {total} steps: loss **{loss:.3f}**, {right} of {films} films right. Grey line: a probability "
            "of one half.",
            n=step_number,
            total=STEPS,
            loss=steps[step_number].loss,
            right=n_correct,
            films=len(labels),
        )
    )
    if step_number == STEPS:
        st.markdown(_curve_verdict([step.loss for step in steps]))
    else:
        st.markdown(tr("Go on to the last step to read what the curve says of the learning rate."))
    _show_step_formulas(steps[step_number], rate)


def _choose_step() -> int:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        step_number = st.slider(tr("Steps done"), 0, STEPS, key="manual_training_step", persist_state="session")
        st.button(
            tr("One step"),
            icon=":material/skip_next:",
            key="manual_one_step",
            on_click=_advance_step,
            disabled=step_number == STEPS,
        )
    return step_number


def _advance_step() -> None:
    st.session_state["manual_training_step"] = min(st.session_state.get("manual_training_step", 0) + 1, STEPS)


def _curve_verdict(losses: list[float]) -> str:
    """What the curve of all steps shows."""
    rises = sum(after > before + 1e-9 for before, after in pairwise(losses))
    if rises > 3:
        return tr(
            "The curve jumps: {n} of {total} steps made the loss **larger**. Each step overshoots, so the learning rate "
            "is too high.",
            n=rises,
            total=STEPS,
        )
    if losses[-1] > 0.9 * losses[0]:
        return tr("The curve hardly falls: at this learning rate thousands of steps would be needed. It is too low.")
    if losses[-1] < 0.99 * losses[-6]:
        return tr("The curve falls steadily and has not come to rest: a higher learning rate would be there sooner.")
    return tr("The curve falls quickly and comes to rest: the learning rate fits. More steps would change little.")


def _show_step_formulas(step: dense.TrainingState, rate: float) -> None:
    st.markdown(
        tr(
            "**The next step, written out.** The slope of the loss says for each weight how the loss changes when that "
            "weight grows; the weight moves against it."
        )
    )
    st.latex(r"\frac{\partial L}{\partial w_i} = \frac{1}{n}\sum_{j=1}^{n} (p_j - y_j)\, x_{ij}")
    st.latex(r"w_i \leftarrow w_i - \eta\, \frac{\partial L}{\partial w_i}")
    rows = [
        rf"{name} &\leftarrow {tex(float(w), 3)} - {tex(rate, 3)} \cdot {tex_in_brackets(float(slope), 3)} "
        rf"\approx {tex(float(w - rate * slope), 3)}"
        for name, w, slope in zip(("w_1", "w_2", "b"), step.weights, step.gradient, strict=True)
    ]
    _show_aligned(*rows)
    st.caption(
        tr(
            "A network trains in the same way, with millions of weights at once: the slope of each comes from the chain "
            "rule, backwards from layer to layer (backpropagation). Here w is a weight, η the learning rate, p the "
            "probability given to a film and y what it is: 1 with an opacity, 0 without."
        )
    )


# ---------------------------------------------------------------- numbers


def _show_aligned(*rows: str) -> None:
    """Formulas one below the other, aligned at their `&`: a narrow window shows short rows whole."""
    st.latex(r"\begin{aligned}" + r" \\[4pt] ".join(rows) + r"\end{aligned}")


def _share_text(mask: np.ndarray) -> str:
    return format_number(float(mask.mean()), ".0%")
