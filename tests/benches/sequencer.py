"""cocotb bench of the sequencer: random programs, units that take their time."""

import cocotb
from bench_support import RATES, generators, settings, until, write
from cocotb.triggers import ClockCycles, RisingEdge
from eie_model import small

from prunus.hw import isa
from prunus.hw.bus import Target
from prunus.hw.descriptor import descriptor_layout
from prunus.sim.benches.streams import start, unpack

CONFIG = small(**settings())


async def unit(dut, name, seen, *, rng, stall):
    """An engine or the vector unit: notes what it is started for, and is busy for a while."""
    begins, done = getattr(dut, f"{name}_start"), getattr(dut, f"{name}_done")
    done.value = 1
    while True:
        await RisingEdge(dut.clk)
        if begins.value == 1:
            assert done.value == 1
            done.value = 0
            layer = unpack(descriptor_layout(), int(dut.layer.value))
            await ClockCycles(dut.clk, 1)
            while rng.random() < stall:
                await RisingEdge(dut.clk)
                assert unpack(descriptor_layout(), int(dut.layer.value)) == layer
            done.value = 1
            seen.append((name, layer))


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(RATES)
async def runs_the_program(dut, gap, stall):
    rng, _ = generators()
    dut.start.value = dut.bus__valid.value = 0
    seen = []
    cocotb.start_soon(unit(dut, "engine", seen, rng=rng, stall=stall))
    cocotb.start_soon(unit(dut, "vector", seen, rng=rng, stall=stall))
    await start(dut)
    for _ in range(8):
        program = [
            {f.name: rng.choice(f.range) for f in isa.FIELDS} | {"op": isa.Op.EIE}
            for _ in range(rng.randrange(CONFIG.program_depth))
        ]
        raw = b"".join(isa.encode(d) for d in [*program, {"op": isa.Op.END}])
        items = [
            (Target.PROGRAM, 0, n, int.from_bytes(raw[4 * n : 4 * n + 4], "big"))
            for n in range(len(raw) // 4)
        ]
        items.append((Target.CHANNEL, 0, 0, 0))  # not the program's
        await write(dut, items, rng=rng, gap=gap)
        for _ in range(2):
            seen.clear()
            dut.start.value = 1
            await RisingEdge(dut.clk)
            dut.start.value = 0
            busy = -1
            while busy < 0 or dut.busy.value == 1:
                await RisingEdge(dut.clk)
                busy += 1
            assert seen == [(name, d) for d in program for name in ("engine", "vector")]
            assert dut.cycles.value == busy
    await until(dut, dut.engine_done)
