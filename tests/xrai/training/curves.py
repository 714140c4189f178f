"""Made-up training histories."""

import math

import numpy as np

from xrai.metrics.formulas import wilson_interval
from xrai.models.history import EndRecord, EpochRecord, StartRecord
from xrai.training.config import TrainConfig
from xrai.training.diagnostics import analyse_curves

CONFIG = TrainConfig(network="convnet", class_balance="none")
EVEN = {"NORMAL": {"train": 400, "val": 200}, "PNEUMONIA": {"train": 400, "val": 200}}
CHANCE = math.log(2)


def start_record(**values):
    plan = {"kind": "start", "epochs": 1, "batches": 1, "parameters": 1, "device": "cpu", "precision": "32-true"}
    return StartRecord(**plan | {"train": 1, "val": 1} | values)


def run_of(train, val, *, n=400, areas=None, epochs=None, reason="finished", head=0, keep="auc"):
    """A made-up run with the losses of each epoch; AUC follows the loss unless it is given."""
    areas = areas or [max(1 - (loss / CHANCE) ** 2 / 2, 0.5) for loss in val]
    records = [start_record(epochs=epochs or len(train), freeze_epochs=head, val=n)]
    best = -math.inf
    for number, (train_loss, val_loss, area) in enumerate(zip(train, val, areas, strict=True), 1):
        score = area if keep == "auc" else -val_loss
        accuracy = max(math.exp(-val_loss), 0.5)
        own = {"loss": train_loss, "accuracy": 0.8, "auc": max(1 - (train_loss / CHANCE) ** 2 / 2, 0.5)}
        intervals = {
            "accuracy_interval": wilson_interval(accuracy, n, 1.96),
            "auc_interval": wilson_interval(area, n, 1.96),
        }
        unseen = {"n": n, "loss": val_loss, "accuracy": accuracy, "auc": area} | intervals
        is_best = score > best
        records.append(EpochRecord(epoch=number, train=own, val=unseen, learning_rate=0.1, seconds=1.0, best=is_best))
        best = max(best, score)
    return records + ([EndRecord(reason=reason, seconds=1.0)] if reason else [])


def changed(record, **values):
    """An epoch's record with other validation metrics."""
    return record.model_copy(update={"val": record.val.model_copy(update=values)})


def said(records, config=CONFIG, counts=EVEN, *, settings=None, **how):
    if settings:
        config = config.replace(**settings)
    return {item.kind: item for item in analyse_curves(records, config, counts=counts, **how)}


def falling(n, start=0.69, end=0.1, speed=8.0):
    return (end + (start - end) * np.exp(-speed * np.linspace(0, 1, n))).tolist()


def shaken(losses, amount, seed=0):
    return (np.array(losses) * np.exp(np.random.default_rng(seed).normal(0, amount, len(losses)))).tolist()


LEARNING = {"rate-too-high", "rate-too-low", "overfitting", "underfitting", "guessing"}
