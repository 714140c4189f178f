"""Choice of a model from a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import streamlit as st

from pages.shared.page import valid_choice_key
from xrai.core.language import tr
from xrai.models import default_model
from xrai.models.checkpoint import Checkpoint


def initial_model_name(models: Sequence[Checkpoint]) -> str:
    """The name of the default model if it is among the models, else of the first one."""
    names = [model.name for model in models]
    default = default_model()
    return default.name if default and default.name in names else names[0]


def choose_model(
    models: Sequence[Checkpoint], key: str, *, label: str | None = None, width: int | Literal["stretch"] = "stretch"
) -> Checkpoint:
    """A selectbox of models that starts at the default model; the choice survives a visit to other pages."""
    names = [model.name for model in models]
    key = valid_choice_key(key, names, initial_model_name(models))
    name = st.selectbox(label or tr("Model"), names, key=key, width=width, persist_state="session")
    return models[names.index(name)]
