# amaranth: UnusedElaboratable=no
"""The ROM streams what it holds, once, however its reader waits."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from prunus.hw import rom
from prunus.hw.rom import Rom


@pytest.mark.parametrize("stall", [False, True])
@pytest.mark.parametrize("deep", [16, 1 << 14])
def test_streams_its_contents(monkeypatch, deep, stall):
    monkeypatch.setattr(rom, "DEEP", deep)  # by bits, and by bytes
    rng = np.random.default_rng(1)
    contents = rng.integers(0, 256, 40).astype(np.uint8).tobytes()
    dut = Rom(contents)
    got = []

    async def bench(ctx):
        for _ in range(400):
            ctx.set(dut.o.ready, int(rng.integers(4) == 0) if stall else 1)
            _, _, valid, ready, byte = await ctx.tick().sample(
                dut.o.valid, dut.o.ready, dut.o.payload
            )
            if valid and ready:
                got.append(byte)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    assert bytes(got) == contents


def test_stops():
    dut = Rom(bytes(range(20)))
    got = []

    async def bench(ctx):
        ctx.set(dut.o.ready, 1)
        for cycle in range(100):
            ctx.set(dut.stop, int(cycle == 30))
            _, _, valid = await ctx.tick().sample(dut.o.valid)
            got.append(valid)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    assert 5 < sum(got[:31]) < 15 and not any(got[32:])


def test_refuses_nothing():
    with pytest.raises(ValueError, match=r"^contents must be at least 2 bytes, not 0$"):
        Rom(b"")
