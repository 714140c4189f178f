"""A model's errors in words, in the manual: of a hundred scans of each class, how many were called something else."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import streamlit as st

from pages.shared.charts import chart_config, ink
from pages.shared.decision_effects import stamp_of
from pages.shared.formatting import between, moment, nice_names, plain, scans, whole
from pages.shared.navigation import evaluate_model
from xrai.calibration import of_hundred
from xrai.core.errors import CheckpointError
from xrai.core.json_files import last_change
from xrai.core.labels import is_healthy
from xrai.core.language import N_, tr, trn
from xrai.data.sources import SPLIT_NAMES
from xrai.evaluation.store import REPORT, Measurement, load_measurement
from xrai.figures import confusion_figure
from xrai.metrics import confusion_matrix, predict
from xrai.models.checkpoint import EVALUATIONS, Card, Checkpoint
from xrai.models.operating_point import validation_of
from xrai.training.diagnostics import Errors, errors_of

VALIDATION, MEASURED = N_("Validation scans"), N_("Last measurement")


class _Counts(NamedTuple):
    """What a model called some scans."""

    matrix: list[list[int]]
    errors: list[Errors]


def show_errors(checkpoint: Checkpoint) -> None:
    """The confusion matrix of a model, and beside it what that says.

    Raises:
        CheckpointError: the model's files are damaged.
    """
    card, measured = checkpoint.card(), _last_measured(checkpoint)
    validation = _on_validation(str(checkpoint.folder), stamp_of(checkpoint))
    st.subheader(tr("Its errors, counted"), anchor=False)
    if places := [place for place, known in ((VALIDATION, validation), (MEASURED, measured)) if known]:
        place = _choose(places, checkpoint.name)
        said = validation if place == VALIDATION else None
        _show(checkpoint, card, said or _of_measurement(measured), _about(place, card, measured))  # type: ignore[arg-type]
        return
    st.info(tr("What it called each scan was not kept. Measure it, and its errors are counted here."))
    if st.button(tr("Measure it on Evaluate"), key=f"manual_evaluate_{checkpoint.name}", icon=":material/query_stats:"):
        evaluate_model(checkpoint.name)


def _choose(places: list[str], name: str) -> str:
    if len(places) < 2:
        return places[0]
    chosen = st.segmented_control(
        tr("Scans"), places, default=places[0], format_func=tr, required=True, key=f"manual_errors_{name}",
        label_visibility="collapsed", persist_state="session",
    )  # fmt: skip
    return chosen or places[0]


def _show(checkpoint: Checkpoint, card: Card, counts: _Counts, about: str) -> None:
    names = nice_names(card.classes)
    halves = st.grid(2, min_column_width=340)
    halves.plotly_chart(
        confusion_figure(counts.matrix, names, ink=ink()), key=f"manual_matrix_{checkpoint.name}",
        config=chart_config(f"{checkpoint.name}-matrix", still=True),
    )  # fmt: skip
    with halves.cell():
        st.caption(plain(whole(about)))
        of_disease = len(names) == 2 and is_healthy(card.classes[0])
        for errors in reversed(counts.errors) if of_disease else counts.errors:  # the missed ones first
            _in_words(errors, names, of_disease=of_disease)
        if (only := _only_call(counts.matrix)) is not None:
            st.markdown(plain(tr("It called every one of them {name}: it tells nothing apart.", name=names[only])))
        st.markdown(
            tr(
                "Each row of the matrix is the truth, each column what the model called: right answers lie on the diagonal. "
                "Which error is worse is not for the computer to say. On Evaluate you choose the threshold between them."
            )
        )


def _in_words(errors: Errors, names: Sequence[str], *, of_disease: bool) -> None:
    """`Of 100 with pneumonia 4 were missed`, and the real counts beside it.

    Args:
        errors: on one class.
        names: of all classes.
        of_disease: whether the first of two classes says that nothing was found, so that the other can be missed.
    """
    st.markdown(_of_a_hundred(errors, plain(names[errors.label]), of_disease=of_disease))
    counted = tr(
        "Counted: {n:,} of {total:,}, 95 % interval {interval}.",
        n=errors.wrong, total=errors.n, interval=between(errors.interval, ".0%"),
    )  # fmt: skip
    if errors.most is not None and len(names) > 2:
        counted = tr("{counted} Most of them as {other}.", counted=counted, other=names[errors.most])
    st.caption(plain(counted))


def _only_call(matrix: list[list[int]]) -> int | None:
    """The class that every scan was called; None where there are several."""
    called = [column for column, counts in enumerate(zip(*matrix, strict=True)) if any(counts)]
    return called[0] if len(called) == 1 else None


def _of_a_hundred(errors: Errors, name: str, *, of_disease: bool) -> str:
    share = errors.wrong / errors.n
    words, number = _count(share), 1 if share and of_hundred(share) < 2 else 2
    if of_disease and errors.label == 0:
        return tr("Of 100 {name} scans, **{n}** raised a false alarm.", name=name, n=words)
    if of_disease:
        return trn(
            "Of 100 {name} scans, **{n}** was missed.", "Of 100 {name} scans, **{n}** were missed.",
            number, name=name, n=words,
        )  # fmt: skip
    return trn(
        "Of 100 {name} scans, **{n}** was called something else.",
        "Of 100 {name} scans, **{n}** were called something else.",
        number, name=name, n=words,
    )  # fmt: skip


def _count(share: float) -> str:
    """A share as a count of a hundred; none is said of none only, and all of all."""
    count = of_hundred(share)
    if count == 0 and share > 0:
        return tr("fewer than 1")
    return tr("more than 99") if count == 100 and share < 1 else str(count)


def _about(place: str, card: Card, measured: Measurement | None) -> str:
    """What was counted on."""
    if place == VALIDATION or measured is None:
        return tr(
            "On its {n:,} validation scans, which chose its best epoch: a little kinder than the truth.",
            n=int(card.validation["n"]),
        )
    report = measured.report
    return tr(
        "On {scans} of {dataset} (part: {split}), measured {when}.",
        scans=scans(report["n"]), dataset=report["dataset"], split=_split(report["split"]),
        when=moment(report["when"]),
    )  # fmt: skip


def _split(name: str) -> str:
    return tr(SPLIT_NAMES[name]) if name in SPLIT_NAMES else name


# ---------------------------------------------------------------- what is known


@st.cache_data(max_entries=20, show_spinner=False)
def _on_validation(folder: str, stamp: str) -> _Counts | None:
    """What a model calls the scans that chose its best epoch; None where its answers to them were not kept."""
    checkpoint = Checkpoint(Path(folder))
    card = checkpoint.card()
    with suppress(CheckpointError):
        kept = validation_of(checkpoint, card)
        called = predict(card.probabilities(kept.logits), card.threshold_value)
        return _counted(kept.labels, called, kept.patients.tolist(), len(card.classes))
    return None


def _last_measured(checkpoint: Checkpoint) -> Measurement | None:
    """The latest measurement of the weights as they are, if one is kept."""
    folder = checkpoint.folder / EVALUATIONS
    places = [item for item in folder.iterdir() if (item / REPORT).is_file()] if folder.is_dir() else []
    for place in sorted(places, key=lambda place: -last_change(place, REPORT)):
        with suppress(CheckpointError):
            measured = load_measurement(place)
            if measured and measured.is_of(checkpoint):
                return measured
    return None


def _of_measurement(measured: Measurement) -> _Counts:
    said = measured.predictions
    return _counted(said.labels, said.called, said.patients.tolist(), len(measured.classes))


def _counted(labels: np.ndarray, called: np.ndarray, patients: list[object], n_classes: int) -> _Counts:
    matrix = confusion_matrix(called, labels, n_classes).tolist()
    return _Counts(matrix, errors_of(labels, called, patients, n_classes))  # type: ignore[arg-type]
