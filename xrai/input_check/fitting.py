"""Fit the OOD detector on training scans against synthetic negatives.

OpenCV and scikit-learn are imported only here, when fitting, so that checking an image does not wait for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xrai.input_check.check import EDGE_AXES, GREY_AXES, InputCheck, compute_asymmetry, extract_features
from xrai.metrics import patient_folds
from xrai.scans.descriptor import GREY_GRID, compute_descriptors, make_thumbnail

if TYPE_CHECKING:
    from sklearn.neural_network import MLPClassifier

_N_AUGMENTED = 9_000  # least number of augmented scans; every scan is augmented at least once
_N_TRANSFORMED = 12_000  # scans transformed into negatives
_N_SYNTHETIC = 1_500  # synthetic negatives, each in `_VIEWS_PER_SYNTHETIC` augmentations
_VIEWS_PER_SYNTHETIC = 4
_FULL_EFFORT_SCANS = 200  # with fewer scans fewer images are made, since they would be too similar
_MIN_EFFORT = 0.2  # least share of the images above
_N_FOLDS = 3
_N_HIDDEN = 64  # hidden units per fold
_EPOCHS = 14
_BATCH_SIZE = 512
_WORKING_SIDE = 112  # side of the squares that are augmented

_MIRROR_C = 0.003  # inverse strength of the penalty

_ACCEPT_QUANTILE = 0.999  # of held-out scans that are accepted
_ACCEPT_AUGMENTED_QUANTILE = 0.96  # of held-out augmented scans that are accepted
_CORRECT_QUANTILE = 0.98  # of held-out scans for which a correction is offered when they are rotated or inverted


def fit_input_check(squares: np.ndarray, patients: np.ndarray, *, seed: int = 0) -> InputCheck:
    """Fit the input check on training scans.

    The log-odds are the mean of one network per patient fold, each trained without that fold. The acceptance threshold
    comes from held-out scans: all but 1 in 1,000 are accepted, and nearly all of their augmentations, which stand for
    other hospitals' positioning and exposure. With fewer patients than folds nothing is held out. A check fitted on a
    few dozen scans is lenient, since it has seen little variety.

    Args:
        squares: uint8 (N, S, S), as a dataset stores them; at least one.
        patients: (N,), equal for scans of one patient.
        seed: of the augmentations, negatives and networks.

    Returns:
        The input check; the same for the same scans, seed and library versions.
    """
    rng = np.random.default_rng(seed)
    n, effort = len(squares), float(np.clip(len(squares) / _FULL_EFFORT_SCANS, _MIN_EFFORT, 1))
    augmented_rows, negative_rows = (
        np.arange(max(n, round(effort * count))) % n for count in (_N_AUGMENTED, _N_TRANSFORMED)
    )  # the scan that each image is made from
    n_synthetic = round(effort * _N_SYNTHETIC)
    inliers, negatives = _training_descriptors(squares, augmented_rows, negative_rows, n_synthetic, rng)
    pca = _fit_pca(inliers)
    inliers, negatives = (extract_features(numbers, *pca) for numbers in (inliers, negatives))
    n_folds = _N_FOLDS if len(np.unique(patients)) >= _N_FOLDS else 1
    folds = patient_folds(patients, n_folds, rng)
    inlier_folds = np.concatenate([folds, folds[augmented_rows]])
    synthetic_folds = np.full(len(negatives) - len(negative_rows), -1)  # synthetic negatives belong to no patient
    negative_folds = np.concatenate([folds[negative_rows], synthetic_folds])
    networks, log_odds = [], np.empty(len(inliers))
    for fold in np.unique(folds):
        held_out, held_out_negatives = inlier_folds == fold, negative_folds == fold
        is_single_fold = held_out.all()  # then there is nothing else to train on
        network = _train_network(
            inliers[~held_out | is_single_fold], negatives[~held_out_negatives | is_single_fold], seed
        )
        networks.append(network)
        log_odds[held_out] = _predict_log_odds(network, inliers[held_out])
    thresholds = _fit_thresholds(log_odds[:n], log_odds[n:])
    return InputCheck(*pca, *_average_networks(networks), thresholds, fit_mirror_detector(squares))


def fit_mirror_detector(squares: np.ndarray) -> np.ndarray:
    """Fit `InputCheck.mirror` on training scans uint8 (N, S, S), which are taken to be the right way round.

    Logistic regression of scans against their mirror images. The penalty does not grow with the number of scans: few
    scans give small weights, which never reach the threshold.
    """
    from sklearn.linear_model import LogisticRegression

    asymmetry = compute_asymmetry(np.stack([make_thumbnail(square) for square in squares]))
    inputs = np.concatenate([asymmetry, -asymmetry])
    model = LogisticRegression(C=_MIRROR_C, fit_intercept=False, max_iter=1000)
    return model.fit(inputs, np.repeat([0, 1], len(squares))).coef_[0].astype(np.float32)


def _training_descriptors(
    squares: np.ndarray,
    augmented_rows: np.ndarray,
    negative_rows: np.ndarray,
    n_synthetic: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Descriptors of scans and their augmentations, and of negatives: transformed scans, then synthetic images."""
    from xrai.input_check import transforms
    from xrai.input_check.negatives import SYNTHETIC_NEGATIVES

    images = _downsample(squares)
    augmented = [transforms.augment(images[i], rng) for i in augmented_rows]
    kinds = rng.integers(len(transforms.NEGATIVE_TRANSFORMS), size=len(negative_rows))
    transformed = [
        transforms.NEGATIVE_TRANSFORMS[kind](images[i], rng) for kind, i in zip(kinds, negative_rows, strict=True)
    ]
    transformed = [transforms.random_exposure(image, rng) if rng.random() < 0.7 else image for image in transformed]
    synthetic = [SYNTHETIC_NEGATIVES[kind](rng) for kind in rng.integers(len(SYNTHETIC_NEGATIVES), size=n_synthetic)]
    synthetic += [
        transforms.augment_negative(image, rng) for image in synthetic for _ in range(_VIEWS_PER_SYNTHETIC - 1)
    ]
    inliers = compute_descriptors(np.stack([*map(make_thumbnail, squares), *augmented]))
    return inliers, compute_descriptors(np.stack([*transformed, *synthetic]))


def _downsample(squares: np.ndarray) -> np.ndarray:
    import cv2

    size = (_WORKING_SIDE, _WORKING_SIDE)
    return np.stack([cv2.resize(square, size, interpolation=cv2.INTER_AREA) for square in squares])


def _fit_pca(inliers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The first four arrays of an `InputCheck`: separate principal components of grey values and of edges."""
    mean, n_greys = inliers.mean(axis=0), GREY_GRID * GREY_GRID
    greys, grey_spread, grey_rest = _principal_axes(inliers[:, :n_greys] - mean[:n_greys], GREY_AXES)
    edges, edge_spread, edge_rest = _principal_axes(inliers[:, n_greys:] - mean[n_greys:], EDGE_AXES)
    axes = np.zeros((inliers.shape[1], GREY_AXES + EDGE_AXES), np.float32)
    axes[:n_greys, :GREY_AXES], axes[n_greys:, GREY_AXES:] = greys, edges
    return mean, axes, np.concatenate([grey_spread, edge_spread]), np.array([grey_rest, edge_rest], np.float32)


def _principal_axes(centred: np.ndarray, n_axes: int) -> tuple[np.ndarray, np.ndarray, float]:
    eigenvalues, axes = np.linalg.eigh(centred.T @ centred / len(centred))  # ascending
    eigenvalues = np.maximum(eigenvalues[::-1], 1e-6)
    return axes[:, ::-1][:, :n_axes], np.sqrt(eigenvalues[:n_axes]), float(eigenvalues[n_axes:].sum())


def _train_network(inliers: np.ndarray, negatives: np.ndarray, seed: int) -> MLPClassifier:
    from sklearn.neural_network import MLPClassifier

    inputs = np.concatenate([inliers, negatives])
    net = MLPClassifier(
        (_N_HIDDEN,),
        alpha=1e-3,
        batch_size=min(_BATCH_SIZE, len(inputs)),  # type: ignore[arg-type]
        learning_rate_init=4e-3,
        random_state=seed,
    )
    is_negative = np.repeat([0, 1], [len(inliers), len(negatives)])
    for _ in range(_EPOCHS):  # not `fit`, which warns when it has not converged
        net.partial_fit(inputs, is_negative, classes=[0, 1])
    return net


def _predict_log_odds(net: MLPClassifier, features: np.ndarray) -> np.ndarray:
    """Log-odds (N,)."""
    activations = np.maximum(features @ net.coefs_[0] + net.intercepts_[0], 0)
    return activations @ net.coefs_[1][:, 0] + net.intercepts_[1][0]


def _average_networks(networks: list[MLPClassifier]) -> tuple[np.ndarray, np.ndarray]:
    """One network whose output is the mean of several: `hidden` and `output` of an `InputCheck`."""
    hidden = np.concatenate([np.vstack([net.coefs_[0], net.intercepts_[0]]) for net in networks], axis=1)
    output = np.concatenate([net.coefs_[1][:, 0] for net in networks])
    bias = sum(net.intercepts_[1][0] for net in networks)
    return hidden.astype(np.float32), (np.append(output, bias) / len(networks)).astype(np.float32)


def _fit_thresholds(log_odds: np.ndarray, augmented_log_odds: np.ndarray) -> np.ndarray:
    """The thresholds of acceptance and of offered corrections, from held-out log-odds."""
    accept_threshold = max(
        np.quantile(log_odds, _ACCEPT_QUANTILE), np.quantile(augmented_log_odds, _ACCEPT_AUGMENTED_QUANTILE)
    )
    return np.array([accept_threshold, min(accept_threshold, np.quantile(log_odds, _CORRECT_QUANTILE))], np.float32)
