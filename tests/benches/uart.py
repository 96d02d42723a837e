"""cocotb bench of the serial port: both directions at once, against bits on the lines."""

import cocotb
from bench_support import RATES, generators, settings
from cocotb.triggers import ClockCycles, RisingEdge

from prunus.sim.benches.streams import Sink, Source, start

DIVISOR = settings()["divisor"]


async def listen(dut, received):
    """Read ``tx`` in the middle of its bits."""
    while True:
        await RisingEdge(dut.clk)
        if dut.tx.value == 0:
            await ClockCycles(dut.clk, DIVISOR // 2)
            bits = []
            for _ in range(10):
                bits.append(int(dut.tx.value))
                if len(bits) < 10:
                    await ClockCycles(dut.clk, DIVISOR)
            assert (bits[0], bits[9]) == (0, 1)
            received.append(sum(bit << n for n, bit in enumerate(bits[1:9])))


async def talk(dut, raw, *, rng, gap, error):
    """Put bytes on ``rx``, of a sender whose clock is off by ``error``."""
    time = 0.0
    for byte in raw:
        for bit in [0, *(byte >> n & 1 for n in range(8)), 1]:
            dut.rx.value = bit
            before, time = time, time + DIVISOR * (1 + error)
            await ClockCycles(dut.clk, round(time) - round(before))
        while rng.random() < gap:
            await ClockCycles(dut.clk, rng.randrange(1, 3 * DIVISOR))


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(RATES, error=[-0.02, 0.02])
async def carries_bytes_both_ways(dut, gap, stall, error):
    rng, _ = generators()
    out, back = (bytes([0x00, 0xFF, 0x55, 0x80]) + rng.randbytes(40) for _ in range(2))
    dut.rx.value = 1
    source, sink = Source(dut, "i", rng=rng, gap=gap), Sink(dut, "o", rng=rng, stall=stall)
    await start(dut)
    received = []
    cocotb.start_soon(listen(dut, received))
    cocotb.start_soon(source.send(out))
    await talk(dut, back, rng=rng, gap=gap, error=error)
    await sink.receive(len(back))
    await ClockCycles(dut.clk, 12 * DIVISOR)
    while len(received) < len(out):
        await RisingEdge(dut.clk)
    assert bytes(received) == out
    assert bytes(sink.received) == back
