"""Training run: set up, fit or resume, and leave weights, model card and post-training artifacts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from xrai.core.errors import TrainingError
from xrai.data.dataset import Dataset
from xrai.models.card import Card
from xrai.models.checkpoint import Checkpoint
from xrai.training.config import TrainConfig
from xrai.training.data import check_dataset
from xrai.training.finalize import fit_artifacts, fit_cam_scale
from xrai.training.fit import DivergenceError, Trainer
from xrai.training.machine import report_machine_errors
from xrai.training.persistence import abstention_level, draft_run_card, restore_run, write_run_card
from xrai.training.recorder import Emit, Recorder
from xrai.training.state import TrainingState


def train_model(
    config: TrainConfig,
    dataset: Dataset,
    checkpoint: Checkpoint,
    *,
    emit: Emit = lambda record: None,
    should_stop: Callable[[], bool] = lambda: False,
    resume: bool = False,
) -> Card | None:
    """Train, and leave weights, card and state in the checkpoint's folder.

    Args:
        config: all settings.
        dataset: open; the validation split chooses the best epoch.
        checkpoint: an existing folder with `config.json`.
        emit: takes the records of `models.history` as JSON-able values.
        should_stop: asked after every batch.
        resume: continue from `state/`; a run that saved nothing yet starts again.

    Returns:
        The card; None if the run was stopped before the end of its first epoch, when there is no model yet.

    Raises:
        TrainingError: the dataset cannot be trained on, the loss is not finite, or memory or disk are full;
            the best weights so far are kept, with a card.
        WeightsError: the pretrained weights are missing, or those of another network.
        SettingsError: the machine lacks the configured devices.
        CheckpointError: the model to start from is missing or damaged; or, resuming, the state is missing, damaged
            or of another dataset.
    """
    check_dataset(dataset)
    with report_machine_errors(checkpoint.name):
        is_resuming = resume and checkpoint.is_taken
        state = TrainingState.create(config, dataset, checkpoint, is_resuming=is_resuming)
        recorder = Recorder(state, emit)
        if resume:
            recorder.timer.previous_seconds = restore_run(state)
        alpha = abstention_level(checkpoint)
        recorder.start()
        trainer = Trainer(state, recorder, should_stop)
        try:
            reason = trainer.fit()
        except Exception as error:
            if isinstance(error, TrainingError) and not state.is_rank_zero:
                return None  # all processes raise it, and rank 0 reports it
            _finish_failed_run(trainer, "diverged" if isinstance(error, DivergenceError) else "failed", alpha)
            raise
        return finish_run(trainer, reason, alpha)


def _finish_failed_run(trainer: Trainer, reason: str, alpha: float | None) -> None:
    """Finish a run as far as possible; errors are passed over, since the first one is the one to report."""
    with suppress(Exception):
        try:
            finish_run(trainer, reason, alpha)
        except Exception:  # such as best weights whose output is not finite either
            trainer.recorder.end(reason)


def finish_run(trainer: Trainer, reason: str, alpha: float | None) -> Card | None:
    """Write the card and the artifacts of the best weights, validated as saved; rank 0 only.

    Args:
        trainer: whose run has ended.
        reason: why, as in `EndRecord`.
        alpha: the abstention level chosen for an earlier version of the model.
    """
    state, recorder = trainer.state, trainer.recorder
    if not state.is_rank_zero:
        return None
    card = None
    if state.selector.best is not None:
        ended = "failed" if reason == "diverged" else reason
        draft = draft_run_card(state, recorder.timer.seconds, ended)
        network = state.checkpoint.load_network(draft).to(state.fabric.device)
        state.loader = replace(state.loader, rank=0, world_size=1)
        heatmap = fit_cam_scale(network, draft, state.dataset)
        validation = trainer.validate(network, n_rounds=1000, amp=False)
        # a usable card first: the artifacts take a while, and may fail for lack of memory
        card = write_run_card(state, draft.replace(heatmap_scale=heatmap, validation=validation))
        card, artifacts = fit_artifacts(network, card, state.dataset, on_progress=recorder.record_finalize)
        card = write_run_card(state, card, artifacts, alpha=alpha)
    recorder.end(reason)
    return card
