"""A training run from its start, or from where it was left, to the model and the card that it leaves."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from xrai.core.errors import CheckpointError, TrainingError
from xrai.core.json_files import HISTORY_FILE, read_records, truncate_records
from xrai.core.language import say
from xrai.core.paths import checkpoints_dir
from xrai.data.dataset import Dataset
from xrai.models.artifacts import Artifacts, save_artifacts
from xrai.models.card import Card, SourceModel, TrainingRecord
from xrai.models.checkpoint import STATE, WEIGHTS, Checkpoint, open_checkpoint
from xrai.models.operating_point import fit_operating_point, reset_operating_point
from xrai.networks.build import Network, build_network, count_parameters, load_pretrained
from xrai.networks.config import IMAGENET
from xrai.scans.preprocessing import Preprocessing
from xrai.training.card import describe_origin, draft_card
from xrai.training.clock import ProgressTimer
from xrai.training.config import TrainConfig
from xrai.training.data import BatchLoader, check_dataset, fit_preprocessing
from xrai.training.diagnostics import NO_NUMBER
from xrai.training.finalize import fit_artifacts, fit_cam_scale
from xrai.training.loop import EpochOutputs, WarmupEma, learning_rate_at, make_loss, make_optimizer, run_epoch
from xrai.training.machine import make_fabric, report_machine_errors
from xrai.training.measure import all_reduce_mean, compute_metrics, gather_outputs, round_metrics, validate
from xrai.training.state import (
    check_values,
    load_state,
    optimizer_to_tensors,
    outputs_from_tensors,
    outputs_to_tensors,
    report_state_errors,
    restore_optimizer,
    save_state,
    select_prefix,
)

EPOCH_BOOTSTRAP_ROUNDS = 300
"""Bootstrap rounds of the intervals of each epoch; the final ones take `metrics`' own number."""

_STATE_FIELDS = ("epoch", "batch", "best", "since_best")
"""What is saved of a run's counts under its own name."""

Emit = Callable[[dict[str, Any]], None]


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
        dataset: open; its train split is learned from, its validation split chooses the best epoch.
        checkpoint: the folder, which exists and holds `config.json`.
        emit: takes the records {"kind": "start" | "step" | "epoch" | "end", …}, all JSON-able.
        should_stop: asked after every batch.
        resume: go on from `state/`; a run that broke off before it saved anything starts anew.

    Returns:
        The card; None where the run was stopped before its first epoch was done, so that there is no model yet.

    Raises:
        TrainingError: the dataset cannot be trained on, the loss is no number any more, or memory or disk are full;
            the best weights so far are kept, with a card.
        WeightsError: the weights to start from cannot be had, or are those of another network.
        SettingsError: the machine does not have the devices that were asked for.
        CheckpointError: the model to start from is missing or damaged; or, resuming, the state is missing, damaged
            or of another dataset.
    """
    check_dataset(dataset)
    with report_machine_errors(checkpoint.name):
        is_resuming = resume and checkpoint.is_taken
        run = _TrainingRun.create(config, dataset, checkpoint, emit, should_stop, is_resuming=is_resuming)
        if resume:
            run.restore()
        run.start()
        try:
            reason = run.fit()
        except Exception as error:
            if isinstance(error, TrainingError) and not run.fabric.is_global_zero:
                return None  # all processes come to it alike, and the first one says it
            with suppress(Exception):  # what went wrong first is what is said
                run.finish("failed")
            raise
        return run.finish(reason)


@dataclass
class _TrainingRun:
    """The moving parts of one run; every process that shares it has its own."""

    config: TrainConfig
    dataset: Dataset
    checkpoint: Checkpoint
    emit: Emit
    should_stop: Callable[[], bool]
    fabric: Fabric
    loader: BatchLoader
    network: Network
    fabric_module: nn.Module
    ema_model: AveragedModel | None
    optimizer: torch.optim.Optimizer
    loss_fn: Callable[[Tensor, Tensor], Tensor]
    origin: SourceModel | None = None
    epoch: int = 0
    batch: int = 0
    outputs: EpochOutputs = field(default_factory=EpochOutputs.empty)
    best: dict[str, Any] | None = None
    since_best: int = 0
    alpha: float | None = None
    timer: ProgressTimer = field(default_factory=ProgressTimer)

    @classmethod
    def create(
        cls,
        config: TrainConfig,
        dataset: Dataset,
        checkpoint: Checkpoint,
        emit: Emit,
        should_stop: Callable[[], bool],
        *,
        is_resuming: bool,
    ) -> _TrainingRun:
        """All parts in place; a run that goes on needs no learned weights to start from, which may be gone by now."""
        fabric = make_fabric(config)
        source_model = None if is_resuming or config.source_model is None else open_checkpoint(config.source_model)
        source_card = source_model.read_card() if source_model else None
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            imagenet_dir = checkpoints_dir() / ".imagenet" if config.weights == IMAGENET and not is_resuming else None
            network = build_network(config, len(dataset.classes), imagenet_dir=imagenet_dir)
        if source_model and source_card:
            load_pretrained(
                network, source_model.load_network(source_card), source_card.class_permutation(dataset.classes)
            )
        network.freeze_features = config.freeze_epochs > 0
        network.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        ema_update: Any = WarmupEma(config.ema_decay)
        ema_model = AveragedModel(network, multi_avg_fn=ema_update, use_buffers=True) if config.ema_decay else None
        fabric_module, optimizer = fabric.setup(network, make_optimizer(config, network))
        preprocessing = fit_preprocessing(dataset, config, source_card.preprocessing if source_card else None)
        loader = BatchLoader(dataset, preprocessing, config, fabric.device, fabric.global_rank, fabric.world_size)
        class_counts = np.bincount(dataset.labels[dataset.rows("train")], minlength=len(dataset.classes))
        loss_fn = make_loss(config, class_counts, fabric.device)
        return cls(
            config, dataset, checkpoint, emit, should_stop, fabric, loader, network, fabric_module, ema_model, optimizer, loss_fn,
            describe_origin(source_card) if source_card else None,
        )  # fmt: skip

    def start(self) -> None:
        """Say what is about to happen; the clock starts here."""
        earlier_card = self._earlier_card()
        self.alpha = earlier_card.abstention.alpha if earlier_card and earlier_card.abstention else None
        self.timer = ProgressTimer(self.timer.previous_seconds, self._batches_done)
        self.timer.mark_recorded(self.outputs)
        self._emit(
            {
                "kind": "resume" if self._batches_done else "start",
                "epochs": self.config.epochs,
                "freeze_epochs": self.config.freeze_epochs,
                "batches": self._n_batches,
                "parameters": count_parameters(self.network),
                "device": str(self.fabric.device),
                "precision": str(self.fabric._precision.precision),
                "train": len(self.dataset.rows("train")),
                "val": len(self.dataset.rows("val")),
            }
        )

    def fit(self) -> str:
        """Run the epochs that are left; gives why it ended: "finished", "stopped" or "early"."""
        while not self._is_finished:
            started_at = time.monotonic()
            self._enter_phase()
            if not self._train_epoch():
                self._save()
                return "stopped"
            # shared by several processes, it cannot be stopped: see _save
            metrics = self._validate(
                self._evaluation_network(), EPOCH_BOOTSTRAP_ROUNDS, is_stoppable=self._is_single_process
            )
            if metrics is None:
                self._save()
                return "stopped"
            self._finish_epoch(metrics, time.monotonic() - started_at)
        return "finished" if self.epoch >= self.config.epochs else "early"

    def finish(self, reason: str) -> Card | None:
        """Write the card for the best weights, measured as they were saved; rank 0 only."""
        if not self.fabric.is_global_zero:
            return None
        seconds, card = self.timer.seconds, None
        if self.best is not None:
            draft = self._draft_card(reason)
            network = self.checkpoint.load_network(draft).to(self.fabric.device)
            self.loader = replace(self.loader, rank=0, world_size=1)
            heatmap = fit_cam_scale(network, draft, self.dataset)
            validation = self._validate(network, n_rounds=1000, amp=False)
            # before what takes a while, and may fail for want of memory: a model that can be read with is there by then
            basic_card = self._write_card(draft.replace(heatmap_scale=heatmap, validation=validation))
            card = self._write_card(*fit_artifacts(network, basic_card, self.dataset, on_progress=self._emit_progress))
        self._emit({"kind": "end", "reason": reason, "seconds": round(seconds, 1), "best": self.best})
        return card

    def restore(self) -> None:
        """Go back to where the state was saved; to the start where nothing was yet, not even a model."""
        folder = self.checkpoint.folder
        if not self.checkpoint.is_taken:
            if self.fabric.is_global_zero:
                truncate_records(folder / HISTORY_FILE, 0)
            return
        tensors, values = load_state(folder / STATE)
        with report_state_errors(self.checkpoint.name):
            check_values(values)
        if values["fingerprint"] != self.dataset.fingerprint:
            raise TrainingError(
                "The run “{name}” cannot go on because its dataset has changed since: "
                "train a new model on the new dataset.",
                name=self.checkpoint.name,
            )
        with report_state_errors(self.checkpoint.name):
            self.network.load_state_dict(select_prefix(tensors, "network"))
            if self.ema_model is not None:
                self.ema_model.load_state_dict(select_prefix(tensors, "average"))
            restore_optimizer(self.optimizer, tensors)
            self.epoch, self.batch, self.best, self.since_best = (values[name] for name in _STATE_FIELDS)
            self.origin = SourceModel.from_dict(values["origin"]) if values.get("origin") else None
            if "preprocessing" in values:
                self._restore_preprocessing(Preprocessing.from_dict(values["preprocessing"]))
            self.timer = ProgressTimer(values["seconds"])
            if self._is_single_process:
                self.outputs = outputs_from_tensors(tensors, values["losses"], len(self.dataset.classes))
            if self.epoch > self.config.epochs or self.batch >= self._n_batches + bool(self.outputs.n):
                raise ValueError("batch")  # an epoch that is trained through needs its outcome
        self._save_first()
        if self.fabric.is_global_zero:
            truncate_records(folder / HISTORY_FILE, values["records"])

    def _save_first(self) -> None:
        """Save the first weights of a run that broke off between its first state and them: they are in the state."""
        is_new = self.best is not None and (self.epoch, self.batch) == (self.best["epoch"], 0)
        if is_new and self.fabric.is_global_zero and not (self.checkpoint.folder / WEIGHTS).is_file():
            self.checkpoint.save_network(self._evaluation_network())  # type: ignore[arg-type]

    def _restore_preprocessing(self, saved_preprocessing: Preprocessing) -> None:
        """Go on with the grey statistics that the run began with."""
        current = self.loader.preprocessing
        if (
            saved_preprocessing != replace(current, mean=saved_preprocessing.mean, std=saved_preprocessing.std)
            or not 0 < saved_preprocessing.std < math.inf
        ):
            raise ValueError("preprocessing")
        self.loader = replace(self.loader, preprocessing=saved_preprocessing)

    @property
    def _is_single_process(self) -> bool:
        return self.fabric.world_size == 1

    @property
    def _is_finished(self) -> bool:
        is_patience_exhausted = bool(self.config.patience) and self.since_best >= self.config.patience
        return is_patience_exhausted or self.epoch >= self.config.epochs

    @property
    def _n_batches(self) -> int:
        return self.loader.n_batches(len(self.dataset.rows("train")))

    @property
    def _batches_done(self) -> int:
        return self.epoch * self._n_batches + self.batch

    def _enter_phase(self) -> None:
        """Let the whole network learn once the epochs of the head alone are over."""
        is_frozen = self.epoch < self.config.freeze_epochs
        if self.network.freeze_features == is_frozen:
            return
        self.network.freeze_features = is_frozen
        if (
            not self._is_single_process
        ):  # what shares gradients between processes knows only those that there were at setup
            self.fabric_module = self.fabric.setup_module(self.network)

    def _train_epoch(self) -> bool:
        """Train from the present batch to the epoch's end; False when stopped."""
        if self.batch < self._n_batches:
            batches = self.loader.train_batches(self.epoch, self.batch)
            self.outputs.is_complete = False
            devices = [self.fabric.device] if self.fabric.device.type == "cuda" else []
            with torch.random.fork_rng(devices):
                self._seed_dropout()
                run_epoch(
                    self.fabric_module, batches, self.loss_fn, self.outputs, step=self._step, on_batch=self._after_batch
                )
        return self.batch >= self._n_batches

    def _step(self, loss: Tensor) -> None:
        if not math.isfinite(all_reduce_mean(loss.item(), self.fabric, self.loader.world_size)):
            raise self._divergence_error()
        learning_rate = self._learning_rate(self._batches_done)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate * group["factor"]
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        self.optimizer.step()
        if self.ema_model is not None:
            self.ema_model.update_parameters(self.network)

    def _learning_rate(self, batch: int) -> float:
        """That of a batch, counted from 0 over the whole run."""
        return learning_rate_at(self.config, batch / (self.config.epochs * self._n_batches))

    def _after_batch(self, outputs: EpochOutputs) -> bool:
        self.batch += 1
        if self.timer.is_record_due or self._batches_done == self.timer.previous_batches + 1:
            n_total = self.config.epochs * self._n_batches
            position = {"progress": round(self._batches_done / self._n_batches, 4), "epoch": self.epoch + 1}
            metrics = self.timer.make_step_record(outputs, self._batches_done, n_total, self.fabric.world_size)
            self._emit({"kind": "step"} | position | metrics)
        if self.timer.is_save_due and (self._is_single_process or self.batch < self._n_batches):
            self._save()
        self._seed_dropout()
        return not self._is_stop_requested()

    def _divergence_error(self) -> TrainingError:
        weights_note = say("the best weights so far are kept") if self.best else say("there were no usable weights yet")
        return TrainingError(
            "The loss is {NO_NUMBER} in epoch {x}, probably because the learning rate "
            "{learning_rate:g} is too high: run it again with a tenth of that; {kept}.",
            NO_NUMBER=NO_NUMBER,
            x=self.epoch + 1,
            learning_rate=self.config.learning_rate,
            kept=weights_note,
        )

    def _evaluation_network(self) -> nn.Module:
        return self.ema_model.module if self.ema_model is not None else self.network

    def _validate(
        self, network: nn.Module, n_rounds: int, *, amp: bool = True, is_stoppable: bool = False
    ) -> dict[str, Any] | None:
        """Metrics on the validation split with their intervals; None when stopped."""
        should_stop = self._is_stop_requested if is_stoppable else lambda: False
        try:
            return validate(
                network, self.fabric, self.loader, self.loss_fn, n_rounds=n_rounds, amp=amp, should_stop=should_stop
            )
        except FloatingPointError as error:
            raise self._divergence_error() from error

    def _finish_epoch(self, validation: dict[str, Any], seconds: float) -> None:
        world_size = self.loader.world_size
        train_metrics = compute_metrics(
            all_reduce_mean(self.outputs.loss, self.fabric, world_size),
            *gather_outputs(self.outputs, self.fabric, world_size),
        )
        score = self._score(validation)
        is_first = self.best is None
        is_best = self.best is None or score > tuple(self.best["score"])
        is_early = self.epoch < self.config.freeze_epochs  # patience begins when the whole network learns
        self.since_best = 0 if is_best or is_early else self.since_best + 1
        self.epoch, self.batch = self.epoch + 1, 0
        record = {
            "kind": "epoch",
            "epoch": self.epoch,
            "train": round_metrics(train_metrics),
            "val": validation,
            "learning_rate": self._learning_rate(self._batches_done - 1),
            "seconds": round(seconds, 2),
            "best": is_best,
        }
        if is_best:
            self.best = {"epoch": self.epoch, "score": score, **validation}
        if is_best and not is_first and self.fabric.is_global_zero:
            self._save_best(validation)
        self._emit(record)
        self.outputs = EpochOutputs.empty()
        self.timer.mark_recorded(self.outputs)
        self._save()
        if is_first and self.fabric.is_global_zero:  # weights never stand without what going on needs: see _save_first
            self._save_best(validation)

    def _score(self, validation: dict[str, Any]) -> tuple[float, float]:
        """What makes an epoch better than another: the greater is kept."""
        if self.config.select_by == "last":
            return float(self.epoch), 0.0
        if self.config.select_by == "loss":
            return -validation["loss"], 0.0
        metric = validation["accuracy"] if validation["auc"] is None else validation["auc"]
        return round(metric, 3), -validation["loss"]

    def _save_best(self, validation: dict[str, Any]) -> None:
        """Save the weights; the card of a run that goes on must not tell of the weights before them."""
        previous_sha256 = self.checkpoint.weights_sha256()
        self.checkpoint.save_network(self._evaluation_network())  # type: ignore[arg-type]
        if earlier_card := self._earlier_card():
            self._write_card(
                self._draft_card(say("not yet")).replace(
                    heatmap_scale=earlier_card.heatmap_scale, validation=validation
                ),
                previous_sha256=previous_sha256,
            )

    def _write_card(self, card: Card, artifacts: Artifacts | None = None, previous_sha256: str | None = None) -> Card:
        """The card as it is written: with all that was ever measured, since each look at a split counts.

        With the kit that goes with it, threshold and doubt are chosen as people last asked for; without, they wait.

        What was measured of weights that are no more is marked so; of what does not say which weights were measured,
        that were the ones with the mark `before`, if any.
        """
        with self.checkpoint.card_lock():  # a measurement may just be noted
            earlier_card, current_sha256 = self._earlier_card(), self.checkpoint.weights_sha256()
            evaluations = [
                item
                if (item.weights_sha256 or previous_sha256 or current_sha256) == current_sha256
                else item.replace(is_outdated=True)
                for item in (earlier_card.evaluations if earlier_card else [])
            ]
            card = card.replace(evaluations=evaluations)
            card = reset_operating_point(card, earlier_card) if earlier_card else card
            if artifacts and artifacts.validation:
                save_artifacts(self.checkpoint, artifacts, current_sha256)
                card = fit_operating_point(card, artifacts.validation, alpha=self.alpha)
            self.checkpoint.write_card(card)
        return card

    def _earlier_card(self) -> Card | None:
        try:
            return self.checkpoint.read_card()
        except CheckpointError:
            return None

    def _save(self) -> None:
        """Save what resuming needs; rank 0 only.

        Of several processes each has counted other scans, and what the first one counted is no other's: it is saved
        only where it is alone. Else the training metrics of an epoch count from where it is taken up again, and
        nothing is saved between an epoch's last batch and its end, when there would be nothing left to count.
        """
        self.timer.last_save_at = time.monotonic()
        if not self.fabric.is_global_zero:
            return
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        if self.ema_model is not None:
            tensors |= {f"average.{name}": value for name, value in self.ema_model.state_dict().items()}
        if self.outputs.n and self._is_single_process:
            tensors |= outputs_to_tensors(self.outputs)
        values = {name: getattr(self, name) for name in _STATE_FIELDS} | {
            "losses": self.outputs.loss_sum,
            "seconds": round(self.timer.seconds, 2),
            "fingerprint": self.dataset.fingerprint,
            "preprocessing": self.loader.preprocessing.to_dict(),
            "origin": self.origin.to_dict() if self.origin else None,
            "records": len(read_records(self.checkpoint.folder / HISTORY_FILE)),
        }
        save_state(self.checkpoint.folder / STATE, tensors | optimizer_to_tensors(self.optimizer), values)

    def _seed_dropout(self) -> None:
        """Dropout draws from torch's global chance: bound to the batch, so that a resumed run repeats it."""
        torch.manual_seed((self.config.seed * 1_000_003 + self._batches_done) * 64 + self.fabric.global_rank)

    def _is_stop_requested(self) -> bool:
        is_requested = self.should_stop() if self.fabric.is_global_zero else False
        return bool(self.fabric.broadcast(is_requested)) if self.fabric.world_size > 1 else is_requested

    def _emit_progress(self, what: str, done: int, total: int) -> None:
        self._emit({"kind": "ready", "what": what, "done": done, "total": total})

    def _emit(self, record: dict[str, Any]) -> None:
        if self.fabric.is_global_zero:
            self.emit(record | {"time": round(time.time(), 1)})

    def _draft_card(self, reason: str) -> Card:
        assert self.best is not None
        training = TrainingRecord(
            epochs_run=self.epoch,
            best_epoch=self.best["epoch"],
            end_reason=reason,
            seconds=round(self.timer.seconds, 1),
            parameters=count_parameters(self.network),
            precision=str(self.fabric._precision.precision),
            source_model=self.origin,
        )
        return draft_card(self.checkpoint.name, self.loader, training)
