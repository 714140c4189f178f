"""Making a trained network ready to read: what its answers need is fitted on the scans that it was trained on.

Calibration, threshold and doubt come from its validation scans, the gate and the similar cases from its training scans.
None of them ever looks at a test split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch

from xrai.core.errors import CheckpointError, DatasetError
from xrai.core.jobs import Job
from xrai.core.language import say
from xrai.data.audit import load_audit, summarise_for_card
from xrai.data.dataset import Dataset
from xrai.data.description import FindingSummary
from xrai.explain.cam import fit_reference_scales
from xrai.explain.similar_cases import NeighbourIndex, fit_neighbour_index
from xrai.input_check import fit_input_check
from xrai.models.artifacts import Artifacts, ValidationOutputs, save_artifacts
from xrai.models.card import Card
from xrai.models.checkpoint import Checkpoint
from xrai.models.operating_point import refit_operating_point
from xrai.networks.build import Network
from xrai.scans.preprocessing import resize_images, to_grey_tensor, to_square
from xrai.training.perturbations import PERTURBATIONS

MAX_VALIDATION, MAX_TRAINING, MAX_OOD_SCANS, MAX_CAM_SCALE_SCANS = 2000, 20_000, 5000, 200
"""Scans that are looked at, drawn by the run's seed: more say hardly more, and take their time."""

OOD_IMAGE_SIZE = 224
"""Of the films from which the gate learns: its memory does not grow with what a dataset stores."""

BATCH_SIZE = 32

ProgressCallback = Callable[[str, int, int], None]
"""Takes what is being done in a few words, and how many of how many steps of it are done."""

Rows = np.ndarray
Perturbation = Callable[[torch.Tensor], torch.Tensor]


def fit_cam_scale(network: Network, card: Card, dataset: Dataset) -> dict[str, dict[str, float]]:
    """{method: {class: anchor}}: the evidence in some validation scans that heatmaps draw in full colour."""
    return _BatchPredictor(network, card, dataset).fit_cam_scale(
        _subsample(dataset.rows("val"), MAX_CAM_SCALE_SCANS, _seed(card))
    )


def fit_artifacts(
    network: Network, card: Card, dataset: Dataset, *, on_progress: ProgressCallback = lambda what, done, total: None
) -> tuple[Card, Artifacts]:
    """Fit what a model's answers need: its card, whose operating point is still to be fitted, and its artifacts.

    Args:
        network: trained, in evaluation mode, on its device.
        card: with the model's classes, preprocessing and settings.
        dataset: that it was trained on, open.
        on_progress: told of the progress.

    Raises:
        DatasetError: the dataset is damaged.
    """
    predictor, seed = _BatchPredictor(network, card, dataset), _seed(card)
    train_rows = _subsample(dataset.rows("train"), MAX_TRAINING, seed)
    validation = predictor.predict_validation(_subsample(dataset.rows("val"), MAX_VALIDATION, seed), on_progress)
    index = predictor.build_index(train_rows, on_progress)
    on_progress(say("learning what such scans look like"), 0, 1)
    ood_rows = _subsample(train_rows, MAX_OOD_SCANS, seed)
    ood_detector = fit_input_check(_load_ood_images(dataset, ood_rows), dataset.patients[ood_rows], seed=seed)
    card = card.replace(dataset=card.dataset.replace(audit=_audit_findings(dataset)))
    return card, Artifacts(ood_detector, index, validation)


def recalibrate(
    checkpoint: Checkpoint, dataset: Dataset, *, on_progress: ProgressCallback = lambda what, done, total: None
) -> Card:
    """Make a model ready anew that was trained earlier, or by an earlier version of XRAI.

    Raises:
        CheckpointError: the model is damaged, was not trained on this dataset, or is being trained.
        DatasetError: the dataset is damaged.
        OSError: the disk is full.
    """
    if Job(checkpoint.folder).is_active:
        raise CheckpointError(
            "The model “{name}” is being trained now: calibrate it when that is done.", name=checkpoint.name
        )
    card, sha256 = checkpoint.read_card(), checkpoint.weights_sha256()
    if card.dataset.fingerprint != dataset.fingerprint:
        raise CheckpointError(
            "The model “{name}” was not trained on {name2} as it is now: give the dataset that "
            "it learned from ({dataset}), since only of that the validation scans are known.",
            name=checkpoint.name,
            name2=dataset.path.name,
            dataset=card.dataset.name,
        )
    network = checkpoint.load_network(card)
    new_card, artifacts = fit_artifacts(network, card, dataset, on_progress=on_progress)
    new_card = new_card.replace(heatmap_scale=fit_cam_scale(network, card, dataset))
    assert artifacts.validation is not None
    with checkpoint.card_lock():
        current_card = checkpoint.read_card()
        if checkpoint.weights_sha256() != sha256:
            raise CheckpointError(
                "The model “{name}” was trained on while it was calibrated: calibrate it again.", name=checkpoint.name
            )
        save_artifacts(checkpoint, artifacts, sha256)
        new_card = refit_operating_point(
            new_card.replace(evaluations=current_card.evaluations), current_card, artifacts.validation
        )
        checkpoint.write_card(new_card)
    return new_card


def _load_ood_images(dataset: Dataset, rows: Rows) -> np.ndarray:
    """Scans as the gate learns them, no larger than it needs, uint8 (n, side, side)."""
    side = min(dataset.size, OOD_IMAGE_SIZE)
    return np.stack([to_square(dataset.images([row])[0], side) for row in rows])


def _audit_findings(dataset: Dataset) -> tuple[FindingSummary, ...] | None:
    """What a check of the dataset found that readers of the model's figures should know; None without a check."""
    try:
        report = load_audit(dataset)
    except DatasetError:  # a damaged one says nothing
        return None
    return None if report is None else summarise_for_card(report)


def _subsample(rows: Rows, max_rows: int, seed: int) -> Rows:
    if len(rows) <= max_rows:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, max_rows, replace=False))


class _BatchPredictor:
    """A network looking at the scans of a dataset, batch by batch."""

    def __init__(self, network: Network, card: Card, dataset: Dataset) -> None:
        permutation = card.class_permutation(dataset.classes)
        assert permutation is not None, "a model knows the classes of the dataset that it was trained on"
        self.network, self.card, self.dataset, self.class_permutation = network, card, dataset, np.array(permutation)
        self.device = next(network.parameters()).device
        self.uses_bf16 = card.training.precision == "bf16-mixed"

    def fit_cam_scale(self, rows: Rows) -> dict[str, dict[str, float]]:
        """{method: {class: anchor}}: the evidence in some validation scans that heatmaps draw in full colour."""
        scales, classes = (
            fit_reference_scales(self.network, self._load_inputs, rows, len(self.card.classes)),
            self.card.classes,
        )
        return {
            method: {classes[label]: round(value, 4) for label, value in values.items()}
            for method, values in scales.items()
        }

    def predict_validation(self, rows: Rows, on_progress: ProgressCallback) -> ValidationOutputs:
        """What it answers to scans as they are and as they are changed by `SHIFTS`."""
        total = 1 + len(PERTURBATIONS)
        versions = []
        for n_done, perturb in enumerate([lambda images: images, *PERTURBATIONS.values()]):
            on_progress(say("reading the validation scans, as they are and changed"), n_done, total)
            logits_batches = [logits for logits, _ in self._predict_batches(rows, perturb, exact=n_done == 0)]
            versions.append(np.concatenate(logits_batches))
        patient_codes = np.unique(self.dataset.patients[rows].astype(str), return_inverse=True)[1]
        return ValidationOutputs(
            versions[0], np.stack(versions[1:]), self.class_permutation[self.dataset.labels[rows]], patient_codes
        )

    def build_index(self, rows: Rows, on_progress: ProgressCallback) -> NeighbourIndex:
        """What its last layer looks at in scans."""
        feature_batches = []
        for n_done, (_, features) in enumerate(self._predict_batches(rows, lambda images: images, exact=False)):
            if n_done % 10 == 0:
                on_progress(say("remembering the training scans"), n_done * BATCH_SIZE, len(rows))
            feature_batches.append(features)
        labels = self.class_permutation[self.dataset.labels[rows]]
        return fit_neighbour_index(np.concatenate(feature_batches), labels, rows, self.dataset.patients[rows])

    def _predict_batches(
        self, rows: Rows, perturb: Perturbation, *, exact: bool
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Logits and vectors of batch after batch; in the precision of the training unless they must be exact."""
        for start in range(0, len(rows), BATCH_SIZE):
            inputs = self._load_inputs(rows[start : start + BATCH_SIZE], perturb)
            autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=self.uses_bf16 and not exact)
            with torch.inference_mode(), autocast:
                logits, features = self.network.forward_with_features(
                    inputs.contiguous(memory_format=torch.channels_last)
                )
            yield logits.float().cpu().numpy(), features.float().cpu().numpy()

    def _load_inputs(self, rows: Rows, perturb: Perturbation = lambda images: images) -> torch.Tensor:
        """Standardised inputs of some rows, float (n, 1, H, W)."""
        preprocessing = self.card.preprocessing
        stored_images = torch.from_numpy(self.dataset.images(rows)).to(self.device)
        images = perturb(
            to_grey_tensor(stored_images, preprocessing.stored_size)
        )  # before they are made smaller, as another film would be
        return preprocessing.standardise(resize_images(images, preprocessing.input_size))


def _seed(card: Card) -> int:
    return int(card.training.settings.get("seed", 0))
