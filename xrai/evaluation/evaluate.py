"""How good a model is on a split of a dataset: the classification report, each number with its interval."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch

from xrai.core.errors import CheckpointError, DatasetError, system_reason
from xrai.core.language import say
from xrai.data.dataset import Dataset
from xrai.data.sources import SPLIT_NAMES, SPLITS
from xrai.evaluation.report import classification_report
from xrai.evaluation.store import EvaluationResult, Predictions, evaluation_folder, save_evaluation
from xrai.metrics import predict
from xrai.models.card import Card, EvaluationSummary
from xrai.models.checkpoint import Checkpoint
from xrai.networks.build import Network

BATCH_SIZE = 32
_LOCK_SECONDS = 60


class NotSavedError(CheckpointError):
    """A measurement was made, but cannot be kept.

    Attributes:
        result: the measurement.
    """

    def __init__(self, sentence: str, result: EvaluationResult) -> None:
        super().__init__(sentence)
        self.result = result


def evaluate(
    checkpoint: Checkpoint,
    dataset: Dataset,
    split: str = "test",
    *,
    excluded_files: Collection[str] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> EvaluationResult:
    """Measure a model on a split, keep the measurement in its folder and note it in its card.

    The classes are matched by name, in whatever order and spelling the dataset has them.

    Args:
        checkpoint: the model.
        dataset: open.
        split: train, val or test.
        excluded_files: files of the dataset to leave out, by the dataset's names, or by the last part of a name where
            it is unique.
        progress: told how many scans of how many are done.

    Returns:
        The predictions, and a report that is JSON-able: what `classification.report` gives, and split, dataset, model,
        fingerprint, when, weights, calibration (of the probabilities), left_out (scans), measured_before, seen (scans
        that the model, or one that it goes back to, learned from or was chosen by) and unseen (the main measures
        without these, where there are such).

    Raises:
        CheckpointError: the model is damaged or was trained on meanwhile, or its classes are not the dataset's.
        NotKeptError: the disk is full, or the folder may not be written.
        DatasetError: the split is empty, a file to leave out is not in it or could be several, or the dataset is
            damaged.
    """
    card, weights = checkpoint.read_card(), checkpoint.weights_sha256()
    rows = _select_rows(dataset, split, excluded_files)
    labels = _map_labels(card, dataset, rows)
    probabilities = predict_probabilities(checkpoint.load_network(card), card, dataset, rows, progress)
    patients, threshold = dataset.patients[rows], card.threshold_value
    result = classification_report(probabilities, labels, patients, card.classes, threshold, card.abstention)
    was_seen = _find_seen(card, dataset, split, rows)
    result |= {
        "split": split,
        "dataset": dataset.path.stem,
        "model": checkpoint.name,
        "fingerprint": dataset.fingerprint,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "weights": weights,
        "calibration": card.calibration.to_dict() if card.calibration else None,
        "left_out": len(dataset.rows(split)) - len(rows),
        "measured_before": 0,
        "seen": int(was_seen.sum()),
        "unseen": None
        if not was_seen.any() or was_seen.all()
        else _main_metrics(
            classification_report(
                probabilities[~was_seen], labels[~was_seen], patients[~was_seen], card.classes, threshold
            )
        ),
    }
    predicted = predict(probabilities, threshold)
    predictions = Predictions(rows, dataset.files[rows], patients, labels, predicted, probabilities)
    return _save_result(checkpoint, dataset, card, EvaluationResult(result, predictions))


def predict_probabilities(
    network: Network,
    card: Card,
    dataset: Dataset,
    rows: np.ndarray,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """Probabilities of every class for some rows of a dataset, float64 (n, C)."""
    return card.to_probabilities(predict_logits(network, card, dataset, rows, progress))


def predict_logits(
    network: Network,
    card: Card,
    dataset: Dataset,
    rows: np.ndarray,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """The network's answers to some rows of a dataset, float32 (n, C)."""
    batches = []
    for start in range(0, len(rows), BATCH_SIZE):
        images = dataset.images(rows[start : start + BATCH_SIZE])
        inputs = torch.cat([card.preprocessing(square) for square in images])  # (n, 1, H, W)
        with torch.inference_mode():
            batches.append(network(inputs).float().numpy())
        progress(min(start + BATCH_SIZE, len(rows)), len(rows))
    return np.concatenate(batches)


_MAIN_KEYS = ("n", "n_patients", "accuracy", "accuracy_interval", "auc", "auc_interval", "per_class")
_CARD_KEYS = ("dataset", "split", "left_out", "fingerprint", "when", "weights", "threshold", "seen", *_MAIN_KEYS)
_CARD_CLASS_KEYS = ("precision", "recall", "f1", "support")


def _select_rows(dataset: Dataset, split: str, excluded_files: Collection[str]) -> np.ndarray:
    """The rows of a split without the files that are to be left out."""
    rows, word = dataset.rows(split), SPLIT_NAMES[split]
    if not len(rows):
        raise DatasetError(
            "The dataset {name} has no scans in its {word} split: choose another split.",
            name=dataset.path.name,
            word=word,
        )
    files = [str(dataset.files[row]) for row in rows]
    full_names, by_last_part = set(files), defaultdict(set)
    for file in files:
        by_last_part[file.rsplit("/", 1)[-1]].add(file)
    excluded = set()
    for name in sorted(set(excluded_files)):
        matches = {name} if name in full_names else by_last_part.get(name, set())
        if len(matches) != 1:
            place = say("the {word} split of {name}", word=word, name=dataset.path.name)
            raise DatasetError(
                say(
                    "“{name}”, which was to be left out, fits {len:,} files of {place}: "
                    "write its whole path as the dataset names it.",
                    name=name,
                    len=len(matches),
                    place=place,
                )
                if matches
                else say(
                    "“{name}”, which was to be left out, is no file of {place}: "
                    "write its whole path as the dataset names it.",
                    name=name,
                    place=place,
                )
            )
        excluded |= matches
    remaining = rows[[file not in excluded for file in files]]
    if not len(remaining):
        raise DatasetError(
            "Nothing of the {word} split of {name} is left to measure: leave out fewer files.",
            word=word,
            name=dataset.path.name,
        )
    return remaining


def _find_seen(card: Card, dataset: Dataset, split: str, rows: np.ndarray) -> np.ndarray:
    """Which scans the model or one that it goes back to learned from or was chosen by, bool (n,), as far as is known.

    In a dataset that one of them learned from, these are the training and validation scans, and files that are the
    same as one of them.
    """
    if dataset.fingerprint not in card.training_fingerprints:
        return np.zeros(len(rows), bool)
    learned_hashes = {
        content for learned_split in SPLITS[:2] for content in dataset.hashes[dataset.rows(learned_split)].tolist()
    }
    return np.array([split != SPLITS[2] or content in learned_hashes for content in dataset.hashes[rows].tolist()])


def _main_metrics(values: dict[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in _MAIN_KEYS} | {"per_class": _shorten_per_class(values["per_class"])}


def _shorten_per_class(per_class: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: {measure: row[measure] for measure in _CARD_CLASS_KEYS} for name, row in per_class.items()}


def _save_result(
    checkpoint: Checkpoint, dataset: Dataset, evaluated_card: Card, result: EvaluationResult
) -> EvaluationResult:
    """Keep a measurement and note it in the card; says how often the split was measured before."""
    report = result.report
    key = (report["fingerprint"], report["split"])
    summary = EvaluationSummary.from_dict(
        {name: report[name] for name in _CARD_KEYS} | {"per_class": _shorten_per_class(report["per_class"])}
    )
    checkpoint.read_card()  # that of a model which is gone is said, before the lock would make its folder anew
    try:
        with checkpoint.card_lock(_LOCK_SECONDS):
            card = _reload_card(checkpoint, evaluated_card, report["weights"])
            earlier = [item for item in card.evaluations if (item.fingerprint, item.split) == key]
            result = replace(result, report=report | {"measured_before": len(earlier)})
            try:
                save_evaluation(evaluation_folder(checkpoint, dataset.path, report["split"]), result)
            finally:  # it is told even if it cannot be kept, and so it was a look
                checkpoint.write_card(card.replace(evaluations=(*card.evaluations, summary)))
    except OSError as error:
        area = say("not defined") if report["auc"] is None else say("{auc:.3f}", auc=report["auc"])
        raise NotSavedError(
            say(
                "The measurement (accuracy {report:.3f}, AUC {area}, on {report2:,} scans) cannot be kept "
                "in the folder of the model “{name}” ({strerror}): "
                "free some disk space, or check the folder's rights, and measure again.",
                report=report["accuracy"],
                area=area,
                report2=report["n"],
                name=checkpoint.name,
                strerror=system_reason(error),
            ),
            result,
        ) from error
    return result


def _reload_card(checkpoint: Checkpoint, evaluated_card: Card, weights: str) -> Card:
    """The card as it is now, with what others noted in it meanwhile; it must still be that of the measured weights."""
    current = checkpoint.read_card()
    if (current.created, current.training, checkpoint.weights_sha256()) != (
        evaluated_card.created,
        evaluated_card.training,
        weights,
    ):
        raise CheckpointError(
            "The model “{name}” was trained on while it was measured, so that the measurement is not of "
            "its weights any more: measure it again.",
            name=checkpoint.name,
        )
    return current


def _map_labels(card: Card, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """The rows' labels in the model's class order."""
    permutation = card.class_permutation(dataset.classes)
    if permutation is None:
        raise CheckpointError(
            "The model knows the classes {model_classes}, but the dataset {name} has "
            "{dataset_classes}: choose a dataset with the same classes.",
            model_classes=card.classes,
            name=dataset.path.name,
            dataset_classes=dataset.classes,
        )
    return np.array(permutation)[dataset.labels[rows]]
