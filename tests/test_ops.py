"""The golden operators against the reference interpreter, bit for bit."""

import numpy as np
import pytest
from tflite_builder import OpSpec, TensorSpec, build, reference

from prunus.sim import ops

EVERY = np.arange(-128, 128, dtype=np.int8)[None]


def one_op(code, before, after, options=None, version=1):
    return build([before, after], [OpSpec(code, [0], [1], options or {}, version)], [0], [1])


@pytest.fixture(scope="module", autouse=True)
def interpreter():
    pytest.importorskip("ai_edge_litert.interpreter")


@pytest.mark.parametrize("seed", range(30))
def test_softmax(seed):
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 40))
    scale = float(np.float32(10 ** rng.uniform(-4, 1)))
    beta = float(np.float32(rng.choice([1.0, 0.5, 1.7])))
    x = np.clip(rng.normal(size=(40, size)) * rng.choice([3, 20, 80]), -128, 127).astype(np.int8)
    model = one_op(
        "SOFTMAX",
        TensorSpec("x", (1, size), scale=scale, zero_point=int(rng.integers(-128, 128))),
        TensorSpec("y", (1, size), scale=1 / 256, zero_point=-128),
        {"Beta": beta},
        version=2,
    )
    assert np.array_equal(ops.softmax_int8(x, scale, beta), reference(model, x))


@pytest.mark.parametrize("seed", range(30))
def test_logistic(seed):
    rng = np.random.default_rng(seed)
    scale, zero = float(np.float32(10 ** rng.uniform(-3, 0.5))), int(rng.integers(-128, 128))
    before = TensorSpec("x", (1, 256), scale=scale, zero_point=zero)
    after = TensorSpec("y", (1, 256), scale=1 / 256, zero_point=-128)
    model = one_op("LOGISTIC", before, after, version=2)
    assert np.array_equal(ops.logistic_int8(EVERY, scale, zero), reference(model, EVERY))


@pytest.mark.parametrize("seed", range(30))
def test_requantize_int8(seed):
    rng = np.random.default_rng(seed)
    ratio = 2.0 ** rng.integers(-3, 4) if seed % 3 == 0 else rng.uniform(0.2, 5)
    a = float(np.float32(rng.uniform(0.01, 0.5)))
    b = float(np.float32(a * ratio))
    p, q = (int(z) for z in rng.integers(-128, 128, 2))
    before = TensorSpec("x", (1, 256), scale=a, zero_point=p)
    after = TensorSpec("y", (1, 256), scale=b, zero_point=q)
    model = one_op("QUANTIZE", before, after, version=2)
    assert np.array_equal(ops.requantize_int8(EVERY, a, p, b, q), reference(model, EVERY))


@pytest.mark.parametrize("seed", range(10))
def test_quantize(seed):
    rng = np.random.default_rng(seed)
    scale, zero = np.float32(rng.uniform(0.01, 0.5)), int(rng.integers(-128, 128))
    ties = (rng.integers(-140, 140, 500) + np.float32(0.5)) * scale
    beside = np.nextafter(ties, np.where(ties > 0, 0, -1e9).astype(np.float32))
    x = np.concatenate([ties, beside, rng.normal(size=500) * 100 * scale]).astype(np.float32)
    before = TensorSpec("x", (1, x.size), "float32")
    after = TensorSpec("y", (1, x.size), scale=float(scale), zero_point=zero)
    model = one_op("QUANTIZE", before, after)
    assert np.array_equal(ops.quantize(x[None], float(scale), zero), reference(model, x[None]))


def test_dequantize():
    before = TensorSpec("x", (1, 256), scale=0.0371, zero_point=-77)
    model = one_op("DEQUANTIZE", before, TensorSpec("y", (1, 256), "float32"), version=2)
    scale = float(np.float32(0.0371))
    assert np.array_equal(ops.dequantize(EVERY, scale, -77), reference(model, EVERY))


@pytest.mark.parametrize("rounding", ["single", "double"])
def test_scale_is_the_formula(rounding):
    rng = np.random.default_rng(1)
    for _ in range(300):
        acc = int(rng.integers(-(1 << 27), 1 << 27))
        q, shift = int(rng.integers(1 << 30, 1 << 31)), int(rng.integers(-31, 4))
        if rounding == "single":
            wanted = (acc * q + (1 << (30 - shift))) >> (31 - shift)
        else:
            product = (acc << max(shift, 0)) * q
            nudged = product + ((1 << 30) if product >= 0 else 1 - (1 << 30))
            high = abs(nudged) // (1 << 31) * (1 if nudged >= 0 else -1)
            wanted = abs(high)
            if shift < 0:
                wanted = (abs(high) + (1 << (-shift - 1))) >> -shift
            wanted = wanted if high >= 0 else -wanted
        assert ops.scale(acc, q, shift, rounding) == wanted


@pytest.mark.parametrize("shift", [-32, 31])
def test_scale_refuses_a_shift(shift):
    with pytest.raises(ValueError, match="^shift must be -31 to 30, not"):
        ops.scale(1, 1 << 30, shift, "single")


def test_scale_refuses_a_rounding():
    with pytest.raises(ValueError, match="^rounding must be 'single' or 'double', not 'up'"):
        ops.scale(1, 1 << 30, 0, "up")


@pytest.mark.parametrize("real", [0.0, -1.0, float("nan"), float("inf"), 1e-30, 1e30])
def test_quantize_multiplier_refuses(real):
    with pytest.raises(ValueError, match="^scale must be "):
        ops.quantize_multiplier(real)


@pytest.mark.parametrize("real", [1.0, 0.99999999999, 2.0**-32, 1e-5, 12.75])
def test_quantize_multiplier_is_near(real):
    multiplier, shift = ops.quantize_multiplier(real)
    assert 1 << 30 <= multiplier < 1 << 31
    assert abs(multiplier * 2.0 ** (shift - 31) / real - 1) <= 2.0**-31


@pytest.mark.parametrize("zero", [-128, 0, 127])
def test_accumulator_bits_is_the_worst_case(zero):
    rng = np.random.default_rng(zero + 200)
    weight, bias = rng.integers(-128, 128, (3, 7)), rng.integers(-5000, 5000, 3)
    bits = ops.accumulator_bits(weight, bias, zero)
    low, high = ops.accumulator_range(weight, bias, zero)
    extreme = np.where(weight > 0, 127, -128)
    other = np.where(weight > 0, -128, 127)
    assert high.tolist() == ((weight * (extreme - zero)).sum(axis=1) + bias).tolist()
    assert low.tolist() == ((weight * (other - zero)).sum(axis=1) + bias).tolist()
    reached = [*(low - np.maximum(bias, 0)), *(high - np.minimum(bias, 0))]
    limit = 1 << (bits - 1)
    assert all(-limit <= value < limit for value in reached)
    assert not all(-limit // 2 <= value < limit // 2 for value in reached)


def test_accumulator_bits_of_nothing():
    assert ops.accumulator_bits([[0, 0]], [0], 0) == 1


def test_quantize_refuses_nan():
    with pytest.raises(ValueError, match="^x must be free of NaN"):
        ops.quantize([float("nan")], 1.0, 0)
