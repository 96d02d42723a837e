# amaranth: UnusedElaboratable=no
import numpy as np
import pytest
from amaranth.sim import Simulator

from prunus.hw.skid import SkidBuffer


@pytest.mark.parametrize(("give", "take"), [(1.0, 1.0), (0.5, 1.0), (1.0, 0.5), (0.7, 0.7)])
def test_nothing_is_lost(give, take):
    rng = np.random.default_rng(1)
    sent = rng.integers(0, 256, 300).tolist()
    dut = SkidBuffer(8)
    got, cycles = [], 0

    async def bench(ctx):
        nonlocal cycles
        left, offered = list(sent), False
        while len(got) < len(sent):
            offered = bool(left) and (offered or rng.random() < give)
            taking = rng.random() < take
            ctx.set(dut.i.valid, offered)
            ctx.set(dut.i.payload, left[0] if offered else 0)
            ctx.set(dut.o.ready, taking)
            if taking and ctx.get(dut.o.valid):
                got.append(ctx.get(dut.o.payload))
            if offered and ctx.get(dut.i.ready):
                left.pop(0)
                offered = False
            await ctx.tick()
            cycles += 1

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert got == sent
    assert give < 1 or take < 1 or cycles == len(sent) + 1
