# amaranth: UnusedElaboratable=no
"""One requantization lane against plain Python integers, both rounding rules."""

import numpy as np
import pytest
from amaranth import Module, Signal, signed
from amaranth.sim import Simulator

from prunus.hw.config import Config
from prunus.hw.vector.requantize import Requantize


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


def cases(rng, acc_width, left_shift_bits, count):
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
        multiplier = int(rng.choice([1 << 30, (1 << 31) - 1, int(rng.integers(1 << 30, 1 << 31))]))
        yield acc, bias, multiplier, shift


@pytest.mark.parametrize("double_round", [0, 1])
@pytest.mark.parametrize(
    ("acc_width", "left_shift_bits"), [(17, 0), (24, 0), (31, 2), (32, 0), (32, 4)]
)
def test_equals_reference(acc_width, left_shift_bits, double_round):
    rng = np.random.default_rng(acc_width * 10 + double_round)
    config = Config(acc_width=acc_width, left_shift_bits=left_shift_bits)
    dut = Requantize(config)
    m = Module()
    m.submodules.dut = dut
    o = Signal(signed(8))
    m.d.sync += o.eq(dut.o)
    zero, low, high = 5, -128, 127
    inputs = list(cases(rng, acc_width, left_shift_bits, 1000))
    got = []

    async def drive(ctx):
        ctx.set(dut.double_round, double_round)
        ctx.set(dut.zero, zero)
        ctx.set(dut.low, low)
        ctx.set(dut.high, high)
        for acc, bias, multiplier, shift in inputs:
            ctx.set(dut.acc, acc)
            ctx.set(dut.bias, bias)
            ctx.set(dut.record, {"multiplier": multiplier - (1 << 30), "shift": shift})
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
    assert got == [expected(*case, double_round, zero, low, high) for case in inputs]
    assert len(set(got)) > 100
