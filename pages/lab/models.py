"""Models: all runs and models side by side; rename, note, choose, export, delete and import them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pandas as pd
import streamlit as st

from pages.shared.page import duration, head, nice, plain, span, stated_errors
from pages.shared.runs import STATUS, chart_config
from pages.shared.settings import GROUPS, label_of, shown_value
from xrai import models
from xrai.checkpoint import Checkpoint
from xrai.config import SHAPE, TrainConfig, defaults
from xrai.errors import XraiError, in_a_sentence
from xrai.figures import interval_dots, overlaid_curves, parallel_settings
from xrai.figures.comparison import MOST_RUNS
from xrai.jobs import ACTIVE, Job
from xrai.models import Summary
from xrai.settings import checkpoints_dir

ALL = "All datasets"
# Streamlit would draw docstrings of constants on the page.
MANY = 8  # with more runs than that, one looks for a name rather than along the rows
AXES = 3  # settings drawn as long as nobody chooses others: more do not fit on a narrow screen
WATCH_SECONDS = 5.0
TABLE = "models_table"
INTERVAL = "The interval says how far chance alone could have moved it."
CHOSEN_COLOURS = "background-color: rgba(217, 130, 43, 0.22); font-weight: 600"


def main() -> None:
    """The page."""
    head("Models", "All runs and models side by side: how good each is, where they differ, and which one reads scans.")
    with stated_errors():
        found = models.summaries()
        if found:
            _all(found)
        else:
            _messages()
            st.info("There is no model yet. Train one: a quick look takes some minutes. Or import one below.")
            st.page_link("pages/lab/train.py", label="Train a model", icon=":material/model_training:")
    _import(is_open=not found)


def _all(found: list[Summary]) -> None:
    _look_out(found)
    shown = _filtered(found)
    names = [item.name for item in found]
    chosen = [name for name in st.session_state.get("models_chosen", []) if name in names]
    st.session_state["models_chosen"] = chosen
    _table(shown)
    _problems(shown)
    st.multiselect(
        "Chosen", names, key="models_chosen", format_func=_whole, persist_state="session",
        placeholder="Tick models in the table, or choose them here",
        help="One to see and change it, two or more to compare them.",
        select_all=False,  # it would come first, so that Enter after a name takes all that begin alike
    )  # fmt: skip
    _messages()
    by_name = {item.name: item for item in found}
    picked = [by_name[name] for name in chosen]
    if not picked:
        st.caption("Tick one model to see, rename, export or delete it; tick two or more to compare them.")
    elif len(picked) == 1:
        _one(picked[0])
    else:
        _compare(picked)
    _what_settings_led_to(shown)


def _messages() -> None:
    """What came of the last click."""
    if trouble := st.session_state.pop("models_trouble", None):
        st.error(plain(_whole(trouble)), icon=":material/error:")
    if done := st.session_state.pop("models_done", None):
        st.success(plain(_whole(done)), icon=":material/check_circle:")


@contextmanager
def _stated_later() -> Iterator[None]:
    """In a callback: keep what went wrong as a sentence for the page that is drawn next."""
    try:
        yield
    except (XraiError, OSError, MemoryError) as error:
        st.session_state["models_trouble"] = in_a_sentence(error)


def _look_out(found: Sequence[Summary]) -> None:
    """While something is being trained: draw the page anew whenever there is something new to see of it."""
    active = [item for item in found if item.status in ACTIVE]
    if not active:
        return
    seen = [(item.name, item.epochs_run) for item in active]

    @st.fragment(run_every=WATCH_SECONDS)
    def live() -> None:
        now = [(item.name, item.epochs_run) for item in models.summaries() if item.status in ACTIVE]
        if now != seen:
            st.rerun()

    live()
    names = _and([f"“{_whole(item.name)}”" for item in active])
    verb = "is" if len(active) == 1 else "are"
    st.info(plain(f"{names} {verb} being trained now: the figures here follow epoch by epoch."))


# ---------------------------------------------------------------- the table


def _filtered(found: list[Summary]) -> list[Summary]:
    """The runs of the chosen dataset whose names hold what is searched for."""
    datasets = sorted({_dataset(item) for item in found if item.dataset})
    dataset, search = ALL, ""
    if len(datasets) > 1 or len(found) > MANY:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            if len(datasets) > 1:
                if st.session_state.get("models_dataset") not in datasets:
                    st.session_state["models_dataset"] = ALL
                dataset = st.selectbox(
                    "Learned from", [ALL, *datasets], key="models_dataset", persist_state="session", width=260
                )
            if len(found) > MANY:
                search = st.text_input("Name contains", key="models_search", persist_state="session", width=260)
    if len(datasets) > 1 and dataset == ALL:
        st.caption(
            "Figures measured on different datasets cannot be compared: choose one dataset to see which model is better."
        )
    words = search.strip().casefold()
    return [
        item
        for item in found
        if (dataset in (ALL, _dataset(item))) and (not words or words in _whole(item.name).casefold())
    ]


def _table(shown: Sequence[Summary]) -> None:
    if not shown:
        st.info("No model fits. Choose another dataset, or search for less.")
        return
    names = [item.name for item in shown]
    rows = [names.index(name) for name in st.session_state["models_chosen"] if name in names]
    known = st.session_state.get(TABLE)
    if known is not None and sorted(known["selection"]["rows"]) != sorted(rows):
        st.session_state[TABLE] = {"selection": {"rows": rows, "columns": [], "cells": []}}
    columns = _columns(shown)
    st.dataframe(
        columns.style.format({"Time": _time, "Accuracy": _percent}),
        key=TABLE,
        hide_index=True,
        placeholder="–",
        height=38 + 35 * min(len(shown), 12),
        column_config=_column_config(),
        selection_mode="multi-row",
        selection_default={"selection": {"rows": rows, "columns": [], "cells": []}},
        on_select=lambda: _ticked(names),
    )


def _ticked(names: Sequence[str]) -> None:
    """Take over what was ticked in the table; what the filter hides stays chosen."""
    state = st.session_state
    ticked = [names[row] for row in state[TABLE]["selection"]["rows"] if row < len(names)]
    before = [name for name in state.get("models_chosen", []) if name not in names or name in ticked]
    state["models_chosen"] = [*before, *(name for name in ticked if name not in before)]


def _columns(shown: Sequence[Summary]) -> pd.DataFrame:
    settings = [name for name in _differing(shown) if name != "network"]
    table = pd.DataFrame(
        {
            "Name": [_cell(item.name) for item in shown],
            "Status": [[_status(item)] for item in shown],
            "Default": ["★" if item.is_default else "" for item in shown],
            "AUC": pd.array([item.auc for item in shown], dtype="Float64"),
            "AUC, 95 %": [_between(item.auc_interval, "{:.3f}") for item in shown],
            "Accuracy": pd.array([item.accuracy for item in shown], dtype="Float64"),
            "Accuracy, 95 %": [_between(item.accuracy_interval, "{:.0%}") for item in shown],
            "Network": [_network(item) for item in shown],
            "Dataset": [_cell(_dataset(item)) for item in shown],
            "Classes": [_cell(_classes(item)) for item in shown],
            "Epochs run": pd.array([item.epochs_run for item in shown], dtype="Int64"),
            "Time": pd.array([item.seconds for item in shown], dtype="Float64"),
            "Size": pd.array([item.size_bytes and item.size_bytes / 1024**2 for item in shown], dtype="Float64"),
            "Date": pd.to_datetime(pd.Series([_date(item) for item in shown], dtype="object"), errors="coerce"),
            "Note": [_cell(" ".join(item.note.split())) for item in shown],
        }
    )
    for setting in settings:
        table[_column_name(setting, table)] = _setting_column(setting, shown)
    return table


def _column_name(setting: str, table: pd.DataFrame) -> str:
    label = label_of(setting)
    return f"{label} (setting)" if label in table else label


def _setting_column(setting: str, shown: Sequence[Summary]) -> Any:
    """Numbers as numbers, so that sorting works; else words."""
    values = [_value(item, setting) for item in shown]
    if all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values):
        return pd.array(values, dtype="Float64")
    return [None if value is None else _cell(shown_value(setting, value)) for value in values]


def _column_config() -> dict[str, Any]:
    words = list(dict.fromkeys([*(word for word, _, _ in STATUS.values()), "Damaged", "No model"]))
    colours = {word: colour for word, colour, _ in STATUS.values()} | {"Damaged": "red", "No model": "gray"}
    config = st.column_config
    return {
        "Name": config.TextColumn(pinned=True, width=150),
        "Status": config.MultiselectColumn(options=words, color=[colours[word] for word in words], width=95),
        "Default": config.TextColumn(width=65, alignment="center", help="Scans are read with this model as long as nobody chooses another."),
        "AUC": config.NumberColumn(format="%.3f", width=65, help=f"How well the classes are told apart on validation scans: 0.5 is guessing, 1 is perfect. {INTERVAL}"),
        "AUC, 95 %": config.TextColumn(width=115, help="The 95 % interval of the AUC."),
        "Accuracy": config.NumberColumn(width=80, help=f"The share of validation scans that was called right. {INTERVAL}"),
        "Accuracy, 95 %": config.TextColumn(width=115, help="The 95 % interval of the accuracy."),
        "Epochs run": config.NumberColumn(width=90),
        "Size": config.NumberColumn(format="%.1f MB", width=80),
        "Date": config.DatetimeColumn(format="D MMM YYYY, HH:mm", width=145),
        "Learning rate": config.NumberColumn(format="%g"),
    }  # fmt: skip


def _problems(shown: Sequence[Summary]) -> None:
    for item in shown:
        if item.problem:
            st.warning(plain(_whole(item.problem)), icon=":material/warning:")


def _status(item: Summary) -> str:
    if item.problem:
        return "Damaged"
    return "No model" if item.status == "none" and not item.is_model else STATUS[item.status][0]


def _dataset(item: Summary) -> str:
    return _whole(item.dataset.replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".hdf5"))


def _classes(item: Summary) -> str:
    return ", ".join(nice(_whole(name)) for name in item.classes or ())


def _network(item: Summary) -> str:
    return shown_value("network", item.config["network"]) if item.config else "–"


def _differing(items: Sequence[Summary]) -> list[str]:
    """The settings in which runs differ; those of the plain convnet count for it alone."""
    configs = [item.config for item in items if item.config]
    found = models.differing_settings(configs) if configs else []
    return [name for name in found if len({_value(item, name) for item in items if item.config}) > 1]


def _value(item: Summary, setting: str) -> Any:
    """A setting of a run; None where it is not known or makes no difference there."""
    if not item.config:
        return None
    shapes_convnet = setting in SHAPE[2:]
    values = defaults() | item.config
    return None if shapes_convnet and values["network"] != "convnet" else values[setting]


def _between(interval: tuple[float, float] | None, digits: str) -> str | None:
    return " to ".join(digits.format(bound) for bound in interval).replace("%", " %") if interval else None


def _time(seconds: Any) -> str:
    return "–" if pd.isna(seconds) else duration(float(seconds))


def _percent(share: Any) -> str:
    return "–" if pd.isna(share) else f"{float(share):.1%}".replace("%", " %")


def _date(item: Summary) -> datetime | None:
    """In this machine's time."""
    try:
        return datetime.fromisoformat(item.created or "").astimezone().replace(tzinfo=None)
    except (ValueError, OverflowError, OSError):
        return None


def _cell(text: str) -> str:
    """Text as a table cell that no spreadsheet takes for a formula."""
    text = _whole(text)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _whole(text: str) -> str:
    """Text without halves of characters, which a file's name or a card may hold and no browser can show."""
    return text.encode("utf-8", "backslashreplace").decode()


# ---------------------------------------------------------------- one model


def _one(item: Summary) -> None:
    name, is_active = _whole(item.name), item.status in ACTIVE
    checkpoint = Checkpoint(checkpoints_dir() / item.name)
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.subheader(plain(name), anchor=False, width="content")
            if not item.problem:
                _, colour, icon = STATUS[item.status]
                st.badge(_status(item), color=colour, icon=icon)
            if item.is_default:
                st.badge("Default: scans are read with it", color="green", icon=":material/stethoscope:")
        _facts(item)
        _ways_on(item)
        halves = st.grid(2, min_column_width=320)
        with halves.cell():
            _note(item, checkpoint)
        with halves.cell():
            if is_active:
                st.caption("It can be renamed, exported and deleted when its training is over.")
            else:
                _rename(name, checkpoint)
                _files(item, name, checkpoint)


def _facts(item: Summary) -> None:
    grid = st.grid(4, min_column_width=150)
    with grid.cell():
        st.metric("Validation AUC", "–" if item.auc is None else f"{item.auc:.3f}",
                  help="How well the classes are told apart: 0.5 is guessing, 1 is perfect.")  # fmt: skip
        st.caption(_interval(item.auc_interval, "{:.3f}"))
    with grid.cell():
        st.metric("Validation accuracy", _percent(item.accuracy),
                  help="The share of scans that was called right.")  # fmt: skip
        st.caption(_interval(item.accuracy_interval, "{:.1%}"))
    with grid.cell():
        st.metric("Epochs run", "–" if item.epochs_run is None else f"{item.epochs_run:,}")
        st.caption(f"in {duration(item.seconds)}" if item.seconds is not None else "time not known")
    with grid.cell():
        st.metric("Size", "–" if item.size_bytes is None else f"{item.size_bytes / 1024**2:,.1f} MB")
        made = _date(item)
        st.caption(f"{made:%-d %B %Y}" if made else "date not known")
    said = [f"Tells apart {_and([nice(_whole(name)) for name in item.classes])}." if item.classes else ""]
    said += [f"Learned from the dataset {_dataset(item)}." if item.dataset else ""]
    said += [f"Measured on {item.n_validation:,} validation scans." if item.n_validation else ""]
    if item.config:
        said += [
            f"{_network(item)} on pictures of {item.config['image_size']}\u00a0×\u00a0{item.config['image_size']} pixels."
        ]
    st.markdown(plain(" ".join(filter(None, said))))


def _interval(interval: tuple[float, float] | None, digits: str) -> str:
    between = _between(interval, digits)
    return f"95 % interval {between}" if between else "no interval known"


def _and(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def _ways_on(item: Summary) -> None:
    """Buttons and not links: each opens its page on this model."""
    with st.container(horizontal=True):
        if item.is_model and not item.problem:
            if item.is_default:
                if st.button("Read scans with it", type="primary", icon=":material/stethoscope:"):
                    _go("pages/clinic/diagnose.py")
            else:
                st.button(
                    "Use it to diagnose", type="primary", icon=":material/stethoscope:", on_click=_use, args=(item,),
                    help="Scans are then read with it, as long as nobody chooses another on the page Diagnose.",
                )  # fmt: skip
            if st.button("Evaluate it", icon=":material/fact_check:"):
                _go("pages/lab/evaluate.py", evaluate_model=item.name)
        if item.status != "none" or item.epochs_run:
            words = "Watch its training" if item.status in ACTIVE else "See its training"
            if st.button(words, icon=":material/model_training:"):
                _go("pages/lab/train.py", train_shown=item.name, train_view_wanted="Watch a run")


def _go(page: str, **chosen: str) -> None:
    st.session_state.update(chosen)
    st.switch_page(page)


def _use(item: Summary) -> None:
    with _stated_later():
        models.set_default(Checkpoint(checkpoints_dir() / item.name))
        st.session_state["models_done"] = f"Scans are read with “{item.name}” from now on."


def _note(item: Summary, checkpoint: Checkpoint) -> None:
    key = f"models_note_{_whole(item.name)}_{hash(item.note)}"
    with st.form(f"{key}_form", border=False, enter_to_submit=False):
        st.text_area(
            "Note", item.note, key=key, max_chars=models.MAX_NOTE, height=120,
            placeholder="What was tried, what came out, who may use it",
        )  # fmt: skip
        st.form_submit_button("Save the note", icon=":material/save:", on_click=_save_note, args=(checkpoint, key))


def _save_note(checkpoint: Checkpoint, key: str) -> None:
    with _stated_later():
        models.set_note(checkpoint, st.session_state[key])
        st.session_state["models_done"] = f"The note on “{checkpoint.name}” is saved."


def _rename(name: str, checkpoint: Checkpoint) -> None:
    key = f"models_name_{name}"
    with (
        st.form(f"{key}_form", border=False, enter_to_submit=False),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        st.text_input("Name", name, key=key, max_chars=80)
        st.form_submit_button("Rename", icon=":material/edit:", on_click=_rename_now, args=(checkpoint, key))


def _rename_now(checkpoint: Checkpoint, key: str) -> None:
    state = st.session_state
    with _stated_later():
        renamed = models.rename(checkpoint, state[key].strip())
        if renamed != checkpoint:
            state["models_chosen"] = [renamed.name]
            state["models_done"] = f"“{checkpoint.name}” is called “{renamed.name}” now."


def _files(item: Summary, name: str, checkpoint: Checkpoint) -> None:
    with st.container(horizontal=True):
        if item.is_model and not item.problem:
            st.download_button(
                "Export as zip", lambda: _zip(checkpoint), f"{name}.zip", "application/zip", on_click="ignore",
                icon=":material/download:", help="The whole model in one file, to be imported on another machine.",
            )  # fmt: skip
        st.button("Delete", icon=":material/delete:", type="tertiary", on_click=_delete, args=(checkpoint,))


def _zip(checkpoint: Checkpoint) -> io.BytesIO:
    out = io.BytesIO()
    models.export_model(checkpoint, out)
    out.seek(0)
    return out


@st.dialog("Delete this model?")
def _delete(checkpoint: Checkpoint) -> None:
    words = f"**{plain(_whole(checkpoint.name))}** is deleted from this computer for good, with its weights and curves."
    if models.default_model() == checkpoint:
        words += " It is the model that scans are read with: another takes its place."
    st.markdown(f"{words} The dataset that it learned from stays.")
    yes, no = st.columns(2)
    deleted = yes.button("Delete it", width="stretch", on_click=_delete_now, args=(checkpoint,))
    if deleted or no.button("Keep it", type="primary", width="stretch"):
        st.rerun()


def _delete_now(checkpoint: Checkpoint) -> None:
    with _stated_later():
        models.delete(checkpoint)
        st.session_state["models_done"] = f"“{checkpoint.name}” is deleted."


# ---------------------------------------------------------------- two or more


def _compare(picked: list[Summary]) -> None:
    st.subheader("Side by side", anchor=False)
    if len(picked) > MOST_RUNS:
        st.caption(f"The first {MOST_RUNS} of the {len(picked)} that are chosen: more cannot be told apart.")
        picked = picked[:MOST_RUNS]
    _verdict(picked)
    _curves(picked)
    _figures_table(picked)
    _settings_table(picked)


def _verdict(picked: Sequence[Summary]) -> None:
    _best(picked)
    st.page_link("pages/lab/evaluate.py", label="Evaluate them on test scans", icon=":material/fact_check:")


def _best(picked: Sequence[Summary]) -> None:
    """Whether one is better than the others, as far as the intervals tell."""
    known = [item for item in picked if item.auc is not None and item.auc_interval]
    if len({(_dataset(item), item.n_validation) for item in known}) > 1:
        st.warning(
            "These models were measured on different validation scans, so that their figures cannot be compared. "
            "Evaluate them on the same test scans instead.",
            icon=":material/warning:",
        )
        return
    if len(known) < 2:
        st.caption("Fewer than two of them have a validation AUC with an interval: there is nothing to compare yet.")
        return
    best = max(known, key=lambda item: item.auc or 0.0)
    equal = [item for item in known if f"{item.auc:.3f}" == f"{best.auc:.3f}"]
    if len(equal) > 1:
        names = _and([f"“{_whole(item.name)}”" for item in equal])
        st.info(plain(f"{names} have the same highest validation AUC, {best.auc:.3f}."))
        return
    low = best.auc_interval[0] if best.auc_interval else 0.0
    others = [item for item in known if item is not best]
    close = [f"“{_whole(item.name)}”" for item in others if item.auc_interval and item.auc_interval[1] >= low]
    words = (
        f"“{_whole(best.name)}” has the highest validation AUC, {span(best.auc, best.auc_interval, as_percent=False)}. "
    )
    if not close:
        st.success(plain(words + "Its interval lies above the others: chance alone hardly explains the difference."))
        return
    if len(close) == len(others):
        words += "The intervals overlap: chance alone could explain the difference."
    else:
        words += f"Its interval overlaps with that of {_and(close)}: there, chance alone could explain the difference."
    st.info(plain(words))


def _curves(picked: Sequence[Summary]) -> None:
    with_training = st.toggle(
        "Also the training curves", key="models_training", persist_state="session",
        help="Thin and dotted. Training far better than validation is learning by heart.",
    )  # fmt: skip
    runs = {_whole(item.name): _records(item) for item in picked}
    grid = st.grid(2, min_column_width=340)
    for measure in ("auc", "accuracy", "loss"):
        figure = overlaid_curves(runs, measure, with_training=with_training)
        grid.plotly_chart(figure, key=f"models_{measure}", config=chart_config(f"comparison-{measure}"))
    with grid.cell():
        rows = [(_whole(item.name), item.auc, item.auc_interval) for item in picked]
        st.plotly_chart(
            interval_dots(rows, "Best validation AUC, 95 % interval"), key="models_intervals",
            config=chart_config("comparison-intervals"),
        )  # fmt: skip
        st.caption(
            "The larger point on a curve is the epoch whose weights were kept. Bars that overlap mean that chance alone "
            "could explain the difference."
        )
    if bare := [item.name for item, records in zip(picked, runs.values(), strict=True) if not records]:
        st.caption(plain(f"No curves are known of {_and([_whole(name) for name in bare])}."))


def _records(item: Summary) -> list[dict[str, Any]]:
    try:
        return [record for record in Job(checkpoints_dir() / item.name).records() if models.is_sound(record)]
    except (OSError, RecursionError):
        return []


def _figures_table(picked: Sequence[Summary]) -> None:
    rows = {
        "Validation AUC": [span(item.auc, item.auc_interval, as_percent=False) if item.auc is not None else "–" for item in picked],
        "Validation accuracy": [span(item.accuracy, item.accuracy_interval) if item.accuracy is not None else "–" for item in picked],
        "Validation scans": [f"{item.n_validation:,}" if item.n_validation is not None else "–" for item in picked],
        "Epochs run": [f"{item.epochs_run:,}" if item.epochs_run is not None else "–" for item in picked],
        "Time": [_time(item.seconds) for item in picked],
        "Size": [f"{item.size_bytes / 1024**2:,.1f} MB" if item.size_bytes is not None else "–" for item in picked],
    }  # fmt: skip
    st.markdown("**Figures**, with 95 % intervals")
    _side_by_side(rows, picked, marked=())


def _settings_table(picked: Sequence[Summary]) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown("**Settings**", width="content")
        st.session_state.setdefault("models_only", True)
        only = st.toggle("Only differences", key="models_only", persist_state="session", width="content")
    settings = list(TrainConfig.__dataclass_fields__)
    differing = _differing(picked)
    rows = {"Dataset": [_cell(_dataset(item)) or "–" for item in picked]}
    marked = {"Dataset"} if len(set(rows["Dataset"])) > 1 else set()
    for name in (*differing, *(name for name in settings if name not in differing)):
        values = [_value(item, name) for item in picked]
        rows[label_of(name)] = ["–" if value is None else _cell(shown_value(name, value)) for value in values]
    marked |= {label_of(name) for name in differing}
    ordered = sorted(rows, key=lambda label: label not in marked)  # stable: else in their usual order
    if only:
        ordered = [label for label in ordered if label in marked]
    if not ordered:
        st.caption("They were trained with the same settings on the same dataset.")
        return
    _side_by_side({label: rows[label] for label in ordered}, picked, marked=() if only else tuple(marked))


def _side_by_side(rows: dict[str, list[str]], picked: Sequence[Summary], marked: Sequence[str]) -> None:
    """A table with a column for each run; rows that are marked stand out."""
    table = pd.DataFrame.from_dict(rows, orient="index", columns=[_cell(item.name) for item in picked])
    style = table.style.apply(
        lambda row: [CHOSEN_COLOURS if row.name in marked else ""] * len(row), axis=1
    )  # fmt: skip
    st.dataframe(style, height="content", column_config={"_index": st.column_config.TextColumn("", width=190)})


# ---------------------------------------------------------------- what settings led to


def _what_settings_led_to(shown: Sequence[Summary]) -> None:
    st.subheader("What the settings led to", anchor=False)
    finished = [item for item in shown if item.auc is not None and item.config and item.status not in ACTIVE]
    if len(finished) < 2:
        st.caption("Here, settings are drawn against validation AUC as soon as two runs have one.")
        return
    differing = _differing(finished)
    if not differing:
        st.caption("These runs were trained with the same settings: there is nothing to draw against validation AUC.")
        return
    axes = differing
    if len(differing) > AXES:
        key = f"models_axes_{'_'.join(differing)}"  # other runs, other axes to begin with
        n_values = {name: len({_value(item, name) for item in finished}) for name in differing}
        varied = sorted(differing, key=lambda name: (name in GROUPS["Machine"], -n_values[name]))[:AXES]
        st.session_state.setdefault(key, [name for name in differing if name in varied])
        axes = st.multiselect(
            "Settings to draw", differing, key=key, format_func=label_of, persist_state="session", select_all=False
        )
        if not axes:
            return
    rows = [
        {"name": _whole(item.name), "auc": item.auc, "settings": {name: _value(item, name) for name in axes}}
        for item in finished
    ]
    figure = parallel_settings(rows, {name: label_of(name) for name in axes}, lambda name, value: _whole(shown_value(name, value)))  # fmt: skip
    st.plotly_chart(figure, key="models_parallel", config={"displayModeBar": False})  # it would lie on the labels
    words = "Each line is a run, from its settings to its validation AUC: the more orange, the better. Drag along an axis to keep only the runs that pass there."
    if len({_dataset(item) for item in finished}) > 1:
        words += " These runs learned from different datasets, so that not only settings made the difference."
    st.caption(words)


# ---------------------------------------------------------------- import


def _import(*, is_open: bool) -> None:
    state = st.session_state
    generation = state.setdefault("models_import", 0)
    with (
        st.expander("Import a model", icon=":material/upload:", expanded=is_open),
        st.form(f"models_import_{generation}", border=False, enter_to_submit=False),
    ):
        file = st.file_uploader("A zip that was exported here or on another machine", type=["zip"], key=f"models_zip_{generation}")  # fmt: skip
        name = st.text_input(
            "Name", key=f"models_zip_name_{generation}", max_chars=80, placeholder="as in the zip, if left empty"
        )
        if st.form_submit_button("Import it", icon=":material/upload:"):
            if file is None:
                st.warning("Choose a zip first.")
                return
            with stated_errors():
                with st.spinner("Checking the model…"):
                    taken_in = models.import_model(file, name.strip() or None)
                state["models_import"] = generation + 1
                state["models_wanted"] = taken_in.name
                state["models_done"] = f"“{taken_in.name}” is imported."
                st.rerun()


if wanted := st.session_state.pop("models_wanted", None):
    st.session_state["models_chosen"] = [wanted]
    st.session_state.pop("models_search", None)
    st.session_state.pop("models_dataset", None)
main()
