"""Tests of `xrai.explain.occlusion`, above all on networks of which it is known where they look."""

import copy
import json
import warnings

import numpy as np
import pytest
import torch
from pytorch_grad_cam.metrics.road import NoisyLinearImputer
from scipy.stats import spearmanr

from benchmarks.faithfulness import (
    OCCLUDED_PERCENTS,
    compute_occlusion_curves,
    measure_faithfulness,
    run_randomisation_check,
)
from xrai.explain.cam import compute_cams
from xrai.explain.occlusion import (
    FRAME_SHARE,
    MAX_OUTSIDE_BODY_SHARE,
    MIN_PEAK_HEAT,
    inpaint,
    occlude,
    outside_body_share,
    segment_body,
)
from xrai.networks.build import Network, build_network
from xrai.scans.phantoms import draw_thorax
from xrai.scans.preprocessing import Preprocessing
from xrai.training.config import TrainConfig

SIDE = 64
STEPS = Preprocessing(SIDE, SIDE, 0.4, 0.25)


class Watching(torch.nn.Module):
    """Feature maps that see the square at rows and columns 16 to 32 alone."""

    def __init__(self):
        super().__init__()
        self.halvings = torch.nn.Sequential(*[torch.nn.AvgPool2d(2) for _ in range(3)])
        window = torch.zeros(1, 1, SIDE, SIDE)
        window[..., 16:32, 16:32] = 1
        self.register_buffer("window", window)

    def forward(self, scans):
        return self.halvings((scans + 2).clamp_min(0) * self.window)  # (N, 1, 8, 8)


@pytest.fixture
def watcher():
    """A network that says class 1 when its square is bright, and looks nowhere else."""
    network = Network(Watching(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Linear(1, 2), 0.0)
    with torch.no_grad():
        network.head.weight.copy_(torch.tensor([[-20.0], [20.0]]))
        network.head.bias.copy_(torch.tensor([3.0, -3.0]))
    return network.eval()


def spotted(n, seed=0):
    """Grey noise, bright in the watched square: float (n, 1, 64, 64)."""
    inputs = torch.randn(n, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)) * 0.2 - 1
    inputs[..., 16:32, 16:32] += 2.5
    return inputs


def map_with(row, column):
    evidence = np.zeros((8, 8), np.float32)
    evidence[row : row + 2, column : column + 2] = 5
    return evidence


def random_maps(n):
    return np.random.default_rng(0).normal(size=(n, 8, 8))


def thoraxes(n, seed=0, *, opacity=True):
    return np.stack([draw_thorax(np.random.default_rng([seed, i]), opacity=opacity, size=SIDE) for i in range(n)])


def blob(side, row, column, reach=6):
    y, x = np.mgrid[:side, :side]
    return np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * reach**2)).astype(np.float32)


# --- curves ---


def test_a_map_of_what_the_network_uses_beats_random_maps_and_one_of_another_place(watcher):
    inputs, n = spotted(6), 6
    _, maps = compute_cams(watcher, inputs, [1] * n, "CAM")
    faithful = compute_occlusion_curves(watcher, inputs, maps, [1] * n).scores
    chance = compute_occlusion_curves(watcher, inputs, random_maps(n), [1] * n).scores
    elsewhere = compute_occlusion_curves(watcher, inputs, np.stack([map_with(5, 5)] * n), [1] * n).scores
    assert (faithful["road"] > 0.2).all()
    assert abs(chance["road"].mean()) < 0.15
    assert elsewhere["road"].mean() < 0.05
    assert faithful["deletion"].mean() < min(chance["deletion"].mean(), elsewhere["deletion"].mean()) - 0.2
    assert faithful["insertion"].mean() > max(chance["insertion"].mean(), elsewhere["insertion"].mean()) + 0.05


def test_a_map_turned_round_is_as_bad_as_the_map_is_good(watcher):
    inputs = spotted(3)
    _, maps = compute_cams(watcher, inputs, [1] * 3, "CAM")
    maps += np.random.default_rng(0).normal(0, 1e-3, maps.shape).astype(np.float32)  # no ties
    right, wrong = (compute_occlusion_curves(watcher, inputs, sign * maps, [1] * 3).scores["road"] for sign in (1, -1))
    np.testing.assert_allclose(right, -wrong, atol=1e-5)
    assert (right > 0.2).all()


def test_a_network_that_does_not_look_has_no_faithful_map(watcher):
    torch.nn.init.zeros_(watcher.head.weight)
    scores = compute_occlusion_curves(watcher, spotted(2), random_maps(2), [0, 0]).scores
    assert np.abs(scores["road"]).max() < 1e-6
    assert scores["deletion"] == pytest.approx(1 / (1 + np.exp(-6.0)))


def test_curves_are_of_the_class_that_each_map_is_for(watcher):
    inputs = spotted(1).repeat(2, 1, 1, 1)
    both = compute_occlusion_curves(watcher, inputs, np.stack([map_with(2, 2)] * 2), [0, 1])
    for values in (both.hot_hidden, both.cold_hidden, both.hot_shown):
        assert values.shape == (2, len(OCCLUDED_PERCENTS))
        np.testing.assert_allclose(values.sum(axis=0), 1, atol=1e-5)


# --- filling in ---


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_filling_in_is_roads_linear_imputation(share):
    greys = thoraxes(1)[0].astype(np.float32) / 255
    rough = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 1, 5, 5)))
    heat = torch.nn.functional.interpolate(rough, (SIDE, SIDE), mode="bicubic")[0, 0].numpy()
    mask = heat > np.quantile(heat, 1 - share)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # grad-cam calls numpy on torch's tensors
        solved = NoisyLinearImputer(noise=0)(torch.from_numpy(greys)[None], torch.from_numpy(~mask).float())
    exact = solved[0].numpy()
    found = inpaint(greys, mask)
    assert np.abs(found - exact)[mask].mean() < 0.015
    assert (found[~mask] == greys[~mask]).all()
    assert np.abs(exact - greys)[mask].mean() > 0.03  # there was something to fill in


def test_a_hole_in_a_slope_is_filled_with_the_slope():
    slope = np.tile(np.linspace(0, 1, 48, dtype=np.float32), (48, 1))
    mask = np.zeros((48, 48), bool)
    mask[14:30, 12:33] = True
    assert np.abs(inpaint(np.where(mask, 9, slope).astype(np.float32), mask) - slope).max() < 0.03


@pytest.mark.parametrize("value", [False, True])
def test_nothing_to_fill_in_or_nothing_to_fill_with(value):
    greys = np.random.default_rng(0).random((20, 30), np.float32)
    assert (inpaint(greys, np.full((20, 30), value)) == greys).all()


# --- hide and read again ---


def test_hiding_the_hot_area_hides_it_and_nothing_else():
    pixels = np.full((100, 120), 90, np.uint8)
    pixels[30:50, 40:60] = 240
    changed, mask = occlude(pixels, blob(120, 40, 50, 12)[:100])
    assert mask[30:50, 40:60].all()
    assert mask.mean() == pytest.approx(0.15, abs=0.01)
    assert (changed[~mask] == pixels[~mask]).all()
    assert abs(changed[mask].astype(float).mean() - 90) < 3
    assert 0.5 < changed[mask].std() < 6  # grain, as films have
    assert changed.dtype == np.uint8


def test_hiding_twice_gives_the_same():
    pixels, heat = thoraxes(1)[0], blob(SIDE, 30, 20)
    first, second = occlude(pixels, heat), occlude(pixels, heat)
    assert all((a == b).all() for a, b in zip(first, second, strict=True))


def test_no_heat_hides_nothing():
    pixels = thoraxes(1)[0]
    changed, mask = occlude(pixels, np.zeros((SIDE, SIDE), np.float32))
    assert not mask.any()
    assert (changed == pixels).all()


def test_little_heat_hides_no_more_than_there_is():
    heat = np.zeros((SIDE, SIDE), np.float32)
    heat[10:14, 10:14] = 0.5
    assert (occlude(thoraxes(1)[0], heat)[1] == (heat > 0)).all()


def test_of_an_area_in_full_colour_the_middle_is_hidden():
    """Full colour is where the map reaches its anchor: all equally hot, and more than may be hidden."""
    heat = np.zeros((SIDE, SIDE), np.float32)
    heat[8:48, 8:48] = 1
    _, mask = occlude(thoraxes(1)[0], heat, 0.1)
    assert mask.sum() == round(0.1 * SIDE * SIDE)
    assert mask[26:30, 26:30].all()
    assert not mask[8:14].any()


def test_hiding_what_the_network_uses_changes_its_mind(watcher):
    pixels = np.full((SIDE, SIDE), 60, np.uint8)
    pixels[16:32, 16:32] = 230
    read = [
        float(watcher(STEPS(film)).softmax(dim=1)[0, 1].detach())
        for film in (pixels, occlude(pixels, blob(SIDE, 24, 24))[0], occlude(pixels, blob(SIDE, 50, 50))[0])
    ]
    assert read[0] > 0.9
    assert read[1] < read[0] - 0.3
    assert read[2] == pytest.approx(read[0], abs=0.02)


# --- heat beside the body ---


def test_lungs_are_body_and_the_air_around_and_letters_in_it_are_not():
    pixels = np.zeros((200, 200), np.uint8)
    pixels[40:, 40:160] = 120
    pixels[80:150, 55:90] = pixels[80:150, 110:145] = 5  # lungs as dark as the air outside
    pixels[10:25, 10:25] = 255  # a letter
    found = segment_body(pixels)
    assert found[80:150, 55:145].all()
    assert not found[:30].any()
    assert not found[:, :30].any()
    assert found[60:195, 45:155].all()


@pytest.mark.parametrize(("grey", "share"), [(0, 0), (200, 1)])
def test_body_of_an_empty_and_of_a_full_picture(grey, share):
    assert segment_body(np.full((50, 60), grey, np.uint8)).mean() == share


def test_heat_within_the_chest_is_not_astray_and_heat_in_a_corner_is():
    pixels = np.full((100, 100), 120, np.uint8)
    assert outside_body_share(blob(100, 50, 40), pixels) < 0.001
    assert outside_body_share(blob(100, 3, 97, 2), pixels) > 0.99
    both = blob(100, 50, 50, 4) + blob(100, 50, 5, 1)
    assert outside_body_share(both, pixels) == pytest.approx(1 / 17, abs=0.01)
    assert outside_body_share(np.zeros((100, 100), np.float32), pixels) == 0


def test_the_faint_remains_of_a_map_are_not_judged():
    """A normal film's map for a disease is dark but for some faint places, which may lie anywhere."""
    pixels = np.full((100, 100), 120, np.uint8)
    assert outside_body_share((MIN_PEAK_HEAT - 0.01) * blob(100, 3, 97, 2), pixels) == 0
    assert outside_body_share((MIN_PEAK_HEAT + 0.05) * blob(100, 3, 97, 2), pixels) > 0.99


def test_where_heat_lies_does_not_depend_on_the_films_size():
    pixels, heat = thoraxes(1)[0], blob(SIDE, 30, 8, 10)
    larger = [np.kron(values, np.ones((9, 9), values.dtype)) for values in (heat, pixels)]
    assert 0.1 < outside_body_share(heat, pixels) < 0.9
    assert outside_body_share(*larger) == pytest.approx(outside_body_share(heat, pixels), abs=0.03)


def test_heat_beside_the_body_is_astray():
    pixels = np.zeros((100, 100), np.uint8)
    pixels[:, 40:] = 120
    assert outside_body_share(blob(100, 50, 25, 3), pixels) > 0.99
    assert outside_body_share(blob(100, 50, 60, 3), pixels) < 0.01


def test_heat_everywhere_is_astray_as_far_as_the_frame_reaches():
    pixels = np.full((100, 100), 120, np.uint8)
    assert outside_body_share(np.ones((100, 100)), pixels) == pytest.approx(1 - (1 - 2 * FRAME_SHARE) ** 2, abs=0.01)
    assert outside_body_share(np.ones((100, 100)), pixels) < MAX_OUTSIDE_BODY_SHARE


def trained_on(pixels, labels):
    torch.manual_seed(0)
    network = build_network(TrainConfig(network="convnet", image_size=SIDE, filters=8, blocks=3), 2)
    inputs, wanted = torch.cat([STEPS(film) for film in pixels]), torch.tensor(labels)
    learn = torch.optim.Adam(network.parameters(), 2e-3)
    for _ in range(25):
        learn.zero_grad()
        torch.nn.functional.cross_entropy(network(inputs), wanted).backward()
        learn.step()
    network.eval()
    assert (network(inputs).argmax(dim=1) == wanted).float().mean() > 0.9
    return network


def test_a_network_that_learned_a_mark_in_the_corner_raises_the_alarm():
    """A planted shortcut: every film with opacities, and no other, has a bright mark."""
    films = np.concatenate([thoraxes(24, 1, opacity=False), thoraxes(24, 2, opacity=False)])
    films[24:, 3:9, 3:9] = 255
    network = trained_on(films, [0] * 24 + [1] * 24)
    marked = torch.cat([STEPS(film) for film in films[24:]])
    _, maps = compute_cams(network, marked, [1] * 24, "HiResCAM")
    heats = torch.nn.functional.interpolate(torch.from_numpy(maps)[:, None], (SIDE, SIDE), mode="bicubic")[:, 0]
    drawn = (heats / heats.amax(dim=(1, 2), keepdim=True)).clamp(0, 1).numpy()
    shares = [outside_body_share(heat, film) for heat, film in zip(drawn, films[24:], strict=True)]
    assert np.mean(np.array(shares) > MAX_OUTSIDE_BODY_SHARE) > 0.8


# --- other weights ---


def test_maps_change_with_the_weights():
    torch.manual_seed(0)
    network = build_network(TrainConfig(network="resnet18", image_size=SIDE), 2).eval()
    before = copy.deepcopy(network.state_dict())
    inputs = torch.cat([STEPS(film) for film in thoraxes(6)])
    found = run_randomisation_check(network, inputs, [1] * 6, "Fused CAM")
    assert set(found) == {"head", "half", "all"}
    for values in found.values():
        assert values.shape == (6,)
        assert np.abs(values).max() <= 1
        assert abs(values.mean()) < 0.8
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_weights_that_are_all_the_same_can_be_shuffled_without_change(watcher):
    """The one weight a class of this head is told apart by its sign alone."""
    torch.nn.init.constant_(watcher.head.weight, 1.0)
    with torch.no_grad():
        watcher.head.weight[0] = 1.0
    found = run_randomisation_check(watcher, spotted(2), [1, 1], "CAM")
    assert all((values == 0).all() for values in found.values())  # flat maps are like nothing


def test_likeness_is_spearmans():
    from benchmarks.faithfulness import _rank_correlation

    a, b = np.random.default_rng(0).normal(size=(2, 5, 4, 4))
    b[1:] += 2 * a[1:]
    expected = [spearmanr(x.ravel(), y.ravel()).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(_rank_correlation(a, b), expected)
    assert (_rank_correlation(a, np.ones_like(a)) == 0).all()


# --- all together ---


def test_the_whole_measurement_can_be_kept_in_a_card(watcher):
    pixels = np.full((5, SIDE, SIDE), 60, np.uint8)
    pixels += np.random.default_rng(0).integers(0, 20, pixels.shape, np.uint8)
    pixels[:, 16:32, 16:32] = 230
    found = measure_faithfulness(watcher, STEPS, pixels, methods=["CAM"])
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["n"] == 5
    assert found["per_cent"] == list(OCCLUDED_PERCENTS)
    assert set(found["maps"]) == {"CAM", "Random", "Centre", "Another scan"}
    own = found["maps"]["CAM"]
    for name in ("road", "deletion", "insertion", "stray_share", "over_random", "over_centre", "over_another"):
        mean, low, high = own[name]
        assert low <= mean <= high
    assert own["over_random"][1] > 0  # the watcher's own map is better than chance, beyond doubt
    assert own["over_random"][0] == pytest.approx(own["road"][0] - found["maps"]["Random"]["road"][0], abs=2e-4)
    assert own["stray_share"][0] < MAX_OUTSIDE_BODY_SHARE
    assert set(own["curves"]) == {"hot_hidden", "cold_hidden", "hot_shown"}
    assert own["curves"]["hot_hidden"][-1] < own["curves"]["cold_hidden"][-1]
    assert set(found["other_weights"]["CAM"]) == {"head", "half", "all"}


def test_grad_cam_is_measured_only_where_it_is_a_map_of_its_own():
    torch.manual_seed(0)
    films = thoraxes(2)
    for name, methods in {"mobilenet_v3_small": {"Fused CAM", "CAM"}, "convnet": {"HiResCAM", "Grad-CAM"}}.items():
        network = build_network(TrainConfig(network=name, image_size=SIDE, filters=4, blocks=3), 2).eval()
        assert set(measure_faithfulness(network, STEPS, films)["other_weights"]) == methods
