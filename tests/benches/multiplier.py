"""cocotb bench: two multipliers that must agree, cycle by cycle, and be right."""

import os

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

A_WIDTH, B_WIDTH = int(os.environ["A_WIDTH"]), int(os.environ["B_WIDTH"])


def values(width, rng):
    half = 1 << (width - 1)
    return [-half, half - 1, -1, 0, 1, *rng.integers(-half, half, 15).tolist()]


@cocotb.test(timeout_time=100, timeout_unit="us")
async def agree(dut):
    rng = np.random.default_rng(0)
    pairs = [(a, b) for a in values(A_WIDTH, rng) for b in values(B_WIDTH, rng)]
    dut.rst.value = 0
    Clock(dut.clk, 10, unit="ns").start()
    got = []
    for a, b in [*pairs, (0, 0), (0, 0)]:
        dut.a.value, dut.b.value = a & (1 << A_WIDTH) - 1, b & (1 << B_WIDTH) - 1
        await FallingEdge(dut.clk)
        got.append((dut.inferred.value.to_signed(), dut.block.value.to_signed()))
    assert [pair[0] for pair in got[1:-1]] == [a * b for a, b in pairs]
    assert [pair[1] for pair in got[1:-1]] == [a * b for a, b in pairs]
