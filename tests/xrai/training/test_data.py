import numpy as np
import pytest
import torch

from tests.xrai.training.runs import N_BATCHES, SMALL, changed_copy
from xrai.data.dataset import open_dataset
from xrai.scans.preprocessing import Preprocessing
from xrai.training.config import TrainConfig
from xrai.training.data import BatchLoader, fit_preprocessing


def feed_of(dataset, *, rank=0, world=1, **settings):
    config = TrainConfig(**SMALL | settings)
    return BatchLoader(dataset, fit_preprocessing(dataset, config), config, torch.device("cpu"), rank, world)


def test_sampling_shows_a_rare_class_as_often(easy, tmp_path):
    def change(file):
        splits = file["split"][()]
        rare = np.flatnonzero((file["label"][()] == 1) & (splits == 0))[5:]
        splits[rare] = 2
        file["split"][...] = splits

    with open_dataset(changed_copy(easy, tmp_path / "rare.hdf5", change)) as dataset:
        shares = {}
        for balance in ("none", "sampling"):
            rows = np.concatenate([feed_of(dataset, class_balance=balance).train_rows(epoch) for epoch in range(40)])
            shares[balance] = float(dataset.labels[rows].mean())
            assert set(dataset.splits[rows]) == {0}
    assert shares["none"] == pytest.approx(5 / 34, abs=0.01)
    assert shares["sampling"] == pytest.approx(0.5, abs=0.05)


def test_every_scan_is_shown_once_an_epoch_without_sampling(easy):
    with open_dataset(easy) as dataset:
        feed = feed_of(dataset, class_balance="none")
        assert sorted(feed.train_rows(0)) == sorted(dataset.rows("train"))
        assert list(feed.train_rows(0)) != list(feed.train_rows(1))
        assert list(feed.train_rows(0)) == list(feed.train_rows(0))


def test_batches_from_the_middle_are_those_of_the_whole_epoch(easy):
    with open_dataset(easy) as dataset:
        feed = feed_of(dataset, mixup_alpha=0.2)
        whole, rest = list(feed.train_batches(3)), list(feed.train_batches(3, first_batch=2))
    assert len(whole) == N_BATCHES
    assert len(rest) == N_BATCHES - 2
    for expected, found in zip(whole[2:], rest, strict=True):
        assert torch.equal(expected.inputs, found.inputs)
        assert torch.equal(expected.targets, found.targets)


def test_each_process_gets_its_part_of_each_batch(easy):
    with open_dataset(easy) as dataset:
        rows = dataset.rows("val")[:5]
        alone = torch.cat([item.inputs for item in feed_of(dataset).batches(rows)])
        parts = [list(feed_of(dataset, rank=rank, world=2, devices=2).batches(rows)) for rank in range(2)]
    inputs = [torch.cat([item.inputs for item in part]) for part in parts]
    assert [len(item) for item in inputs] == [3, 3]
    together = torch.stack(inputs, dim=1).flatten(0, 1)
    assert torch.equal(together[:5], alone)


def test_processes_vary_their_scans_each_in_its_own_way(easy, monkeypatch):
    seeds = []

    def augmented(greys, generator, config):
        seeds[-1].append(generator.initial_seed())
        return greys

    monkeypatch.setattr("xrai.training.data.augment_batch", augmented)
    with open_dataset(easy) as dataset:
        feeds = [feed_of(dataset, rank=rank, world=2, devices=2, erase_prob=0.0) for rank in range(2)]
        for feed in (*feeds, feed_of(dataset)):
            seeds.append([])
            assert len(list(feed.train_batches(0))) == N_BATCHES
    first, second, alone = map(set, seeds)
    assert not first & second
    assert first == alone


def test_statistics_are_those_of_the_training_scans(easy):
    with open_dataset(easy) as dataset:
        steps = feed_of(dataset).preprocessing
        greys = dataset.images(dataset.rows("train")) / 255
    assert steps.mean == pytest.approx(greys.mean(), abs=1e-3)
    assert steps.std == pytest.approx(greys.std(), abs=1e-3)


def test_statistics_are_those_that_the_weights_have_learned_with(easy):
    learned = Preprocessing(224, 32, 0.3, 0.15)
    with open_dataset(easy) as dataset:
        ways = {
            weights: fit_preprocessing(dataset, TrainConfig(**SMALL | {"network": "resnet18", "weights": weights}), way)
            for weights, way in (("scratch", None), ("imagenet", None), ("m", learned))
        }
    assert ways["imagenet"] == Preprocessing(64, 32, 0.449, 0.226)
    assert ways["m"] == Preprocessing(64, 32, 0.3, 0.15)
    assert len({(way.mean, way.std) for way in ways.values()}) == 3
