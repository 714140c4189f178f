"""The model of a tab: while scans are shown, their model stays, and what happens to it is said."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.shared.formatting import escape_markdown
from pages.shared.model_choice import initial_model_name
from pages.shared.readers import model_files_key
from xrai.core.errors import CheckpointError
from xrai.core.language import tr
from xrai.models.checkpoint import Checkpoint

MODEL_KEY = "diagnose_model"
PINNED_KEY = "diagnose_pinned"
"""Session state: name and files of the model that read the scans of this tab."""

_DEFAULT_KEY = "diagnose_default"


def offered_for_diagnosis(models: Sequence[Checkpoint]) -> list[Checkpoint]:
    """The models that are not for teaching only; one with a damaged card is offered, and says so when chosen."""
    return [model for model in models if not _is_teaching(model)]


def choose_model_of_tab(models: list[Checkpoint], *, has_scans: bool) -> Checkpoint | None:
    """The model that another page requested, else the last choice in this tab, else the default.

    While scans are shown the model changes by the reader's choice only.

    Returns:
        None where the model that read the scans is gone or was changed, until the reader has chosen again.
    """
    names = [model.name for model in models]
    pinned: tuple[str, str] | None = st.session_state.get(PINNED_KEY) if has_scans else None
    _apply_requests(names, initial_model_name(models), is_pinned=pinned is not None)
    if pinned and _stop_for_change(pinned, models):
        return None
    if len(models) == 1:
        chosen = models[0]
    else:
        name = st.selectbox(tr("Model"), names, key=MODEL_KEY, persist_state="session")
        chosen = models[names.index(name)]
    st.session_state[PINNED_KEY] = (chosen.name, model_files_key(chosen))
    return chosen


def _apply_requests(names: list[str], default_name: str, *, is_pinned: bool) -> None:
    """Set the choice to what another page requested, or to the default where nothing is chosen or nothing is shown."""
    state = st.session_state
    requested_name = state.pop("diagnose_model_wanted", None)
    has_new_default = state.get(_DEFAULT_KEY) not in (None, default_name)
    state[_DEFAULT_KEY] = default_name
    if requested_name is not None and requested_name not in names:
        st.info(tr("The model “{name}” is not offered for a diagnosis.", name=escape_markdown(requested_name)))
    elif requested_name is not None:
        state[MODEL_KEY] = requested_name
        state.pop(PINNED_KEY, None)
    elif is_pinned and has_new_default:
        text = tr("The default model is now “{name}”. The scans here keep their model.", name=default_name)
        st.info(escape_markdown(text), icon=":material/info:")
    if state.get(MODEL_KEY) not in names or (has_new_default and not is_pinned and requested_name is None):
        state[MODEL_KEY] = default_name


def _stop_for_change(pinned: tuple[str, str], models: list[Checkpoint]) -> bool:
    """Whether the model that read the scans is gone or was changed; then says so, and offers to read them again."""
    name, files = pinned
    state = st.session_state
    model = next((model for model in models if model.name == name), None)
    if model is not None and (model_files_key(model) == files or state[MODEL_KEY] != name):
        return False
    if model is None:
        text = tr(
            "The model “{name}” that read these scans was renamed or deleted, so its answers are no longer shown.",
            name=name,
        )
    else:
        text = tr(
            "The model “{name}” was changed since it read these scans, perhaps its decision threshold, so its answers "
            "are no longer shown.",
            name=name,
        )
    st.warning(escape_markdown(text), icon=":material/published_with_changes:")
    new_name = name if model else initial_model_name(models)
    label = tr("Read them again with “{name}”", name=escape_markdown(new_name))
    if st.button(label, type="primary", key="diagnose_read_again"):
        state[MODEL_KEY] = new_name
        state.pop(PINNED_KEY, None)
        st.rerun()
    return True


def _is_teaching(model: Checkpoint) -> bool:
    try:
        return model.read_card().intended_use.is_teaching
    except CheckpointError:
        return False
