"""Form of a new training run: preset, dataset, name and all settings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import streamlit as st

from pages.lab.train.actions import SWEEP_PREFIX, open_run, start_training
from pages.lab.train.augmentation_preview import show_preview
from pages.lab.train.network_summary import show_layers
from pages.lab.train.sweep_form import choose_grid
from pages.shared.audit_state import audit_line, load_audit_state
from pages.shared.formatting import escape_markdown
from pages.shared.navigation import fill_training_form
from pages.shared.page import display_errors
from pages.shared.settings import GROUPS, MAIN_SETTINGS, TRANSFER_GROUP, settings_text, show_control
from xrai.core.json_files import list_folder
from xrai.core.language import N_, tr, translate
from xrai.core.paths import checkpoints_dir
from xrai.data.dataset import open_dataset
from xrai.models import default_model
from xrai.models.card import Card
from xrai.models.checkpoint import list_models, open_checkpoint
from xrai.networks.config import IMAGENET, SCRATCH, applies_to
from xrai.training.config import FROM_MODEL_PRESET, PRESETS, TrainConfig, default_settings
from xrai.training.jobs import active_runs, active_sweeps
from xrai.training.sweep import expand_grid, list_sweeps

OWN_MODEL = N_("Fine-tune one of your models")


PRESET_CAPTIONS = {
    N_("Quick look"): N_("minutes: a small network on small images, to see that everything works"),
    N_("Balanced"): N_("the better part of an hour for some thousand scans: a good network at a moderate size"),
    N_("Best"): N_("hours without a graphics card: four networks side by side, more variation, more rounds"),
    OWN_MODEL: N_("goes on from what a model here has learned, also for other classes: the best start for few scans"),
    N_("Transfer learning"): N_(
        "ResNet-101 that has learned from a million photos: wants a graphics card, and internet the first time"
    ),
}


def show_new_run(datasets: list[Path]) -> None:
    """The form for a new run or sweep: preset or copied settings, dataset, name."""
    state = st.session_state
    _show_running_notice()
    copied_from = state.get("train_taken")
    if copied_from:
        left, right = st.columns([5, 1], vertical_alignment="center")
        left.info(_copied_settings_text(escape_markdown(copied_from), state.get("train_changes", {})))
        if right.button(tr("Discard"), type="tertiary", key="train_forget"):
            fill_training_form(None, {})
            st.rerun()
        settings, origin = default_settings() | state["train_settings"], copied_from
    else:
        preset_names = [name for name in PRESET_CAPTIONS if name != OWN_MODEL or default_model()]
        origin = st.radio(
            tr("Preset"),
            preset_names,
            format_func=tr,
            captions=[tr(PRESET_CAPTIONS[name]) for name in preset_names],
            key="train_preset",
            persist_state="session",
        )
        model = default_model()
        preset = FROM_MODEL_PRESET | {"weights": model.name} if model and origin == OWN_MODEL else PRESETS[origin]
        settings = default_settings() | preset
    _show_form(datasets, settings, f"{origin}_{state.get('train_generation', 0)}")


@st.fragment
def _show_form(datasets: list[Path], settings: dict[str, Any], key: str) -> None:
    """All choices of a new run. A change draws this part of the page anew, and nothing else."""
    left, right = st.columns(2)
    names = [str(file) for file in datasets]
    previous_dataset = st.session_state.get("train_dataset")
    dataset = left.selectbox(
        tr("Dataset"),
        names,
        index=names.index(previous_dataset) if previous_dataset in names else 0,
        format_func=lambda item: Path(item).stem,
        key=f"train_dataset_{key}",
    )
    with left, display_errors(), open_dataset(dataset) as dataset_file:
        st.caption(audit_line(load_audit_state(dataset_file)))
    name = right.text_input(tr("Name of the model"), _suggest_name(), max_chars=80, key=f"train_name_{key}").strip()
    with display_errors():
        values = _show_controls(settings, key)
        show_layers(values, Path(dataset), key)
        grid = choose_grid(values, key)
        with st.container(horizontal=True):
            label = tr("Start the sweep") if grid else tr("Start training")
            is_start_clicked = st.button(label, type="primary", icon=":material/play_arrow:", key=f"start_{key}")
            is_preview_clicked = st.button(
                tr("Preview augmentation"), icon=":material/visibility:", key=f"preview_{key}"
            )
        warning_key = f"anyway_{key}"
        if is_start_clicked and (warning := _find_memory_warning(grid, values, Path(dataset))):
            st.session_state[warning_key] = (warning, values)
        elif is_start_clicked:
            start_training(name, Path(dataset), values, grid)
        pending_warning = st.session_state.get(warning_key)
        if pending_warning and pending_warning[1] == values:
            st.warning(escape_markdown(translate(pending_warning[0])), icon=":material/memory:")
            if st.button(tr("Start anyway"), key=f"start_{warning_key}"):
                start_training(name, Path(dataset), values, grid)
        if is_preview_clicked:
            show_preview(Path(dataset), TrainConfig(**values))


@st.fragment(run_every=3.0)
def _show_running_notice() -> None:
    """Say when a run is going on, also one that another tab or the command line has started meanwhile."""
    sweeps, runs = active_sweeps(), active_runs()
    if not sweeps and not runs:
        return
    name = (runs or sweeps)[0].folder.name
    left, right = st.columns([5, 1], vertical_alignment="center")
    left.info(
        tr("“{name}” is being trained now. A second run at once would slow both down: wait, or stop it.", name=name)
    )
    if right.button(tr("Watch it"), icon=":material/visibility:", key="train_watch_it"):
        open_run(name if runs else SWEEP_PREFIX + name)


def _copied_settings_text(name: str, changes: dict[str, Any]) -> str:
    """Whose settings the form holds, and which of them were changed for what that run's curves showed."""
    if not changes:
        return tr("Settings of “{name}”. Change what you like and start.", name=name)
    return tr(
        "Settings of “{name}”, changed: {settings}. Change what you like and start.",
        name=name,
        settings=escape_markdown(settings_text(changes)),
    )


def _show_controls(settings: dict[str, Any], key: str) -> dict[str, Any]:
    """One control for every setting; gives the settings as they stand."""
    models = [model.name for model in list_models()]
    if settings["weights"] not in (SCRATCH, IMAGENET, *models):
        st.warning(
            tr(
                "The run started from the model “{name}”, which no longer exists under that name: choose another "
                "model, or train from scratch.",
                name=escape_markdown(settings["weights"]),
            ),
            icon=":material/link_off:",
        )
        settings = settings | {"weights": SCRATCH}
    values = {"weights": st.session_state.get(f"weights_{key}", settings["weights"])}
    origin = _load_base_card(values["weights"])
    base_values = origin.network.shape if origin else {}
    locked_names = set(origin.network.layer_settings) if origin else set()
    if values["weights"] == SCRATCH:
        base_values, locked_names = {"freeze_epochs": 0}, set(GROUPS[TRANSFER_GROUP])
    elif st.session_state.get("train_taken") and settings["weights"] == values["weights"]:
        base_values = {
            name: value for name, value in base_values.items() if name in locked_names
        }  # the run had its own of the others
    settings = settings | base_values
    key_of = {name: f"{key}_{values['weights']}" if name in base_values else key for name in default_settings()}

    def show_group(names: Iterable[str], columns: int, width: int) -> None:
        grid = st.grid(columns, min_column_width=width)
        for name in names:
            with grid.cell():
                options = (SCRATCH, IMAGENET, *models) if name == "weights" else ()
                value, control_key = settings[name], key_of[name]
                is_unused = not applies_to(name, values.get("network", settings["network"]))
                if is_unused and name == "ensemble_size":  # which would be refused
                    value, control_key = 1, f"{control_key}_idle"
                values[name] = show_control(
                    name, value, control_key, disabled=is_unused or name in locked_names, options=options
                )

    show_group(MAIN_SETTINGS, 5, 150)
    if origin:
        st.caption(_inherited_text(origin))
    with st.expander(tr("All settings"), icon=":material/tune:", key=f"all_settings_{key}"):
        for group, names in GROUPS.items():
            st.markdown(f"**{tr(group)}**")
            show_group(names, 4, 150)
    return {name: values[name] for name in default_settings()}


def _inherited_text(origin: Card) -> str:
    if not (population := origin.dataset.population):
        return tr(
            "Starts from the weights of **{name}**, which also fixes the network.", name=escape_markdown(origin.name)
        )
    return tr(
        "Starts from the weights of **{name}**, trained on {population}; the network is fixed by them.",
        name=escape_markdown(origin.name),
        population=escape_markdown(translate(population)),
    )


def _load_base_card(weights: str) -> Card | None:
    """The card of the model whose weights a run starts from, if that is where it starts."""
    return None if weights in (SCRATCH, IMAGENET) else open_checkpoint(weights).read_card()


def _find_memory_warning(grid: dict[str, list[Any]], values: dict[str, Any], dataset: Path) -> str | None:
    """The sentence that the run, or the largest of a sweep, will probably not fit into this machine."""
    configs = expand_grid(values, grid) if grid else [TrainConfig(**values)]
    with st.spinner(tr("Checking that it fits into this machine…")), open_dataset(dataset) as dataset_file:
        from xrai.training.memory import memory_warning

        return memory_warning(configs, len(dataset_file.classes))


def _suggest_name() -> str:
    names_in_use = {item.name.lower() for item in list_folder(checkpoints_dir())}
    names_in_use |= {sweep.name.lower() for sweep in list_sweeps()}
    return next(name for name in (f"model-{number}" for number in range(1, 100_000)) if name not in names_in_use)
