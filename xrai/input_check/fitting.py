"""A gate learned from training scans alone: what they look like, set against what they are made into and drawings.

OpenCV and scikit-learn are loaded only when a gate is fitted, so that a page that judges does not wait for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xrai.input_check.check import EDGE_AXES, GREY_AXES, Gate, seen_from
from xrai.scans.descriptor import GREYS, looks, thumbnail

if TYPE_CHECKING:
    from sklearn.neural_network import MLPClassifier

_ALTERED = 9_000  # at least so many films taken otherwise are learned from, and one of every scan,
_SPOILED = 12_000  # so many films made into something else,
_DRAWN = 1_500  # and so many drawings, each in `_WAYS` ways
_WAYS = 4
_ENOUGH = 200  # scans: from fewer, fewer pictures are made, as they would be all alike
_LEAST = 0.2  # of the pictures
_FOLDS = 3
_HIDDEN = 64  # of each fold's network
_EPOCHS, _BATCH = 14, 512
_WORKING_SIDE = 112  # of the squares from which films are altered

_KEPT = 0.999  # of films of patients left out that must be accepted,
_SPARED = 0.96  # and of the same taken otherwise
_CLEAR = 0.98  # of films of patients left out that would be offered mended if they came inverted or turned


def fit_gate(squares: np.ndarray, patients: np.ndarray, *, seed: int = 0) -> Gate:
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
    n, share = len(squares), float(np.clip(len(squares) / _ENOUGH, _LEAST, 1))
    altered, spoiled = (np.arange(max(n, round(share * most))) % n for most in (_ALTERED, _SPOILED))  # which scan it is
    own, foreign = _pictures(squares, altered, spoiled, round(share * _DRAWN), rng)
    components = _components(own)
    own, foreign = (seen_from(numbers, *components) for numbers in (own, foreign))
    folds = _folds(patients, rng)
    of_own = np.concatenate([folds, folds[altered]])
    of_foreign = np.concatenate([folds[spoiled], np.full(len(foreign) - len(spoiled), -1)])  # drawings are nobody's
    nets, answers = [], np.empty(len(own))
    for fold in np.unique(folds):
        out, out_foreign = (of == fold for of in (of_own, of_foreign))
        alone = out.all()  # then there is nobody else to learn from
        nets.append(_network(own[~out | alone], foreign[~out_foreign | alone], seed))
        answers[out] = _answers(nets[-1], own[out])
    return Gate(*components, *_averaged(nets), _limits(answers[:n], answers[n:]))


def _pictures(
    squares: np.ndarray, altered: np.ndarray, spoiled: np.ndarray, n_drawn: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The looks of films, as they are and then altered, and of what are none, spoiled films and then drawings."""
    from xrai.input_check import transforms as change
    from xrai.input_check.negatives import DRAWINGS

    films = _reduced(squares)
    again = [change.altered(films[i], rng) for i in altered]
    kinds = rng.integers(len(change.SPOILINGS), size=len(spoiled))
    ruined = [change.SPOILINGS[kind](films[i], rng) for kind, i in zip(kinds, spoiled, strict=True)]
    ruined = [change.exposed(picture, rng) if rng.random() < 0.7 else picture for picture in ruined]
    drawn = [DRAWINGS[kind](rng) for kind in rng.integers(len(DRAWINGS), size=n_drawn)]
    drawn += [change.taken_otherwise(picture, rng) for picture in drawn for _ in range(_WAYS - 1)]
    return looks(np.stack([*map(thumbnail, squares), *again])), looks(np.stack([*ruined, *drawn]))


def _reduced(squares: np.ndarray) -> np.ndarray:
    import cv2

    size = (_WORKING_SIDE, _WORKING_SIDE)
    return np.stack([cv2.resize(square, size, interpolation=cv2.INTER_AREA) for square in squares])


def _components(own: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The first four arrays of a `Gate`: principal components of greys and of edges apart."""
    mean, cut = own.mean(axis=0), GREYS * GREYS
    greys, grey_spread, grey_rest = _leading(own[:, :cut] - mean[:cut], GREY_AXES)
    edges, edge_spread, edge_rest = _leading(own[:, cut:] - mean[cut:], EDGE_AXES)
    axes = np.zeros((own.shape[1], GREY_AXES + EDGE_AXES), np.float32)
    axes[:cut, :GREY_AXES], axes[cut:, GREY_AXES:] = greys, edges
    return mean, axes, np.concatenate([grey_spread, edge_spread]), np.array([grey_rest, edge_rest], np.float32)


def _leading(centred: np.ndarray, n_axes: int) -> tuple[np.ndarray, np.ndarray, float]:
    squares, axes = np.linalg.eigh(centred.T @ centred / len(centred))  # ascending
    squares = np.maximum(squares[::-1], 1e-6)
    return axes[:, ::-1][:, :n_axes], np.sqrt(squares[:n_axes]), float(squares[n_axes:].sum())


def _folds(patients: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A fold for each scan, the same for all of a patient; a single fold where there are too few patients."""
    names, who = np.unique(patients, return_inverse=True)
    n_folds = _FOLDS if len(names) >= _FOLDS else 1
    return (rng.permutation(len(names)) % n_folds)[who]


def _network(own: np.ndarray, foreign: np.ndarray, seed: int) -> MLPClassifier:
    from sklearn.neural_network import MLPClassifier

    inputs = np.concatenate([own, foreign])
    net = MLPClassifier(
        (_HIDDEN,),
        alpha=1e-3,
        batch_size=min(_BATCH, len(inputs)),  # type: ignore[arg-type]
        learning_rate_init=4e-3,
        random_state=seed,
    )
    is_foreign = np.repeat([0, 1], [len(own), len(foreign)])
    for _ in range(_EPOCHS):  # rather than `fit`, which warns when it has not converged
        net.partial_fit(inputs, is_foreign, classes=[0, 1])
    return net


def _answers(net: MLPClassifier, seen: np.ndarray) -> np.ndarray:
    """Log-odds (N,)."""
    active = np.maximum(seen @ net.coefs_[0] + net.intercepts_[0], 0)
    return active @ net.coefs_[1][:, 0] + net.intercepts_[1][0]


def _averaged(nets: list[MLPClassifier]) -> tuple[np.ndarray, np.ndarray]:
    """One network that answers what several answer on average: `hidden` and `output` of a `Gate`."""
    hidden = np.concatenate([np.vstack([net.coefs_[0], net.intercepts_[0]]) for net in nets], axis=1)
    output = np.concatenate([net.coefs_[1][:, 0] for net in nets])
    bias = sum(net.intercepts_[1][0] for net in nets)
    return hidden.astype(np.float32), (np.append(output, bias) / len(nets)).astype(np.float32)


def _limits(plain: np.ndarray, altered: np.ndarray) -> np.ndarray:
    """What is accepted, and what is offered mended, from the log-odds of films of patients left out."""
    accepted = max(np.quantile(plain, _KEPT), np.quantile(altered, _SPARED))
    return np.array([accepted, min(accepted, np.quantile(plain, _CLEAR))], np.float32)
