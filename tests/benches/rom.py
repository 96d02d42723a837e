"""cocotb bench of the ROM: once from reset on, until it is stopped."""

import cocotb
from bench_support import RATES, generators, pulse, settings
from cocotb.triggers import ClockCycles
from cocotb.utils import get_sim_time

from prunus.sim.benches.streams import Sink, start

CONTENTS = bytes.fromhex(settings()["contents"])


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(RATES)
async def streams_its_contents(dut, gap, stall):
    rng, _ = generators()
    dut.stop.value = 0
    sink = Sink(dut, "o", rng=rng, stall=stall)
    await start(dut)
    for count in (len(CONTENTS), rng.randrange(1, len(CONTENTS)), len(CONTENTS)):
        sink.received.clear()
        dut.rst.value = 1
        await ClockCycles(dut.clk, 2)
        dut.rst.value = 0
        await sink.receive(1)
        first = get_sim_time("ns")
        await sink.receive(count)
        if not stall:
            assert get_sim_time("ns") - first == 10 * 3 * (count - 1)
        await pulse(dut, dut.stop)
        await ClockCycles(dut.clk, 30)
        # One byte more may have been on offer, and taken.
        assert bytes(sink.received[:count]) == CONTENTS[:count]
        assert len(sink.received) <= count + 1
