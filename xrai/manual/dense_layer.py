"""A dense layer with activation and gradient descent in numpy, for the manual."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

LEAKY_SLOPE = 0.01
"""Slope of leaky ReLU below 0, as in torch."""


@dataclass(frozen=True)
class Activation:
    """An activation function.

    Attributes:
        name: as shown to users.
        formula: in LaTeX.
        function: of an array of any shape.
    """

    name: str
    formula: str
    function: Callable[[np.ndarray], np.ndarray]


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(−x)), without overflow."""
    return np.exp(-np.logaddexp(0, -np.asarray(x, np.float64)))


ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation("ReLU", r"f(x) = \max(0,\, x)", lambda x: np.maximum(x, 0)),
    "leaky_relu": Activation(
        "Leaky ReLU", rf"f(x) = \max({LEAKY_SLOPE}\,x,\, x)", lambda x: np.maximum(LEAKY_SLOPE * np.asarray(x), x)
    ),
    "silu": Activation("SiLU", r"f(x) = x \cdot \sigma(x) = \frac{x}{1 + e^{-x}}", lambda x: x * sigmoid(x)),
    "hard_swish": Activation(
        "Hard swish",
        r"f(x) = x \cdot \frac{\min(\max(x + 3,\, 0),\, 6)}{6}",
        lambda x: x * np.clip(np.asarray(x) + 3, 0, 6) / 6,
    ),
    "sigmoid": Activation("Sigmoid", r"f(x) = \sigma(x) = \frac{1}{1 + e^{-x}}", sigmoid),
    "tanh": Activation("tanh", r"f(x) = \frac{e^{x} - e^{-x}}{e^{x} + e^{-x}}", np.tanh),
}
"""The activations of XRAI's networks, sigmoid and tanh; values equal torch's."""


def activate(name: str, values: np.ndarray) -> np.ndarray:
    """Apply one of `ACTIVATIONS` to values of any shape; float64."""
    return np.asarray(ACTIVATIONS[name].function(np.asarray(values, np.float64)))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Convert logits (C,) to probabilities (C,)."""
    exponentials = np.exp(np.asarray(logits, np.float64) - np.max(logits))
    return exponentials / exponentials.sum()


@dataclass(frozen=True, eq=False)
class TrainingState:
    """A layer with one unit during training.

    Attributes:
        weights: float64 (D + 1,), the bias last.
        loss: mean cross-entropy over the examples.
        gradient: of that loss, float64 (D + 1,).
    """

    weights: np.ndarray
    loss: float
    gradient: np.ndarray


def predict_probabilities(inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The probability of class 1 per example: the sigmoid of Σ wᵢ xᵢ + b.

    Args:
        inputs: float (N, D).
        weights: float (D + 1,), the bias last.
    """
    return sigmoid(inputs @ weights[:-1] + weights[-1])


def train_layer(inputs: np.ndarray, labels: np.ndarray, learning_rate: float, steps: int) -> list[TrainingState]:
    """Full-batch gradient descent from zero weights.

    Args:
        inputs: float (N, D).
        labels: 0 or 1, (N,).
        learning_rate: step size.
        steps: number of steps.

    Returns:
        `steps` + 1 states: before the first step and after each.
    """
    states = [_state_at(inputs, labels, np.zeros(inputs.shape[1] + 1))]
    for _ in range(steps):
        states.append(_state_at(inputs, labels, states[-1].weights - learning_rate * states[-1].gradient))
    return states


def make_examples(seed: int = 5, per_class: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Synthetic examples of two overlapping classes: inputs float64 (N, 2), labels 0 or 1 (N,)."""
    labels = np.repeat([0, 1], per_class)
    centres = np.where(labels[:, None] == 1, 1, -1) * np.array([1.6, 1.3])
    return np.random.default_rng(seed).normal(centres, 2).round(1), labels


def _state_at(inputs: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> TrainingState:
    logits = inputs @ weights[:-1] + weights[-1]
    loss = float(np.mean(np.logaddexp(0, logits) - labels * logits))  # −log p of the true class
    errors = predict_probabilities(inputs, weights) - labels
    with_ones = np.column_stack([inputs, np.ones(len(inputs))])
    return TrainingState(weights, loss, with_ones.T @ errors / len(inputs))
