# amaranth: UnusedElaboratable=no
"""The sequencer fetches what isa.encode wrote and starts its units in order."""

import pytest
from amaranth.sim import Simulator

from prunus.hw import isa
from prunus.hw.bus import Target
from prunus.hw.config import Config
from prunus.hw.descriptor import TABLE_FIELDS
from prunus.hw.isa import Op
from prunus.hw.sequencer import Sequencer

LIMIT = 500
SMALL = Config(program_depth=4)
FULL = Config(
    pes=0, columns=8, line_depth=16, window=True, tables=2, program_depth=8, weight_depth=2
)
EVERY = Config(columns=8, window=True, program_depth=8)


def extremes(low, op=Op.EIE, words=16):
    fields = {f.name: f.range[0] if low else f.range[-1] for f in isa.FIELDS}
    if words == 8:  # what is in the first half
        fields = dict(list(fields.items())[: list(fields).index("line_bytes")])
    return fields | {"op": op}


def run(config, program, *, lengths=(4,), tail=7, runs=1, filling=0):
    """What was started, with the layer that was shown, and the cycles of each run.

    Engines take ``lengths`` cycles in turn, the vector unit ``tail`` more; tables ``filling``.
    """
    raw = b"".join(isa.encode(d, config.descriptor_words) for d in program)
    dut = Sequencer(config)
    seen, cycles = [], []

    async def drive(ctx):
        ctx.set(dut.engine_done, 1)
        ctx.set(dut.vector_idle, 1)
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

    async def units(ctx):
        starts = [getattr(dut, name) for name in dut.starts]
        count = 0
        while True:
            _, _, *pulses, layer = await ctx.tick().sample(*starts, dut.layer)
            for name, pulse in zip(dut.starts, pulses, strict=True):
                if pulse:
                    shown = {f.name: int(layer[f.name]) for f in isa.FIELDS}
                    seen.append((name.removeprefix("start_"), shown))
            if any(pulses):
                ctx.set(dut.engine_done, 0)
                ctx.set(dut.vector_idle, 0)  # as if beats came until the end
                await ctx.tick().repeat(lengths[count % len(lengths)])
                count += 1
                ctx.set(dut.engine_done, 1)
                await ctx.tick().repeat(tail)
                ctx.set(dut.vector_idle, 1)

    async def tables(ctx):
        left = 0
        while True:
            _, _, started, table = await ctx.tick().sample(dut.start_table, dut.table_layer)
            if started:
                seen.append(("table", {name: int(table[name]) for name in TABLE_FIELDS}))
            left = 1 + filling if started else max(0, left - 1)
            ctx.set(dut.table_busy, left > 0)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(drive)
    if config.window:
        sim.add_testbench(tables, background=True)
    sim.add_testbench(units, background=True)
    sim.run()
    return seen, cycles


def full(descriptor):
    return {f.name: int(descriptor.get(f.name, 0)) for f in isa.FIELDS}


@pytest.mark.parametrize("runs", [1, 2])
def test_runs_the_program(runs):
    program = [
        extremes(True, words=8),
        extremes(False, words=8),
        {"op": Op.EIE, "layer": 5, "in_zero": -7},
    ]
    seen, cycles = run(SMALL, [*program, {"op": Op.END}], runs=runs)
    assert seen == [("eie", full(d)) for d in program] * runs
    assert all(busy == counted for busy, counted in cycles)
    # 10 to fetch, 1 to decode, the units and a cycle for the last to be seen; END is fetched too
    assert cycles[0][0] == 3 * (11 + 4 + 7 + 1) + 11


def test_tables_are_filled_beside_a_layer():
    """They wait for each other, for no layer but WINDOW, and only WINDOW's start is behind them."""
    ops = [Op.TABLE, Op.CONV, Op.TABLE, Op.CONV, Op.WINDOW, Op.TABLE, Op.CONV, Op.END]
    seen, cycles = run(FULL, [{"op": op} for op in ops], lengths=(60,), tail=1, filling=100)
    names = ["table", "systolic", "table", "systolic", "window", "table", "systolic"]
    assert [name for name, _ in seen] == names
    # 18 to fetch a descriptor, 1 to decode one of an engine. The second table waits for the first,
    # which is ready for another after 102; the third for the window's end, a cycle later. Behind
    # them a layer is fetched, all else was fetched ahead.
    first, second, layer = 18 + 18 + 1, 18 + 102 + 18 + 1, 60 + 1 + 1
    assert cycles[0][0] == second + layer + (1 + layer) + (1 + 18 + 1 + layer) + 1
    assert second > first + layer


@pytest.mark.parametrize("low", [True, False])
def test_starts_the_engine_of_each_descriptor(low):
    ops = [Op.CONV, Op.TABLE, Op.TABLE, Op.WINDOW, Op.DEPTHWISE, Op.TABLE]
    program = [extremes(low, op) for op in ops]
    seen, cycles = run(FULL, [*program, {"op": Op.END}], lengths=(1, 5))
    names = ["systolic", "table", "table", "window", "systolic", "table"]
    shown = [full(d) for d in program]
    for n, name in enumerate(names):
        if name == "table":
            shown[n] = {field: shown[n][field] for field in TABLE_FIELDS}
    assert seen == list(zip(names, shown, strict=True))
    # 18 to fetch and 1 to decode the first; the fetch of the next one begins with that
    assert cycles[0][0] == 19 + 6 * 18


@pytest.mark.parametrize(
    ("config", "op"),
    [
        (SMALL, Op.CONV),
        (SMALL, Op.WINDOW),
        (SMALL, Op.TABLE),
        (SMALL, 15),
        (FULL, Op.EIE),
        (EVERY, Op.DEPTHWISE),
    ],
)
def test_a_missing_engine_ends_the_program(config, op):
    good = Op.EIE if config.pes else Op.CONV
    program = [{"op": good, "layer": 1}, {"op": op}, {"op": good}, {"op": Op.END}]
    seen, _ = run(config, program)
    assert [layer["layer"] for _, layer in seen] == [1]


def test_every_field_survives():
    for low in (True, False):
        assert isa.decode(isa.encode(extremes(low))) == extremes(low)
    half = extremes(False, words=8)
    assert isa.decode(isa.encode(half, 8)) == full(half)
    with pytest.raises(ValueError, match=r"^in_zero must be -128 to 127, not 128$"):
        isa.encode({"in_zero": 128})
    with pytest.raises(ValueError, match=r"^speed is not a descriptor field$"):
        isa.encode({"speed": 1})
    with pytest.raises(ValueError, match=r"^words must be 16 for a descriptor of CONV, not 8$"):
        isa.encode({"op": Op.CONV, "mode": 1}, 8)


@pytest.mark.parametrize("words", [8, 16])
def test_disassembly_names_what_is_set(words):
    raw = isa.encode({"op": isa.Op.EIE, "columns": 7, "in_zero": -1}, words) + isa.encode({}, words)
    assert isa.disassemble(raw, words) == "  0 EIE in_zero=-1 columns=7\n  1 END"
