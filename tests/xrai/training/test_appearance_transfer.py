"""Borrowed looks: what is borrowed is the other scan's, the rest one's own."""

import numpy as np
import pytest
import torch

from xrai.training.appearance_transfer import (
    APPEARANCE_TRANSFERS,
    match_amplitude_spectrum,
    match_histogram,
    transfer_border,
    transfer_shading,
)

SIDE = 64


def noise(n, side=SIDE):
    return torch.rand(n, 1, side, side, generator=torch.Generator().manual_seed(9))


@pytest.mark.parametrize("name", APPEARANCE_TRANSFERS)
@pytest.mark.parametrize("size", [(32, 32), (33, 33), (48, 64)])
def test_shape_and_range(name, size):
    greys = torch.rand(3, 1, *size, generator=torch.Generator().manual_seed(1))
    for own, others in ((greys.round(), greys.flip(0)), (torch.zeros(1, 1, *size), greys[:1])):
        before = own.clone()
        looked = APPEARANCE_TRANSFERS[name](own, others)
        assert (looked.shape, looked.dtype) == (own.shape, torch.float32)
        assert 0 <= float(looked.min()) <= float(looked.max()) <= 1
        assert torch.equal(own, before)


def test_greys_are_the_other_s_in_the_order_of_one_s_own():
    own, others = noise(4), noise(4).flip(0) ** 2
    from_dark_to_light = own.flatten(1).argsort(dim=1)
    looked = match_histogram(own, others).flatten(1).gather(1, from_dark_to_light)
    assert (looked.diff(dim=1) >= 0).all()
    assert torch.allclose(looked, others.flatten(1).sort(dim=1).values, atol=0.01)


def test_what_is_of_one_grey_stays_so():
    own = noise(4)
    own[:, :, :20] = 0  # air above
    above = match_histogram(own, noise(4).flip(0))[:, :, :20]
    assert torch.equal(above, above[..., :1, :1].expand_as(above))
    black, white = torch.zeros(1, 1, 32, 32), torch.ones(1, 1, 32, 32)
    assert torch.equal(match_histogram(black, white), white)
    assert torch.equal(match_histogram(white, black), black)


def test_greys_of_oneself_change_nothing():
    assert torch.allclose(match_histogram(noise(4), noise(4)), noise(4), atol=0.002)


def test_what_is_all_but_absent_is_not_blown_up():
    faint = 0.5 + 1e-4 * (noise(4) - 0.5)
    assert float((match_amplitude_spectrum(faint, noise(4)) - 0.5).abs().max()) < 1e-3


def test_a_blurred_scan_becomes_as_sharp_as_the_other_and_stays_where_it_is():
    """Measured by what is left of it where neighbours are subtracted."""
    sharp = 0.5 + 0.2 * (noise(8) - 0.5)
    soft = (sharp + torch.nn.functional.avg_pool2d(sharp, 5, stride=1, padding=2, count_include_pad=False)) / 2

    def edges(greys):
        return float(greys.diff(dim=3).abs().mean())

    looked = match_amplitude_spectrum(soft, sharp)
    assert edges(soft) < 0.7 * edges(sharp)
    assert edges(looked) == pytest.approx(edges(sharp), rel=0.1)
    assert edges(match_amplitude_spectrum(sharp, soft)) == pytest.approx(edges(soft), rel=0.1)
    means = [item.mean(dim=(1, 2, 3)) for item in (looked, soft)]
    assert torch.allclose(*means, atol=1e-3)  # what is broad is its own
    alike = [
        float(torch.corrcoef(torch.stack([looked[row].flatten(), other.flatten()]))[0, 1])
        for row in range(8)
        for other in (soft[row], soft[(row + 1) % 8])
    ]
    assert min(alike[::2]) > 0.4
    assert max(alike[1::2]) < 0.2


@pytest.mark.parametrize("side", [32, 33, 64])
def test_the_spectrum_of_oneself_changes_nothing(side):
    greys = noise(4, side)
    assert torch.allclose(match_amplitude_spectrum(greys, greys), greys, atol=1e-5)


@pytest.mark.parametrize("side", [32, 33, 128])
def test_the_border_is_the_other_s_the_rest_one_s_own(side):
    looked = transfer_border(torch.ones(1, 1, side, side), torch.zeros(1, 1, side, side))[0, 0]
    edge = int(0.1 * side - 0.5)
    inside = slice(int(np.ceil(0.15 * side)), -int(np.ceil(0.15 * side)))
    assert not looked[: edge + 1].any() and not looked[:, -edge - 1 :].any()
    assert (looked[inside, inside] == 1).all()
    assert torch.allclose(looked, looked.T) and torch.allclose(looked, looked.flip(0))


def test_shading_lies_between_the_two_and_details_stay():
    own = 0.4 + 0.1 * noise(2)
    ramp = torch.linspace(0, 0.4, SIDE).expand_as(own)
    change = transfer_shading(own, own + ramp) - own
    assert torch.allclose(change[..., 8:-8], ramp[..., 8:-8] / 2, atol=0.01)
