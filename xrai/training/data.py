"""From a dataset's rows to batches on the device: drawn with a seed, read ahead, varied at random."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from xrai.core.errors import TrainingError
from xrai.data.dataset import Dataset
from xrai.networks.build import IMAGENET_GREY_STATS
from xrai.networks.config import IMAGENET
from xrai.scans.preprocessing import Preprocessing, to_grey_tensor
from xrai.training.augmentation import augment_batch, mixup_batch
from xrai.training.config import TrainConfig

STATISTICS_SCANS = 1000


@dataclass(frozen=True)
class Batch:
    """What a network sees at once, on its device.

    Attributes:
        inputs: standardised scans, float (n, 1, H, W).
        targets: class probabilities, float (n, C); blended where the scans are.
        labels: the true class of each scan (of the larger part where blended), int64 (n,).
    """

    inputs: Tensor
    targets: Tensor
    labels: Tensor


@dataclass(frozen=True)
class BatchLoader:
    """Gives the batches of an epoch; the same epoch of the same seed gives the same batches.

    Attributes:
        dataset: open.
        preprocessing: from pixels to input.
        config: batch size, balance, augmentation, seed.
        device: where batches go.
        rank, world_size: this process's number and how many share each batch.
    """

    dataset: Dataset
    preprocessing: Preprocessing
    config: TrainConfig
    device: torch.device
    rank: int = 0
    world_size: int = 1

    def train_rows(self, epoch: int) -> np.ndarray:
        """Rows of the training split in the order of an epoch; rarer classes come more often when balanced."""
        rng = np.random.default_rng([self.config.seed, epoch])
        rows = self.dataset.rows("train")
        if self.config.class_balance == "sampling":
            labels = self.dataset.labels[rows]
            weights = 1 / np.bincount(labels, minlength=len(self.dataset.classes)).clip(1)[labels]
            rows = rng.choice(rows, size=len(rows), p=weights / weights.sum())
        return rng.permutation(rows)

    def train_batches(self, epoch: int, first_batch: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from number `first` on, varied at random; each process gets its part of each."""
        rows, size = self.train_rows(epoch), self.config.batch_size

        def load_batch(number: int) -> Batch:
            generator = torch.Generator().manual_seed(_derive_seed(self.config.seed, epoch, number, self.rank))
            return self._make_augmented_batch(self._shard(rows[number * size : (number + 1) * size]), generator)

        return _prefetch(load_batch, range(first_batch, self.n_batches(len(rows))))

    def batches(self, rows: np.ndarray) -> Iterator[Batch]:
        """The given rows in order, as they are; each process gets its part of each batch."""
        size = self.config.batch_size

        def load_batch(number: int) -> Batch:
            return self._make_plain_batch(self._shard(rows[number * size : (number + 1) * size]))

        return _prefetch(load_batch, range(-(-len(rows) // size)))

    def n_batches(self, n_rows: int) -> int:
        """Batches in a training epoch: a last one too small for normalisation layers in every process is left out."""
        full, rest = divmod(n_rows, self.config.batch_size)
        return max(full + (rest >= 2 * self.world_size), 1)

    def inputs(self, rows: np.ndarray) -> Tensor:
        """The standardised inputs of some rows, float (n, 1, H, W), unvaried."""
        return self.preprocessing.standardise(self._load_images(rows))

    def _shard(self, rows: np.ndarray) -> np.ndarray:
        """This process's part of a batch; the batch is filled up by repetition so that all parts are equal."""
        if self.world_size == 1:
            return rows
        return np.resize(rows, -(-len(rows) // self.world_size) * self.world_size)[self.rank :: self.world_size]

    def _load_images(self, rows: np.ndarray) -> Tensor:
        return to_grey_tensor(
            torch.from_numpy(self.dataset.images(rows)).to(self.device), self.preprocessing.input_size
        )

    def _make_plain_batch(self, rows: np.ndarray) -> Batch:
        return Batch(self.inputs(rows), *self._load_targets(rows))

    def _make_augmented_batch(self, rows: np.ndarray, generator: torch.Generator) -> Batch:
        config = self.config
        images = augment_batch(self._load_images(rows), generator, config)
        inputs, (targets, labels) = self.preprocessing.standardise(images), self._load_targets(rows)
        if config.mixup_alpha > 0:
            inputs, targets = mixup_batch(inputs, targets, generator, config.mixup_alpha)
            labels = targets.argmax(dim=1)
        return Batch(inputs, targets, labels)

    def _load_targets(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        labels = torch.from_numpy(self.dataset.labels[rows]).to(self.device)
        return functional.one_hot(labels, len(self.dataset.classes)).float(), labels


def fit_preprocessing(dataset: Dataset, config: TrainConfig, pretrained: Preprocessing | None = None) -> Preprocessing:
    """The way from pixels to input for a run.

    Its grey statistics are those with which the weights that it starts from have learned: of the model with the
    preprocessing `learned`, of ImageNet, or else of the train split.
    """
    sizes, per_scan = (dataset.size, config.image_size), config.normalize == "image"
    if pretrained is not None:
        return Preprocessing(*sizes, pretrained.mean, pretrained.std, per_scan)
    if config.weights == IMAGENET:
        return Preprocessing(*sizes, *IMAGENET_GREY_STATS, per_scan)
    rows = dataset.rows("train")
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), STATISTICS_SCANS)).astype(int)]
    sums = np.zeros(2)
    for start in range(0, len(rows), 100):
        images = dataset.images(rows[start : start + 100]) / np.float32(255)
        sums += np.array([images.mean(dtype=np.float64), (images**2).mean(dtype=np.float64)]) * len(images)
    mean, mean_square = sums / len(rows)
    std = float(np.sqrt(max(mean_square - mean**2, 1e-6)))
    return Preprocessing(*sizes, round(float(mean), 4), round(std, 4), per_scan)


def check_dataset(dataset: Dataset) -> None:
    """Refuse a dataset that no run can learn from.

    Raises:
        TrainingError: a class has no training scans, or there are no validation scans.
    """
    for label, name in enumerate(dataset.classes):
        if not len(dataset.rows("train", label)):
            raise TrainingError(
                "The dataset {name} has no training scans of the class “{name2}”: "
                "add scans of that class and build the dataset again.",
                name=dataset.path.name,
                name2=name,
            )
    if not len(dataset.rows("val")):
        raise TrainingError(
            "The dataset {name} has no validation scans, so the run could not tell whether it learns: "
            "add scans of more patients and build the dataset again.",
            name=dataset.path.name,
        )


def _derive_seed(*parts: int) -> int:
    return int(np.random.default_rng(parts).integers(2**31))


def _prefetch(load_batch: Callable[[int], Batch], numbers: range) -> Iterator[Batch]:
    """Make the next batch while the present one is at work."""
    with ThreadPoolExecutor(1) as pool:
        pending = None
        for number in numbers:
            future = pool.submit(load_batch, number)
            if pending is not None:
                yield pending.result()
            pending = future
        if pending is not None:
            yield pending.result()
