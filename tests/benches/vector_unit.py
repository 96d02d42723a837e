"""cocotb bench of the vector unit: an engine that takes places and gives sums when it likes."""

import cocotb
import numpy as np
from amaranth import signed
from amaranth.lib import data
from bench_support import RATES, generators, pulse, settings, until, write
from cocotb.triggers import RisingEdge
from eie_model import small

from prunus.hw.bus import Target
from prunus.hw.descriptor import descriptor_layout
from prunus.hw.location import location_layout
from prunus.hw.vector.unit import LAYER_FIELDS
from prunus.sim.benches.streams import Sink, Source, pack, start, unpack
from prunus.sim.ops import requantize

CONFIG = small(**settings())
LANES = CONFIG.lanes
LAYER = descriptor_layout(LAYER_FIELDS)
SUMS = data.ArrayLayout(signed(32), LANES)


async def engine(dut, places, sums, accs):
    """Answers every beat of places with the contents of ``accs``."""
    answered = 0
    while True:
        while answered == len(places.received):
            await RisingEdge(dut.clk)
        beat = unpack(location_layout(CONFIG), places.received[answered])
        answered += 1
        values = [int(accs[LANES * p["pe"] + lane, p["row"]]) for lane, p in enumerate(beat)]
        await sums.send([pack(SUMS, values)])


async def memory(dut, written):
    """Collects (word, group, bytes) of every write."""
    while True:
        await RisingEdge(dut.clk)
        if dut.w_en.value == 1:
            raw = int(dut.w_data.value).to_bytes(LANES, "little")
            group = np.frombuffer(raw, np.int8).tolist()
            written.append((int(dut.w_addr.value), int(dut.w_group.value), group))


class Pass:
    """A random layer: where its accumulators are, how they are scaled, what must be written."""

    def __init__(self, numbers, accs, double_round, per_channel):
        pes, rows = accs.shape
        most = min(CONFIG.channel_depth, CONFIG.record_depth) - 2
        self.beats = int(numbers.integers(1, most + 1))
        count = self.beats * LANES
        # Sums of some width, and a shift that brings them to about 8 bits.
        width = int(numbers.integers(7, CONFIG.acc_width - 1))
        accs[:] = numbers.integers(-(1 << width - 1), 1 << width - 1, accs.shape)
        lowest = -((1 << CONFIG.left_shift_bits) - 1)
        self.shift = np.clip(width - 8 + numbers.integers(-3, 3, count), lowest, 31)
        self.multiplier = numbers.integers(1 << 30, 1 << 31, count)
        if not per_channel:
            self.shift = np.resize(self.shift[:LANES], count)
            self.multiplier = np.resize(self.multiplier[:LANES], count)
        self.bias = numbers.integers(-(1 << width - 1), 1 << width - 1, count)
        self.pe = numbers.integers(0, pes // LANES, count)
        self.row = numbers.integers(0, rows, count)
        low, high = sorted(numbers.integers(-128, 128, 2).tolist())
        self.layer = {
            "double_round": double_round,
            "per_channel": per_channel,
            "out_base": int(numbers.integers(0, CONFIG.act_depth - self.beats)),
            "outputs": count - int(numbers.integers(0, LANES)),
            "out_zero": int(numbers.integers(-128, 128)),
            "clamp_min": low,
            "clamp_max": high,
            "channel_base": int(numbers.integers(0, CONFIG.channel_depth - self.beats)),
            "record_base": int(numbers.integers(0, CONFIG.record_depth - self.beats)),
        }
        values = accs[LANES * self.pe + np.arange(count) % LANES, self.row] + self.bias
        rounding = "double" if double_round else "single"
        out = requantize(
            values, self.multiplier, -self.shift, rounding, self.layer["out_zero"], low, high
        )
        first = self.layer["out_base"] * CONFIG.groups
        self.expected = [
            (*divmod(first + n, CONFIG.groups), group)
            for n, group in enumerate(out.reshape(-1, LANES).tolist())
        ]

    def writes(self):
        """What the loader puts on the bus."""
        count = self.beats * LANES
        for n in range(count):
            place = int(self.pe[n]) << CONFIG.row_bits | int(self.row[n])
            channel = place << 32 | int(self.bias[n]) & 0xFFFFFFFF
            address = self.layer["channel_base"] + n // LANES
            yield Target.CHANNEL, n % LANES, address, channel
        for n in range(count if self.layer["per_channel"] else LANES):
            record = (int(self.shift[n]) & 0x3F) << 30 | int(self.multiplier[n]) - (1 << 30)
            yield Target.RECORD, n % LANES, self.layer["record_base"] + n // LANES, record


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(RATES)
async def writes_what_golden_gives(dut, gap, stall):
    rng, numbers = generators()
    dut.start.value = dut.bus__valid.value = 0
    places = Sink(dut, "locate", rng=rng, stall=stall)
    sums = Source(dut, "sums", rng=rng, gap=gap)
    await start(dut)
    accs = np.zeros((CONFIG.pes, CONFIG.acc_rows), dtype=np.int64)
    written = []
    cocotb.start_soon(engine(dut, places, sums, accs))
    cocotb.start_soon(memory(dut, written))
    for n in range(8):
        one = Pass(numbers, accs, n & 1, n >> 1 & 1)
        await write(dut, one.writes(), rng=rng, gap=gap)
        dut.layer.value = pack(LAYER, one.layer)
        written.clear()
        await pulse(dut, dut.start)
        assert dut.done.value == 0
        await until(dut, dut.done)
        assert written == one.expected
