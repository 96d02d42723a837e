"""Golden Winograd convolution: exact, by way of the transform domain, in as few bits as gates use.

Widths, for int8 inputs and kernels of the whole range -128..127 (:class:`.Scheme` has them for each
element): of B^T d B 10 bits with F(2x2) and 15 with F(4x4), of G g G^T 12 and 14, of their products
21 and 28; sums over channels wrap in the bits of the result and 2 or 6 more.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prunus.hw.winograd.scheme import SCHEMES, Scheme

from .fixed_point import Int
from .ops_conv import Padding, output_size, windows

__all__ = [
    "divide_exactly",
    "input_transform",
    "inverse_transform",
    "kernel_transform",
    "winograd_conv_2d",
    "wrap",
]


def wrap(values: NDArray[Any], bits: int) -> Int:
    """The integers modulo ``2**bits`` that a signed number of so many bits holds.

    >>> wrap(np.array([7, 8, -9]), 4).tolist()
    [7, -8, 7]
    """
    half = 1 << (bits - 1)
    wrapped: Int = ((values + half) & ((1 << bits) - 1)) - half
    return wrapped


def input_transform(scheme: Scheme, d: ArrayLike) -> Int:
    """``B^T d B`` of tiles d (..., size, size)."""
    matrix = np.array(scheme.inputs)
    result: Int = matrix @ np.asarray(d, np.int64) @ matrix.T
    return result


def kernel_transform(scheme: Scheme, g: ArrayLike) -> Int:
    """``G g G^T`` of kernels g (..., 3, 3)."""
    matrix = np.array(scheme.kernel)
    result: Int = matrix @ np.asarray(g, np.int64) @ matrix.T
    return result


def inverse_transform(scheme: Scheme, sums: ArrayLike) -> Int:
    """``A^T sums A`` of sums (..., size, size): ``divisor`` times the outputs."""
    matrix = np.array(scheme.result)
    result: Int = matrix @ np.asarray(sums, np.int64) @ matrix.T
    return result


def divide_exactly(scheme: Scheme, values: NDArray[Any], bits: int) -> Int:
    """``values / divisor`` as a signed number of ``bits`` bits; values are multiples of it, of
    which only the low ``bits + shift`` bits count.

    An odd number has an inverse modulo a power of two:
    ``1 / (1 + x) = (1 - x) (1 + x**2) (1 + x**4) ...``, where x is 8.

    >>> from prunus.hw.winograd.scheme import F4
    >>> divide_exactly(F4, np.array([-576, 576 * 100, 576 * 100 + (1 << 38)]), 32).tolist()
    [-1, 100, 100]
    """
    quotient = wrap(values >> scheme.shift, bits)
    power = scheme.odd.bit_length() - 1
    sign = -1
    while scheme.odd > 1 and power < bits:
        quotient = wrap(quotient + sign * (quotient << power), bits)
        power, sign = 2 * power, 1
    return quotient


def winograd_conv_2d(
    x: ArrayLike,
    weight: ArrayLike,
    zero: int,
    padding: Padding = (0, 0, 0, 0),
    *,
    outputs: int = 4,
    bits: int = 32,
) -> Int:
    """``sum(x * weight)`` over 3x3 windows, stride 1, with ``zero`` outside of x, modulo 2**bits.

    x is (n, h, w, c), weight (k, 3, 3, c), the result (n, rows, columns, k). Every element of the
    sums over the channels wraps in the bits that are needed: the result's, and ``scheme.shift``,
    without the factors of two that A^T has for it.
    """
    scheme = SCHEMES[outputs]
    m, size = scheme.outputs, scheme.size
    top, bottom, left, right = padding
    x = np.asarray(x, np.int64)
    _, height, width, _ = x.shape
    rows = output_size(height, 3, 1, 1, top, bottom)
    columns = output_size(width, 3, 1, 1, left, right)
    more = ((0, 0), (top, bottom + -rows % m), (left, right + -columns % m), (0, 0))
    patches = windows(np.pad(x, more, constant_values=zero), (size, size), (m, m))
    v = input_transform(scheme, np.moveaxis(patches, -1, 3))  # (n, y, x, c, size, size)
    u = kernel_transform(scheme, np.moveaxis(np.asarray(weight), -1, 1))  # (k, c, size, size)
    sums = np.einsum("nyxcab,kcab->nyxkab", v, u)
    for a in range(size):
        for b in range(size):
            needed = bits + scheme.shift - scheme.spare[a] - scheme.spare[b]
            sums[..., a, b] = wrap(sums[..., a, b], needed)
    y = divide_exactly(scheme, inverse_transform(scheme, sums), bits)  # (n, y, x, k, m, m)
    n, tiles_y, tiles_x, k = y.shape[:4]
    whole = y.transpose(0, 1, 4, 2, 5, 3).reshape(n, tiles_y * m, tiles_x * m, k)
    return whole[:, :rows, :columns]
