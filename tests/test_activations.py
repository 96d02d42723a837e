# amaranth: UnusedElaboratable=no
import numpy as np
import pytest
from amaranth.sim import Simulator

from prunus.hw.activations import Activations
from prunus.hw.config import Config


@pytest.mark.parametrize(
    "shape",
    [
        dict(lanes=1, act_word=2, columns=1),
        dict(lanes=4, act_word=8, columns=4),
        dict(lanes=8, act_word=16, columns=8),
        dict(lanes=2, act_word=8, columns=2),
        dict(lanes=4, act_word=16),
        dict(lanes=1, act_word=1),
    ],
    ids=str,
)
@pytest.mark.parametrize("depth", [8, 11])
def test_reads_bytes_from_any_address(shape, depth):
    config = Config(pes=0 if "columns" in shape else shape["lanes"], act_depth=depth, **shape)
    dut = Activations(config)
    rng = np.random.default_rng(depth)
    lanes, size = config.lanes, config.act_word
    contents = rng.integers(0, 256, depth * size, dtype=np.uint8)
    last = (depth - 1) * size
    starts = [0, last, *(int(n) for n in rng.integers(0, last + 1, 80))]
    if not config.columns:
        starts = [start - start % size for start in starts]

    async def testbench(ctx):
        ctx.set(dut.w_en, 1)
        for n in rng.permutation(depth * config.groups).tolist():
            address, group = divmod(n, config.groups)
            ctx.set(dut.w_addr, address)
            ctx.set(dut.w_group, group)
            ctx.set(dut.w_data, int.from_bytes(contents[n * lanes :][:lanes].tobytes(), "little"))
            await ctx.tick()
        ctx.set(dut.w_en, 0)
        await ctx.tick()
        for start in starts:
            address, offset = divmod(start, size)
            ctx.set(dut.r_addr, address)
            if config.columns:
                ctx.set(dut.r_ahead, (1 << offset) - 1)
                ctx.set(dut.r_next, (address + 1) % depth)
            ctx.set(dut.r_en, 1)
            for _ in range(config.read_latency):
                await ctx.tick()
                # It holds, whatever the address is.
                ctx.set(dut.r_en, 0)
                ctx.set(dut.r_addr, int(rng.integers(depth)))
            for _ in range(int(rng.integers(1, 3))):
                raw = ctx.get(dut.r_data).to_bytes(size, "little")
                turned = [raw[(i + offset) % size] for i in range(size)]
                assert turned == contents[start : start + size].tolist()
                await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()
