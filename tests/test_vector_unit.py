# amaranth: UnusedElaboratable=no
"""The vector unit, with beats of no engine in particular, against plain integers."""

import numpy as np
import pytest
from amaranth.sim import Simulator
from eie_model import load
from test_requantize import expected

from prunus.hw.bus import Target
from prunus.hw.config import Config
from prunus.hw.vector.unit import VectorUnit

LIMIT = 100


def signed(byte):
    return byte - 256 * (byte > 127)


@pytest.mark.parametrize("per_channel", [0, 1])
@pytest.mark.parametrize(
    ("shape", "small", "gap"),
    [
        (dict(pes=1, lanes=1, act_word=1), 0, 0.0),
        (dict(pes=1, lanes=1, act_word=8), 0, 0.5),
        (dict(pes=2, lanes=2, act_word=8), 1, 0.5),
        (dict(pes=8, lanes=4, act_word=4, left_shift_bits=1), 0, 0.0),
        (dict(pes=0, lanes=8, act_word=16, columns=8, lane_blocks=2), 1, 0.3),
        (dict(pes=16, lanes=8, act_word=16, columns=8, lane_blocks=2), 0, 0.0),
    ],
)
def test_equals_reference(shape, small, gap, per_channel):
    rng = np.random.default_rng(shape["act_word"])
    config = Config(**shape, acc_rows=64, channel_depth=64, record_depth=64)
    dut = VectorUnit(config)
    lanes = config.lanes
    words = 23  # of channels
    bias = rng.integers(-(1 << 16), 1 << 16, (words, lanes))
    records = [
        [(int(rng.integers(1 << 30)), int(rng.integers(10, 16))) for _ in range(lanes)]
        for _ in range(words)
    ]
    base = {"channel_base": 3, "record_base": 40}
    layer = base | dict(
        double_round=1, per_channel=per_channel, small=small, out_zero=-3, clamp_min=-100,
        clamp_max=120,
    )  # fmt: skip
    beats = [
        {
            "sums": [int(v) for v in rng.integers(-(1 << 20), 1 << 20, lanes)],
            "channel": int(rng.integers(words)),
            "address": int(rng.integers(config.act_depth)),
            "group": int(rng.integers(config.groups)),
        }
        for _ in range(60)
    ]
    if dut.counts:
        first = int(rng.integers(config.act_depth - len(beats)))
        for n, beat in enumerate(beats):
            address, beat["group"] = divmod(n, config.groups)
            beat["address"] = first + address
    written, finished = [], []

    def writes():
        for n in range(words):
            for lane in range(lanes):
                data = int(bias[n, lane]) & 0xFFFFFFFF
                yield Target.CHANNEL, lane, base["channel_base"] + n, data
        for n in range(words):
            for lane, (multiplier, shift) in enumerate(records[n]):
                yield Target.RECORD, lane, base["record_base"] + n, shift << 30 | multiplier
        yield Target.PROGRAM, 0, base["channel_base"], 0  # not the unit's
        if config.pes:
            yield Target.WEIGHT, 0, base["record_base"], 0

    async def drive(ctx):
        await load(ctx, dut.bus, writes())
        ctx.set(dut.layer, layer)
        assert ctx.get(dut.idle)
        for beat in beats:
            while rng.random() < gap:
                await ctx.tick()
            ctx.set(dut.sums.p, beat)
            ctx.set(dut.sums.valid, 1)
            assert not ctx.get(dut.idle)
            await ctx.tick()
            ctx.set(dut.sums.valid, 0)
        for _ in range(LIMIT):
            if ctx.get(dut.idle):
                break
            await ctx.tick()
        finished.append(len(written))
        await ctx.tick()  # the last write may still come, and does not need the layer
        ctx.set(dut.layer, {})
        await ctx.tick().repeat(LIMIT)

    async def memory(ctx):
        tick = ctx.tick().sample(dut.w_en, dut.w_addr, dut.w_group, dut.w_data)
        while True:
            _, _, enable, address, group, data = await tick
            if enable:
                values = [signed(data >> 8 * n & 0xFF) for n in range(lanes)]
                written.append((address, group, values))

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(
        memory, background=True
    )  # first: so it has seen a write before `drive` goes on
    sim.add_testbench(drive)
    sim.run()

    def outputs(beat):
        channel = beat["channel"]
        for n, acc in enumerate(beat["sums"]):
            field, shift = records[channel if per_channel else 0][n]
            multiplier = field if small else field + (1 << 30)
            yield expected(acc, int(bias[channel, n]), multiplier, shift, 1, -3, -100, 120)

    want = [(b["address"], b["group"], list(outputs(b))) for b in beats]
    assert written == want
    assert len(beats) - 2 <= finished[0] < len(beats)
