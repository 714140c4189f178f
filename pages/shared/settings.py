"""Form controls of the training settings, and their labels, explanations and values in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import streamlit as st

from xrai.core.language import N_, number, tr, translate
from xrai.networks.config import IMAGENET, NETWORKS, SCRATCH, settings_of
from xrai.training.config import TrainConfig

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
        "ensemble_size",
        "ema_decay",
        "select_by",
        "patience",
    ),
    TRANSFER_GROUP: ("freeze_epochs", "finetune_lr_scale"),
    N_("Variation of the scans"): (
        "class_balance",
        "normalize",
        "augment_strength",
        "erase_prob",
        "border_prob",
        "quality_prob",
        "appearance_transfer_prob",
        "aspect_jitter_prob",
        "mixup_alpha",
        "hflip",
    ),
    CONVNET_GROUP: ("blocks", "filters", "dense_layers", "dense_units", "activation"),
    MACHINE_GROUP: ("precision", "devices", "seed"),
}
VALUE_NAMES = {
    "scratch": N_("scratch"),
    "one-cycle": N_("one-cycle"),
    "cosine": N_("cosine"),
    "constant": N_("constant"),
    "sampling": N_("sampling"),
    "loss": N_("loss"),
    "none": N_("none"),
    "last": N_("last"),
    "dataset": N_("whole dataset (dataset)"),
    "image": N_("each image (image)"),
    "auto": N_("auto"),
}
"""Values in words."""
DECLARATIONS = settings_of(TrainConfig)


def setting_label(setting: str) -> str:
    """The label of a setting."""
    return tr(DECLARATIONS[setting].label)


def setting_name(setting: str) -> str:
    """The label of a setting within a sentence."""
    label = setting_label(setting)
    return label[0].lower() + label[1:]


def value_text(setting: str, value: Any) -> str:
    """The value of a setting in words."""
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
    declaration, label, help_text = DECLARATIONS[setting], setting_label(setting), setting_help(setting)
    key = f"{setting}_{key}"
    choices = [*declaration.choices, *options]
    if choices:
        format_choice: Callable[[str], str] = lambda item: value_text(setting, item)  # noqa: E731 -- a name for the type checker
        if value not in choices:
            choices.append(value)
        return st.selectbox(
            label, choices, choices.index(value), format_func=format_choice, help=help_text, key=key, disabled=disabled
        )
    if isinstance(value, bool):
        return st.checkbox(label, value, help=help_text, key=key, disabled=disabled)
    limits = declaration.limits or (0, 0)
    if isinstance(value, int):
        low, high = map(int, limits)
        return int(st.number_input(label, low, high, value, help=help_text, key=key, disabled=disabled))
    step, number_format = (0.0001, "%.6g") if setting == "learning_rate" else (0.05, "%.4g")
    low, high = map(float, limits)
    return float(
        st.number_input(label, low, high, float(value), step, number_format, help=help_text, key=key, disabled=disabled)
    )


def setting_help(setting: str) -> str:
    """The explanation of a setting; of the network, with a line for each."""
    text = tr(DECLARATIONS[setting].help)
    return text + "".join(f"\n- {translate(line)}" for line in NETWORKS.values()) if setting == "network" else text


def settings_text(settings: Mapping[str, Any]) -> str:
    """Some settings with their values: `learning rate 0.001, dropout 0.2`."""
    return ", ".join(
        tr("{setting} {value}", setting=setting_name(name), value=value_text(name, value))
        for name, value in settings.items()
    )
