"""Train: start a run with a few choices or many, and watch it learn."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, Literal

import streamlit as st

from pages.shared.jobs import stop_button, watch
from pages.shared.page import duration, head, nice, plain, span, stated_errors
from xrai import jobs
from xrai.checkpoint import CONFIG, Checkpoint, list_checkpoints, open_checkpoint
from xrai.config import NETWORKS, PRESETS, TrainConfig, defaults
from xrai.dataset import list_datasets, open_dataset
from xrai.errors import CheckpointError, JobError
from xrai.figures import accuracy_curves, auc_curves, loss_curves, page_of
from xrai.settings import checkpoints_dir, shown_path

NEW, WATCH = "Start a run", "Watch a run"
PRESET_WORDS = {
    "Quick look": "minutes: a small network on small pictures, to see that all works",
    "Balanced": "the better part of an hour for some thousand scans: a good network at a moderate size",
    "Best": "hours without a graphics card: finer pictures, more variation, more rounds",
}
GROUPS = {
    "Learning": (
        "learning_rate",
        "optimizer",
        "schedule",
        "weight_decay",
        "label_smoothing",
        "patience",
        "ema",
        "dropout",
    ),
    "Variation of the scans": ("balance", "augment", "erase", "mixup", "flip"),
    "Shape of the plain convnet": ("blocks", "filters", "dense_layers", "dense_units", "activation"),
    "Machine": ("precision", "devices", "seed"),
}
LABELS = {"ema": "Weight averaging", "mixup": "Mixing of scans", "augment": "Strength of variation", "erase": "Hidden patches",
          "flip": "Mirror left to right", "patience": "Early stopping", "blocks": "Convolution blocks",
          "filters": "Filters of the first block", "weights": "Start from"}  # fmt: skip
Colour = Literal["blue", "green", "orange", "red"]
STATUS: dict[str, tuple[str, Colour, str]] = {
    "starting": ("Starting", "blue", ":material/hourglass:"),
    "running": ("Training", "blue", ":material/model_training:"),
    "done": ("Done", "green", ":material/check_circle:"),
    "stopped": ("Stopped", "orange", ":material/stop_circle:"),
    "failed": ("Failed", "red", ":material/error:"),
    "interrupted": ("Interrupted", "orange", ":material/power_off:"),
    "none": ("Done", "green", ":material/check_circle:"),
}
CHART = {
    "displaylogo": False,
    "displayModeBar": True,
    "modeBarButtons": [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
}


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
        view = NEW
        if runs:
            started_here = any((run.folder / jobs.JOB).is_file() for run in runs)  # the model in the box was not
            st.session_state.setdefault("train_view", WATCH if started_here else NEW)
            view = st.segmented_control(
                "What to do", [WATCH, NEW], key="train_view", required=True, label_visibility="collapsed",
                persist_state="session",
            )  # fmt: skip
        if view == WATCH:
            _watch(runs)
        elif datasets:
            _new(datasets)
        else:
            st.info("There is no dataset yet to learn from. Build one first: it takes a few clicks.")
            st.page_link("pages/lab/dataset.py", label="Build a dataset", icon=":material/folder_open:")


# ---------------------------------------------------------------- a new run


def _new(datasets: list[Path]) -> None:
    state = st.session_state
    _notice_of_others()
    taken = state.get("train_taken")
    if taken:
        left, right = st.columns([5, 1], vertical_alignment="center")
        left.info(f"The settings below are those of “{taken}”. Change what you like and start.")
        if right.button("Forget them", type="tertiary"):
            _take(None, {})
        chosen, origin = defaults() | state["train_settings"], taken
    else:
        origin = st.radio(
            "How thorough",
            list(PRESETS),
            captions=list(PRESET_WORDS.values()),
            key="train_preset",
            persist_state="session",
        )
        chosen = defaults() | PRESETS[origin]
    key = f"{origin}_{state.get('train_generation', 0)}"
    with st.form("train_form", border=False, enter_to_submit=False):
        left, right = st.columns(2)
        names = [str(file) for file in datasets]
        known = state.get("train_dataset")
        dataset = left.selectbox(
            "Dataset", names, index=names.index(known) if known in names else 0, format_func=lambda item: Path(item).stem,
            key=f"train_dataset_{key}",
        )  # fmt: skip
        name = right.text_input("Name of the model", _free_name(), max_chars=80, key=f"train_name_{key}")
        config = _controls(chosen, key)
        with st.container(horizontal=True):
            started = st.form_submit_button("Start training", type="primary", icon=":material/play_arrow:")
            previewed = st.form_submit_button("Show what it will see", icon=":material/visibility:")
    if started:
        with stated_errors():
            _start(name.strip(), Path(dataset), TrainConfig(**config))
    if previewed:
        with stated_errors():
            _preview(Path(dataset), TrainConfig(**config))


@st.fragment(run_every=3.0)
def _notice_of_others() -> None:
    """Say when a run is going on, also one that another tab or the command line has started meanwhile."""
    active = jobs.active_in(checkpoints_dir())
    if not active:
        return
    name = active[0].folder.name
    left, right = st.columns([5, 1], vertical_alignment="center")
    left.info(f"“{name}” is being trained now. A second run at once would slow both down: wait, or stop it.")
    if right.button("Watch it", icon=":material/visibility:"):
        _show(name)


def _controls(chosen: dict[str, Any], key: str) -> dict[str, Any]:
    """One control for every setting; gives the settings as they stand."""
    by_name = {item.name: item for item in fields(TrainConfig)}
    values: dict[str, Any] = {}
    main = st.grid(5, min_column_width=140)
    for name in ("network", "weights", "image_size", "epochs", "batch_size"):
        with main.cell():
            values[name] = _control(by_name[name], chosen[name], key)
    with st.expander("All settings", icon=":material/tune:"):
        for group, names in GROUPS.items():
            st.markdown(f"**{group}**")
            grid = st.grid(4, min_column_width=150)
            for name in names:
                with grid.cell():
                    values[name] = _control(by_name[name], chosen[name], key)
    return values


def _control(item: Field[Any], value: Any, key: str) -> Any:
    rules = item.metadata
    label = LABELS.get(item.name, item.name.replace("_", " ").capitalize())
    help_text = rules["help"][0].upper() + rules["help"][1:] + "."
    key = f"train_{item.name}_{key}"
    if rules["choices"]:
        words: Callable[[str], str] = str
        if item.name == "network":
            words = _network_name
            help_text += "".join(f"\n- {line}" for line in NETWORKS.values())
        options = list(rules["choices"])
        return st.selectbox(label, options, options.index(value), format_func=words, help=help_text, key=key)
    if isinstance(value, bool):
        return st.checkbox(label, value, help=help_text, key=key)
    if isinstance(value, int):
        return int(st.number_input(label, int(rules["low"]), int(rules["high"]), value, help=help_text, key=key))
    step = 0.0001 if item.name == "learning_rate" else 0.05
    digits = "%.6g" if item.name == "learning_rate" else "%.4g"
    low, high = float(rules["low"]), float(rules["high"])
    return float(st.number_input(label, low, high, float(value), step, digits, help=help_text, key=key))


def _network_name(network: str) -> str:
    return NETWORKS[network].split(":")[0]


def _start(name: str, dataset: Path, config: TrainConfig) -> None:
    checkpoint = open_checkpoint(name)
    _refuse_a_second_run()
    if checkpoint.is_taken:
        raise CheckpointError(f"There is already a model or run “{name}”: choose another name.")
    arguments = ["train", str(dataset), "--name", name, *config.arguments()]
    jobs.start(arguments, checkpoint.folder, title=name, details={"arguments": arguments})
    _show(name)


def _preview(dataset: Path, config: TrainConfig) -> None:
    with st.spinner("Drawing a few scans…"), open_dataset(dataset) as opened:
        from xrai.augmentation import preview

        rows = [
            row
            for label in range(len(opened.classes))
            for row in opened.rows("train", label)[: 6 // len(opened.classes) or 1]
        ]
        squares = opened.images(rows[:6])
        varied = preview(squares, config)
    st.caption(
        "Above: scans as the network sees them when it is tested. Below: one of the endless variations it learns from."
    )
    for pictures in (preview(squares, config, varied=False), varied):
        grid = st.grid(6, min_column_width=100)
        for picture in pictures:
            grid.image(picture, width="stretch")


def _free_name() -> str:
    taken = {item.name.lower() for item in checkpoints_dir().iterdir()}
    return next(name for name in (f"model-{number}" for number in range(1, 100_000)) if name not in taken)


def _take(name: str | None, settings: dict[str, Any], dataset: str | None = None) -> None:
    """Put the settings of a run, or none, into the form."""
    state = st.session_state
    state["train_taken"], state["train_settings"], state["train_dataset"] = name, settings, dataset
    state["train_generation"] = state.get("train_generation", 0) + 1
    if name:
        state["train_view_wanted"] = NEW
    st.rerun()


def _show(name: str) -> None:
    """Go to a run."""
    st.session_state["train_shown"] = name
    st.session_state["train_view_wanted"] = WATCH
    st.rerun()


# ---------------------------------------------------------------- watching


def _watch(runs: list[Checkpoint]) -> None:
    names = [run.name for run in runs]
    wanted = st.session_state.get("train_shown")
    active = [job.folder.name for job in jobs.active_in(checkpoints_dir())]
    first = next(name for name in (wanted, *active, *names) if name in names)
    name = st.selectbox("Run", names, names.index(first), key=f"train_run_{first}") if len(names) > 1 else names[0]
    checkpoint = runs[names.index(name)]
    watch(jobs.Job(checkpoint.folder), lambda job: _run(checkpoint, job))


def _run(checkpoint: Checkpoint, job: jobs.Job) -> None:
    """One run: how it stands, what can be done now, its curves."""
    records = job.records()
    status = job.status  # a look at the lock that takes its time: once a drawing
    is_active = status in jobs.ACTIVE
    word, colour, icon = STATUS[status]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(plain(checkpoint.name), anchor=False, width="content")
        st.badge(word, color=colour, icon=icon)
        if is_active:
            stop_button(job, checkpoint.name)
    _progress(records, status)
    if status == "failed":
        st.error(plain(job.error), icon=":material/error:")
    elif status == "interrupted":
        st.warning("The run was interrupted, perhaps because the computer was switched off. It can go on.")
    if not is_active:
        _next_steps(checkpoint, status, records)
    if any(record["kind"] in ("step", "epoch") for record in records):
        _curves(checkpoint, records)
    elif is_active:
        st.info("The first numbers come in a few seconds: Python is loading what training needs.")
    log = "" if is_active else job.log()
    if log:
        with st.expander("Log, for whoever helps when something went wrong", icon=":material/article:"):
            st.code(log, language=None)


def _curves(checkpoint: Checkpoint, records: list[dict[str, Any]]) -> None:
    _numbers(records)
    grid = st.grid(2, min_column_width=340)
    for kind, figure in _figures(records).items():
        grid.plotly_chart(figure, key=f"train_{kind}_{checkpoint.name}", config=_chart(f"{checkpoint.name}-{kind}"))
    with grid.cell():
        _reading_aid(records)


def _progress(records: list[dict[str, Any]], status: str) -> None:
    plan = next((record for record in reversed(records) if record["kind"] in ("start", "resume")), None)
    steps = [record for record in records if record["kind"] == "step"]
    if plan is None or not steps or status not in jobs.ACTIVE:
        return
    last, done = steps[-1], sum(record["kind"] == "epoch" for record in records)  # steps may be told less often
    progress = max(last["progress"], done)
    if progress >= plan["epochs"]:
        st.progress(1.0, text="Finishing: choosing and measuring the best weights")
        return
    epoch = min(int(progress) + 1, plan["epochs"])
    speed, left = f"{last['images_per_second']:,.0f} images a second", f"about {duration(last['seconds_left'])} left"
    st.progress(progress / plan["epochs"], text=f"Epoch {epoch} of {plan['epochs']}, {speed}, {left}")


def _numbers(records: list[dict[str, Any]]) -> None:
    epochs = [record for record in records if record["kind"] == "epoch"]
    grid = st.grid(4, min_column_width=160)
    if not epochs:
        last = [record for record in records if record["kind"] == "step"][-1]
        grid.metric("Training loss just now", f"{last['loss']:.3f}")
        grid.metric("Training accuracy just now", f"{last['accuracy']:.0%}")
        grid.caption("Validation comes at the end of the first epoch.")
        return
    best = [record for record in epochs if record["best"]][-1]
    validation = best["val"]
    grid.metric("Best epoch so far", f"{best['epoch']} of {len(epochs)}")
    with grid.cell():
        st.metric("Validation accuracy", f"{validation['accuracy']:.1%}", help=_interval_help(validation["n"]))
        st.caption(_interval(validation["accuracy_interval"], as_percent=True))
    with grid.cell():
        area = "–" if validation["auc"] is None else f"{validation['auc']:.3f}"
        st.metric("Validation AUC", area, help="How well the classes are told apart: 0.5 is guessing, 1 is perfect.")
        st.caption(_interval(validation["auc_interval"], as_percent=False))
    grid.metric("Validation loss", f"{validation['loss']:.3f}")


def _interval(interval: list[float] | None, *, as_percent: bool) -> str:
    if not interval:
        return "not defined: a class is missing"
    low, high = (f"{value:.1%}" if as_percent else f"{value:.3f}" for value in interval)
    return f"95 % interval {low} to {high}"


def _interval_help(n: int) -> str:
    return (
        f"Measured on {n:,} scans held out from learning. The interval says how far chance alone could have moved it."
    )


def _figures(records: list[dict[str, Any]]) -> dict[str, Any]:
    return {"loss": loss_curves(records), "accuracy": accuracy_curves(records), "auc": auc_curves(records)}


def _chart(name: str) -> dict[str, Any]:
    return CHART | {"toImageButtonOptions": {"format": "png", "scale": 2, "filename": name}}


def _reading_aid(records: list[dict[str, Any]]) -> None:
    plan = next(record for record in reversed(records) if record["kind"] in ("start", "resume"))
    st.markdown("**How to read the curves**")
    st.markdown(
        "- **Loss** is how wrong the answers are: lower is better. **Accuracy** is the share called right. **AUC** is how "
        "well the classes are told apart: 0.5 is guessing, 1 is perfect.\n"
        "- The **validation** curves count: those scans are held out from learning. "
        "Training and validation falling together is learning; training falling while validation rises is learning by heart.\n"
        "- The **band** is the 95 % interval: with few validation scans it is wide, and small ups and downs mean nothing.\n"
        "- The weights of the **best epoch** on validation are kept, not the last ones.\n"
        "- Training accuracy looks lower than it is when scans are varied, hidden in part or mixed.\n"
        "- The camera above a chart saves it as PNG."
    )
    st.caption(
        f"{plan['train']:,} training and {plan['val']:,} validation scans, {plan['parameters']:,} weights, "
        f"{plan['device']}, {plan['precision']}."
    )


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
            _downloads(checkpoint, records)


def _ready(checkpoint: Checkpoint) -> None:
    card = checkpoint.card()
    interval = card.validation["auc_interval"]
    better_than_guessing = interval is not None and interval[0] > 0.5
    words = (
        f"The model “{card.name}” is ready: on {card.validation['n']:,} validation scans it called "
        f"{span(card.validation['accuracy'], card.validation['accuracy_interval'])} right, "
        f"AUC {span(card.validation['auc'], interval, as_percent=False)}. "
        f"It tells apart {' and '.join(nice(name) for name in card.classes)}."
    )
    if better_than_guessing:
        st.success(plain(words), icon=":material/check_circle:")
    else:
        st.warning(plain(f"{words} It may be no better than guessing: train longer, or on more scans."))
    st.page_link("pages/clinic/diagnose.py", label="Read scans with it", icon=":material/stethoscope:")


def _downloads(checkpoint: Checkpoint, records: list[dict[str, Any]]) -> None:
    st.download_button(
        "History (CSV)", lambda: _history_csv(records), f"{checkpoint.name}-history.csv", "text/csv",
        icon=":material/download:", on_click="ignore",
    )  # fmt: skip
    st.download_button(
        "Charts (HTML)", lambda: page_of(_figures(records), checkpoint.name), f"{checkpoint.name}-charts.html",
        "text/html", icon=":material/download:", on_click="ignore",
    )  # fmt: skip


def _refuse_a_second_run() -> None:
    active = jobs.active_in(checkpoints_dir())
    if active:
        raise JobError(f"“{active[0].folder.name}” is being trained now: wait until it is done, or stop it first.")


def _resume(checkpoint: Checkpoint) -> None:
    _refuse_a_second_run()
    jobs.start(["train", "--name", checkpoint.name, "--resume"], checkpoint.folder, title=checkpoint.name)
    _show(checkpoint.name)


def _history_csv(records: list[dict[str, Any]]) -> str:
    """The epochs of a run as a table."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = ("loss", "accuracy", "auc")
    writer.writerow(
        ["epoch", *(f"train_{name}" for name in columns), *(f"val_{name}" for name in columns),
         "val_accuracy_low", "val_accuracy_high", "val_auc_low", "val_auc_high", "learning_rate", "seconds", "best"]
    )  # fmt: skip
    for record in records:
        if record["kind"] == "epoch":
            train, val = record["train"], record["val"]
            intervals = [*(val["accuracy_interval"] or ("", "")), *(val["auc_interval"] or ("", ""))]
            writer.writerow(
                [record["epoch"], *(train[name] for name in columns), *(val[name] for name in columns),
                 *intervals, record["learning_rate"], record["seconds"], record["best"]]
            )  # fmt: skip
    return out.getvalue()


if wanted := st.session_state.pop("train_view_wanted", None):
    st.session_state["train_view"] = wanted
main()
