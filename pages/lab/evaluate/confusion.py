"""The confusion matrix, and the scans of the cell that was clicked or chosen, with where the model looked in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import streamlit as st

from pages.shared.charts import chart_config, text_colour
from pages.shared.colour_scale import show_colour_scale
from pages.shared.formatting import (
    class_label,
    class_labels,
    escape_markdown,
    format_metric,
    format_probability,
    scans_text,
)
from pages.shared.page import display_errors, paginate
from pages.shared.readers import load_reader, model_files_key
from xrai.core.errors import CheckpointError
from xrai.core.language import N_, tr
from xrai.data.dataset import open_dataset
from xrai.evaluation.store import EvaluationResult
from xrai.explain.overlay import draw_overlay
from xrai.figures import add_caption, confusion_figure
from xrai.models.card import Card
from xrai.models.checkpoint import Checkpoint

PER_PAGE, COLUMNS = 6, 2
OPACITY = 0.75
MAX_HEATMAPS = 200
"""That a tab remembers; each takes about 100 kB."""


@st.fragment
def show_confusion(
    checkpoint: Checkpoint,
    card: Card,
    path: Path,
    result: EvaluationResult,
    split_name: str,
    *,
    about: Sequence[str],
    has_same_scans: bool,
    has_same_weights: bool,
) -> None:
    """The confusion matrix, and the scans of the cell that was clicked or chosen.

    Args:
        checkpoint: the model.
        card: of the model.
        path: the dataset.
        result: what was measured of the one on the other.
        split_name: names the measurement among those of the model.
        about: lines that say on the chart what it is of.
        has_same_scans: whether the dataset still holds these scans.
        has_same_weights: whether the model still has the weights that were measured.
    """
    matrix, classes = result.report["confusion_matrix"], result.classes
    names, key = class_labels(classes), f"{checkpoint.name}_{split_name}_{result.report['when']}"
    cells = _sort_cells(matrix)
    cell_key, matrix_key = f"evaluate_cell_{key}", f"evaluate_matrix_{key}"
    if st.session_state.get(cell_key) not in cells:
        st.session_state[cell_key] = cells[0]
    halves = st.grid(2, min_column_width=320)
    with halves.cell():
        as_rates = st.toggle(tr("Show proportions of the true class"), key="evaluate_rates", persist_state="session")
        truth, predicted = divmod(st.session_state[cell_key], len(classes))
        st.plotly_chart(
            add_caption(
                confusion_figure(
                    matrix, names, as_rates=as_rates, selected_cell=(truth, predicted), text_colour=text_colour()
                ),
                *about,
            ),
            key=matrix_key,
            on_select=lambda: _store_clicked_cell(matrix_key, cell_key, cells),
            selection_mode="points",
            config=chart_config(f"{checkpoint.name}-{split_name}-confusion", is_static=True),
        )
    with halves.cell():
        st.markdown(
            tr(
                "Rows: true class. Columns: predicted class. Teal is correct, orange is wrong. **Click a cell, or "
                "choose it here, to see its scans.**"
            )
        )
        if card.threshold and has_same_weights:
            value, name = card.threshold.value, class_label(card.threshold.class_name)
            st.caption(escape_markdown(tr("Positive for {name} at {n:.3g} % or above.", name=name, n=100 * value)))
        label_by_cell = {item: _cell_label(item, matrix, names) for item in cells}
        cell = st.selectbox(
            tr("Cell"), cells, key=cell_key, persist_state="session", format_func=label_by_cell.__getitem__
        )
        truth, predicted = divmod(cell, len(classes))
        _show_cell_summary(matrix, names, truth, predicted)
        page_positions = _select_page(result, names, truth, predicted, f"evaluate_page_{key}_{cell}")
        if has_same_scans:
            _show_legend(names[predicted], has_same_weights=has_same_weights)
    if not has_same_scans:
        st.info(tr("The scans of a cell can be opened once the model is measured on the dataset as it is now."))
        return
    with display_errors():
        pictures = _load_images(
            checkpoint, path, result, page_positions, classes[predicted] if has_same_weights else None
        )
        grid = st.grid(COLUMNS, min_column_width=300)
        for position, picture in zip(page_positions, pictures, strict=True):
            with grid.cell(), st.container(border=True):
                st.image(picture, width="stretch")
                _show_scan_text(result, names, int(position))


def _store_clicked_cell(matrix_key: str, cell_key: str, cells: list[int]) -> None:
    """Take over the cell that was clicked; a click on the one selected in the chart unselects it there, and counts too."""
    points = st.session_state[matrix_key]["selection"]["points"]
    last_key = f"{matrix_key}_last"
    cell = points[0]["point_index"] if points else st.session_state.get(last_key)
    st.session_state[last_key] = cell
    if cell in cells:
        st.session_state[cell_key] = cell


def _sort_cells(matrix: list[list[int]]) -> list[int]:
    """The numbers of all cells with scans in them, row by row from 0: the errors first, the most frequent of them first."""
    n = len(matrix)
    counts = {truth * n + predicted: matrix[truth][predicted] for truth in range(n) for predicted in range(n)}
    return sorted(
        (cell for cell in counts if counts[cell]), key=lambda cell: (cell % (n + 1) == 0, -counts[cell], cell)
    )


def _cell_label(cell: int, matrix: list[list[int]], names: list[str]) -> str:
    truth, predicted = divmod(cell, len(names))
    values = {"truth": names[truth], "scans": scans_text(matrix[truth][predicted])}
    if truth == predicted:
        return tr("{truth}, correct: {scans}", **values)
    return tr("{truth} predicted as {predicted}: {scans}", predicted=names[predicted], **values)


def _show_cell_summary(matrix: list[list[int]], names: list[str], truth: int, predicted: int) -> None:
    count, total = matrix[truth][predicted], sum(matrix[truth])
    values = {"n": count, "total": total, "truth": names[truth], "share": format_metric(count / total)}
    if truth == predicted:
        text = tr("{n:,} of {total:,} {truth} scans are correct, {share}.", **values)
    else:
        text = tr(
            "{n:,} of {total:,} {truth} scans are predicted as {predicted}, {share}.",
            predicted=names[predicted],
            **values,
        )
    st.markdown(escape_markdown(text))
    if all(not n for t, row in enumerate(matrix) for c, n in enumerate(row) if t != c):
        st.success(tr("No scan is wrong."), icon=":material/check_circle:")


def _select_page(result: EvaluationResult, names: list[str], truth: int, predicted: int, key: str) -> np.ndarray:
    """The scans of a cell that are on screen, as positions among the predictions: the worst first, some a page."""
    positions = result.predictions.find_cell(truth, predicted)
    offset, page_positions = paginate(positions, PER_PAGE, key)
    if len(positions) > 1:
        st.caption(
            escape_markdown(
                tr(
                    "{first:,} to {last:,} of {scans}, lowest probability of {name} first.",
                    first=offset + 1,
                    last=offset + len(page_positions),
                    scans=scans_text(len(positions)),
                    name=names[truth],
                )
            )
        )
    return page_positions


def _show_legend(predicted_name: str, *, has_same_weights: bool) -> None:
    if has_same_weights:
        text = tr("Left: the scan. Right: the evidence for {name}, the predicted class.", name=predicted_name)
        show_colour_scale(OPACITY, escape_markdown(text))
    else:
        st.caption(tr("No heatmaps: the model's weights have changed since this was measured."))


def _load_images(
    checkpoint: Checkpoint, path: Path, result: EvaluationResult, page_positions: np.ndarray, class_name: str | None
) -> list[np.ndarray]:
    """The scans at some positions, beside what speaks for a class in them where one is named.

    Raises:
        CheckpointError: the predictions are of other rows than the dataset's, or the model is damaged.
        DatasetError: the dataset is damaged.
    """
    rows = result.predictions.rows[page_positions]
    with open_dataset(path) as dataset:
        if rows.max() >= len(dataset):
            raise CheckpointError(
                N_("The stored predictions belong to other scans than the dataset holds: measure again.")
            )
        images = dataset.images(rows)
    if class_name is None:
        return [_place_beside_heatmap(square) for square in images]
    heatmaps = _load_heatmaps(checkpoint, result.report["fingerprint"], rows, images, class_name)
    return [_place_beside_heatmap(square, heat) for square, heat in zip(images, heatmaps, strict=True)]


def _show_scan_text(result: EvaluationResult, names: list[str], position: int) -> None:
    predictions = result.predictions
    truth, predicted = predictions.labels[position], predictions.predicted[position]
    probabilities = predictions.probabilities[position]
    values = {
        "truth": escape_markdown(names[truth]),
        "share": escape_markdown(format_probability(probabilities[truth])),
    }
    if truth == predicted:
        text = tr("**{truth}** {share}, true and predicted class", **values)
    else:
        text = tr(
            "**{truth}** {share}, true class · **{predicted}** {predicted_share}, predicted class",
            predicted=escape_markdown(names[predicted]),
            predicted_share=escape_markdown(format_probability(probabilities[predicted])),
            **values,
        )
    st.markdown(text)
    file_facts = {"file": predictions.files[position], "patient": predictions.patients[position]}
    st.caption(escape_markdown(tr("{file}, patient {patient}", **file_facts)))


def _load_heatmaps(
    checkpoint: Checkpoint, fingerprint: str, rows: np.ndarray, images: np.ndarray, class_name: str
) -> list[np.ndarray]:
    """What speaks for a class in some scans; it is remembered, so that paging back is free."""
    cache: dict[tuple[str, str, int, str], np.ndarray] = st.session_state.setdefault("evaluate_heatmaps", {})
    key = model_files_key(checkpoint)
    cache_keys = [(key, fingerprint, int(row), class_name) for row in rows]
    if any(item not in cache for item in cache_keys):
        reader = load_reader(checkpoint)
        with st.spinner(tr("Looking at where the model looked…")):
            for item, square in zip(cache_keys, images, strict=True):
                if item not in cache:
                    cache[item] = reader.heatmap(square, class_name).astype(np.float16)
    for stale_key in [item for item in cache if item not in cache_keys][: max(len(cache) - MAX_HEATMAPS, 0)]:
        del cache[stale_key]
    return [cache[item] for item in cache_keys]


def _place_beside_heatmap(square: np.ndarray, heat: np.ndarray | None = None) -> np.ndarray:
    """The scan, beside it the heatmap over it."""
    if heat is None:
        return square
    gap = np.zeros((len(square), max(len(square) // 56, 1), 3), np.uint8)
    grey = np.repeat(square[..., None], 3, axis=2)
    return np.concatenate([grey, gap, draw_overlay(square, heat.astype(np.float32), OPACITY)], axis=1)
