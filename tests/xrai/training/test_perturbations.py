import numpy as np
import pytest
import torch

from xrai.scans.phantoms import draw_thorax
from xrai.training.perturbations import (
    MASKED_BORDER,
    PERTURBATIONS,
    adjust_brightness,
    blur,
    mask_border,
    rotate,
    scale,
    stretch,
    translate,
)


@pytest.fixture(scope="module")
def greys():
    films = [draw_thorax(np.random.default_rng(seed), opacity=False, size=96) for seed in range(3)]
    return torch.from_numpy(np.stack(films))[:, None].float() / 255


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_every_change_keeps_shape_and_range_and_is_the_same_each_time(name, greys):
    changed = PERTURBATIONS[name](greys)
    assert changed.shape == greys.shape and changed.dtype == greys.dtype
    assert float(changed.min()) >= 0 and float(changed.max()) <= 1
    assert torch.equal(changed, PERTURBATIONS[name](greys))


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_every_change_changes_a_film_a_little(name, greys):
    difference = (PERTURBATIONS[name](greys) - greys).abs().mean()
    assert 0.003 < float(difference) < 0.3
    both = np.corrcoef(PERTURBATIONS[name](greys).ravel(), greys.ravel())[0, 1]
    assert both > 0.4


def test_turning_moves_what_is_above_to_the_left():
    dot = torch.zeros(1, 1, 65, 65)
    dot[..., 12, 32] = 1
    row, column = divmod(int(rotate(dot, 20)[0, 0].argmax()), 65)
    assert column < 28 and row < 20


def test_zooming_in_moves_things_outwards():
    dot = torch.zeros(1, 1, 65, 65)
    dot[..., 16, 32] = 1
    assert int(scale(dot, 1.5)[0, 0].argmax()) // 65 == pytest.approx(32 - 24, abs=1)


@pytest.mark.parametrize(("factor", "place"), [(1.5, (20, 50)), (1 / 1.5, (14, 44))])
def test_stretching_moves_things_outwards_in_one_direction_and_no_air_moves_in(factor, place):
    dot = torch.zeros(1, 1, 65, 65)
    dot[..., 20, 44] = 1
    found = divmod(int(stretch(dot, factor)[0, 0].argmax()), 65)
    assert found == pytest.approx(place, abs=1)
    assert torch.allclose(stretch(torch.ones(1, 1, 64, 64), factor), torch.ones(1))


def test_shifting_moves_right_and_down_by_shares_of_the_sides():
    dot = torch.zeros(1, 1, 50, 50)
    dot[..., 25, 25] = 1
    row, column = divmod(int(translate(dot, across=0.1, down=0.2)[0, 0].argmax()), 50)
    assert (row, column) == (35, 30)


def test_the_border_is_hidden_and_the_middle_stays(greys):
    changed, side = mask_border(greys), greys.shape[-1]
    width = round(side * MASKED_BORDER)
    assert torch.equal(
        changed[..., width : side - width, width : side - width], greys[..., width : side - width, width : side - width]
    )
    assert torch.allclose(changed[..., 0, :], greys.mean(dim=(2, 3), keepdim=True)[..., 0, :].expand(-1, -1, side))


def test_brightness_and_blur():
    half = torch.full((1, 1, 32, 32), 0.5)
    assert torch.allclose(adjust_brightness(half, -0.2), torch.tensor(0.3))
    edge = torch.cat([torch.zeros(1, 1, 64, 32), torch.ones(1, 1, 64, 32)], dim=3)
    steps = blur(edge, 0.03).diff(dim=3)
    assert float(steps.max()) < 0.5 and float(steps.sum()) == pytest.approx(64, rel=0.01)
