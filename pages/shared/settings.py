"""A control for every training setting, with its explanation, and the words that pages call settings by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, fields
from typing import Any

import streamlit as st

from xrai.config import IMAGENET, NETWORKS, TrainConfig

MAIN = ("network", "weights", "image_size", "epochs", "batch_size")
LEARNED, CONVNET = "Start from learned weights", "Shape of the plain convnet"
GROUPS = {
    "Learning": (
        "learning_rate", "optimizer", "schedule", "weight_decay", "label_smoothing", "dropout", "ema", "keep", "patience",
    ),
    LEARNED: ("head_epochs", "fine_tune"),
    "Variation of the scans": ("balance", "augment", "erase", "mixup", "flip"),
    CONVNET: ("blocks", "filters", "dense_layers", "dense_units", "activation"),
    "Machine": ("precision", "devices", "seed"),
}  # fmt: skip
LABELS = {
    "ema": "Weight averaging", "mixup": "Mixing of scans", "augment": "Strength of variation",
    "erase": "Hidden patches", "flip": "Mirror left to right", "patience": "Early stopping", "keep": "Epoch that is kept",
    "blocks": "Convolution blocks", "filters": "Filters of the first block", "weights": "Start from",
    "head_epochs": "Epochs of last layer alone", "fine_tune": "Share of rate after that",
}  # fmt: skip
BY_NAME: dict[str, Field[Any]] = {item.name: item for item in fields(TrainConfig)}


def label_of(setting: str) -> str:
    """A setting in words."""
    return LABELS.get(setting, setting.replace("_", " ").capitalize())


def shown_value(setting: str, value: Any) -> str:
    """A setting's value in words."""
    if setting == "network":
        return NETWORKS[value].split(":")[0] if value in NETWORKS else str(value)
    if setting == "weights":
        return {IMAGENET: "ImageNet"}.get(value, str(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


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
    text: str = BY_NAME[setting].metadata["help"]
    text = text[0].upper() + text[1:] + "."
    return text + "".join(f"\n- {line}" for line in NETWORKS.values()) if setting == "network" else text


def in_words(settings: Mapping[str, Any]) -> str:
    """Some settings with their values: `learning rate 0.001, dropout 0.2`."""
    return ", ".join(f"{label_of(name).lower()} {shown_value(name, value)}" for name, value in settings.items())
