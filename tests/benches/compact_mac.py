"""cocotb bench: two arrays of sixteen products that must agree in every cycle, and be right."""

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge
from test_compact_mac import LATENCY, expected, steps

from prunus.hw.compact.mac import OUTPUTS, ROWS


def packed(values, width):
    return sum((value & (1 << width) - 1) << width * n for n, value in enumerate(values))


@cocotb.test(timeout_time=1000, timeout_unit="us")
async def agree(dut):
    script = list(steps())
    dut.rst.value = 0
    Clock(dut.clk, 10, unit="ns").start()
    got = []
    for a, load, w in [*script, *[([0] * ROWS, 0, [0] * OUTPUTS)] * LATENCY]:
        dut.a.value, dut.load.value, dut.w.value = packed(a, 8), load, packed(w, 8)
        await FallingEdge(dut.clk)
        got.append((dut.inferred.value.to_unsigned(), dut.block.value.to_unsigned()))
    wanted = [packed([v for pair in sums for v in pair], 16) for sums in expected(script)]
    assert [pair[0] for pair in got[LATENCY - 1 : -1]] == wanted
    assert [pair[1] for pair in got[LATENCY - 1 : -1]] == wanted
