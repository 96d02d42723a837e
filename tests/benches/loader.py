"""cocotb bench of the ROM image loader: whole images, with gaps, damage and restarts."""

import json
import os
import random

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge
from load_support import apply_writes, differences, random_image, small

from prunus.hw.image import LoadError
from prunus.hw.load.loader import NETWORK
from prunus.sim.benches.streams import Source, start, unpack
from prunus.sim.image import Network, read_image


async def watch(dut, writes):
    """Collect the writes, as they are before each edge."""
    while True:
        await FallingEdge(dut.clk)
        if dut.bus__valid.value == 1:
            fields = (dut.bus__target, dut.bus__unit, dut.bus__address, dut.bus__data)
            writes.append(tuple(int(field.value) for field in fields))


async def ended(dut):
    while dut.done.value == 0 and dut.error.value == 0:
        await RisingEdge(dut.clk)


async def restart(dut):
    dut.restart.value = 1
    await RisingEdge(dut.clk)
    dut.restart.value = 0
    await RisingEdge(dut.clk)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def fills_the_memories(dut):
    config = small(**json.loads(os.environ["CONFIG"]))
    rng = random.Random(cocotb.RANDOM_SEED)
    dut.restart.value = 0
    writes = []
    source = Source(dut, "i", rng=rng, gap=float(os.environ["GAP"]))
    await start(dut)
    cocotb.start_soon(watch(dut, writes))
    for seed in range(3):
        image = random_image(config, seed, columns=40, rows=config.acc_rows, density=0.3)
        writes.clear()
        await source.send(image)
        await ended(dut)
        assert LoadError(int(dut.error.value)) == LoadError.NONE
        network = Network(**{n: int(v) for n, v in unpack(NETWORK, int(dut.network.value)).items()})
        expected = read_image(image, config)
        assert differences(apply_writes(writes, network, config), expected) == []
        await restart(dut)

        # What is damaged is refused, all of it accepted, and forgotten with the restart.
        damaged = bytearray(image)
        damaged[rng.randrange(20, len(image))] ^= 1 << rng.randrange(8)
        await source.send(damaged + bytes(10000))
        await ended(dut)
        assert dut.done.value == 0
        await restart(dut)
