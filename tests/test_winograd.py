"""The Winograd transforms: exact over the corners of the int8 range, and in the bits they claim."""

import itertools

import numpy as np
import pytest

from prunus.hw.winograd.scheme import F2, F4, SCHEMES, bits_of
from prunus.sim.ops_conv import conv_2d
from prunus.sim.winograd import (
    divide_exactly,
    input_transform,
    inverse_transform,
    kernel_transform,
    winograd_conv_2d,
    wrap,
)

schemes = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=lambda s: f"F{s.outputs}")


def direct(x, w, zero, padding):
    top, bottom, left, right = padding
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=zero)
    return conv_2d(padded, w, 0)


@schemes
def test_the_transforms_are_a_convolution_whatever_the_numbers(scheme):
    """The algorithm is bilinear, so it is right if it is for every single input and weight."""
    m, size = scheme.outputs, scheme.size
    d = np.eye(size * size, dtype=int).reshape(-1, 1, size, size)
    g = np.eye(9, dtype=int).reshape(1, -1, 3, 3)
    sums = input_transform(scheme, d) * kernel_transform(scheme, g)
    y = inverse_transform(scheme, sums)
    for (i, tile), (j, kernel) in itertools.product(enumerate(d[:, 0]), enumerate(g[0])):
        expected = [
            [(tile[r : r + 3, c : c + 3] * kernel).sum() for c in range(m)] for r in range(m)
        ]
        assert (y[i, j] == scheme.divisor * np.array(expected)).all()


@schemes
def test_widths_are_those_of_the_corners(scheme):
    """The largest and smallest element of each transform is where every int8 is an extreme."""
    for a, b in itertools.product(range(scheme.size), repeat=2):
        for transform, rows, bounds in (
            (input_transform, scheme.inputs, scheme.input_range(a, b)),
            (kernel_transform, scheme.kernel, scheme.kernel_range(a, b)),
        ):
            signs = np.outer(rows[a], rows[b])
            for low, high in ((-128, 127), (127, -128)):
                corner = np.where(signs > 0, high, low)
                assert transform(scheme, corner)[a, b] == bounds[1 if high > 0 else 0]


def test_widths_of_the_multipliers():
    """A product fits one 18 bit, and one 16 bit, multiplier block."""
    for scheme, inputs, kernel, half in ((F2, 10, 12, 9), (F4, 15, 14, 12)):
        points = list(itertools.product(range(scheme.size), repeat=2))
        assert max(bits_of(scheme.input_range(a, b)) for a, b in points) == inputs
        assert max(bits_of(scheme.kernel_range(a, b)) for a, b in points) == kernel
        assert bits_of(scheme.half_range) == half


@schemes
@pytest.mark.parametrize("bits", [9, 24, 25, 32, 40])
def test_exact_division(scheme, bits):
    rng = np.random.default_rng(bits)
    half = 1 << (bits - 1)
    y = np.concatenate([[-half, -1, 0, 1, half - 1], rng.integers(-half, half, 200)])
    values = wrap(y * scheme.divisor, bits + scheme.shift)
    assert (divide_exactly(scheme, values, bits) == y).all()


@schemes
@pytest.mark.parametrize(
    ("size", "channels", "filters", "padding"),
    [
        ((1, 1), 1, 1, (1, 1, 1, 1)),
        ((3, 3), 3, 2, (0, 0, 0, 0)),
        ((7, 5), 5, 3, (1, 1, 1, 1)),
        ((8, 9), 2, 4, (0, 1, 1, 0)),
        ((5, 11), 17, 2, (2, 1, 0, 2)),
    ],
)
def test_equals_the_direct_convolution(scheme, size, channels, filters, padding):
    rng = np.random.default_rng(channels)
    x = rng.integers(-128, 128, (2, *size, channels))
    w = rng.integers(-128, 128, (filters, 3, 3, channels))
    bits = scheme.result_bits(channels)
    got = winograd_conv_2d(x, w, -7, padding, outputs=scheme.outputs, bits=bits)
    assert (got == direct(x, w, -7, padding)).all()


@schemes
@pytest.mark.parametrize("channels", [1, 16, 33])
def test_extremes_need_every_bit(scheme, channels):
    """Inputs and weights are -128 or 127; the largest sum needs the top bit, and gets it."""
    rng = np.random.default_rng(channels)
    bits = scheme.result_bits(channels)
    size = scheme.size
    for _ in range(30):
        x = rng.choice([-128, 127], (1, size, size, channels))
        w = rng.choice([-128, 127], (2, 3, 3, channels))
        got = winograd_conv_2d(x, w, 0, outputs=scheme.outputs, bits=bits)
        assert (got == direct(x, w, 0, (0, 0, 0, 0))).all()
    x = np.full((1, size, size, channels), -128)
    w = np.full((1, 3, 3, channels), -128)
    got = winograd_conv_2d(x, w, 0, outputs=scheme.outputs, bits=bits)
    assert (got == 9 * channels * 128 * 128).all()
    narrow = winograd_conv_2d(x, w, 0, outputs=scheme.outputs, bits=bits - 1)
    assert (narrow != got).all()


@schemes
def test_sums_wrap_as_int32_does(scheme):
    rng = np.random.default_rng(4)
    x = rng.integers(-128, 128, (1, 4, 4, 3)) << 14
    w = rng.integers(-128, 128, (2, 3, 3, 3)) << 14
    got = winograd_conv_2d(x, w, 0, (1, 1, 1, 1), outputs=scheme.outputs)
    assert (got == wrap(direct(x, w, 0, (1, 1, 1, 1)), 32)).all()
