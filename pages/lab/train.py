"""Train: start a run with a few choices or many, or a sweep of runs, and watch it learn."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import streamlit as st

from pages.shared.audit_view import check_of, in_a_line
from pages.shared.jobs import say_how_it_ended, stop_button, watch
from pages.shared.page import head, stated_errors
from pages.shared.previews import show_layers, show_preview
from pages.shared.runs import downloads, heading, show_curves, show_progress
from pages.shared.settings import CONVNET, GROUPS, LEARNED, MAIN, control, explanation, label_of
from pages.shared.sweeps import show_sweep
from pages.shared.ways import (
    NEW_RUN,
    WATCH_RUN,
    evaluate_model,
    needs_a_dataset,
    read_scans_with,
    show_among_models,
)
from pages.shared.words import listed, nice, plain, span
from xrai import jobs
from xrai.checkpoint import CONFIG, Card, Checkpoint, list_checkpoints, list_models, open_checkpoint
from xrai.config import FROM_MODEL, IMAGENET, PRESETS, SCRATCH, TrainConfig, defaults
from xrai.dataset import list_datasets, open_dataset
from xrai.errors import CheckpointError, JobError
from xrai.models import default_model
from xrai.settings import checkpoints_dir, shown_path
from xrai.sweep import Sweep, active_sweeps, create, list_sweeps, parse_values, plan

OWN_MODEL = "From one of your models"
PRESET_WORDS = {
    "Quick look": "minutes: a small network on small pictures, to see that all works",
    "Balanced": "the better part of an hour for some thousand scans: a good network at a moderate size",
    "Best": "hours without a graphics card: finer pictures, more variation, more rounds",
    OWN_MODEL: "goes on from what a model here has learned, also for other classes: the best start for few scans",
    "Transfer learning": "ResNet-101 that has learned from a million photos: wants a graphics card, "
    "and internet the first time",
}
MOST_VARIED = 4
SWEEP = "sweep: "  # what the name of a sweep begins with among the runs; no model's name holds a colon


def main() -> None:
    """The page."""
    head("Train", "A model learns from the scans of a dataset. It goes on when you close this page or this browser.")
    with stated_errors():
        datasets = list_datasets()
        runs = [
            run
            for run in list_checkpoints()
            if (run.folder / jobs.JOB).is_file() or (run.folder / jobs.HISTORY).is_file()
        ]
        sweeps = list_sweeps()
        view = NEW_RUN
        if runs or sweeps:
            started_here = any((run.folder / jobs.JOB).is_file() for run in runs)  # the models in the box were not
            st.session_state.setdefault("train_view", WATCH_RUN if started_here else NEW_RUN)
            view = st.segmented_control(
                "What to do", [WATCH_RUN, NEW_RUN], key="train_view", required=True, label_visibility="collapsed",
                persist_state="session",
            )  # fmt: skip
        if view == WATCH_RUN:
            _watch(runs, sweeps)
        elif datasets:
            _new(datasets)
        else:
            needs_a_dataset("There is no dataset yet to learn from. Build one first: it takes a few clicks.")


# ---------------------------------------------------------------- a new run


def _new(datasets: list[Path]) -> None:
    state = st.session_state
    _notice_of_others()
    taken = state.get("train_taken")
    if taken:
        left, right = st.columns([5, 1], vertical_alignment="center")
        left.info(f"The settings below are those of “{plain(taken)}”. Change what you like and start.")
        if right.button("Forget them", type="tertiary"):
            _take(None, {})
        chosen, origin = defaults() | state["train_settings"], taken
    else:
        offered = [name for name in PRESET_WORDS if name != OWN_MODEL or default_model()]
        origin = st.radio(
            "What kind of training",
            offered,
            captions=[PRESET_WORDS[name] for name in offered],
            key="train_preset",
            persist_state="session",
        )
        model = default_model()
        preset = FROM_MODEL | {"weights": model.name} if model and origin == OWN_MODEL else PRESETS[origin]
        chosen = defaults() | preset
    _form(datasets, chosen, f"{origin}_{state.get('train_generation', 0)}")


@st.fragment
def _form(datasets: list[Path], chosen: dict[str, Any], key: str) -> None:
    """All choices of a new run. A change draws this part of the page anew, and nothing else."""
    left, right = st.columns(2)
    names = [str(file) for file in datasets]
    known = st.session_state.get("train_dataset")
    dataset = left.selectbox(
        "Dataset", names, index=names.index(known) if known in names else 0, format_func=lambda item: Path(item).stem,
        key=f"train_dataset_{key}",
    )  # fmt: skip
    with left, stated_errors(), open_dataset(dataset) as opened:
        st.caption(in_a_line(check_of(opened)))
    name = right.text_input("Name of the model", _free_name(), max_chars=80, key=f"train_name_{key}").strip()
    with stated_errors():
        values = _controls(chosen, key)
        show_layers(values, Path(dataset), key)
        grid = _variations(values, key)
        with st.container(horizontal=True):
            word = "Start the sweep" if grid else "Start training"
            started = st.button(word, type="primary", icon=":material/play_arrow:", key=f"start_{key}")
            previewed = st.button("Show what it will see", icon=":material/visibility:", key=f"preview_{key}")
        anyway = f"anyway_{key}"
        if started and (warning := _memory_warning(grid, values, Path(dataset))):
            st.session_state[anyway] = (warning, values)
        elif started:
            _start(name, Path(dataset), values, grid)
        known_warning = st.session_state.get(anyway)
        if known_warning and known_warning[1] == values:
            st.warning(plain(known_warning[0]), icon=":material/memory:")
            if st.button("Start all the same", key=f"start_{anyway}"):
                _start(name, Path(dataset), values, grid)
        if previewed:
            show_preview(Path(dataset), TrainConfig(**values))


@st.fragment(run_every=3.0)
def _notice_of_others() -> None:
    """Say when a run is going on, also one that another tab or the command line has started meanwhile."""
    sweeps, runs = active_sweeps(), jobs.active_in(checkpoints_dir())
    if not sweeps and not runs:
        return
    name = (runs or sweeps)[0].folder.name
    left, right = st.columns([5, 1], vertical_alignment="center")
    left.info(f"“{name}” is being trained now. A second run at once would slow both down: wait, or stop it.")
    if right.button("Watch it", icon=":material/visibility:"):
        _show(name if runs else SWEEP + name)


def _controls(chosen: dict[str, Any], key: str) -> dict[str, Any]:
    """One control for every setting; gives the settings as they stand."""
    models = [model.name for model in list_models()]
    if chosen["weights"] not in (SCRATCH, IMAGENET, *models):
        st.warning(
            f"The model “{plain(chosen['weights'])}”, from which that run started, is no longer here under that name: "
            "choose another start, or begin from scratch.",
            icon=":material/link_off:",
        )
        chosen = chosen | {"weights": SCRATCH}
    values = {"weights": st.session_state.get(f"weights_{key}", chosen["weights"])}
    origin = _origin(values["weights"])
    imposed = origin.config.shape if origin else {}
    fixed = set(imposed) if imposed.get("network") == "convnet" else set(imposed) & {"network"}
    if values["weights"] == SCRATCH:
        imposed, fixed = {"head_epochs": 0}, set(GROUPS[LEARNED])
    chosen = chosen | imposed
    key_of = {name: f"{key}_{values['weights']}" if name in imposed else key for name in defaults()}

    def put(names: Iterable[str], columns: int, width: int) -> None:
        grid = st.grid(columns, min_column_width=width)
        for name in names:
            with grid.cell():
                options = (SCRATCH, IMAGENET, *models) if name == "weights" else ()
                idle = name in GROUPS[CONVNET] and values["network"] != "convnet"
                disabled = idle or name in fixed
                values[name] = control(name, chosen[name], key_of[name], disabled=disabled, options=options)

    put(MAIN, 5, 150)
    if origin:
        st.caption(
            f"It takes over what **{plain(origin.name)}** has learned from "
            f"{plain(origin.dataset.get('population') or 'its scans')}; the kind of network is given by that."
        )
    with st.expander("All settings", icon=":material/tune:"):
        for group, names in GROUPS.items():
            st.markdown(f"**{group}**")
            put(names, 4, 150)
    return {name: values[name] for name in defaults()}


def _origin(weights: str) -> Card | None:
    """The card of the model whose weights a run starts from, if that is where it starts."""
    return None if weights in (SCRATCH, IMAGENET) else open_checkpoint(weights).card()


def _variations(values: dict[str, Any], key: str) -> dict[str, list[Any]]:
    """Settings of which several values are to be tried, with these values; none for a single run."""
    part = st.expander("Try several values, one run after another", icon=":material/grid_view:")
    varied: list[str] = part.multiselect(
        "Settings to vary", [name for name in defaults() if name != "weights"], format_func=label_of,
        max_selections=MOST_VARIED, key=f"varied_{key}",
        help="Every combination is trained as a run of its own; Models then shows them side by side.",
    )  # fmt: skip
    grid = {}
    for name in varied:
        written = part.text_input(
            f"Values of “{label_of(name).lower()}”", f"{values[name]}", key=f"values_{name}_{key}",
            help=f"{explanation(name)} Several values with commas between them, such as {_example(name)}.",
        )  # fmt: skip
        grid[name] = parse_values(name, written)
    if grid:
        configs = plan(values, grid)
        part.caption(f"{len(configs):,} runs, one after another: about {len(configs):,} times as long as one.")
    return grid


def _example(setting: str) -> str:
    usual = defaults()[setting]
    if choices := TrainConfig.__dataclass_fields__[setting].metadata["choices"]:
        return ", ".join(choices[:2])
    return "no, yes" if isinstance(usual, bool) else f"{usual}, {usual * 2 or 1}"


def _memory_warning(grid: dict[str, list[Any]], values: dict[str, Any], dataset: Path) -> str | None:
    """The sentence that the run, or the largest of a sweep, will probably not fit into this machine."""
    configs = plan(values, grid) if grid else [TrainConfig(**values)]
    with st.spinner("Checking that it fits into this machine…"), open_dataset(dataset) as opened:
        from xrai.blueprint import too_large

        return too_large(configs, len(opened.classes))


def _start(name: str, dataset: Path, values: dict[str, Any], grid: dict[str, list[Any]]) -> None:
    """Start a run, or a sweep where there is something to vary."""
    _refuse_a_second_run()
    checkpoint = open_checkpoint(name)
    if checkpoint.is_taken:
        raise CheckpointError(f"There is already a model or run “{name}”: choose another name.")
    if grid:
        sweep = create(name, dataset, values, grid)
        jobs.start(["sweep", "--name", name, "--resume"], sweep.folder, title=name)
        _show(SWEEP + name)
    arguments = ["train", str(dataset), "--name", name, *TrainConfig(**values).arguments()]
    jobs.start(arguments, checkpoint.folder, title=name, details={"arguments": arguments})
    _show(name)


def _free_name() -> str:
    taken = {item.name.lower() for item in checkpoints_dir().iterdir()}
    taken |= {sweep.name.lower() for sweep in list_sweeps()}
    return next(name for name in (f"model-{number}" for number in range(1, 100_000)) if name not in taken)


def _take(name: str | None, settings: dict[str, Any], dataset: str | None = None) -> None:
    """Put the settings of a run, or none, into the form."""
    state = st.session_state
    state["train_taken"], state["train_settings"], state["train_dataset"] = name, settings, dataset
    state["train_generation"] = state.get("train_generation", 0) + 1
    if name:
        state["train_view_wanted"] = NEW_RUN
    st.rerun()


def _show(name: str) -> None:
    """Go to a run."""
    st.session_state["train_shown"] = name
    st.session_state["train_view_wanted"] = WATCH_RUN
    st.rerun()


# ---------------------------------------------------------------- watching


def _watch(runs: list[Checkpoint], sweeps: list[Sweep]) -> None:
    shown: dict[str, Checkpoint | Sweep] = {SWEEP + sweep.name: sweep for sweep in sweeps}
    shown |= {run.name: run for run in runs}
    names = [*(run.name for run in runs), *(SWEEP + sweep.name for sweep in sweeps)]
    wanted = st.session_state.get("train_shown")
    active = [SWEEP + job.folder.name for job in active_sweeps()]
    active += [job.folder.name for job in jobs.active_in(checkpoints_dir())]
    first = next(name for name in (wanted, *active, *names) if name in shown)
    name = st.selectbox("Run", names, names.index(first), key=f"train_run_{first}") if len(names) > 1 else names[0]
    chosen = shown[name]
    if isinstance(chosen, Sweep):
        job = chosen.job
        watch(job, job.status, lambda job, status: _sweep(chosen, job, status))
    else:
        job = jobs.Job(chosen.folder)
        watch(job, job.status, lambda job, status: _run(chosen, job, status))


def _sweep(sweep: Sweep, job: jobs.Job, status: jobs.Status) -> None:
    """One sweep: how it stands, and what can be done now."""
    show_sweep(sweep, job, status)
    running = next((run.name for run in sweep.runs if jobs.Job(checkpoints_dir() / run.name).is_active), None)
    with st.container(horizontal=True):
        if running and st.button("Watch the run", icon=":material/visibility:", key=f"watch_{sweep.name}"):
            _show(running)
        resumable = status in ("stopped", "interrupted", "failed")
        if resumable and st.button("Go on with the sweep", type="primary", icon=":material/play_arrow:"):
            with stated_errors():
                _refuse_a_second_run()
                jobs.start(["sweep", "--name", sweep.name, "--resume"], sweep.folder, title=sweep.name)
                _show(SWEEP + sweep.name)
    if status not in jobs.ACTIVE and st.button("Compare its runs", icon=":material/inventory_2:"):
        show_among_models(*(run.name for run in sweep.runs if Checkpoint(checkpoints_dir() / run.name).is_model))


def _run(checkpoint: Checkpoint, job: jobs.Job, status: jobs.Status) -> None:
    """One run: how it stands, what can be done now, its curves."""
    records = job.records()
    is_active = status in jobs.ACTIVE
    with heading(checkpoint.name, status):
        if is_active:
            stop_button(job, checkpoint.name)
    show_progress(records, status)
    say_how_it_ended(job, status, "The run", then="It can go on.")
    if not is_active:
        _next_steps(checkpoint, status, records)
    if any(record["kind"] in ("step", "epoch") for record in records):
        show_curves(checkpoint, records, None if is_active else _final(checkpoint))
    elif is_active:
        st.info("The first numbers come in a few seconds: Python is loading what training needs.")
    log = "" if is_active else job.log()
    if log:
        with st.expander("Log, for whoever helps when something went wrong", icon=":material/article:"):
            st.code(log, language=None)


def _final(checkpoint: Checkpoint) -> dict[str, Any] | None:
    """The measures of a finished model; what is wrong with a damaged one is said elsewhere on the page."""
    with suppress(CheckpointError):
        return checkpoint.card().validation if checkpoint.is_model else None
    return None


def _next_steps(checkpoint: Checkpoint, status: str, records: list[dict[str, Any]]) -> None:
    """What came out of a run that is not active, and what can be done with it."""
    if checkpoint.is_model:
        with stated_errors():
            _ready(checkpoint)
    elif status == "stopped":
        st.info("There is no model yet: the run had not finished its first epoch. Let it go on for one.")
    with st.container(horizontal=True):
        resumable = checkpoint.can_resume and status in ("stopped", "interrupted", "failed")
        if resumable and st.button("Go on training", type="primary", icon=":material/play_arrow:"):
            with stated_errors():
                _resume(checkpoint)
        known = (checkpoint.folder / CONFIG).is_file()
        if known and st.button("Run again with other settings", icon=":material/tune:"):
            with stated_errors():
                asked = checkpoint.config()
                files = [str(file) for file in list_datasets() if shown_path(file) == asked["dataset"]]
                _take(checkpoint.name, asked["train"], files[0] if files else None)
        if any(record["kind"] == "epoch" for record in records):
            downloads(checkpoint, records)


def _ready(checkpoint: Checkpoint) -> None:
    card = checkpoint.card()
    words = (
        f"The model “{card.name}” is ready: on {card.validation['n']:,} validation scans it called "
        f"{span(card.validation['accuracy'], card.validation['accuracy_interval'])} right, "
        f"AUC {span(card.validation['auc'], card.validation['auc_interval'], as_percent=False)}. "
        f"It tells apart {listed(list(map(nice, card.classes)))}."
    )
    if card.weakness:
        st.warning(plain(f"{words} {card.weakness}"))
    else:
        st.success(plain(words), icon=":material/check_circle:")
    with st.container(horizontal=True):
        if st.button("Read scans with it", icon=":material/stethoscope:"):
            read_scans_with(checkpoint.name)
        if st.button("Measure it on test scans", icon=":material/fact_check:"):
            evaluate_model(checkpoint.name)
        if st.button("Compare it with others", icon=":material/inventory_2:"):
            show_among_models(checkpoint.name)


def _refuse_a_second_run() -> None:
    active = [*active_sweeps(), *jobs.active_in(checkpoints_dir())]
    if active:
        raise JobError(f"“{active[0].folder.name}” is being trained now: wait until it is done, or stop it first.")


def _resume(checkpoint: Checkpoint) -> None:
    _refuse_a_second_run()
    jobs.start(["train", "--name", checkpoint.name, "--resume"], checkpoint.folder, title=checkpoint.name)
    _show(checkpoint.name)


if wanted := st.session_state.pop("train_view_wanted", None):
    st.session_state["train_view"] = wanted
main()
