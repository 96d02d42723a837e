"""What the benches of test_components_cocotb.py share: their settings, and the usual neighbours."""

import json
import os
import random

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge

RATES = (("gap", "stall"), [(0.0, 0.0), (0.5, 0.2), (0.1, 0.7)])  # for cocotb.parametrize


def settings():
    """The component's parameters, as the test built it."""
    return json.loads(os.environ["SETTINGS"])


def generators():
    """Seeded: for the gaps and stalls, and for the data."""
    return random.Random(cocotb.RANDOM_SEED), np.random.default_rng(cocotb.RANDOM_SEED)


async def until(dut, port):
    """Wait for an edge at which `port` is high."""
    while port.value != 1:
        await RisingEdge(dut.clk)


async def pulse(dut, port):
    """Raise `port` for one cycle; what it changes is seen when this returns."""
    port.value = 1
    await RisingEdge(dut.clk)
    port.value = 0
    await RisingEdge(dut.clk)


async def write(dut, items, *, rng, gap=0.0):
    """Put (target, unit, address, data) on the write bus, with noise in the gaps."""
    for target, unit, address, data in items:
        while rng.random() < gap:
            dut.bus__valid.value = 0
            dut.bus__data.value = rng.randrange(1 << len(dut.bus__data))
            await RisingEdge(dut.clk)
        dut.bus__target.value = target.value
        dut.bus__unit.value = unit
        dut.bus__address.value = address
        dut.bus__data.value = data
        dut.bus__valid.value = 1
        await RisingEdge(dut.clk)
    dut.bus__valid.value = 0
    await ClockCycles(dut.clk, 5)


async def serve(dut, contents):
    """Be the activation memory: `contents` maps addresses to words."""
    dut.r_data.value = 0x5A
    while True:
        await RisingEdge(dut.clk)
        if dut.r_en.value == 1:
            dut.r_data.value = contents.get(int(dut.r_addr.value), 0xA5)
