"""Golden operators of several inputs against the reference interpreter, bit for bit."""

import numpy as np
import pytest
from spatial import clamp_of, scale_of
from tflite_builder import OpSpec, TensorSpec, build, reference

from prunus.sim import ops, ops_join

EVERY = np.arange(-128, 128, dtype=np.int8)


@pytest.fixture(scope="module", autouse=True)
def interpreter():
    pytest.importorskip("ai_edge_litert.interpreter")


@pytest.mark.parametrize("seed", range(30))
def test_add(seed):
    """All 65536 pairs of values."""
    rng = np.random.default_rng(seed)
    scales = [scale_of(rng, seed % 3 == 0) for _ in range(3)]
    zeros = [int(v) for v in rng.integers(-128, 128, 3)]
    activation = seed % 4
    tensors = [
        TensorSpec(name, (1, 16, 256), scale=scale, zero_point=zero)
        for name, scale, zero in zip("aby", scales, zeros, strict=True)
    ]
    options = {"FusedActivationFunction": activation}
    raw = build(tensors, [OpSpec("ADD", [0, 1], [2], options, 2)], [0, 1], [2])
    a, b = (v.reshape(16, 16, 256) for v in np.meshgrid(EVERY, EVERY))
    clamp = clamp_of(activation, np.float32(scales[2]), zeros[2])
    parameters = ops_join.add_parameters(*scales)
    result = ops_join.add(a, b, (zeros[0], zeros[1]), parameters, zeros[2], *clamp)
    assert np.array_equal(result, reference(raw, a, b))


@pytest.mark.parametrize("axis", [1, 2, 3, -1])
def test_concatenate(axis):
    rng = np.random.default_rng(axis + 5)
    shapes = [[1, 3, 4, 5] for _ in range(3)]
    for n, shape in enumerate(shapes):
        shape[axis] += n
    total = list(shapes[0])
    total[axis] = sum(shape[axis] for shape in shapes)
    tensors = [
        TensorSpec(f"t{n}", tuple(shape), scale=0.25, zero_point=-3)
        for n, shape in enumerate([*shapes, total])
    ]
    raw = build(tensors, [OpSpec("CONCATENATION", [0, 1, 2], [3], {"Axis": axis}, 2)],
                [0, 1, 2], [3])  # fmt: skip
    x = [rng.integers(-128, 128, (5, *shape[1:])).astype(np.int8) for shape in shapes]
    assert np.array_equal(ops_join.concatenate(x, axis), reference(raw, *x))


@pytest.mark.parametrize("seed", range(8))
def test_pad(seed):
    rng = np.random.default_rng(seed)
    widths = rng.integers(0, 4, (4, 2)).astype(np.int32)
    widths[0] = 0
    shape, zero = (3, 4, 2), int(rng.integers(-128, 128))
    padded = tuple(int(s + w.sum()) for s, w in zip(shape, widths[1:], strict=True))
    tensors = [
        TensorSpec("x", (1, *shape), scale=0.5, zero_point=zero),
        TensorSpec("w", (4, 2), "int32", data=widths),
        TensorSpec("y", (1, *padded), scale=0.5, zero_point=zero),
    ]
    raw = build(tensors, [OpSpec("PAD", [0, 1], [2], {}, 2)], [0], [2])
    x = rng.integers(-128, 128, (4, *shape)).astype(np.int8)
    space, channels = tuple(widths[1:3].ravel().tolist()), tuple(widths[3].tolist())
    assert np.array_equal(ops_join.pad(x, space, channels, zero), reference(raw, x))


@pytest.mark.parametrize("code, activation", [("RELU", 1), ("RELU6", 3)])
@pytest.mark.parametrize("seed", range(8))
def test_activation_functions(seed, code, activation):
    """Alone, they are a change of scale and a clamp."""
    rng = np.random.default_rng(seed)
    before = scale_of(rng, seed % 2 == 0)
    after = before if seed % 3 == 0 else scale_of(rng, seed % 2 == 0)
    zeros = [int(v) for v in rng.integers(-128, 128, 2)]
    tensors = [
        TensorSpec("x", (1, 256), scale=before, zero_point=zeros[0]),
        TensorSpec("y", (1, 256), scale=after, zero_point=zeros[1]),
    ]
    raw = build(tensors, [OpSpec(code, [0], [1], {}, 2)], [0], [1])
    multiplier, shift = ops.quantize_multiplier(before / after)
    clamp = clamp_of(activation, np.float32(after), zeros[1])
    centred = EVERY[None].astype(int) - zeros[0]
    result = ops.requantize(centred, multiplier, shift, "double", zeros[1], *clamp)
    assert np.array_equal(result, reference(raw, EVERY[None]))
