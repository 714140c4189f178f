"""Resumable training state (tensors as safetensors, values as JSON, no pickle), best weights and their card."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from xrai.core.errors import CheckpointError, TrainingError
from xrai.core.json_files import (
    HISTORY_FILE,
    flush,
    flush_tree,
    read_records,
    replace_file,
    truncate_records,
    write_json,
)
from xrai.core.language import say
from xrai.core.records import Count, Number, Record
from xrai.models.artifacts import Artifacts, save_artifacts
from xrai.models.card import Card, SourceModel, TrainingRecord
from xrai.models.checkpoint import STATE, WEIGHTS, Checkpoint
from xrai.models.history import ValidationMetrics
from xrai.models.operating_point import fit_operating_point, reset_operating_point
from xrai.networks.build import count_parameters
from xrai.scans.preprocessing import Preprocessing
from xrai.training.card import draft_card
from xrai.training.loop import EpochOutputs
from xrai.training.selection import BestEpoch
from xrai.training.state import TrainingState

TENSORS_FILE, VALUES_FILE = "tensors.safetensors", "values.json"

RECIPE_REVISION = 1
"""Raised with every change after which the same settings train otherwise: augmentation, loss, optimizer, scan order.

A run that was begun by another revision does not go on, since its card would tell of one way of training only.
"""


class StateValues(Record):
    """The values of a resumable state; its tensors lie beside them.

    Attributes:
        epoch, batch: epochs that are done, and batches of the present one.
        loss_sum: of the present epoch, over scans.
        seconds: of training so far.
        fingerprint: of the dataset.
        n_records: records in the history when it was saved.
        recipe: the `RECIPE_REVISION` that it was trained by; 0 for a state older than these.
    """

    epoch: Count
    batch: Count
    best: BestEpoch | None
    epochs_since_best: Count
    loss_sum: Number
    seconds: Number
    fingerprint: str
    preprocessing: Preprocessing
    origin: SourceModel | None
    n_records: Count
    recipe: Count = 0


def save_run(state: TrainingState, seconds: float) -> None:
    """Save what resuming needs; rank 0 only.

    The outputs of the present epoch are saved only if one process works alone: rank 0 does not have those of others.
    Several processes count the training metrics of a resumed epoch from where it resumes, and save nothing between an
    epoch's last batch and its end, since nothing would be left to count.
    """
    if not state.is_rank_zero:
        return
    tensors = {f"network.{name}": value for name, value in state.network.state_dict().items()}
    if state.ema_model is not None:
        tensors |= {f"average.{name}": value for name, value in state.ema_model.state_dict().items()}
    if state.outputs.n and state.is_single_process:
        tensors |= outputs_to_tensors(state.outputs)
    folder = state.checkpoint.folder
    values = StateValues(
        epoch=state.epoch,
        batch=state.batch,
        best=state.selector.best,
        epochs_since_best=state.selector.epochs_since_best,
        loss_sum=state.outputs.loss_sum,
        seconds=round(seconds, 2),
        fingerprint=state.dataset.fingerprint,
        preprocessing=state.loader.preprocessing,
        origin=state.origin,
        n_records=len(read_records(folder / HISTORY_FILE)),
        recipe=RECIPE_REVISION,
    )
    with suppress(FileNotFoundError):  # a run that keeps no history
        flush(folder / HISTORY_FILE)
    save_state(folder / STATE, tensors | optimizer_to_tensors(state.optimizer), values)


def restore_run(state: TrainingState) -> float:
    """Continue from the saved state, or from the start where nothing was saved; gives the seconds of training so far.

    Raises:
        CheckpointError: the state is damaged, or of another run.
        TrainingError: the dataset has changed, or this version trains the same settings otherwise.
    """
    checkpoint = state.checkpoint
    history_file = checkpoint.folder / HISTORY_FILE
    if not checkpoint.is_taken:
        if state.is_rank_zero:
            truncate_records(history_file, 0)
        return 0.0
    tensors, values = load_state(checkpoint.folder / STATE)
    if values.fingerprint != state.dataset.fingerprint:
        raise TrainingError(
            "The run “{name}” cannot go on because its dataset has changed since: "
            "train a new model on the new dataset.",
            name=checkpoint.name,
        )
    if values.recipe != RECIPE_REVISION:
        raise TrainingError(
            "The run “{name}” cannot go on because it was begun by a version of XRAI that trains the same settings "
            "otherwise: finish it with that version, or run it again under another name with the same settings.",
            name=checkpoint.name,
        )
    with report_state_errors(checkpoint.name):
        _restore_tensors(state, tensors, values.loss_sum)
        _restore_values(state, values)
    _save_first_weights(state)
    if state.is_rank_zero:
        truncate_records(history_file, values.n_records)
    return values.seconds


def _restore_tensors(state: TrainingState, tensors: Mapping[str, Tensor], loss_sum: float) -> None:
    state.network.load_state_dict(select_prefix(tensors, "network"))
    if state.ema_model is not None:
        state.ema_model.load_state_dict(select_prefix(tensors, "average"))
    restore_optimizer(state.optimizer, tensors)
    if state.is_single_process:
        state.outputs = outputs_from_tensors(tensors, loss_sum, len(state.dataset.classes))


def _restore_values(state: TrainingState, values: StateValues) -> None:
    """Set position, best epoch and the grey statistics with which the run began.

    Raises:
        ValueError: they do not fit this run.
    """
    grey = values.preprocessing
    if not 0 < grey.std < math.inf or grey != replace(state.loader.preprocessing, mean=grey.mean, std=grey.std):
        raise ValueError("preprocessing")
    # a complete epoch needs its outputs
    if values.epoch > state.config.epochs or values.batch >= state.n_batches + bool(state.outputs.n):
        raise ValueError("position")
    state.loader = replace(state.loader, preprocessing=grey)
    state.epoch = values.epoch
    state.batch = values.batch
    state.origin = values.origin
    state.selector.best = values.best
    state.selector.epochs_since_best = values.epochs_since_best


def _save_first_weights(state: TrainingState) -> None:
    """Save the weights of the first epoch, which are in the state, if the run was killed before they were saved."""
    best = state.selector.best
    is_first = best is not None and (state.epoch, state.batch) == (best.epoch, 0)
    if is_first and state.is_rank_zero and not (state.checkpoint.folder / WEIGHTS).is_file():
        state.checkpoint.save_network(state.evaluation_network)


# ---------------------------------------------------------------- best weights and card


def save_best(state: TrainingState, seconds: float, validation: ValidationMetrics) -> None:
    """Save the weights, and update the card of a resumed run to them; rank 0 only."""
    if not state.is_rank_zero:
        return
    checkpoint = state.checkpoint
    previous_sha256 = checkpoint.weights_sha256()
    checkpoint.save_network(state.evaluation_network)
    if previous_card := _read_card(checkpoint):
        card = draft_run_card(state, seconds, say("not yet"))
        card = card.replace(heatmap_scale=previous_card.heatmap_scale, validation=validation)
        write_run_card(state, card, previous_sha256=previous_sha256)


def write_run_card(
    state: TrainingState,
    card: Card,
    artifacts: Artifacts | None = None,
    *,
    alpha: float | None = None,
    previous_sha256: str | None = None,
) -> Card:
    """Write the card with all earlier evaluations, since each use of the test split counts.

    Args:
        state: of the run.
        card: to write.
        artifacts: saved with it; the operating point is fitted on their validation outputs as the user last chose it.
            Without artifacts it is reset.
        alpha: the abstention level that the user chose.
        previous_sha256: of the weights that were just replaced. Evaluations of other weights than the present ones are
            flagged; entries without a hash are assumed to belong to these.
    """
    checkpoint = state.checkpoint
    with checkpoint.card_lock():  # an evaluation may be written at the same time
        previous_card = _read_card(checkpoint)
        sha256 = checkpoint.weights_sha256()
        evaluations = [
            item if (item.weights_sha256 or previous_sha256 or sha256) == sha256 else item.replace(is_outdated=True)
            for item in (previous_card.evaluations if previous_card else [])
        ]
        card = card.replace(evaluations=evaluations)
        if previous_card:
            card = reset_operating_point(card, previous_card)
        if artifacts and artifacts.validation:
            save_artifacts(checkpoint, artifacts, sha256)
            card = fit_operating_point(card, artifacts.validation, alpha=alpha)
        checkpoint.write_card(card)
    return card


def draft_run_card(state: TrainingState, seconds: float, reason: str) -> Card:
    """The card of the best weights, before validation and operating point.

    Args:
        state: of the run; its best epoch is done.
        seconds: of training so far.
        reason: why the run ended.
    """
    assert state.selector.best is not None
    training = TrainingRecord(
        epochs_run=state.epoch,
        best_epoch=state.selector.best.epoch,
        end_reason=reason,
        seconds=round(seconds, 1),
        parameters=count_parameters(state.network),
        precision=state.precision,
        source_model=state.origin,
    )
    return draft_card(state.checkpoint.name, state.loader, training)


def abstention_level(checkpoint: Checkpoint) -> float | None:
    """The abstention level (alpha) of the present card, if any."""
    card = _read_card(checkpoint)
    return card.abstention.alpha if card and card.abstention else None


def _read_card(checkpoint: Checkpoint) -> Card | None:
    try:
        return checkpoint.read_card()
    except CheckpointError:
        return None


# ---------------------------------------------------------------- files


def save_state(folder: Path, tensors: Mapping[str, Tensor], values: StateValues) -> None:
    """Replace the state in `folder`; the new one is written beside it and flushed first.

    At each moment one whole state is on the disk: the old one goes when the new one has its name there.

    Raises:
        OSError, SafetensorError: the disk is full; the old state is still there.
    """
    new_folder = folder.with_name(f"{folder.name}.partial")
    old_folder = folder.with_name(f"{folder.name}.old")
    shutil.rmtree(new_folder, ignore_errors=True)
    try:
        new_folder.mkdir(parents=True)
        # clones: averaged and trained weights may share storage, which safetensors refuses
        copies = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
        save_file(copies, new_folder / TENSORS_FILE)
        write_json(new_folder / VALUES_FILE, values.to_dict())
        shutil.copymode(new_folder / VALUES_FILE, new_folder / TENSORS_FILE)  # safetensors writes mode 600
        flush_tree(new_folder)
    except BaseException:
        shutil.rmtree(new_folder, ignore_errors=True)
        raise
    if old_folder.exists() and not _is_whole(folder):  # the older one is the only state
        shutil.rmtree(folder, ignore_errors=True)
    else:
        shutil.rmtree(old_folder, ignore_errors=True)
        if folder.exists():
            replace_file(folder, old_folder)
    replace_file(new_folder, folder)
    shutil.rmtree(old_folder, ignore_errors=True)


def load_state(folder: Path) -> tuple[dict[str, Tensor], StateValues]:
    """The tensors and values last saved; those before, where a power cut or a kill left the last ones torn.

    Raises:
        CheckpointError: they are missing or damaged.
    """
    name = folder.parent.name
    old_folder = folder.with_name(f"{folder.name}.old")
    if old_folder.exists():
        with suppress(CheckpointError):
            return _load_state_folder(folder, name)
        return _load_state_folder(old_folder, name)
    return _load_state_folder(folder, name)


def _is_whole(folder: Path) -> bool:
    try:
        _load_state_folder(folder, folder.parent.name)
    except CheckpointError:
        return False
    return True


def _load_state_folder(folder: Path, name: str) -> tuple[dict[str, Tensor], StateValues]:
    with report_state_errors(name):
        # clones: loaded tensors map the file, which Windows would then not let us replace
        tensors = {key: tensor.clone() for key, tensor in load_file(folder / TENSORS_FILE).items()}
        values = StateValues.model_validate_json((folder / VALUES_FILE).read_bytes())
    return tensors, values


@contextmanager
def report_state_errors(name: str) -> Iterator[None]:
    """Turn the errors of a damaged or foreign state of the run `name` into one sentence.

    Raises:
        CheckpointError: the state does not fit.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (OSError, SafetensorError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            "The run “{name}” cannot go on because what it needs for that is missing, damaged or of another run: "
            "run it again under another name with the same settings.",
            name=name,
        ) from error


def optimizer_to_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state as tensors named `optimizer.PARAMETER.NAME`."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{parameter}.{name}": torch.as_tensor(value)
        for parameter, memory in state.items()
        for name, value in memory.items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Load the optimizer's state.

    Raises:
        LookupError, ValueError: it is that of another optimizer or network.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in select_prefix(tensors, "optimizer").items():
        parameter, name = key.split(".", 1)
        state.setdefault(int(parameter), {})[name] = value
    parameters = [item for group in optimizer.param_groups for item in group["params"]]
    names = {"momentum_buffer"} if "momentum" in optimizer.defaults else {"step", "exp_avg", "exp_avg_sq"}
    for number, memory in state.items():
        shapes = {value.shape for name, value in memory.items() if name != "step"}
        if set(memory) != names or shapes != {parameters[number].shape}:
            raise ValueError("optimizer")
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def outputs_to_tensors(outputs: EpochOutputs) -> dict[str, Tensor]:
    """The outputs of an unfinished epoch as named tensors."""
    probabilities, labels = outputs.arrays()
    return {
        "outputs.probabilities": torch.from_numpy(probabilities.copy()),
        "outputs.labels": torch.from_numpy(labels.copy()),
    }


def outputs_from_tensors(tensors: Mapping[str, Tensor], loss_sum: float, n_classes: int) -> EpochOutputs:
    """The outputs of an unfinished epoch; empty if none were saved.

    Raises:
        LookupError, ValueError: they are of another run.
    """
    if "outputs.labels" not in tensors:
        return EpochOutputs.empty()
    probabilities, labels = tensors["outputs.probabilities"], tensors["outputs.labels"]
    if labels.ndim != 1 or probabilities.shape != (len(labels), n_classes):
        raise ValueError("outputs")
    return EpochOutputs(loss_sum, [probabilities.numpy()], [labels.numpy()])


def select_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with `prefix.`, without it."""
    return {key.removeprefix(f"{prefix}."): value for key, value in tensors.items() if key.startswith(f"{prefix}.")}
