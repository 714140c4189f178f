"""A control for every training setting, with its explanation, and the words that pages call settings by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, fields
from typing import Any

import streamlit as st

from xrai.core.language import N_, number, tr, translate
from xrai.networks.config import IMAGENET, NETWORKS, SCRATCH, TrainConfig

MAIN_SETTINGS = ("network", "weights", "image_size", "epochs", "batch_size")
TRANSFER_GROUP, CONVNET_GROUP = N_("Start from learned weights"), N_("Shape of the plain convnet")
MACHINE_GROUP = N_("Machine")
GROUPS = {
    N_("Learning"): (
        "learning_rate",
        "optimizer",
        "schedule",
        "weight_decay",
        "label_smoothing",
        "dropout",
        "members",
        "ema",
        "keep",
        "patience",
    ),
    TRANSFER_GROUP: ("head_epochs", "fine_tune"),
    N_("Variation of the scans"): (
        "balance",
        "greys",
        "augment",
        "erase",
        "border",
        "quality",
        "borrow",
        "stretch",
        "mixup",
        "flip",
    ),
    CONVNET_GROUP: ("blocks", "filters", "dense_layers", "dense_units", "activation"),
    MACHINE_GROUP: ("precision", "devices", "seed"),
}
ENGINE_NAMES = {
    "network": N_("network"),
    "weights": N_("weights"),
    "image_size": N_("image size"),
    "members": N_("members"),
    "epochs": N_("epochs"),
    "batch_size": N_("batch size"),
    "learning_rate": N_("learning rate"),
    "head_epochs": N_("head epochs"),
    "fine_tune": N_("fine tune"),
    "optimizer": N_("optimizer"),
    "schedule": N_("schedule"),
    "weight_decay": N_("weight decay"),
    "label_smoothing": N_("label smoothing"),
    "balance": N_("balance"),
    "greys": N_("greys"),
    "augment": N_("augment"),
    "erase": N_("erase"),
    "border": N_("border"),
    "quality": N_("quality"),
    "borrow": N_("borrow"),
    "stretch": N_("stretch"),
    "flip": N_("flip"),
    "mixup": N_("mixup"),
    "ema": N_("ema"),
    "keep": N_("keep"),
    "patience": N_("patience"),
    "seed": N_("seed"),
    "precision": N_("precision"),
    "devices": N_("devices"),
    "blocks": N_("blocks"),
    "filters": N_("filters"),
    "dense_layers": N_("dense layers"),
    "dense_units": N_("dense units"),
    "activation": N_("activation"),
    "dropout": N_("dropout"),
}
"""What the engine calls settings when it speaks of them."""
SETTING_NAMES = ENGINE_NAMES | {
    "ema": N_("weight averaging"),
    "mixup": N_("mixing of scans"),
    "augment": N_("strength of variation"),
    "erase": N_("hidden patches"),
    "border": N_("hidden borders"),
    "quality": N_("change of sharpness"),
    "borrow": N_("borrowed looks"),
    "stretch": N_("change of width"),
    "flip": N_("mirror left to right"),
    "patience": N_("early stopping"),
    "keep": N_("epoch that is kept"),
    "blocks": N_("convolution blocks"),
    "filters": N_("filters of the first block"),
    "weights": N_("start from"),
    "greys": N_("greys measured against"),
    "members": N_("networks side by side"),
    "head_epochs": N_("epochs of last layer alone"),
    "fine_tune": N_("share of rate after that"),
}
"""What pages call them, within a sentence."""
VALUE_NAMES = {
    "scratch": N_("scratch"),
    "one-cycle": N_("one-cycle"),
    "cosine": N_("cosine"),
    "constant": N_("constant"),
    "sampling": N_("sampling"),
    "loss": N_("loss"),
    "none": N_("none"),
    "last": N_("last"),
    "set": N_("all scans (set)"),
    "scan": N_("each scan (scan)"),
    "auto": N_("auto"),
}
"""Values that say something to people."""
FIELD_BY_NAME: dict[str, Field[Any]] = {item.name: item for item in fields(TrainConfig)}


def setting_label(setting: str) -> str:
    """A setting in words, as a label begins."""
    name = setting_name(setting)
    return name[:1].upper() + name[1:]


def setting_name(setting: str) -> str:
    """A setting in words, as it stands in a sentence."""
    return tr(SETTING_NAMES[setting])


def value_text(setting: str, value: Any) -> str:
    """A setting's value in words."""
    if setting == "network":
        return translate(NETWORKS[value]).split(":")[0].strip() if value in NETWORKS else str(value)
    if setting == "weights" and value == IMAGENET:
        return "ImageNet"
    if isinstance(value, bool):
        return tr("yes") if value else tr("no")
    if isinstance(value, float):
        return number(f"{value:g}")
    is_choice = value == SCRATCH if setting == "weights" else value in VALUE_NAMES  # a model may have any name
    return tr(VALUE_NAMES[value]) if is_choice else str(value)


def show_control(setting: str, value: Any, key: str, *, disabled: bool = False, options: Iterable[str] = ()) -> Any:
    """The control of a setting; gives its value.

    Args:
        setting: a field of `TrainConfig`.
        value: what it shows at first.
        key: tells this control from others of the same setting.
        disabled: shown, but not to be changed.
        options: what else may be chosen beside the field's own choices.
    """
    rules, label = FIELD_BY_NAME[setting].metadata, setting_label(setting)
    help_text = setting_help(setting)
    key = f"{setting}_{key}"
    choices = [*(rules["choices"] or ()), *options]
    if choices:
        format_choice: Callable[[str], str] = lambda item: value_text(setting, item)  # noqa: E731 -- a name for the type checker
        if value not in choices:
            choices.append(value)
        return st.selectbox(
            label, choices, choices.index(value), format_func=format_choice, help=help_text, key=key, disabled=disabled
        )
    if isinstance(value, bool):
        return st.checkbox(label, value, help=help_text, key=key, disabled=disabled)
    if isinstance(value, int):
        low, high = int(rules["low"]), int(rules["high"])
        return int(st.number_input(label, low, high, value, help=help_text, key=key, disabled=disabled))
    step, number_format = (0.0001, "%.6g") if setting == "learning_rate" else (0.05, "%.4g")
    low, high = float(rules["low"]), float(rules["high"])
    return float(
        st.number_input(label, low, high, float(value), step, number_format, help=help_text, key=key, disabled=disabled)
    )


def setting_help(setting: str) -> str:
    """What turning a setting does, in a sentence; of the networks, a line each."""
    text = translate(FIELD_BY_NAME[setting].metadata["help"])
    text = text[0].upper() + text[1:] + "."
    return text + "".join(f"\n- {translate(line)}" for line in NETWORKS.values()) if setting == "network" else text


def settings_text(settings: Mapping[str, Any]) -> str:
    """Some settings with their values: `learning rate 0.001, dropout 0.2`."""
    return ", ".join(
        tr("{setting} {value}", setting=setting_name(name), value=value_text(name, value))
        for name, value in settings.items()
    )
