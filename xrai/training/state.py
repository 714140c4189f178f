"""Training state: model, optimizer, averaged weights (EMA), data loader and position of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from xrai.core.paths import checkpoints_dir
from xrai.data.dataset import Dataset
from xrai.models.card import SourceModel
from xrai.models.checkpoint import Checkpoint, open_checkpoint
from xrai.networks.build import Network, build_network, load_pretrained
from xrai.networks.config import IMAGENET
from xrai.training.card import describe_origin
from xrai.training.config import TrainConfig
from xrai.training.data import BatchLoader, fit_preprocessing
from xrai.training.loop import EpochOutputs, WarmupEma, make_loss, make_optimizer
from xrai.training.machine import make_fabric
from xrai.training.selection import BestEpochSelector


@dataclass
class TrainingState:
    """What a run works on and where it is; each process of a shared run has its own.

    Attributes:
        fabric_module: the network as wrapped for several processes.
        ema_model: holds the averaged weights; None without averaging.
        origin: the model whose weights the run started from.
        epoch, batch: epochs that are done, and batches of the present one.
        outputs: of the present epoch.
    """

    config: TrainConfig
    dataset: Dataset
    checkpoint: Checkpoint
    fabric: Fabric
    loader: BatchLoader
    network: Network
    fabric_module: nn.Module
    ema_model: AveragedModel | None
    optimizer: torch.optim.Optimizer
    loss_fn: Callable[[Tensor, Tensor], Tensor]
    selector: BestEpochSelector
    origin: SourceModel | None = None
    epoch: int = 0
    batch: int = 0
    outputs: EpochOutputs = field(default_factory=EpochOutputs.empty)

    @classmethod
    def create(
        cls, config: TrainConfig, dataset: Dataset, checkpoint: Checkpoint, *, is_resuming: bool
    ) -> TrainingState:
        """The state before the first batch; a resumed run does not need its pretrained weights, which may be gone."""
        fabric = make_fabric(config)
        source_model = None if is_resuming or config.source_model is None else open_checkpoint(config.source_model)
        source_card = source_model.read_card() if source_model else None
        network = _build_network(config, len(dataset.classes), is_resuming=is_resuming)
        if source_model and source_card:
            source_network = source_model.load_network(source_card)
            load_pretrained(network, source_network, source_card.class_permutation(dataset.classes))
        network.freeze_features = config.freeze_epochs > 0
        network.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        ema_update: Any = WarmupEma(config.ema_decay)
        ema_model = AveragedModel(network, multi_avg_fn=ema_update, use_buffers=True) if config.ema_decay else None
        fabric_module, optimizer = fabric.setup(network, make_optimizer(config, network))
        preprocessing = fit_preprocessing(dataset, config, source_card.preprocessing if source_card else None)
        class_counts = np.bincount(dataset.labels[dataset.rows("train")], minlength=len(dataset.classes))
        return cls(
            config=config,
            dataset=dataset,
            checkpoint=checkpoint,
            fabric=fabric,
            loader=BatchLoader(dataset, preprocessing, config, fabric.device, fabric.global_rank, fabric.world_size),
            network=network,
            fabric_module=fabric_module,
            ema_model=ema_model,
            optimizer=optimizer,
            loss_fn=make_loss(config, class_counts, fabric.device),
            selector=BestEpochSelector(config),
            origin=describe_origin(source_card) if source_card else None,
        )

    @property
    def is_rank_zero(self) -> bool:
        """Whether this process writes the files of the run."""
        return self.fabric.is_global_zero

    @property
    def is_single_process(self) -> bool:
        """Whether no other process shares the run."""
        return self.fabric.world_size == 1

    @property
    def is_finished(self) -> bool:
        """Whether all epochs are done or patience is exhausted."""
        return self.selector.is_patience_exhausted or self.epoch >= self.config.epochs

    @property
    def n_batches(self) -> int:
        """Batches of an epoch."""
        return self.loader.n_batches(len(self.dataset.rows("train")))

    @property
    def batches_done(self) -> int:
        """Batches of the whole run so far."""
        return self.epoch * self.n_batches + self.batch

    @property
    def precision(self) -> str:
        """Fabric's name of the number format, such as "bf16-mixed"."""
        return str(self.fabric._precision.precision)

    @property
    def evaluation_network(self) -> Network:
        """The network to validate and save: with the averaged weights where there are any."""
        return self.ema_model.module if self.ema_model is not None else self.network  # type: ignore[return-value]


def _build_network(config: TrainConfig, n_classes: int, *, is_resuming: bool) -> Network:
    imagenet_dir = checkpoints_dir() / ".imagenet" if config.weights == IMAGENET and not is_resuming else None
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        return build_network(config, n_classes, imagenet_dir=imagenet_dir)
