"""Fixed-point arithmetic of the reference kernels, on int64 arrays that hold int32 values.

Source: gemmlowp ``fixedpoint/fixedpoint.h``; the names of its functions are given with each.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["Int", "divide_by_pot", "exp_on_negative", "high_mul", "logistic", "one_over_one_plus"]

Int = NDArray[np.int64]
INT32_MAX = (1 << 31) - 1
INT32_MIN = -(1 << 31)

# exp(-2**k) for k = -2..4, 31 fraction bits.
_EXP_OF_POWERS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
_EXP_OF_MINUS_EIGHTH = 1895147668
_ONE_THIRD = 715827883
_48_OVER_17 = 1515870810  # 2 integer bits
_MINUS_32_OVER_17 = -1010580540


def high_mul(a: Int, b: Int | int) -> Int:
    """``a * b / 2**31`` to the nearest, halves up, saturated to int32.

    Source: ``SaturatingRoundingDoublingHighMul``: its nudge has the sign of the product and its
    division truncates toward zero, which together is this.

    >>> high_mul(np.array([3, -3]), np.array([1 << 30, 1 << 30])).tolist()
    [2, -1]
    """
    result: Int = np.minimum((a * b + (1 << 30)) >> 31, INT32_MAX)
    return result


def divide_by_pot(x: Int, exponent: Int | int) -> Int:
    """``x / 2**exponent`` to the nearest, halves away from zero; exponent 0..31.

    Source: ``RoundingDivideByPOT``.

    >>> divide_by_pot(np.array([3, -3, 5]), 1).tolist()
    [2, -2, 3]
    """
    mask = (np.int64(1) << np.asarray(exponent, np.int64)) - 1
    threshold = (mask >> 1) + (x < 0)
    result: Int = (x >> exponent) + ((x & mask) > threshold)
    return result


def exp_on_negative(a: Int, integer_bits: int) -> Int:
    """exp(a) with 31 fraction bits, for a <= 0 with ``31 - integer_bits`` fraction bits.

    Source: ``exp_on_negative_values``; integer_bits at most 5.
    """
    fraction_bits = 31 - integer_bits
    quarter = 1 << (fraction_bits - 2)
    low = (a & (quarter - 1)) - quarter
    result = _exp_on_quarter(low << integer_bits)
    remainder = low - a
    for exponent, factor in enumerate(_EXP_OF_POWERS, start=-2):
        if exponent < integer_bits:
            bit = remainder & (1 << (fraction_bits + exponent))
            result = np.where(bit != 0, high_mul(result, factor), result)
    exact_one: Int = np.where(a == 0, INT32_MAX, result)
    return exact_one


def one_over_one_plus(a: Int) -> Int:
    """1 / (1 + a) with 31 fraction bits, for a in [0, 1) with 31 fraction bits.

    Source: ``one_over_one_plus_x_for_x_in_0_1``: three Newton-Raphson steps.
    """
    half = (a + INT32_MAX + 1) >> 1  # RoundingHalfSum of a and one; both are positive
    x = _saturate(_48_OVER_17 + high_mul(half, _MINUS_32_OVER_17))
    for _ in range(3):
        error = (1 << 29) - high_mul(half, x)
        x = x + _saturate(high_mul(x, error) << 2)
    return _saturate(x << 1)


def logistic(a: Int, integer_bits: int) -> Int:
    """1 / (1 + exp(-a)) with 31 fraction bits, for a with ``31 - integer_bits`` fraction bits.

    Source: ``logistic``.
    """
    positive = one_over_one_plus(exp_on_negative(-np.abs(a), integer_bits))
    result: Int = np.where(a > 0, positive, INT32_MAX - positive)
    return np.where(a == 0, 1 << 30, result)


def _exp_on_quarter(a: Int) -> Int:
    """exp(a) for a in [-1/4, 0), 31 fraction bits: Taylor around -1/8."""
    x = a + (1 << 28)
    square = high_mul(x, x)
    cube = high_mul(square, x)
    fourth = divide_by_pot(high_mul(square, square), 2)
    rest = divide_by_pot(high_mul(fourth + cube, _ONE_THIRD) + square, 1)
    return _saturate(_EXP_OF_MINUS_EIGHTH + high_mul(x + rest, _EXP_OF_MINUS_EIGHTH))


def _saturate(x: Int) -> Int:
    return np.clip(x, INT32_MIN, INT32_MAX)
