"""Convolution and pooling by hand: every number against torch, every size against what torch makes."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional

from xrai.core.errors import SettingsError
from xrai.manual.convolution import (
    AVERAGE_POOLING,
    BLUR,
    KERNEL_SIZES,
    MAX_POOLING,
    PRESETS,
    SOBEL_X,
    compose_kernels,
    compute_cost,
    compute_step,
    convolve,
    find_preset,
    get_preset,
    output_size,
    pool,
    pool_repeatedly,
    resize_kernel,
    to_grey_image,
    zero_pad,
)

SETTINGS = list(itertools.product((3, 5), (1, 2, 3), (0, 1, 2)))  # kernel, stride, padding


@pytest.fixture
def scan():
    return np.random.default_rng(0).integers(0, 256, (23, 18), dtype=np.uint8)


def as_tensor(numbers):
    return torch.from_numpy(np.asarray(numbers, float))[None, None]  # (1, 1, H, W)


def by_torch(image, kernel, stride, padding):
    return functional.conv2d(as_tensor(image), as_tensor(kernel), stride=stride, padding=padding)[0, 0].numpy()


class TestConvolve:
    @pytest.mark.parametrize(("side", "stride", "padding"), SETTINGS)
    def test_is_what_torch_calls_convolution(self, scan, side, stride, padding):
        kernel = np.random.default_rng(side).normal(size=(side, side))
        ours = convolve(scan, kernel, stride=stride, padding=padding)
        np.testing.assert_allclose(ours, by_torch(scan, kernel, stride, padding), atol=1e-9)

    @pytest.mark.parametrize(("side", "stride", "padding"), SETTINGS)
    def test_every_worked_step_is_the_result_at_its_place(self, scan, side, stride, padding):
        patch, kernel = scan[3:10, 4:11], np.random.default_rng(side).integers(-9, 10, (side, side))
        expected = by_torch(patch, kernel, stride, padding)
        for number in range(expected.size):
            step = compute_step(patch, kernel, number, stride=stride, padding=padding)
            below = zero_pad(patch, padding)[step.top : step.top + side, step.left : step.left + side]
            np.testing.assert_array_equal(step.window, below)
            np.testing.assert_array_equal(step.products, below * kernel)
            assert step.total == expected[step.row, step.column] == expected.flat[number]

    def test_takes_bytes_without_overflow(self):
        assert convolve(np.full((3, 3), 255, np.uint8), np.full((3, 3), 9))[0, 0] == 255 * 81

    def test_leaves_the_scan_as_it_is(self, scan):
        before = scan.copy()
        convolve(scan, get_preset("blur"), padding=1)
        np.testing.assert_array_equal(scan, before)

    def test_there_is_no_step_behind_the_last(self, scan):
        with pytest.raises(SettingsError, match="no step 26: the window has 25 places"):
            compute_step(scan[:7, :7], get_preset("edges"), 25)

    @pytest.mark.parametrize("kernel", [np.ones((2, 3)), np.ones(3)])
    def test_refuses_a_filter_that_is_not_square(self, scan, kernel):
        with pytest.raises(SettingsError, match="square table"):
            convolve(scan, kernel)


class TestOutputSize:
    @pytest.mark.parametrize("n", range(1, 13))
    def test_is_torchs_over_a_grid_of_settings(self, n):
        for kernel, stride, padding in itertools.product(range(1, 8), range(1, 5), range(4)):
            if kernel > n + 2 * padding:
                with pytest.raises(SettingsError, match="does not fit"):
                    output_size(n, kernel, stride, padding)
            else:
                made = functional.conv1d(torch.zeros(1, 1, n), torch.zeros(1, 1, kernel), None, stride, padding)
                assert output_size(n, kernel, stride, padding) == made.shape[-1]

    @pytest.mark.parametrize(
        ("settings", "words"),
        [((0, 3), "side of 0"), ((5, 0), "window of 0"), ((5, 3, 0), "stride of 0"), ((5, 3, 1, -1), "padding of -1")],
    )
    def test_says_what_is_impossible(self, settings, words):
        with pytest.raises(SettingsError, match=words):
            output_size(*settings)


class TestPresets:
    @pytest.mark.parametrize("size", KERNEL_SIZES)
    def test_their_sums_are_what_the_manual_says(self, size):
        sums = {name: float(get_preset(name, size).sum()) for name in PRESETS}
        expected = {"identity": 1, "blur": 1, "sharpen": 1, "sobel_x": 0, "sobel_y": 0, "edges": 0}
        assert sums == pytest.approx(expected, abs=1e-9)

    def test_are_those_of_the_books(self):
        assert get_preset("edges").tolist() == [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]
        assert get_preset("sobel_x").tolist() == [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
        np.testing.assert_array_equal(get_preset("sobel_y", 5), get_preset("sobel_x", 5).T)

    @pytest.mark.parametrize("size", KERNEL_SIZES)
    def test_are_known_again_and_an_edited_one_is_not(self, size):
        for name in PRESETS:
            kernel = get_preset(name, size)
            assert find_preset(kernel) == name
            kernel[0, 0] += 0.5
            assert find_preset(kernel) is None
        assert find_preset(get_preset("identity", 3)) == "identity"  # the edits above did not reach the presets

    def test_the_identity_changes_nothing(self, scan):
        np.testing.assert_array_equal(convolve(scan, get_preset("identity"), padding=1), scan)

    def test_what_there_is_not(self):
        for name, size in (("emboss", 3), ("blur", 4)):
            with pytest.raises(SettingsError, match="There is no filter"):
                get_preset(name, size)

    def test_an_own_filter_keeps_its_middle_when_it_grows_and_shrinks(self):
        own = np.arange(9.0).reshape(3, 3)
        grown = resize_kernel(own, 5)
        assert grown.shape == (5, 5)
        assert grown.sum() == own.sum()
        np.testing.assert_array_equal(resize_kernel(grown, 3), own)
        np.testing.assert_array_equal(resize_kernel(own, 3), own)


class TestPictures:
    def test_negative_is_black_and_too_bright_is_white(self):
        assert to_grey_image([[-5, 0, 12.4, 300]]).tolist() == [[0, 0, 12, 255]]

    def test_signed_zero_is_grey_and_the_largest_size_black_or_white(self):
        assert to_grey_image([[-50, 0, 25]], signed=True).tolist() == [[0, 128, 191]]

    def test_signed_nothing_is_grey(self):
        assert to_grey_image(np.zeros((2, 2)), signed=True).tolist() == [[128, 128], [128, 128]]


class TestPool:
    def test_the_example_of_the_manual(self):
        example = [[0, 1.9], [3.2, 1.6]]
        assert pool(example).tolist() == [[3.2]]
        assert pool(example, how=AVERAGE_POOLING) == pytest.approx(1.675)

    @pytest.mark.parametrize(("size", "stride"), [(2, 2), (2, 1), (3, 2), (3, 3)])
    def test_is_what_torch_makes(self, scan, size, stride):
        for how, theirs in ((MAX_POOLING, functional.max_pool2d), (AVERAGE_POOLING, functional.avg_pool2d)):
            expected = theirs(as_tensor(scan), size, stride)[0, 0].numpy()
            np.testing.assert_allclose(pool(scan, size=size, stride=stride, how=how), expected)

    def test_again_and_again_halves_the_sides(self, scan):
        assert [pool_repeatedly(scan, times).shape for times in range(5)] == [(23, 18), (11, 9), (5, 4), (2, 2), (1, 1)]
        assert pool_repeatedly(scan, 3, how=MAX_POOLING).max() >= pool_repeatedly(scan, 3, how=AVERAGE_POOLING).max()

    def test_says_when_nothing_is_left(self, scan):
        with pytest.raises(SettingsError, match="does not fit into a side of 1"):
            pool_repeatedly(scan, 5)

    def test_there_is_no_other_way(self, scan):
        with pytest.raises(SettingsError, match="no pooling"):
            pool(scan, how="median")


class TestCost:
    @pytest.mark.parametrize(("kernel", "stride", "padding"), SETTINGS)
    def test_counts_what_torchs_layer_has_and_makes(self, kernel, stride, padding):
        layer = torch.nn.Conv2d(3, 4, kernel, stride, padding)
        made = layer(torch.zeros(1, 3, 23, 18))[0]  # (4, H', W')
        found = compute_cost(23, 18, kernel=kernel, stride=stride, padding=padding, channels=3, filters=4)
        assert (4, found.height, found.width) == made.shape
        assert found.values == made.numel()
        assert (found.weights, found.biases) == (layer.weight.numel(), 4)
        assert found.multiplications == made.numel() * 3 * kernel**2

    def test_needs_a_filter_and_a_channel(self):
        for nothing in ({"filters": 0}, {"channels": 0}):
            with pytest.raises(SettingsError, match="at least one"):
                compute_cost(8, 8, **nothing)


def test_two_filters_in_a_row_are_one():
    picture = np.random.default_rng(0).integers(0, 256, (20, 17)).astype(float)
    first, second = get_preset(SOBEL_X), get_preset(BLUR)
    one = convolve(picture, compose_kernels(first, second))
    np.testing.assert_allclose(convolve(convolve(picture, first), second), one, atol=1e-9)
    between = convolve(np.maximum(convolve(picture, first), 0), second)
    assert np.abs(between - one).max() > 1


def test_one_filter_for_two_that_are_not_symmetric():
    rng = np.random.default_rng(1)
    picture, first, second = rng.random((12, 12)), rng.random((3, 3)), rng.random((5, 5))
    one = compose_kernels(first, second)
    assert one.shape == (7, 7)
    np.testing.assert_allclose(convolve(convolve(picture, first), second), convolve(picture, one))
