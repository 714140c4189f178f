from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from xrai.explain.cam import (
    MIN_REFERENCE_SCALE,
    _dilate,
    _flatten_modules,
    _last_downsampling,
    available_methods,
    compute_cams,
    fit_reference_scales,
    scale_cam,
)
from xrai.networks.build import Network, build_network
from xrai.training.config import TrainConfig

POOLED = ("resnet18", "resnet18_half", "mobilenet_v3_small", "efficientnet_b0", "densenet121")
SQUEEZING = ("mobilenet_v3_small", "efficientnet_b0")


def network_of(name, n_classes=2, image_size=64, seed=0):
    torch.manual_seed(seed)
    network = build_network(TrainConfig(network=name, image_size=image_size, filters=4, blocks=3), n_classes)
    torch.nn.init.normal_((network.head if name != "convnet" else network.head[-1]).bias)
    return network.eval()


def scans(n, seed=0):
    return torch.randn(n, 1, 64, 64, generator=torch.Generator().manual_seed(seed))


def against_rest(values, label):
    others = [i for i in range(len(values)) if i != label]
    return values[label] - values[others].mean()


def hooks_on(network):
    return sum(len(module._forward_hooks) + len(module._backward_hooks) for module in network.modules())


@pytest.mark.parametrize("name", POOLED)
def test_methods_for_pooled_networks(name):
    assert available_methods(network_of(name)) == ("Fused CAM", "CAM", "Grad-CAM")


def test_methods_for_a_network_with_hidden_dense_layers():
    assert available_methods(network_of("convnet")) == ("HiResCAM", "Grad-CAM")


@pytest.mark.parametrize("n_classes", [2, 3])
def test_mean_of_a_cam_is_the_logit_difference_without_the_bias(n_classes):
    network = network_of("resnet18", n_classes)
    for label in range(n_classes):
        logits, maps = compute_cams(network, scans(3), [label] * 3, "CAM")
        assert maps.shape == (3, 2, 2)
        for row, found in zip(logits, maps, strict=True):
            expected = against_rest(row, label) - against_rest(network.head.bias.detach(), label)
            assert found.mean() == pytest.approx(float(expected), abs=1e-4)


def test_mean_of_a_hirescam_is_the_answer_where_dense_layers_follow():
    """Draelos & Carin 2020: exact up to biases, which are set to nothing here."""
    network = network_of("convnet")
    for name, parameter in network.head.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.zeros_(parameter)
    logits, maps = compute_cams(network, scans(3), [1] * 3, "HiResCAM")
    for row, found in zip(logits, maps, strict=True):
        assert found.mean() == pytest.approx(float(against_rest(row, 1)), rel=1e-3, abs=1e-5)
    assert np.abs(maps).max() > 0


@pytest.mark.parametrize("name", POOLED)
def test_cam_and_grad_cam_are_the_same_map_where_a_network_pools(name):
    network = network_of(name, 3)
    logits, by_weights = compute_cams(network, scans(2), [0, 2], "CAM")
    others, by_gradients = compute_cams(network, scans(2), [0, 2], "Grad-CAM")
    assert torch.allclose(logits, others, atol=1e-5)
    assert np.abs(by_weights).max() > 0
    np.testing.assert_allclose(by_weights, by_gradients, rtol=1e-3, atol=1e-4 * np.abs(by_weights).max())


@pytest.mark.parametrize("name", [*POOLED, "resnet50"])
def test_of_maps_made_finer_every_second_place_is_as_it_was(name):
    """One step of the features, the last that halves, and all after it."""
    network = network_of(name)
    steps = _flatten_modules(network.features)
    split = _last_downsampling(steps)
    assert 0 < split < len(steps)
    with torch.inference_mode():
        seen = torch.nn.Sequential(*steps[:split])(scans(1))
        plain, fine = network.features(scans(1)), _dilate(torch.nn.Sequential(*steps[split:]))(seen)
        again = network.features(scans(1))
    assert fine.shape[-1] >= 2 * plain.shape[-1] - 1
    # squeeze-and-excitation averages over all places, so the new ones move the old ones
    reach = float(plain.abs().max()) * (0.3 if name in SQUEEZING else 1e-5)
    assert (fine[..., ::2, ::2] - plain).abs().max() <= reach
    assert fine[..., 1::2, 1::2].abs().max() > 0
    assert torch.equal(plain, again)  # the network itself was left as it is


@pytest.mark.parametrize("name", [*POOLED, "resnet50"])
def test_fused_maps_are_four_times_as_fine(name):
    network = network_of(name)
    _, maps = compute_cams(network, scans(1), [1], "CAM")
    _, fused = compute_cams(network, scans(1), [1], "Fused CAM")
    assert fused.shape == (1, 4 * maps.shape[1], 4 * maps.shape[2])
    assert fused.dtype == np.float32
    assert np.isfinite(fused).all()


def adding(halvings):
    """A network of convolutions that only add up what is bright, and call it class 1."""
    steps = []
    for _ in range(halvings):
        convolution = torch.nn.Conv2d(1, 1, 3, stride=2, padding=1)
        torch.nn.init.constant_(convolution.weight, 1 / 9)
        torch.nn.init.zeros_(convolution.bias)
        steps += [convolution, torch.nn.ReLU()]
    network = Network(torch.nn.Sequential(*steps), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Linear(1, 2), 0.0)
    with torch.no_grad():
        network.head.weight.copy_(torch.tensor([[-1.0], [1.0]]))
    return network.eval()


@pytest.mark.parametrize(("row", "column"), [(20, 44), (31, 31), (44, 20), (40, 40)])
def test_a_fused_map_is_hottest_where_the_scan_is_bright(row, column):
    scan = torch.zeros(1, 1, 64, 64)
    scan[..., row - 1 : row + 2, column - 1 : column + 2] = 3
    _, maps = compute_cams(adding(4), scan, [1], "Fused CAM")
    drawn = scale_cam(maps[0], float(maps.max()), (64, 64))
    middle = (drawn * np.indices((64, 64))).sum(axis=(1, 2)) / drawn.sum()
    np.testing.assert_allclose(middle, (row, column), atol=3)  # of CAM's places, 16 wide


def test_a_fused_map_shows_what_both_stages_see_as_their_geometric_mean():
    """Of a network without edges both stages find the same evidence: as much as CAM does."""
    scan = torch.full((1, 1, 128, 128), 2.0)
    _, maps = compute_cams(adding(3), scan, [1], "Fused CAM")
    _, cam = compute_cams(adding(3), scan, [1], "CAM")
    assert maps[0, 20:44, 20:44].mean() == pytest.approx(float(cam[0, 8, 8]), rel=0.05)


def test_evidence_that_two_stages_contradict_is_not_shown():
    network = adding(2)
    with torch.no_grad():
        network.features[0].weight.neg_()
        network.features[0].bias.fill_(4.0)  # dark is evidence, and the first stage's own brightness speaks against
        network.features[2].weight.neg_()
        network.features[2].bias.fill_(8.0)
    _, maps = compute_cams(network, scans(1).abs(), [1], "Fused CAM")
    assert (maps == 0).any()


def test_networks_that_never_halve_their_maps_keep_to_cam():
    features = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 6, 3))
    for one in (features, torch.nn.Conv2d(1, 6, 3, stride=2)):
        network = Network(one, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Linear(6, 2), 0.0).eval()
        assert available_methods(network) == ("CAM", "Grad-CAM")


@pytest.mark.parametrize("method", ["Fused CAM", "CAM", "Grad-CAM"])
def test_logits_are_those_of_a_plain_reading(method):
    network = network_of("resnet18", 3)
    with torch.inference_mode():
        plain = network(scans(2))
    logits, _ = compute_cams(network, scans(2), [1, 1], method)
    assert torch.allclose(logits, plain, atol=1e-5)
    assert not logits.requires_grad


@pytest.mark.parametrize("method", ["Fused CAM", "CAM", "Grad-CAM"])
def test_of_two_classes_one_map_is_the_other_turned_round(method):
    network = network_of("resnet18")
    _, maps = compute_cams(network, scans(1).repeat(2, 1, 1, 1), [0, 1], method)
    np.testing.assert_allclose(maps[0], -maps[1], atol=1e-5)


def test_of_three_classes_the_maps_sum_to_nothing():
    network = network_of("resnet18", 3)
    _, maps = compute_cams(network, scans(1).repeat(3, 1, 1, 1), [0, 1, 2], "CAM")
    np.testing.assert_allclose(maps.sum(axis=0), 0, atol=1e-4)
    assert np.abs(maps).max() > 1e-3


def test_grad_cam_of_a_convnet_is_the_gradient_of_the_class_times_the_maps():
    network = network_of("convnet", 3)
    inputs = scans(2)
    _, maps = compute_cams(network, inputs, [0, 2], "Grad-CAM")
    assert maps.shape == (2, 8, 8)
    for i, label in enumerate([0, 2]):
        features = network.features(inputs[i : i + 1]).detach().requires_grad_()
        against_rest(network.head(network.pool(features).flatten(1))[0], label).backward()
        weights = features.grad.sum(dim=(2, 3), keepdim=True)
        expected = (weights * features).sum(dim=1)[0].detach().numpy()
        np.testing.assert_allclose(maps[i], expected, rtol=1e-3, atol=1e-5)


def test_evidence_lies_where_it_was_put():
    """A network that answers to brightness alone must point at the bright quarter."""
    network = network_of("convnet")
    for parameter in network.parameters():
        torch.nn.init.constant_(parameter, 0.1)
    with torch.no_grad():
        network.head[-1].weight.copy_(torch.tensor([[-1.0], [1.0]]).expand(2, network.head[-1].in_features))
    scan = torch.zeros(1, 1, 64, 64)
    scan[..., 40:56, 40:56] = 3
    _, maps = compute_cams(network, scan, [1], "Grad-CAM")
    row, column = np.unravel_index(maps[0].argmax(), maps[0].shape)
    assert (row, column) in {(5, 5), (5, 6), (6, 5), (6, 6)}


@pytest.mark.parametrize("method", ["Fused CAM", "CAM", "Grad-CAM"])
def test_network_is_left_as_it_was(method):
    network = network_of("resnet18")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    compute_cams(network, scans(2), [0, 1], method)
    assert hooks_on(network) == 0
    assert not network.training
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_hooks_are_removed_when_a_call_fails():
    network = network_of("resnet18")
    with pytest.raises(RuntimeError):
        compute_cams(network, torch.zeros(1, 3, 64, 64), [0], "CAM")
    assert hooks_on(network) == 0
    compute_cams(network, scans(1), [0], "CAM")


@pytest.mark.parametrize("method", ["Fused CAM", "CAM", "Grad-CAM"])
def test_four_threads_on_one_network_get_their_own_maps(method):
    """grad-cam itself swaps the maps of concurrent calls without a word (NOTES)."""
    network = network_of("resnet18", 3)
    inputs = [scans(1, seed) for seed in range(16)]

    def read(number):
        return compute_cams(network, inputs[number], [number % 3], method)

    alone = [read(number) for number in range(16)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(read, range(16)))
    for (logits, maps), (expected_logits, expected_maps) in zip(together, alone, strict=True):
        assert torch.allclose(logits, expected_logits, atol=1e-5)
        np.testing.assert_allclose(maps, expected_maps, atol=1e-4)
    assert np.abs(alone[0][1] - alone[3][1]).max() > 1e-2  # swapped maps would be seen


def test_gradients_are_found_where_the_caller_wants_none():
    with torch.no_grad():
        _, maps = compute_cams(network_of("convnet"), scans(1), [1], "Grad-CAM")
    assert np.abs(maps).max() > 0


@pytest.mark.parametrize(
    ("name", "methods"), [("resnet18", {"Fused CAM", "CAM", "Grad-CAM"}), ("convnet", {"HiResCAM", "Grad-CAM"})]
)
def test_anchors_are_positive_and_there_for_every_class(name, methods):
    found = fit_reference_scales(
        network_of(name, 3), lambda rows: scans(len(rows), int(rows[0])), np.arange(20), 3, batch_size=8
    )
    assert set(found) == methods
    for values in found.values():
        assert set(values) == {0, 1, 2}
        assert all(value >= MIN_REFERENCE_SCALE for value in values.values())


def test_anchor_is_what_95_of_100_peaks_stay_below():
    network = network_of("mobilenet_v3_small")
    with torch.no_grad():
        network.head.weight.mul_(5 / np.abs(compute_cams(network, scans(1), [0], "CAM")[1]).max())
    rows = np.arange(30)
    found = fit_reference_scales(
        network, lambda rows: torch.cat([scans(1, int(row)) for row in rows]), rows, 2, batch_size=7
    )["CAM"]
    peaks = {0: [], 1: []}
    for row in rows:
        with torch.inference_mode():
            called = int(network(scans(1, int(row))).argmax())
        peaks[called].append(compute_cams(network, scans(1, int(row)), [called], "CAM")[1].max())
    for label, values in peaks.items():
        if values:
            assert MIN_REFERENCE_SCALE < np.percentile(values, 95) < max(values)
            assert found[label] == pytest.approx(max(np.percentile(values, 95), MIN_REFERENCE_SCALE), rel=1e-3)


def test_anchor_of_a_network_that_sees_nothing_is_not_nothing():
    """Rounded to no evidence at all, it once made every map glow."""
    network = network_of("resnet18")
    torch.nn.init.zeros_(network.head.weight)
    found = fit_reference_scales(network, lambda rows: scans(len(rows)), np.arange(4), 2)
    assert found == {
        method: {0: MIN_REFERENCE_SCALE, 1: MIN_REFERENCE_SCALE} for method in ("Fused CAM", "CAM", "Grad-CAM")
    }
    _, maps = compute_cams(network, scans(1), [1], "CAM")
    assert scale_cam(maps[0], found["CAM"][1], (64, 64)).max() == 0


def test_intensity_has_the_scans_shape_and_stays_in_its_range():
    evidence = np.random.default_rng(0).normal(0, 3, (4, 5)).astype(np.float32)
    drawn = scale_cam(evidence, 2.0, (70, 91))
    assert drawn.shape == (70, 91)
    assert drawn.dtype == np.float32
    assert drawn.min() == 0
    assert drawn.max() == 1


def test_full_colour_is_the_anchor():
    flat = np.full((4, 4), 1.5, np.float32)
    assert scale_cam(flat, 3.0, (32, 32)) == pytest.approx(0.5)
    assert scale_cam(flat, 1.0, (32, 32)) == pytest.approx(1.0)


def test_a_map_without_evidence_stays_dark():
    """A cubic curve through evidence against swings above nothing: it must not be seen."""
    for seed in range(20):
        against = -np.abs(np.random.default_rng(seed).normal(0, 5, (5, 5))).astype(np.float32)
        against[2, 2] = 0
        assert scale_cam(against, 0.1, (64, 64)).max() == 0
        wider = np.zeros((5, 12), np.float32)
        wider[:, :5], wider[2, 11] = against, 3  # also where there is evidence elsewhere
        assert scale_cam(wider, 0.1, (60, 144))[:, :84].max() == 0


def test_evidence_is_not_drawn_stronger_than_it_is():
    evidence = np.full((6, 6), -4, np.float32)
    evidence[2:4, 2:4] = 1
    assert scale_cam(evidence, 2.0, (60, 60)).max() == pytest.approx(0.5)


def test_places_far_from_evidence_stay_dark():
    evidence = np.zeros((8, 8), np.float32)
    evidence[1, 1] = 5
    drawn = scale_cam(evidence, 5.0, (80, 80))
    assert drawn[10:20, 10:20].max() > 0.9
    assert drawn[40:].max() == drawn[:, 40:].max() == 0
