"""Golden pooling: the largest or the average value of windows, and the mean over space."""

import numpy as np
from numpy.typing import ArrayLike

from .fixed_point import Int
from .ops import requantize
from .ops_conv import Padding, windows

__all__ = ["average_pool_2d", "divide_away", "max_pool_2d", "mean_parameters", "mean_space"]

_LOWEST = -(1 << 40)  # below every value; what max pooling pads with


def divide_away(total: Int, count: Int | int) -> Int:
    """``total / count`` to the nearest, halves away from zero.

    Source: ``reference_integer_ops::AveragePool``: half the count is added, then truncated.

    >>> divide_away(np.array([-3, 3, 5]), 2).tolist()
    [-2, 2, 3]
    """
    result: Int = np.sign(total) * ((np.abs(total) + np.asarray(count) // 2) // count)
    return result


def average_pool_2d(
    x: ArrayLike,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: Padding = (0, 0, 0, 0),
    lo: int = -128,
    hi: int = 127,
) -> Int:
    """The average of every window of x (n, h, w, c), clamped; padding is not counted.

    The average is of the raw values, zero point included, and halves are rounded away from zero.

    Source: TensorFlow Lite ``reference_integer_ops::AveragePool``.

    >>> average_pool_2d([[[[1], [2], [-4], [-3]]]], (1, 2), (1, 2)).ravel().tolist()
    [2, -4]
    """
    a = np.asarray(x, np.int64)
    total = windows(a, kernel, stride, padding).sum(axis=(3, 4))
    count = windows(np.ones((1, *a.shape[1:3], 1), np.int64), kernel, stride, padding)
    return np.clip(divide_away(total, count.sum(axis=(3, 4))), lo, hi)


def max_pool_2d(
    x: ArrayLike,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: Padding = (0, 0, 0, 0),
    lo: int = -128,
    hi: int = 127,
) -> Int:
    """The largest value of every window of x (n, h, w, c), clamped; padding never wins.

    Source: TensorFlow Lite ``reference_integer_ops::MaxPool``.

    >>> max_pool_2d([[[[-5], [-7], [3]]]], (1, 2), (1, 1), (0, 0, 1, 0)).ravel().tolist()
    [-5, -5, 3]
    """
    a = np.asarray(x, np.int64)
    largest: Int = windows(a, kernel, stride, padding, fill=_LOWEST).max(axis=(3, 4))
    return np.clip(largest, lo, hi)


def mean_parameters(multiplier: int, shift: int, count: int) -> tuple[int, int]:
    """The multiplier and shift of a scale, divided by ``count``.

    Source: TensorFlow Lite ``reference_integer_ops::Mean``: as many bits as the count has are
    gained before the division, which truncates.

    >>> mean_parameters(1 << 30, 1, 3)
    (715827882, 0)
    """
    gained = min(count.bit_length() - 1, 32, 31 + shift)
    return (multiplier << gained) // count, shift - gained


def mean_space(x: ArrayLike, in_zero: int, multiplier: int, shift: int, out_zero: int) -> Int:
    """The mean over rows and columns of x (n, h, w, c), requantized: (n, c).

    ``multiplier`` and ``shift`` hold the scale divided by h * w (:func:`mean_parameters`); the
    rounding is "double".

    Source: TensorFlow Lite ``reference_integer_ops::Mean``.
    """
    total = (np.asarray(x, np.int64) - in_zero).sum(axis=(1, 2))
    return requantize(total, multiplier, shift, "double", out_zero, -128, 127)
