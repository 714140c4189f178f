"""A gate learned from training scans alone: what they look like, set against what they are made into and drawings.

OpenCV and scikit-learn are loaded only when a gate is fitted, so that a page that judges does not wait for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xrai.input_check.check import EDGE_AXES, GREY_AXES, InputCheck, extract_features
from xrai.scans.descriptor import GREY_GRID, compute_descriptors, make_thumbnail

if TYPE_CHECKING:
    from sklearn.neural_network import MLPClassifier

_N_AUGMENTED = 9_000  # at least so many films taken otherwise are learned from, and one of every scan,
_N_TRANSFORMED = 12_000  # so many films made into something else,
_N_SYNTHETIC = 1_500  # and so many drawings, each in `_WAYS` ways
_VIEWS_PER_SYNTHETIC = 4
_FULL_EFFORT_SCANS = 200  # scans: from fewer, fewer pictures are made, as they would be all alike
_MIN_EFFORT = 0.2  # of the pictures
_N_FOLDS = 3
_N_HIDDEN = 64  # of each fold's network
_EPOCHS, _BATCH = 14, 512
_WORKING_SIDE = 112  # of the squares from which films are altered

_ACCEPT_QUANTILE = 0.999  # of films of patients left out that must be accepted,
_ACCEPT_AUGMENTED_QUANTILE = 0.96  # and of the same taken otherwise
_CORRECT_QUANTILE = 0.98  # of films of patients left out that would be offered mended if they came inverted or turned


def fit_input_check(squares: np.ndarray, patients: np.ndarray, *, seed: int = 0) -> InputCheck:
    """Learn what training scans look like.

    The log-odds come from networks of one hidden layer, averaged, each of which leaves out a fold of the patients. The
    limit comes from what each says of its own fold: all but 1 in 1,000 must be accepted, and nearly all when they are
    nearer or aside, askew, mirrored, framed or exposed otherwise, which stands for what other hospitals send. With
    fewer patients than folds nothing is left out. Tens of scans make a lenient gate: it has seen little of how films
    differ.

    Args:
        squares: uint8 (N, S, S), as a dataset stores them; at least one.
        patients: (N,), equal for scans of one patient.
        seed: of the alterations, drawings and networks.

    Returns:
        The gate; the same for the same scans, seed and libraries.
    """
    rng = np.random.default_rng(seed)
    n, effort = len(squares), float(np.clip(len(squares) / _FULL_EFFORT_SCANS, _MIN_EFFORT, 1))
    augmented_rows, negative_rows = (
        np.arange(max(n, round(effort * count))) % n for count in (_N_AUGMENTED, _N_TRANSFORMED)
    )  # which scan it is
    inliers, negatives = _training_descriptors(
        squares, augmented_rows, negative_rows, round(effort * _N_SYNTHETIC), rng
    )
    pca = _fit_pca(inliers)
    inliers, negatives = (extract_features(numbers, *pca) for numbers in (inliers, negatives))
    folds = _assign_folds(patients, rng)
    inlier_folds = np.concatenate([folds, folds[augmented_rows]])
    negative_folds = np.concatenate(
        [folds[negative_rows], np.full(len(negatives) - len(negative_rows), -1)]
    )  # drawings are nobody's
    networks, log_odds = [], np.empty(len(inliers))
    for fold in np.unique(folds):
        held_out, held_out_negatives = (fold_of == fold for fold_of in (inlier_folds, negative_folds))
        is_single_fold = held_out.all()  # then there is nobody else to learn from
        networks.append(
            _train_network(inliers[~held_out | is_single_fold], negatives[~held_out_negatives | is_single_fold], seed)
        )
        log_odds[held_out] = _predict_log_odds(networks[-1], inliers[held_out])
    return InputCheck(*pca, *_average_networks(networks), _fit_thresholds(log_odds[:n], log_odds[n:]))


def _training_descriptors(
    squares: np.ndarray,
    augmented_rows: np.ndarray,
    negative_rows: np.ndarray,
    n_synthetic: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """The looks of films, as they are and then altered, and of what are none, spoiled films and then drawings."""
    from xrai.input_check import transforms
    from xrai.input_check.negatives import SYNTHETIC_NEGATIVES

    images = _downsample(squares)
    augmented = [transforms.augment(images[i], rng) for i in augmented_rows]
    kinds = rng.integers(len(transforms.NEGATIVE_TRANSFORMS), size=len(negative_rows))
    transformed = [
        transforms.NEGATIVE_TRANSFORMS[kind](images[i], rng) for kind, i in zip(kinds, negative_rows, strict=True)
    ]
    transformed = [
        transforms.random_exposure(picture, rng) if rng.random() < 0.7 else picture for picture in transformed
    ]
    synthetic = [SYNTHETIC_NEGATIVES[kind](rng) for kind in rng.integers(len(SYNTHETIC_NEGATIVES), size=n_synthetic)]
    synthetic += [
        transforms.augment_negative(picture, rng) for picture in synthetic for _ in range(_VIEWS_PER_SYNTHETIC - 1)
    ]
    return compute_descriptors(np.stack([*map(make_thumbnail, squares), *augmented])), compute_descriptors(
        np.stack([*transformed, *synthetic])
    )


def _downsample(squares: np.ndarray) -> np.ndarray:
    import cv2

    size = (_WORKING_SIDE, _WORKING_SIDE)
    return np.stack([cv2.resize(square, size, interpolation=cv2.INTER_AREA) for square in squares])


def _fit_pca(inliers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The first four arrays of a `Gate`: principal components of greys and of edges apart."""
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


def _assign_folds(patients: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A fold for each scan, the same for all of a patient; a single fold where there are too few patients."""
    patient_ids, patient_index = np.unique(patients, return_inverse=True)
    n_folds = _N_FOLDS if len(patient_ids) >= _N_FOLDS else 1
    return (rng.permutation(len(patient_ids)) % n_folds)[patient_index]


def _train_network(inliers: np.ndarray, negatives: np.ndarray, seed: int) -> MLPClassifier:
    from sklearn.neural_network import MLPClassifier

    inputs = np.concatenate([inliers, negatives])
    net = MLPClassifier(
        (_N_HIDDEN,),
        alpha=1e-3,
        batch_size=min(_BATCH, len(inputs)),  # type: ignore[arg-type]
        learning_rate_init=4e-3,
        random_state=seed,
    )
    is_negative = np.repeat([0, 1], [len(inliers), len(negatives)])
    for _ in range(_EPOCHS):  # rather than `fit`, which warns when it has not converged
        net.partial_fit(inputs, is_negative, classes=[0, 1])
    return net


def _predict_log_odds(net: MLPClassifier, features: np.ndarray) -> np.ndarray:
    """Log-odds (N,)."""
    activations = np.maximum(features @ net.coefs_[0] + net.intercepts_[0], 0)
    return activations @ net.coefs_[1][:, 0] + net.intercepts_[1][0]


def _average_networks(networks: list[MLPClassifier]) -> tuple[np.ndarray, np.ndarray]:
    """One network that answers what several answer on average: `hidden` and `output` of a `Gate`."""
    hidden = np.concatenate([np.vstack([net.coefs_[0], net.intercepts_[0]]) for net in networks], axis=1)
    output = np.concatenate([net.coefs_[1][:, 0] for net in networks])
    bias = sum(net.intercepts_[1][0] for net in networks)
    return hidden.astype(np.float32), (np.append(output, bias) / len(networks)).astype(np.float32)


def _fit_thresholds(log_odds: np.ndarray, augmented_log_odds: np.ndarray) -> np.ndarray:
    """What is accepted, and what is offered mended, from the log-odds of films of patients left out."""
    accept_threshold = max(
        np.quantile(log_odds, _ACCEPT_QUANTILE), np.quantile(augmented_log_odds, _ACCEPT_AUGMENTED_QUANTILE)
    )
    return np.array([accept_threshold, min(accept_threshold, np.quantile(log_odds, _CORRECT_QUANTILE))], np.float32)
