"""Evaluate: how good a model is on scans that it has not learned from, and which ones it gets wrong."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages.shared.jobs import watch
from pages.shared.page import head, nice, percent, plain, span, stated_errors
from pages.shared.readers import model_key, reader_for
from xrai import jobs
from xrai.checkpoint import Card, Checkpoint, list_models
from xrai.dataset import list_datasets, open_dataset
from xrai.errors import CheckpointError, DatasetError
from xrai.figures import (
    SPLIT_WORDS,
    auc_curves,
    confusion_figure,
    loss_curves,
    operating_points,
    page_of,
    precision_recall_figure,
    roc_figure,
)
from xrai.heatmaps import colour_bar, overlay
from xrai.measurements import PREDICTIONS, Measurement, load_measurement, measurement_folder
from xrai.models import default_model
from xrai.scans import Scan

SPLITS = ("test", "val", "train")
PER_PAGE, COLUMNS = 6, 2
MOST_HEATMAPS = 200  # that a tab remembers; each takes about 100 kB
OPACITY = 0.75
MATRIX_WIDTH = 560  # pixels, where no column of the page sets it

# what the description of a set's patients says where figures on it must not be taken for those of patients
NO_MEANING = ("no clinical meaning", "no medical meaning", "no accuracy")

WHY_RARELY = (
    "Every look at the test scans makes them less of a surprise: whoever changes a model after a look fits it to these "
    "very scans, and the figures flatter from then on. So measure here once the model is final, and compare what you try "
    "on the validation split."
)
SCALE_CAPTION = (
    "No colour: no evidence found there. Full red: evidence as strong as only 5 in 100 validation scans called that "
    "have at their hottest place. It shows where the model looked, not the outline of a disease."
)
HELP = {
    "accuracy": "The share of all scans that the model called right. Where one class is much more frequent than the others, "
    "a model that always calls that class looks good here: compare the balanced accuracy.",
    "balanced_accuracy": "The mean of the shares called right in each class, so that a rare class counts as much as a "
    "frequent one. Guessing gives 1 divided by the number of classes.",
    "auc": "How well the model tells the classes apart by its probabilities, wherever the threshold is put: 0.5 is guessing, "
    "1 is perfect. Of several classes it is the mean over each against the rest.",
    "n": "How many scans were measured. The intervals treat all scans of one patient as one, as they resemble each other.",
}
CHART = {
    "displaylogo": False,
    "displayModeBar": True,
    "modeBarButtons": [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
}
STILL = CHART | {"modeBarButtons": [["toImage"]]}


class Facts(NamedTuple):
    """What the page needs to know of a dataset before it is opened."""

    classes: tuple[str, ...]
    population: str
    drawings: bool
    fingerprint: str
    counts: dict[str, int]
    notes: tuple[str, ...]


def main() -> None:
    """The page."""
    head("Evaluate", "How good a model is on scans that it has not learned from, and which ones it gets wrong.")
    with stated_errors():
        models, datasets = list_models(), list_datasets()
        if not models or not datasets:
            _nothing_yet(has_datasets=bool(datasets))
            return
        choice = st.grid(3, min_column_width=130)
        with choice.cell():
            checkpoint = _choose_model(models)
        card = checkpoint.card()
        with choice.cell():
            path = _choose_dataset(datasets, card)
        facts = _facts(path)
        with choice.cell():
            split = _choose_split()
        if card.order_of(facts.classes) is None:
            st.info(plain(
                f"The model “{card.name}” knows the classes {_listed(card.classes)}, but the dataset {path.stem} has "
                f"{_listed(facts.classes)}: choose a dataset with the model's classes, or another model."
            ), icon=":material/info:")  # fmt: skip
        elif not facts.counts[split]:
            st.info(plain(
                f"The dataset {path.stem} has no scans in its {SPLIT_WORDS[split].lower()} split: choose another split."
            ), icon=":material/info:")  # fmt: skip
        else:
            _measured_or_not(checkpoint, card, path, facts, split)


def _nothing_yet(*, has_datasets: bool) -> None:
    if has_datasets:
        st.info("There is no model yet to measure. Train one first: it takes a few clicks.")
        st.page_link("pages/lab/train.py", label="Train a model", icon=":material/model_training:")
    else:
        st.info("There is no dataset yet to measure a model on. Build one first: it takes a few clicks.")
        st.page_link("pages/lab/dataset.py", label="Build a dataset", icon=":material/folder_open:")


# ---------------------------------------------------------------- what is measured on what


def _choose_model(models: list[Checkpoint]) -> Checkpoint:
    names = [model.name for model in models]
    first = default_model()
    chosen = _chosen("evaluate_model", names, first.name if first and first.name in names else names[0])
    return models[names.index(st.selectbox("Model", names, key=chosen, persist_state="session"))]


def _choose_dataset(datasets: list[Path], card: Card) -> Path:
    names = [str(file) for file in datasets]
    key = f"evaluate_dataset_{card.name}"
    if st.session_state.get(key) not in names:
        st.session_state[key] = str(_first_dataset(datasets, card))
    chosen = st.selectbox(
        "Dataset", names, format_func=lambda item: Path(item).stem, key=key, persist_state="session"
    )  # fmt: skip
    return Path(chosen)


def _first_dataset(datasets: list[Path], card: Card) -> Path:
    """The one that the model learned from, else one with its classes, else the newest."""
    fitting = []
    for file in datasets:
        try:
            facts = _facts(file)
        except (DatasetError, OSError):
            continue  # said when it is chosen
        if _is_own(card, facts):
            return file
        if card.order_of(facts.classes) is not None:
            fitting.append(file)
    return [*fitting, *datasets][0]


def _choose_split() -> str:
    return st.selectbox(
        "Split", SPLITS, key=_chosen("evaluate_split", SPLITS, SPLITS[0]), persist_state="session",
        format_func=SPLIT_WORDS.__getitem__,
        help="Training scans are learned from, validation scans choose the best moment of a run, "
        "test scans are kept for the final measurement.",
    )  # fmt: skip


def _chosen(key: str, options: Sequence[str], first: str) -> str:
    """The key of a selectbox, whose choice may have been deleted meanwhile."""
    if st.session_state.get(key) not in options:
        st.session_state[key] = first
    return key


def _facts(path: Path) -> Facts:
    """What the page needs to know of a dataset.

    Raises:
        DatasetError: it is missing or damaged.
    """
    stamp = path.stat()
    return Facts(*_read_facts(str(path), stamp.st_mtime_ns, stamp.st_size))


@st.cache_data(max_entries=50, show_spinner=False)
def _read_facts(path: str, changed: int, n_bytes: int) -> tuple[Any, ...]:
    """The fields of `Facts`, read once for a file as long as it does not change."""
    with open_dataset(path) as dataset:
        counts = {split: len(dataset.rows(split)) for split in SPLITS}
        return dataset.classes, dataset.population, dataset.drawings, dataset.fingerprint, counts, dataset.notes


# ---------------------------------------------------------------- before, while and after


def _measured_or_not(checkpoint: Checkpoint, card: Card, path: Path, facts: Facts, split: str) -> None:
    folder = measurement_folder(checkpoint, path, split)
    job = jobs.Job(folder)
    status = job.status
    if status in jobs.ACTIVE:
        watch(job, _progress)
        return
    if status == "failed":
        st.error(f"Measuring failed. {plain(job.error)}", icon=":material/error:")
    elif status in ("interrupted", "stopped"):
        st.warning(
            "Measuring was interrupted, perhaps because the computer was switched off. Start it again.",
            icon=":material/power_off:",
        )
    measured, damage = _kept(folder)
    if damage:
        st.error(plain(damage), icon=":material/error:")
    is_fresh = measured and measured.is_of(card) and measured.report["fingerprint"] == facts.fingerprint
    _caveats(card, path, facts, split)
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(
            "Measure again" if measured or damage else "Measure",
            type="secondary" if is_fresh else "primary",
            icon=":material/replay:" if measured or damage else ":material/fact_check:",
        ):
            with stated_errors():
                _start(checkpoint, path, split, folder)
        if measured:
            st.markdown(f"Measured on {_moment(measured.report['when'])}.", width="content")
    _looks(card, facts, split, shown=measured is not None)
    _known(card, facts)
    if measured:
        _results(checkpoint, card, path, facts, measured, folder)


def _kept(folder: Path) -> tuple[Measurement | None, str]:
    """The measurement that is kept, and the sentence of why it cannot be shown."""
    try:
        return load_measurement(folder), ""
    except CheckpointError as error:
        return None, str(error)


def _start(checkpoint: Checkpoint, path: Path, split: str, folder: Path) -> None:
    arguments = ["evaluate", checkpoint.name, str(path), "--split", split]
    title = f"Measuring {checkpoint.name} on {path.stem}, {split}"
    jobs.start(arguments, folder, title=title, details={"arguments": arguments})
    st.rerun()


def _progress(job: jobs.Job) -> None:
    known = job.records() if job.status == "running" else []
    steps = [record for record in known if record["kind"] == "progress"]
    if not steps:
        st.progress(0.0, text="Starting: loading what measuring needs takes about ten seconds…")
    elif steps[-1]["done"] < steps[-1]["total"]:
        done, total = steps[-1]["done"], steps[-1]["total"]
        st.progress(done / total, text=f"Measuring: {done:,} of {_scans(total)}")
    else:
        st.progress(1.0, text="Working out how far chance could have moved the figures…")
    st.caption("It goes on when you leave this page or close this browser.")


def _caveats(card: Card, path: Path, facts: Facts, split: str) -> None:
    """Who is in these scans, and what makes figures on them say less than they seem to."""
    who = facts.population or "nobody described them when the dataset was built"
    if _says_nothing_of_patients(facts):
        st.warning(
            f"**Take no figure below for how good the model is on patients.** The dataset {plain(path.stem)} is "
            f"described so: “{plain(who)}”.",
            icon=":material/warning:",
        )
    else:
        st.caption(f":material/groups: Patients of {plain(path.stem)}: {plain(who)}.")
    learned, own = str(card.dataset.get("population") or ""), _is_own(card, facts)
    if learned and not own and learned != facts.population:
        st.caption(f":material/neurology: The model “{plain(card.name)}” was trained on: {plain(learned)}.")
    if own and split == "train":
        st.warning(
            "The model **learned from these very scans**: right answers show what it remembers, not how it reads new ones.",
            icon=":material/warning:",
        )
    elif own and split == "val":
        st.warning(
            "The model was **chosen by these scans**: of all moments of its training, the one that did best on them was kept. "
            "Figures on them are a little better than on new scans.",
            icon=":material/warning:",
        )
    elif not own and card.dataset.get("name") == path.stem:
        st.warning(plain(
            f"The model learned from an earlier build of {path.stem}. Which of these scans it has seen is not known, so the "
            "figures may flatter it."
        ), icon=":material/warning:")  # fmt: skip


def _is_own(card: Card, facts: Facts) -> bool:
    """Whether it is the dataset that the model learned from."""
    return card.dataset.get("fingerprint") == facts.fingerprint


def _says_nothing_of_patients(facts: Facts) -> bool:
    """Whether figures on a set have no clinical meaning: it holds drawings, or its description says so (NO_MEANING)."""
    return facts.drawings or any(words in facts.population.lower() for words in NO_MEANING)


def _looks(card: Card, facts: Facts, split: str, *, shown: bool) -> None:
    """How often this model was measured on these scans, how that went last, and why looks are to be rare."""
    before = [item for item in card.evaluations if (item["fingerprint"], item["split"]) == (facts.fingerprint, split)]
    where = f"the {facts.counts[split]:,} {SPLIT_WORDS[split].lower()} scans of this dataset"
    times = {0: "has not been measured yet", 1: "has been measured once"}
    said = f"This model {times.get(len(before), f'has been measured {len(before):,} times')} on {where}."
    if before and not shown:
        last = before[-1]
        figures = f"{span(last['accuracy'], last['accuracy_interval'])} called right, AUC "
        figures += span(last["auc"], last["auc_interval"], as_percent=False)
        said += f" Its card still says how that went on {last['when'][:10]}: {figures}."
    if split == "test":
        said += f" {WHY_RARELY}"
    if not shown:
        said += " Measuring takes about ten seconds to start, and then a second for some ten to a hundred scans."
    st.caption(f":material/visibility: {plain(said)}")


def _known(card: Card, facts: Facts) -> None:
    with st.expander("What is known of this model and of this dataset", icon=":material/info:"):
        for note in card.notes:
            st.markdown(f"- Model: {plain(note)}")
        for note in facts.notes:
            st.markdown(f"- Dataset: {plain(note)}")


# ---------------------------------------------------------------- results


def _results(checkpoint: Checkpoint, card: Card, path: Path, facts: Facts, measured: Measurement, folder: Path) -> None:
    report = measured.report
    is_of, same_scans = measured.is_of(card), report["fingerprint"] == facts.fingerprint
    if not is_of:
        st.warning(
            "The model was **trained on since this was measured**: the figures are those of its earlier weights. Measure again.",
            icon=":material/history:",
        )
    if not same_scans:
        st.warning(
            "The dataset was **built anew since this was measured**: the figures are those of its earlier scans, and these "
            "cannot be opened any more. Measure again.",
            icon=":material/history:",
        )
    st.divider()
    _numbers(report)
    _seen(report, told=_is_own(card, facts))
    st.subheader("Class by class", anchor=False)
    _class_table(measured)
    st.subheader("What was called what", anchor=False)
    cells = st.container()  # filled last, as heatmaps take their time
    st.subheader("At every threshold", anchor=False)
    figures = {"confusion": confusion_figure(report["confusion_matrix"], _names(measured.classes))}
    figures |= _curves(report, measured.classes, f"{checkpoint.name}-{folder.name}")
    figures |= _training(checkpoint)
    st.subheader("Take it along", anchor=False)
    _exports(checkpoint, card, facts, measured, folder, figures)
    with st.container(horizontal=True):
        st.page_link("pages/clinic/diagnose.py", label="Read scans with this model", icon=":material/stethoscope:")
        st.page_link("pages/lab/train.py", label="Train another one", icon=":material/model_training:")
    with cells:
        _cells(checkpoint, card, path, measured, folder.name, opens=same_scans, explains=is_of)


def _numbers(report: Mapping[str, Any]) -> None:
    grid = st.grid(4, min_column_width=150)
    for name, label in {"accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy", "auc": "AUC"}.items():
        as_percent = name != "auc"
        with grid.cell():
            st.metric(label, _value(report[name], as_percent=as_percent), help=HELP[name])
            st.caption(_interval(report[f"{name}_interval"], as_percent=as_percent))
    with grid.cell():
        st.metric("Scans", f"{report['n']:,}", help=HELP["n"])
        out = f"; {_scans(report['left_out'])} left out" if report["left_out"] else ""
        st.caption(f"of {report['n_patients']:,} patient{'' if report['n_patients'] == 1 else 's'}{out}")
    st.caption(
        "The 95 % interval says how far chance alone could have moved a figure: with few scans it is wide, and a model that "
        "lies within another's interval is not shown to be better or worse."
    )


def _seen(report: Mapping[str, Any], *, told: bool) -> None:
    """When some of the scans were also learned from: the figures without them; that all were, may be told already."""
    rest = report["unseen"]
    if report["seen"] and rest:
        auc = span(rest["auc"], rest["auc_interval"], as_percent=False)
        st.warning(plain(
            f"{_scans(report['seen'])} of these {report['n']:,} the model had seen in training, which may flatter the "
            f"figures above. Without them, on {_scans(rest['n'])} of {rest['n_patients']:,} patients: accuracy "
            f"{_value(rest['accuracy'])}, {_interval(rest['accuracy_interval'])}; AUC {auc}."
        ), icon=":material/warning:")  # fmt: skip
    elif report["seen"] and not told:
        st.caption(":material/warning: All of these scans the model learned from, or was chosen by.")


def _class_table(measured: Measurement) -> None:
    report, rows = measured.report, []
    called = np.sum(report["confusion_matrix"], axis=0)
    for k, (name, label) in enumerate(zip(measured.classes, _names(measured.classes), strict=True)):
        row = report["per_class"][name]
        known = {
            "precision": called[k] > 0,
            "recall": row["support"] > 0,
            "f1": called[k] + row["support"] > 0,
            "auc": True,
        }
        shown = {
            measure: _with_interval(row[measure], row[f"{measure}_interval"], as_percent=measure != "auc") if known[measure] else "–"
            for measure in known
        }  # fmt: skip
        rows.append({
            "Class": f"**{plain(label)}**", "Recall (sensitivity)": shown["recall"],
            "Precision (predictive value)": shown["precision"], "F1": shown["f1"], "AUC against the rest": shown["auc"],
            "Scans": f"{row['support']:,}",
        })  # fmt: skip
    st.table(pd.DataFrame(rows), border="horizontal", hide_index=True)
    st.caption(
        "**Recall** is a class's sensitivity: of the scans that truly are of it, the share that the model called so. Of two "
        "classes, the recall of the healthy one is the specificity. **Precision** is the positive predictive value: of the "
        "scans called so, the share that truly are; it falls where the class is rarer than among these scans. **F1** is high "
        "only when both are. “–”: cannot be said, because no scan is of the class or none was called so. In brackets: the "
        "95 % interval."
    )
    brier, gap = report["brier"], report["expected_calibration_error"]
    st.caption(
        f"Do the probabilities keep what they promise? Brier score {_value(brier, as_percent=False)}, expected calibration "
        f"error {_value(gap, as_percent=False)}: 0 is best for both."
    )


# ---------------------------------------------------------------- cells and their scans


@st.fragment
def _cells(
    checkpoint: Checkpoint, card: Card, path: Path, measured: Measurement, place: str, *, opens: bool, explains: bool
) -> None:
    """The confusion matrix, and the scans of the cell that was clicked or chosen."""
    matrix, classes = measured.report["confusion_matrix"], measured.classes
    names, key = _names(classes), f"{checkpoint.name}_{place}_{measured.report['when']}"
    cells = _cells_by_interest(matrix)
    cell_key, matrix_key = f"evaluate_cell_{key}", f"evaluate_matrix_{key}"
    if st.session_state.get(cell_key) not in cells:
        st.session_state[cell_key] = cells[0]
    halves = st.grid(2, min_column_width=320)
    with halves.cell():
        as_rates = st.toggle("Shares of the true class in large", key="evaluate_rates", persist_state="session")
        truth, called = divmod(st.session_state[cell_key], len(classes))
        st.plotly_chart(
            confusion_figure(matrix, names, as_rates=as_rates, chosen=(truth, called), ink=_ink()),
            key=matrix_key, on_select=lambda: _click(matrix_key, cell_key, cells), selection_mode="points",
            config=_chart(STILL, f"{checkpoint.name}-{place}-confusion"),
        )  # fmt: skip
    with halves.cell():
        st.markdown(
            "Each row holds the scans that truly are of a class; each column what the model called. "
            "Teal is right, orange is wrong. **Click a cell, or choose it here, to see its scans.**"
        )
        if card.threshold and explains:
            value, name = card.threshold["value"], nice(card.threshold["class"])
            st.caption(plain(f"Called {name} from a probability of {100 * value:.3g} % on."))
        cell = st.selectbox(
            "Cell", cells, key=cell_key, persist_state="session",
            format_func=lambda item: _cell_words(item, matrix, names),
        )  # fmt: skip
        truth, called = divmod(cell, len(classes))
        _cell_summary(matrix, names, truth, called)
        shown = _page_of(measured, names, truth, called, f"evaluate_page_{key}_{cell}")
        if opens:
            _legend(names[called], explains=explains)
    if not opens:
        st.info("The scans of a cell can be opened once the model is measured on the dataset as it is now.")
        return
    with stated_errors():
        pictures = _pictures_of(checkpoint, path, measured, shown, classes[called] if explains else None)
        grid = st.grid(COLUMNS, min_column_width=300)
        for position, picture in zip(shown, pictures, strict=True):
            with grid.cell(), st.container(border=True):
                st.image(picture, width="stretch")
                _scan_words(measured, names, int(position))


def _click(matrix_key: str, cell_key: str, cells: list[int]) -> None:
    """Take over the cell that was clicked; a click on the one selected in the chart unselects it there, and counts too."""
    points = st.session_state[matrix_key]["selection"]["points"]
    last_key = f"{matrix_key}_last"
    cell = points[0]["point_index"] if points else st.session_state.get(last_key)
    st.session_state[last_key] = cell
    if cell in cells:
        st.session_state[cell_key] = cell


def _cells_by_interest(matrix: list[list[int]]) -> list[int]:
    """The numbers of all cells with scans in them, row by row from 0: the errors first, the most frequent of them first."""
    n = len(matrix)
    counts = {truth * n + called: matrix[truth][called] for truth in range(n) for called in range(n)}
    return sorted(
        (cell for cell in counts if counts[cell]), key=lambda cell: (cell % (n + 1) == 0, -counts[cell], cell)
    )


def _cell_words(cell: int, matrix: list[list[int]], names: list[str]) -> str:
    truth, called = divmod(cell, len(names))
    how = f"{names[truth]}, called right" if truth == called else f"{names[truth]} called {names[called]}"
    return f"{how}: {_scans(matrix[truth][called])}"


def _cell_summary(matrix: list[list[int]], names: list[str], truth: int, called: int) -> None:
    count, of = matrix[truth][called], sum(matrix[truth])
    verdict = "called right" if truth == called else f"called {names[called]} by mistake"
    st.markdown(plain(f"{count:,} of {of:,} {names[truth]} scans were {verdict}, {_value(count / of)}."))
    if all(not n for t, row in enumerate(matrix) for c, n in enumerate(row) if t != c):
        st.success("No scan was called wrong.", icon=":material/check_circle:")


def _page_of(measured: Measurement, names: list[str], truth: int, called: int, key: str) -> np.ndarray:
    """The scans of a cell that are on screen, as positions among the predictions: the worst first, some a page."""
    found = measured.predictions.cell(truth, called)
    n_pages, page = -(-len(found) // PER_PAGE), 1
    if n_pages > 1:
        page = int(st.number_input(f"Page, of {n_pages:,}", 1, n_pages, 1, width=160, key=key))
    first = (page - 1) * PER_PAGE
    shown = found[first : first + PER_PAGE]
    if len(found) > 1:
        st.caption(plain(
            f"{first + 1:,} to {first + len(shown):,} of {_scans(len(found))} are shown, the worst first: those with the "
            f"lowest probability of {names[truth]}."
        ))  # fmt: skip
    return shown


def _legend(called: str, *, explains: bool) -> None:
    if explains:
        st.image(colour_bar(240, 10, OPACITY))
        st.caption(plain(f"Left the scan, right what speaks in it for {called}, as it was called. {SCALE_CAPTION}"))
    else:
        st.caption("No heatmaps: the weights that gave these answers are not the model's any more.")


def _pictures_of(
    checkpoint: Checkpoint, path: Path, measured: Measurement, shown: np.ndarray, class_name: str | None
) -> list[np.ndarray]:
    """The scans at some positions, beside what speaks for a class in them where one is named.

    Raises:
        CheckpointError: the predictions are of other rows than the dataset's, or the model is damaged.
        DatasetError: the dataset is damaged.
    """
    rows = measured.predictions.rows[shown]
    with open_dataset(path) as dataset:
        if rows.max() >= len(dataset):
            raise CheckpointError("The kept predictions are of other scans than the dataset holds: measure again.")
        squares = dataset.images(rows)
    if class_name is None:
        return [_picture(square) for square in squares]
    heats = _heatmaps(checkpoint, measured.report["fingerprint"], rows, squares, class_name)
    return [_picture(square, heat) for square, heat in zip(squares, heats, strict=True)]


def _scan_words(measured: Measurement, names: list[str], position: int) -> None:
    predictions = measured.predictions
    truth, called = predictions.labels[position], predictions.called[position]
    shares = predictions.probabilities[position]
    said = f"**{plain(names[truth])}** {plain(percent(shares[truth]))}, the truth"
    if truth != called:
        said += f" · **{plain(names[called])}** {plain(percent(shares[called]))}, as called"
    else:
        said += " and as called"
    st.markdown(said)
    st.caption(plain(f"{predictions.files[position]}, patient {predictions.patients[position]}"))


def _heatmaps(
    checkpoint: Checkpoint, fingerprint: str, rows: np.ndarray, squares: np.ndarray, class_name: str
) -> list[np.ndarray]:
    """What speaks for a class in some scans; it is remembered, so that paging back is free."""
    memory: dict[tuple[str, str, int, str], np.ndarray] = st.session_state.setdefault("evaluate_heatmaps", {})
    key = model_key(checkpoint)
    wanted = [(key, fingerprint, int(row), class_name) for row in rows]
    if any(item not in memory for item in wanted):
        reader = reader_for(checkpoint)
        with st.spinner("Looking at where the model looked…"):
            for item, square in zip(wanted, squares, strict=True):
                if item not in memory:
                    memory[item] = reader.heatmap(_as_scan(square), class_name).astype(np.float16)
    for old in [item for item in memory if item not in wanted][: max(len(memory) - MOST_HEATMAPS, 0)]:
        del memory[old]
    return [memory[item] for item in wanted]


def _as_scan(square: np.ndarray) -> Scan:
    """A stored square as the scan that a reader takes; of its file it knows nothing."""
    height, width = square.shape
    return Scan(square, sha256="", format="", mode="L", width=width, height=height, n_bytes=square.nbytes)


def _picture(square: np.ndarray, heat: np.ndarray | None = None) -> np.ndarray:
    """The scan, beside it the heatmap over it."""
    if heat is None:
        return square
    gap = np.zeros((len(square), max(len(square) // 56, 1), 3), np.uint8)
    grey = np.repeat(square[..., None], 3, axis=2)
    return np.concatenate([grey, gap, overlay(square, heat.astype(np.float32), OPACITY)], axis=1)


# ---------------------------------------------------------------- curves


def _curves(report: Mapping[str, Any], classes: tuple[str, ...], name: str) -> dict[str, go.Figure]:
    """The curves on screen, and those of all classes for the exports."""
    labels = dict(zip(classes, _names(classes), strict=True))
    whole = _curve_figures(report, labels, list(classes))
    shown = list(classes)
    if len(classes) == 2 and not st.toggle(
        f"Also {labels[classes[0]]} against the rest", key="evaluate_both", persist_state="session"
    ):
        shown = [classes[1]]
    grid = st.grid(2, min_column_width=340)
    for kind, figure in _curve_figures(report, labels, shown).items():
        grid.plotly_chart(figure, key=f"evaluate_{kind}_{name}", config=_chart(CHART, f"{name}-{kind}"))
    missing = [labels[item] for item in shown if report["curves"][item] is None]
    if missing:
        st.caption(
            plain(f"There is no curve of {_listed(missing, nicely=False)}: all scans, or none, are of that class.")
        )
    several = "" if len(classes) == 2 else (
        " Of several classes the likeliest is called, not one from a threshold on, so that a diamond may lie off its curve."
    )  # fmt: skip
    st.caption(
        "A model gives a probability; from which one on a scan is called is a choice, and the curves show every choice. "
        "**Left**: how many of a class are found, against how many of the others are false alarms; the further towards the "
        "upper left corner, the better, and the dotted line is guessing. **Right**: how many of those called so truly are, "
        f"against how many are found; dotted is guessing. The **diamond** is how the model calls now.{several}"
    )
    return whole


def _curve_figures(report: Mapping[str, Any], labels: Mapping[str, str], shown: list[str]) -> dict[str, go.Figure]:
    # all classes go in, so that each keeps its colour; those that are not shown go in without a curve
    curves = {labels[name]: report["curves"][name] if name in shown else None for name in labels}
    rates, trades = operating_points(report["confusion_matrix"], list(labels.values()))
    areas = {labels[name]: report["per_class"][name]["auc"] for name in labels}
    shares = {labels[name]: report["per_class"][name]["support"] / report["n"] for name in labels}
    return {
        "roc": roc_figure(curves, rates, areas),
        "precision-recall": precision_recall_figure(curves, trades, shares),
    }


def _training(checkpoint: Checkpoint) -> dict[str, go.Figure]:
    """The curves of the training that made the model, where their record is there and whole."""
    records = jobs.Job(checkpoint.folder).records()
    if not any(record["kind"] == "epoch" for record in records):
        return {}
    st.subheader("How it learned", anchor=False)
    try:
        figures = {"loss": loss_curves(records), "training-auc": auc_curves(records)}
    except (LookupError, TypeError, ValueError):
        st.caption("The record of its training is damaged and cannot be drawn.")
        return {}
    grid = st.grid(2, min_column_width=340)
    for kind, figure in figures.items():
        config = _chart(CHART, f"{checkpoint.name}-{kind}")
        grid.plotly_chart(figure, key=f"evaluate_{kind}_{checkpoint.name}", config=config)
    st.caption(
        "Loss is how wrong the answers were: lower is better. Training falling while validation rises is learning by heart. "
        "The weights of the best epoch on validation were kept."
    )
    return figures


def _ink() -> str:
    """The theme's colour of text, which plotly's own notes do not take on."""
    return "#e6edf1" if st.context.theme.type == "dark" else "#1d2a33"


def _chart(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {**config, "toImageButtonOptions": {"format": "png", "scale": 2, "filename": name}}


# ---------------------------------------------------------------- exports


def _exports(
    checkpoint: Checkpoint, card: Card, facts: Facts, measured: Measurement, folder: Path, figures: dict[str, go.Figure]
) -> None:
    name = f"{checkpoint.name}-{folder.name}"
    about = {"population": facts.population, "drawings": facts.drawings, "model_notes": list(card.notes)}
    made: dict[str, tuple[Callable[[], bytes], str, str, str]] = {
        "Predictions (CSV)": (lambda: _predictions_csv(folder), "predictions.csv", "text/csv", "Every scan with its truth, what it was called and all probabilities."),
        "Report (CSV)": (lambda: _report_csv(measured, facts), "report.csv", "text/csv", "A line for each class and one for all, each figure with the ends of its interval."),
        "Report (JSON)": (lambda: _report_json(measured, about), "report.json", "application/json", "Everything on this page for another program, curves included."),
        "Charts (HTML)": (lambda: _charts_html(name, facts, measured, figures), "charts.html", "text/html", "All charts on one page that opens in any browser, without internet."),
    }  # fmt: skip
    with st.container(horizontal=True):
        for label, (make, ending, mime, words) in made.items():
            st.download_button(
                label, make, f"{name}-{ending}", mime, icon=":material/download:", on_click="ignore", help=words,
            )  # fmt: skip
    st.caption("The camera above a chart saves it as a picture (PNG).")


def _predictions_csv(folder: Path) -> bytes:
    """The kept table, with names that a spreadsheet would compute made text."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    with (folder / PREDICTIONS).open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer.writerows(map(_harmless, line) for line in csv.reader(file))
    return out.getvalue().encode("utf-8", "surrogateescape")


def _report_csv(measured: Measurement, facts: Facts) -> bytes:
    """A line a class and one for all, with everything that tells what was measured."""
    report, of_all, of_class = (
        measured.report,
        ("accuracy", "balanced_accuracy", "auc"),
        ("recall", "precision", "f1", "auc"),
    )
    lines = [{"class": "all", "scans": report["n"]} | _columns(report, of_all)]
    for name in measured.classes:
        row = report["per_class"][name]
        lines.append({"class": name, "scans": row["support"]} | _columns(row, of_class))
    about = {name: report[name] for name in ("model", "dataset", "split", "when", "n_patients", "seen", "threshold")}
    table = pd.DataFrame(lines).assign(**about, population=facts.population, note="research only, no diagnosis")
    table = table.map(_harmless)
    return table.to_csv(index=False).encode("utf-8-sig", "backslashreplace")


def _columns(values: Mapping[str, Any], names: Sequence[str]) -> dict[str, float | None]:
    columns = {}
    for name in names:
        low, high = values[f"{name}_interval"] or (None, None)
        columns |= {name: values[name], f"{name}_low": low, f"{name}_high": high}
    return columns


def _harmless(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _report_json(measured: Measurement, about: Mapping[str, Any]) -> bytes:
    return json.dumps({**measured.report, **about}, indent=1, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _charts_html(name: str, facts: Facts, measured: Measurement, figures: Mapping[str, go.Figure]) -> bytes:
    """All charts on a page that says first what was measured, on whom."""
    report = measured.report
    said = (
        f"{_scans(report['n'])} of {report['n_patients']:,} patients, measured on {_moment(report['when'])}. "
        f"Patients: {facts.population or 'not described'}. Research software, no medical device."
    )
    drawn = {kind: go.Figure(figure).update_yaxes(automargin=True) for kind, figure in figures.items()}
    drawn["confusion"].update_layout(width=MATRIX_WIDTH)
    first, _, rest = page_of(drawn, name).partition("\n")
    return f"{first}\n<h1>{escape(name)}</h1>\n<p>{escape(said)}</p>\n{rest}".encode("utf-8", "backslashreplace")


# ---------------------------------------------------------------- words


def _names(classes: Sequence[str]) -> list[str]:
    """The classes as people write them, unless two would look alike."""
    names = [nice(name) for name in classes]
    return names if len(set(names)) == len(names) else list(classes)


def _listed(names: Sequence[str], *, nicely: bool = True) -> str:
    shown = [nice(name) if nicely else name for name in names]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _scans(n: int) -> str:
    return f"{n:,} scan" + ("" if n == 1 else "s")


def _moment(when: str) -> str:
    """An ISO time as the clock on this machine's wall showed it."""
    moment = datetime.fromisoformat(when).astimezone()
    return f"{moment.day} {moment:%B %Y, %H:%M}"


def _value(value: float | None, *, as_percent: bool = True) -> str:
    if value is None:
        return "–"
    return f"{100 * value:.1f} %" if as_percent else f"{value:.3f}"


def _interval(interval: Sequence[float] | None, *, as_percent: bool = True) -> str:
    if not interval:
        return "not defined: a class is missing"
    low, high = (f"{100 * end:.1f}" if as_percent else f"{end:.3f}" for end in interval)
    return f"95 % interval {low} to {high}" + (" %" if as_percent else "")


def _with_interval(value: float | None, interval: Sequence[float] | None, *, as_percent: bool) -> str:
    if value is None:
        return "–"
    if not interval:
        return _value(value, as_percent=as_percent)
    low, high = (f"{100 * end:.0f}" if as_percent else f"{end:.2f}" for end in interval)
    figure = _value(value, as_percent=as_percent).replace(" ", "\u00a0")
    return f"{figure} ({low}–\u2060{high})"  # with a mark that forbids a new line after the dash


main()
