"""Train: start a run with a few choices or many, or a sweep of runs, and watch it learn."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import streamlit as st

from pages.lab.train.augmentation_preview import show_layers, show_preview
from pages.lab.train.sweeps import show_sweep
from pages.shared.audit_view import audit_line, load_audit_state
from pages.shared.formatting import class_label, escape_markdown, format_metric_with_interval, join_words
from pages.shared.jobs import show_job_end, show_stop_button, watch_job
from pages.shared.navigation import NEW_RUN, WATCH_RUN, open_diagnose, open_evaluate, open_models, show_dataset_needed
from pages.shared.page import display_errors, show_head
from pages.shared.runs import show_curves, show_downloads, show_heading, show_progress
from pages.shared.settings import (
    GROUPS,
    MAIN_SETTINGS,
    TRANSFER_GROUP,
    setting_help,
    setting_label,
    setting_name,
    settings_text,
    show_control,
)
from xrai.core import jobs
from xrai.core.errors import CheckpointError, SettingsError
from xrai.core.language import N_, number, tr, translate, trn
from xrai.core.paths import checkpoints_dir, display_path
from xrai.data.dataset import list_datasets, open_dataset
from xrai.models import default_model
from xrai.models.card import Card
from xrai.models.checkpoint import CONFIG, Checkpoint, list_checkpoints, list_models, open_checkpoint
from xrai.networks.config import IMAGENET, SCRATCH, applies_to, settings_of
from xrai.training.config import (
    FROM_MODEL_PRESET,
    PRESETS,
    TrainConfig,
    default_settings,
    format_value,
    read_train_config,
)
from xrai.training.jobs import active_runs, active_sweeps, check_no_active_run, launch_resume, launch_run, launch_sweep
from xrai.training.sweep import CombinationError, Sweep, create_sweep, expand_grid, list_sweeps, parse_values

OWN_MODEL = N_("From one of your models")
PRESET_CAPTIONS = {
    N_("Quick look"): N_("minutes: a small network on small pictures, to see that all works"),
    N_("Balanced"): N_("the better part of an hour for some thousand scans: a good network at a moderate size"),
    N_("Best"): N_("hours without a graphics card: four networks side by side, more variation, more rounds"),
    OWN_MODEL: N_("goes on from what a model here has learned, also for other classes: the best start for few scans"),
    N_("Transfer learning"): N_(
        "ResNet-101 that has learned from a million photos: wants a graphics card, and internet the first time"
    ),
}
YES, NO = N_("yes"), N_("no")
MAX_VARIED = 4
SWEEP_PREFIX = "sweep: "  # what the name of a sweep begins with among the runs; no model's name holds a colon


def main() -> None:
    """The page."""
    show_head(
        tr("Train"),
        tr("A model learns from the scans of a dataset. It goes on when you close this page or this browser."),
    )
    with display_errors():
        datasets = list_datasets()
        runs = [
            run
            for run in list_checkpoints()
            if (run.folder / jobs.JOB_FILE).is_file() or (run.folder / jobs.HISTORY_FILE).is_file()
        ]
        sweeps = list_sweeps()
        view = NEW_RUN
        if runs or sweeps:
            started_here = any((run.folder / jobs.JOB_FILE).is_file() for run in runs)  # the models in the box were not
            st.session_state.setdefault("train_view", WATCH_RUN if started_here else NEW_RUN)
            view = st.segmented_control(
                tr("What to do"),
                [WATCH_RUN, NEW_RUN],
                format_func=tr,
                key="train_view",
                required=True,
                label_visibility="collapsed",
                persist_state="session",
            )
        if view == WATCH_RUN:
            _show_watch(runs, sweeps)
        elif datasets:
            _show_new_run(datasets)
        else:
            show_dataset_needed(tr("There is no dataset yet to learn from. Build one first: it takes a few clicks."))


# ---------------------------------------------------------------- a new run


def _show_new_run(datasets: list[Path]) -> None:
    state = st.session_state
    _show_running_notice()
    copied_from = state.get("train_taken")
    if copied_from:
        left, right = st.columns([5, 1], vertical_alignment="center")
        left.info(_copied_settings_text(escape_markdown(copied_from), state.get("train_changes", {})))
        if right.button(tr("Forget them"), type="tertiary", key="train_forget"):
            _copy_settings(None, {})
        settings, origin = default_settings() | state["train_settings"], copied_from
    else:
        preset_names = [name for name in PRESET_CAPTIONS if name != OWN_MODEL or default_model()]
        origin = st.radio(
            tr("What kind of training"),
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
        grid = _choose_grid(values, key)
        with st.container(horizontal=True):
            label = tr("Start the sweep") if grid else tr("Start training")
            is_start_clicked = st.button(label, type="primary", icon=":material/play_arrow:", key=f"start_{key}")
            is_preview_clicked = st.button(
                tr("Show what it will see"), icon=":material/visibility:", key=f"preview_{key}"
            )
        warning_key = f"anyway_{key}"
        if is_start_clicked and (warning := _find_memory_warning(grid, values, Path(dataset))):
            st.session_state[warning_key] = (warning, values)
        elif is_start_clicked:
            _start_training(name, Path(dataset), values, grid)
        pending_warning = st.session_state.get(warning_key)
        if pending_warning and pending_warning[1] == values:
            st.warning(escape_markdown(translate(pending_warning[0])), icon=":material/memory:")
            if st.button(tr("Start all the same"), key=f"start_{warning_key}"):
                _start_training(name, Path(dataset), values, grid)
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
        _open_run(name if runs else SWEEP_PREFIX + name)


def _copied_settings_text(name: str, changes: dict[str, Any]) -> str:
    """Whose settings the form holds, and which of them were changed for what that run's curves showed."""
    if not changes:
        return tr("The settings below are those of “{name}”. Change what you like and start.", name=name)
    return tr(
        "The settings below are those of “{name}”, but for these: {settings}. Change what you like and start.",
        name=name,
        settings=escape_markdown(settings_text(changes)),
    )


def _show_controls(settings: dict[str, Any], key: str) -> dict[str, Any]:
    """One control for every setting; gives the settings as they stand."""
    models = [model.name for model in list_models()]
    if settings["weights"] not in (SCRATCH, IMAGENET, *models):
        st.warning(
            tr(
                "The model “{name}”, from which that run started, is no longer here under that name: "
                "choose another start, or begin from scratch.",
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
            "It takes over what **{name}** has learned from its scans; the kind of network is given by that.",
            name=escape_markdown(origin.name),
        )
    return tr(
        "It takes over what **{name}** has learned from {population}; the kind of network is given by that.",
        name=escape_markdown(origin.name),
        population=escape_markdown(translate(population)),
    )


def _load_base_card(weights: str) -> Card | None:
    """The card of the model whose weights a run starts from, if that is where it starts."""
    return None if weights in (SCRATCH, IMAGENET) else open_checkpoint(weights).read_card()


def _choose_grid(values: dict[str, Any], key: str) -> dict[str, list[Any]]:
    """Settings of which several values are to be tried, with these values; none for a single run."""
    expander = st.expander(
        tr("Try several values, one run after another"), icon=":material/grid_view:", key=f"several_values_{key}"
    )
    varied_names: list[str] = expander.multiselect(
        tr("Settings to vary"),
        [name for name in default_settings() if name != "weights"],
        format_func=setting_label,
        max_selections=MAX_VARIED,
        key=f"varied_{key}",
        placeholder=tr("Choose options"),
        select_all=False,
        help=tr("Every combination is trained as a run of its own; Models then shows them side by side."),
    )
    grid = {}
    for name in varied_names:
        text = expander.text_input(
            tr("Values of “{setting}”", setting=setting_name(name)),
            _format_values(values[name]),
            key=f"values_{name}_{key}",
            help=tr(
                "{explanation} Several values with commas between them, such as {example}.",
                explanation=setting_help(name),
                example=_example_values(name),
            ),
        )
        grid[name] = parse_values(name, _to_english(name, text))
    if grid:
        configs = _plan_runs(values, grid)
        expander.caption(
            trn(
                "{n:,} run: about as long as one by itself.",
                "{n:,} runs, one after another: about {n:,} times as long as one.",
                len(configs),
            )
        )
    return grid


def _plan_runs(values: dict[str, Any], grid: dict[str, list[Any]]) -> list[TrainConfig]:
    """The runs of a sweep; that one cannot be trained is said with the settings as pages call them."""
    try:
        return expand_grid(values, grid)
    except CombinationError as error:
        message = tr(
            "The combination “{settings}” cannot be trained: {reason}",
            settings=settings_text(error.settings),
            reason=translate(error.reason),
        )
        raise SettingsError(message) from error


def _example_values(setting: str) -> str:
    default_value = default_settings()[setting]
    if choices := settings_of(TrainConfig)[setting].choices:
        return ", ".join(choices[:2])
    return (
        _format_values(False, True)
        if isinstance(default_value, bool)
        else _format_values(default_value, default_value * 2 or 1)
    )


def _format_values(*values: Any) -> str:
    """Values as a person types them, who writes 0,001 in French and then needs semicolons."""
    words = [tr(format_value(value)) if isinstance(value, bool) else format_value(value) for value in values]
    if _has_decimal_comma() and any(isinstance(value, float) for value in values):
        return "; ".join(map(number, words))
    return ", ".join(words)


def _to_english(setting: str, text: str) -> str:
    """What a person typed, as the engine reads it; a text typed in French stays one after a switch to English."""
    default_value = default_settings()[setting]
    if isinstance(default_value, float) and (_has_decimal_comma() or ";" in text):
        return re.sub(r"(?<=\d),(?=\d)", ".", text)
    if isinstance(default_value, bool):
        english_words = {tr(word): word for word in (YES, NO)}
        return ", ".join(english_words.get(word.strip().lower(), word) for word in re.split("[,;]", text))
    return text


def _has_decimal_comma() -> bool:
    return number(".") == ","


def _find_memory_warning(grid: dict[str, list[Any]], values: dict[str, Any], dataset: Path) -> str | None:
    """The sentence that the run, or the largest of a sweep, will probably not fit into this machine."""
    configs = expand_grid(values, grid) if grid else [TrainConfig(**values)]
    with st.spinner(tr("Checking that it fits into this machine…")), open_dataset(dataset) as dataset_file:
        from xrai.training.memory import memory_warning

        return memory_warning(configs, len(dataset_file.classes))


def _start_training(name: str, dataset: Path, values: dict[str, Any], grid: dict[str, list[Any]]) -> None:
    """Start a run, or a sweep where there is something to vary."""
    if grid:
        check_no_active_run()
        launch_sweep(create_sweep(name, dataset, values, grid))
        _open_run(SWEEP_PREFIX + name)
    launch_run(TrainConfig(**values), dataset, name)
    _open_run(name)


def _suggest_name() -> str:
    names_in_use = {item.name.lower() for item in checkpoints_dir().iterdir()}
    names_in_use |= {sweep.name.lower() for sweep in list_sweeps()}
    return next(name for name in (f"model-{number}" for number in range(1, 100_000)) if name not in names_in_use)


def _copy_settings(name: str | None, settings: dict[str, Any], dataset: str | None = None) -> None:
    """Put the settings of a run, or none, into the form."""
    state = st.session_state
    state["train_taken"], state["train_settings"], state["train_dataset"] = name, settings, dataset
    state["train_changes"] = {}
    state["train_generation"] = state.get("train_generation", 0) + 1
    if name:
        state["train_view_wanted"] = NEW_RUN
    st.rerun()


def _open_run(name: str) -> None:
    """Go to a run."""
    st.session_state["train_shown"] = name
    st.session_state["train_view_wanted"] = WATCH_RUN
    st.rerun()


# ---------------------------------------------------------------- watching


def _show_watch(runs: list[Checkpoint], sweeps: list[Sweep]) -> None:
    run_by_label: dict[str, Checkpoint | Sweep] = {SWEEP_PREFIX + sweep.name: sweep for sweep in sweeps}
    run_by_label |= {run.name: run for run in runs}
    names = [*(run.name for run in runs), *(SWEEP_PREFIX + sweep.name for sweep in sweeps)]
    requested = st.session_state.get("train_shown")
    active = [SWEEP_PREFIX + job.folder.name for job in active_sweeps()]
    active += [job.folder.name for job in active_runs()]
    initial_label = next(name for name in (requested, *active, *names) if name in run_by_label)
    name = names[0]
    if len(names) > 1:
        name = st.selectbox(
            tr("Run"), names, names.index(initial_label), format_func=_run_label, key=f"train_run_{initial_label}"
        )
    selection = run_by_label[name]
    if isinstance(selection, Sweep):
        job = selection.job
        watch_job(job, job.status, lambda job, status: _draw_sweep(selection, job, status))
    else:
        job = jobs.Job(selection.folder)
        watch_job(job, job.status, lambda job, status: _draw_run(selection, job, status))


def _run_label(name: str) -> str:
    return tr("sweep: {name}", name=name.removeprefix(SWEEP_PREFIX)) if name.startswith(SWEEP_PREFIX) else name


def _draw_sweep(sweep: Sweep, job: jobs.Job, status: jobs.Status) -> None:
    """One sweep: how it stands, and what can be done now."""
    show_sweep(sweep, job, status)
    active_name = next((run.name for run in sweep.runs if jobs.Job(checkpoints_dir() / run.name).is_active), None)
    with st.container(horizontal=True):
        if active_name and st.button(tr("Watch the run"), icon=":material/visibility:", key=f"watch_{sweep.name}"):
            _open_run(active_name)
        can_resume = status in ("stopped", "interrupted", "failed")
        if can_resume and st.button(
            tr("Go on with the sweep"), type="primary", icon=":material/play_arrow:", key=f"resume_sweep_{sweep.name}"
        ):
            with display_errors():
                launch_sweep(sweep)
                _open_run(SWEEP_PREFIX + sweep.name)
    if status not in jobs.ACTIVE_STATUSES and st.button(
        tr("Compare its runs"), icon=":material/inventory_2:", key=f"compare_runs_{sweep.name}"
    ):
        open_models(*(run.name for run in sweep.runs if Checkpoint(checkpoints_dir() / run.name).is_model))


def _draw_run(checkpoint: Checkpoint, job: jobs.Job, status: jobs.Status) -> None:
    """One run: how it stands, what can be done now, its curves."""
    records = job.records()
    is_active = status in jobs.ACTIVE_STATUSES
    with show_heading(checkpoint.name, status):
        if is_active:
            show_stop_button(job, checkpoint.name)
    show_progress(records, status)
    show_job_end(job, status, tr("The run"), next_step=tr("It can go on."))
    if not is_active:
        _show_next_steps(checkpoint, status, records)
    if any(record["kind"] in ("step", "epoch") for record in records):
        show_curves(checkpoint, records, None if is_active else _final_metrics(checkpoint))
    elif is_active:
        st.info(tr("The first numbers come in a few seconds: Python is loading what training needs."))
    log = "" if is_active else job.log()
    if log:
        with st.expander(tr("Log, for whoever helps when something went wrong"), icon=":material/article:"):
            st.code(log, language=None)


def _final_metrics(checkpoint: Checkpoint) -> dict[str, Any] | None:
    """The measures of a finished model; what is wrong with a damaged one is said elsewhere on the page."""
    with suppress(CheckpointError):
        validation = checkpoint.read_card().validation if checkpoint.is_model else None
        return validation.to_dict() if validation else None
    return None


def _show_next_steps(checkpoint: Checkpoint, status: str, records: list[dict[str, Any]]) -> None:
    """What came out of a run that is not active, and what can be done with it."""
    if checkpoint.is_model:
        with display_errors():
            _show_ready_model(checkpoint)
    elif status == "stopped":
        st.info(tr("There is no model yet: the run had not finished its first epoch. Let it go on for one."))
    with st.container(horizontal=True):
        can_resume = checkpoint.can_resume and status in ("stopped", "interrupted", "failed")
        if can_resume and st.button(
            tr("Go on training"), type="primary", icon=":material/play_arrow:", key=f"resume_{checkpoint.name}"
        ):
            with display_errors():
                _resume_run(checkpoint)
        has_config = (checkpoint.folder / CONFIG).is_file()
        if has_config and st.button(
            tr("Run again with other settings"), icon=":material/tune:", key=f"again_{checkpoint.name}"
        ):
            with display_errors():
                dataset, config = checkpoint.read_config()["dataset"], read_train_config(checkpoint)
                files = [str(file) for file in list_datasets() if display_path(file) == dataset]
                _copy_settings(checkpoint.name, config.to_dict(), files[0] if files else None)
        if any(record["kind"] == "epoch" for record in records):
            show_downloads(checkpoint, records)


def _show_ready_model(checkpoint: Checkpoint) -> None:
    card = checkpoint.read_card()
    validation = card.validation
    if validation is None:
        return
    text = tr(
        "The model “{name}” is ready: on {n:,} validation scans it called {accuracy} right, AUC {auc}. "
        "It tells apart {classes}.",
        name=card.name,
        n=validation.n,
        accuracy=format_metric_with_interval(validation.accuracy, validation.accuracy_interval),
        auc=format_metric_with_interval(validation.auc, validation.auc_interval, as_percent=False),
        classes=join_words(list(map(class_label, card.classes))),
    )
    if card.weakness_warning:
        st.warning(escape_markdown(f"{text} {translate(card.weakness_warning)}"))
    else:
        st.success(escape_markdown(text), icon=":material/check_circle:")
    with st.container(horizontal=True):
        if st.button(tr("Read scans with it"), icon=":material/stethoscope:", key=f"read_with_{checkpoint.name}"):
            open_diagnose(checkpoint.name)
        if st.button(tr("Measure it on test scans"), icon=":material/fact_check:", key=f"measure_{checkpoint.name}"):
            open_evaluate(checkpoint.name)
        if st.button(tr("Compare it with others"), icon=":material/inventory_2:", key=f"compare_{checkpoint.name}"):
            open_models(checkpoint.name)


def _resume_run(checkpoint: Checkpoint) -> None:
    launch_resume(checkpoint)
    _open_run(checkpoint.name)


if requested_view := st.session_state.pop("train_view_wanted", None):
    st.session_state["train_view"] = requested_view
main()
