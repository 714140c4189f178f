"""A model's card and network for the tests of checkpoints."""

import json

import torch

from xrai.models.card import Card
from xrai.models.checkpoint import CARD
from xrai.networks.build import build_network
from xrai.scans.preprocessing import Preprocessing
from xrai.training.config import TrainConfig

CONFIG_OF = TrainConfig(network="convnet", blocks=2, filters=4, dense_units=8, image_size=32)


MEASURED = {
    "loss": 0.5,
    "n": 9,
    "accuracy": 0.8,
    "accuracy_interval": [0.7, 0.9],
    "auc": 0.9,
    "auc_interval": [0.8, 1.0],
}


METRICS = {name: value for name, value in MEASURED.items() if name != "loss"}


EVALUATED = METRICS | {"dataset": "d", "split": "test", "when": "2026-11-21T10:00:00+00:00", "fingerprint": "f"}


def a_card(config=CONFIG_OF, **changes):
    values = {
        "name": "m",
        "created": "2026-11-21T09:00:00+00:00",
        "classes": ("CLEAR", "OPACITY"),
        "network": config.network_config,
        "preprocessing": Preprocessing(64, config.image_size, 0.5, 0.25),
        "dataset": {"name": "d", "is_phantom": True},
        "threshold": {"class_name": "OPACITY", "value": 0.5, "description": "beforehand"},
        "training": {"best_epoch": 1, "settings": config.to_dict()},
        "validation": MEASURED,
        "heatmap_scale": {"Grad-CAM": {"CLEAR": 1.0, "OPACITY": 2.0}},
        "versions": {"xrai": "0.1.0"},
        "notes": ("Research software, no medical device.",),
    }
    if "classes" in changes:
        values |= {"threshold": None, "heatmap_scale": {}}
    return Card(**values | changes)


def a_network(config=CONFIG_OF, n_classes=2):
    torch.manual_seed(0)
    return build_network(config, n_classes).eval()


def edit_card(checkpoint, **changes):
    file = checkpoint.folder / CARD
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def assert_one_sentence(error, *words):
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert text.count(". ") == 0
    for word in words:
        assert word in text


FOREIGN = {
    "empty": b"",
    "text": b"hello",
    "binary": bytes(range(256)),
    "a list": b"[1, 2]",
    "a number": b"7",
    "another's JSON": b'{"format": "other", "version": 1}',
    "no version": b'{"format": "xrai-model"}',
    "nested without end": b"[" * 100_000,
}


THRESHOLD = {"class_name": "OPACITY", "value": 0.5, "description": "beforehand"}


STEPS = a_card().preprocessing.to_dict()


NONSENSE = {
    "a model to start from without its dataset": {"training": {"source_model": {"model": "x"}}},
    "a model to start from without a name": {"training": {"source_model": {"dataset": {}}}},
    "an age below zero": {"intended_use": {"min_age": -1}},
    "views of no words": {"intended_use": {"views": [1]}},
    "one class": {"classes": ["CLEAR"]},
    "the same class twice": {"classes": ["CLEAR", "CLEAR"]},
    "classes of no words": {"classes": [1, 2]},
    "a threshold beyond 1": {"threshold": THRESHOLD | {"value": 1.5}},
    "a threshold without value": {"threshold": {"class_name": "OPACITY", "description": ""}},
    "an unknown network": {"network": CONFIG_OF.network_config.to_dict() | {"network": "alexnet"}},
    "an unknown setting": {"network": CONFIG_OF.network_config.to_dict() | {"colour": "blue"}},
    "another size than the network's": {"preprocessing": STEPS | {"input_size": 64}},
    "no size": {"preprocessing": STEPS | {"stored_size": 0}},
    "a spread of nothing": {"preprocessing": STEPS | {"std": 0.0}},
    "greys measured otherwise than in training": {"preprocessing": STEPS | {"per_scan": True}},
    "no word on how greys are measured": {"preprocessing": STEPS | {"per_scan": "false"}},
    "an anchor of nothing": {"heatmap_scale": {"Grad-CAM": {"CLEAR": 1.0, "OPACITY": 0.0}}},
    "an anchor missing": {"heatmap_scale": {"Grad-CAM": {"CLEAR": 1.0}}},
    "no dataset": {"dataset": None},
    "evaluations of something else": {"evaluations": [{}]},
    "evaluations of no list": {"evaluations": 3},
    "a threshold of another class": {"threshold": THRESHOLD | {"class_name": "CLEAR"}},
    "a threshold in words": {"threshold": THRESHOLD | {"value": "high"}},
    "no validation": {"validation": {}},
    "a validation in words": {"validation": MEASURED | {"accuracy": "good"}},
    "an accuracy of nothing": {"validation": MEASURED | {"accuracy": None}},
    "an AUC that is no number": {"validation": MEASURED | {"auc": float("nan")}},
    "half an interval": {"validation": MEASURED | {"auc_interval": [0.8]}},
    "an interval in words": {"validation": MEASURED | {"accuracy_interval": "ab"}},
    "half a scan": {"validation": MEASURED | {"n": 0.5}},
    "an evaluation without a moment": {"evaluations": [{k: v for k, v in EVALUATED.items() if k != "when"}]},
    "an evaluation on a number": {"evaluations": [EVALUATED | {"dataset": 3}]},
    "an evaluation without measures": {"evaluations": [{k: v for k, v in EVALUATED.items() if k not in MEASURED}]},
    "a note that is a list": {"notes": [["x"]]},
    "a population that is a number": {"dataset": {"name": "d", "population": 3}},
    "a licence that is nothing": {"dataset": {"name": "d", "licence": None}},
    "a name that is a number": {"name": 3},
}


OTHER_VERSION = b'{"dataset": "d", "train": {"colour": "blue"}}'
