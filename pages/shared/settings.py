"""A control for every training setting, with its explanation, and the words that pages call settings by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, fields
from typing import Any

import streamlit as st

from xrai.config import IMAGENET, NETWORKS, SCRATCH, TrainConfig
from xrai.language import marked, number, told, tr

MAIN = ("network", "weights", "image_size", "epochs", "batch_size")
LEARNED, CONVNET = marked("Start from learned weights"), marked("Shape of the plain convnet")
MACHINE = marked("Machine")
GROUPS = {
    marked("Learning"): (
        "learning_rate", "optimizer", "schedule", "weight_decay", "label_smoothing", "dropout", "members", "ema", "keep",
        "patience",
    ),
    LEARNED: ("head_epochs", "fine_tune"),
    marked("Variation of the scans"): (
        "balance", "greys", "augment", "erase", "border", "quality", "borrow", "stretch", "mixup", "flip",
    ),
    CONVNET: ("blocks", "filters", "dense_layers", "dense_units", "activation"),
    MACHINE: ("precision", "devices", "seed"),
}  # fmt: skip
SAID = {
    "network": marked("network"), "weights": marked("weights"), "image_size": marked("image size"),
    "members": marked("members"), "epochs": marked("epochs"), "batch_size": marked("batch size"), "learning_rate": marked("learning rate"),
    "head_epochs": marked("head epochs"), "fine_tune": marked("fine tune"), "optimizer": marked("optimizer"),
    "schedule": marked("schedule"), "weight_decay": marked("weight decay"),
    "label_smoothing": marked("label smoothing"), "balance": marked("balance"), "greys": marked("greys"),
    "augment": marked("augment"), "erase": marked("erase"), "border": marked("border"), "quality": marked("quality"),
    "borrow": marked("borrow"), "stretch": marked("stretch"), "flip": marked("flip"), "mixup": marked("mixup"),
    "ema": marked("ema"), "keep": marked("keep"), "patience": marked("patience"), "seed": marked("seed"),
    "precision": marked("precision"), "devices": marked("devices"), "blocks": marked("blocks"), "filters": marked("filters"),
    "dense_layers": marked("dense layers"), "dense_units": marked("dense units"), "activation": marked("activation"),
    "dropout": marked("dropout"),
}  # fmt: skip
"""What the engine calls settings when it speaks of them."""
NAMES = SAID | {
    "ema": marked("weight averaging"), "mixup": marked("mixing of scans"), "augment": marked("strength of variation"),
    "erase": marked("hidden patches"), "border": marked("hidden borders"), "quality": marked("change of sharpness"),
    "borrow": marked("borrowed looks"), "stretch": marked("change of width"),
    "flip": marked("mirror left to right"), "patience": marked("early stopping"),
    "keep": marked("epoch that is kept"), "blocks": marked("convolution blocks"),
    "filters": marked("filters of the first block"), "weights": marked("start from"),
    "greys": marked("greys measured against"), "members": marked("networks side by side"),
    "head_epochs": marked("epochs of last layer alone"), "fine_tune": marked("share of rate after that"),
}  # fmt: skip
"""What pages call them, within a sentence."""
CHOICES = {
    "scratch": marked("scratch"), "one-cycle": marked("one-cycle"), "cosine": marked("cosine"),
    "constant": marked("constant"), "sampling": marked("sampling"), "loss": marked("loss"), "none": marked("none"),
    "last": marked("last"), "set": marked("all scans (set)"), "scan": marked("each scan (scan)"),
    "auto": marked("auto"),
}  # fmt: skip
"""Values that say something to people."""
BY_NAME: dict[str, Field[Any]] = {item.name: item for item in fields(TrainConfig)}


def label_of(setting: str) -> str:
    """A setting in words, as a label begins."""
    name = name_of(setting)
    return name[:1].upper() + name[1:]


def name_of(setting: str) -> str:
    """A setting in words, as it stands in a sentence."""
    return tr(NAMES[setting])


def shown_value(setting: str, value: Any) -> str:
    """A setting's value in words."""
    if setting == "network":
        return told(NETWORKS[value]).split(":")[0].strip() if value in NETWORKS else str(value)
    if setting == "weights" and value == IMAGENET:
        return "ImageNet"
    if isinstance(value, bool):
        return tr("yes") if value else tr("no")
    if isinstance(value, float):
        return number(f"{value:g}")
    is_choice = value == SCRATCH if setting == "weights" else value in CHOICES  # a model may have any name
    return tr(CHOICES[value]) if is_choice else str(value)


def control(setting: str, value: Any, key: str, *, disabled: bool = False, options: Iterable[str] = ()) -> Any:
    """The control of a setting; gives its value.

    Args:
        setting: a field of `TrainConfig`.
        value: what it shows at first.
        key: tells this control from others of the same setting.
        disabled: shown, but not to be changed.
        options: what else may be chosen beside the field's own choices.
    """
    rules, label = BY_NAME[setting].metadata, label_of(setting)
    help_text = explanation(setting)
    key = f"{setting}_{key}"
    choices = [*(rules["choices"] or ()), *options]
    if choices:
        words: Callable[[str], str] = lambda item: shown_value(setting, item)  # noqa: E731 -- a name for the type checker
        if value not in choices:
            choices.append(value)
        return st.selectbox(
            label, choices, choices.index(value), format_func=words, help=help_text, key=key, disabled=disabled
        )
    if isinstance(value, bool):
        return st.checkbox(label, value, help=help_text, key=key, disabled=disabled)
    if isinstance(value, int):
        low, high = int(rules["low"]), int(rules["high"])
        return int(st.number_input(label, low, high, value, help=help_text, key=key, disabled=disabled))
    step, digits = (0.0001, "%.6g") if setting == "learning_rate" else (0.05, "%.4g")
    low, high = float(rules["low"]), float(rules["high"])
    return float(
        st.number_input(label, low, high, float(value), step, digits, help=help_text, key=key, disabled=disabled)
    )


def explanation(setting: str) -> str:
    """What turning a setting does, in a sentence; of the networks, a line each."""
    text = told(BY_NAME[setting].metadata["help"])
    text = text[0].upper() + text[1:] + "."
    return text + "".join(f"\n- {told(line)}" for line in NETWORKS.values()) if setting == "network" else text


def in_words(settings: Mapping[str, Any]) -> str:
    """Some settings with their values: `learning rate 0.001, dropout 0.2`."""
    return ", ".join(
        tr("{setting} {value}", setting=name_of(name), value=shown_value(name, value))
        for name, value in settings.items()
    )
