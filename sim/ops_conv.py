"""Golden convolutions: exact sums over windows, for operators of any engine to be judged by."""

import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import ArrayLike, NDArray

from .exact import exact_product
from .fixed_point import Int

__all__ = [
    "Padding",
    "conv_2d",
    "correlate",
    "correlate_depthwise",
    "depthwise_conv_2d",
    "output_size",
    "windows",
]

Padding = tuple[int, int, int, int]  # top, bottom, left, right
_CHUNK = 1 << 23  # elements of gathered windows at a time: a few caches, not the whole memory


def output_size(size: int, kernel: int, stride: int, dilation: int, before: int, after: int) -> int:
    """Windows along one axis, padding included; below 1 when not even one fits.

    >>> output_size(49, 10, 2, 1, 4, 5)
    25
    """
    return (size + before + after - dilation * (kernel - 1) - 1) // stride + 1


def windows(
    x: NDArray[Any],
    kernel: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: tuple[int, int] = (1, 1),
    fill: float = 0,
) -> NDArray[Any]:
    """A view (n, rows, columns, kernel height, kernel width, c) of every window of x (n, h, w, c).

    ``padding`` puts ``fill`` around x first.

    >>> windows(np.arange(6).reshape(1, 1, 6, 1), (1, 2), stride=(1, 3)).ravel().tolist()
    [0, 1, 3, 4]
    """
    top, bottom, left, right = padding
    if any(padding):
        x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
    n, h, w, c = x.shape
    (kh, kw), (sh, sw), (dh, dw) = kernel, stride, dilation
    rows, columns = output_size(h, kh, sh, dh, 0, 0), output_size(w, kw, sw, dw, 0, 0)
    if rows < 1 or columns < 1:
        raise ValueError(f"kernel must fit the padded input of {(h, w)}, not be {kernel}")
    along = x.strides
    strides = (along[0], along[1] * sh, along[2] * sw, along[1] * dh, along[2] * dw, along[3])
    return as_strided(x, (n, rows, columns, kh, kw, c), strides, writeable=False)


def conv_2d(
    x: ArrayLike,
    weight: ArrayLike,
    in_zero: int,
    stride: tuple[int, int] = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: tuple[int, int] = (1, 1),
) -> Int:
    """``sum((x - in_zero) * weight)`` over every window: the accumulators, without the bias.

    x is (n, h, w, c), weight (outputs, kh, kw, c), the result (n, rows, columns, outputs). Padding
    holds in_zero, so that it adds nothing. The sum is exact; the reference holds it in int32.

    Source: TensorFlow Lite ``reference_integer_ops::ConvPerChannel``.

    >>> conv_2d([[[[3], [-5]]]], [[[[2], [1]]]], -1, padding=(0, 0, 1, 0)).ravel().tolist()
    [4, 4]
    """
    return correlate(np.asarray(x, np.int64) - in_zero, weight, stride, padding, dilation)


def depthwise_conv_2d(
    x: ArrayLike,
    weight: ArrayLike,
    in_zero: int,
    stride: tuple[int, int] = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: tuple[int, int] = (1, 1),
) -> Int:
    """:func:`conv_2d` with one input channel for each output, accumulators without the bias.

    weight is (1, kh, kw, outputs), outputs a multiple m of the channels c of x (n, h, w, c);
    output o sees channel ``o // m``.

    Source: TensorFlow Lite ``reference_integer_ops::DepthwiseConvPerChannel``.

    >>> depthwise_conv_2d([[[[3, -5]]]], [[[[2, 3, -1, 1]]]], 1).ravel().tolist()
    [4, 6, 6, -6]
    """
    return correlate_depthwise(np.asarray(x, np.int64) - in_zero, weight, stride, padding, dilation)


def correlate(
    x: NDArray[Any],
    weight: ArrayLike,
    stride: tuple[int, int],
    padding: Padding,
    dilation: tuple[int, int],
) -> NDArray[Any]:
    """:func:`conv_2d` of integers or floats, with zeros as padding."""
    w = np.asarray(weight)
    outputs, kh, kw, _ = w.shape
    matrix = w.reshape(outputs, -1).T
    gathered = windows(x, (kh, kw), stride, padding, dilation)
    chunk = max(1, _CHUNK // max(1, math.prod(gathered.shape[1:])))
    parts = []
    for start in range(0, max(1, len(gathered)), chunk):
        part = gathered[start : start + chunk]
        rows = part.reshape(-1, matrix.shape[0])
        parts.append(exact_product(rows, matrix).reshape(*part.shape[:3], outputs))
    return np.concatenate(parts)


def correlate_depthwise(
    x: NDArray[Any],
    weight: ArrayLike,
    stride: tuple[int, int],
    padding: Padding,
    dilation: tuple[int, int],
) -> NDArray[Any]:
    """:func:`depthwise_conv_2d` of integers or floats, with zeros as padding."""
    w = np.asarray(weight)
    w = w.astype(np.int64) if w.dtype.kind in "iu" else w
    _, kh, kw, outputs = w.shape
    view = windows(x, (kh, kw), stride, padding, dilation)
    channels = view.shape[-1]
    if outputs % channels:
        raise ValueError(f"outputs must be a multiple of {channels} channels, not {outputs}")
    taps = w.reshape(kh, kw, channels, -1)
    result = np.zeros((*view.shape[:3], channels, outputs // channels), np.result_type(x, w))
    for row in range(kh):
        for column in range(kw):
            result += view[:, :, :, row, column, :, None] * taps[row, column]
    return result.reshape(*view.shape[:3], outputs)
