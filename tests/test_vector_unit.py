# amaranth: UnusedElaboratable=no
"""The vector unit with an engine made of a table, against plain integers."""

import numpy as np
import pytest
from amaranth.sim import Simulator
from test_requantize import expected

from prunus.hw.bus import Target
from prunus.hw.config import Config
from prunus.hw.vector.unit import VectorUnit


@pytest.mark.parametrize("per_channel", [0, 1])
@pytest.mark.parametrize(
    ("lanes", "act_word", "pes", "outputs"),
    [(1, 1, 1, 1), (1, 8, 2, 5), (2, 8, 2, 2), (4, 4, 8, 13), (8, 16, 16, 33)],
)
def test_equals_reference(lanes, act_word, pes, outputs, per_channel):
    rng = np.random.default_rng(outputs)
    config = Config(pes=pes, lanes=lanes, act_word=act_word, acc_rows=64, channel_depth=64)
    dut = VectorUnit(config)
    accs = rng.integers(-(1 << 20), 1 << 20, (pes, config.acc_rows))
    bias = rng.integers(-(1 << 16), 1 << 16, outputs)
    pe = rng.integers(0, pes // lanes, outputs)
    row = rng.integers(0, config.acc_rows, outputs)
    records = [(int(rng.integers(1 << 30, 1 << 31)), int(rng.integers(10, 16))) for _ in bias]
    channel_base, record_base, out_base = 3, 1, 7
    layer = {
        "double_round": 1,
        "per_channel": per_channel,
        "out_base": out_base,
        "outputs": outputs,
        "out_zero": -3,
        "clamp_min": -100,
        "clamp_max": 120,
        "channel_base": channel_base,
        "record_base": record_base,
    }
    written = {}

    async def write(ctx, target, unit, address, data):
        ctx.set(dut.bus.valid, 1)
        ctx.set(dut.bus.target, target)
        ctx.set(dut.bus.unit, unit)
        ctx.set(dut.bus.address, address)
        ctx.set(dut.bus.data, data)
        await ctx.tick()
        ctx.set(dut.bus.valid, 0)

    async def drive(ctx):
        for n in range(outputs):
            place = int(pe[n]) << config.row_bits | int(row[n])
            data = place << 32 | int(bias[n]) & 0xFFFFFFFF
            await write(ctx, Target.CHANNEL, n % lanes, channel_base + n // lanes, data)
        count = outputs if per_channel else lanes
        for n in range(count):
            multiplier, shift = records[n if per_channel else 0]
            data = shift << 30 | multiplier - (1 << 30)
            await write(ctx, Target.RECORD, n % lanes, record_base + n // lanes, data)
        await ctx.tick().repeat(3)
        for _ in range(2):  # a second pass must not remember the first
            written.clear()
            ctx.set(dut.layer, layer)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            for _ in range(500):
                await ctx.tick()
                if ctx.get(dut.done):
                    break
            else:
                raise TimeoutError("the vector unit does not finish")

    async def engine(ctx):
        pipeline = []
        tick = ctx.tick().sample(dut.locate.valid, dut.locate.ready, dut.locate.payload)
        while True:
            ctx.set(dut.locate.ready, int(rng.integers(2)))
            _, _, valid, ready, places = await tick
            if valid and ready:
                sums = [accs[lanes * places[n].pe + n, places[n].row] for n in range(lanes)]
                pipeline.append([int(s) for s in sums])
            else:
                pipeline.append(None)
            head = pipeline.pop(0) if len(pipeline) > 3 else None
            ctx.set(dut.sums.valid, head is not None)
            if head is not None:
                ctx.set(dut.sums.payload, head)

    async def memory(ctx):
        tick = ctx.tick().sample(dut.w_en, dut.w_addr, dut.w_group, dut.w_data)
        while True:
            _, _, enable, address, group, data = await tick
            if enable:
                for n in range(lanes):
                    byte = data >> 8 * n & 0xFF
                    position = (address * config.groups + group) * lanes + n
                    written[position - out_base * act_word] = byte - 256 * (byte > 127)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(drive)
    sim.add_testbench(engine, background=True)
    sim.add_testbench(memory, background=True)
    sim.run()
    want = [
        expected(
            int(accs[lanes * pe[n] + n % lanes, row[n]]),
            int(bias[n]),
            *records[n if per_channel else 0],
            1,
            -3,
            -100,
            120,
        )
        for n in range(outputs)
    ]
    assert [written[n] for n in range(outputs)] == want
    assert set(written) == set(range(-(-outputs // lanes) * lanes))
