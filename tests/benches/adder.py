"""cocotb bench of the adder in test_verilator.py; BENCH_FAIL makes it fail on purpose."""

import os
import random

import cocotb
from amaranth import signed
from amaranth.lib import data

from prunus.sim.benches.streams import Sink, Source, pack, start, unpack

LAYOUT = data.StructLayout({"a": signed(8), "b": signed(8)})


@cocotb.test(timeout_time=100, timeout_unit="us")
async def adds(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    steps = [{"a": rng.randrange(-128, 128), "b": rng.randrange(-128, 128)} for _ in range(200)]
    await start(dut)
    source = Source(dut, "i", rng=rng, gap=float(os.environ["GAP"]))
    sink = Sink(dut, "o", rng=rng, stall=float(os.environ["STALL"]))
    cocotb.start_soon(source.send(pack(LAYOUT, step) for step in steps))
    expected = [step["a"] + step["b"] for step in steps]
    if "BENCH_FAIL" in os.environ:
        expected[7] += 1
    actual = [unpack(signed(9), word) for word in await sink.receive(len(expected))]
    assert actual == expected, (
        f"sums differ at {sum(a == b for a, b in zip(actual, expected, strict=True))}"
    )
