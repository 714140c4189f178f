"""A model's errors in words, in the manual: of a hundred scans of each class, how many were called something else."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import streamlit as st

from pages.shared.charts import chart_config, text_colour
from pages.shared.formatting import (
    class_labels,
    escape_markdown,
    format_interval,
    format_time,
    replace_surrogates,
    scans_text,
)
from pages.shared.navigation import open_evaluate
from pages.shared.page import show_switch
from pages.shared.readers import artifacts_key
from xrai.calibration import round_to_hundred
from xrai.core.errors import CheckpointError
from xrai.core.json_files import is_file, last_modified, list_folder
from xrai.core.labels import is_healthy
from xrai.core.language import N_, tr, trn
from xrai.data.sources import SPLIT_NAMES
from xrai.evaluation.store import REPORT_FILE, EvaluationResult, load_evaluation
from xrai.figures import confusion_figure
from xrai.metrics import confusion_matrix, predict
from xrai.models.card import Card
from xrai.models.checkpoint import EVALUATIONS, Checkpoint
from xrai.models.operating_point import load_validation_outputs
from xrai.training.diagnostics import ClassErrors, count_class_errors

ON_VALIDATION, LAST_EVALUATION = N_("Validation scans"), N_("Last measurement")


class _ErrorCounts(NamedTuple):
    """What a model called some scans."""

    matrix: list[list[int]]
    errors: list[ClassErrors]


def show_errors(checkpoint: Checkpoint) -> None:
    """The confusion matrix of a model, and beside it what that says.

    Raises:
        CheckpointError: the model's files are damaged.
    """
    card, result = checkpoint.read_card(), _load_latest_result(checkpoint)
    validation = _count_on_validation(str(checkpoint.folder), artifacts_key(checkpoint))
    st.subheader(tr("Its errors, counted"), anchor=False)
    if places := [
        place
        for place, counts_or_result in ((ON_VALIDATION, validation), (LAST_EVALUATION, result))
        if counts_or_result
    ]:
        place = _choose_scans(places, checkpoint.name)
        counts = validation if place == ON_VALIDATION else None
        _show_counts(checkpoint, card, counts or _count_on_result(result), _about_text(place, card, result))  # type: ignore[arg-type]
        return
    st.info(tr("What it called each scan was not kept. Measure it, and its errors are counted here."))
    if st.button(tr("Measure it on Evaluate"), key=f"manual_evaluate_{checkpoint.name}", icon=":material/query_stats:"):
        open_evaluate(checkpoint.name)


def _choose_scans(places: list[str], name: str) -> str:
    if len(places) < 2:
        return places[0]
    return show_switch(tr("Scans"), places, f"manual_errors_{name}")


def _show_counts(checkpoint: Checkpoint, card: Card, counts: _ErrorCounts, about: str) -> None:
    names = class_labels(card.classes)
    halves = st.grid(2, min_column_width=340)
    halves.plotly_chart(
        confusion_figure(counts.matrix, names, text_colour=text_colour()),
        key=f"manual_matrix_{checkpoint.name}",
        config=chart_config(f"{checkpoint.name}-matrix", is_static=True),
    )
    with halves.cell():
        st.caption(escape_markdown(replace_surrogates(about)))
        of_disease = len(names) == 2 and is_healthy(card.classes[0])
        for errors in reversed(counts.errors) if of_disease else counts.errors:  # the missed ones first
            _show_class_errors(errors, names, of_disease=of_disease)
        if (only_class := _only_predicted_class(counts.matrix)) is not None:
            st.markdown(
                escape_markdown(
                    tr("It called every one of them {name}: it tells nothing apart.", name=names[only_class])
                )
            )
        st.markdown(
            tr(
                "Each row of the matrix is the truth, each column what the model called: right answers lie on the diagonal. "
                "Which error is worse is not for the computer to say. On Evaluate you choose the threshold between them."
            )
        )


def _show_class_errors(errors: ClassErrors, names: Sequence[str], *, of_disease: bool) -> None:
    """`Of 100 with pneumonia 4 were missed`, and the real counts beside it.

    Args:
        errors: on one class.
        names: of all classes.
        of_disease: whether the first of two classes says that nothing was found, so that the other can be missed.
    """
    st.markdown(_hundred_text(errors, escape_markdown(names[errors.label]), of_disease=of_disease))
    text = tr(
        "Counted: {n:,} of {total:,}, 95 % interval {interval}.",
        n=errors.n_wrong,
        total=errors.n,
        interval=format_interval(errors.interval, ".0%"),
    )
    if errors.top_confusion is not None and len(names) > 2:
        text = tr("{counted} Most of them as {other}.", counted=text, other=names[errors.top_confusion])
    st.caption(escape_markdown(text))


def _only_predicted_class(matrix: list[list[int]]) -> int | None:
    """The class that every scan was called; None where there are several."""
    predicted = [column for column, counts in enumerate(zip(*matrix, strict=True)) if any(counts)]
    return predicted[0] if len(predicted) == 1 else None


def _hundred_text(errors: ClassErrors, name: str, *, of_disease: bool) -> str:
    share = errors.n_wrong / errors.n
    words, number = _count_text(share), 1 if share and round_to_hundred(share) < 2 else 2
    if of_disease and errors.label == 0:
        return tr("Of 100 {name} scans, **{n}** raised a false alarm.", name=name, n=words)
    if of_disease:
        return trn(
            "Of 100 {name} scans, **{n}** was missed.",
            "Of 100 {name} scans, **{n}** were missed.",
            number,
            name=name,
            n=words,
        )
    return trn(
        "Of 100 {name} scans, **{n}** was called something else.",
        "Of 100 {name} scans, **{n}** were called something else.",
        number,
        name=name,
        n=words,
    )


def _count_text(share: float) -> str:
    """A share as a count of a hundred; none is said of none only, and all of all."""
    count = round_to_hundred(share)
    if count == 0 and share > 0:
        return tr("fewer than 1")
    return tr("more than 99") if count == 100 and share < 1 else str(count)


def _about_text(place: str, card: Card, result: EvaluationResult | None) -> str:
    """What was counted on."""
    if place == ON_VALIDATION or result is None:
        return tr(
            "On its {n:,} validation scans, which chose its best epoch: a little kinder than the truth.",
            n=card.validation.n if card.validation else 0,
        )
    report = result.report
    return tr(
        "On {scans} of {dataset} (part: {split}), measured {when}.",
        scans=scans_text(report["n"]),
        dataset=report["dataset"],
        split=_split_name(report["split"]),
        when=format_time(report["when"]),
    )


def _split_name(name: str) -> str:
    return tr(SPLIT_NAMES[name]) if name in SPLIT_NAMES else name


# ---------------------------------------------------------------- what is known


@st.cache_data(max_entries=20, show_spinner=False)
def _count_on_validation(folder: str, files_key: str) -> _ErrorCounts | None:
    """What a model calls the scans that chose its best epoch; None where its answers to them were not kept."""
    checkpoint = Checkpoint(Path(folder))
    card = checkpoint.read_card()
    with suppress(CheckpointError):
        outputs = load_validation_outputs(checkpoint, card)
        predicted = predict(card.to_probabilities(outputs.logits), card.threshold_value)
        return _count_errors(outputs.labels, predicted, outputs.patients.tolist(), len(card.classes))
    return None


def _load_latest_result(checkpoint: Checkpoint) -> EvaluationResult | None:
    """The latest measurement of the weights as they are, if one is kept."""
    folder = checkpoint.folder / EVALUATIONS
    places = [item for item in list_folder(folder) if is_file(item / REPORT_FILE)]
    for place in sorted(places, key=lambda place: -last_modified(place, REPORT_FILE)):
        with suppress(CheckpointError):
            result = load_evaluation(place)
            if result and result.has_weights_of(checkpoint):
                return result
    return None


def _count_on_result(result: EvaluationResult) -> _ErrorCounts:
    predictions = result.predictions
    return _count_errors(predictions.labels, predictions.predicted, predictions.patients.tolist(), len(result.classes))


def _count_errors(labels: np.ndarray, predicted: np.ndarray, patients: list[object], n_classes: int) -> _ErrorCounts:
    matrix = confusion_matrix(predicted, labels, n_classes).tolist()
    return _ErrorCounts(matrix, count_class_errors(labels, predicted, patients, n_classes))  # type: ignore[arg-type]
