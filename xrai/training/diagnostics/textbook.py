"""Synthetic textbook learning curves: good fit, overfitting, underfitting, learning rate too high."""

from __future__ import annotations

import numpy as np

from xrai.models.history import EndRecord, EpochRecord, HistoryRecord, StartRecord, TrainMetrics, ValidationMetrics

TEXTBOOK_KINDS = ("well", "overfits", "underfits", "rate-too-high")
"""The kinds of textbook runs."""

EPOCHS, N_VAL = 30, 800

TEXTBOOK_COUNTS = {"NORMAL": {"train": 3200, "val": 400}, "PNEUMONIA": {"train": 3200, "val": 400}}
"""Scans of each class in the dataset of a textbook run."""


def make_textbook_run(kind: str, *, epochs: int = EPOCHS, seed: int = 0) -> list[HistoryRecord]:
    """The records of a synthetic run.

    With x from 0 to 1 over the run, the training and the validation loss of two classes are, but for a little noise:

    - *well*: both 0.1 + 0.6 e^(−8x), validation 0.03 above;
    - *overfits*: training 0.02 + 0.68 e^(−5x); validation the same until it turns at a third of the run, then rising in
      a straight line by 1.2 a run;
    - *underfits*: both 0.69 − 0.19 x, validation 0.02 above;
    - *rate-too-high*: 0.69 with jumps of training loss to 2 and more, at chance.

    Accuracy and AUC follow from the loss, as e^(−loss) and 1 − (loss / ln 2)² / 2, within 0.5 and 1, so that at the
    loss of guessing, ln 2, both are 0.5; the validation interval is that of 800 scans.

    Raises:
        ValueError: the kind is none of `TEXTBOOK_KINDS`.
    """
    if kind not in TEXTBOOK_KINDS:
        raise ValueError(f"There is no made-up run {kind!r}.")
    rng, x = np.random.default_rng(seed), np.linspace(0, 1, epochs)
    train, val = _loss_curves(kind, x, rng)
    train, val = (np.maximum(losses * rng.normal(1, 0.012, epochs), 0.005) for losses in (train, val))
    aucs = [_metrics_from_loss(loss)["auc"] for loss in val]
    epoch_records = [
        EpochRecord(
            epoch=number,
            train=TrainMetrics(**_metrics_from_loss(train_loss)),
            val=_validation_metrics(val_loss),
            learning_rate=1e-3,
            seconds=0.0,
            best=aucs[number - 1] > max(aucs[: number - 1], default=0),
        )
        for number, (train_loss, val_loss) in enumerate(zip(train, val, strict=True), 1)
    ]
    start = StartRecord(
        kind="start", epochs=epochs, batches=1, parameters=0, device="", precision="", train=2 * 3200, val=N_VAL
    )
    return [start, *epoch_records, EndRecord(reason="finished", seconds=0.0)]


def _validation_metrics(loss: float) -> ValidationMetrics:
    metrics = _metrics_from_loss(loss)
    return ValidationMetrics(
        n=N_VAL, accuracy_interval=_interval(metrics["accuracy"]), auc_interval=_interval(metrics["auc"]), **metrics
    )


def _loss_curves(kind: str, x: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    if kind == "well":
        losses = 0.1 + 0.6 * np.exp(-8 * x)
        return losses, losses + 0.03
    if kind == "overfits":
        losses = 0.02 + 0.68 * np.exp(-5 * x)
        return losses, np.where(x < 1 / 3, losses, losses[x < 1 / 3].min() + 1.2 * (x - 1 / 3)) + 0.03
    if kind == "underfits":
        losses = 0.69 - 0.19 * x
        return losses, losses + 0.02
    jumps = np.where(rng.random(len(x)) < 0.3, rng.uniform(1, 3, len(x)), 0)
    return 0.69 + jumps, 0.75 + jumps * rng.uniform(0.5, 2, len(x))


def _metrics_from_loss(loss: float) -> dict[str, float]:
    accuracy, area = np.exp(-loss), 1 - (loss / np.log(2)) ** 2 / 2
    return {"loss": float(loss), "accuracy": float(max(accuracy, 0.5)), "auc": float(np.clip(area, 0.5, 1))}


def _interval(value: float) -> tuple[float, float]:
    """± 1.96 standard errors of a proportion of the validation scans."""
    half_width = 1.96 * (value * (1 - value) / N_VAL) ** 0.5
    return max(value - half_width, 0.0), min(value + half_width, 1.0)
