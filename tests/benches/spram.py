"""cocotb bench: two single-port memories that must agree after every read, and be right."""

import os

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge
from test_spram import PORTS, accesses

SIZES = tuple(int(os.environ[name]) for name in ("WIDTH", "DEPTH", "PARTS"))


@cocotb.test(timeout_time=1000, timeout_unit="us")
async def agree(dut):
    dut.rst.value = 0
    Clock(dut.clk, 10, unit="ns").start()
    await FallingEdge(dut.clk)
    read = 0
    for values, found in accesses(*SIZES, 2000, seed=1):
        for name, value in zip(PORTS, values, strict=True):
            getattr(dut, name).value = value
        await FallingEdge(dut.clk)
        if found is not None:
            read += 1
            assert dut.inferred.value.to_unsigned() == found
            assert dut.block.value.to_unsigned() == found
    assert read > 500
