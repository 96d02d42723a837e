"""Golden operators: what every operator means, in integers.

The hardware, the compiler and the functional model are all judged by these. Int8 and int32 values
are held in int64 arrays. The meaning is TFLite's int8 specification as its reference kernels
compute it.
"""

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .exact import exact_product
from .fixed_point import Int, divide_by_pot, exp_on_negative, high_mul, logistic, one_over_one_plus

__all__ = [
    "Int",
    "Rounding",
    "accumulator_bits",
    "accumulator_range",
    "dequantize",
    "fully_connected",
    "logistic_int8",
    "quantize",
    "quantize_multiplier",
    "requantize",
    "requantize_int8",
    "round_away",
    "scale",
    "softmax_int8",
]

Rounding = Literal["single", "double"]
Float = NDArray[np.floating[Any]]

_SOFTMAX_INTEGER_BITS = 5
_SOFTMAX_SUM_BITS = 12
_LOGISTIC_INTEGER_BITS = 4


def fully_connected(x: ArrayLike, weight: ArrayLike, in_zero: int) -> Int:
    """``sum((x - in_zero) * weight)``: the accumulators, without the bias.

    x is (..., inputs), weight (outputs, inputs), the result (..., outputs). The sum is exact; the
    reference holds it in int32, so that a layer is only equal where :func:`accumulator_bits` is
    at most 32.

    Source: TensorFlow Lite ``reference_integer_ops::FullyConnected``.

    >>> fully_connected([[1, -128]], [[2, 3], [-1, 1]], -128).tolist()
    [[258, -129]]
    """
    result: Int = exact_product(np.asarray(x, np.int64) - in_zero, np.asarray(weight).T)
    return result


def scale(acc: ArrayLike, multiplier: ArrayLike, shift: ArrayLike, rounding: Rounding) -> Int:
    """``acc * multiplier * 2**(shift - 31)``, rounded; acc fits int32, shift is -31..30.

    multiplier and shift broadcast against the last axis (the channels).

    "single": one rounding, halves up: ``(acc * multiplier + 2**(s - 1)) >> s``, s = 31 - shift.
    "double": a positive shift is applied first, then ``(acc * multiplier + 2**30) >> 31``, halves
    up; then a negative shift, to the nearest with halves away from zero. Where shift is not
    negative the two rules are one.

    Source: TensorFlow Lite ``MultiplyByQuantizedMultiplier``, with and without single rounding.
    LiteRT's fully-connected reference kernel rounds a float64 product instead; the importer
    chooses a multiplier with which "single" gives the same (:mod:`prunus.compiler.rescale`).

    >>> scale([5, -5, 6], 1 << 30, 0, "single").tolist()
    [3, -2, 3]
    >>> scale([10, -10, 12], 1 << 30, -1, "single").tolist()
    [3, -2, 3]
    >>> scale([10, -10, 12], 1 << 30, -1, "double").tolist()
    [3, -3, 3]
    """
    a, q, s = (np.asarray(value, np.int64) for value in (acc, multiplier, shift))
    if np.any(s < -31) or np.any(s > 30):
        raise ValueError(f"shift must be -31 to 30, not {shift!r}")
    if rounding == "single":
        right = 31 - s
        result: Int = (a * q + (np.int64(1) << (right - 1))) >> right
        return result
    if rounding == "double":
        return divide_by_pot(high_mul(a << np.maximum(s, 0), q), np.maximum(-s, 0))
    raise ValueError(f"rounding must be 'single' or 'double', not {rounding!r}")


def requantize(
    acc: ArrayLike,
    multiplier: ArrayLike,
    shift: ArrayLike,
    rounding: Rounding,
    zero_point: int,
    lo: int,
    hi: int,
) -> Int:
    """:func:`scale`, then the zero point, then a clamp to lo..hi (which is where ReLU is).

    >>> requantize([3, -3, 1000], 1 << 30, 0, "single", -1, -128, 127).tolist()
    [1, -2, 127]
    """
    return np.clip(scale(acc, multiplier, shift, rounding) + zero_point, lo, hi)


def quantize_multiplier(real: float) -> tuple[int, int]:
    """``(multiplier, shift)``, multiplier in [2**30, 2**31), of a positive real scale.

    Source: TensorFlow Lite ``QuantizeMultiplier``, halves away from zero.

    Raises
    ------
    ValueError
        The scale is not positive and finite, or beyond what a shift of -31..31 can reach.

    >>> quantize_multiplier(0.75), quantize_multiplier(1.0)
    ((1610612736, 0), (1073741824, 1))
    """
    if not (math.isfinite(real) and real > 0):
        raise ValueError(f"scale must be positive and finite, not {real!r}")
    fraction, shift = math.frexp(real)
    multiplier = math.floor(fraction * (1 << 31) + 0.5)
    if multiplier == 1 << 31:
        multiplier >>= 1
        shift += 1
    if not -31 <= shift <= 31:
        raise ValueError(f"scale must be 2**-32 to 2**31, not {real!r}")
    return multiplier, shift


def accumulator_range(
    weight: ArrayLike, bias: ArrayLike, in_zero: int, lo: int = -128, hi: int = 127
) -> tuple[Int, Int]:
    """The least and the greatest accumulator of each output, bias included, over inputs lo..hi.

    >>> accumulator_range([[1, -1]], [10], 0)
    (array([-245]), array([265]))
    """
    up, down = _sums(weight)
    b = np.asarray(bias, np.int64)
    lowest: Int = up * (lo - in_zero) + down * (hi - in_zero) + b
    highest: Int = up * (hi - in_zero) + down * (lo - in_zero) + b
    return lowest, highest


def accumulator_bits(
    weight: ArrayLike, bias: ArrayLike, in_zero: int, lo: int = -128, hi: int = 127
) -> int:
    """Bits of a signed accumulator that no input in lo..hi can overflow, in any order of the sum.

    Exact: some input reaches it. A bias of zeros gives the sum of the products alone.

    >>> accumulator_bits([[127] * 4], [0], -128)
    18
    """
    up, down = _sums(weight)
    b = np.asarray(bias, np.int64)
    # A product that would take away from a sum may not have come yet.
    least, most = min(lo - in_zero, 0), max(hi - in_zero, 0)
    highest = int((up * most + down * least + np.maximum(b, 0)).max())
    lowest = int((up * least + down * most + np.minimum(b, 0)).min())
    return 1 + max(highest.bit_length(), (-1 - lowest).bit_length() if lowest < 0 else 0)


def _sums(weight: ArrayLike) -> tuple[Int, Int]:
    """Sums of the positive and of the negative weights of each output."""
    w = np.asarray(weight)
    up: Int = np.maximum(w, 0).sum(axis=-1, dtype=np.int64)
    down: Int = np.minimum(w, 0).sum(axis=-1, dtype=np.int64)
    return up, down


def round_away(x: ArrayLike) -> NDArray[np.float64]:
    """To the nearest whole number, halves away from zero. Source: C++ ``round``.

    >>> round_away([0.5, -2.5, 1.4]).tolist()
    [1.0, -3.0, 1.0]
    """
    real = np.asarray(x, np.float64)
    return np.copysign(np.floor(np.abs(real) + 0.5), real)


def quantize(x: ArrayLike, scale: float, zero_point: int) -> Int:
    """``round(x / scale) + zero_point`` in int8, halves away from zero, divided in float32.

    Values beyond int32 saturate (they are undefined in the reference); NaN is refused.

    Source: TensorFlow Lite ``AffineQuantize``.

    >>> quantize([0.25, -0.25, 1e9], 0.5, 3).tolist()
    [4, 2, 127]
    """
    steps = np.asarray(x, np.float32) / np.float32(scale)
    if np.isnan(steps).any():
        raise ValueError("x must be free of NaN")
    result: Int = np.clip(round_away(steps), -1024, 1024).astype(np.int64) + zero_point
    return np.clip(result, -128, 127)


def dequantize(x: ArrayLike, scale: float, zero_point: int) -> NDArray[np.float32]:
    """``(x - zero_point) * scale`` in float32.

    >>> dequantize([3, -3], 0.5, 1).tolist()
    [1.0, -2.0]
    """
    return (np.asarray(x, np.int64) - zero_point).astype(np.float32) * np.float32(scale)


def requantize_int8(
    x: ArrayLike, in_scale: float, in_zero: int, out_scale: float, out_zero: int
) -> Int:
    """Int8 from one scale and zero point to another, with double rounding.

    Source: TensorFlow Lite ``reference_ops::Requantize`` (QUANTIZE of an int8 tensor).

    >>> requantize_int8([-7, 7], 0.5, 0, 1.0, 0).tolist()
    [-3, 4]
    >>> requantize_int8([-10, 10], 0.5, 0, 2.0, 0).tolist()
    [-3, 3]
    """
    ratio = float(np.float32(in_scale)) / float(np.float32(out_scale))
    multiplier, shift = quantize_multiplier(ratio)
    centred = np.asarray(x, np.int64) - in_zero
    return requantize(centred, multiplier, shift, "double", out_zero, -128, 127)


def softmax_int8(x: ArrayLike, in_scale: float, beta: float = 1.0) -> Int:
    """Softmax over the last axis, int8 to int8 with scale 1/256 and zero point -128.

    Source: TensorFlow Lite ``reference_ops::Softmax``: differences to the largest with 5 integer
    bits, their exponentials, a sum with 12 integer bits and its reciprocal, all in gemmlowp fixed
    point.

    >>> softmax_int8([[10, 0, -10]], 0.1).tolist()
    [[42, -65, -105]]
    """
    a = np.asarray(x, np.int64)
    real = float(np.float32(beta)) * float(np.float32(in_scale))
    real = min(real * (1 << (31 - _SOFTMAX_INTEGER_BITS)), float((1 << 31) - 1))
    multiplier, shift = quantize_multiplier(real)
    difference = a - a.max(axis=-1, keepdims=True)
    near = difference >= -_input_radius(_SOFTMAX_INTEGER_BITS, shift)
    steps = np.where(near, difference, 0) << max(shift, 0)
    exponent = divide_by_pot(high_mul(steps, multiplier), max(-shift, 0))
    exponential = exp_on_negative(exponent, _SOFTMAX_INTEGER_BITS)
    total = np.where(near, divide_by_pot(exponential, _SOFTMAX_SUM_BITS), 0)
    total = total.sum(axis=-1, keepdims=True)
    # total = 2**(headroom) * (1 + mantissa), with 12 integer bits; it is at least one
    zeros = 31 - np.floor(np.log2(total.astype(np.float64))).astype(np.int64)
    mantissa = ((total << zeros) & 0xFFFFFFFF) - (1 << 31)
    product = high_mul(one_over_one_plus(mantissa), exponential)
    result = divide_by_pot(product, _SOFTMAX_SUM_BITS - zeros + 31 - 8) - 128
    return np.where(near, np.clip(result, -128, 127), -128)


def logistic_int8(x: ArrayLike, in_scale: float, in_zero: int) -> Int:
    """1 / (1 + exp(-x)), int8 to int8 with scale 1/256 and zero point -128.

    Source: TensorFlow Lite ``reference_integer_ops::Logistic``, with 4 integer bits.

    >>> logistic_int8([0, 40, -40], 0.1, 0).tolist()
    [0, 123, -123]
    """
    a = np.asarray(x, np.int64) - in_zero
    real = float(np.float32(in_scale)) * (1 << (31 - _LOGISTIC_INTEGER_BITS))
    multiplier, shift = quantize_multiplier(real)
    radius = _input_radius(_LOGISTIC_INTEGER_BITS, shift)
    inside = np.clip(a, 1 - radius, radius - 1)
    steps = scale(inside, multiplier, shift, "double")
    value = divide_by_pot(logistic(steps, _LOGISTIC_INTEGER_BITS), 31 - 8) - 128
    value = np.clip(value, -128, 127)
    return np.where(a <= -radius, -128, np.where(a >= radius, 127, value))


def _input_radius(integer_bits: int, shift: int) -> int:
    """The largest difference that still fits the fixed point. Source: ``CalculateInputRadius``."""
    return math.floor(((1 << integer_bits) - 1) * 2.0 ** (31 - integer_bits - shift))
