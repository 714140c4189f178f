"""Fit: the epoch loop of a training run, with validation, checkpoint selection and early stopping."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xrai.core.errors import TrainingError
from xrai.core.language import say
from xrai.models.history import ValidationMetrics
from xrai.training.loop import EpochOutputs, learning_rate_at, run_epoch
from xrai.training.measure import all_reduce_mean, validate
from xrai.training.persistence import save_best, save_run
from xrai.training.recorder import Recorder
from xrai.training.state import TrainingState

EPOCH_BOOTSTRAP_ROUNDS = 300
"""Bootstrap rounds of each epoch's intervals; those of the finished model take `metrics`' own number."""


class DivergenceError(TrainingError):
    """The loss is not finite any more."""


@dataclass
class Trainer:
    """Trains the network of a state, epoch by epoch."""

    state: TrainingState
    recorder: Recorder
    should_stop: Callable[[], bool]

    def fit(self) -> str:
        """Run the remaining epochs; gives why it ended: "finished", "early" (early stopping) or "stopped".

        Raises:
            DivergenceError: the loss is not finite.
        """
        state = self.state
        while not state.is_finished:
            started_at = time.monotonic()
            self._set_phase()
            # a run of several processes cannot stop in validation: see save_run
            validation = self._train_epoch() and self.validate(
                state.evaluation_network, EPOCH_BOOTSTRAP_ROUNDS, is_stoppable=state.is_single_process
            )
            if not validation:
                self._save()
                return "stopped"
            self._finish_epoch(validation, time.monotonic() - started_at)
        return "finished" if state.epoch >= state.config.epochs else "early"

    def validate(
        self, network: nn.Module, n_rounds: int, *, amp: bool = True, is_stoppable: bool = False
    ) -> ValidationMetrics | None:
        """Metrics on the validation split, intervals from `n_rounds` bootstrap rounds; None when stopped.

        Raises:
            DivergenceError: the loss or an output is not finite.
        """
        state = self.state
        should_stop = self._is_stop_requested if is_stoppable else lambda: False
        try:
            return validate(
                network, state.fabric, state.loader, state.loss_fn, n_rounds=n_rounds, amp=amp, should_stop=should_stop
            )
        except FloatingPointError as error:
            raise self._divergence_error() from error

    def _set_phase(self) -> None:
        """Unfreeze the features after the freeze epochs."""
        state = self.state
        is_frozen = state.epoch < state.config.freeze_epochs
        if state.network.freeze_features == is_frozen:
            return
        state.network.freeze_features = is_frozen
        if not state.is_single_process:  # DDP shares the gradients of the parameters that were trainable at setup
            state.fabric_module = state.fabric.setup_module(state.network)

    def _train_epoch(self) -> bool:
        """Train from the present batch to the epoch's end; False when stopped."""
        state = self.state
        if state.batch < state.n_batches:
            batches = state.loader.train_batches(state.epoch, state.batch)
            state.outputs.is_complete = False
            devices = [state.fabric.device] if state.fabric.device.type == "cuda" else []
            with torch.random.fork_rng(devices):
                self._seed_dropout()
                run_epoch(
                    state.fabric_module,
                    batches,
                    state.loss_fn,
                    state.outputs,
                    step=self._step,
                    on_batch=self._after_batch,
                )
        return state.batch >= state.n_batches

    def _step(self, loss: Tensor) -> None:
        state = self.state
        if not math.isfinite(all_reduce_mean(loss.item(), state.fabric, state.loader.world_size)):
            raise self._divergence_error()
        progress = state.batches_done / (state.config.epochs * state.n_batches)
        learning_rate = learning_rate_at(state.config, progress)
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate * group["factor"]
        state.optimizer.zero_grad(set_to_none=True)
        state.fabric.backward(loss)
        state.optimizer.step()
        if state.ema_model is not None:
            state.ema_model.update_parameters(state.network)

    def _after_batch(self, outputs: EpochOutputs) -> bool:
        state = self.state
        state.batch += 1
        self.recorder.record_step()
        if self.recorder.timer.is_save_due and (state.is_single_process or state.batch < state.n_batches):
            self._save()
        self._seed_dropout()
        return not self._is_stop_requested()

    def _finish_epoch(self, validation: ValidationMetrics, seconds: float) -> None:
        state = self.state
        is_first = state.selector.best is None
        is_best = state.selector.update(state.epoch + 1, validation)
        state.epoch += 1
        state.batch = 0
        if is_best and not is_first:
            save_best(state, self.recorder.timer.seconds, validation)
        self.recorder.record_epoch(validation, seconds, is_best=is_best)
        state.outputs = EpochOutputs.empty()
        self.recorder.timer.mark_recorded(state.outputs)
        self._save()
        if is_first:  # no weights without a state, which resuming needs: see `persistence.restore_run`
            save_best(state, self.recorder.timer.seconds, validation)

    def _save(self) -> None:
        self.recorder.timer.last_save_at = time.monotonic()
        save_run(self.state, self.recorder.timer.seconds)

    def _seed_dropout(self) -> None:
        """Seed torch's global generator, from which dropout draws, by the batch: a resumed run repeats its draws."""
        state = self.state
        torch.manual_seed((state.config.seed * 1_000_003 + state.batches_done) * 64 + state.fabric.global_rank)

    def _is_stop_requested(self) -> bool:
        fabric = self.state.fabric
        is_requested = self.should_stop() if fabric.is_global_zero else False
        return bool(fabric.broadcast(is_requested)) if fabric.world_size > 1 else is_requested

    def _divergence_error(self) -> DivergenceError:
        has_weights = self.state.selector.best is not None
        weights = say("the best weights so far are kept") if has_weights else say("there were no usable weights yet")
        return DivergenceError(
            "The loss is not finite in epoch {epoch}, probably because the learning rate {learning_rate:g} is too "
            "high: run it again with a tenth of that; {weights}.",
            epoch=self.state.epoch + 1,
            learning_rate=self.state.config.learning_rate,
            weights=weights,
        )
