"""Tests of `xrai.explain.feature_maps`: maps as the modules give them, and the sum that a class activation map is."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
import torch

from xrai.explain.cam import compute_cams
from xrai.explain.feature_maps import (
    compute_feature_maps,
    decompose_cam,
    get_first_filters,
    layer_ranges,
    rank_by_strength,
)
from xrai.networks.build import build_network
from xrai.networks.config import NETWORKS
from xrai.networks.summary import group_stages, list_layers
from xrai.training.config import TrainConfig

POOLED = ("resnet18", "mobilenet_v3_small", "efficientnet_b0", "densenet121")
SMALL = {"image_size": 32, "filters": 4, "blocks": 2, "dense_units": 8}
TOLERANCE = {"rtol": 2e-3, "atol": 2e-3}  # of half precision


@cache
def made(name, n_classes=3, **options):
    torch.manual_seed(0)
    config = TrainConfig(network=name, **{**SMALL, **options})
    network = build_network(config, n_classes)
    last = network.head if isinstance(network.head, torch.nn.Linear) else network.head[-1]
    torch.nn.init.normal_(last.bias)
    return network.eval(), list_layers(config, n_classes)


def scan(seed=0, side=32):
    return torch.randn(1, 1, side, side, generator=torch.Generator().manual_seed(seed))


def hooks_on(network):
    return sum(len(module._forward_hooks) + len(module._backward_hooks) for module in network.modules())


class TestFeatureMaps:
    @pytest.mark.parametrize("name", NETWORKS)
    def test_every_layer_of_every_network_has_the_shape_that_the_blueprint_says(self, name):
        network, listed = made(name)
        found = compute_feature_maps(network, scan(), listed)
        assert sorted(found) == list(range(len(listed)))
        assert all(found[i].shape == layer.shape for i, layer in enumerate(listed))
        assert all(values.dtype == np.float16 and np.isfinite(values).all() for values in found.values())
        assert hooks_on(network) == 0

    def test_of_a_convnet_they_are_those_of_its_modules_run_by_hand(self):
        network, listed = made("convnet", dropout=0.0)
        by_hand = [scan()]
        with torch.inference_mode():
            for module in (*(module for block in network.features for module in block), torch.nn.Flatten()):
                by_hand.append(module(by_hand[-1]))
            for module in (network.head[0], network.head[1], network.head[3]):
                by_hand.append(module(by_hand[-1]))
        found = compute_feature_maps(network, scan(), listed)
        assert len(by_hand) == len(listed)
        for number, expected in enumerate(by_hand):
            np.testing.assert_allclose(found[number], expected[0], **TOLERANCE)

    def test_of_a_resnet_they_are_those_before_a_block_adds_in_place(self):
        network, listed = made("resnet18")
        found = compute_feature_maps(network, scan(), listed)
        names = [layer.name for layer in listed]
        features = network.features
        with torch.inference_mode():
            stem = features.maxpool(features.relu(features.bn1(features.conv1(scan()))))
            block = features.layer1[0]
            inner = block.bn2(block.conv2(torch.relu(block.bn1(block.conv1(stem)))))
            out = torch.relu(inner + stem)
        first, last = names.index("features.layer1.0.bn2"), names.index("features.layer1.1.conv1") - 1
        np.testing.assert_allclose(found[first], inner[0], **TOLERANCE)
        np.testing.assert_allclose(found[last], out[0], **TOLERANCE)

    @pytest.mark.parametrize("name", NETWORKS)
    def test_the_last_is_the_answer(self, name):
        network, listed = made(name)
        with torch.inference_mode():
            expected = network(scan())[0]
        np.testing.assert_allclose(
            compute_feature_maps(network, scan(), listed)[len(listed) - 1], expected, **TOLERANCE
        )

    def test_only_those_that_are_wanted_are_kept(self):
        network, listed = made("convnet")
        whole = compute_feature_maps(network, scan(), listed)
        some = compute_feature_maps(network, scan(), listed, range(2, 4))
        assert sorted(some) == [2, 3]
        assert all(np.array_equal(some[number], whole[number]) for number in some)

    def test_two_readers_at_once_get_their_own(self):
        network, listed = made("resnet18")
        alone = [compute_feature_maps(network, scan(seed), listed)[5] for seed in range(4)]

        def look(number):
            compute_cams(network, scan(9), [0], "Grad-CAM")
            return compute_feature_maps(network, scan(number % 4), listed)[5]

        with ThreadPoolExecutor(4) as pool:
            for number, values in enumerate(pool.map(look, range(16))):
                np.testing.assert_array_equal(values, alone[number % 4])
        assert hooks_on(network) == 0

    def test_hooks_go_when_the_pass_fails(self):
        network, listed = made("convnet")
        with pytest.raises(RuntimeError):
            compute_feature_maps(network, scan(side=20), listed)
        assert hooks_on(network) == 0

    def test_values_beyond_half_precision_stay_finite(self):
        network, listed = made("convnet")
        assert np.isfinite(compute_feature_maps(network, scan() * 1e9, listed)[1]).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_parts_are_the_layers_of_each_stage(name):
    _, listed = made(name)
    named = group_stages(listed)
    found = layer_ranges(named)
    assert [number for part in found for number in part] == list(range(len(listed)))
    assert [listed[part[-1]].shape for part in found] == [stage.shape for stage in named]


def test_parts_where_many_dense_layers_are_one_stage():
    _, listed = made("convnet", image_size=128, blocks=6, dense_layers=4)
    named = group_stages(listed)
    found = layer_ranges(named)
    assert max(stage.n_layers for stage in named) > 4
    assert [number for part in found for number in part] == list(range(len(listed)))


@pytest.mark.parametrize("name", NETWORKS)
def test_first_filters_are_the_weights_that_see_the_scan(name):
    network, listed = made(name)
    filters = get_first_filters(network)
    assert len(filters) == listed[1].shape[0]
    stem = network.get_submodule(listed[1].name)
    expected = torch.nn.functional.conv2d(
        scan(), torch.from_numpy(filters)[:, None], stem.bias, stride=stem.stride, padding=stem.padding
    )
    np.testing.assert_allclose(compute_feature_maps(network, scan(), listed)[1], expected[0].detach(), **TOLERANCE)


def test_the_strongest_map_comes_first():
    maps = np.stack([np.full((2, 2), 0.5), np.array([[-3, 1], [0, 0]]), np.zeros((2, 2))]).astype(np.float16)
    assert rank_by_strength(maps).tolist() == [1, 0, 2]


class TestWeigh:
    @pytest.mark.parametrize("name", POOLED)
    @pytest.mark.parametrize("label", [0, 2])
    def test_mean_of_the_sum_and_bias_are_the_logit(self, name, label):
        network, _ = made(name, image_size=64)
        found = decompose_cam(network, scan(side=64), label)
        with torch.inference_mode():
            logit = float(network(scan(side=64))[0, label])
        everything = len(found.weights)
        assert found.is_exact
        assert found.partial_sum(everything).mean() + found.bias == pytest.approx(logit, abs=1e-4)
        assert found.cumulative_means()[-1] == pytest.approx(logit, abs=1e-4)
        assert found.target == pytest.approx(logit, abs=1e-4)
        assert found.logits[label] == pytest.approx(logit, abs=1e-4)
        assert found.bias == pytest.approx(float(network.head.bias[label].detach()))

    @pytest.mark.parametrize("name", POOLED)
    def test_against_the_others_the_sum_is_the_class_activation_map(self, name):
        network, _ = made(name, image_size=64)
        found = decompose_cam(network, scan(side=64), 1, against_rest=True)
        logits, maps = compute_cams(network, scan(side=64), [1], "CAM")
        np.testing.assert_allclose(found.partial_sum(len(found.weights)), maps[0], rtol=1e-3, atol=1e-5)
        assert found.cumulative_means()[-1] == pytest.approx(float(logits[0, 1] - logits[0, [0, 2]].mean()), abs=1e-4)

    def test_where_dense_layers_follow_it_is_grad_cam_and_not_the_answer(self):
        network, _ = made("convnet")
        found = decompose_cam(network, scan(), 1, against_rest=True)
        _, maps = compute_cams(network, scan(), [1], "Grad-CAM")
        np.testing.assert_allclose(found.partial_sum(len(found.weights)), maps[0], rtol=1e-3, atol=1e-5)
        assert not found.is_exact
        assert found.bias == 0
        assert found.cumulative_means()[-1] != pytest.approx(found.target, abs=1e-3)

    def test_the_first_maps_add_or_take_away_most(self):
        network, _ = made("resnet18", image_size=64)
        found = decompose_cam(network, scan(side=64), 0)
        sizes = np.abs(found.contributions[found.ranking])
        assert (np.diff(sizes) <= 0).all()
        assert not found.partial_sum(0).any()
        np.testing.assert_allclose(
            found.partial_sum(2), sum(found.weights[i] * found.maps[i] for i in found.ranking[:2]), rtol=1e-5
        )
        np.testing.assert_allclose(np.diff(found.cumulative_means()), found.contributions[found.ranking], atol=1e-6)

    def test_leaves_nothing_on_the_network(self):
        network, _ = made("resnet18")
        decompose_cam(network, scan(), 0)
        assert hooks_on(network) == 0
        assert all(parameter.grad is None for parameter in network.parameters())
