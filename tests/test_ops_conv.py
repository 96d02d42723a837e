"""Golden convolutions against the reference interpreter, bit for bit, and against plain loops."""

import itertools

import numpy as np
import pytest
from spatial import convolution
from tflite_builder import reference

from prunus.sim import ops, ops_conv
from prunus.sim.exact import exact_product


def golden(case, x, depthwise):
    kernel = ops_conv.depthwise_conv_2d if depthwise else ops_conv.conv_2d
    window = case.window
    acc = kernel(x, case.weight, case.zeros[0], window.stride, window.padding, window.dilation)
    multiplier, shift = np.array([ops.quantize_multiplier(s) for s in case.scales]).T
    return ops.requantize(acc + case.bias, multiplier, shift, "double", case.zeros[1], *case.clamp)


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("seed", range(40))
def test_convolutions_equal_the_reference(seed, depthwise):
    pytest.importorskip("ai_edge_litert.interpreter")
    rng = np.random.default_rng(seed)
    case = convolution(
        rng,
        depthwise=depthwise,
        powers=seed % 3 == 0,
        per_channel=seed % 4 > 0,
        bias=seed % 5 > 0 or not depthwise,  # the reference's CONV_2D always has one
    )
    x = rng.integers(-128, 128, (6, *case.shape)).astype(np.int8)
    assert np.array_equal(golden(case, x, depthwise), reference(case.raw, x))


def plain(x, weight, zero, stride, padding, dilation):
    """The definition, one product at a time."""
    outputs, kh, kw, channels = weight.shape
    top, bottom, left, right = padding
    n, h, w, _ = x.shape
    rows = ops_conv.output_size(h, kh, stride[0], dilation[0], top, bottom)
    columns = ops_conv.output_size(w, kw, stride[1], dilation[1], left, right)
    result = np.zeros((n, rows, columns, outputs), np.int64)
    for row, column, i, j in itertools.product(range(rows), range(columns), range(kh), range(kw)):
        y = row * stride[0] - top + i * dilation[0]
        z = column * stride[1] - left + j * dilation[1]
        if 0 <= y < h and 0 <= z < w:
            result[:, row, column] += (x[:, y, z].astype(int) - zero) @ weight[:, i, j].T
    return result


@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (2, 0, 1, 3), (0, 1, 2, 2)])
@pytest.mark.parametrize("stride, dilation", [((1, 1), (1, 1)), ((2, 3), (1, 1)), ((2, 1), (3, 2))])
def test_conv_2d_is_the_definition(padding, stride, dilation):
    rng = np.random.default_rng(sum(padding))
    x = rng.integers(-128, 128, (2, 9, 8, 3))
    weight = rng.integers(-128, 128, (4, 3, 2, 3))
    result = ops_conv.conv_2d(x, weight, -7, stride, padding, dilation)
    assert np.array_equal(result, plain(x, weight, -7, stride, padding, dilation))


def test_depthwise_is_conv_2d_with_zeros_elsewhere():
    rng = np.random.default_rng(5)
    x, weight = rng.integers(-128, 128, (2, 6, 5, 3)), rng.integers(-128, 128, (1, 3, 3, 6))
    spread = np.zeros((6, 3, 3, 3), np.int64)
    for output in range(6):
        spread[output, :, :, output // 2] = weight[0, :, :, output]
    given = (11, (2, 1), (1, 0, 1, 1), (1, 2))
    wanted = ops_conv.conv_2d(x, spread, *given)
    assert np.array_equal(ops_conv.depthwise_conv_2d(x, weight, *given), wanted)


@pytest.mark.parametrize("size", [1, 1 << 14, 1 << 31])
def test_products_are_exact_beyond_floating_point(size):
    rows = np.full((2, 3), size, np.int64) + np.arange(6).reshape(2, 3)
    matrix = np.array([[size >> 8, 1], [1, size >> 8], [3, 5]], np.int64)
    wanted = [
        [sum(int(a) * int(b) for a, b in zip(row, column, strict=True)) for column in matrix.T]
        for row in rows
    ]
    assert exact_product(rows, matrix).tolist() == wanted


def test_many_samples_go_in_chunks(monkeypatch):
    rng = np.random.default_rng(6)
    x, weight = rng.integers(-128, 128, (7, 5, 5, 2)), rng.integers(-128, 128, (3, 2, 2, 2))
    whole = ops_conv.conv_2d(x, weight, 3)
    monkeypatch.setattr(ops_conv, "_CHUNK", 300)
    assert np.array_equal(ops_conv.conv_2d(x, weight, 3), whole)
    assert ops_conv.conv_2d(x[:0], weight, 3).shape == (0, 4, 4, 3)


def test_a_kernel_beyond_the_input_is_refused():
    with pytest.raises(ValueError, match=r"^kernel must fit the padded input of \(2, 2\), not be"):
        ops_conv.conv_2d(np.zeros((1, 2, 2, 1)), np.zeros((1, 3, 1, 1)), 0)
    with pytest.raises(ValueError, match="^outputs must be a multiple of 2 channels, not 3"):
        ops_conv.depthwise_conv_2d(np.zeros((1, 2, 2, 2)), np.zeros((1, 1, 1, 3)), 0)
