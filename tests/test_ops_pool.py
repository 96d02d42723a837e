"""Golden pooling against the reference interpreter, bit for bit."""

import numpy as np
import pytest
from spatial import clamp_of, draw_window, scale_of
from tflite_builder import OpSpec, TensorSpec, build, reference

from prunus.sim import ops, ops_pool


@pytest.mark.parametrize("code", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
@pytest.mark.parametrize("seed", range(30))
def test_pools_equal_the_reference(seed, code):
    pytest.importorskip("ai_edge_litert.interpreter")
    rng = np.random.default_rng(seed)
    window = draw_window(rng, dilated=False)
    scale, zero = scale_of(rng, seed % 2 == 0), int(rng.integers(-128, 128))
    channels, activation = int(rng.integers(1, 6)), int(rng.integers(4))
    tensors = [
        TensorSpec("x", (1, *window.size, channels), scale=scale, zero_point=zero),
        TensorSpec("y", (1, *window.output, channels), scale=scale, zero_point=zero),
    ]
    options = window.options("pool") | {"FusedActivationFunction": activation}
    raw = build(tensors, [OpSpec(code, [0], [1], options, 2)], [0], [1])
    x = rng.integers(-128, 128, (8, *window.size, channels)).astype(np.int8)
    pool = ops_pool.max_pool_2d if code == "MAX_POOL_2D" else ops_pool.average_pool_2d
    low, high = clamp_of(activation, np.float32(scale), zero)
    result = pool(x, window.kernel, window.stride, window.padding, low, high)
    assert np.array_equal(result, reference(raw, x))


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("seed", range(25))
def test_mean_equals_the_reference(seed, keep):
    pytest.importorskip("ai_edge_litert.interpreter")
    rng = np.random.default_rng(seed)
    h, w, c = (int(v) for v in rng.integers(1, 12, 3))
    before = scale_of(rng, seed % 4 == 0)
    after = before if seed % 3 == 0 else scale_of(rng, seed % 4 == 0)
    zeros = [int(v) for v in rng.integers(-128, 128, 2)]
    tensors = [
        TensorSpec("x", (1, h, w, c), scale=before, zero_point=zeros[0]),
        TensorSpec("axes", (2,), "int32", data=np.array([1, 2], np.int32)),
        TensorSpec("y", (1, 1, 1, c) if keep else (1, c), scale=after, zero_point=zeros[1]),
    ]
    raw = build(tensors, [OpSpec("MEAN", [0, 1], [2], {"KeepDims": keep}, 2)], [0], [2])
    x = rng.integers(-128, 128, (20, h, w, c)).astype(np.int8)
    parameters = ops_pool.mean_parameters(*ops.quantize_multiplier(before / after), h * w)
    result = ops_pool.mean_space(x, zeros[0], *parameters, zeros[1])
    wanted = reference(raw, x)
    assert np.array_equal(result.reshape(wanted.shape), wanted)


def test_padding_is_neither_counted_nor_the_largest():
    x = np.array([[[[3], [5]]]])
    assert ops_pool.average_pool_2d(x, (1, 2), (1, 1), (0, 0, 1, 1)).ravel().tolist() == [3, 4, 5]
    assert ops_pool.max_pool_2d(-x, (1, 2), (1, 1), (0, 0, 1, 1)).ravel().tolist() == [-3, -3, -5]
