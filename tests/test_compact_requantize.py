# amaranth: UnusedElaboratable=no
"""The requantization of the compact engine against the golden operator."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from prunus.hw.compact.requantize import HalfRateRequantize
from prunus.hw.config import Config
from prunus.hw.image import MULTIPLIER_BITS
from prunus.sim import ops


@pytest.mark.parametrize("acc_width", [17, 20, 21, 23, 28, 32])
@pytest.mark.parametrize("rounding", ["double", "single"])
@pytest.mark.parametrize("small", [0, 1])
def test_equals_the_golden_operator(acc_width, rounding, small):
    rng = np.random.default_rng(acc_width)
    count, half = 200, 1 << (acc_width - 1)
    dut = HalfRateRequantize(Config(acc_width=acc_width))
    ends = np.array([-half, half - 1, 0, 1, -1, half // 2, -half // 2])
    sums = np.concatenate([ends, rng.integers(-half, half, count - len(ends))])
    bias = rng.integers(-half // 4, half // 4, count)
    sums = np.clip(sums - bias, -half, half - 1)
    bias = np.where(np.abs(sums + bias + 0.5) < half, bias, 0)
    multiplier = rng.integers(0, 1 << MULTIPLIER_BITS, count)
    multiplier[:3] = 0, (1 << MULTIPLIER_BITS) - 1, 1
    shift = np.clip(acc_width - 8 + rng.integers(-8, 9, count), 0, 31)
    zero, low, high = (int(v) for v in (rng.integers(-128, 128), -100, 120))
    got = []

    async def bench(ctx):
        for name, value in (("zero", zero), ("low", low), ("high", high), ("small", small)):
            ctx.set(getattr(dut, name), value)
        ctx.set(dut.double_round, rounding == "double")
        for time in range(2 * count + dut.LATENCY):
            n = min(time // 2, count - 1)
            ctx.set(dut.acc, int(sums[n]) if time % 2 == 0 else 0)
            ctx.set(dut.bias, int(bias[n]) if time % 2 == 0 else 0)
            n = min(max(0, time // 2 - 1), count - 1)
            ctx.set(dut.record.multiplier, int(multiplier[n]))
            ctx.set(dut.record.shift, int(shift[n]) - (64 if shift[n] >= 32 else 0))
            ctx.set(dut.low_half, time % 2 == 0)
            if time >= dut.LATENCY and (time - dut.LATENCY) % 2 == 0:
                got.append(ctx.get(dut.o))
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    wide = multiplier + (0 if small else 1 << MULTIPLIER_BITS)
    golden = ops.requantize(sums + bias, wide, -shift, rounding, zero, low, high)
    assert got == golden.tolist()[: len(got)]
    assert len(got) == count


def test_refuses_left_shifts():
    with pytest.raises(ValueError, match=r"^left_shift_bits must be 0, not 2$"):
        HalfRateRequantize(Config(left_shift_bits=2))
