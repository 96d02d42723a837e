"""cocotb bench of the vector unit: beats of random layers, presented when it pleases."""

import cocotb
import numpy as np
from bench_support import RATES, generators, settings, until, write
from cocotb.triggers import ClockCycles, RisingEdge
from eie_model import small

from prunus.hw.bus import Target
from prunus.hw.descriptor import descriptor_layout
from prunus.hw.vector.beat import beat_layout
from prunus.hw.vector.unit import LAYER_FIELDS
from prunus.sim.benches.streams import pack, start
from prunus.sim.ops import requantize

CONFIG = small(**settings())
LANES = CONFIG.lanes
LAYER = descriptor_layout(LAYER_FIELDS)


async def memory(dut, written):
    """Collects (word, group, bytes) of every write."""
    while True:
        await RisingEdge(dut.clk)
        if dut.w_en.value == 1:
            raw = int(dut.w_data.value).to_bytes(LANES, "little")
            group = np.frombuffer(raw, np.int8).tolist()
            written.append((int(dut.w_addr.value), int(dut.w_group.value), group))


class Layer:
    """A random layer: its beats, how they are scaled, what must be written."""

    def __init__(self, numbers, double_round, per_channel, small):
        words = min(CONFIG.channel_depth, CONFIG.record_depth) - 2
        # Sums of some width, and a shift that brings them to about 8 bits.
        width = int(numbers.integers(7, CONFIG.acc_width - 1))
        lowest = -((1 << CONFIG.left_shift_bits) - 1)
        shape = words, LANES
        self.shift = np.clip(width - 8 - small + numbers.integers(-3, 3, shape), lowest, 31)
        self.field = numbers.integers(0, 1 << 30, shape)
        self.bias = numbers.integers(-(1 << width - 1), 1 << width - 1, shape)
        low, high = sorted(numbers.integers(-128, 128, 2).tolist())
        self.layer = {
            "double_round": double_round,
            "per_channel": per_channel,
            "small": small,
            "out_zero": int(numbers.integers(-128, 128)),
            "clamp_min": low,
            "clamp_max": high,
            "channel_base": int(numbers.integers(0, CONFIG.channel_depth - words)),
            "record_base": int(numbers.integers(0, CONFIG.record_depth - words)),
        }
        self.beats, self.expected = [], []
        neighbours = not (CONFIG.columns or CONFIG.window)
        first = int(numbers.integers(0, CONFIG.act_depth - 16))
        for n in range(int(numbers.integers(1, 17))):
            address = int(numbers.integers(CONFIG.act_depth))
            group = int(numbers.integers(CONFIG.groups))
            if neighbours:
                address, group = first + n // CONFIG.groups, n % CONFIG.groups
            channel = int(numbers.integers(words))
            accs = numbers.integers(-(1 << width - 1), 1 << width - 1, LANES)
            beat = {"sums": accs.tolist(), "channel": channel, "address": address, "group": group}
            self.beats.append(beat)
            record = channel if per_channel else 0
            out = requantize(
                accs + self.bias[channel],
                self.field[record] + (0 if small else 1 << 30),
                -self.shift[record],
                "double" if double_round else "single",
                self.layer["out_zero"],
                low,
                high,
            )
            self.expected.append((address, group, out.tolist()))

    def writes(self):
        """What the loader puts on the bus."""
        for (n, lane), bias in np.ndenumerate(self.bias):
            place = 0x5A5 & ((1 << CONFIG.row_bits + CONFIG.pe_bits) - 1)
            channel = place << 32 | int(bias) & 0xFFFFFFFF
            yield Target.CHANNEL, lane, self.layer["channel_base"] + n, channel
        for (n, lane), field in np.ndenumerate(self.field):
            record = (int(self.shift[n, lane]) & 0x3F) << 30 | int(field)
            yield Target.RECORD, lane, self.layer["record_base"] + n, record


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(RATES)
async def writes_what_golden_gives(dut, gap, stall):
    rng, numbers = generators()
    dut.bus__valid.value = dut.sums__valid.value = 0
    await start(dut)
    written = []
    cocotb.start_soon(memory(dut, written))
    for n in range(8):
        layer = Layer(numbers, n & 1, n >> 1 & 1, n >> 2 & 1)
        await write(dut, layer.writes(), rng=rng, gap=gap)
        dut.layer.value = pack(LAYER, layer.layer)
        written.clear()
        for beat in layer.beats:
            while rng.random() < stall:
                await RisingEdge(dut.clk)
            dut.sums__p.value = pack(beat_layout(CONFIG), beat)
            dut.sums__valid.value = 1
            await RisingEdge(dut.clk)
            assert dut.idle.value == 0
            dut.sums__valid.value = 0
        await RisingEdge(dut.clk)
        await until(dut, dut.idle)
        dut.layer.value = numbers.integers(1 << 16).item()  # the last write does not need it
        await ClockCycles(dut.clk, 2)
        assert written == layer.expected
