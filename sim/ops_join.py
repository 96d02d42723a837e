"""Golden operators of several inputs, or that only move values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .fixed_point import Int
from .ops import quantize_multiplier, requantize, round_away, scale
from .ops_conv import Padding

__all__ = ["AddParameters", "add", "add_parameters", "concatenate", "pad", "tabulate"]

ADD_LEFT_SHIFT = 20


@dataclass(frozen=True, slots=True)
class AddParameters:
    """A multiplier and a shift for each input and for the sum, as :func:`scale` takes them."""

    left_shift: int
    multipliers: tuple[int, int]
    shifts: tuple[int, int]
    multiplier: int
    shift: int


def add_parameters(first: float, second: float, output: float) -> AddParameters:
    """The integers with which two tensors are added, from the scales of the three tensors.

    Source: TensorFlow Lite ``add.cc``, Prepare.

    >>> add_parameters(0.5, 0.25, 1.0)
    AddParameters(left_shift=20, multipliers=(1073741824, 1073741824), shifts=(0, -1), \
multiplier=1073741824, shift=-19)
    """
    a, b, out = (float(np.float32(value)) for value in (first, second, output))
    twice = 2 * max(a, b)
    pairs = (quantize_multiplier(a / twice), quantize_multiplier(b / twice))
    multiplier, shift = quantize_multiplier(twice / ((1 << ADD_LEFT_SHIFT) * out))
    return AddParameters(
        ADD_LEFT_SHIFT, (pairs[0][0], pairs[1][0]), (pairs[0][1], pairs[1][1]), multiplier, shift
    )


def add(
    a: ArrayLike,
    b: ArrayLike,
    zeros: tuple[int, int],
    parameters: AddParameters,
    out_zero: int,
    lo: int = -128,
    hi: int = 127,
) -> Int:
    """The sum of two int8 tensors of one shape, each with its scale and zero point, clamped.

    Each difference to its zero point is shifted left and scaled to a common scale, the sum is
    scaled to that of the output; all three with double rounding.

    Source: TensorFlow Lite ``reference_integer_ops::Add``.

    >>> add([-7, 7], [1, 2], (0, 0), add_parameters(1.0, 1.0, 2.0), 0).tolist()
    [-3, 5]
    """
    p = parameters
    terms = (
        scale((np.asarray(x, np.int64) - zero) << p.left_shift, multiplier, shift, "double")
        for x, zero, multiplier, shift in zip((a, b), zeros, p.multipliers, p.shifts, strict=True)
    )
    return requantize(sum(terms), p.multiplier, p.shift, "double", out_zero, lo, hi)


def concatenate(inputs: Sequence[ArrayLike], axis: int = -1) -> Int:
    """Int8 tensors of one scale and zero point, one behind the other along an axis.

    Source: TensorFlow Lite ``reference_ops::Concatenation``, which refuses int8 inputs of other
    scales than the output's.
    """
    return np.concatenate([np.asarray(value, np.int64) for value in inputs], axis=axis)


def pad(x: ArrayLike, padding: Padding, channels: tuple[int, int], value: int) -> Int:
    """x (n, h, w, c) with ``value`` (its zero point) around it in space and over channels.

    Source: TensorFlow Lite ``reference_ops::Pad``.
    """
    top, bottom, left, right = padding
    widths = ((0, 0), (top, bottom), (left, right), channels)
    return np.pad(np.asarray(x, np.int64), widths, constant_values=value)


def tabulate(
    function: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    in_scale: float,
    in_zero: int,
    out_scale: float,
    out_zero: int,
) -> Int:
    """A function of one int8 value as a table for -128..127, computed in float32.

    Source: TensorFlow Lite ``LUTPopulate``, which TANH is computed with.

    >>> tabulate(np.tanh, 0.1, 0, 1 / 128, 0)[[0, 127, 128, 129, 255]].tolist()
    [-128, -13, 0, 13, 127]
    """
    values = np.float32(in_scale) * (np.arange(-128, 128) - in_zero).astype(np.float32)
    steps = function(values) * (np.float32(1) / np.float32(out_scale))
    result: Int = np.clip(round_away(steps) + out_zero, -128, 127).astype(np.int64)
    return result
