"""cocotb bench: two products from one block, every cycle, the weights held between loads."""

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge
from dual_model import LATENCY, expected, steps


@cocotb.test(timeout_time=1000, timeout_unit="us")
async def products(dut):
    script = list(steps())
    dut.rst.value = 0
    Clock(dut.clk, 10, unit="ns").start()
    got = []
    for a, w0, w1, load in [*script, *[(0, 0, 0, 0)] * LATENCY]:
        dut.a.value, dut.load.value = a & 255, load
        dut.w0.value, dut.w1.value = w0 & 255, w1 & 255
        await FallingEdge(dut.clk)
        got.append((dut.p0.value, dut.p1.value))
    got = [tuple(p.to_signed() for p in pair) for pair in got[LATENCY - 1 : -1]]
    assert got == list(expected(script))
