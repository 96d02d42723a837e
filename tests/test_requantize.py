# amaranth: UnusedElaboratable=no
"""One requantization lane against plain Python integers, both rounding rules."""

import numpy as np
import pytest
from amaranth import Module, Signal, signed
from amaranth.sim import Simulator

from prunus.hw.config import Config
from prunus.hw.vector.requantize import Requantize
from prunus.sim.ops import requantize


def expected(acc, bias, multiplier, shift, double_round, zero, low, high):
    """As gemmlowp and TensorFlow Lite write it, with Python's integers."""
    x = acc + bias
    left, right = max(0, -shift), max(0, shift)
    if double_round:
        product = (x << left) * multiplier
        nudge = 1 << 30 if product >= 0 else 1 - (1 << 30)
        total = product + nudge
        y = abs(total) // (1 << 31) * (1 if total >= 0 else -1)
        remainder = y & ((1 << right) - 1)
        y = (y >> right) + (remainder > (((1 << right) - 1) >> 1) + (y < 0))
    else:
        total_shift = 31 - left + right
        y = (x * multiplier + (1 << (total_shift - 1))) >> total_shift
    return min(max(y + zero, low), high)


def cases(rng, acc_width, left_shift_bits, count, small=0):
    """(acc, bias, multiplier, shift); multipliers without their top bit where ``small``."""
    top = 0 if small else 1 << 30
    half = 1 << (acc_width - 1)
    for _ in range(count):
        left = int(rng.integers(0, 1 << left_shift_bits)) * int(rng.integers(2))
        limit = half >> left
        x = int(rng.integers(-limit, limit)) >> int(rng.integers(0, acc_width - left - 1))
        if rng.random() < 0.1:
            x = int(rng.choice([-limit, limit - 1, 0, 1, -1]))
        bias = int(rng.integers(-min(limit, 1 << 20), min(limit, 1 << 20)))
        acc = x - bias
        if not -half <= acc < half:
            acc, bias = x, 0
        fitting = max(0, abs(x).bit_length() - 8)  # leaves the result inside int8
        shift = -left if left else int(rng.choice([0, 1, fitting, fitting, fitting + 1, 31]))
        field = int(rng.choice([0, (1 << 30) - 1, int(rng.integers(1 << 30))]))
        yield acc, bias, top + field, shift


def run(config, inputs, double_round, small, limits):
    """What the lane makes of (acc, bias, multiplier, shift); limits are zero, low and high."""
    dut = Requantize(config)
    m = Module()
    m.submodules.dut = dut
    o = Signal(signed(8))
    m.d.sync += o.eq(dut.o)
    zero, low, high = limits
    got = []

    async def drive(ctx):
        ctx.set(dut.double_round, double_round)
        ctx.set(dut.small, small)
        ctx.set(dut.zero, zero)
        ctx.set(dut.low, low)
        ctx.set(dut.high, high)
        for acc, bias, multiplier, shift in inputs:
            ctx.set(dut.acc, acc)
            ctx.set(dut.bias, bias)
            field = multiplier if small else multiplier - (1 << 30)
            ctx.set(dut.record, {"multiplier": field, "shift": shift})
            await ctx.tick()

    async def collect(ctx):
        await ctx.tick().repeat(dut.latency + 1)
        for _ in inputs:
            got.append(ctx.get(o))
            await ctx.tick()

    sim = Simulator(m)
    sim.add_clock(1e-6)
    sim.add_testbench(drive)
    sim.add_testbench(collect)
    sim.run()
    return got


@pytest.mark.parametrize("small", [0, 1])
@pytest.mark.parametrize("lane_blocks", [4, 2])
@pytest.mark.parametrize("double_round", [0, 1])
@pytest.mark.parametrize(
    ("acc_width", "left_shift_bits"), [(17, 0), (24, 0), (31, 2), (32, 0), (32, 4)]
)
def test_equals_reference(acc_width, left_shift_bits, double_round, lane_blocks, small):
    rng = np.random.default_rng(acc_width * 10 + double_round)
    config = Config(acc_width=acc_width, left_shift_bits=left_shift_bits, lane_blocks=lane_blocks)
    inputs = list(cases(rng, acc_width, left_shift_bits, 1000, small))
    limits = 5, -128, 127
    got = run(config, inputs, double_round, small, limits)
    assert got == [expected(*case, double_round, *limits) for case in inputs]
    assert len(set(got)) > 100


def corners(acc_width, small):
    """Accumulators at every power of two and the ends, multipliers and shifts at theirs."""
    half = 1 << (acc_width - 1)
    values = {0, half - 1, -half, *(1 << n for n in range(acc_width - 1))}
    values |= {v + d for v in values for d in (-1, 1)} | {-v for v in values}
    fields = [0, 1, (1 << 15) - 1, 1 << 15, 1 << 29, (1 << 30) - 1]
    shifts = [0, 1, 7, acc_width - 9, 31]
    for x in sorted(v for v in values if -half <= v < half):
        for field in fields:
            for shift in shifts:
                yield x, 0, field if small else field + (1 << 30), shift


@pytest.mark.parametrize("small", [0, 1])
@pytest.mark.parametrize("lane_blocks", [4, 2])
@pytest.mark.parametrize("rounding", ["single", "double"])
@pytest.mark.parametrize("acc_width", [18, 32])
def test_corners_equal_golden(acc_width, rounding, lane_blocks, small):
    inputs = list(corners(acc_width, small))
    limits = -7, -120, 127
    config = Config(acc_width=acc_width, lane_blocks=lane_blocks)
    got = run(config, inputs, rounding == "double", small, limits)
    acc, _, multiplier, shift = (
        np.array(column, dtype=np.int64) for column in zip(*inputs, strict=True)
    )
    golden = requantize(acc, multiplier, -shift, rounding, *limits)
    assert got == golden.tolist()
