"""Tests of `xrai.manual.dense_layer`: activations, the layer and its training against torch."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from xrai.manual import dense_layer as dense

OF_TORCH = {
    "relu": functional.relu,
    "leaky_relu": functional.leaky_relu,
    "silu": functional.silu,
    "hard_swish": functional.hardswish,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}


def test_there_is_a_check_for_each_activation():
    assert OF_TORCH.keys() == dense.ACTIVATIONS.keys()


@pytest.mark.parametrize("name", OF_TORCH)
def test_activations_are_those_of_torch(name):
    values = np.concatenate([np.linspace(-8, 8, 101), [-1e3, 1e3]])
    np.testing.assert_allclose(dense.activate(name, values), OF_TORCH[name](torch.from_numpy(values)), atol=1e-12)


def test_softmax_is_that_of_torch():
    logits = np.array([2.0, -1.0, 1000.0])
    np.testing.assert_allclose(dense.softmax(logits), torch.softmax(torch.from_numpy(logits), 0))


def test_a_step_of_training_is_that_of_torch():
    inputs, labels = dense.make_examples()
    layer = torch.nn.Linear(2, 1).double()
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.3)
    for step in dense.train_layer(inputs, labels, 0.3, 5):
        loss = functional.binary_cross_entropy_with_logits(
            layer(torch.from_numpy(inputs))[:, 0], torch.from_numpy(labels).double()
        )
        optimiser.zero_grad()
        loss.backward()
        assert step.loss == pytest.approx(loss.item())
        np.testing.assert_allclose(step.weights, [*layer.weight[0].tolist(), layer.bias.item()])
        slopes = [item.grad.flatten() for item in layer.parameters() if item.grad is not None]
        np.testing.assert_allclose(step.gradient, torch.cat(slopes))
        optimiser.step()


def test_a_learning_rate_that_fits_one_that_crawls_and_one_that_jumps():
    inputs, labels = dense.make_examples()
    fits, crawls, jumps = (
        [step.loss for step in dense.train_layer(inputs, labels, rate, 40)] for rate in (0.3, 0.003, 30)
    )
    assert fits[-1] < 0.6 * fits[0]
    assert crawls[-1] > 0.9 * crawls[0]
    assert sum(np.diff(jumps) > 0) > 10
    assert sum(np.diff(fits) > 0) == 0


def test_probabilities_of_one_example_and_of_many():
    weights = np.array([1.0, -2.0, 0.5])
    assert dense.predict_probabilities(np.array([2.0, 1.0]), weights) == pytest.approx(1 / (1 + np.exp(-0.5)))
    assert dense.predict_probabilities(np.zeros((4, 5, 2)), weights).shape == (4, 5)
