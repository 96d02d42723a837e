# amaranth: UnusedElaboratable=no
"""cocotb bench of the framer, against the frames of the software."""

import cocotb
from bench_support import RATES, generators
from cocotb.triggers import ClockCycles

from prunus.hw.host.framer import Framer
from prunus.hw.host.frames import ESCAPE, FLAG, encode
from prunus.sim.benches.streams import Sink, Source, pack, start

BEAT = Framer().i.p.shape()


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(RATES)
async def frames(dut, gap, stall):
    rng, _ = generators()
    contents = [bytes([FLAG]), bytes([ESCAPE, FLAG, ESCAPE])]
    contents += [rng.randbytes(rng.randrange(1, 30)) for _ in range(40)]
    contents += [bytes(rng.choices([FLAG, ESCAPE, 0x5E, 0x5D], k=9)) for _ in range(10)]
    beats = [{"data": b, "last": n == len(c) - 1} for c in contents for n, b in enumerate(c)]
    source, sink = Source(dut, "i", rng=rng, gap=gap), Sink(dut, "o", rng=rng, stall=stall)
    await start(dut)
    cocotb.start_soon(source.send(pack(BEAT, beat) for beat in beats))
    expected = b"".join(encode(c) for c in contents)
    await sink.receive(len(expected))
    await ClockCycles(dut.clk, 20)
    assert bytes(sink.received) == expected
