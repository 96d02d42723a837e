# amaranth: UnusedElaboratable=no
"""cocotb bench of a requantization lane: sums, and noise between them."""

import cocotb
from bench_support import RATES, generators, settings
from cocotb.triggers import RisingEdge
from test_requantize import cases

from prunus.hw.config import Config
from prunus.hw.vector.requantize import Requantize, record_layout
from prunus.sim.benches.streams import pack, start
from prunus.sim.ops import requantize

CONFIG = Config(**settings())
LATENCY = Requantize(CONFIG).latency


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(RATES, rounding=["single", "double"], small=[0, 1])
async def equals_golden(dut, gap, stall, rounding, small):
    rng, numbers = generators()
    zero, low = rng.randrange(-128, 128), rng.randrange(-128, 0)
    high = rng.randrange(low, 128)
    dut.zero.value, dut.low.value, dut.high.value = zero, low, high
    dut.double_round.value = rounding == "double"
    dut.small.value = small
    await start(dut)
    inputs = list(cases(numbers, CONFIG.acc_width, CONFIG.left_shift_bits, 600, small))
    marks, outputs = [], []
    for case in inputs:
        for counts in [False] * (rng.random() < gap) + [True]:
            acc, bias, multiplier, shift = case if counts else rng.choice(inputs)
            dut.acc.value, dut.bias.value = acc, bias
            field = multiplier if small else multiplier - (1 << 30)
            record = {"multiplier": field, "shift": shift}
            dut.record.value = pack(record_layout(), record)
            await RisingEdge(dut.clk)
            marks.append(counts)
            outputs.append(dut.o.value.to_signed())
    for _ in range(LATENCY):
        await RisingEdge(dut.clk)
        outputs.append(dut.o.value.to_signed())
    actual = [o for o, counts in zip(outputs[LATENCY:], marks, strict=True) if counts]
    expected = [
        int(requantize(acc + bias, multiplier, -shift, rounding, zero, low, high))
        for acc, bias, multiplier, shift in inputs
    ]
    assert actual == expected
