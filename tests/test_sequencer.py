# amaranth: UnusedElaboratable=no
"""The sequencer fetches what isa.encode wrote and starts its units in order."""

import pytest
from amaranth.sim import Simulator

from prunus.hw import isa
from prunus.hw.bus import Target
from prunus.hw.config import Config
from prunus.hw.sequencer import Sequencer

LIMIT = 500


def extremes(low):
    return {f.name: f.range[0] if low else f.range[-1] for f in isa.FIELDS} | {"op": isa.Op.EIE}


@pytest.mark.parametrize("runs", [1, 2])
def test_runs_the_program(runs):
    program = [extremes(True), extremes(False), {"op": isa.Op.EIE, "layer": 5, "in_zero": -7}]
    raw = b"".join(isa.encode(d) for d in [*program, {"op": isa.Op.END}])
    dut = Sequencer(Config(program_depth=4))
    seen = []
    cycles = []

    async def drive(ctx):
        ctx.set(dut.engine_done, 1)
        ctx.set(dut.vector_done, 1)
        for address in range(len(raw) // 4):
            ctx.set(dut.bus.valid, 1)
            ctx.set(dut.bus.target, Target.PROGRAM)
            ctx.set(dut.bus.address, address)
            ctx.set(dut.bus.data, int.from_bytes(raw[4 * address :][:4], "big"))
            await ctx.tick()
        ctx.set(dut.bus.target, Target.CHANNEL)  # not the program's
        ctx.set(dut.bus.address, 0)
        await ctx.tick()
        ctx.set(dut.bus.valid, 0)
        await ctx.tick().repeat(2)
        for _ in range(runs):
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            busy = 0
            while ctx.get(dut.busy):
                busy += 1
                assert busy < LIMIT
                await ctx.tick()
            cycles.append((busy, ctx.get(dut.cycles)))

    def unit(start, done, name, length):
        async def process(ctx):
            while True:
                _, _, started, layer = await ctx.tick().sample(start, dut.layer)
                if started:
                    seen.append((name, layer.layer, layer.in_zero))
                    ctx.set(done, 0)
                    await ctx.tick().repeat(length)
                    ctx.set(done, 1)

        return process

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(drive)
    sim.add_testbench(unit(dut.engine_start, dut.engine_done, "engine", 4), background=True)
    sim.add_testbench(unit(dut.vector_start, dut.vector_done, "vector", 7), background=True)
    sim.run()
    want = [(n, d["layer"], d["in_zero"]) for d in program for n in ("engine", "vector")]
    assert seen == want * runs
    assert all(busy == counted for busy, counted in cycles)
    # 10 to fetch, 1 to decode, the units and a cycle for each to be seen; END is fetched too
    assert cycles[0][0] == 3 * (11 + 5 + 8) + 11


def test_every_field_survives():
    for low in (True, False):
        assert isa.decode(isa.encode(extremes(low))) == extremes(low)
    with pytest.raises(ValueError, match=r"^in_zero must be -128 to 127, not 128$"):
        isa.encode({"in_zero": 128})
    with pytest.raises(ValueError, match=r"^speed is not a descriptor field$"):
        isa.encode({"speed": 1})


def test_disassembly_names_what_is_set():
    raw = isa.encode({"op": isa.Op.EIE, "columns": 7, "in_zero": -1}) + isa.encode({})
    assert isa.disassemble(raw) == "  0 EIE in_zero=-1 columns=7\n  1 END"
