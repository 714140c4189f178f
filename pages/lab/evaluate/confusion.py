"""The confusion matrix, and the scans of the cell that was clicked or chosen, with where the model looked in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import streamlit as st

from pages.shared.charts import chart_config, ink
from pages.shared.formatting import measure, nice, nice_names, percent, plain, scans
from pages.shared.heatmaps import colour_scale
from pages.shared.page import one_page, stated_errors
from pages.shared.readers import model_key, reader_for
from xrai.core.errors import CheckpointError
from xrai.core.language import N_, tr
from xrai.data.dataset import open_dataset
from xrai.evaluation.store import Measurement
from xrai.explain.overlay import overlay
from xrai.figures import captioned, confusion_figure
from xrai.models.checkpoint import Card, Checkpoint
from xrai.scans import Scan

PER_PAGE, COLUMNS = 6, 2
OPACITY = 0.75
MOST_HEATMAPS = 200
"""That a tab remembers; each takes about 100 kB."""


@st.fragment
def cells_and_scans(
    checkpoint: Checkpoint,
    card: Card,
    path: Path,
    measured: Measurement,
    place: str,
    *,
    about: Sequence[str],
    opens: bool,
    explains: bool,
) -> None:
    """The confusion matrix, and the scans of the cell that was clicked or chosen.

    Args:
        checkpoint: the model.
        card: of the model.
        path: the dataset.
        measured: what was measured of the one on the other.
        place: names the measurement among those of the model.
        about: lines that say on the chart what it is of.
        opens: whether the dataset still holds these scans.
        explains: whether the model still has the weights that were measured.
    """
    matrix, classes = measured.report["confusion_matrix"], measured.classes
    names, key = nice_names(classes), f"{checkpoint.name}_{place}_{measured.report['when']}"
    cells = _cells_by_interest(matrix)
    cell_key, matrix_key = f"evaluate_cell_{key}", f"evaluate_matrix_{key}"
    if st.session_state.get(cell_key) not in cells:
        st.session_state[cell_key] = cells[0]
    halves = st.grid(2, min_column_width=320)
    with halves.cell():
        as_rates = st.toggle(tr("Shares of the true class in large"), key="evaluate_rates", persist_state="session")
        truth, called = divmod(st.session_state[cell_key], len(classes))
        st.plotly_chart(
            captioned(
                confusion_figure(matrix, names, as_rates=as_rates, chosen=(truth, called), ink=ink()), *about
            ),
            key=matrix_key, on_select=lambda: _click(matrix_key, cell_key, cells), selection_mode="points",
            config=chart_config(f"{checkpoint.name}-{place}-confusion", still=True),
        )  # fmt: skip
    with halves.cell():
        st.markdown(tr(
            "Each row holds the scans that truly are of a class; each column what the model called. "
            "Teal is right, orange is wrong. **Click a cell, or choose it here, to see its scans.**"
        ))  # fmt: skip
        if card.threshold and explains:
            value, name = card.threshold["value"], nice(card.threshold["class"])
            st.caption(plain(tr("Called {name} from a probability of {n:.3g} % on.", name=name, n=100 * value)))
        words = {item: _cell_words(item, matrix, names) for item in cells}
        cell = st.selectbox(
            tr("Cell"), cells, key=cell_key, persist_state="session",
            format_func=words.__getitem__,
        )  # fmt: skip
        truth, called = divmod(cell, len(classes))
        _cell_summary(matrix, names, truth, called)
        shown = _scans_on_screen(measured, names, truth, called, f"evaluate_page_{key}_{cell}")
        if opens:
            _legend(names[called], explains=explains)
    if not opens:
        st.info(tr("The scans of a cell can be opened once the model is measured on the dataset as it is now."))
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
    words = {"truth": names[truth], "scans": scans(matrix[truth][called])}
    if truth == called:
        return tr("{truth}, called right: {scans}", **words)
    return tr("{truth} called {called}: {scans}", called=names[called], **words)


def _cell_summary(matrix: list[list[int]], names: list[str], truth: int, called: int) -> None:
    count, of = matrix[truth][called], sum(matrix[truth])
    words = {"n": count, "of": of, "truth": names[truth], "share": measure(count / of)}
    if truth == called:
        said = tr("{n:,} of {of:,} {truth} scans were called right, {share}.", **words)
    else:
        said = tr(
            "{n:,} of {of:,} {truth} scans were called {called} by mistake, {share}.", called=names[called], **words
        )
    st.markdown(plain(said))
    if all(not n for t, row in enumerate(matrix) for c, n in enumerate(row) if t != c):
        st.success(tr("No scan was called wrong."), icon=":material/check_circle:")


def _scans_on_screen(measured: Measurement, names: list[str], truth: int, called: int, key: str) -> np.ndarray:
    """The scans of a cell that are on screen, as positions among the predictions: the worst first, some a page."""
    found = measured.predictions.cell(truth, called)
    first, shown = one_page(found, PER_PAGE, key)
    if len(found) > 1:
        st.caption(plain(tr(
            "{first:,} to {last:,} of {scans} are shown, the worst first: those with the lowest probability of {name}.",
            first=first + 1, last=first + len(shown), scans=scans(len(found)), name=names[truth],
        )))  # fmt: skip
    return shown


def _legend(called: str, *, explains: bool) -> None:
    if explains:
        words = tr("Left the scan, right what speaks in it for {name}, as it was called.", name=called)
        colour_scale(OPACITY, plain(words))
    else:
        st.caption(tr("No heatmaps: the weights that gave these answers are not the model's any more."))


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
            raise CheckpointError(N_("The kept predictions are of other scans than the dataset holds: measure again."))
        squares = dataset.images(rows)
    if class_name is None:
        return [_picture(square) for square in squares]
    heats = _heatmaps(checkpoint, measured.report["fingerprint"], rows, squares, class_name)
    return [_picture(square, heat) for square, heat in zip(squares, heats, strict=True)]


def _scan_words(measured: Measurement, names: list[str], position: int) -> None:
    predictions = measured.predictions
    truth, called = predictions.labels[position], predictions.called[position]
    shares = predictions.probabilities[position]
    words = {"truth": plain(names[truth]), "share": plain(percent(shares[truth]))}
    if truth == called:
        said = tr("**{truth}** {share}, the truth and as called", **words)
    else:
        said = tr(
            "**{truth}** {share}, the truth · **{called}** {other}, as called",
            called=plain(names[called]), other=plain(percent(shares[called])), **words,
        )  # fmt: skip
    st.markdown(said)
    whose = {"file": predictions.files[position], "patient": predictions.patients[position]}
    st.caption(plain(tr("{file}, patient {patient}", **whose)))


def _heatmaps(
    checkpoint: Checkpoint, fingerprint: str, rows: np.ndarray, squares: np.ndarray, class_name: str
) -> list[np.ndarray]:
    """What speaks for a class in some scans; it is remembered, so that paging back is free."""
    memory: dict[tuple[str, str, int, str], np.ndarray] = st.session_state.setdefault("evaluate_heatmaps", {})
    key = model_key(checkpoint)
    wanted = [(key, fingerprint, int(row), class_name) for row in rows]
    if any(item not in memory for item in wanted):
        reader = reader_for(checkpoint)
        with st.spinner(tr("Looking at where the model looked…")):
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
