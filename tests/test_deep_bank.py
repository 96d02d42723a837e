# amaranth: UnusedElaboratable=no
"""A deep memory answers as one bank would, a cycle later."""

import random

import pytest
from amaranth.sim import Simulator

from prunus.hw.deep_bank import DeepBank


@pytest.mark.parametrize("depth", [2, 2047, 2048, 2049, 4097, 5000])
@pytest.mark.parametrize("parts", [1, 2])
def test_reads_what_was_written(depth, parts):
    rng = random.Random(depth)
    dut = DeepBank(width=6, depth=depth, parts=parts)
    part = 6 // parts
    edges = [n for n in (0, 1, 2046, 2047, 2048, 2049, 4095, 4096, 4097, depth - 1) if n < depth]
    content = {}

    async def testbench(ctx):
        for address in [*edges, *(rng.randrange(depth) for _ in range(40))] * 2:
            enable = rng.randrange(1, 1 << parts)
            if address not in content:
                enable, content[address] = (1 << parts) - 1, 0
            value = rng.getrandbits(6)
            ctx.set(dut.w_addr, address)
            ctx.set(dut.w_data, value)
            ctx.set(dut.w_en, enable)
            await ctx.tick()
            mask = sum(((1 << part) - 1) << n * part for n in range(parts) if enable >> n & 1)
            content[address] = content[address] & ~mask | value & mask
        ctx.set(dut.w_en, 0)
        ctx.set(dut.r_en, 1)
        addresses = [*content, *reversed(content)]
        for n, address in enumerate([*addresses, 0]):
            ctx.set(dut.r_addr, address)
            await ctx.tick()
            if n:
                assert ctx.get(dut.r_data) == content[addresses[n - 1]]

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()
