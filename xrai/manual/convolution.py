"""Convolution and pooling in numpy, for the manual.

Convolution in deep learning is cross-correlation: the filter is not rotated by 180 degrees. Results equal
`torch.nn.functional.conv2d`, `max_pool2d` and `avg_pool2d`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from xrai.core.errors import SettingsError

FloatArray = NDArray[np.floating]

MAX_POOLING, AVERAGE_POOLING = "max", "average"
"""The ways of pooling."""

IDENTITY, BLUR, SHARPEN, SOBEL_X, SOBEL_Y, EDGES = "identity", "blur", "sharpen", "sobel_x", "sobel_y", "edges"
PRESETS = (IDENTITY, BLUR, SHARPEN, SOBEL_X, SOBEL_Y, EDGES)
KERNEL_SIZES = (3, 5)
"""Sides of the preset filters."""


# ---------------------------------------------------------------- filters


def get_preset(name: str, size: int = 3) -> FloatArray:
    """A well-known filter, float64 (size, size).

    `sobel_x` responds to horizontal changes, `sobel_y` to vertical ones, `edges` (8 or 24 at the centre, −1 elsewhere)
    to any. The Sobel filters are a smoothing times a perpendicular difference (Sobel and Feldman 1968), with binomial
    weights also at 5 × 5.

    Raises:
        SettingsError: there is no filter of that name or size.
    """
    if name not in PRESETS or size not in KERNEL_SIZES:
        raise SettingsError(
            "There is no filter “{name}” of {size} × {size}: choose another name, and a side of 3 or 5.",
            name=name,
            size=size,
        )
    return {
        IDENTITY: _identity_kernel(size),
        BLUR: np.full((size, size), 1 / size**2),
        SHARPEN: _SHARPEN[size].copy(),
        SOBEL_X: np.outer(_SMOOTH[size], _SLOPE[size]),
        SOBEL_Y: np.outer(_SLOPE[size], _SMOOTH[size]),
        EDGES: size**2 * _identity_kernel(size) - 1,
    }[name]


def find_preset(kernel: ArrayLike) -> str | None:
    """The name of the preset that equals a filter, or None."""
    kernel_array = np.asarray(kernel, float)
    names = PRESETS if len(kernel_array) in KERNEL_SIZES else ()
    return next((name for name in names if np.allclose(get_preset(name, len(kernel_array)), kernel_array)), None)


def resize_kernel(kernel: ArrayLike, size: int) -> FloatArray:
    """A filter resized to another odd side, float64 (size, size), by zero padding or cropping."""
    kernel_array = np.asarray(kernel, float)
    if (margin := (size - len(kernel_array)) // 2) >= 0:
        return np.pad(kernel_array, margin)
    return kernel_array[-margin:margin, -margin:margin].copy()


def compose_kernels(first: ArrayLike, second: ArrayLike) -> FloatArray:
    """The filter, float64 (a + b − 1, a + b − 1), that equals two filters in sequence.

    Raises:
        SettingsError: the first filter is not square.
    """
    flipped = _require_square(first)[::-1, ::-1]
    return convolve(second, flipped, padding=len(flipped) - 1)


def _identity_kernel(size: int) -> FloatArray:
    kernel = np.zeros((size, size))
    kernel[size // 2, size // 2] = 1
    return kernel


_SMOOTH = {3: np.array([1.0, 2, 1]), 5: np.array([1.0, 4, 6, 4, 1])}
_SLOPE = {3: np.array([-1.0, 0, 1]), 5: np.array([-1.0, -2, 0, 2, 1])}
_SHARPEN = {
    3: np.array([[0.0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
    5: np.array([[0.0, 0, -1, 0, 0], [0, -1, -2, -1, 0], [-1, -2, 17, -2, -1], [0, -1, -2, -1, 0], [0, 0, -1, 0, 0]]),
}


# ---------------------------------------------------------------- convolution


def output_size(n: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
    """The output size along one side: ⌊(n + 2 · padding − kernel) / stride⌋ + 1.

    Dumoulin and Visin, A guide to convolution arithmetic for deep learning (2016, arXiv:1603.07285), relationship 6;
    the same as in `torch.nn.Conv2d` with dilation 1.

    Args:
        n: input size.
        kernel: window size.
        stride: step of the window.
        padding: zeros on each side.

    Raises:
        SettingsError: a number is invalid, or the window is larger than the padded input.
    """
    if min(n, kernel, stride) < 1:
        raise SettingsError(
            "A side of {n}, a window of {kernel} and a stride of {stride} do not go: choose 1 or more of each.",
            n=n,
            kernel=kernel,
            stride=stride,
        )
    if padding < 0:
        raise SettingsError("A padding of {padding} does not go: choose 0 or more.", padding=padding)
    if kernel > n + 2 * padding:
        raise SettingsError(
            "A window of {kernel} does not fit into a side of {side}: "
            "choose a smaller window, more padding or a larger picture.",
            kernel=kernel,
            side=n + 2 * padding,
        )
    return (n + 2 * padding - kernel) // stride + 1


def convolve(image: ArrayLike, kernel: ArrayLike, *, stride: int = 1, padding: int = 0) -> FloatArray:
    """Convolve an image with a filter, float64 (H', W').

    Args:
        image: numbers (H, W).
        kernel: numbers (k, k).
        stride: step of the window.
        padding: rows and columns of zeros around the image.

    Raises:
        SettingsError: as `output_size`; or the filter is not square.
    """
    numbers = _require_square(kernel)
    return np.einsum("ijuv,uv->ij", _sliding_windows(zero_pad(image, padding), len(numbers), stride), numbers)


@dataclass(frozen=True)
class ConvolutionStep:
    """One step of a convolution.

    Attributes:
        row, column: position in the result.
        top, left: position of the window in the padded image.
        window: the numbers under the filter, (k, k).
        products: window times filter, (k, k).
        total: the sum of the products, which is the result.
    """

    row: int
    column: int
    top: int
    left: int
    window: FloatArray
    products: FloatArray
    total: float


def compute_step(
    image: ArrayLike, kernel: ArrayLike, number: int, *, stride: int = 1, padding: int = 0
) -> ConvolutionStep:
    """Compute step `number`, counted from 0 along the rows of the result.

    Raises:
        SettingsError: as `convolve`; or there is no such step.
    """
    numbers, padded_image = _require_square(kernel), zero_pad(image, padding)
    windows = _sliding_windows(padded_image, len(numbers), stride)
    rows, columns = windows.shape[:2]
    if not 0 <= number < rows * columns:
        raise SettingsError(
            "There is no step {number}: the window has {places} places.", number=number + 1, places=rows * columns
        )
    row, column = divmod(number, columns)
    products = windows[row, column] * numbers
    return ConvolutionStep(
        row, column, row * stride, column * stride, windows[row, column], products, float(products.sum())
    )


def zero_pad(image: ArrayLike, padding: int) -> FloatArray:
    """An image padded with zeros, float64 (H + 2 · padding, W + 2 · padding).

    Raises:
        SettingsError: the padding is negative.
    """
    numbers = np.asarray(image, float)
    output_size(max(numbers.shape), 1, padding=padding)
    return np.pad(numbers, padding)


def to_grey_image(values: ArrayLike, *, signed: bool = False) -> NDArray[np.uint8]:
    """Convert results to grey levels, uint8.

    Args:
        values: of any size and sign.
        signed: 0 is mid-grey and the largest absolute value black or white; otherwise values are clipped to
            0..255.
    """
    numbers = np.asarray(values, float)
    if signed:
        numbers = 127.5 + 127.5 * numbers / max(float(np.abs(numbers).max()), 1e-12)
    return np.clip(np.rint(numbers), 0, 255).astype(np.uint8)


# ---------------------------------------------------------------- pooling


def pool(image: ArrayLike, *, size: int = 2, stride: int | None = None, how: str = MAX_POOLING) -> FloatArray:
    """Reduce every window to its maximum or its average, float64 (H', W').

    Args:
        image: numbers (H, W); rows and columns beyond the last full window are ignored.
        size: side of the window.
        stride: step of the window; None for its side.
        how: `MAX_POOLING` or `AVERAGE_POOLING`.

    Raises:
        SettingsError: as `output_size`; or there is no such way.
    """
    if how not in (MAX_POOLING, AVERAGE_POOLING):
        raise SettingsError(
            "There is no pooling “{how}”: choose {maximum} or {average}.",
            how=how,
            maximum=MAX_POOLING,
            average=AVERAGE_POOLING,
        )
    windows = _sliding_windows(np.asarray(image, float), size, size if stride is None else stride)
    return windows.max(axis=(2, 3)) if how == MAX_POOLING else windows.mean(axis=(2, 3))


def pool_repeatedly(image: ArrayLike, times: int, *, how: str = MAX_POOLING) -> FloatArray:
    """Pool an image 2 × 2 with stride 2 several times, float64.

    Raises:
        SettingsError: nothing is left to pool.
    """
    numbers = np.asarray(image, float)
    for _ in range(times):
        numbers = pool(numbers, how=how)
    return numbers


# ---------------------------------------------------------------- what it costs


@dataclass(frozen=True)
class ConvolutionCost:
    """Output size, parameters and multiplications of a convolution.

    Attributes:
        height, width: of each output map.
        values: of all output maps.
        weights: of all filters.
        biases: one per filter.
        multiplications: for one image.
    """

    height: int
    width: int
    values: int
    weights: int
    biases: int
    multiplications: int


def compute_cost(
    height: int, width: int, *, kernel: int = 3, stride: int = 1, padding: int = 0, channels: int = 1, filters: int = 1
) -> ConvolutionCost:
    """Count the cost of a convolution; each filter has k × k weights per channel and one bias.

    Raises:
        SettingsError: as `output_size`; or there is no channel or no filter.
    """
    if channels < 1 or filters < 1:
        raise SettingsError("A convolution needs at least one channel and one filter: choose 1 or more of each.")
    rows, columns = (output_size(n, kernel, stride, padding) for n in (height, width))
    weights = filters * channels * kernel**2
    return ConvolutionCost(rows, columns, filters * rows * columns, weights, filters, weights * rows * columns)


# ---------------------------------------------------------------- parts


def _sliding_windows(image: FloatArray, size: int, stride: int) -> FloatArray:
    """All windows, (H', W', size, size), as a view."""
    for side in image.shape:
        output_size(side, size, stride)
    return sliding_window_view(image, (size, size))[::stride, ::stride]


def _require_square(kernel: ArrayLike) -> FloatArray:
    numbers = np.asarray(kernel, float)
    if numbers.ndim != 2 or numbers.shape[0] != numbers.shape[1]:
        raise SettingsError(
            "A filter is a square table, not of shape {shape}: give it as many rows as columns.",
            shape=str(numbers.shape),
        )
    return numbers
