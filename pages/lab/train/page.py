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
from pages.shared.audit_view import check_of, in_a_line
from pages.shared.formatting import listed, nice, plain, span
from pages.shared.jobs import say_how_it_ended, stop_button, watch
from pages.shared.navigation import (
    NEW_RUN,
    WATCH_RUN,
    evaluate_model,
    needs_a_dataset,
    read_scans_with,
    show_among_models,
)
from pages.shared.page import head, stated_errors
from pages.shared.runs import downloads, heading, show_curves, show_progress
from pages.shared.settings import GROUPS, LEARNED, MAIN, control, explanation, in_words, label_of, name_of
from xrai.core import jobs
from xrai.core.errors import CheckpointError, JobError, SettingsError
from xrai.core.language import N_, number, tr, translate, trn
from xrai.core.paths import checkpoints_dir, shown_path
from xrai.data.dataset import list_datasets, open_dataset
from xrai.models import default_model
from xrai.models.checkpoint import CONFIG, Card, Checkpoint, list_checkpoints, list_models, open_checkpoint
from xrai.networks.config import FROM_MODEL, IMAGENET, PRESETS, SCRATCH, TrainConfig, concerns, defaults, worded
from xrai.training.sweep import CombinationError, Sweep, active_sweeps, create, list_sweeps, parse_values, plan

OWN_MODEL = N_("From one of your models")
PRESET_WORDS = {
    N_("Quick look"): N_("minutes: a small network on small pictures, to see that all works"),
    N_("Balanced"): N_("the better part of an hour for some thousand scans: a good network at a moderate size"),
    N_("Best"): N_("hours without a graphics card: four networks side by side, more variation, more rounds"),
    OWN_MODEL: N_("goes on from what a model here has learned, also for other classes: the best start for few scans"),
    N_("Transfer learning"): N_(
        "ResNet-101 that has learned from a million photos: wants a graphics card, and internet the first time"
    ),
}
YES, NO = N_("yes"), N_("no")
MOST_VARIED = 4
SWEEP = "sweep: "  # what the name of a sweep begins with among the runs; no model's name holds a colon


def main() -> None:
    """The page."""
    head(
        tr("Train"),
        tr("A model learns from the scans of a dataset. It goes on when you close this page or this browser."),
    )
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
                tr("What to do"), [WATCH_RUN, NEW_RUN], format_func=tr, key="train_view", required=True,
                label_visibility="collapsed", persist_state="session",
            )  # fmt: skip
        if view == WATCH_RUN:
            _watch(runs, sweeps)
        elif datasets:
            _new(datasets)
        else:
            needs_a_dataset(tr("There is no dataset yet to learn from. Build one first: it takes a few clicks."))


# ---------------------------------------------------------------- a new run


def _new(datasets: list[Path]) -> None:
    state = st.session_state
    _notice_of_others()
    taken = state.get("train_taken")
    if taken:
        left, right = st.columns([5, 1], vertical_alignment="center")
        left.info(_taken_words(plain(taken), state.get("train_changes", {})))
        if right.button(tr("Forget them"), type="tertiary", key="train_forget"):
            _take(None, {})
        chosen, origin = defaults() | state["train_settings"], taken
    else:
        offered = [name for name in PRESET_WORDS if name != OWN_MODEL or default_model()]
        origin = st.radio(
            tr("What kind of training"),
            offered,
            format_func=tr,
            captions=[tr(PRESET_WORDS[name]) for name in offered],
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
        tr("Dataset"), names, index=names.index(known) if known in names else 0, format_func=lambda item: Path(item).stem,
        key=f"train_dataset_{key}",
    )  # fmt: skip
    with left, stated_errors(), open_dataset(dataset) as opened:
        st.caption(in_a_line(check_of(opened)))
    name = right.text_input(tr("Name of the model"), _free_name(), max_chars=80, key=f"train_name_{key}").strip()
    with stated_errors():
        values = _controls(chosen, key)
        show_layers(values, Path(dataset), key)
        grid = _variations(values, key)
        with st.container(horizontal=True):
            word = tr("Start the sweep") if grid else tr("Start training")
            started = st.button(word, type="primary", icon=":material/play_arrow:", key=f"start_{key}")
            previewed = st.button(tr("Show what it will see"), icon=":material/visibility:", key=f"preview_{key}")
        anyway = f"anyway_{key}"
        if started and (warning := _memory_warning(grid, values, Path(dataset))):
            st.session_state[anyway] = (warning, values)
        elif started:
            _start(name, Path(dataset), values, grid)
        known_warning = st.session_state.get(anyway)
        if known_warning and known_warning[1] == values:
            st.warning(plain(translate(known_warning[0])), icon=":material/memory:")
            if st.button(tr("Start all the same"), key=f"start_{anyway}"):
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
    left.info(
        tr("“{name}” is being trained now. A second run at once would slow both down: wait, or stop it.", name=name)
    )
    if right.button(tr("Watch it"), icon=":material/visibility:", key="train_watch_it"):
        _show(name if runs else SWEEP + name)


def _taken_words(name: str, changes: dict[str, Any]) -> str:
    """Whose settings the form holds, and which of them were changed for what that run's curves showed."""
    if not changes:
        return tr("The settings below are those of “{name}”. Change what you like and start.", name=name)
    return tr(
        "The settings below are those of “{name}”, but for these: {settings}. Change what you like and start.",
        name=name, settings=plain(in_words(changes)),
    )  # fmt: skip


def _controls(chosen: dict[str, Any], key: str) -> dict[str, Any]:
    """One control for every setting; gives the settings as they stand."""
    models = [model.name for model in list_models()]
    if chosen["weights"] not in (SCRATCH, IMAGENET, *models):
        st.warning(
            tr(
                "The model “{name}”, from which that run started, is no longer here under that name: "
                "choose another start, or begin from scratch.",
                name=plain(chosen["weights"]),
            ),
            icon=":material/link_off:",
        )
        chosen = chosen | {"weights": SCRATCH}
    values = {"weights": st.session_state.get(f"weights_{key}", chosen["weights"])}
    origin = _origin(values["weights"])
    imposed = origin.config.shape if origin else {}
    fixed = set(origin.config.layer_settings) if origin else set()
    if values["weights"] == SCRATCH:
        imposed, fixed = {"head_epochs": 0}, set(GROUPS[LEARNED])
    elif st.session_state.get("train_taken") and chosen["weights"] == values["weights"]:
        imposed = {name: value for name, value in imposed.items() if name in fixed}  # the run had its own of the others
    chosen = chosen | imposed
    key_of = {name: f"{key}_{values['weights']}" if name in imposed else key for name in defaults()}

    def put(names: Iterable[str], columns: int, width: int) -> None:
        grid = st.grid(columns, min_column_width=width)
        for name in names:
            with grid.cell():
                options = (SCRATCH, IMAGENET, *models) if name == "weights" else ()
                value, own = chosen[name], key_of[name]
                idle = not concerns(name, values.get("network", chosen["network"]))
                if idle and name == "members":  # which would be refused
                    value, own = 1, f"{own}_idle"
                values[name] = control(name, value, own, disabled=idle or name in fixed, options=options)

    put(MAIN, 5, 150)
    if origin:
        st.caption(_inherited(origin))
    with st.expander(tr("All settings"), icon=":material/tune:", key=f"all_settings_{key}"):
        for group, names in GROUPS.items():
            st.markdown(f"**{tr(group)}**")
            put(names, 4, 150)
    return {name: values[name] for name in defaults()}


def _inherited(origin: Card) -> str:
    if not (population := origin.dataset.get("population")):
        return tr(
            "It takes over what **{name}** has learned from its scans; the kind of network is given by that.",
            name=plain(origin.name),
        )
    return tr(
        "It takes over what **{name}** has learned from {population}; the kind of network is given by that.",
        name=plain(origin.name),
        population=plain(translate(population)),
    )


def _origin(weights: str) -> Card | None:
    """The card of the model whose weights a run starts from, if that is where it starts."""
    return None if weights in (SCRATCH, IMAGENET) else open_checkpoint(weights).card()


def _variations(values: dict[str, Any], key: str) -> dict[str, list[Any]]:
    """Settings of which several values are to be tried, with these values; none for a single run."""
    part = st.expander(
        tr("Try several values, one run after another"), icon=":material/grid_view:", key=f"several_values_{key}"
    )
    varied: list[str] = part.multiselect(
        tr("Settings to vary"), [name for name in defaults() if name != "weights"], format_func=label_of,
        max_selections=MOST_VARIED, key=f"varied_{key}", placeholder=tr("Choose options"), select_all=False,
        help=tr("Every combination is trained as a run of its own; Models then shows them side by side."),
    )  # fmt: skip
    grid = {}
    for name in varied:
        written = part.text_input(
            tr("Values of “{setting}”", setting=name_of(name)), _typed(values[name]), key=f"values_{name}_{key}",
            help=tr(
                "{explanation} Several values with commas between them, such as {example}.",
                explanation=explanation(name), example=_example(name),
            ),
        )  # fmt: skip
        grid[name] = parse_values(name, _as_english(name, written))
    if grid:
        configs = _planned(values, grid)
        part.caption(
            trn(
                "{n:,} run: about as long as one by itself.",
                "{n:,} runs, one after another: about {n:,} times as long as one.",
                len(configs),
            )
        )
    return grid


def _planned(values: dict[str, Any], grid: dict[str, list[Any]]) -> list[TrainConfig]:
    """The runs of a sweep; that one cannot be trained is said with the settings as pages call them."""
    try:
        return plan(values, grid)
    except CombinationError as error:
        message = tr(
            "The combination “{settings}” cannot be trained: {reason}",
            settings=in_words(error.settings),
            reason=translate(error.reason),
        )
        raise SettingsError(message) from error


def _example(setting: str) -> str:
    usual = defaults()[setting]
    if choices := TrainConfig.__dataclass_fields__[setting].metadata["choices"]:
        return ", ".join(choices[:2])
    return _typed(False, True) if isinstance(usual, bool) else _typed(usual, usual * 2 or 1)


def _typed(*values: Any) -> str:
    """Values as a person types them, who writes 0,001 in French and then needs semicolons."""
    words = [tr(worded(value)) if isinstance(value, bool) else worded(value) for value in values]
    if _has_decimal_comma() and any(isinstance(value, float) for value in values):
        return "; ".join(map(number, words))
    return ", ".join(words)


def _as_english(setting: str, written: str) -> str:
    """What a person typed, as the engine reads it; a text typed in French stays one after a switch to English."""
    usual = defaults()[setting]
    if isinstance(usual, float) and (_has_decimal_comma() or ";" in written):
        return re.sub(r"(?<=\d),(?=\d)", ".", written)
    if isinstance(usual, bool):
        english = {tr(word): word for word in (YES, NO)}
        return ", ".join(english.get(word.strip().lower(), word) for word in re.split("[,;]", written))
    return written


def _has_decimal_comma() -> bool:
    return number(".") == ","


def _memory_warning(grid: dict[str, list[Any]], values: dict[str, Any], dataset: Path) -> str | None:
    """The sentence that the run, or the largest of a sweep, will probably not fit into this machine."""
    configs = plan(values, grid) if grid else [TrainConfig(**values)]
    with st.spinner(tr("Checking that it fits into this machine…")), open_dataset(dataset) as opened:
        from xrai.networks.summary import too_large

        return too_large(configs, len(opened.classes))


def _start(name: str, dataset: Path, values: dict[str, Any], grid: dict[str, list[Any]]) -> None:
    """Start a run, or a sweep where there is something to vary."""
    _refuse_a_second_run()
    checkpoint = open_checkpoint(name)
    if checkpoint.is_taken:
        raise CheckpointError(tr("There is already a model or run “{name}”: choose another name.", name=name))
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
    state["train_changes"] = {}
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
    name = names[0]
    if len(names) > 1:
        name = st.selectbox(
            tr("Run"), names, names.index(first), format_func=_run_words, key=f"train_run_{first}"
        )  # fmt: skip
    chosen = shown[name]
    if isinstance(chosen, Sweep):
        job = chosen.job
        watch(job, job.status, lambda job, status: _sweep(chosen, job, status))
    else:
        job = jobs.Job(chosen.folder)
        watch(job, job.status, lambda job, status: _run(chosen, job, status))


def _run_words(name: str) -> str:
    return tr("sweep: {name}", name=name.removeprefix(SWEEP)) if name.startswith(SWEEP) else name


def _sweep(sweep: Sweep, job: jobs.Job, status: jobs.Status) -> None:
    """One sweep: how it stands, and what can be done now."""
    show_sweep(sweep, job, status)
    running = next((run.name for run in sweep.runs if jobs.Job(checkpoints_dir() / run.name).is_active), None)
    with st.container(horizontal=True):
        if running and st.button(tr("Watch the run"), icon=":material/visibility:", key=f"watch_{sweep.name}"):
            _show(running)
        resumable = status in ("stopped", "interrupted", "failed")
        if resumable and st.button(
            tr("Go on with the sweep"), type="primary", icon=":material/play_arrow:", key=f"resume_sweep_{sweep.name}"
        ):
            with stated_errors():
                _refuse_a_second_run()
                jobs.start(["sweep", "--name", sweep.name, "--resume"], sweep.folder, title=sweep.name)
                _show(SWEEP + sweep.name)
    if status not in jobs.ACTIVE and st.button(
        tr("Compare its runs"), icon=":material/inventory_2:", key=f"compare_runs_{sweep.name}"
    ):
        show_among_models(*(run.name for run in sweep.runs if Checkpoint(checkpoints_dir() / run.name).is_model))


def _run(checkpoint: Checkpoint, job: jobs.Job, status: jobs.Status) -> None:
    """One run: how it stands, what can be done now, its curves."""
    records = job.records()
    is_active = status in jobs.ACTIVE
    with heading(checkpoint.name, status):
        if is_active:
            stop_button(job, checkpoint.name)
    show_progress(records, status)
    say_how_it_ended(job, status, tr("The run"), then=tr("It can go on."))
    if not is_active:
        _next_steps(checkpoint, status, records)
    if any(record["kind"] in ("step", "epoch") for record in records):
        show_curves(checkpoint, records, None if is_active else _final(checkpoint))
    elif is_active:
        st.info(tr("The first numbers come in a few seconds: Python is loading what training needs."))
    log = "" if is_active else job.log()
    if log:
        with st.expander(tr("Log, for whoever helps when something went wrong"), icon=":material/article:"):
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
        st.info(tr("There is no model yet: the run had not finished its first epoch. Let it go on for one."))
    with st.container(horizontal=True):
        resumable = checkpoint.can_resume and status in ("stopped", "interrupted", "failed")
        if resumable and st.button(
            tr("Go on training"), type="primary", icon=":material/play_arrow:", key=f"resume_{checkpoint.name}"
        ):
            with stated_errors():
                _resume(checkpoint)
        known = (checkpoint.folder / CONFIG).is_file()
        if known and st.button(
            tr("Run again with other settings"), icon=":material/tune:", key=f"again_{checkpoint.name}"
        ):
            with stated_errors():
                asked = checkpoint.config()
                files = [str(file) for file in list_datasets() if shown_path(file) == asked["dataset"]]
                _take(checkpoint.name, asked["train"], files[0] if files else None)
        if any(record["kind"] == "epoch" for record in records):
            downloads(checkpoint, records)


def _ready(checkpoint: Checkpoint) -> None:
    card = checkpoint.card()
    words = tr(
        "The model “{name}” is ready: on {n:,} validation scans it called {accuracy} right, AUC {auc}. "
        "It tells apart {classes}.",
        name=card.name,
        n=card.validation["n"],
        accuracy=span(card.validation["accuracy"], card.validation["accuracy_interval"]),
        auc=span(card.validation["auc"], card.validation["auc_interval"], as_percent=False),
        classes=listed(list(map(nice, card.classes))),
    )
    if card.weakness:
        st.warning(plain(f"{words} {translate(card.weakness)}"))
    else:
        st.success(plain(words), icon=":material/check_circle:")
    with st.container(horizontal=True):
        if st.button(tr("Read scans with it"), icon=":material/stethoscope:", key=f"read_with_{checkpoint.name}"):
            read_scans_with(checkpoint.name)
        if st.button(tr("Measure it on test scans"), icon=":material/fact_check:", key=f"measure_{checkpoint.name}"):
            evaluate_model(checkpoint.name)
        if st.button(tr("Compare it with others"), icon=":material/inventory_2:", key=f"compare_{checkpoint.name}"):
            show_among_models(checkpoint.name)


def _refuse_a_second_run() -> None:
    active = [*active_sweeps(), *jobs.active_in(checkpoints_dir())]
    if active:
        name = active[0].folder.name
        raise JobError(tr("“{name}” is being trained now: wait until it is done, or stop it first.", name=name))


def _resume(checkpoint: Checkpoint) -> None:
    _refuse_a_second_run()
    jobs.start(["train", "--name", checkpoint.name, "--resume"], checkpoint.folder, title=checkpoint.name)
    _show(checkpoint.name)


if wanted := st.session_state.pop("train_view_wanted", None):
    st.session_state["train_view"] = wanted
main()
