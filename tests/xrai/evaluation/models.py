"""A model to evaluate, and evaluations of it."""

import shutil

import h5py
import numpy as np
import torch

from xrai.evaluation.evaluate import evaluate
from xrai.models.card import Card
from xrai.models.checkpoint import open_checkpoint
from xrai.networks.build import build_network
from xrai.scans.preprocessing import Preprocessing
from xrai.training.config import TrainConfig

KEYS = {
    "accuracy",
    "accuracy_interval",
    "balanced_accuracy",
    "balanced_accuracy_interval",
    "auc",
    "auc_interval",
    "classes",
    "confusion_matrix",
    "per_class",
    "threshold",
    "brier",
    "expected_calibration_error",
    "n",
    "n_patients",
    "split",
    "dataset",
    "model",
    "measured_before",
    "curves",
    "fingerprint",
    "when",
    "weights",
    "left_out",
    "seen",
    "unseen",
    "reliability",
    "expected_calibration_error_interval",
    "expected_calibration_error_by_chance",
    "calibration",
    "doubt",
    "answered",
}


VALIDATION = {"loss": 0.5, "n": 20, "accuracy": 0.5, "accuracy_interval": [0.3, 0.7], "auc": None, "auc_interval": None}


def make_model(name, classes, threshold=0.5, seed=0):
    """A network that has learned nothing, whose answers differ from scan to scan all the same."""
    config = TrainConfig(network="convnet", blocks=3, filters=4, image_size=32)
    torch.manual_seed(seed)
    network = build_network(config, len(classes))
    with torch.no_grad():
        network.head[-1].weight.mul_(200)
        network.head[-1].bias.zero_()
    checkpoint = open_checkpoint(name)
    checkpoint.folder.mkdir()
    checkpoint.save_network(network)
    card = Card(
        name=name,
        created="2026-11-21",
        classes=tuple(classes),
        network=config.network_config,
        preprocessing=Preprocessing(64, 32, 0.4, 0.2),
        dataset={"name": "d"},
        threshold={"class_name": classes[1], "value": threshold, "description": "in a test"}
        if len(classes) == 2
        else None,
        training={"best_epoch": 1, "settings": config.to_dict()},
        validation=VALIDATION,
        versions={},
        heatmap_scale={"Grad-CAM": dict.fromkeys(classes, 1.0)},
    )
    checkpoint.write_card(card)
    return checkpoint


def changed_copy(dataset, out, change):
    shutil.copy(dataset, out)
    with h5py.File(out, "r+") as file:
        change(file)
    return out


def measured(*arguments, **options):
    """The report of a measurement."""
    return evaluate(*arguments, **options).report


def figures_of(found):
    """A report without what tells the dataset and the moment."""
    return {
        name: value
        for name, value in found.items()
        if name not in ("dataset", "fingerprint", "when", "measured_before")
    }


def predictions(n, n_classes, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(n_classes, size=n)
    scores = rng.normal(0, 1, (n, n_classes)) + 1.2 * np.eye(n_classes)[labels]
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    patients = np.array([f"p{number // 2}" for number in range(n)], dtype=object)
    return shares, labels, patients


def descended(model, dataset, how):
    start = {"model": "older", "created": "2026", "dataset": {"fingerprint": "of a set between", "population": ""}}
    start |= {"training_fingerprints": [dataset.fingerprint]} if how == "far" else {}
    start["dataset"]["fingerprint"] = dataset.fingerprint if how == "near" else "of a set between"
    return model.read_card().replace(training={"best_epoch": 1, "source_model": start})
